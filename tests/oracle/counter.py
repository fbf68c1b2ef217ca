"""Counter: a register's exact deltas, split where the lot or order changes."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction

from oracle.feed import Value
from oracle.made import Made
from oracle.plan import Rule
from oracle.segment import Segments

_NEVER_NS = -(2**63)


class Counter(Segments):
    """One register. With a START tag each lot begins at the reading the machine gives for it."""

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule)
        self._start_reading: float | int | None = None
        self._last: float | int | None = None
        self._quantity = Fraction(0)
        self._has_read = self._is_first = False  # a reading; in the first interval, partial
        self._newest: float | int | None = None  # of a lot told late, counted already
        self._read_ns = _NEVER_NS  # when the newest reading was

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
        self._is_first = False
        if self._newest is not None:
            self._count(self._newest)
            self._newest = None

    def is_first_cut(self, role: str, values: Mapping[str, Value]) -> bool:
        """A lot known for the first time began at its START: before our first reading, then all
        since is its own; or after it, then another one ran until there.
        """
        start = values.get("start")
        if role != "lot" or start is None or self._start_reading is None:
            return False
        assert not isinstance(start, str)
        if start > self._start_reading or self.is_boundary:
            return True
        self._learn(start)
        return False

    def _learn(self, start: float | int) -> None:
        """START told after the first readings of the first interval: it is whole from there."""
        if self._is_first and self._start_reading is not None and start <= self._start_reading:
            self._quantity += Fraction(self._start_reading) - Fraction(start)
            self._start_reading = start
            self.flags.discard("partial")
            self._is_first = False

    def stay(self, before: Mapping[str, Value], values: Mapping[str, Value]) -> None:
        """No cut here; a START may be new all the same."""
        start = values.get("start")
        assert not isinstance(start, str)
        if start is not None and before.get("start") != start:
            self._learn(start)

    def turn(
        self, event_ns: int, before: Mapping[str, Value], values: Mapping[str, Value]
    ) -> list[Made]:
        """The old lot ends at the START told with the new one, else at the last reading before.

        A START below the last reading, with no sign of a reset, says that the lot was told late:
        what was counted since belongs to the new one, if this interval counted so much. A START
        told before says nothing new of the same lot.
        """
        start, reading = values.get("start"), values.get("tag")
        if reading is not None and self.is_uncertain:  # it says where the old lot ended, too
            self.flags.add("uncertain")
        is_other_lot = before.get("lot") != self.role.get("lot")
        if start is not None and (is_other_lot or before.get("start") != start):
            assert not isinstance(start, str)
            assert not isinstance(reading, str)
            last = self._last
            negative = self.rule.negative
            is_back = reading is not None and last is not None and reading < last
            if last is not None and start < last and (negative == "ignore" or not is_back):
                counted_since = Fraction(last) - Fraction(start)
                if counted_since <= self._quantity or negative == "subtract":
                    self._quantity -= counted_since
                    self._last, self._newest = start, last
            else:
                self._count(start)
        return super().turn(event_ns, before, values)

    def measure(self, event_ns: int, value: Value) -> None:
        """A reading."""
        assert not isinstance(value, str)
        self.is_counted = True
        if not self._has_read:
            self._has_read = True
            if self._last is not None and self._is_back(value):  # START of another epoch
                self._last = None
        self._count(value)
        if self.is_counted:
            self._read_ns = event_ns

    def regress(self) -> list[Made]:
        """Ends at the last reading, and goes on at that register."""
        self._newest_ns, self._read_ns = self._read_ns, _NEVER_NS
        return super().regress()

    def goes_on_with(self, values: Mapping[str, Value], *, is_cut: bool) -> bool:
        """A reading that is not passed over, or another lot."""
        reading = values.get("tag")
        assert not isinstance(reading, str)
        is_ignored = self.rule.negative == "ignore" and self._last is not None
        is_ignored = is_ignored and reading is not None and self._is_back(reading)
        return is_cut or (reading is not None and not is_ignored)

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
            self._is_first = True
            self.flags.add("partial")
            return
        if self._is_back(reading):
            if self.rule.negative == "ignore":
                self.is_counted = False
                return
            self.flags.add("corrected" if self.rule.negative == "subtract" else "reset")
        self._quantity += self._delta(Fraction(self._last), Fraction(reading))
        self._last = reading

    def _is_back(self, reading: float | int) -> bool:
        """Below the last one, and no rollover."""
        assert self._last is not None
        return reading < self._last and not self._has_rolled(reading)

    def _delta(self, last: Fraction, reading: Fraction) -> Fraction:
        if reading >= last or (self.rule.negative == "subtract" and not self._has_rolled(reading)):
            return reading - last
        if self._has_rolled(reading):
            self.flags.add("rollover")
            return self.rule.rollover - last + reading
        return reading

    def _has_rolled(self, reading: float | int | Fraction) -> bool:
        """Up to half the range beyond the modulus."""
        assert self._last is not None
        if not self.rule.rollover or reading >= self._last:
            return False
        over = self.rule.rollover - Fraction(self._last) + Fraction(reading)
        return over <= Fraction(self.rule.rollover, 2)
