"""Run: the order of the stages: events → mapping → outbox → post → relay, and context back.

A batch is acknowledged only after its transaction is on the disk. Everything here runs in one event
loop; the engine's own threads never wait for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import resource
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Protocol, Self, cast

from penstock.config import Config
from penstock.errors import EngineFailed, PenstockError, StateError, Transient
from penstock.events import Event, Evidence
from penstock.mapping import map_event
from penstock.outbox import LEDGER_NAME, Ledger, LedgerBlocked, Mapped
from penstock.post import ContextSource, Options, Running, Target, open_target
from penstock.relay import NS_PER_S, STOP_S, Clock, Relay, SystemClock, port
from penstock.stats import Stats
from penstock.testing import crash

EVIDENCE_AFTER_S: Final = 3.0  # how long after an event the samples behind it are fetched
EVIDENCE_WAITING_MAX: Final = 4096  # events; beyond, the oldest go without
STATUS_EVERY_S: Final = 1.0
STATUS_BYTES_MAX: Final = 16 * 1024 * 1024
_BLOCKED_S: Final = 1.0

_log = logging.getLogger("penstock.run")


class Batch(Protocol):
    """What the engine hands over."""

    events: tuple[Event, ...]

    def evidence(self, event: Event) -> Evidence | None:
        """Samples that led to an event of this batch."""

    def acknowledge(self) -> None:
        """These and all earlier events are durable."""


class EngineLike(Protocol):
    """What a run needs of the engine."""

    def start(self) -> None:
        """Opens the sockets."""

    def close(self) -> None:
        """Stops intake, judges what is journaled, checkpoints."""

    def events(self) -> AsyncIterator[Any]:
        """Batches as they come."""

    def evidence_after(self, event: Event) -> Evidence:
        """Samples that followed an event."""

    def context(self, asset: str, *, order: str | None = None, material: str | None = None) -> None:
        """What runs at an asset."""

    def baseline(
        self, rule: str, series: str, tag: str, end_reading: int | float, end_ns: int
    ) -> None:
        """Where the last document of a register ended."""

    def reconfigure(self, config: Config) -> None:
        """Rules from here on."""

    def stats(self) -> Stats:
        """Figures."""


class Intake:
    """Batches of events become committed entries; then, and only then, they are acknowledged."""

    def __init__(
        self,
        engine: EngineLike,
        ledger: Ledger,
        config: Config,
        *,
        clock: Clock | None = None,
        on_commit: Callable[[], None] = lambda: None,
    ) -> None:
        self.config = config
        self._engine = engine
        self._ledger = ledger
        self._clock = clock or SystemClock()
        self._on_commit = on_commit
        self.is_blocked = False  # the last commit found no room, or the ledger locked
        self._recovering_until_ns = ledger.newest_event_ns()
        self._waiting: deque[tuple[int, Event]] = deque(maxlen=EVIDENCE_WAITING_MAX)

    async def run(self) -> None:
        """Until cancelled or the engine is closed. Raises EngineFailed, LedgerError."""
        given = cast(AsyncGenerator[Any, None], self._engine.events())
        async with contextlib.aclosing(given) as batches:
            async for batch in batches:
                await self.take(batch)

    async def take(self, batch: Batch) -> None:
        """Maps, commits, acknowledges.

        While the disk is full it waits; the engine keeps the events meanwhile.
        """
        mapped = [
            Mapped(event, map_event(event, self.config), batch.evidence(event))
            for event in batch.events
        ]
        while not self._commit(mapped):
            await self._clock.sleep(_BLOCKED_S)
        self._acknowledge(batch)
        due_ns = self._clock.now_ns() + round(EVIDENCE_AFTER_S * NS_PER_S)
        self._waiting.extend((due_ns, event) for event in batch.events)
        self._on_commit()

    def fetch_evidence(self) -> int:
        """The samples behind events that are old enough by now.

        Returns how many events were served.
        """
        now_ns = self._clock.now_ns()
        found: list[tuple[str, Evidence]] = []
        count = 0
        while self._waiting and self._waiting[0][0] <= now_ns:
            _, event = self._waiting.popleft()
            found.append((event.id, self._engine.evidence_after(event)))
            count += 1
        try:
            self._ledger.add_evidence(found, now_ns=now_ns)
        except LedgerBlocked as wrong:
            _log.error("%s; the samples behind %d events are not kept", wrong, count)
        return count

    def _commit(self, mapped: Sequence[Mapped]) -> bool:
        try:
            self._ledger.commit_batch(
                mapped, now_ns=self._clock.now_ns(), recovering_until_ns=self._recovering_until_ns
            )
        except LedgerBlocked as wrong:
            _log.error("%s; nothing is acknowledged meanwhile", wrong)
            self.is_blocked = True
            return False
        self.is_blocked = False
        return True

    def _acknowledge(self, batch: Batch) -> None:
        crash.point("ack.before")
        batch.acknowledge()
        crash.point("ack.after")


class ContextPoll:
    """What a target says is running becomes the engine's context, whenever it changes."""

    def __init__(self, engine: EngineLike, source: ContextSource, every_s: float) -> None:
        self._engine = engine
        self._source = source
        self._every_s = every_s
        self._told: dict[str, Running] = {}

    async def run(self) -> None:
        """Until cancelled. A target that cannot be asked leaves everything as it was."""
        is_silent = False
        while True:
            try:
                self.tell(await self._source.running([]))
                is_silent = False
            except Transient as wrong:
                if not is_silent:
                    _log.warning("what runs at the assets is not known now: %s", wrong)
                is_silent = True
            await asyncio.sleep(self._every_s)

    def tell(self, found: Sequence[Running]) -> None:
        """Passes on what differs from the last time; an asset no longer named runs nothing."""
        now = {each.asset: each for each in found}
        for asset in self._told.keys() - now.keys():
            self._engine.context(asset, order="", material="")
            del self._told[asset]
        for asset, each in now.items():
            before = self._told.get(asset)
            if before is None or (before.order, before.material) != (each.order, each.material):
                self._engine.context(asset, order=each.order, material=each.material)
                self._told[asset] = each


@dataclass(frozen=True, slots=True)
class Status:
    """Figures of a running plant, one JSON object.

    Rates are over the time since the line before.
    """

    time_ns: int
    samples_per_s: float
    cpu: float  # share of one core, all threads of the process
    rss: int  # bytes
    received: int
    dropped: int
    residual: int
    lost_upstream: int
    events: int  # kept in the ledger
    entries: dict[str, int]  # by state
    in_doubt_found: int
    in_doubt_absent: int
    redelivered: int
    unmapped: int
    conflicts: int
    tags: int
    ring_bytes: int
    documents: list[dict[str, Any]]  # the newest, newest last

    def to_json(self) -> str:
        """One line."""
        return json.dumps({each.name: getattr(self, each.name) for each in fields(self)})


class Gauge:
    """Makes a Status each time it is asked."""

    def __init__(self, engine: EngineLike, ledger: Ledger, relay: Relay) -> None:
        self._engine = engine
        self._ledger = ledger
        self._relay = relay
        self._before: tuple[float, float, int] | None = None
        self._refused = self._mistyped = 0
        self._missed = 0
        self._is_capture_lost = False

    def _warn_of_capture(self, stats: Stats) -> None:
        """Captures are for looking back: what they lack is said, and nothing else stops."""
        if stats.is_capture_stopped and not self._is_capture_lost:
            self._is_capture_lost = True
            _log.warning("the capture has stopped: its disk failed; start again to capture")
        if stats.capture_missed > self._missed:
            _log.warning("the capture came too late for %d bytes", stats.capture_missed)
        self._missed = stats.capture_missed

    def _warn_of_refused(self, refused: int, mistyped: int) -> None:
        """A rule that judges nothing of a tag is no small thing: it is said, each time more are."""
        if mistyped > self._mistyped:
            _log.warning(
                "%d rules name tags of a type that they cannot judge, such as texts for a limit:"
                " narrow the rule's tag, or correct the tag's type",
                mistyped,
            )
        self._mistyped = mistyped
        if refused > self._refused:
            _log.warning(
                "%d rules at tags have no room and do not judge them: raise engine.instances_max"
                " or engine.assets_max, or give the rules one asset; a tag takes 16 rules",
                refused,
            )
        self._refused = refused

    def read(self) -> Status:
        """The figures now. Raises EngineFailed where the engine has failed."""
        stats = self._engine.stats()
        if stats.is_failed:
            raise EngineFailed(
                "the engine has failed; the journal and the ledger are safe, start again"
            )
        self._warn_of_refused(stats.instances_refused, stats.instances_mistyped)
        self._warn_of_capture(stats)
        usage = resource.getrusage(resource.RUSAGE_SELF)
        now = (time.monotonic(), usage.ru_utime + usage.ru_stime, stats.received)
        before = self._before or now
        self._before = now
        elapsed_s = max(now[0] - before[0], 1e-9)
        counters = self._ledger.reader.counters()
        return Status(
            time_ns=time.time_ns(),
            samples_per_s=round((now[2] - before[2]) / elapsed_s, 1),
            cpu=round((now[1] - before[1]) / elapsed_s, 4),
            rss=_rss_bytes(),
            received=stats.received,
            dropped=stats.dropped,
            residual=stats.residual,
            lost_upstream=stats.lost_upstream,
            events=counters.get("events", 0),
            entries=self._ledger.reader.states(),
            in_doubt_found=counters.get("lookups_found", 0),
            in_doubt_absent=counters.get("lookups_absent", 0),
            redelivered=counters.get("redelivered", 0),
            unmapped=counters.get("unmapped", 0),
            conflicts=counters.get("conflicts", 0),
            tags=stats.tags,
            ring_bytes=stats.ring_bytes,
            documents=[
                {
                    "document": each.document,
                    "contract": each.contract,
                    "target": each.target,
                    "business_object": each.business_object,
                    "event_id": each.event_id,
                    "posted_at_ns": each.posted_at_ns,
                }
                for each in self._relay.documents
            ],
        )


class StatusFile:
    """Status lines appended to a file; at 16 MiB it is begun anew, the old one kept as ``.1``."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, status: Status) -> None:
        """One line. A file that cannot be written is logged, and nothing else stops."""
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(status.to_json() + "\n")
                is_large = file.tell() > STATUS_BYTES_MAX
            if is_large:
                self._path.replace(self._path.with_name(self._path.name + ".1"))
        except OSError as wrong:
            _log.warning("%s: the status is not written: %s", self._path, wrong)


class Runner:
    """One running plant: engine, ledger, targets and what moves between them.

    ``run`` works until ``stop``; ``reload`` takes a new configuration's rules and mappings. As an
    async context manager it works beside the block, and closes everything at its end.
    """

    def __init__(
        self,
        config: Config,
        engine: EngineLike,
        *,
        is_ledger_expected: bool = False,
        on_status: Callable[[Status], None] | None = None,
    ) -> None:
        """Opens ledger and targets.

        Tells the engine where the last documents ended. The engine is not started.
        """
        self._engine = engine
        self._on_status = on_status
        self._stop = asyncio.Event()
        self.status: Status | None = None  # the newest; None until the sockets are open
        self.final: Stats | None = None  # as the run ended
        with contextlib.ExitStack() as undo:
            self.ledger = Ledger.open(
                Path(config.engine.state_dir) / LEDGER_NAME,
                now_ns=time.time_ns(),
                is_expected=is_ledger_expected,
            )
            undo.callback(self.ledger.close)
            self._targets = _open_targets(config)
            self.relay = Relay(self.ledger, [port(*each) for each in self._targets])
            self.relay.recover()
            for each in self.ledger.baselines():
                engine.baseline(each.rule, each.series, each.tag, each.end_reading, each.end_ns)
            self._intake = Intake(engine, self.ledger, config, on_commit=self.relay.notify)
            self._gauge = Gauge(engine, self.ledger, self.relay)
            undo.pop_all()

    def __repr__(self) -> str:
        names = ", ".join(self.targets) or "no target"
        return f"<Runner: {self._engine!r} into {names}>"

    async def __aenter__(self) -> Self:
        self._working = asyncio.create_task(self.run(), name="runner")
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()
        await self._working

    @property
    def targets(self) -> Mapping[str, Target]:
        """The open targets by name; of a memory target, ``documents`` are what was posted."""
        return {target.name: target for target, _ in self._targets}

    def stop(self) -> None:
        """``run`` returns within ten seconds: what is on its way ends, the rest stays."""
        self._stop.set()

    @property
    def is_blocked(self) -> bool:
        """The ledger could not take the last batch, which waits."""
        return self._intake.is_blocked

    def stats(self) -> Stats:
        """Figures of the engine."""
        return self._engine.stats()

    def reload(self, config: Config) -> None:
        """Rules and mappings from here on.

        Raises ConfigError or EngineError; then the old ones stay.
        """
        old = self._intake.config
        if (config.plant, config.engine) != (old.plant, old.engine):
            raise StateError("plant and engine keep their settings until the process starts again")
        self._engine.reconfigure(config)
        self._intake.config = config
        if (config.sources, config.targets) != (old.sources, old.targets):
            _log.warning("sources and targets keep their settings until the process starts again")

    async def run(self) -> None:
        """Starts the engine and works until stopped. Closes everything, also on an error."""
        try:
            self._engine.start()
            await self._work()
        finally:
            for target, _ in self._targets:
                await target.close()
            self._engine.close()
            self.ledger.close()

    async def _work(self) -> None:
        jobs = [
            asyncio.create_task(self._intake.run(), name="intake"),
            asyncio.create_task(self._tick(), name="status"),
        ]
        for target, options in self._targets:
            if options.context and isinstance(target, ContextSource):
                poll = ContextPoll(self._engine, target, options.context_every_s)
                jobs.append(asyncio.create_task(poll.run(), name=f"context {target.name}"))
        posting = asyncio.create_task(self.relay.run(), name="relay")
        stopped = asyncio.create_task(self._stop.wait(), name="stop")
        try:
            done, _ = await asyncio.wait(
                [*jobs, posting, stopped], return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                _raise_first(task)
        finally:
            await _cancel([*jobs, stopped])  # intake first: nothing new comes in
            self.relay.stop()
            await asyncio.wait([posting], timeout=STOP_S + 1.0)
            await _cancel([posting])
        self._intake.fetch_evidence()
        self.status, self.final = self._gauge.read(), self._engine.stats()
        _raise_first(posting)

    async def _tick(self) -> None:
        while True:
            self._intake.fetch_evidence()
            self.status = status = self._gauge.read()
            if self._on_status is not None:
                self._on_status(status)
            await asyncio.sleep(STATUS_EVERY_S)


async def run(
    config: Config,
    engine: EngineLike,
    *,
    is_ledger_expected: bool = False,
    on_status: Callable[[Status], None] | None = None,
) -> None:
    """Runs a plant until cancelled. See ``Runner`` for stop and reload."""
    await Runner(config, engine, is_ledger_expected=is_ledger_expected, on_status=on_status).run()


def has_history(state_dir: Path) -> bool:
    """Whether a state directory was used before.

    Asked before the engine opens it, for a lost ledger must be noticed.
    """
    try:
        return any(state_dir.iterdir())
    except OSError:
        return False


def _open_targets(config: Config) -> list[tuple[Target, Options]]:
    return [open_target(each, f"target[{each.name}]") for each in config.targets]


def _raise_first(task: asyncio.Task[Any]) -> None:
    """The task's own error; of a group, the first that is one of ours."""
    if not task.done() or task.cancelled():
        return
    error = task.exception()
    while isinstance(error, BaseExceptionGroup):
        known = error.subgroup(PenstockError)
        error = (known or error).exceptions[0]
    if error is not None:
        raise error


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _rss_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
