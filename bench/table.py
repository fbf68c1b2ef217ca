"""table: figures become a table, for a terminal and for bench/README.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from figure import Figure, figure_from, ratio_of
from machine import ROOT

MARKS = ("<!-- run: begin -->", "<!-- run: end -->")
SHORT_MARKS = ("<!-- numbers: begin -->", "<!-- numbers: end -->")
HEAD = ("figure", "ours", "min to max", "beside it", "ratio", "target", "", "")
# The README has two hundred lines: these stand in the whole table alone.
WHOLE_ONLY = ("ledger.commit1.tmpfs", "ledger.commit100.tmpfs", "python.calls_per_million_samples",
              "checkpoint.pause")  # fmt: skip
VERDICT = {True: "met", False: "MISSED", None: ""}


def number(value: float | None) -> str:
    """Three digits or more, never an exponent: 0.0213, 1.24, 83.8, 4,751."""
    if value is None:
        return ""
    size = abs(value)
    digits = 0 if size >= 1000 or value == int(value) else 1 if size >= 10 else 2
    return f"{value:,.{digits}f}" if size >= 0.1 or value == 0 else f"{value:.3g}"


def cells(figure: Figure) -> tuple[str, ...]:
    if figure.value is None:
        return (figure.name, "no value", "", number(figure.baseline), "", figure.target, "",
                figure.note)  # fmt: skip
    return (
        figure.name,
        f"{number(figure.value)} {figure.unit}",
        f"{number(figure.min)} to {number(figure.p99)}",
        number(figure.baseline),
        number(figure.ratio),
        figure.target,
        VERDICT[figure.is_met],
        remarks(figure),
    )


def remarks(figure: Figure) -> str:
    """The note, and after it what the figure has besides: parts, machine busy time, delays."""
    said = [figure.note] if figure.note else []
    if figure.machine_busy is not None:
        said.append(f"machine busy {number(figure.machine_busy)}")
    said += [f"{name} {number(value)}" for name, value in figure.parts.items()]
    said += [
        f"delay at {load} % load p50 {number(p50)} µs, p99.9 {number(p999)} µs"
        for load, (p50, p999) in figure.delay.items()
    ]
    return "; ".join(said)


def summary(figures: Sequence[Figure]) -> str:
    """One line: how many targets were met, which were missed, what has no value."""
    met = sum(each.is_met is True for each in figures)
    missed = [each.name for each in figures if each.is_met is False]
    skipped = [each.name for each in figures if each.is_skipped]
    wrong = [each.name for each in figures if each.value is None and not each.is_skipped]
    said = [f"{met} of {met + len(missed)} targets met"]
    for word, names in (("missed", missed), ("skipped", skipped), ("WRONG WORK", wrong)):
        if names:
            said.append(f"{word}: {', '.join(names)}")
    return "; ".join(said)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(lines)


def plain(figures: Sequence[Figure]) -> str:
    return aligned([HEAD, *map(cells, figures)])


def beside_file(figures: Sequence[Figure], path: Path) -> list[tuple[str, ...]]:
    """Rows: each figure now and in an earlier --json. It judges nothing: a box is never twice the
    same.
    """
    before = {each.name: each for each in map(figure_from, path.read_text().splitlines())}
    rows = [("figure", "now", "then", "better by", "ratio now", "ratio then", "date then")]
    for figure in figures:
        then = before.get(figure.name)
        if then is None or then.value is None or figure.value is None:
            continue
        by = ratio_of(figure.unit, figure.value, then.value)
        rows.append(
            (figure.name, f"{number(figure.value)} {figure.unit}", number(then.value), number(by),
             number(figure.ratio), number(then.ratio), str(then.box.get("date", "")))
        )  # fmt: skip
    return rows


def box_text(box: Mapping[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in box["versions"].items())
    return (
        f"{box['date']}: {box['cpu']}, {box['cpus']} CPUs, {box['memory_gib']} GiB, Linux "
        f"{box['kernel']}, {box['cc']}, load {box['load']} at the start; "
        f"penstock at {box.get('revision') or 'an unknown revision'}; {versions}."
    )


def rows_of(rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown; the first row is its head."""
    head, *body = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *body))


def markdown(figures: Sequence[Figure]) -> str:
    """What bench/README.md shows of a run: all of it."""
    head = (*HEAD[:-2], "met", "remarks")
    table = rows_of([head, *map(cells, figures)])
    return f"{box_text(figures[0].box)}\n\n{summary(figures)}\n\n{table}"


def short_markdown(figures: Sequence[Figure]) -> str:
    """What the README shows: the figures that have a target, but for a few."""
    rows = [("figure", "ours", "beside it", "ratio", "target", "met")]
    for figure in figures:
        is_shown = figure.target != "report" and figure.name not in WHOLE_ONLY
        if is_shown and figure.value is not None:
            name, ours, _, beside, ratio, target, verdict, _ = cells(figure)
            rows.append((f"`{name}`", ours, beside, ratio, target, verdict))
    return f"{box_text(figures[0].box)}\n\n{rows_of(rows)}"


def put_between(path: Path, marks: tuple[str, str], text: str) -> None:
    """Replaces what stands between the two marks of a file."""
    begin, end = marks
    before, rest = path.read_text().split(begin)
    _, after = rest.split(end)
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def write_readme(figures: Sequence[Figure], root: Path = ROOT) -> None:
    """This run into bench/README.md, and its figures with a target into README.md."""
    put_between(root / "bench" / "README.md", MARKS, markdown(figures))
    put_between(root / "README.md", SHORT_MARKS, short_markdown(figures))
