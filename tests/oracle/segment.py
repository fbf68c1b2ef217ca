"""Segment: what counters and totals share: an open interval, cut by lot, order or the clock."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from oracle.feed import Value
from oracle.made import Made
from oracle.plan import Rule


class Segments(ABC):
    """The open interval of one instance. A subclass measures what happens in it."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.role: dict[str, Value] = {}
        self.ran: dict[str, Value] = {}  # what is known of the open interval's beginning
        self.start_ns: int | None = None
        self.flags: set[str] = set()
        self.is_uncertain = False  # the reading of the instant that is judged
        self.is_counted = True  # that reading, not passed over
        self.is_told_late = False  # what ran at that instant was told behind the watermark
        self.is_boundary = False  # a fixed interval ends at the instant that is judged
        self._newest_ns = 0  # instant
        self._has_gone_back = False  # the clock has gone back, and nothing has come since
        self._missed: dict[str, Value] = {}
        self.since_ns: int | None = None  # this rule's boundaries count from here on

    def goes_on_from(self, before: Any, since_ns: int | None, *, was_gone: bool) -> None:
        """The rule changed, or is back: what is open goes on."""
        rule = self.rule
        missed = self._missed
        vars(self).update(vars(before))
        self.rule, self.since_ns, self._missed = rule, since_ns, missed

    def knows(self, context: Mapping[str, Value]) -> None:
        """What ran at the asset before this rule was there; it sees it with its next instant."""
        self._missed = {f"context.{name}": value for name, value in context.items()}

    def instant(self, event_ns: int, values: Mapping[str, Value]) -> list[Made]:
        """Every role takes its value, then one transition.

        A boundary at this very instant is the same cut as a new lot's: nothing lies between them.
        """
        made = self.pass_time(event_ns)
        values, self._missed = {**self._missed, **values}, {}
        self._newest_ns = event_ns
        self.is_boundary = self.next_end_ns() == event_ns
        before = dict(self.role)
        self.role.update(values)
        is_cut = any(self._is_cut(cut, before, values) for cut in self.rule.cut_on)
        if self._has_gone_back and self.goes_on_with(values, is_cut=is_cut):
            self.start_ns, self.ran, self._has_gone_back = event_ns, before, False
        if self._has_gone_back:
            return made
        if self.start_ns is None:
            if "tag" in values:  # before the first one nothing is measured
                self.start_ns = event_ns
                self.ran = dict(self.role)
                self.begin(event_ns)
        elif is_cut:
            if self.is_told_late:
                self.flags.add("cut_late")
            made += self.turn(event_ns, before, values)
            self.start_ns = event_ns
            self.ran = dict(self.role)
            self.next(event_ns)
        else:
            made += self.pass_time(event_ns + 1)  # what ends here does not know yet
            self.ran = {**values, **self.ran}
            self.stay(before, values)
        if "tag" in values:
            self.measure(event_ns, values["tag"])
            if self.is_uncertain and self.is_counted:
                self.flags.add("uncertain")
        return made

    def goes_on_with(self, values: Mapping[str, Value], *, is_cut: bool) -> bool:
        """Whether this begins the next interval behind a clock that went back."""
        return True

    def _is_cut(self, role: str, before: Mapping[str, Value], values: Mapping[str, Value]) -> bool:
        """Another lot or order."""
        if role not in before:
            return role in values and self.is_first_cut(role, values)
        return before[role] != self.role[role]

    def is_first_cut(self, role: str, values: Mapping[str, Value]) -> bool:
        """One that is known for the first time names what runs already."""
        return False

    def next_end_ns(self) -> int | None:
        """Where the open interval of fixed size ends."""
        size_ns = self.rule.size_ns
        if not size_ns or self.start_ns is None:
            return None
        behind_ns = self.start_ns
        if self.since_ns is not None:
            behind_ns = max(behind_ns, self.since_ns - 1)
        ordinal = (behind_ns - self.rule.offset_ns) // size_ns
        return self.rule.offset_ns + (ordinal + 1) * size_ns

    @property
    def is_open(self) -> bool:
        """Whether time alone will end something."""
        return self.next_end_ns() is not None

    def _is_due(self, event_ns: int) -> bool:
        end_ns = self.next_end_ns()
        return end_ns is not None and end_ns < event_ns

    def pass_time(self, event_ns: int) -> list[Made]:
        """All before this is judged: intervals of fixed size that end before it are closed."""
        made: list[Made] = []
        while self._is_due(event_ns):
            end_ns = self.next_end_ns()
            assert end_ns is not None
            made += self._close(end_ns)
            self.start_ns = end_ns
            self.ran = dict(self.role)
            self.next(end_ns)
        return made

    def regress(self) -> list[Made]:
        """The clock went back: what is open ends at its newest instant, goes on with the next."""
        if self.start_ns is None:
            return []
        self.flags.add("clock_regress")
        made = self._close(max(self._newest_ns, self.start_ns))
        self.start_ns, self.since_ns, self._has_gone_back = None, None, True
        self.next(self._newest_ns)
        return made

    def _close(self, end_ns: int) -> list[Made]:
        assert self.start_ns is not None
        made = self.close(end_ns)
        flags, self.flags = frozenset(self.flags), set()
        if made is None or (float(made.quantity) == 0 and not self.rule.emits_zero):
            return []
        if "lot" in self.rule.patterns and "lot" not in self.ran:
            flags |= {"unknown_lot"}
        made.flags = flags
        made.lot, made.order = (self.rule.ran(self.ran, role) for role in ("lot", "order"))
        return [made]

    def turn(
        self, event_ns: int, before: Mapping[str, Value], values: Mapping[str, Value]
    ) -> list[Made]:
        """The lot or order changed: closes the old interval with its own lot and order."""
        return self._close(event_ns)

    @abstractmethod
    def begin(self, event_ns: int) -> None:
        """The first interval of all begins."""

    @abstractmethod
    def stay(self, before: Mapping[str, Value], values: Mapping[str, Value]) -> None:
        """No cut at this instant."""

    @abstractmethod
    def next(self, event_ns: int) -> None:
        """A further interval begins where the last one ended."""

    @abstractmethod
    def measure(self, event_ns: int, value: Value) -> None:
        """A value of the tag."""

    @abstractmethod
    def close(self, end_ns: int) -> Made | None:
        """The event of the open interval; None where nothing was measured."""
