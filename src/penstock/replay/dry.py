"""Dry: an engine of its own over recorded samples: manual clock, temporary state, nothing posted.

Engine time T is the greatest stamp so far, as if each row had been received when it was made; each
row is one receive. Behind the last one T goes on for a while, so that what waits for the watermark
or a delay ends.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from json.encoder import encode_basestring
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from penstock.captures import Capture
from penstock.config import Config, Secret, Source, to_ns
from penstock.contracts import time_text
from penstock.engine import Engine, Results
from penstock.errors import EngineError, InputError, RingFull
from penstock.events import Event
from penstock.replay.operator import Operation
from penstock.replay.table import Cell, Table
from penstock.stats import Stats

AFTER_S: Final = 60.0  # how long T goes on behind the last row, above what the source may wait
RING_BYTES: Final = 64 << 20
RESULT_SLOTS: Final = 1 << 16
_CELLS_MAX: Final = 2000  # of one payload
_TAKE_SAMPLES: Final = 4096
_TAKE_ROWS: Final = 256
_STEPS: Final = 64
_IDLE_MAX: Final = 100
STEP_BYTES: Final = 1 << 18  # of a capture, between two looks at results
_NS_WORD: Final = 10**17  # a JSON time below this is no number of nanoseconds


@dataclass(frozen=True, slots=True)
class Told:
    """What ran at an asset from a moment on; only ``values`` that are given change."""

    at_ns: int
    asset: str
    values: Mapping[str, str]

    def tell(self, engine: Engine) -> None:
        """A CONTEXT record."""
        engine.context(self.asset, at_ns=self.at_ns, **self.values)


@dataclass(slots=True)
class Outcome:
    """What an engine made since it was last asked."""

    events: list[Event] = field(default_factory=list)
    results: list[Results] = field(default_factory=list)


def dry_config(config: Config, folder: Path) -> Config:
    """The same rules and mappings over a state of their own; every source is fed."""
    engine = replace(
        config.engine,
        state_dir=str(folder / "state"),
        ring_dir=str(folder),
        ring_bytes=RING_BYTES,
        result_slots=max(config.engine.result_slots, RESULT_SLOTS),
        durability="process",
        checkpoint_s=3600.0,
    )
    return replace(config, engine=engine, sources=tuple(_fed(each) for each in config.sources))


def _fed(source: Source) -> Source:
    return replace(
        source,
        kind="feed",
        format="json",
        bind="",
        connect="",
        user="",
        password=Secret(""),
        token=Secret(""),
        subjects=(),
        full="block",
        frame_bytes_max=max(source.frame_bytes_max, 1 << 20),
        ring_share=1.0,
    )


class Dry:
    """An engine over a temporary state; a context manager. The folder goes with it."""

    def __init__(self, config: Config, *, source: str = "", folder: Path | None = None) -> None:
        """``folder``: where the state lies meanwhile; default a new one in memory."""
        base = Path("/dev/shm") if folder is None else folder
        base = base if os.access(base, os.W_OK) else Path(tempfile.gettempdir())
        self._folder = Path(tempfile.mkdtemp(prefix="penstock-replay-", dir=base))
        try:
            self.config = dry_config(config, self._folder)
            self._wanted = source
            self.engine = Engine(self.config, clock="manual")
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self._position = 0
        self._known: set[str] = set()
        self._streams: dict[int, tuple[int, int, int]] = {}  # first number, last one, boot
        self.now_ns: int | None = None  # T
        self.first_ns: int | None = None
        self.used = 0  # samples
        self.dropped = 0
        self.skipped = 0  # of sources that the configuration does not have
        self.left = 0  # bytes of the capture being played
        self.is_cut = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.engine.close()
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def source(self) -> str:
        """The source that rows of a CSV are of. InputError where that is not clear."""
        return _source_name(self.config, self._wanted)

    def stats(self) -> Stats:
        """Figures of the engine."""
        return self.engine.stats()

    def kinds(self) -> dict[str, str]:
        """Declared types of the source's tags, by name or pattern."""
        return dict(next(each.tags for each in self.config.sources if each.name == self.source))

    def rows(
        self,
        table: Table,
        *,
        told: Iterable[Told | Operation] = (),
        after_s: float | None = None,
    ) -> Iterator[Outcome]:
        """Feeds a whole table; what the engine makes comes in pieces, also an empty one now and
        then, so that who writes can show progress.
        """
        waiting = sorted(told, key=lambda each: each.at_ns)
        samples = rows = 0
        for time_ns, cells in table.rows():
            while waiting and waiting[0].at_ns <= time_ns:
                self._move(waiting[0].at_ns)
                waiting.pop(0).tell(self.engine)
            self._move(time_ns)
            yield from self._feed(time_ns, cells, table)
            samples, rows = samples + len(cells), rows + 1
            if samples >= _TAKE_SAMPLES or rows >= _TAKE_ROWS:
                samples = rows = 0
                yield self.take()
        for each in waiting:
            self._move(each.at_ns)
            each.tell(self.engine)
        yield from self.finish(after_s)

    def capture(self, capture: Capture, *, step: int = STEP_BYTES) -> Iterator[Outcome]:
        """Plays a capture file; what the engine makes comes in pieces."""
        idle = 0
        while True:
            done = self.engine.replay(capture, step)
            self.used += done.samples
            self.dropped += done.dropped
            self.skipped += done.skipped
            self.left = done.left
            self._note(done.engine_time_ns)
            outcome = self.take()
            yield outcome
            if done.is_done:
                self.is_cut |= done.is_cut
                return
            idle = idle + 1 if done.is_held and not outcome.events else 0
            if idle > _IDLE_MAX:
                raise EngineError("the capture cannot go on: the ring has no room for its blocks")

    def _note(self, now_ns: int) -> None:
        if now_ns > 0:
            self.first_ns = now_ns if self.first_ns is None else self.first_ns
            self.now_ns = now_ns

    def finish(self, after_s: float | None = None) -> Iterator[Outcome]:
        """T goes on behind the last sample, in steps; left out, by the source's lateness and
        idle_after, and a minute.
        """
        if after_s is None:
            source = next(each for each in self.config.sources if each.name == self.source)
            after_s = source.lateness_s + source.idle_after_s + AFTER_S
        if self.now_ns is not None:
            end_ns = self.now_ns + to_ns(after_s)
            for step in range(_STEPS, 0, -1):
                self._move(end_ns - (end_ns - self.now_ns) * (step - 1) // step)
        yield self.take()

    def take(self) -> Outcome:
        """Everything made until now, acknowledged."""
        outcome = Outcome()
        while batch := self.engine.poll():
            outcome.events += batch.events
            batch.acknowledge()
        while len(results := self.engine.results()):
            outcome.results.append(results)
        return outcome

    def _move(self, time_ns: int) -> None:
        if self.now_ns is None or time_ns > self.now_ns:
            self.first_ns = time_ns if self.first_ns is None else self.first_ns
            self.now_ns = time_ns
            self.engine.tick(time_ns)

    def _feed(self, time_ns: int, cells: list[Cell], table: Table) -> Iterator[Outcome]:
        known, source = self._known, self.source
        for tag, _, _ in cells:
            if tag not in known:
                known.add(tag)
                with suppress(ValueError, RingFull):  # then its samples are dropped, and counted
                    self.engine.tag(tag, table.kind(tag), source=source)
        for start in range(0, len(cells), _CELLS_MAX):
            payload = _payload(time_ns, cells[start : start + _CELLS_MAX], self._head(table.number))
            self._position += 1
            while not self._take_in(payload):
                yield self.take()
                self.engine.tick(self.now_ns or 0)

    def _head(self, number: tuple[int, int] | None) -> str:
        """What a message says of its stream: the numbers of a file begin anywhere and go on by
        one; one that is not above the last begins a new boot.
        """
        if number is None:
            return ""
        stream, at = number
        first, last, boot = self._streams.get(stream, (at, at - 1, 1))
        if at <= last:
            first, boot = at, boot + 1
        self._streams[stream] = first, at, boot
        return f'"stream":{stream},"boot":{boot},"seq":{at - first},'

    def _take_in(self, payload: bytes) -> bool:
        try:
            used, _ = self.engine.feed_frames(
                (payload,),
                source=self.source,
                position=self._position,
                recv_time_ns=self.now_ns or 0,
            )
        except RingFull:
            return False
        self.used += used
        return True


def _payload(time_ns: int, cells: list[Cell], head: str) -> bytes:
    time = str(time_ns) if time_ns >= _NS_WORD else f'"{time_text(time_ns)}"'
    samples = ",".join(
        f'{{"name":{encode_basestring(tag)},"value":{value},"time":{time},"quality":{quality}}}'
        for tag, value, quality in cells
    )
    return f'{{{head}"samples":[{samples}]}}'.encode()


def _source_name(config: Config, wanted: str) -> str:
    names = [each.name for each in config.sources]
    if wanted and wanted not in names:
        raise InputError(f"source {wanted!r} is not configured; there are {', '.join(names)}")
    if not wanted and len(names) != 1:
        raise InputError(
            f"the configuration has {len(names)} sources ({', '.join(names) or 'none'}); "
            "name the one that the recording stands for: --source"
        )
    return wanted or names[0]
