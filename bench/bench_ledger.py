"""How much slower is a commit of the posting ledger than bare sqlite3 writing the same rows?

Ours: ``Ledger.commit_batch`` of mapped events, from the event to the durable row: canonical JSON,
digests, the audit chain, one entry each, the samples as the engine packed them, the note beside the
ledger. Beside it: ``sqlite3`` of the standard library with these very rows made before the clock
starts, ``execute`` for one and ``executemany`` for more, the same transactions, the same schema,
WAL and synchronous=FULL; the better of its defaults and our settings. Time is the wall's, for most
of a commit on a disk is waiting. Checked: all tables of both files are equal, row for row.
"""

from __future__ import annotations

import gc
import importlib.util
import random
import shutil
import sqlite3
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from figure import Figure
from measure import BUILD, Bench, Reading, Skip, engine_folders, median_rate

NAMES = (
    "ledger.commit1",
    "ledger.commit100",
    "ledger.commit1.tmpfs",
    "ledger.commit100.tmpfs",
)
WIRE = "in process: one event, one entry, one audit link, 192 samples"
TABLES = ("event", "register", "evidence", "entry", "audit", "counter", "ledger")
START_NS = 1_795_000_000_000_000_000
SAMPLES = 192
MACHINES = 20
MS = 1_000_000
LAST = 2**63  # a journal position behind all
TUNED = ("PRAGMA foreign_keys=ON",)  # what our store sets beyond WAL and synchronous=FULL
REGISTER = (
    "INSERT INTO register VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (rule, series, tag) DO UPDATE SET "
    "end_ns = excluded.end_ns, end_reading = excluded.end_reading, "
    "reading_type = excluded.reading_type"
)
COUNTER = "INSERT INTO counter VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + ?2"
ADVANCE = (
    "UPDATE ledger SET commits = commits + 1, audit_seq = ?, audit_hash = ?, evidence_bytes = ?"
)

Tables = dict[str, list[tuple[Any, ...]]]


PLANT = """
[plant]
name = "bench"
[engine]
state_dir = "{state}"
ring_dir = "{ring}"
[[source]]
name = "line"
kind = "feed"
[[rule]]
name = "high"
kind = "limit"
tag = "*"
high = 1000
"""


def make_batches(count: int, size: int) -> list[list[Any]]:
    """Mapped events in batches, with the samples as an engine hands them over: readings with two
    decimals and noise.
    """
    from penstock import Engine
    from penstock.config import load_config
    from penstock.mapping import map_event
    from penstock.outbox import Mapped
    from penstock.testing.builders import make_config, make_event

    config, chance, made = make_config(), random.Random(1), []
    with engine_folders() as (state, ring):
        file = Path(state, "plant.toml")
        file.write_text(PLANT.format(state=f"{state}/state", ring=ring))
        with Engine(load_config(file, is_environment_known=False), clock="manual") as engine:
            for number in range(count):
                event = make_event(number, order=f"O{number % 50}", asset=f"M{number % MACHINES}")
                tag = engine.tag(event.tag, source="line")
                stamps = array("q", range(event.at_ns - SAMPLES * MS, event.at_ns, MS))
                values = array("d", [round(chance.gauss(20, 1), 2) for _ in stamps])
                engine.feed(tag, stamps, values, source="line", recv_time_ns=event.at_ns)
                evidence = engine.evidence(tag, LAST, SAMPLES, 0)
                made.append(Mapped(event, map_event(event, config), evidence))
    return [made[start : start + size] for start in range(0, count, size)]


def ours(folder: Path, batches: Sequence[Sequence[Any]]) -> int:
    """Commits all; ns."""
    from penstock.outbox import LEDGER_NAME, Ledger

    with Ledger.open(folder / LEDGER_NAME, now_ns=START_NS) as ledger:
        begin = time.perf_counter_ns()
        for number, batch in enumerate(batches):
            ledger.commit_batch(batch, now_ns=START_NS + number)
        return time.perf_counter_ns() - begin


def read_tables(folder: Path) -> Tables:
    with sqlite3.connect(folder / "ledger.sqlite") as connection:
        found = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in TABLES}
    found["ledger"] = [row[3:] for row in found["ledger"]]  # not its id and birthday
    connection.close()
    return found


class Bare:
    """The same rows without a ledger around them."""

    def __init__(self, tables: Tables, batches: Sequence[Sequence[Any]]) -> None:
        columns = {name: ", ".join("?" * len(rows[0])) for name, rows in tables.items() if rows}
        self._insert = {name: f"INSERT INTO {name} VALUES ({columns[name]})" for name in columns}
        self._parts = tuple(self._cut(tables, batches))

    def _cut(self, tables: Tables, batches: Sequence[Sequence[Any]]) -> Iterator[tuple[Any, ...]]:
        place = bytes_ = 0
        for batch in batches:
            rows = {
                name: tables[name][place : place + len(batch)]
                for name in ("event", "evidence", "entry", "audit")
            }
            place += len(batch)
            bytes_ += sum(len(row[4]) for row in rows["evidence"])
            events = [each.event for each in batch]
            registers = [
                (each.rule, each.series, each.tag, each.end_ns, each.end_reading, "i64")
                for each in events
            ]
            last = rows["audit"][-1]
            yield rows, registers, (last[0], last[-1], bytes_), ("events", len(batch))

    def run(self, folder: Path, pragmas: Sequence[str]) -> int:
        """Writes all; ns."""
        from penstock.outbox import sql

        connection = sqlite3.connect(folder / "ledger.sqlite", isolation_level=None)
        for text in ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=FULL", *pragmas):
            connection.execute(text).fetchall()
        for _, script in sql.migrations():
            connection.executescript(script)
        connection.execute("INSERT INTO ledger VALUES (1, '', 0, 0, 0, 0, '', 0)")
        begin = time.perf_counter_ns()
        for part in self._parts:
            self._write(connection, *part)
        elapsed = time.perf_counter_ns() - begin
        connection.close()
        return elapsed

    def _write(
        self,
        connection: sqlite3.Connection,
        rows: Mapping[str, Sequence[tuple[Any, ...]]],
        registers: Sequence[tuple[Any, ...]],
        advance: tuple[Any, ...],
        counter: tuple[Any, ...],
    ) -> None:
        insert = self._insert
        connection.execute("BEGIN IMMEDIATE")
        if len(registers) == 1:
            connection.execute(insert["event"], rows["event"][0])
            connection.execute(REGISTER, registers[0])
            for name in ("evidence", "entry", "audit"):
                connection.execute(insert[name], rows[name][0])
        else:
            connection.executemany(insert["event"], rows["event"])
            connection.executemany(REGISTER, registers)
            for name in ("evidence", "entry", "audit"):
                connection.executemany(insert[name], rows[name])
        connection.execute(ADVANCE, advance)
        connection.execute(COUNTER, counter)
        connection.execute("COMMIT")


@contextmanager
def fresh(parent: Path) -> Iterator[Path]:
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="penstock-ledger-", dir=parent))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def contestant(
    parent: Path, count: int, expected: Tables, write: Callable[[Path], int]
) -> Callable[[], Reading]:
    """One run into a fresh folder, its rows compared with the expected ones."""

    def once() -> Reading:
        with fresh(parent) as folder:
            gc.collect()
            elapsed = write(folder)
            found = read_tables(folder)
        wrong = [name for name in TABLES if found[name] != expected[name]]
        problem = f"table {wrong[0]} differs" if wrong else ""
        return Reading(elapsed / count, count / elapsed * 1e9, problem)

    return once


def take(bench: Bench, parent: Path, count: int, size: int) -> dict[str, list[Reading]]:
    batches = make_batches(count, size)
    with fresh(parent) as folder:
        ours(folder, batches)
        expected = read_tables(folder)
    bare = Bare(expected, batches)
    contestants = {
        "penstock": contestant(parent, count, expected, lambda folder: ours(folder, batches)),
        "sqlite3": contestant(parent, count, expected, lambda folder: bare.run(folder, ())),
        "sqlite3, our settings": contestant(
            parent, count, expected, lambda folder: bare.run(folder, TUNED)
        ),
    }
    taken: dict[str, list[Reading]] = {name: [] for name in contestants}
    names = list(contestants)
    for turn in range(bench.sizes.rounds):
        for name in names if turn % 2 == 0 else reversed(names):
            taken[name].append(contestants[name]())
    for name, readings in taken.items():
        rates = ", ".join(f"{each.rate:,.0f}" for each in readings)
        bench.say(f"  {name:<22} entries/s: {rates}")
    return taken


def run(bench: Bench, name: str) -> Figure:
    """One figure: entries/s by the wall."""
    if importlib.util.find_spec("penstock") is None:
        raise Skip("penstock is missing: pip install penstock")
    size = 100 if "commit100" in name else 1
    is_tiny = bench.sizes.rounds == 1
    count = 200 if is_tiny else 6000 if size > 1 else 1000
    parent = Path("/dev/shm") if name.endswith("tmpfs") else BUILD
    taken = take(bench, parent, count, size)
    mine = taken.pop("penstock")
    best = max(taken, key=lambda key: median_rate(taken[key]))
    problems = [each.problem for each in (*mine, *taken[best]) if each.problem]
    place = "tmpfs" if name.endswith("tmpfs") else "disk"
    return bench.plain(
        name, "entries/s", [each.rate for each in mine], [each.rate for each in taken[best]],
        n=count, wire=f"{WIRE}; {size} a transaction, {place}", note=best,
        problem=problems[0] if problems else "",
    )  # fmt: skip
