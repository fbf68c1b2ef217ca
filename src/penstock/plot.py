"""Plot: closed windows become one small SVG picture, the same bytes for the same results.

For pages, tickets and mails: no notebook, no font, no dependency.
"""

from __future__ import annotations

import math
from html import escape

from penstock.columns import Results

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 240, 56, 12, 28, 30


def svg(
    results: Results,
    *,
    tag: str | None = None,
    rule: str | None = None,
    limit: float | None = None,
    title: str = "",
) -> str:
    """Mean as a line over a band from min to max, one point a window; ``limit`` as a dashed line.

    ``tag`` and ``rule`` choose where the results hold several. ValueError where there is nothing to
    draw, or the choice is not made.
    """
    tag = _chosen("tag", tag, results.tag_names)
    rule = _chosen("rule", rule, results.rule_names)
    rows = [row for row in results.rows() if (row["tag"], row["rule"]) == (tag, rule)]
    rows = sorted((row for row in rows if row["count"]), key=lambda row: row["start_ns"])
    if not rows:
        raise ValueError(f"plot: no window of {tag} by {rule} holds a sample")
    marks = [] if limit is None else [limit]
    low = min([*(row["min"] for row in rows), *marks])
    high = max([*(row["max"] for row in rows), *marks])
    ticks = _ticks(low, high)
    first, last = rows[0]["start_ns"], rows[-1]["end_ns"]

    def x(at_ns: int) -> str:
        return _n(LEFT + (WIDTH - LEFT - RIGHT) * (at_ns - first) / max(1, last - first))

    def y(value: float) -> str:
        share = (value - ticks[0]) / (ticks[-1] - ticks[0])
        return _n(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share)

    middle = [(row["start_ns"] + row["end_ns"]) // 2 for row in rows]
    band = [f"{x(at)},{y(row['max'])}" for at, row in zip(middle, rows, strict=True)]
    band += [f"{x(at)},{y(row['min'])}" for at, row in reversed([*zip(middle, rows, strict=True)])]
    line = [f"{x(at)},{y(row['mean'])}" for at, row in zip(middle, rows, strict=True)]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="11" fill="#333">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="16" font-size="13">{escape(title or f"{tag}, {rule}")}</text>',
    ]
    for tick in ticks:
        parts.append(
            f'<path d="M{LEFT} {y(tick)}H{WIDTH - RIGHT}" stroke="#ddd"/>'
            f'<text x="{LEFT - 6}" y="{y(tick)}" dy="4" text-anchor="end">{tick:g}</text>'
        )
    parts.append(f'<polygon points="{" ".join(band)}" fill="#9ecae1"/>')
    parts.append(
        f'<polyline points="{" ".join(line)}" fill="none" stroke="#08519c" stroke-width="1.5"/>'
    )
    if limit is not None:
        parts.append(
            f'<path d="M{LEFT} {y(limit)}H{WIDTH - RIGHT}" stroke="#cb181d" '
            'stroke-dasharray="5 3"/>'
        )
    for at, anchor in ((first, "start"), (last, "end")):
        parts.append(
            f'<text x="{x(at)}" y="{HEIGHT - 10}" text-anchor="{anchor}">{_clock(at)}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def _chosen(what: str, given: str | None, known: tuple[str, ...]) -> str:
    if given is None and len(known) == 1:
        return known[0]
    if given is None or given not in known:
        raise ValueError(
            f"plot: {what} is one of {', '.join(known) or 'none: no window has closed'}"
        )
    return given


def _ticks(low: float, high: float) -> list[float]:
    """Three to seven round numbers around low and high."""
    span = high - low or abs(high) or 1.0
    step = 10.0 ** math.floor(math.log10(span / 4))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= 5)
    start, end = math.floor(low / step), math.ceil(high / step)
    return [round(step * i, 9) for i in range(start, max(end, start + 1) + 1)]


def _n(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _clock(at_ns: int) -> str:
    seconds = at_ns // 1_000_000_000 % 86_400
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d} UTC"
