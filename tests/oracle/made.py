"""Made: what a rule makes: an event, or the pane of a closed window."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from oracle.feed import Value


@dataclass(slots=True)
class Pane:
    """One window of one tag. ``terms`` are its values in the order they came."""

    start_ns: int
    end_ns: int
    terms: list[float]
    first: float
    last: float
    first_ns: int
    last_ns: int
    is_partial: bool = False  # nobody knows what came before the tag's first sample
    rule: str = ""
    tag: str = ""

    @property
    def total(self) -> Fraction:
        """The exact sum."""
        return sum((Fraction(each) for each in self.terms), Fraction(0))

    @property
    def tolerance(self) -> Fraction:
        """How far a compensated sum may be off, beside one unit in the last place of the rounded
        one.
        """
        size = sum((abs(Fraction(each)) for each in self.terms), Fraction(0))
        return Fraction(len(self.terms) ** 2, 2**104) * size


@dataclass(slots=True)
class Made:
    """One event. What its kind does not carry is None; the judge fills in ``rule`` and what
    follows.
    """

    kind: str
    at_ns: int
    start_ns: int
    end_ns: int | None
    value: Value | None = None
    quantity: Fraction | None = None
    tolerance: Fraction = Fraction(0)  # of quantity, beside one unit in the last place
    start_reading: float | int | None = None
    end_reading: float | int | None = None
    limit: float | None = None
    count: int = 0
    pane: Pane | None = None
    flags: frozenset[str] = frozenset()
    lot: str = ""
    order: str = ""
    text: str = ""
    rule: str = ""
    series: str = ""
    tag: str = ""
    asset: str = ""
    occurrence: int = 0
    id: str = ""
