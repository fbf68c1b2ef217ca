"""A target in memory that commits and stays silent, refuses, is busy, slow or throttled.

It is the public twin of a real target for tests of what is built on the port. It is no proof of a
promise about an ERP; those are tested against one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from penstock.errors import Ambiguous, Permanent, Transient
from penstock.post import Document, Guarantees, Receipt, Request
from penstock.testing import crash


class Behaviour(StrEnum):
    """What the target does with one request."""

    POST = "post"  # commits and answers
    SILENT = "silent"  # commits, and the answer is lost
    LOST = "lost"  # neither commits nor answers
    LATE = "late"  # answers nothing, and commits only when the client has given up
    REFUSE = "refuse"  # says no for good
    BUSY = "busy"  # somebody holds the record
    THROTTLED = "throttled"  # asks for a pause
    DOWN = "down"  # no connection
    SLOW = "slow"  # commits and answers after slow_s


_FULL = Guarantees(has_key=True, has_readback=True, checked_against="memory")


@dataclass(slots=True)
class MemoryTarget:
    """``books`` holds every document under its key, so that a double posting shows."""

    name: str = "memory"
    guarantees: Guarantees = _FULL
    plan: deque[Behaviour] = field(default_factory=deque)  # what the next requests meet; then POST
    questions: deque[Behaviour] = field(
        default_factory=deque
    )  # DOWN, SLOW or POST for the next look-ups
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    slow_s: float = 1.0
    timeout_s: float = 30.0
    late_s: float = 5.0
    category: str = "refused"
    retry_after_s: float = 5.0
    books: dict[str, list[Receipt]] = field(default_factory=dict)
    sends: list[str] = field(default_factory=list)
    finds: list[str] = field(default_factory=list)
    in_flight: int = 0
    in_flight_max: int = 0
    _late: list[tuple[Request, int]] = field(default_factory=list)
    _count: int = 0

    def then(self, *behaviours: Behaviour) -> MemoryTarget:
        """Adds to the plan."""
        self.plan.extend(behaviours)
        return self

    def prepare(self, document: Document) -> Request:
        """The key, and the document as it is."""
        return Request(
            document.command_id, document.digest, document.contract, repr(document.body).encode()
        )

    async def send(self, request: Request) -> Receipt:
        """Does what the plan says."""
        self.sends.append(request.key)
        behaviour = self.plan.popleft() if self.plan else Behaviour.POST
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        try:
            return await self._meet(behaviour, request)
        finally:
            self.in_flight -= 1

    async def find(self, key: str) -> Receipt | None:
        """The first document under the key, if any."""
        self.finds.append(key)
        behaviour = self.questions.popleft() if self.questions else Behaviour.POST
        if behaviour is Behaviour.DOWN:
            raise Transient("no connection", category="unreachable")
        if behaviour is Behaviour.SLOW:
            await self.sleep(self.slow_s)
        found = self.books.get(key)
        return found[0] if found else None

    async def close(self) -> None:
        """Nothing to close."""

    def commit_late(self) -> None:
        """What clients gave up on long ago is committed now."""
        waiting, self._late = self._late, []
        for request, _ in waiting:
            self._commit(request)

    def numbers(self, keys: Iterable[str]) -> dict[str, int]:
        """How many documents stand under each key."""
        return {key: len(self.books.get(key, ())) for key in keys}

    async def _meet(self, behaviour: Behaviour, request: Request) -> Receipt:
        if behaviour is Behaviour.REFUSE and self.guarantees.has_key and request.key in self.books:
            return self._commit(request)  # a known key is answered before all else
        match behaviour:
            case Behaviour.DOWN:
                raise Transient("no connection", category="unreachable")
            case Behaviour.BUSY:
                raise Transient("the record is held", category="locked")
            case Behaviour.THROTTLED:
                raise Transient(
                    "too many requests", category="throttled", retry_after_s=self.retry_after_s
                )
            case Behaviour.REFUSE:
                raise Permanent("no", category=self.category)
            case Behaviour.LATE | Behaviour.LOST:
                if behaviour is Behaviour.LATE:
                    self._late.append((request, len(self.sends)))
                crash.point("post.sent")
                await self.sleep(self.timeout_s)
                raise Ambiguous("no answer")
            case Behaviour.SLOW:
                await self.sleep(self.slow_s)
        receipt = self._commit(request)
        crash.point("post.sent")
        if behaviour is Behaviour.SILENT:
            await self.sleep(self.timeout_s)
            raise Ambiguous("no answer")
        return receipt

    def _commit(self, request: Request) -> Receipt:
        known = self.books.setdefault(request.key, [])
        if known and self.guarantees.has_key:
            status = "duplicate" if known[0].digest == request.digest else "conflict"
            return Receipt(status, known[0].document, digest=known[0].digest)
        self._count += 1
        known.append(Receipt("posted", f"D{self._count:05d}", digest=request.digest))
        return known[-1]
