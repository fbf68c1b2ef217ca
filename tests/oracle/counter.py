"""Counter: a register's exact deltas, split where the lot or order changes."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from oracle.feed import Value
from oracle.made import Made
from oracle.plan import Rule
from oracle.segment import Segments


class Counter(Segments):
    """One register. With a START tag each lot begins at the reading the machine gives for it."""

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule)
        self._start_reading: float | int | None = None
        self._last: float | int | None = None
        self._quantity = Fraction(0)

    def begin(self, event_ns: int) -> None:
        """Where the machine tells the lot's first reading, the quantity is whole from there."""
        start = self.role.get("start")
        assert not isinstance(start, str)
        self._start_reading = self._last = start
        self._quantity = Fraction(0)

    def next(self, event_ns: int) -> None:
        """Goes on at the reading where the last interval ended."""
        self._start_reading = self._last
        self._quantity = Fraction(0)

    def turn(
        self, event_ns: int, before: Mapping[str, Value], values: Mapping[str, Value]
    ) -> list[Made]:
        """The old lot ends at the START told with the new one, else at the last reading before.

        A START below the last reading, with no sign of a reset, says that the lot was told late:
        what was counted since belongs to the new one, if this interval counted so much.
        """
        start, reading = values.get("start"), values.get("tag")
        if start is not None and before.get("lot") != self.role.get("lot"):
            assert not isinstance(start, str)
            assert not isinstance(reading, str)
            if reading is not None and self._last is not None and start < self._last <= reading:
                counted_since = Fraction(self._last) - Fraction(start)
                if counted_since <= self._quantity:
                    self._quantity -= counted_since
                    self._last = start
            else:
                self._count(start)
        return super().turn(event_ns, before, values)

    def measure(self, event_ns: int, value: Value) -> None:
        """A reading."""
        assert not isinstance(value, str)
        self._count(value)

    def close(self, end_ns: int) -> Made | None:
        """From reading to reading."""
        if self._start_reading is None:
            return None
        assert self.start_ns is not None
        return Made(
            "counter.segment",
            self.start_ns,
            self.start_ns,
            end_ns,
            quantity=self._quantity,
            start_reading=self._start_reading,
            end_reading=self._last,
        )

    def _count(self, reading: float | int) -> None:
        if self._last is None:  # nobody told where the lot began
            self._start_reading = self._last = reading
            self.flags.add("partial")
            return
        self._quantity += self._delta(Fraction(self._last), Fraction(reading))
        self._last = reading

    def _delta(self, last: Fraction, reading: Fraction) -> Fraction:
        if reading >= last:
            return reading - last
        over = self.rule.rollover - last + reading
        if self.rule.rollover and over <= Fraction(self.rule.rollover, 2):
            self.flags.add("rollover")
            return over
        self.flags.add("reset")
        return reading
