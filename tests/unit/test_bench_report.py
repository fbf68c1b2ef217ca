"""The page and the README of a run: complete, self-contained, escaped, and well-formed."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

sys.path.append(str(Path(__file__).resolve().parents[2] / "bench"))
import plots
import report
import table
from figure import Figure, figure_of
from targets import judged

BOX = {
    "date": "2026-11-24", "revision": "0123456789ab", "cpu": "<b>one & only</b>", "cpus": 2,
    "memory_gib": 8, "kernel": "6.1", "cc": "cc", "load": 0.1, "versions": {"python": "3.11"},
}  # fmt: skip
EVIL = '<script>alert("x")</script> a|b'


def figures() -> list[Figure]:
    def made(name: str, unit: str, value: float, beside: float | None, note: str = "") -> Figure:
        theirs = () if beside is None else (beside,)
        return judged(figure_of(name, unit, [value], theirs, n=1, wire="", box=BOX, note=note))

    packed = made("zmtp.packed64.vs_libzmq_cpu", "ns CPU/msg", 20, 180, EVIL)
    delay = {"10": [40.0, 300.0], "50": [55.0, 420.0], "100": [900.0, 4000.0]}
    by_id = made("scale.tags_1k_100k.by_id", "ns CPU/sample", 30, 15)
    curve = {"by id": [[1000, 15], [100_000, 30], [1_000_000, 90]]}
    return [
        replace(packed, delay=delay),
        replace(by_id, curve=curve),
        made("idle.cpu", "%", 0.1, None),
        judged(replace(made("gil.burn", "samples/s", 1, 1), value=None, note="skipped: gone")),
    ]


def test_the_page_asks_nothing_of_the_network_and_runs_nothing() -> None:
    page = report.page(figures())
    assert "<script" not in page
    assert not re.search(r"""(src|href)\s*=|url\(|@import|https?://""", page)


def test_text_of_a_run_is_escaped() -> None:
    page = report.page(figures())
    assert "&lt;script&gt;alert(&quot;x&quot;)" in page
    assert "&lt;b&gt;one &amp; only" in page


def test_the_page_has_every_figure_its_box_and_its_plots() -> None:
    page = report.page(figures())
    for figure in figures():
        assert figure.name in page
    for said in ("2026-11-24", "0123456789ab", "skipped: gone", "p99.9", "by id", "≥ 5"):
        assert said in page
    drawn = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawn) == 3
    for each in drawn:
        ElementTree.fromstring(each)


def test_bars_reach_as_far_as_their_ratio_and_ticks_as_their_target() -> None:
    rows = [plots.BarRow("a", 10.0, 5.0, True), plots.BarRow("b", 0.1, None, None)]
    root = ElementTree.fromstring(plots.bars(rows, "t"))
    wide, narrow = (float(bar.attrib["width"]) for bar in root.iter("rect"))
    assert wide == 500
    assert narrow == 1
    ticks = [each for each in root.iter("line") if each.attrib["class"] == "target"]
    assert len(ticks) == 1
    assert 300 < float(ticks[0].attrib["x1"]) < 300 + wide


def test_a_run_without_anything_to_draw_is_still_a_page() -> None:
    page = report.page([figures()[-1]])
    assert "<svg" not in page
    assert plots.curves({"x": [[0, 0]]}, "t", "x", "y") == ""


def test_both_readmes_take_the_run_between_their_marks(tmp_path: Path) -> None:
    (tmp_path / "bench").mkdir()
    for name, marks in (("bench/README.md", table.MARKS), ("README.md", table.SHORT_MARKS)):
        (tmp_path / name).write_text(f"before\n{marks[0]}\nold\n{marks[1]}\nafter\n")
    table.write_readme(figures(), tmp_path)
    whole, short = (tmp_path / "bench/README.md").read_text(), (tmp_path / "README.md").read_text()
    for text in (whole, short):
        assert text.startswith("before\n")
        assert text.endswith("after\n")
        assert "old" not in text
        assert "0123456789ab" in text
        rows = [line for line in text.splitlines() if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert "gil.burn" in whole
    assert "gil.burn" not in short
    assert "idle.cpu" in short


def test_the_marks_stand_in_the_readmes_of_this_tree() -> None:
    root = Path(__file__).resolve().parents[2]
    for name, marks in (("bench/README.md", table.MARKS), ("README.md", table.SHORT_MARKS)):
        text = (root / name).read_text()
        assert [text.count(mark) for mark in marks] == [1, 1]
