"""Drive: a recording goes through a real engine; what it makes is compared with the oracle."""

from __future__ import annotations

import json
import math
import random
import shutil
import struct
import tempfile
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from oracle import (
    Context,
    Figure,
    Made,
    Operate,
    Outcome,
    Pane,
    Receive,
    Record,
    Reload,
    Sample,
    Tick,
    figures,
    times,
)
from oracle.feed import Value
from oracle.made import Standing
from penstock import Engine
from penstock.config import Config
from penstock.config.load import parse_config
from penstock.events import Event
from penstock.stats import Alarm, Stats

NO_TIME = -(2**63)  # penstock.h, PSTK_TIME_NONE
FLAGS = {"partial": 1, "cut_late": 1 << 6, "clock_regress": 1 << 7, "uncertain": 1 << 10}
_NUMBERS = ("count", "sum", "min", "max", "first", "last")
NUMBERS = (*_NUMBERS, "mean")
NUMBERS_ASKED = {
    "range", "variance", "rate", "completeness", "quality_share", "integral", "tw_mean", "share",
}  # fmt: skip
TIMES = ("min_ns", "max_ns")
COUNTED = ("late", "out_of_order", "suppressed", "micro_dropped")  # of stats
UNCOMPARED_FLAGS = {"incomplete", "bridged", "baseline"}  # these are about gaps


UNTAKEN = 64  # samples whose events wait, at most
SMALL = {  # quick to open
    "tags_max": 64, "instances_max": 256, "streams_max": 64, "assets_max": 64, "codes_max": 32,
    "reorder_slots": 4096, "result_slots": 8192,
}  # fmt: skip


@dataclass(slots=True)
class Run:
    """What an engine made of a recording, in its order."""

    events: list[Event] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    used: int = 0
    dropped: int = 0
    stats: Stats | None = None
    alarms: list[Alarm] = field(default_factory=list)


@contextmanager
def folder_in_memory() -> Iterator[Path]:
    """Where an engine's state and ring live; removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="penstock-oracle-", dir="/dev/shm"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def placed(config: Mapping[str, Any], folder: Path) -> Config:
    """A configuration whose engine lives in a folder."""
    places = {"state_dir": str(folder / "state"), "ring_dir": str(folder), "ring_bytes": 1 << 20}
    return parse_config({**config, "engine": {**places, **SMALL, **config.get("engine", {})}})


@contextmanager
def engine_of(config: Mapping[str, Any], clock: str = "manual") -> Iterator[Engine]:
    """A new engine whose state and ring live in memory, and are removed after it."""
    with folder_in_memory() as folder, Engine(placed(config, folder), clock=clock) as engine:
        yield engine


def take(engine: Engine, run: Run) -> None:
    """Everything the engine has made until now, acknowledged."""
    while batch := engine.poll():
        run.events += batch.events
        batch.acknowledge()
    while len(results := engine.results()):
        run.results += results.rows()


@dataclass(slots=True)
class Way:
    """How a recording is fed: on which wire, and in pieces of which size."""

    wire: str = "columns"
    cut: random.Random | None = None
    folder: Path = Path("/dev/shm")  # of a configuration read again; the engine keeps its own


class Life:
    """One engine from opening to its end: records go in, what it makes goes into ``run``."""

    def __init__(self, engine: Engine, recording: Any, run: Run, way: Way) -> None:
        self.engine, self.run, self._way, self._recording = engine, run, way, recording
        self._feed = _WIRES[way.wire](engine, list(recording.records), recording.types)

    def skip(self, record: Record) -> None:
        """What an earlier life has fed."""
        if isinstance(record, Receive):
            self._feed.skip(record)

    def feed(self, record: Record) -> None:
        """One record, journaled on return."""
        if isinstance(record, Tick):
            if self.engine.stats().is_event_ring_full:
                self.take()  # a judge that stands before a full ring hears no tick
            self.engine.tick(record.now_ns)
        elif isinstance(record, Operate):
            self.engine.operate(
                record.action,
                rule=record.rule,
                tag=record.tag,
                by=record.by,
                at_ns=record.at_ns,
                until_ns=record.until_ns,
            )
        elif isinstance(record, Context):
            self.engine.context(record.asset, **record.values, at_ns=record.at_ns)
        elif isinstance(record, Reload):
            self.engine.reconfigure(placed(record.config, self._way.folder))
        elif isinstance(record, Receive):
            self._feed.lose(record)
            for piece in _pieces(record.samples, self._way.cut):
                used, dropped = self._feed.send(record, piece)
                self.run.used += used
                self.run.dropped += dropped

    def take(self) -> None:
        """What it has made until now."""
        take(self.engine, self.run)


def play(
    config: Mapping[str, Any],
    records: Iterable[Record],
    types: Mapping[str, str],
    *,
    cut: random.Random | None = None,
    wire: str = "columns",
) -> Run:
    """Feeds the recording as columns, packed or json.

    With ``cut`` each receive is fed in pieces of random size, at the same engine time.
    """
    recording, run = _Recorded(config, tuple(records), types), Run()
    with engine_of(config) as engine:
        life = Life(engine, recording, run, Way(wire, cut))
        untaken = 0
        for record in recording.records:
            life.feed(record)
            untaken += len(record.samples) if isinstance(record, Receive) else UNTAKEN
            if untaken >= UNTAKEN:
                life.take()
                untaken = 0
        life.take()
        run.stats, run.alarms = engine.stats(), engine.alarms()
    return run


@dataclass(frozen=True, slots=True)
class _Recorded:
    config: Mapping[str, Any]
    records: tuple[Record, ...]
    types: Mapping[str, str]


def _pieces(samples: tuple[Sample, ...], cut: random.Random | None) -> Iterator[tuple[Sample, ...]]:
    start = 0
    while start < len(samples):
        size = len(samples) if cut is None else cut.choice((1, 1, 2, 3, 7, 64))
        yield samples[start : start + size]
        start += size


class _Columns:
    """Engine.feed; every tag is registered before the first sample."""

    def __init__(self, engine: Engine, records: list[Record], types: Mapping[str, str]) -> None:
        self._engine, self._types, self._tags = engine, types, dict[str, int]()
        for record in records:
            for sample in record.samples if isinstance(record, Receive) else ():
                tag, source = sample.tag, record.source
                if tag not in self._tags:
                    self._tags[tag] = engine.tag(tag, types[tag], source=source)

    def skip(self, record: Receive) -> None:
        pass

    def lose(self, record: Receive) -> None:
        pass

    def send(self, record: Receive, samples: tuple[Sample, ...]) -> tuple[int, int]:
        kinds = [self._types[s.tag] for s in samples]
        words = [_word(kind, s.value) for kind, s in zip(kinds, samples, strict=True)]
        return self._engine.feed(
            array("I", [self._tags[s.tag] for s in samples]),
            array("q", [NO_TIME if s.time_ns is None else s.time_ns for s in samples]),
            array("q", b"".join(words)),
            source=record.source,
            quality=array("H", [s.quality for s in samples]),
            recv_time_ns=record.recv_time_ns,
        )


def _word(kind: str, value: Value) -> bytes:
    return struct.pack("<d", value) if kind == "f64" else struct.pack("<q", value)


class _Packed:
    """Engine.feed_frames with packed v1, as native/README.md lays it out."""

    _KINDS: Mapping[str, int] = {"f64": 1, "i64": 2, "bool": 3}

    def __init__(self, engine: Engine, records: list[Record], types: Mapping[str, str]) -> None:
        self._engine, self._types = engine, types
        self._sent: dict[int, int] = defaultdict(int)

    def skip(self, record: Receive) -> None:
        self._sent[record.stream] += record.lost + len(record.samples)

    def lose(self, record: Receive) -> None:
        self._sent[record.stream] += record.lost

    def send(self, record: Receive, samples: tuple[Sample, ...]) -> tuple[int, int]:
        payload = self.payload(record.stream, samples)
        return self._engine.feed_frames(
            [payload], source=record.source, recv_time_ns=record.recv_time_ns
        )

    def payload(self, stream: int, samples: tuple[Sample, ...]) -> bytes:
        """One message. Stamps all or none."""
        seq, self._sent[stream] = self._sent[stream], self._sent[stream] + len(samples)
        times = [NO_TIME if s.time_ns is None else s.time_ns for s in samples]
        names = sorted({s.tag for s in samples})
        head = (len(samples), len(names), 0, stream, 1, seq, min(times))
        parts = [struct.pack("<4sHBBIIQq", b"PSK1", *head)]
        for name in names:
            parts.append(bytes([self._KINDS[self._types[name]], len(name)]) + name.encode())
        for s, time_ns in zip(samples, times, strict=True):
            parts.append(_word(self._types[s.tag], s.value))
            parts.append(struct.pack("<IHH", time_ns - min(times), names.index(s.tag), s.quality))
        return b"".join(parts)


class _Json(_Packed):
    """Engine.feed_frames with json; tags are known when first seen."""

    def payload(self, stream: int, samples: tuple[Sample, ...]) -> bytes:
        """One envelope."""
        seq, self._sent[stream] = self._sent[stream], self._sent[stream] + len(samples)
        rows = []
        for s in samples:
            row = {"name": s.tag, "value": s.value, "quality": s.quality}
            rows.append(row if s.time_ns is None else {**row, "time": s.time_ns})
        return json.dumps({"stream": stream, "boot": 1, "seq": seq, "samples": rows}).encode()


_WIRES = {"columns": _Columns, "packed": _Packed, "json": _Json}


# ---- comparison ---------------------------------------------------------------------------------


def is_near(found: float | int, exact: Fraction, tolerance: Fraction) -> bool:
    """Within one unit in the last place of the rounded exact value, and the tolerance."""
    return abs(Fraction(found) - exact) <= Fraction(math.ulp(float(exact))) + tolerance


def differences(outcome: Outcome, run: Run) -> list[str]:
    """What differs between oracle and engine, in words; empty where they agree."""
    wrong = [*_event_differences(outcome.events, run.events)]
    wrong += _result_differences(outcome.results, run.results)
    dropped = outcome.future + outcome.nan
    if (outcome.used, dropped) != (run.used, run.dropped):
        wrong.append(f"used {run.used} dropped {run.dropped}, not {outcome.used} {dropped}")
    if run.stats is not None:
        want = {"residual": 0} | {name: getattr(outcome, name) for name in COUNTED}
        have = {name: getattr(run.stats, name) for name in want}
        wrong += [
            f"{name} is {have[name]}, not {want[name]}" for name in want if want[name] != have[name]
        ]
    return [*wrong, *_alarm_differences(outcome.alarms, run.alarms)]


def _alarm_differences(expected: list[Standing], found: list[Alarm]) -> Iterator[str]:
    wanted = {(each.rule, each.tag): asdict(each) for each in expected}
    given = {(each.rule, each.tag): asdict(each) for each in found}
    for key in sorted(wanted.keys() | given.keys()):
        if wanted.get(key) != given.get(key):
            yield f"{key} stands as {given.get(key)}, not {wanted.get(key)}"


def _event_differences(expected: list[Made], found: list[Event]) -> Iterator[str]:
    wanted, given = _by_instance(expected), _by_instance(found)
    for key in sorted(wanted.keys() | given.keys()):
        mine, theirs = wanted.get(key, []), given.get(key, [])
        for made, event in zip(mine, theirs, strict=False):
            for name, want, have in _fields(made, event):
                yield f"{key} at {made.at_ns}: {name} is {have!r}, not {want!r}"
        for made in mine[len(theirs) :]:
            yield f"{key} at {made.at_ns}: missing ({made})"
        for event in theirs[len(mine) :]:
            yield f"{key} at {event.at_ns}: not expected ({event})"


def _by_instance(events: Iterable[Any]) -> dict[tuple[str, str, str], list[Any]]:
    """Order is promised per (rule, tag); a limit's levels that cross at once have none."""
    groups: dict[tuple[str, str, str], list[Any]] = defaultdict(list)
    for event in events:
        groups[event.rule, event.tag, event.kind.rpartition(".")[0]].append(event)
    return groups


def _fields(made: Made, event: Event) -> Iterator[tuple[str, Any, Any]]:
    pairs = [
        (name, getattr(made, name), getattr(event, name))
        for name in (
            "id",
            "kind",
            "series",
            "asset",
            "at_ns",
            "start_ns",
            "end_ns",
            "time_epoch",
            "occurrence",
            "revision",
        )
    ]
    pairs.append(("flags", made.flags, event.flags - UNCOMPARED_FLAGS))
    pairs.append(("lot", made.lot, event.context.lot))
    pairs.append(("order", made.order, event.context.order))
    pairs.append(("text", made.text, event.text))
    pairs.append(("by", made.by, event.by))
    if made.kind.endswith(("chattering", "gap.lost")):
        pairs.append(("count", made.count, event.count))
    if made.limit is not None:
        pairs.append(("limit", made.limit, event.limit))
    if made.value is not None and not isinstance(made.value, str):
        pairs.append(("value", made.value, event.value))
    if made.start_reading is not None:
        pairs.append(("start_reading", made.start_reading, event.start_reading))
        pairs.append(("end_reading", made.end_reading, event.end_reading))
    yield from (pair for pair in pairs if pair[1] != pair[2])
    if made.quantity is not None and (
        event.quantity is None
        or not is_near(event.value, made.quantity, made.tolerance)
        or (isinstance(event.value, int) and event.value != made.quantity)
        or float(event.quantity) != event.value
    ):
        yield "quantity", made.quantity, (event.quantity, event.value)
    if made.pane is not None:
        row: dict[str, Any] = {name: getattr(event, name) for name in _NUMBERS}
        row |= {"start_ns": event.start_ns, "end_ns": event.end_ns, "mean": event.value}
        told = dict(event.aggregates or {})
        row |= {"min_ns": told.pop("min_at", None), "max_ns": told.pop("max_at", None), **told}
        asked = made.pane.plan.aggregates if made.pane.plan is not None else frozenset()
        if (event.aggregates or {}).keys() != asked:
            yield "aggregates", asked, event.aggregates
        yield from _pane_fields(made.pane, row)


def _result_differences(expected: list[Pane], found: list[dict[str, Any]]) -> Iterator[str]:
    wanted, given = defaultdict(list), defaultdict(list)
    for pane in expected:
        wanted[pane.rule, pane.tag].append(pane)
    for row in found:
        given[row["rule"], row["tag"]].append(row)
    for key in sorted(wanted.keys() | given.keys()):
        mine, theirs = wanted[key], given[key]
        starts = (
            [(p.start_ns, p.revision) for p in mine],
            [(r["start_ns"], r["revision"]) for r in theirs],
        )
        if starts[0] != starts[1]:
            yield f"{key}: windows are {starts[1]}, not {starts[0]}"
            continue
        for pane, row in zip(mine, theirs, strict=True):
            flags = {name for name, bit in FLAGS.items() if row["flags"] & bit}
            if flags != pane.flags:
                yield f"{key} window {pane.start_ns}: flags are {flags}, not {pane.flags}"
            for name, want, have in _pane_fields(pane, row):
                yield f"{key} window {pane.start_ns}: {name} is {have!r}, not {want!r}"


def _pane_fields(pane: Pane, row: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """``row``: by column; what was not asked for is not a number there."""
    for name in ("start_ns", "end_ns"):
        if getattr(pane, name) != row[name]:
            yield name, getattr(pane, name), row[name]
    asked = pane.plan.aggregates if pane.plan is not None else frozenset()
    wanted = figures(pane, asked)
    for name in (*NUMBERS, *(NUMBERS_ASKED & row.keys())):
        figure = wanted.get(name, Figure(None))
        if not figure.allows(math.nan if row[name] is None else row[name]):
            exact = None if figure.exact is None else float(figure.exact)
            yield name, exact, row[name]
    for name, column, want in zip(("min_at", "max_at"), TIMES, times(pane), strict=True):
        if column in row and row[column] != (want if name in asked else None):
            yield name, want, row[column]
