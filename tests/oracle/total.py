"""Total: the integral of a flow that holds its value until the next sample."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from oracle.feed import Gap, Value
from oracle.made import Made
from oracle.plan import Rule
from oracle.segment import Segments

_ROUNDINGS = 4  # of one term: time to double, product, division, compensation


class Total(Segments):
    """One flow."""

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule)
        self._flow: Fraction | None = None
        self._reached_ns = 0
        self._terms: list[Fraction] = []
        self.gaps: list[Gap] = []  # of the stream it came with last

    def goes_on_from(self, before: Any, since_ns: int | None, *, was_gone: bool) -> None:
        """Until the watermark it flowed by the old rule; while it was gone nobody knows."""
        super().goes_on_from(before, since_ns, was_gone=was_gone)
        if was_gone:
            self._flow = None

    def instant(self, event_ns: int, values: Mapping[str, Value]) -> list[Made]:
        """Up to every instant the flow is known, or it is not."""
        made = super().instant(event_ns, values)
        self._flow_until(event_ns)
        return made

    def begin(self, event_ns: int) -> None:
        """Nobody saw what flowed before."""
        self.flags.add("partial")

    def next(self, event_ns: int) -> None:
        """The flow holds across a cut."""
        self._terms = []

    def stay(self, before: Mapping[str, Value], values: Mapping[str, Value]) -> None:
        """A flow asks for nothing between cuts."""

    def turn(
        self, event_ns: int, before: Mapping[str, Value], values: Mapping[str, Value]
    ) -> list[Made]:
        """The old lot gets what flowed until this instant."""
        self._flow_until(event_ns)
        return super().turn(event_ns, before, values)

    def measure(self, event_ns: int, value: Value) -> None:
        """The flow from here on."""
        assert not isinstance(value, str)
        self._flow_until(event_ns)
        self._flow = Fraction(value)
        self._reached_ns = event_ns

    def settle(self, until_ns: int) -> None:
        """The rule changes or goes: until now the flow was measured by it."""
        self._flow_until(until_ns - 1)

    def regress(self) -> list[Made]:
        """What flows is not known until its next value."""
        made = super().regress()
        self._flow = None
        return made

    def lose(self, event_ns: int) -> None:
        """A bad value: nobody knows what flows from here on."""
        self._flow_until(event_ns)
        self._flow = None

    def close(self, end_ns: int) -> Made | None:
        """What flowed; readings are a counter's."""
        if not self._terms and self._flow is None:
            return None
        assert self.start_ns is not None
        self._flow_until(end_ns)
        size = sum((abs(term) for term in self._terms), Fraction(0))
        return Made(
            "total.segment",
            self.start_ns,
            self.start_ns,
            end_ns,
            quantity=sum(self._terms, Fraction(0)),
            tolerance=size * _ROUNDINGS / 2**53,
        )

    def _flow_until(self, event_ns: int) -> None:
        if self._flow is None or event_ns <= self._reached_ns:
            return
        if any(gap.reaches_into(self._reached_ns, event_ns) for gap in self.gaps):
            self._flow = None  # nobody knows what flows until its next good value
            return
        self._terms.append(self._flow * (event_ns - self._reached_ns) / self.rule.per_ns)
        self._reached_ns = event_ns
