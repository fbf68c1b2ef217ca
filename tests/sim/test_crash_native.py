"""Kill the engine at any instant: events, ids and digests equal those of a run that nobody
disturbed.

A recording is fed by position into tests/native/tool_engine_replay, which hands each event over by
one append before it acknowledges. The process dies by SIGKILL at random instants and at every named
crash point, and is started again until the recording ends. What was handed over twice must be the
same twice; nothing may be missing or new.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BATCHES = 240
RING = 1 << 20  # small: it wraps several times, so that checkpoints carry the weight
STARTS_MAX = 400


@dataclass
class Run:
    """One recording through any number of processes."""

    events: dict[str, str]  # id -> digest
    repeats: int
    kills: int
    figures: str


class Replay:
    def __init__(self, program: Path, folder: Path, ring_dir: Path) -> None:
        self.program, self.state, self.ring = program, folder / "state", ring_dir / folder.name
        self.output = folder / "events.txt"
        folder.mkdir(parents=True)
        self.ring.mkdir(mode=0o700)
        self.kills = 0

    def drop_torn_line(self) -> None:
        """SIGKILL can cut an append in two; what it cut was not acknowledged and comes again."""
        if self.output.exists():
            whole = self.output.read_bytes()
            self.output.write_bytes(whole[: whole.rfind(b"\n") + 1])

    def start(self, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        self.drop_torn_line()
        words = [self.program, self.state, self.ring, self.output, BATCHES, RING]
        return subprocess.Popen(
            [str(word) for word in words],
            env=env or {},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def finish(self, process: subprocess.Popen[str]) -> Run:
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, f"exit {process.returncode}: {err}"
        return self.collect(out)

    def collect(self, figures: str) -> Run:
        events: dict[str, str] = {}
        repeats = 0
        for line in self.output.read_text().splitlines():
            event_id, digest, _ = line.split(" ", 2)
            repeats += event_id in events
            assert events.setdefault(event_id, digest) == digest, (
                f"event {event_id} came with two contents"
            )
        return Run(events, repeats, self.kills, figures)

    def until_done(self, env: dict[str, str], seconds: random.Random | None) -> Run:
        """Starts it again and again; with `seconds` a SIGKILL falls at a random instant of each
        start.
        """
        for _ in range(STARTS_MAX):
            process = self.start(env)
            if seconds is not None and self.kills < 12:
                time.sleep(seconds.uniform(0.0, 0.05))
                process.kill()
            out, err = process.communicate(timeout=60)
            if process.returncode == 0:
                return self.collect(out)
            assert process.returncode == -9, f"exit {process.returncode}: {err}"
            self.kills += 1
            env = env if seconds is not None else {}  # a named point is armed once
        raise AssertionError(f"not done after {STARTS_MAX} starts")


@pytest.fixture(scope="session")
def program(native_build: Path) -> Path:
    return native_build / "tool_engine_replay"


@pytest.fixture(scope="session")
def undisturbed(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("undisturbed")
    ring = Path("/dev/shm") / f"penstock-{os.getpid()}-undisturbed"
    ring.mkdir(mode=0o700, exist_ok=True)
    try:
        replay = Replay(program, folder / "run", ring)
        run = replay.finish(replay.start())
    finally:
        shutil.rmtree(ring, ignore_errors=True)
    assert len(run.events) > 200
    assert run.repeats == 0
    return run


def crash_points() -> list[str]:
    """Every name that native/ passes to PSTK_CRASH outside intake; disk.* is passed with durability
    power only (test_crash_power).
    """
    names: set[str] = set()
    for path in sorted((ROOT / "native").rglob("*.c")):
        names.update(re.findall(r'PSTK_CRASH\("([\w.]+)"\)', path.read_text()))
    return sorted(names)


def same(run: Run, undisturbed: Run) -> None:
    missing = undisturbed.events.keys() - run.events.keys()
    new = run.events.keys() - undisturbed.events.keys()
    assert not missing, f"{len(missing)} events lost"
    assert not new, f"{len(new)} events nobody should have made"
    assert run.events == undisturbed.events
    received, used, dropped = (int(word) for word in re.findall(r"\d+", run.figures))
    assert used == int(re.findall(r"\d+", undisturbed.figures)[1]), (
        "a sample was lost or used twice"
    )
    assert received == used + dropped, "residual is not 0"


def test_kill_at_random_instants_changes_no_event(
    program: Path, undisturbed: Run, tmp_path: Path, ring_dir: Path, is_deep: bool
) -> None:
    seed = random.SystemRandom().randrange(1 << 30)
    print(f"seed {seed}")
    dice, wanted, kills, index = random.Random(seed), 200 if is_deep else 24, 0, 0
    while kills < wanted:
        replay = Replay(program, tmp_path / f"run{index}", ring_dir)
        run = replay.until_done({}, dice)
        same(run, undisturbed)
        kills, index = kills + run.kills, index + 1
        shutil.rmtree(replay.ring)
    print(f"{kills} kills in {index} recordings")


@pytest.mark.parametrize(
    "point", [point for point in crash_points() if not point.startswith("disk.")]
)
@pytest.mark.parametrize("passage", [1, 7])
def test_kill_at_a_named_point_changes_no_event(
    point: str, passage: int, program: Path, undisturbed: Run, tmp_path: Path, ring_dir: Path
) -> None:
    replay = Replay(program, tmp_path / "run", ring_dir)
    run = replay.until_done({"PENSTOCK_CRASH_AT": f"{point}:{passage}"}, None)
    same(run, undisturbed)
    if passage == 1:
        assert run.kills == 1, f"the recording never passes {point}"


def test_planted_checkpoint_without_pending_events_is_caught(
    program: Path, undisturbed: Run, tmp_path: Path, ring_dir: Path
) -> None:
    """The harness sees the bug this project exists to avoid: a checkpoint that forgets what was not
    acknowledged.
    """
    for passage in range(1, 9):  # killed where the checkpoint is whole and all rests on it
        replay = Replay(program, tmp_path / f"run{passage}", ring_dir)
        env = {"PENSTOCK_PLANT": "checkpoint-without-pending"}
        run = replay.until_done({**env, "PENSTOCK_CRASH_AT": f"checkpoint.ring:{passage}"}, None)
        if run.events != undisturbed.events:
            return
    pytest.fail("killed after each of eight forgetful checkpoints, and none differed")
