"""report: figures become one self-contained page: bars against targets, delays over load, curves,
the table, and the box they were taken on. Everything that is text is escaped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import plots
import table
from figure import Figure
from targets import RATIO, TARGETS

BOX_ROWS = (
    ("date", "date"), ("revision", "git revision"), ("cpu", "CPU"), ("cpus", "CPUs"),
    ("memory_gib", "memory, GiB"), ("kernel", "Linux"), ("libc", "libc"), ("cc", "compiler"),
    ("load", "load at the start"),
)  # fmt: skip
STYLE = """
:root { --ink: #1c2430; --dim: #667085; --grid: #e3e7ee; --back: #fff; --met: #2e7d5b;
  --missed: #c2543d; --plain: #5b7fb0; --mark: #1c2430; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --dim: #98a2b3; --grid: #303846;
  --back: #161b22; --met: #4fae86; --missed: #e0775f; --plain: #7fa3d6; --mark: #e6e9ef; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--back);
  max-width: 980px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p.dim, .dim { color: var(--dim); }
table { border-collapse: collapse; font-size: 13px; width: 100%; }
td, th { text-align: left; padding: 3px 10px 3px 0; border-bottom: 1px solid var(--grid);
  vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.wide { overflow-x: auto; }
svg { width: 100%; height: auto; } svg text { font-size: 12px; fill: var(--ink); }
svg text.small { font-size: 11px; fill: var(--dim); }
svg .grid { stroke: var(--grid); } svg .one { stroke: var(--dim); stroke-dasharray: 3 3; }
svg .target { stroke: var(--mark); stroke-width: 2.5; }
rect.met { fill: var(--met); } rect.missed { fill: var(--missed); }
rect.plain { fill: var(--plain); }
td.met { color: var(--met); } td.missed { color: var(--missed); font-weight: 600; }
polyline { fill: none; stroke-width: 2; } line[class^=line] { stroke-width: 2; }
"""
LINES = ("#3b6fb6", "#c2543d", "#2e7d5b", "#8a5fb0", "#b8862b", "#4a9aa8")


def style() -> str:
    drawn = "".join(
        f".line{at} {{ stroke: {colour}; }} circle.line{at} {{ fill: {colour}; }}\n"
        for at, colour in enumerate(LINES)
    )
    return STYLE + drawn


def cell(said: str, kind: str = "") -> str:
    return f'<td class="{kind}">{escape(said)}</td>' if kind else f"<td>{escape(said)}</td>"


def box_table(box: Mapping[str, Any]) -> str:
    rows = [(name, str(box[key])) for key, name in BOX_ROWS if box.get(key) not in (None, "")]
    rows += [(name, str(version)) for name, version in box.get("versions", {}).items()]
    return "<table>" + "".join(f"<tr>{cell(a)}{cell(b)}</tr>" for a, b in rows) + "</table>"


def figure_table(figures: Sequence[Figure]) -> str:
    head = (*table.HEAD[:-2], "met", "remarks")
    rows = ["<tr>" + "".join(f"<th>{escape(name)}</th>" for name in head) + "</tr>"]
    for figure in figures:
        verdict = {True: "met", False: "missed", None: ""}[figure.is_met]
        kinds = ("", "number", "number", "number", "number", "", verdict, "dim")
        said = table.cells(figure)
        rows.append("<tr>" + "".join(map(cell, said, kinds)) + "</tr>")
    return f'<div class="wide"><table>{"".join(rows)}</table></div>'


def ratio_bars(figures: Sequence[Figure]) -> str:
    rows = []
    for figure in figures:
        if figure.value is None or figure.ratio is None:
            continue
        bounds = [each.limit for each in TARGETS.get(figure.name, ()) if each.what == RATIO]
        target = bounds[0] if bounds else None
        rows.append(plots.BarRow(figure.name, figure.ratio, target, figure.is_met))
    return plots.bars(rows, "ratio of each figure, its target as a tick")


def delay_plots(figures: Sequence[Figure]) -> list[str]:
    found = []
    for figure in figures:
        if not figure.delay:
            continue
        lines = {
            label: [(float(load), each[at]) for load, each in figure.delay.items()]
            for at, label in enumerate(("p50", "p99.9"))
        }
        plot = plots.curves(lines, f"delay of {figure.name}", "load, % of the rate measured", "µs")
        found.append(f"<h3>{escape(figure.name)}</h3>{plot}")
    return found


def curve_plots(figures: Sequence[Figure]) -> list[str]:
    return [
        f"<h3>{escape(figure.name)}</h3>"
        + plots.curves(figure.curve, f"curve of {figure.name}", "", figure.unit)
        for figure in figures
        if figure.curve
    ]


def section(title: str, lead: str, parts: Sequence[str]) -> str:
    if not any(parts):
        return ""
    return f'<h2>{escape(title)}</h2><p class="dim">{escape(lead)}</p>{"".join(parts)}'


def page(figures: Sequence[Figure]) -> str:
    """The whole page of one run."""
    box = figures[0].box
    parts = [
        "<h1>penstock bench</h1>",
        f"<p>{escape(table.summary(figures))}</p>",
        section("Ratios", "Ours against the limit or the peer of the same run; bigger is better,"
                " 1 is equal. The tick is the target.", [ratio_bars(figures)]),
        section("Figures", "A figure without a ratio stands against a bound of its own. Medians of"
                " runs in turns; work is checked in each.", [figure_table(figures)]),
        section("Added delay", "Planned send to the event in the consumer's hands, open loop.",
                delay_plots(figures)),
        section("Curves", "Both axes logarithmic.", curve_plots(figures)),
        section("Box", "All of it from one run on this machine.", [box_table(box)]),
    ]  # fmt: skip
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>penstock bench {escape(str(box.get('date', '')))}</title>"
        f"<style>{style()}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def write(figures: Sequence[Figure], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page(figures), encoding="utf-8")
