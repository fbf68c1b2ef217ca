"""table: figures become a table, for a terminal and for bench/README.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from measure import Figure

README = Path(__file__).resolve().parent / "README.md"
BEGIN, END = "<!-- run: begin -->", "<!-- run: end -->"
TARGETS = {
    "zmtp.packed64.vs_libzmq_cpu": "≥ 5",
    "zmtp.json64.vs_libzmq_cpu": "≥ 2",
    "zmtp.packed64.vs_raw": "≥ 0.35",
    "nats.packed64.vs_natsc_cpu": "≥ 7",
    "nats.packed64.vs_natspy_cpu": "≥ 100",
    "feed.random1k.vs_duckdb": "≥ 1.5",
    "feed.random1k.vs_polars": "≥ 1.5",
    "feed.random1k.vs_memory": "report",
}
HEAD = ("figure", "ours", "min to max", "beside it", "ratio", "target", "")


def number(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}"


def cells(figure: Figure) -> tuple[str, ...]:
    target = TARGETS.get(figure.name, "")
    if figure.value is None:
        return (figure.name, "no value", "", number(figure.baseline), "", target, figure.note)
    return (
        figure.name,
        f"{number(figure.value)} {figure.unit}",
        f"{number(figure.min)} to {number(figure.p99)}",
        number(figure.baseline),
        f"{figure.ratio:.2f}",
        target,
        figure.note,
    )


def plain(figures: Sequence[Figure]) -> str:
    rows = [HEAD, *map(cells, figures)]
    widths = [max(len(row[k]) for row in rows) for k in range(len(HEAD))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(lines)


def box_text(box: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in box["versions"].items())
    return (
        f"{box['date']}: {box['cpu']}, {box['cpus']} CPUs, {box['memory_gib']} GiB, Linux "
        f"{box['kernel']}, {box['cc']}, load {box['load']} at the start; {versions}."
    )


def markdown(figures: Sequence[Figure]) -> str:
    head = ("figure", "ours", "min to max", "beside it", "ratio", "target", "baseline; our rate")
    rows = [head, tuple("---" for _ in head), *map(cells, figures)]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([box_text(figures[0].box), "", *lines])


def write_readme(figures: Sequence[Figure]) -> None:
    """Replaces what stands between the two marks by this run."""
    before, rest = README.read_text().split(BEGIN)
    _, after = rest.split(END)
    README.write_text(f"{before}{BEGIN}\n{markdown(figures)}\n{END}{after}")
