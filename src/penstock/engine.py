"""Engine: samples go in as sockets, arrays or payloads; events and results come out in batches.

The typed face of the native engine. Nothing here runs per sample: ``feed`` hands whole columns
over, ``poll`` takes a batch. The engine is a guest: it prints nothing, installs no handler, starts
no thread at import.
"""

from __future__ import annotations

import os
from array import array
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from penstock import columns
from penstock.columns import Results as Results
from penstock.errors import (
    ConfigError,
    EngineClosed,
    EngineError,
    RingFull,
    UnsupportedPlatform,
)
from penstock.events import Event, Evidence, PackedEvidence

try:
    from penstock import _core
except ImportError as error:  # macOS, Windows, or an architecture without a wheel
    _core = None  # type: ignore[assignment]
    _MISSING = str(error)

if TYPE_CHECKING:  # at run time where they are asked for: an import costs what a host waits
    from penstock.captures import Capture, Replayed
    from penstock.config import Config
    from penstock.stats import Alarm, SourceStats, Stats

    Buffer = bytes | bytearray | memoryview | array[Any]

EVIDENCE_BEFORE = 192  # samples kept of what led to an event
EVIDENCE_AFTER = 64  # and of what followed it
NO_TAG = 0xFFFFFFFF
BATCH_EVENTS = 256  # most a poll gives
POSITIONS_END = 2**64 - 1  # one above the last position a batch may bear
CLOCKS = {"system": 0, "manual": 1}
ACTIONS = {"acknowledge": 1, "shelve": 2, "unshelve": 3, "reset": 4}  # pstk_action


class Clock(Protocol):
    """What moves engines: ``penstock.testing.Clock``, or one of yours."""

    now_ns: int  # ns since 1970 UTC; the receive time of what is fed without one

    def attach(self, engine: Engine) -> None:
        """Called at open; from then on the clock calls ``engine.tick(now_ns)`` when it moves."""


@dataclass(frozen=True, slots=True, repr=False)
class Tag:
    """A tag the engine knows: its id for ``feed``, name, and kind for life."""

    id: int
    name: str
    kind: str  # f64, i64, bool or code

    def __repr__(self) -> str:
        return f"<Tag {self.id}: {self.name}, {self.kind}>"


class Batch:
    """Events in the order the engine made them; ``acknowledge`` once they are durable with you.

    ``numpy.asarray(batch)`` is a structured view of the batch's memory, field by field as
    ``pstk_event`` in penstock.h; ``pa.table(batch)`` and ``pl.DataFrame(batch)`` make columns, with
    one copy.
    """

    def __init__(
        self, engine: Engine, pairs: Sequence[tuple[Event, int]], raw: bytes = b""
    ) -> None:
        self._engine = engine
        self._tags = {event.id: tag for event, tag in pairs}
        self.events: tuple[Event, ...] = tuple(event for event, _ in pairs)
        self.raw = raw  # what the engine handed out, 384 bytes an event

    def __len__(self) -> int:
        return len(self.events)

    def __iter__(self) -> Iterator[Event]:
        return iter(self.events)

    def __repr__(self) -> str:
        if not self.events:
            return "<Batch: no event waits>"
        kinds = Counter(event.kind for event in self.events)
        said = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(4))
        return f"<Batch of {said}{' and others' if len(kinds) > 4 else ''}>"

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        """A NumPy structured array over ``raw``; read-only."""
        found = columns.records(self.raw)
        return found.astype(dtype) if dtype is not None else found.copy() if copy else found

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Arrow C stream interface: the events as columns, copied once."""
        return columns.table(self.events, Event).arrow_stream()

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        """Arrow C data interface: the events as columns, copied once."""
        return columns.table(self.events, Event).arrow_array()

    def evidence(self, event: Event) -> Evidence | None:
        """Up to 192 samples of the event's tag that led to it, or None when the ring holds none any
        more.
        """
        found = self._engine.evidence(self._tags[event.id], event.pos, EVIDENCE_BEFORE, 0)
        return found if len(found) else None

    def acknowledge(self) -> None:
        """Cumulative: these and all earlier events are done with. Unacknowledged ones come again
        after a restart.
        """
        if self.events:
            self._engine.acknowledge(self.events[-1].seq)


def _warn(text: str, *values: object) -> None:
    import logging  # a third of what importing penstock took, for what is rarely said

    logging.getLogger("penstock").warning(text, *values)


def _cast(view: memoryview | None, format: Literal["I", "Q", "q", "H"]) -> memoryview | None:
    """The same memory under the letter that the border declares."""
    return None if view is None else view.cast("B").cast(format)


def _place(position: int) -> int:
    if not 0 <= position < POSITIONS_END:
        raise ValueError(f"feed: position {position} is not in 0 .. 2^64 - 2")
    return position


class Engine:
    """One engine over one state directory; a context manager. Several may live in one process.

    ``Engine(config)`` opens and recovers: after it returns, what an earlier process journaled is
    judged and its unacknowledged events are pending again. ``start`` opens the sockets. Raises
    ``LockedError`` where another process holds the state directory, ``StateError`` where it cannot
    be read or written, ``ConfigError`` for a bad value. ``clock``: ``"system"``, ``"manual"`` (time
    comes with what is fed, and from ``tick``), or a clock that moves several engines, as
    ``penstock.testing.Clock``.
    """

    def __init__(self, config: Config, *, clock: str | Clock = "system") -> None:
        if _core is None:
            raise UnsupportedPlatform(
                f"no native engine on this machine ({_MISSING}); contracts and testing work, "
                "run the engine on Linux (glibc 2.28 or later, x86-64 or aarch64)"
            )
        self._clock = None if isinstance(clock, str) else clock
        clock = clock if isinstance(clock, str) else "manual"
        if clock not in CLOCKS:
            raise ValueError(f"clock {clock!r} is none of {', '.join(CLOCKS)}, and no Clock")
        native = config.options_for_core()
        options = dict(native["options"])
        options["clock"] = CLOCKS[clock]
        self._sources = {source["name"]: i for i, source in enumerate(native["sources"])}
        self._core: Any = _core.Engine(options, list(native["sources"]), list(native["rules"]))
        if notice := self._core.notice():
            _warn("%s: %s", config.engine.state_dir, notice)
        self._names: Mapping[str, Mapping[int, str]] = native["names"]
        self._is_iterating = False
        self._is_closed = False
        self._kinds: dict[int, str] = {}  # of tags asked for by name
        self._ids: dict[str, int] = {}  # of tags that events named
        self._plant = config.plant.name
        for source, name, kind in native.get("tags", ()):
            self._declare(source, name, kind)
        if self._clock is not None:
            self._clock.attach(self)

    def __repr__(self) -> str:
        names = ", ".join(self._sources) or "none"
        state = "closed" if self._is_closed else "open"
        word = "sources" if len(self._sources) > 1 else "source"
        return f"<Engine of plant {self._plant}: {state}, {word} {names}>"

    @property
    def is_closed(self) -> bool:
        """``close`` was called: what is left is to read what was handed out."""
        return self._is_closed

    def _received_ns(self, given: int) -> int:
        return self._clock.now_ns if self._clock is not None and not given else given

    def _declare(self, source: str, name: str, kind: str) -> None:
        try:
            self.tag(name, kind, source=source)
        except (ValueError, RingFull) as wrong:
            self.close()
            path = f"source[{source}].tags"
            raise ConfigError(path, str(wrong), "declare it as it is in the state") from wrong

    @classmethod
    def from_file(cls, path: str | os.PathLike[str], *, clock: str | Clock = "system") -> Self:
        """An engine from a TOML file; see ``penstock docs config``."""
        from pathlib import Path

        from penstock.config import Config

        return cls(Config.from_file(Path(path)), clock=clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Opens the sockets of the configured sources and starts the engine thread."""
        self._core.start()

    def close(self) -> None:
        """Stops intake, judges what is journaled, checkpoints to disk. Idempotent."""
        if not self._is_closed:
            self._is_closed = True
            try:
                self._core.close()
            finally:
                os.eventfd_write(self.event_fd(), 1)  # who iterates events() learns of it at once

    # ---- in -------------------------------------------------------------------------------------

    def _source(self, name: str) -> int:
        try:
            return self._sources[name]
        except KeyError:
            known = ", ".join(self._sources) or "none"
            raise ValueError(f"source {name!r} is not configured (known: {known})") from None

    def tag(self, name: str, kind: str = "f64", *, source: str) -> int:
        """Id of a tag for ``feed``, made on first sight; ``kind`` is f64, i64, bool or code, for
        life.
        """
        found = int(self._core.tag(self._source(source), name, kind))
        self._kinds[found] = kind
        return found

    def feed(
        self,
        tags: int | Buffer,
        time_ns: Buffer | None,
        values: Buffer,
        *,
        source: str,
        position: int | None = None,
        quality: Buffer | None = None,
        recv_time_ns: int = 0,
    ) -> tuple[int, int]:
        """Columns into the journal; returns (used, dropped).

        ``tags``: one id for all rows, or uint32 ids from ``tag``. ``time_ns``: int64 nanoseconds
        UTC (also ``datetime64[ns]``, Arrow ``timestamp[ns]``), or None for the receive time.
        ``values``: float64 or int64 by each tag's type, shape (n,); for several ids they are raw
        words, whose type nobody checks. Each may be a buffer (ndarray, array, memoryview) or an
        Arrow array or stream (pyarrow, Polars), without nulls; the engine reads your memory in
        place and copies it once, into the journal. ``position``: your place of this batch (a file
        offset, a stream sequence); a batch not above the last is skipped whole, so that a
        redelivery after a crash doubles nothing. On return the samples survive kill -9. Raises
        ``RingFull`` when unacknowledged events hold the ring; feed the same position again after
        polling.
        """
        given = {"values": columns.words(values)}
        if not isinstance(tags, int):
            given["tags"] = columns.integers(tags, "IL", 4, "tags")
        if time_ns is not None:
            given["time_ns"] = columns.integers(time_ns, columns.TIMES, 8, "time_ns")
        if quality is not None:
            given["quality"] = columns.integers(quality, "H", 2, "quality")
        extra: dict[str, Any] = {"recv_time_ns": self._received_ns(recv_time_ns)}
        if position is not None:
            extra["position"] = _place(position)
            if any(len(chunks) > 1 for chunks in given.values()):
                raise ValueError(
                    "feed: a position names one batch, the columns come in several chunks; "
                    "combine them first (combine_chunks in pyarrow, rechunk in Polars)"
                )
        index, used, dropped = self._source(source), 0, 0
        for piece in columns.pieces(given):
            count = len(piece["values"])
            if isinstance(tags, int):
                piece["tags"] = self._repeated(tags, piece["values"], count)
            one = self._core.feed(
                index,
                _cast(piece["tags"], "I"),
                _cast(piece["values"], "Q"),
                _cast(piece.get("time_ns"), "q"),
                _cast(piece.get("quality"), "H"),
                **extra,
            )
            used, dropped = used + one[0], dropped + one[1]
        return used, dropped

    def _repeated(self, tag: int, values: memoryview, count: int) -> memoryview:
        """One id for every row, once its type fits: bits of another type would be read as noise."""
        kind, is_float = self._kinds.get(tag), values.format == "d"
        if kind is not None and is_float != (kind == "f64"):
            given = "float64" if is_float else "int64"
            raise ValueError(f"feed: the values are {given}, tag {tag} is {kind}")
        return memoryview(array("I", [tag]) * count)

    def feed_frames(
        self,
        payloads: Iterable[Buffer],
        *,
        source: str,
        subject: str = "",
        position: int | None = None,
        recv_time_ns: int = 0,
    ) -> tuple[int, int]:
        """Payloads in the source's format (packed or json) into the journal; returns (used,
        dropped).

        ``position`` is the first payload's place; each next one has the place after it.
        """
        used = dropped = 0
        index = self._source(source)
        for offset, payload in enumerate(payloads):
            extra = {} if position is None else {"position": _place(position + offset)}
            one = self._core.feed_frame(
                index,
                memoryview(payload).cast("B"),
                subject.encode(),
                recv_time_ns=self._received_ns(recv_time_ns),
                **extra,
            )
            used, dropped = used + one[0], dropped + one[1]
        return used, dropped

    def tick(self, now_ns: int) -> None:
        """Manual clock only: engine time reaches ``now_ns``; idle streams and delays are judged.

        While the event ring is full (``stats()``) nothing is: poll, acknowledge, then tick again.
        """
        self._core.tick(now_ns)

    def context(
        self,
        asset: str,
        *,
        order: str | None = None,
        operation: str | None = None,
        material: str | None = None,
        lot: str | None = None,
        shift: str | None = None,
        at_ns: int | None = None,
    ) -> None:
        """What runs at an asset from ``at_ns`` (default now) on; None leaves a value as it is.
        Journaled on return.
        """
        given = (order, operation, material, lot, shift)  # in the order of pstk_context's bits
        names = ("order", "operation", "material", "lot", "shift")
        record = {
            "asset": asset,
            "at_ns": _core.TIME_NONE if at_ns is None else at_ns,
            "set": sum(1 << bit for bit, text in enumerate(given) if text is not None),
            "values": {name: text or "" for name, text in zip(names, given, strict=True)},
        }
        self._core.tell("context", record)

    def operate(
        self,
        action: str,
        *,
        rule: str,
        tag: str,
        by: str,
        at_ns: int | None = None,
        until_ns: int | None = None,
        note: str = "",
    ) -> None:
        """What a person does about an alarm: ``acknowledge``, ``shelve`` (``until_ns``, at most 7
        days ahead), ``unshelve`` or ``reset``.

        ``by`` says who, at most 31 bytes: ``"uid:1000"``. Journaled on return, and judged from
        there, so it survives a kill and a replay. ``at_ns`` is engine time on a manual clock, and
        is passed over on the system clock. ``ValueError`` names what there is where the rule or
        tag is unknown; ``ConfigError`` the text that is too long.
        """
        if action not in ACTIONS:
            raise ValueError(f"action {action!r} is none of {', '.join(ACTIONS)}")
        if (until_ns is not None) != (action == "shelve"):
            raise ValueError(f"until_ns belongs to shelve, and {action} was asked")
        none = _core.TIME_NONE
        texts = {"rule": rule, "tag": tag, "by": by, "note": note}
        times = {"at_ns": none if at_ns is None else at_ns, "until_ns": until_ns or 0}
        self._core.tell("operate", {**texts, **times, "action": ACTIONS[action]})

    def alarms(self) -> list[Alarm]:
        """What is active, shelved or suppressed now, in the order it first was."""
        from penstock.stats import ALARM_BYTES, alarms_of

        count, rows = self._core.alarms(64)
        while count > len(rows) // ALARM_BYTES:
            count, rows = self._core.alarms(count + 64)
        return alarms_of(rows, count)

    def baseline(
        self, rule: str, series: str, tag: str, end_reading: int | float, end_ns: int
    ) -> None:
        """Where the last document of a register ended, as the ledger says; the next segment starts
        no earlier.
        """
        is_whole = isinstance(end_reading, int)
        record = {
            "rule": rule,
            "series": series,
            "tag": tag,
            "end_ns": end_ns,
            "end_reading": end_reading,
            "value_type": _core.TYPES["i64" if is_whole else "f64"],
        }
        self._core.tell("baseline", record)

    def position(self, source: str) -> int | None:
        """Place of a feed source's last wholly journaled batch; None before the first."""
        found: int | None = self._core.position(self._source(source))
        return found

    def reconfigure(self, config: Config) -> None:
        """Rules from here on; sockets, registers and windows whose rules did not change go on."""
        native = config.options_for_core()
        self._core.reconfigure(list(native["rules"]))
        self._names = native["names"]

    def checkpoint(self, *, to_disk: bool = True) -> None:
        """An image of what is needed to go on; fsynced on return when ``to_disk``."""
        self._core.checkpoint(to_disk)

    def capture(self, folder: str | os.PathLike[str], bytes_max: int) -> None:
        """From here on the journal also goes to files in a folder, at most so many bytes; the
        oldest are removed. What was missed is counted: ``Stats.capture_missed``.
        """
        self._core.capture(os.fsencode(folder), bytes_max)

    def replay(self, capture: Capture, bytes_max: int = 1 << 20) -> Replayed:
        """Manual clock only: plays the next blocks of a capture; rules are this engine's own."""
        from penstock.captures import Replayed

        return Replayed.of(self._core.replay(capture.core, bytes_max))

    # ---- out ------------------------------------------------------------------------------------

    def poll(self, most: int = BATCH_EVENTS) -> Batch:
        """Events made since the last poll, at most 256; an empty batch when there are none. One
        consumer.
        """
        pairs, raw = self._core.poll(most)
        return Batch(self, [(self._named(event), tag) for event, tag in pairs], raw)

    def _named(self, event: Event) -> Event:
        """The state's name where the rule has names for its codes."""
        names = self._names.get(event.rule)
        if not names or event.text or event.kind not in ("state.end", "state.enter"):
            return event
        return replace(event, text=names.get(int(event.value or 0), ""))

    def acknowledge(self, seq: int) -> None:
        """Every event up to this one is durable on your side. Prefer ``Batch.acknowledge``."""
        self._core.acknowledge(seq)

    async def events(self) -> AsyncIterator[Batch]:
        """Batches as they come. One iterator at a time; unacknowledged events come again in the
        next one.
        """
        import asyncio

        if self._is_iterating:
            raise EngineError("events() is being iterated already; an engine has one consumer")
        self._is_iterating = True
        loop, descriptor = asyncio.get_running_loop(), self.event_fd()
        ready = asyncio.Event()
        loop.add_reader(descriptor, ready.set)
        self._core.rewind()
        try:
            while not self._is_closed:
                ready.clear()
                with suppress(BlockingIOError):  # read before the batch: no wake is lost
                    os.eventfd_read(descriptor)
                try:
                    batch = self.poll()
                except EngineClosed:
                    return
                if batch.events:
                    yield batch
                if len(batch.events) < BATCH_EVENTS:  # all there were; what came since wakes
                    await ready.wait()
        finally:
            self._is_iterating = False
            loop.remove_reader(descriptor)

    def event_fd(self) -> int:
        """A descriptor that is readable when events wait; the engine's own, never close it."""
        return int(self._core.event_fd())

    def results(self) -> Results:
        """Closed windows not yet taken, at most 4,096 a call."""
        return Results(self._core.results())

    def tags(self) -> tuple[Tag, ...]:
        """Every tag known so far, in the order they were first seen."""
        kinds = {number: kind for kind, number in _core.TYPES.items()}
        found = []
        for index in range(self.stats().tags):
            name, kind = str(self._core.tag_name(index)), kinds.get(self._core.tag_type(index))
            if name and kind is not None:
                found.append(Tag(index, name, kind))
        return tuple(found)

    def newest(self, tag: int, most: int = EVIDENCE_BEFORE) -> Evidence:
        """The tag's newest samples that the ring holds, at most 192, oldest first."""
        written = int(self._core.stats()["written"])
        return self.evidence(tag, written, min(most, EVIDENCE_BEFORE), 0)

    def code_text(self, tag: int, code: int) -> str:
        """The text that a code of a tag stands for, "" where there is none."""
        return str(self._core.code_text(tag, code))

    def evidence(self, tag: int, pos: int, before: int, after: int) -> PackedEvidence:
        """Samples of one tag around a journal position; what the ring no longer holds is absent."""
        found: PackedEvidence = self._core.evidence(tag, pos, before, after)
        return found

    def evidence_after(self, event: Event, *, source: str | None = None) -> Evidence:
        """Up to 64 samples of the event's tag that followed it; none where it has no tag."""
        tag = self._id_of(event.tag) if event.has_tag else NO_TAG
        found: Evidence = self._core.evidence(tag, event.pos, 0, EVIDENCE_AFTER)
        return found

    def _id_of(self, name: str) -> int:
        if name not in self._ids:
            self._ids = {tag.name: tag.id for tag in self.tags()}
        try:
            return self._ids[name]
        except KeyError:
            raise ValueError(f"no tag {name!r} is known") from None

    # ---- figures ---------------------------------------------------------------------------------

    def stats(self) -> Stats:
        """Figures of the engine and of each source; costs a lock and a copy."""
        from penstock.stats import Stats

        native = dict(self._core.stats())
        native.pop("reserved", None)
        for flag in (
            "is_failed",
            "is_event_ring_full",
            "is_cold_start",
            "is_disk_full",
            "is_capture_stopped",
        ):
            native[flag] = bool(native[flag])
        return Stats(sources=tuple(self._source_stats(i) for i in self._sources.values()), **native)

    def _source_stats(self, index: int) -> SourceStats:
        from penstock.stats import SourceStats

        native = dict(self._core.source_stats(index))
        if not native.pop("is_numbered"):
            native["lost_upstream"] = native["sent_upstream"] = None
        return SourceStats(**native)

    def port(self, source: str) -> int | None:
        """The port a binding source listens on, or None."""
        port = int(self._core.port(self._source(source)))
        return port if port >= 0 else None
