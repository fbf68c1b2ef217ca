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
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from oracle import Made, Outcome, Pane, Receive, Record, Sample, Tick
from oracle.feed import Value
from penstock import Engine
from penstock.config.load import parse_config
from penstock.engine import Stats
from penstock.events import Event

NO_TIME = -(2**63)  # penstock.h, PSTK_TIME_NONE
FLAG_PARTIAL = 1  # penstock.h
_NUMBERS = ("count", "sum", "min", "max", "first", "last")
UNCOMPARED_FLAGS = {"incomplete", "bridged", "baseline"}  # these are about gaps


@dataclass(slots=True)
class Run:
    """What an engine made of a recording, in its order."""

    events: list[Event] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    used: int = 0
    dropped: int = 0
    stats: Stats | None = None


@contextmanager
def engine_of(config: Mapping[str, Any], clock: str = "manual") -> Iterator[Engine]:
    """A new engine whose state and ring live in memory, and are removed after it."""
    folder = Path(tempfile.mkdtemp(prefix="penstock-oracle-", dir="/dev/shm"))
    places = {"state_dir": str(folder / "state"), "ring_dir": str(folder), "ring_bytes": 1 << 20}
    whole = {**config, "engine": {**places, **config.get("engine", {})}}
    try:
        with Engine(parse_config(whole), clock=clock) as engine:
            yield engine
    finally:
        shutil.rmtree(folder)


def take(engine: Engine, run: Run) -> None:
    """Everything the engine has made until now, acknowledged."""
    while batch := engine.poll():
        run.events += batch.events
        batch.acknowledge()
    while len(results := engine.results()):
        run.results += results.rows()


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
    records, run = list(records), Run()
    with engine_of(config) as engine:
        feed = _WIRES[wire](engine, records, types)
        for record in records:
            if isinstance(record, Tick):
                engine.tick(record.now_ns)
            else:
                for piece in _pieces(record.samples, cut):
                    used, dropped = feed.send(record, piece)
                    run.used, run.dropped = run.used + used, run.dropped + dropped
            take(engine, run)
        run.stats = engine.stats()
    return run


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
    if (outcome.used, outcome.future) != (run.used, run.dropped):
        wrong.append(f"used {run.used} dropped {run.dropped}, not {outcome.used} {outcome.future}")
    if run.stats is not None:
        want = {"residual": 0, "late": outcome.late, "out_of_order": outcome.out_of_order}
        have = {name: getattr(run.stats, name) for name in want}
        wrong += [
            f"{name} is {have[name]}, not {want[name]}" for name in want if want[name] != have[name]
        ]
    return wrong


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
        for name in ("id", "kind", "series", "asset", "at_ns", "start_ns", "end_ns", "occurrence")
    ]
    pairs.append(("flags", made.flags, event.flags - UNCOMPARED_FLAGS))
    pairs.append(("lot", made.lot, event.context.lot))
    pairs.append(("order", made.order, event.context.order))
    pairs.append(("text", made.text, event.text))
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
        row = {name: getattr(event, name) for name in _NUMBERS}
        row |= {"start_ns": event.start_ns, "end_ns": event.end_ns, "mean": event.value}
        yield from _pane_fields(made.pane, row)


def _result_differences(expected: list[Pane], found: list[dict[str, Any]]) -> Iterator[str]:
    wanted, given = defaultdict(list), defaultdict(list)
    for pane in expected:
        wanted[pane.rule, pane.tag].append(pane)
    for row in found:
        given[row["rule"], row["tag"]].append(row)
    for key in sorted(wanted.keys() | given.keys()):
        mine, theirs = wanted[key], given[key]
        starts = [p.start_ns for p in mine], [r["start_ns"] for r in theirs]
        if starts[0] != starts[1]:
            yield f"{key}: windows are {starts[1]}, not {starts[0]}"
            continue
        for pane, row in zip(mine, theirs, strict=True):
            if bool(row["flags"] & FLAG_PARTIAL) != pane.is_partial:
                yield f"{key} window {pane.start_ns}: flags are {row['flags']}"
            for name, want, have in _pane_fields(pane, row):
                yield f"{key} window {pane.start_ns}: {name} is {have!r}, not {want!r}"


def _pane_fields(pane: Pane, row: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    exact = {
        "start_ns": pane.start_ns,
        "end_ns": pane.end_ns,
        "count": len(pane.terms),
        "min": min(pane.terms),
        "max": max(pane.terms),
        "first": pane.first,
        "last": pane.last,
    }
    yield from ((name, want, row[name]) for name, want in exact.items() if row[name] != want)
    if not is_near(row["sum"], pane.total, pane.tolerance):
        yield "sum", float(pane.total), row["sum"]
    mean = pane.total / len(pane.terms)
    ulp = Fraction(math.ulp(float(mean)))  # the division rounds once more
    if not is_near(row["mean"], mean, pane.tolerance / len(pane.terms) + ulp):
        yield "mean", float(mean), row["mean"]
