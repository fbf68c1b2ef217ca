"""Figures: what a window's aggregates must be, exactly, and how far a double may be off."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from oracle.made import Held, Pane, compensated, exact_squares, exact_sum

S = 10**9
NORMAL = 1e-300
ALWAYS = ("count", "sum", "mean", "min", "max", "first", "last")
_ROUNDING = Fraction(1, 2**53)  # relative, of one operation


@dataclass(frozen=True, slots=True)
class Figure:
    """``exact`` None: not a number. ``tolerance`` is absolute; 0: to the bit."""

    exact: Fraction | None
    tolerance: Fraction = Fraction(0)

    def allows(self, found: float | int) -> bool:
        """Whether a double may stand for it."""
        if self.exact is None:
            return math.isnan(found)
        if not math.isfinite(found):
            return False
        if not self.tolerance:
            return found.as_integer_ratio() == self.exact.as_integer_ratio()
        if found == float(self.exact) and abs(found) > NORMAL:  # the double nearest to it
            return True
        return abs(Fraction(found) - self.exact) <= self.tolerance


def figures(pane: Pane, asked: frozenset[str]) -> dict[str, Figure]:
    """Of each aggregate that is always there or asked for."""
    found = _always(pane)
    makers = {
        "range": _range,
        "variance": _variance,
        "rate": _rate,
        "completeness": _completeness,
        "quality_share": _quality_share,
        "integral": lambda pane: _integral(pane.held),
        "tw_mean": _tw_mean,
        "share": _share,
    }
    return found | {name: make(pane) for name, make in makers.items() if name in asked}


def times(pane: Pane) -> tuple[int | None, int | None]:
    """Earliest stamps at which the least and the greatest value stood."""
    good = [(point.value, point.event_ns) for point in pane.good if point.value is not None]
    if not good:
        return None, None
    least, greatest = min(v for v, _ in good), max(v for v, _ in good)
    return (
        min(time_ns for value, time_ns in good if value == least),
        min(time_ns for value, time_ns in good if value == greatest),
    )


def _ulp(exact: Fraction) -> Fraction:
    return Fraction(math.ulp(float(exact)))


def _always(pane: Pane) -> dict[str, Figure]:
    terms = pane.terms
    if not terms:
        return {"count": Figure(Fraction(0)), **{name: Figure(None) for name in ALWAYS[1:]}}
    total, tolerance = exact_sum(terms), compensated(terms)
    mean = total / len(terms)
    good = pane.good
    assert good[0].value is not None
    assert good[-1].value is not None
    return {
        "count": Figure(Fraction(len(terms))),
        "sum": Figure(total, _ulp(total) + tolerance),
        "mean": Figure(mean, 2 * _ulp(mean) + tolerance / len(terms)),
        "min": Figure(Fraction(min(terms))),
        "max": Figure(Fraction(max(terms))),
        "first": Figure(Fraction(good[0].value)),
        "last": Figure(Fraction(good[-1].value)),
    }


def _range(pane: Pane) -> Figure:
    terms = pane.terms
    return Figure(Fraction(max(terms) - min(terms)) if terms else None)


def _variance(pane: Pane) -> Figure:
    """Of a sample (n - 1); nobody knows it of one value."""
    terms = pane.terms
    if len(terms) < 2:
        return Figure(None)
    spread = exact_squares(terms) - exact_sum(terms) ** 2 / len(terms)
    exact = spread / (len(terms) - 1)
    return Figure(exact, exact / 10**9)


def _rate(pane: Pane) -> Figure:
    """Per second, from the first to the last."""
    good = pane.good
    if not good or good[0].event_ns == good[-1].event_ns:
        return Figure(None)
    first, last = good[0].value, good[-1].value
    assert first is not None
    assert last is not None
    exact = (Fraction(last) - Fraction(first)) * S / (good[-1].event_ns - good[0].event_ns)
    return Figure(exact, abs(exact) * 4 * _ROUNDING)


def _completeness(pane: Pane) -> Figure:
    assert pane.plan is not None
    if pane.end_ns == pane.start_ns:
        return Figure(None)
    expected = Fraction(pane.end_ns - pane.start_ns, pane.plan.expected_ns)
    exact = len(pane.terms) / expected
    return Figure(exact, exact * 4 * _ROUNDING)


def _quality_share(pane: Pane) -> Figure:
    if not pane.points:
        return Figure(None)
    exact = Fraction(len(pane.terms), len(pane.points))
    return Figure(exact, exact * 2 * _ROUNDING)


def _products(held: list[Held]) -> list[float]:
    """Value times seconds, as doubles: what the sum is made of."""
    return [each.value * ((each.end_ns - each.start_ns) * 1e-9) for each in held]


def _integral(held: list[Held]) -> Figure:
    products = _products(held)
    total = exact_sum(products)
    return Figure(total, _ulp(total) + compensated(products))


def _tw_mean(pane: Pane) -> Figure:
    known_ns = sum(each.end_ns - each.start_ns for each in pane.held)
    if not known_ns:
        return Figure(None)
    integral = _integral(pane.held)
    assert integral.exact is not None
    exact = integral.exact * S / known_ns
    slack = abs(exact) * 2 * _ROUNDING  # seconds as a double
    return Figure(exact, integral.tolerance * S / known_ns + 2 * _ulp(exact) + slack)


def _share(pane: Pane) -> Figure:
    assert pane.plan is not None
    if pane.end_ns == pane.start_ns:
        return Figure(None)
    inside_ns = sum(
        each.end_ns - each.start_ns for each in pane.held if each.raw in pane.plan.share_of
    )
    exact = Fraction(inside_ns, pane.end_ns - pane.start_ns)
    return Figure(exact, exact * 3 * _ROUNDING)
