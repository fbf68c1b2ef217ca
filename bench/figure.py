"""figure: one answer of the bench: numbers become a figure, and a figure one line of JSON."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

SIGNIFICANT = 6


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of JSON. ``ratio`` is what counts, always bigger is better.

    ``value`` None: skipped, or the work was not what the sender planned; ``note`` says which.
    A figure without ``baseline`` has no ratio; its target, if any, is a bound of its value or of
    one of its ``parts``, further numbers with a name each.
    """

    name: str
    unit: str
    value: float | None
    baseline: float | None
    ratio: float | None
    n: int
    min: float | None
    median: float | None
    p99: float | None
    wire: str
    box: Mapping[str, Any]
    note: str = ""
    target: str = ""
    is_met: bool | None = None  # None: there is no target, or no value
    machine_busy: float | None = None  # in ``unit``: of the whole machine, less the sender's CPU
    delay: Mapping[str, Sequence[float]] = field(default_factory=dict)  # load %: p50, p99.9 in µs
    took_s: float | None = None
    parts: Mapping[str, float] = field(default_factory=dict)
    curve: Mapping[str, Sequence[Sequence[float]]] = field(default_factory=dict)  # label: [x, y]

    @property
    def is_skipped(self) -> bool:
        return self.value is None and self.note.startswith("skipped: ")

    def as_json(self) -> str:
        return json.dumps(asdict(self), ensure_ascii=False)


def figure_from(line: str) -> Figure:
    """The figure of one line of JSON; words that a later bench added are left out."""
    found = json.loads(line)
    known = Figure.__dataclass_fields__
    return Figure(**{name: value for name, value in found.items() if name in known})


def is_bigger_better(unit: str) -> bool:
    """Rates ("rows/s"); all else is a cost: time, bytes, CPU."""
    return unit.endswith("/s")


def ratio_of(unit: str, value: float, baseline: float) -> float | None:
    """Ours against what stands beside it, bigger is better; None where nothing was measured."""
    over, under = (value, baseline) if is_bigger_better(unit) else (baseline, value)
    return rounded(over / under) if under > 0 else None


def rounded(value: float) -> float:
    """To six significant digits: what a bench knows, and what a reader can compare."""
    return float(f"{value:.{SIGNIFICANT}g}")


def p99_of(values: Sequence[float]) -> float:
    """The p99 of few rounds is their maximum."""
    ordered = sorted(values)
    return ordered[math.ceil(0.99 * len(ordered)) - 1]


def figure_of(
    name: str,
    unit: str,
    ours: Sequence[float],
    theirs: Sequence[float] = (),
    *,
    n: int,
    wire: str,
    box: Mapping[str, Any],
    note: str = "",
    problem: str = "",
) -> Figure:
    """Ours, by its median, against the median beside it; ``theirs`` is empty where a figure stands
    against a bound alone. With a ``problem`` it has no value: its work was wrong.
    """
    baseline = rounded(statistics.median(theirs)) if theirs else None
    if problem:
        return Figure(name, unit, None, baseline, None, n, None, None, None, wire, box, problem)
    value = rounded(statistics.median(ours))
    ratio = None if baseline is None else ratio_of(unit, value, baseline)
    return Figure(name, unit, value, baseline, ratio, n, rounded(min(ours)), value,
                  rounded(p99_of(ours)), wire, box, note)  # fmt: skip
