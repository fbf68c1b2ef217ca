"""Kill the whole Python side at any instant: events, entries and documents are those of a run that
nobody disturbed, each document once.

``replay_process.py`` feeds a recording by position through engine, mapping, ledger and relay into a
target whose books outlive it. It dies by SIGKILL at random instants and at every named crash point
of both sides, and is started again until the recording has ended. With its ring deleted before a
restart no quantity may be doubled, and where nothing is resumed the ledger's baselines must close
the gap. Three planted bugs must each be caught by the same checks.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import replay_process as recording

from penstock import Event
from penstock.outbox import LEDGER_NAME, Entry, Reader, State
from penstock.outbox.content import event_from_json
from penstock.testing import crash

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(recording.__file__)
BATCHES = 100  # fifty seconds; the ring wraps
BATCHES_SHORT = 40
STARTS_MAX = 400
KILLS_A_RECORDING = 10
OPENING_S = 0.5  # one kill in five falls within this time of a start
WAIT_S = 60.0

Between = Callable[["Replay"], None]


@dataclass
class Run:
    """What stands in ledger and books when the recording has ended."""

    events: dict[str, Event]
    entries: dict[str, Entry]
    books: dict[str, list[dict[str, Any]]]
    counters: dict[str, int]
    figures: dict[str, Any]
    kills: int

    def digests(self) -> dict[str, str]:
        return {each.id: each.digest for each in self.events.values()}

    def commands(self) -> dict[str, tuple[str, str]]:
        return {key: (each.digest, each.event_id) for key, each in self.entries.items()}

    def segments(self) -> list[Event]:
        return [each for each in self.events.values() if each.kind == "counter.segment"]


class Replay:
    """One recording through any number of processes."""

    def __init__(self, folder: Path, *options: str, batches: int = BATCHES) -> None:
        self.folder, self.ring, self.kills = folder / "plant", folder / "ring", 0
        self._command = [sys.executable, PROGRAM, self.folder, self.ring, batches, *options]
        self.folder.mkdir(parents=True)
        self.ring.mkdir(mode=0o700)

    def start(self, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [str(word) for word in self._command],
            env={**os.environ, **env},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def at_point(self, point: str, **env: str) -> Run:
        """Dies at a named point in its first life, if that passes it."""
        said = self._end(self.start(PENSTOCK_CRASH_AT=point, **env))
        return self._collect(said or self._end(self.start(**env)))

    def at_random(
        self, dice: random.Random, kills: int, between: Between = lambda replay: None
    ) -> Run:
        """Dies at random instants; ``between`` happens while it is dead."""
        for _ in range(STARTS_MAX):
            process = self.start()
            if self.kills < kills:
                self._wait(process, dice, BATCHES // kills)
                process.kill()
            said = self._end(process)
            if said:
                return self._collect(said)
            between(self)
        raise AssertionError(f"not done after {STARTS_MAX} starts")

    def delete_ring(self) -> None:
        for each in self.ring.iterdir():
            shutil.rmtree(each)

    def _wait(self, process: subprocess.Popen[str], dice: random.Random, batches: int) -> None:
        """Some batches and a little more; or no longer than opening takes, now and then.

        Batches, not seconds, so that a busy machine is killed at its work as well.
        """
        if dice.random() < 0.2:
            time.sleep(dice.uniform(0.0, OPENING_S))
            return
        wanted = self._progress() + dice.randint(1, 2 * batches - 1)
        while self._progress() < wanted and process.poll() is None:
            time.sleep(0.001)
        time.sleep(dice.uniform(0.0, 0.02))

    def _progress(self) -> int:
        try:
            return int((self.folder / recording.PROGRESS).read_text() or -1)
        except FileNotFoundError:
            return -1

    def _end(self, process: subprocess.Popen[str]) -> str:
        """What it said when it was done; "" when it was killed, which is counted."""
        out, err = process.communicate(timeout=WAIT_S)
        if process.returncode == -signal.SIGKILL:
            self.kills += 1
            return ""
        assert process.returncode == 0, f"exit {process.returncode}: {err}"
        return out

    def _collect(self, said: str) -> Run:
        assert said, "killed although nothing was armed"
        books: dict[str, list[dict[str, Any]]] = {}
        for line in (self.folder / recording.BOOKS).read_text().splitlines():
            document = json.loads(line)
            books.setdefault(document["key"], []).append(document)
        path = self.folder / recording.STATE / LEDGER_NAME
        with Reader.open(path) as reader:
            assert reader.verify().problems == ()
            entries = {each.command_id: each for each in reader.entries(limit=100_000)}
            counters = reader.counters()
        connection = sqlite3.connect(path)
        events = [event_from_json(body) for (body,) in connection.execute("SELECT body FROM event")]
        connection.close()
        known = {each.id: each for each in events}
        return Run(known, entries, books, counters, json.loads(said), self.kills)


@pytest.fixture
def folder(ring_dir: Path) -> Path:
    """Everything of a recording lies on tmpfs: a kill does not care, and a commit is quick."""
    return ring_dir


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Run]:
    """The runs that nobody kills, by number of batches."""
    folder = Path("/dev/shm") / f"penstock-test-{os.getpid()}-undisturbed"
    try:
        runs = {
            batches: Replay(folder / str(batches), batches=batches).at_random(random.Random(0), 0)
            for batches in (BATCHES, BATCHES_SHORT)
        }
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for run in runs.values():
        check_documents(run)
        assert run.counters.keys() & {"redelivered", "absorbed", "conflicts"} == set()
        assert min(run.counters["lookups_found"], run.counters["lookups_absent"]) > 0
    assert len(runs[BATCHES].events) > 150
    assert made(runs[BATCHES]) == complete_lots(BATCHES)
    return runs


# ---- what must hold ------------------------------------------------------------------------------


def check_documents(run: Run) -> None:
    """Every command is one document in the books, and the ledger knows its number."""
    doubled = {key: len(found) for key, found in run.books.items() if len(found) > 1}
    assert not doubled, f"{len(doubled)} commands were posted more than once"
    assert run.books.keys() <= run.entries.keys(), "a document that no entry knows"
    for key, entry in run.entries.items():
        assert entry.state is State.POSTED, f"{key}: {entry.state} {entry.category} {entry.reason}"
        assert key in run.books, f"{key}: posted, and not in the books"
        assert run.books[key][0]["document"] == entry.document
        assert run.books[key][0]["digest"] == entry.digest


def check_same(run: Run, undisturbed: Run) -> None:
    """Nothing is missing, new or different."""
    missing = undisturbed.events.keys() - run.events.keys()
    new = run.events.keys() - undisturbed.events.keys()
    assert not missing, f"{len(missing)} events lost"
    assert not new, f"{len(new)} events nobody should have made"
    assert run.digests() == undisturbed.digests()
    assert run.counters.keys() & {"absorbed", "conflicts"} == set()
    assert run.commands() == undisturbed.commands()
    check_documents(run)
    assert run.figures["used"] == undisturbed.figures["used"]
    assert run.figures["residual"] == 0


def complete_lots(batches: int) -> dict[tuple[str, str], Decimal]:
    """What each machine made of each lot that ended within the recording."""
    instants = batches * recording.INSTANTS
    return {
        (f"m{machine}", str(5000 + lot)): Decimal(
            recording.lot_instants(machine) * recording.A_PIECE
        )
        for machine in range(recording.MACHINES)
        for lot in range((instants - 1) // recording.lot_instants(machine))
    }


def made(run: Run) -> dict[tuple[str, str], Decimal]:
    """What the ledger's events say, by machine and lot."""
    found: Counter[tuple[str, str]] = Counter()
    for each in run.segments():
        found[each.asset, each.context.lot] += each.quantity  # type: ignore[assignment]
    return dict(found)  # type: ignore[arg-type]


def check_not_doubled(run: Run, batches: int) -> None:
    """No piece stands in two documents: not by the register's readings, and not by lot.

    What no lot is known for waits for a person, or is dead for want of its order. A bridged segment
    gets what the register counted until the next known lot: a gap longer than a lot hides one.
    """
    wanted = complete_lots(batches)
    bridged = {(e.asset, e.context.lot) for e in run.segments() if "bridged" in e.flags}
    for (machine, lot), quantity in made(run).items():
        if lot and (machine, lot) not in bridged:
            assert quantity <= wanted[machine, lot], f"{machine} {lot}: {quantity}"
    for each in run.entries.values():
        event = run.events[each.event_id]
        is_known = "unknown_lot" not in event.flags
        waits = each.state in (State.HELD, State.DEAD) and each.command_id not in run.books
        assert is_known or waits, f"{set(event.flags)} is {each.state}"
        assert is_known == (event.kind != "counter.segment" or event.context.lot != "")
    for before, after in neighbours(run):
        assert before.end_reading <= after.start_reading, (before, after)
    doubled = {key for key, found in run.books.items() if len(found) > 1}
    assert not doubled


def neighbours(run: Run) -> list[tuple[Event, Event]]:
    """Segments of one register that follow each other."""
    ordered = sorted(run.segments(), key=lambda each: (each.tag, each.start_reading))
    return [(a, b) for a, b in itertools.pairwise(ordered) if a.tag == b.tag]


# ---- kills ---------------------------------------------------------------------------------------


def dice_of(name: str) -> random.Random:
    """From a new seed, which is printed; PENSTOCK_SIM_SEED=N takes that one."""
    seed = int(os.environ.get("PENSTOCK_SIM_SEED") or random.SystemRandom().randrange(1 << 30))
    print(f"{name}: seed {seed}")
    return random.Random(seed)


@pytest.mark.timeout(1200)
def test_kill_at_random_instants_changes_nothing(
    undisturbed: dict[int, Run], folder: Path, is_deep: bool
) -> None:
    dice, wanted, kills, index = dice_of("random kills"), 200 if is_deep else 20, 0, 0
    redelivered = 0
    while kills < wanted:
        run = Replay(folder / str(index)).at_random(dice, min(KILLS_A_RECORDING, wanted - kills))
        check_same(run, undisturbed[BATCHES])
        kills, index = kills + run.kills, index + 1
        redelivered += run.counters.get("redelivered", 0)
    print(f"{kills} kills in {index} recordings, {redelivered} events redelivered")


def native_points() -> list[str]:
    """Every name that native/ passes to PSTK_CRASH; disk.* is of test_crash_power."""
    names: set[str] = set()
    for path in sorted((ROOT / "native").rglob("*.c")):
        names.update(re.findall(r'PSTK_CRASH\("([\w.]+)"\)', path.read_text()))
    return sorted(name for name in names if not name.startswith("disk."))  # durability power


DEEP = [pytest.param(each, marks=pytest.mark.deep) for each in (2, 7, 23)]


@pytest.mark.parametrize("passage", [1, *DEEP])
@pytest.mark.parametrize("point", [*native_points(), *crash.POINTS])
def test_kill_at_a_named_point_changes_nothing(
    point: str, passage: int, undisturbed: dict[int, Run], folder: Path
) -> None:
    replay = Replay(folder / "run", batches=BATCHES_SHORT)
    run = replay.at_point(f"{point}:{passage}")
    check_same(run, undisturbed[BATCHES_SHORT])
    if passage == 1:
        assert run.kills == 1, f"the recording never passes {point}"


# ---- the ring is gone ----------------------------------------------------------------------------

# Real seconds between checkpoints on disk, of a recording that takes about one: the ledger is a
# little newer than the last of them, a lot, or there is none but those of a new journal.
DISK = ["0.02", pytest.param("0.3", marks=pytest.mark.deep), "30"]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("checkpoint_s", DISK)
def test_a_deleted_ring_doubles_no_quantity(
    checkpoint_s: str, undisturbed: dict[int, Run], folder: Path, is_deep: bool
) -> None:
    """The recording is resumed where the disk's checkpoint stands, or from its beginning.

    What is made again is recognised, so that in the end the same is posted.
    """
    dice, kills, index = dice_of("ring deleted, resumed"), 0, 0
    while kills < (40 if is_deep else 4):
        replay = Replay(folder / str(index), "--checkpoint-s", checkpoint_s)
        run = replay.at_random(dice, 4, Replay.delete_ring)
        check_not_doubled(run, BATCHES)
        assert made(run) == made(undisturbed[BATCHES])
        kills, index = kills + run.kills, index + 1
    print(f"{kills} kills in {index} recordings")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("checkpoint_s", DISK)
def test_baselines_of_the_ledger_bridge_what_went_by(
    checkpoint_s: str, folder: Path, is_deep: bool
) -> None:
    """As on a wire: nothing can be sent again, and the ring is gone with what it held."""
    dice, kills, index = dice_of("ring deleted, live"), 0, 0
    flags: Counter[str] = Counter()
    while kills < (40 if is_deep else 4) or (checkpoint_s == "30" and not flags["baseline"]):
        assert index < 40, f"{kills} kills, and no segment began at a baseline"
        replay = Replay(folder / str(index), "--live", "--checkpoint-s", checkpoint_s)
        run = replay.at_random(dice, 4, Replay.delete_ring)
        check_not_doubled(run, BATCHES)
        for before, after in neighbours(run):
            assert before.end_reading == after.start_reading, "pieces between two segments"
        flags.update(flag for each in run.segments() for flag in each.flags)
        kills, index = kills + run.kills, index + 1
    print(f"{kills} kills in {index} recordings, {dict(flags)}")


# ---- planted bugs --------------------------------------------------------------------------------


def seen(replay: Replay, undisturbed: Run, point: str, **env: str) -> str:
    """What the checks say to a run that dies at this point; "" when they see nothing."""
    try:
        check_same(replay.at_point(point, **env), undisturbed)
    except AssertionError as found:
        return str(found).splitlines()[0]
    return ""


@pytest.mark.parametrize(
    ("plant", "points", "says"),
    [
        ("checkpoint-without-pending", "checkpoint.done", "events lost"),
        ("acknowledge-first", "ledger.commit.before", "events lost"),
        ("never-asks", "receipt.after", "posted more than once"),
    ],
)
def test_a_planted_bug_is_caught(
    plant: str, points: str, says: str, undisturbed: dict[int, Run], folder: Path
) -> None:
    caught = []
    for passage in range(1, 30):
        replay = Replay(folder / str(passage), "--plant", plant, batches=BATCHES_SHORT)
        found = seen(
            replay, undisturbed[BATCHES_SHORT], f"{points}:{passage}", PENSTOCK_PLANT=plant
        )
        if found:
            caught.append(f"{points}:{passage}: {found}")
            break
    assert caught, f"{plant}: nobody noticed"
    assert says in caught[0]
    print(f"{plant}: {caught[0]}")
