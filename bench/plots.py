"""plots: figures as inline SVG, drawn here: bars of ratios, curves over load or size. No script, no
font, no file from elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LABELS, BAR, GAP = 860, 300, 16, 8
HEIGHT, MARGIN = 260, 46
Points = Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class BarRow:
    """One bar. ``target`` None: there is none; ``is_met`` colours it."""

    label: str
    value: float
    target: float | None
    is_met: bool | None


def text(x: float, y: float, said: str, place: str = "start", kind: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{place}" class="{kind}">{escape(said)}</text>'
    )


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def svg(height: float, parts: Sequence[str], title: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )


def short(value: float) -> str:
    """At most three digits: 0.35, 12, 1.5k, 2M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def decades(low: float, high: float) -> tuple[float, float]:
    """Whole powers of ten around both."""
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    return 10.0**first, 10.0 ** max(last, first + 1)


def powers(low: float, high: float) -> Iterator[float]:
    value = low
    while value <= high * 1.0001:
        yield value
        value *= 10


def log_scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Logarithmic from [low, high] to [start, end]."""
    span = math.log(high / low)
    return lambda value: start + (end - start) * math.log(max(value, low) / low) / span


# ---- bars --------------------------------------------------------------------------------------


def bars(rows: Sequence[BarRow], title: str) -> str:
    """Ratios on a logarithmic axis, the target of each as a tick; 1 is what stands beside it."""
    shown = [row for row in rows if row.value > 0]
    if not shown:
        return ""
    every = [row.value for row in shown] + [row.target for row in shown if row.target] + [1.0]
    low, high = decades(min(every), max(every))
    place = log_scale(low, high, LABELS, WIDTH - 60)
    height = 24 + len(shown) * (BAR + GAP) + 8
    parts = []
    for value in powers(low, high):
        x = place(value)
        parts += [line(x, 20, x, height - 8, "one" if value == 1 else "grid")]
        parts += [text(x, 12, short(value), "middle", "small")]
    for at, row in enumerate(shown):
        y, x = 24 + at * (BAR + GAP), place(row.value)
        kind = {True: "met", False: "missed", None: "plain"}[row.is_met]
        parts += [
            text(LABELS - 8, y + BAR - 4, row.label, "end"),
            f'<rect x="{LABELS}" y="{y}" width="{max(x - LABELS, 1):.1f}" height="{BAR}"'
            f' class="{kind}"/>',
            text(x + 5, y + BAR - 4, short(row.value), "start", "small"),
        ]
        if row.target:
            parts.append(line(place(row.target), y - 2, place(row.target), y + BAR + 2, "target"))
    return svg(height, parts, title)


# ---- curves ------------------------------------------------------------------------------------


def curves(lines: Mapping[str, Points], title: str, x_name: str, y_name: str) -> str:
    """Named lines of points, both axes logarithmic; points that are not positive are left out."""
    kept = {
        label: [(p[0], p[1]) for p in points if p[0] > 0 and p[1] > 0]
        for label, points in lines.items()
    }
    kept = {label: points for label, points in kept.items() if points}
    if not kept:
        return ""
    xs = sorted({x for points in kept.values() for x, _ in points})
    ys = [y for points in kept.values() for _, y in points]
    low, high = decades(min(ys), max(ys))
    right = WIDTH - LABELS
    place_x = log_scale(xs[0], max(xs[-1], xs[0] * 1.001), MARGIN + 20, right)
    place_y = log_scale(low, high, HEIGHT - MARGIN, 24)
    parts = [text(MARGIN, 14, y_name, "start", "small"),
             text(right, HEIGHT - 6, x_name, "end", "small")]  # fmt: skip
    for value in powers(low, high):
        parts += [line(MARGIN, place_y(value), right, place_y(value), "grid"),
                  text(MARGIN - 6, place_y(value) + 4, short(value), "end", "small")]  # fmt: skip
    parts += [text(place_x(x), HEIGHT - MARGIN + 18, short(x), "middle", "small") for x in xs]
    for at, (label, points) in enumerate(kept.items()):
        parts += one_curve(label, [(place_x(x), place_y(y)) for x, y in points], at)
    return svg(HEIGHT, parts, title)


def one_curve(label: str, points: Sequence[tuple[float, float]], at: int) -> list[str]:
    kind = f"line{at % 6}"
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    marks = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" class="{kind}"/>' for x, y in points]
    y = 34 + at * 18
    left = WIDTH - LABELS + 20
    return [f'<polyline points="{path}" class="{kind}"/>', *marks,
            line(left, y - 4, left + 22, y - 4, kind), text(left + 28, y, label)]  # fmt: skip
