"""drawing: a signal and when its rule fires, as a small SVG made by the engine from a shipped case.

The same case gives the same bytes: every number is rounded, nothing depends on the machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Any

from penstock.config import Config, Rule, load_config
from penstock.replay.case import play, samples

WIDTH, LEFT, RIGHT, TOP = 720, 62, 14, 30
SIGNAL, LANE, AXIS = 130, 20, 26
LANES_MAX = 8
INK, PALE, LINE, FIRE, CALM, BAR = "#222", "#999", "#1f6fb2", "#c62f2f", "#2c8a4b", "#f0c36b"
BANDS = ("#cfe3f5", "#f5d3cf", "#d9efd9", "#efe3c4", "#e2d7ef")
NS = 10**9


@dataclass(frozen=True)
class Mark:
    """Something that the engine told: a moment, or an interval with its label."""

    start_s: float
    end_s: float | None
    label: str
    is_fire: bool


class Drawing:
    """One case, one tag: what was sent, above; what came of it, below."""

    def __init__(self, folder: Path, tag: str, told: str = "") -> None:
        """``told``: what the events are of; default the tag."""
        self._config: Config = load_config(folder / "config.toml", is_environment_known=False)
        self._tag, self._told_of = tag, told or tag
        self._points = [(t, v) for t, name, v in samples(folder) if name == tag]
        self._zero_ns = min(t for t, _ in self._points)
        made, _ = play(folder)
        self._marks = list(self._read(made["events"], made["results"]))
        ends = [t for t, _ in self._points]
        moments = [m.start_s if m.end_s is None else m.end_s for m in self._marks]
        self._span_s = max((max(ends) - self._zero_ns) / NS, *moments, 1e-9)
        values = [v for _, v in self._points if isinstance(v, float)]
        levels = [value for value, _ in self._levels()]
        self._low = min([*values, *levels], default=0.0)
        self._high = max([*values, *levels], default=1.0)
        if self._high == self._low:
            self._low, self._high = self._low - 1, self._high + 1

    # ---- what is drawn ----------------------------------------------------------------------

    def _read(
        self, events: list[Mapping[str, Any]], results: list[Mapping[str, Any]]
    ) -> Iterator[Mark]:
        for each in [*events, *results]:
            if each["tag"] != self._told_of:
                continue
            kind = each.get("kind", "result")
            start = self._seconds(each.get("at", each["start"]))
            end = self._seconds(each["end"]) if "end" in each else None
            if kind.endswith(".clear"):
                yield Mark(self._seconds(each["start"]), end, kind, False)
            elif end is None or kind.endswith((".trip", ".realarm")):
                yield Mark(start, None, kind, True)
            else:
                yield Mark(self._seconds(each["start"]), end, f"{kind}{_figure(each)}", False)

    def _seconds(self, text: str) -> float:
        whole, _, part = text.rstrip("Z").partition(".")
        seconds = int(datetime.fromisoformat(whole + "+00:00").timestamp())
        return (seconds * NS + int(part.ljust(9, "0") or 0) - self._zero_ns) / NS

    def _rules(self) -> Iterator[Rule]:
        for rule in self._config.rules:
            head, _, tail = rule.tag.partition("*")
            if self._tag.startswith(head) and self._tag.endswith(tail):
                yield rule

    def _levels(self) -> Iterator[tuple[float, str]]:
        for rule in self._rules():
            if rule.kind != "limit":
                continue
            for name, level in rule.levels().items():
                yield level.value, name
                sign = 1 if name.startswith("low") else -1
                if level.deadband:
                    yield level.value + sign * level.deadband, "clears"

    # ---- places -----------------------------------------------------------------------------

    def _x(self, seconds: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * min(max(seconds / self._span_s, 0.0), 1.0)

    def _y(self, value: float) -> float:
        return TOP + SIGNAL * (1 - (value - self._low) / (self._high - self._low))

    # ---- parts ------------------------------------------------------------------------------

    def _signal(self) -> Iterator[str]:
        numbers = [(t, v) for t, v in self._points if isinstance(v, float)]
        if not numbers:
            yield from self._bands()
            return
        for value, name in self._levels():
            y = self._y(value)
            dash = "2 4" if name == "clears" else "6 3"
            yield _line(LEFT, y, WIDTH - RIGHT, y, PALE, f' stroke-dasharray="{dash}"')
            yield _text(WIDTH - RIGHT, y - 3, f"{name} {value:g}", PALE, "end")
        path = " ".join(
            f"{self._x((t - self._zero_ns) / NS):.1f},{self._y(v):.1f}" for t, v in numbers
        )
        yield f'<polyline points="{path}" fill="none" stroke="{LINE}" stroke-width="1.5"/>'
        if len(numbers) <= 80:
            for t, v in numbers:
                x, y = self._x((t - self._zero_ns) / NS), self._y(v)
                yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.2" fill="{LINE}"/>'
        yield _text(LEFT - 6, TOP + 4, f"{self._high:g}", INK, "end")
        yield _text(LEFT - 6, TOP + SIGNAL + 4, f"{self._low:g}", INK, "end")

    def _bands(self) -> Iterator[str]:
        """A tag of texts: one band a state."""
        names = list(dict.fromkeys(str(v) for _, v in self._points))
        starts = [(t - self._zero_ns) / NS for t, _ in self._points]
        last: tuple[float, str] | None = None
        for start, (_, value) in [*zip(starts, self._points, strict=True), (self._span_s, (0, ""))]:
            if last is not None and last[1] != str(value):
                x, end = self._x(last[0]), self._x(start)
                color = BANDS[names.index(last[1]) % len(BANDS)]
                yield _rect(x, TOP + 40, end - x, 50, color)
                yield _text(x + 4, TOP + 70, last[1], INK, "start")
                last = None
            if last is None:
                last = (start, str(value))

    def _told(self) -> Iterator[str]:
        below = TOP + SIGNAL + 18
        for lane, mark in enumerate(self._marks[:LANES_MAX]):
            y, x = below + lane * LANE, self._x(mark.start_s)
            if mark.end_s is None:
                yield _line(x, TOP, x, y + 7, FIRE, ' stroke-dasharray="1 3"')
                yield f'<path d="M{x - 5:.1f} {y + 12}h10l-5 -10z" fill="{FIRE}"/>'
                end = x + 8
            else:
                end = max(self._x(mark.end_s), x + 2)
                is_clear = mark.label.endswith(".clear")
                yield _rect(x, y + 2, end - x, 11, CALM if is_clear else BAR)
            yield self._label(mark.label, x, end, y + 12)
        if len(self._marks) > LANES_MAX:
            y = below + LANES_MAX * LANE + 12
            yield _text(LEFT, y, f"and {len(self._marks) - LANES_MAX} more", PALE, "start")

    def _label(self, label: str, x: float, end: float, y: float) -> str:
        """Behind its bar, before it where there is no room, in it where there is neither."""
        if end <= WIDTH * 0.7:
            return _text(end + 5, y, label, INK, "start")
        return (
            _text(x - 8, y, label, INK, "end") if x > 240 else _text(x + 4, y, label, INK, "start")
        )

    def _axis(self, y: int) -> Iterator[str]:
        yield _line(LEFT, y, WIDTH - RIGHT, y, INK, "")
        for part in range(6):
            seconds = self._span_s * part / 5
            yield _line(self._x(seconds), y, self._x(seconds), y + 4, INK, "")
            anchor = "end" if part == 5 else "middle"
            yield _text(self._x(seconds), y + 16, f"{seconds:.4g} s", INK, anchor)

    def svg(self) -> str:
        """The whole drawing."""
        lanes = min(len(self._marks), LANES_MAX) + (len(self._marks) > LANES_MAX)
        axis = TOP + SIGNAL + 18 + lanes * LANE + 6
        height = axis + AXIS
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="11">',
            f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
            _text(LEFT, 16, self._tag, INK, "start"),
            *self._signal(),
            *self._told(),
            *self._axis(axis),
            "</svg>",
        ]
        return "\n".join(parts) + "\n"


def _figure(each: Mapping[str, Any]) -> str:
    if "quantity" in each:
        return f" {float(each['quantity']):g} {each.get('unit', '')}".rstrip()
    if "text" in each:
        return f" {each['text']}"
    if each.get("kind") == "gap.lost":
        return f" {each['count']} samples"
    return f" mean {each['mean']:.4g}" if "mean" in each else ""


def _line(x: float, y: float, x2: float, y2: float, color: str, more: str) -> str:
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}"{more}/>'


def _rect(x: float, y: float, width: float, height: float, color: str) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{color}"/>'
    )


def _text(x: float, y: float, text: str, color: str, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{color}" text-anchor="{anchor}">{escape(text)}</text>'
    )
