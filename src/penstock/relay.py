"""Relay: due entries become requests to their targets, and what came of them is written back.

One in flight per (target, business object), in order of occurrence; across objects in parallel, up
to each target's ``concurrency``. Targets do not wait for each other. Before a send the entry is
durably ``posting``; a process that dies in between finds it so and asks before it repeats.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from penstock.categories import TARGET_WIDE
from penstock.errors import Ambiguous, Permanent, PostError, Transient
from penstock.outbox import (
    Decision,
    Entry,
    Ledger,
    LedgerBlocked,
    Policy,
    State,
    decide,
    decide_before,
)
from penstock.outbox.content import canonical_json
from penstock.outbox.decide import (
    Absent,
    Answered,
    NoAnswer,
    NotAccepted,
    NotAsked,
    Outcome,
    Refused,
)
from penstock.post import Options, Receipt, Target
from penstock.testing import crash

NS_PER_S: Final = 1_000_000_000
STOP_S: Final = 8.0  # of the ten seconds that a stop may take
_CLOCK_BACK_NS: Final = 60 * NS_PER_S
_POLL_S: Final = 1.0  # another process may have resolved an entry
_DOCUMENTS_KEPT: Final = 20

try:  # a clock before this is not set yet: nothing is sent with its dates
    from penstock._core import BUILT_NS as CLOCK_FLOOR_NS
except ImportError:  # a machine with no engine: 2026-01-01
    CLOCK_FLOOR_NS = 1_767_225_600 * NS_PER_S

_log = logging.getLogger("penstock.relay")
_T = TypeVar("_T")


class Clock(Protocol):
    """Where the relay takes its time from."""

    def now_ns(self) -> int:
        """Wall-clock time, ns since 1970 UTC."""

    async def sleep(self, seconds: float) -> None:
        """Waits."""


class SystemClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        """Wall-clock time, ns since 1970 UTC."""
        return time.time_ns()

    async def sleep(self, seconds: float) -> None:
        """Waits by the monotonic clock."""
        await asyncio.sleep(seconds)


@dataclass(frozen=True, slots=True)
class Port:
    """A target with how it is used."""

    target: Target
    policy: Policy
    concurrency: int = 4


def port(target: Target, options: Options) -> Port:
    """A target with its configured options."""
    business = frozenset({"order_state", "stock"})
    policy = Policy(
        has_key=target.guarantees.has_key,
        has_readback=target.guarantees.has_readback,
        allows_unproven=options.allow_unproven,
        back_off_s=options.back_off_s,
        back_off_s_max=options.back_off_max_s,
        attempts_max=options.attempts_max,
        look_up_after_s=options.look_up_after_s,
        retry_on=business if options.on_business == "retry" else frozenset(),
    )
    return Port(target, policy, options.concurrency)


class Relay:
    """Posts what is due. One event loop; the ledger's only poster."""

    def __init__(self, ledger: Ledger, ports: Sequence[Port], clock: Clock | None = None) -> None:
        self.documents: deque[Entry] = deque(maxlen=_DOCUMENTS_KEPT)  # newest last
        self._ledger = ledger
        self._ports = {each.target.name: each for each in ports}
        self._clock = clock or SystemClock()
        self._news = {name: asyncio.Event() for name in self._ports}
        self._stopped = asyncio.Event()
        self._unheard = set(
            self._ports
        )  # targets whose last word was that they cannot; at start nobody was heard
        self._silent: set[str] = set()  # of these, those that were asked and could not
        self._last_ns = 0

    @property
    def silent(self) -> tuple[str, ...]:
        """Targets that could not take what was last sent or asked."""
        return tuple(sorted(self._silent))

    def recover(self) -> int:
        """At start: what was on its way goes in doubt. Returns how many."""
        found = self._ledger.recover(now_ns=self._clock.now_ns())
        self.documents.extend(reversed(self._ledger.reader.documents(limit=_DOCUMENTS_KEPT)))
        if found:
            _log.info(
                "%d entries were on their way when the process ended; their targets are asked",
                found,
            )
        return found

    def notify(self) -> None:
        """New entries are committed."""
        for each in self._news.values():
            each.set()

    def stop(self) -> None:
        """Nothing new is sent.

        ``run`` returns when what is on its way has ended, or after STOP_S.
        """
        self._stopped.set()
        self.notify()

    async def run(self) -> None:
        """Posts until stopped. An error that is ours ends it; the rows stay as they are."""
        async with asyncio.TaskGroup() as group:
            for each in self._ports.values():
                group.create_task(self._serve(each), name=f"relay {each.target.name}")
            await self._stopped.wait()  # also where there is no target to serve

    async def step(self) -> int:
        """Posts everything due once and waits for it; returns how many entries were handled."""
        found = [(each, entry) for each in self._ports.values() for entry in self._due(each, set())]
        async with asyncio.TaskGroup() as group:
            for each, entry in found:
                group.create_task(self._handle(each, entry))
        return len(found)

    # ---- one target -------------------------------------------------------------------------

    async def _serve(self, served: Port) -> None:
        busy: dict[asyncio.Task[None], str] = {}
        try:
            while not self._stopped.is_set():
                self._news[served.target.name].clear()
                for entry in self._due(served, set(busy.values())):
                    busy[asyncio.create_task(self._handle(served, entry))] = entry.business_object
                await self._wait(served, busy)
                for task in [each for each in busy if each.done()]:
                    del busy[task]
                    task.result()
            if busy:
                done, _ = await asyncio.wait(busy, timeout=STOP_S)
                for task in done:
                    task.result()
        finally:
            # What is cut off here stays ``posting`` and is asked for at the next start.
            for task in busy:
                task.cancel()
            await asyncio.gather(*busy, return_exceptions=True)

    async def _wait(self, served: Port, busy: dict[asyncio.Task[None], str]) -> None:
        """Until news, an end, or the next due time, and never longer than a second."""
        wait_s = _POLL_S
        if len(busy) < served.concurrency:
            next_ns = self._ledger.next_try_ns(served.target.name)
            if next_ns is not None and next_ns > (now_ns := self._clock.now_ns()):
                wait_s = min(wait_s, (next_ns - now_ns) / NS_PER_S)
        news = asyncio.create_task(self._news[served.target.name].wait())
        try:
            await asyncio.wait(
                [news, *busy], timeout=max(wait_s, 0.001), return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            news.cancel()

    def _due(self, served: Port, busy_objects: set[str]) -> list[Entry]:
        now_ns = self._clock.now_ns()
        free = served.concurrency - len(busy_objects)
        if free <= 0 or now_ns < CLOCK_FLOOR_NS:
            return []
        if now_ns < self._last_ns - _CLOCK_BACK_NS:
            _log.warning("the wall clock went back by %.0f s", (self._last_ns - now_ns) / NS_PER_S)
            self._ledger.wake_all(now_ns=now_ns)
        self._last_ns = now_ns
        found = self._ledger.due(served.target.name, now_ns=now_ns, limit=served.concurrency + free)
        return [each for each in found if each.business_object not in busy_objects][:free]

    # ---- one entry --------------------------------------------------------------------------

    async def _handle(self, served: Port, entry: Entry) -> None:
        before = decide_before(entry, served.policy, self._clock.now_ns())
        if before is not None:
            await self._record(entry, before)
            return
        if entry.state is State.IN_DOUBT:
            outcome = await self._ask(served, entry)
        else:
            sent = await self._post(served, entry)
            if sent is None:
                return
            entry, outcome = sent
        self._hear(served, outcome)
        await self._record(entry, self._decide(served, entry, outcome))

    def _decide(self, served: Port, entry: Entry, outcome: Outcome) -> Decision:
        return decide(entry, outcome, served.policy, self._clock.now_ns())

    async def _post(self, served: Port, entry: Entry) -> tuple[Entry, Outcome] | None:
        """Marks, sends once.

        The entry as marked. None where the entry was taken from us or cannot be marked now.
        """
        try:
            request = served.target.prepare(entry)
        except PostError as wrong:
            return entry, Refused(str(wrong), wrong.category or "refused")
        try:
            marked = self._ledger.mark_posting(entry, now_ns=self._clock.now_ns())
        except LedgerBlocked as wrong:
            _log.error("%s; nothing is sent meanwhile", wrong)
            await self._clock.sleep(_POLL_S)
            return None
        if marked is None:
            return None
        crash.point("posting.marked")
        try:
            receipt = await served.target.send(request)
        except Transient as wrong:
            return marked, NotAccepted(
                str(wrong), wrong.category or "not_accepted", wrong.retry_after_s
            )
        except Permanent as wrong:
            return marked, Refused(str(wrong), wrong.category or "refused")
        except Ambiguous as wrong:
            return marked, NoAnswer(str(wrong))
        crash.point("post.answered")
        return marked, _answered(receipt)

    async def _ask(self, served: Port, entry: Entry) -> Outcome:
        try:
            receipt = await served.target.find(entry.command_id)
        except Transient as wrong:
            return NotAsked(str(wrong), wrong.category or "unreachable", wrong.retry_after_s)
        return Absent() if receipt is None else _answered(receipt)

    async def _record(self, entry: Entry, decision: Decision) -> None:
        """Writes the decision; while the disk is full it waits, for the answer must not be lost."""
        is_attached = await self._durably(
            lambda: self._ledger.record(entry, decision, now_ns=self._clock.now_ns())
        )
        if not is_attached:
            _log.warning(
                "entry %d moved on; the answer to an older send is not attached", entry.entry_id
            )
            return
        level = logging.INFO if decision.state in (State.POSTED, State.READY) else logging.WARNING
        what = decision.document or f"{decision.category}: {decision.reason}"
        _log.log(level, "%s %s %s: %s", entry.contract, entry.key16, decision.state, what)
        if decision.state is State.POSTED:
            self.documents.append(self._ledger.reader.entry(entry.entry_id))
        self._news[entry.target].set()  # the next of this business object may go

    def _hear(self, served: Port, outcome: Outcome) -> None:
        """A target that answers again lets all go that only waited for it."""
        name = served.target.name
        match outcome:
            case NotAccepted(category=category) if category in TARGET_WIDE:
                self._unheard.add(name)
                self._silent.add(name)
            case NotAsked() | NoAnswer():
                self._unheard.add(name)
                self._silent.add(name)
            case _ if name in self._unheard:
                self._unheard.discard(name)
                self._silent.discard(name)
                try:
                    self._ledger.wake(name, now_ns=self._clock.now_ns())
                except LedgerBlocked as wrong:
                    self._unheard.add(name)
                    _log.error("%s", wrong)

    async def _durably(self, change: Callable[[], _T]) -> _T:
        while True:
            try:
                return change()
            except LedgerBlocked as wrong:
                _log.error("%s; an answer waits to be written", wrong)
                await self._clock.sleep(_POLL_S)


def _answered(receipt: Receipt) -> Answered:
    return Answered(
        receipt.document, receipt.digest, canonical_json(dict(receipt.raw)) if receipt.raw else ""
    )
