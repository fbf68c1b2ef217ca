"""Made: what a rule makes: an event, or the pane of a closed window."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from oracle.feed import Value
from oracle.plan import Rule


@dataclass(frozen=True, slots=True)
class Point:
    """One sample in a window; ``value`` None: of bad quality."""

    event_ns: int
    value: float | None
    raw: Value = 0  # as sent: a state's code or text
    is_uncertain: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """A value that was known to hold over a stretch of time."""

    start_ns: int
    end_ns: int
    value: float
    raw: Value = 0


@dataclass(slots=True)
class Pane:
    """One window of one tag. ``points`` are its samples in the order they came; ``held`` what was
    known, where an aggregate asks for it.
    """

    start_ns: int
    end_ns: int
    points: list[Point]
    held: list[Held] = field(default_factory=list)
    is_partial: bool = False  # nobody knows what came before the tag's first sample
    is_cut_late: bool = False  # by a change told after the watermark had passed it
    is_clock_regress: bool = False  # the clock went back while it was open
    revision: int = 0
    rule: str = ""
    tag: str = ""
    lot: str = ""
    order: str = ""
    plan: Rule | None = None

    @property
    def terms(self) -> list[float]:
        """The good values, in the order they came."""
        return [point.value for point in self.points if point.value is not None]

    @property
    def flags(self) -> frozenset[str]:
        """What is to be said of it."""
        is_uncertain = any(point.is_uncertain for point in self.points)
        said = {
            "partial": self.is_partial,
            "uncertain": is_uncertain,
            "cut_late": self.is_cut_late,
            "clock_regress": self.is_clock_regress,
        }
        return frozenset(flag for flag, is_so in said.items() if is_so)

    @property
    def total(self) -> Fraction:
        """The exact sum."""
        return exact_sum(self.terms)

    @property
    def tolerance(self) -> Fraction:
        """How far a compensated sum may be off."""
        return compensated(self.terms)

    @property
    def good(self) -> list[Point]:
        """By event time; samples of one stamp in the order they came."""
        known = [point for point in self.points if point.value is not None]
        return sorted(known, key=lambda point: point.event_ns)

    @property
    def first(self) -> float | None:
        """Of the earliest stamp, the one that came first."""
        return self.good[0].value if self.good else None

    @property
    def last(self) -> float | None:
        """Of the latest stamp, the one that came last."""
        return self.good[-1].value if self.good else None


def exact_sum(terms: list[float]) -> Fraction:
    """Without any rounding: every double is a whole number over a power of two."""
    ratios = [each.as_integer_ratio() for each in terms]
    common = max((below for _, below in ratios), default=1)
    return Fraction(sum(above * (common // below) for above, below in ratios), common)


def exact_squares(terms: list[float]) -> Fraction:
    """The sum of their squares, without any rounding."""
    ratios = [each.as_integer_ratio() for each in terms]
    common = max((below for _, below in ratios), default=1)
    squares = sum((above * (common // below)) ** 2 for above, below in ratios)
    return Fraction(squares, common * common)


def compensated(terms: list[float]) -> Fraction:
    """How far a compensated sum of these may be off, beside one unit in the last place of the
    rounded one.
    """
    return Fraction(len(terms) ** 2, 2**104) * exact_sum([abs(each) for each in terms])


@dataclass(slots=True)
class Standing:
    """An alarm that is active, shelved or suppressed; ``level``, ``since_ns`` and ``value`` are of
    its highest active level. The judge fills in ``rule`` and ``tag``.
    """

    rule: str = ""
    tag: str = ""
    level: str = ""
    since_ns: int | None = None
    value: float | int | None = None
    is_acknowledged: bool = False
    shelved_until_ns: int | None = None
    is_suppressed: bool = False


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
    by: str = ""
    revision: int = 0
    rule: str = ""
    series: str = ""
    tag: str = ""
    asset: str = ""
    occurrence: int = 0
    time_epoch: int = 0
    id: str = ""


@dataclass(slots=True)
class Outcome:
    """What a recording gives. ``folded``: what chattering events stand for, by (rule, tag)."""

    events: list[Made] = field(default_factory=list)
    results: list[Pane] = field(default_factory=list)
    used: int = 0
    future: int = 0
    nan: int = 0
    late: int = 0
    out_of_order: int = 0
    suppressed: int = 0
    micro_dropped: int = 0
    folded: dict[tuple[str, str], int] = field(default_factory=dict)
    alarms: list[Standing] = field(default_factory=list)
