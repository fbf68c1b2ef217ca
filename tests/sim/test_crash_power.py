"""Cut the power at any instant: with ``durability = "power"`` nothing acknowledged is lost.

As in test_crash_native, but after each SIGKILL the machine is robbed of what a power cut takes: the
ring (memory), and of the segment files everything behind the last fdatasync that ended, which the
test build notes before it moves ``durable``. What was not synced is zeros, what lay there, half of
it, or not there. The upstream sends again only what the engine had not called safe; an engine that
comes back with less exits 3.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from test_crash_native import BATCHES, RING, STARTS_MAX, Replay, Run, crash_points, same

HEADER = 4096  # of a segment file


class PoweredReplay(Replay):
    span_s = 0.06  # a start is killed within it; a slow build (ASan) needs as long as it runs
    ring_bytes = RING
    checkpoint_ms = 20
    dies_at = (1 << 64) - 1  # once that position is acknowledged

    def __init__(self, program: Path, folder: Path, ring_dir: Path) -> None:
        super().__init__(program, folder, ring_dir)
        self.told, self.synced = folder / "acknowledged", folder / "synced"
        self.lost = 0

    def start(self, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        self.drop_torn_line()
        files = [self.program, self.state, self.ring, self.output]
        words = [*files, BATCHES, self.ring_bytes, self.told, self.checkpoint_ms, self.dies_at]
        return subprocess.Popen(
            [str(word) for word in words],
            env={**(env or {}), "PENSTOCK_DISK_LOG": str(self.synced)},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def cut_power(self, dice: random.Random) -> None:
        """Memory is gone; of the disk only what was synced is certain."""
        for folder in self.ring.iterdir():
            shutil.rmtree(folder)
        synced: dict[str, int] = {}
        if self.synced.exists():
            for line in self.synced.read_text().splitlines():
                name, size = line.split(" ")
                synced[name] = int(size)
        for path in self.state.glob("journal.*"):
            size = path.stat().st_size
            keep = min(synced.get(path.name, HEADER), size)
            with path.open("r+b") as file:
                file.seek(keep)
                rest = file.read()
                torn = bytearray(len(rest)) if dice.random() < 0.5 else bytearray(rest)
                if dice.random() < 0.5:  # sectors arrive in any order, and not all
                    for at in range(0, len(rest) - 512, 512):
                        if dice.random() < 0.5:
                            torn[at : at + 512] = rest[at : at + 512]
                        else:
                            torn[at : at + 512] = bytes(512)
                if torn[:64] == rest[:64] and any(rest[:64]):
                    torn[60:64] = b"torn"  # the first block behind is never whole
                file.seek(keep)
                file.write(torn)
                if dice.random() < 0.3:
                    file.truncate(keep)

    def until_done_without_power(
        self, env: dict[str, str], dice: random.Random, cuts: int = 8, cut_share: float = 1.0
    ) -> Run:
        """``cut_share``: how many of the kills are power cuts; after the others memory is left."""
        for _ in range(STARTS_MAX):
            process = self.start(env)
            if self.kills < cuts:
                time.sleep(dice.uniform(0.0, self.span_s))
                process.kill()
            _, err = process.communicate(timeout=60)
            if process.returncode == 3:
                self.lost += 1
                return Run({}, 0, self.kills, err)
            if process.returncode == 0:
                return self.collect(_)
            assert process.returncode == -signal.SIGKILL, f"exit {process.returncode}: {err}"
            self.kills += 1
            if dice.random() < cut_share:
                self.cut_power(dice)
        raise AssertionError(f"not done after {STARTS_MAX} starts")


@pytest.fixture(scope="session")
def program(native_build: Path) -> Path:
    return native_build / "tool_engine_replay"


@pytest.fixture(scope="session")
def undisturbed(program: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("powered")
    ring = Path("/dev/shm") / f"penstock-{os.getpid()}-powered"
    ring.mkdir(mode=0o700, exist_ok=True)
    try:
        replay = PoweredReplay(program, folder / "run", ring)
        begin = time.monotonic()
        run = replay.finish(replay.start())
        PoweredReplay.span_s = min(max(0.06, time.monotonic() - begin), 2.0)
        left = list(replay.state.glob("journal.*"))
    finally:
        shutil.rmtree(ring, ignore_errors=True)
    assert len(run.events) > 200
    assert run.repeats == 0
    assert not left, "an orderly end leaves no segment: the image holds everything"
    return run


@pytest.mark.parametrize("cut_share", [1.0, 0.5, 0.0])
def test_power_cut_at_random_instants_changes_no_event(
    cut_share: float,
    program: Path,
    undisturbed: Run,
    tmp_path: Path,
    ring_dir: Path,
    is_deep: bool,
) -> None:
    seed = random.SystemRandom().randrange(1 << 30)
    print(f"seed {seed}")
    dice, wanted, kills, index = random.Random(seed), 200 if is_deep else 24, 0, 0
    while kills < wanted:
        replay = PoweredReplay(program, tmp_path / f"run{index}", ring_dir)
        run = replay.until_done_without_power({}, dice, cut_share=cut_share)
        assert not replay.lost, run.figures
        same(run, undisturbed)
        kills, index = kills + run.kills, index + 1
        shutil.rmtree(replay.ring)
    print(f"{kills} kills in {index} recordings, {cut_share:.0%} of them power cuts")


ON_DISK = ("disk", "image", "checkpoint", "state")


@pytest.mark.parametrize(
    "point", [point for point in crash_points() if any(word in point for word in ON_DISK)]
)
@pytest.mark.parametrize("passage", [1, 4])
def test_power_cut_at_a_named_point_changes_no_event(
    point: str, passage: int, program: Path, undisturbed: Run, tmp_path: Path, ring_dir: Path
) -> None:
    replay = PoweredReplay(program, tmp_path / "run", ring_dir)
    dice = random.Random(passage)
    process = replay.start({"PENSTOCK_CRASH_AT": f"{point}:{passage}"})
    out, err = process.communicate(timeout=60)
    if process.returncode == 0:
        same(replay.collect(out), undisturbed)  # fewer passages than that
        assert passage > 1, f"the recording never passes {point}"
        return
    assert process.returncode == -signal.SIGKILL, err
    replay.kills += 1
    replay.cut_power(dice)
    run = replay.until_done_without_power({}, dice, cuts=0)
    assert not replay.lost, run.figures
    same(run, undisturbed)


def dies_at(replay: PoweredReplay, point: str, env: dict[str, str]) -> bool:
    process = replay.start({**env, "PENSTOCK_CRASH_AT": point})
    process.communicate(timeout=60)
    replay.kills += process.returncode == -signal.SIGKILL
    return process.returncode == -signal.SIGKILL


class JournaledReplay(PoweredReplay):
    """No image hides what the journal lost: the ring holds the whole recording."""

    ring_bytes = 16 << 20
    checkpoint_ms = 3_600_000


@pytest.mark.parametrize("plant", ["", "durable-early", "acknowledge-written"])
def test_planted_acknowledgement_before_the_sync_is_caught(
    plant: str, program: Path, undisturbed: Run, tmp_path: Path, ring_dir: Path
) -> None:
    """The harness sees the two bugs it is there for: ``durable`` moved before fdatasync ends, and
    positions called safe that are only in memory. The power goes as soon as a position is
    acknowledged, in the first segment, which is not full yet: nobody syncs but who is told to.
    """
    dice, env = random.Random(7), {"PENSTOCK_PLANT": plant} if plant else {}
    lost = 0
    for position in range(1, 13):
        replay = JournaledReplay(program, tmp_path / f"run{position}", ring_dir)
        replay.dies_at = position
        replay.start(env).communicate(timeout=60)
        replay.cut_power(dice)
        replay.dies_at = JournaledReplay.dies_at
        run = replay.until_done_without_power(env, dice, cuts=0)
        lost += replay.lost
        if not replay.lost:
            same(run, undisturbed)
        shutil.rmtree(replay.ring)
    print(f"lost {lost} of 12")
    assert bool(lost) == bool(plant)


@pytest.mark.parametrize("plant", ["", "found-unsynced"])
def test_what_a_killed_run_left_unsynced_is_synced_before_it_counts(
    plant: str, program: Path, undisturbed: Run, tmp_path: Path, ring_dir: Path
) -> None:
    """Killed between a write and its sync, with its memory left; the power goes in the next run. As
    a plant: files of a killed run taken for synced.
    """
    dice, env = random.Random(7), {"PENSTOCK_PLANT": plant} if plant else {}
    lost = 0
    for index in range(12):
        replay = PoweredReplay(program, tmp_path / f"run{index}", ring_dir)
        assert dies_at(replay, f"disk.write.after:{2 + index}", env)
        # Some batches later, before an image can hide it: what upstream forgot is told by then.
        assert dies_at(replay, "engine.commit.after:6", env)
        replay.cut_power(dice)
        run = replay.until_done_without_power(env, dice, cuts=0)
        lost += replay.lost
        if not replay.lost:
            same(run, undisturbed)
    assert lost > 0 if plant else lost == 0


@pytest.mark.parametrize("call", ["disk.pwrite", "disk.fdatasync"])
def test_failed_write_or_sync_fails_the_engine_and_names_the_file(
    call: str, program: Path, tmp_path: Path, ring_dir: Path
) -> None:
    replay = PoweredReplay(program, tmp_path / "run", ring_dir)
    process = replay.start({"PENSTOCK_FAULT": f"{call}:3:5"})
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the engine has failed" in err
    assert f"{call.split('.')[1]} of {replay.state}/journal." in err
    assert "errno 5" in err


def test_full_disk_waits_and_goes_on_when_there_is_room(
    program: Path, undisturbed: Run, tmp_path: Path, ring_dir: Path
) -> None:
    """A state directory of its own size: filled to the brim from outside, then emptied again."""
    replay = PoweredReplay(program, tmp_path / "run", ring_dir)
    replay.state.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(replay.state)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small tmpfs cannot be mounted: this needs root")
    try:
        brim = replay.state / "ledger.brim"  # what may lie in a directory that becomes ours
        brim.write_bytes(bytes(21 << 19))
        process = replay.start()
        time.sleep(1.0)
        assert process.poll() is None, "it waits for room"
        brim.unlink()
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert "the disk journal" in err
        assert "has no room" in err
        same(replay.collect(out), undisturbed)
    finally:
        subprocess.run(["umount", "-l", str(replay.state)], check=False)
