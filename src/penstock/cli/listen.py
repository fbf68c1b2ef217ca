"""Listen: a live wire becomes a report of what comes over it, heard by the engine itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from penstock.cli.draft import Wire
from penstock.config import Config, parse_config

if TYPE_CHECKING:
    from penstock import Engine
    from penstock.engine import Tag
    from penstock.events import Evidence

TAGS_MAX: Final = 16384
RING_BYTES: Final = 8 << 20  # a slow tag is looked for in all of it: large would be slow
FORMATS: Final = ("packed", "json")
POLL_S: Final = 0.05
LOOKS: Final = 64  # tags looked at in one poll, while there is time
LOOK_S: Final = 0.02
REPORT_S: Final = 3.0  # then the tags left are told by their windows only
FORMAT_S: Final = 1.0  # nothing usable for so long: the other format is tried
_YEAR_S: Final = 365 * 86400.0
_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Heard:
    """One tag, by its newest samples (at most 192)."""

    name: str
    kind: str
    samples: int
    rate_hz: float | None  # by their stamps; None where there is one sample only
    silence_s: float | None  # the longest between two of them
    offset_s: float | None  # its newest stamp against our clock on arrival; None: not seen coming
    example: float | int | bool | str
    low: float | None
    high: float | None
    is_rising: bool  # whole numbers that never fell, and rose
    texts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What came over a wire."""

    wire: Wire
    seconds: float
    is_up: bool
    received: int
    dropped: Mapping[str, int]
    lost_upstream: int | None  # None: not numbered, so a loss cannot be counted
    out_of_order: int
    frames: int
    bytes: int
    tags: tuple[Heard, ...]

    @property
    def offset_s(self) -> float | None:
        """The middle of the tags' clock offsets."""
        known = [each.offset_s for each in self.tags if each.offset_s is not None]
        return round(median(known), 3) if known else None


@dataclass(slots=True)
class _Seen:
    """The newest stamp of a tag, when we last looked, and the best offset so far."""

    stamp_ns: int = 0
    looked_ns: int = 0
    value: float = 0.0
    offset_ns: int | None = None
    doubt_ns: int = 0


@dataclass(slots=True)
class _Offsets:
    """Clock offsets: a stamp that was not there at the last look came since then."""

    seen: dict[int, _Seen] = field(default_factory=dict)
    turn: int = 0

    def look(self, engine: Engine) -> None:
        """Looks at some tags, others the next time."""
        tags, end = engine.stats().tags, time.monotonic() + LOOK_S
        for _ in range(min(tags, LOOKS)):
            self.turn = (self.turn + 1) % tags
            newest, now_ns = engine.newest(self.turn, 1), time.time_ns()
            if newest.time_ns:
                seen = self.seen.setdefault(self.turn, _Seen())
                self._note(seen, newest.time_ns[-1], now_ns)
                seen.value = newest.values[-1]
            if time.monotonic() > end:
                return

    @staticmethod
    def _note(seen: _Seen, stamp_ns: int, now_ns: int) -> None:
        doubt_ns = now_ns - seen.looked_ns
        is_new = bool(seen.looked_ns) and stamp_ns != seen.stamp_ns
        if is_new and (seen.offset_ns is None or doubt_ns <= seen.doubt_ns):
            seen.offset_ns, seen.doubt_ns = stamp_ns - now_ns, doubt_ns
        seen.stamp_ns, seen.looked_ns = stamp_ns, now_ns


@dataclass(slots=True)
class _Whole:
    """One tag by its windows of a second: all of its samples but those of the last moments."""

    start_ns: int
    end_ns: int = 0
    count: int = 0
    first_count: int = 0  # of the first window, which began before we listened
    silence_ns: int = 0  # in whole windows
    low: float = float("inf")
    high: float = float("-inf")
    last: float = float("-inf")
    is_rising: bool = True

    def add(self, row: dict[str, Any]) -> None:
        """The next window of the tag."""
        if self.count:
            self.silence_ns = max(self.silence_ns, row["start_ns"] - self.end_ns)
        else:
            self.first_count = row["count"]
        values = (row["first"], row["min"], row["max"], row["last"])
        is_whole = all(each == int(each) for each in values)
        self.is_rising = self.is_rising and is_whole and values[0] == values[1] >= self.last
        self.is_rising = self.is_rising and values[2] == values[3]
        self.low, self.high = min(self.low, values[1]), max(self.high, values[2])
        self.last, self.end_ns = values[3], row["end_ns"]
        self.count += row["count"]

    def complete(self, heard: Heard) -> Heard:
        """What the newest samples told, with what the windows know of the time before."""
        seconds = (self.end_ns - self.start_ns) / _NS - 1
        rate = round((self.count - self.first_count) / seconds, 3) if seconds > 0 else None
        is_number = heard.kind in ("f64", "i64")
        is_rising = self.is_rising and self.high > self.low
        return replace(
            heard,
            samples=max(self.count, heard.samples),
            rate_hz=heard.rate_hz if rate is None else rate,
            silence_s=max(heard.silence_s or 0.0, self.silence_ns / _NS),
            example=heard.example if heard.samples else self.last,
            low=min(self.low, self.low if heard.low is None else heard.low) if is_number else None,
            high=max(self.high, self.high if heard.high is None else heard.high)
            if is_number
            else None,
            is_rising=is_number and is_rising and (heard.is_rising or heard.low == heard.high),
        )


@dataclass(slots=True)
class _Windows:
    """Closed windows of all tags, taken as they come."""

    of: dict[str, _Whole] = field(default_factory=dict)

    def take(self, engine: Engine) -> None:
        """Whatever has closed since the last time."""
        while True:
            results = engine.results()
            for row in results.rows():
                self.of.setdefault(row["tag"], _Whole(row["start_ns"])).add(row)
            if not len(results):
                return


def listen(
    wire: Wire,
    formats: tuple[str, ...],
    seconds: float,
    folders: tuple[Path, Path],
    is_stopped: Callable[[], bool],
    port: Callable[[int], None] = lambda port: None,
) -> Report:
    """Listens for so long, or until stopped. The first format that yields a sample is taken.

    ``port`` is told where a binding wire listens.
    """
    begin = time.monotonic()
    report: Report | None = None
    for number, name in enumerate(formats):
        tried = Wire(wire.kind, wire.address, wire.is_bind, name, wire.subjects)
        place = folders[0] / name, folders[1]
        is_last = number + 1 == len(formats)
        rest_s = seconds - (time.monotonic() - begin)
        report = _listen(tried, place, rest_s, is_last, is_stopped, port)
        if report is not None:
            return report
    raise AssertionError("the last format is listened to until the end")


def _listen(
    wire: Wire,
    folders: tuple[Path, Path],
    seconds: float,
    is_last: bool,
    is_stopped: Callable[[], bool],
    port: Callable[[int], None],
) -> Report | None:
    """None where nothing usable came in this format, and another is left to try."""
    from penstock import Engine

    with Engine(_config(wire, folders)) as engine:
        engine.start()
        begin = time.monotonic()
        if wire.is_bind:
            port(engine.port("tap") or 0)
        offsets, windows = _Offsets(), _Windows()
        while (elapsed := time.monotonic() - begin) < seconds and not is_stopped():
            time.sleep(POLL_S)
            offsets.look(engine)
            windows.take(engine)
            source = engine.stats().sources[0]
            is_unread = not source.used and sum(source.dropped.values()) > 0
            if is_unread and not is_last and elapsed > min(FORMAT_S, seconds / 3):
                return None
        windows.take(engine)
        return _report(engine, wire, elapsed, offsets, windows)


def _config(wire: Wire, folders: tuple[Path, Path]) -> Config:
    source: dict[str, Any] = {"name": "tap", "kind": wire.kind, "format": wire.format}
    source["bind" if wire.is_bind else "connect"] = wire.address
    source |= {"subjects": list(wire.subjects), "future_max_s": _YEAR_S, "ring_share": 1}
    engine = {
        "state_dir": str(folders[0]),
        "ring_dir": str(folders[1]),
        "ring_bytes": RING_BYTES,
        "tags_max": TAGS_MAX,
        "instances_max": TAGS_MAX,
        "assets_max": TAGS_MAX,
        "result_slots": 4 * TAGS_MAX,
    }
    rule = {"name": "second", "kind": "window", "tag": "*", "size_s": 1, "asset": "tap"}
    plant = {"name": "tap"}
    return parse_config({"plant": plant, "engine": engine, "source": [source], "rule": [rule]})


def _report(
    engine: Engine, wire: Wire, seconds: float, offsets: _Offsets, windows: _Windows
) -> Report:
    source = engine.stats().sources[0]
    heard = []
    end = time.monotonic() + REPORT_S
    # Texts first: windows know nothing of them.
    for tag in sorted(engine.tags(), key=lambda each: each.kind not in ("code", "bool")):
        newest = engine.newest(tag.id) if time.monotonic() < end else None
        seen, whole = offsets.seen.get(tag.id), windows.of.get(tag.name)
        if newest is not None and newest.time_ns:
            found = _heard(engine, tag, newest, seen)
        else:
            found = _gone(engine, tag, seen)
        heard.append(found if whole is None else whole.complete(found))
    return Report(
        wire=wire,
        seconds=round(seconds, 3),
        is_up=source.is_up,
        received=source.received,
        dropped=dict(source.dropped),
        lost_upstream=source.lost_upstream,
        out_of_order=source.out_of_order,
        frames=source.frames,
        bytes=source.bytes,
        tags=tuple(sorted(heard, key=lambda each: each.name)),
    )


def _gone(engine: Engine, tag: Tag, seen: _Seen | None) -> Heard:
    """A tag whose samples are no longer in the ring, by what was seen of it."""
    example = "" if seen is None else _shown(engine, tag, seen.value)
    texts = (str(example),) if tag.kind == "code" and seen is not None else ()
    offset_s = _offset_s(seen)
    return Heard(tag.name, tag.kind, 0, None, None, offset_s, example, None, None, False, texts)


def _offset_s(seen: _Seen | None) -> float | None:
    return None if seen is None or seen.offset_ns is None else round(seen.offset_ns / _NS, 3)


def _shown(engine: Engine, tag: Tag, value: float) -> float | int | bool | str:
    """A value as its tag's kind has it."""
    if tag.kind == "code":
        return engine.code_text(tag.id, int(value))
    if tag.kind == "f64":
        return value
    return bool(value) if tag.kind == "bool" else int(value)


def _heard(engine: Engine, tag: Tag, newest: Evidence, seen: _Seen | None) -> Heard:
    times, values = newest.time_ns, newest.values
    span_ns = times[-1] - times[0]
    texts: tuple[str, ...] = ()
    if tag.kind == "code":
        texts = tuple(sorted({engine.code_text(tag.id, int(each)) for each in values}))
    is_number = tag.kind in ("f64", "i64")
    steps = [after - before for before, after in pairwise(values)]
    is_whole = all(each == int(each) for each in values) if is_number else False
    return Heard(
        name=tag.name,
        kind=tag.kind,
        samples=len(times),
        rate_hz=round((len(times) - 1) * _NS / span_ns, 3) if span_ns > 0 else None,
        silence_s=max((b - a for a, b in pairwise(times)), default=0) / _NS if span_ns else None,
        offset_s=_offset_s(seen),
        example=_shown(engine, tag, values[-1]),
        low=min(values) if is_number else None,
        high=max(values) if is_number else None,
        is_rising=is_whole and any(steps) and all(each >= 0 for each in steps),
        texts=texts,
    )
