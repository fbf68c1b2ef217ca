"""What the bench says about numbers: ratio, target, verdict, line of JSON, row of the table."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "bench"))
import run
import table
from figure import Figure, figure_from, figure_of, ratio_of
from machine import TICK_NS, BusyTime, busy_ns, process_ns
from measure import Reading, take_turns
from targets import TARGETS, in_order, judged, text_of

REPORTED = ("instructions.", "peers.")  # families without a target
BOX = {"cpu": "none"}


def made(name: str, unit: str, *values: float, beside: float | None = None, **more: Any) -> Figure:
    theirs = () if beside is None else (beside,)
    return judged(figure_of(name, unit, values, theirs, n=1, wire="", box=BOX, **more))


def with_parts(name: str, **parts: float) -> Figure:
    return judged(replace(made(name, "us", 1.0), parts=parts))


@pytest.mark.parametrize(("unit", "ratio"), [("ns CPU/msg", 4.0), ("rows/s", 0.25), ("B", 4.0)])
def test_a_ratio_is_bigger_where_we_are_better(unit: str, ratio: float) -> None:
    assert ratio_of(unit, 50.0, 200.0) == ratio
    assert made("x", unit, 50.0, beside=200.0).ratio == ratio


def test_a_figure_takes_medians_and_names_the_extremes() -> None:
    figure = figure_of("x", "ns", [9.0, 1.0, 3.0], [6.0, 60.0, 5.0], n=7, wire="w", box=BOX)
    assert (figure.value, figure.baseline, figure.ratio) == (3.0, 6.0, 2.0)
    assert (figure.min, figure.median, figure.p99, figure.n) == (1.0, 3.0, 9.0, 7)


def test_wrong_work_has_no_value_and_no_verdict() -> None:
    figure = made("zmtp.packed64.vs_raw", "ns", 1.0, beside=9.0, problem="used is 3")
    assert figure.value is figure.ratio is figure.is_met is None
    assert not figure.is_skipped
    assert "WRONG WORK: zmtp.packed64.vs_raw" in table.summary([figure])


@pytest.mark.parametrize(
    ("figure", "is_met"),
    [
        (made("zmtp.packed64.vs_libzmq_cpu", "ns CPU/msg", 20.0, beside=100.0), True),
        (made("zmtp.packed64.vs_libzmq_cpu", "ns CPU/msg", 20.1, beside=100.0), False),
        (made("checkpoint.pause", "us", 999.0), True),
        (made("checkpoint.pause", "us", 1001.0), False),
        (made("import.time", "ms", 50.0), True),
        (made("wheel.size", "B", 2_000_010), False),
        (made("zmtp.stages", "ns CPU/msg", 5.0), None),
        (with_parts("edge.one_core", rss_mib=64.0, dropped=0.0), True),
        (with_parts("edge.one_core", rss_mib=10.0, dropped=1.0), False),
        (with_parts("edge.one_core", rss_mib=10.0), None),
    ],
)
def test_a_target_is_met_or_missed_or_only_reported(figure: Figure, is_met: bool | None) -> None:
    assert figure.is_met is is_met


def test_a_line_of_json_is_read_back_also_from_a_later_bench() -> None:
    figure = made("idle.cpu", "%", 0.1, note="µs")
    assert figure_from(figure.as_json()) == figure
    assert figure_from(figure.as_json()[:-1] + ', "later": 1}') == figure


def test_the_summary_names_what_was_missed() -> None:
    good, bad = made("idle.cpu", "%", 0.1), made("idle.cpu", "%", 0.3)
    assert table.summary([good, bad]) == "1 of 2 targets met; missed: idle.cpu"


def test_every_figure_of_the_modules_has_its_place_in_the_table() -> None:
    taken = {name for name, (_, is_apart) in run.every_name().items() if not is_apart}
    assert {name for name in taken - set(TARGETS) if not name.startswith(REPORTED)} == set()
    assert text_of("idle.cpu") == "≤ 0.2 %"
    assert in_order(["zz", "idle.cpu", "zmtp.stages"]) == ["zmtp.stages", "idle.cpu", "zz"]


def test_what_is_apart_runs_only_by_name() -> None:
    assert "peers.pyarrow" not in [name for _, name in run.chosen(None)]
    assert "peers.pyarrow" in [name for _, name in run.chosen("peers.*")]


def test_the_table_is_readable() -> None:
    figures = [made("idle.cpu", "%", 0.0213), made("import.time", "ms", 4750.5)]
    shown = table.plain(figures)
    assert "0.0213 %" in shown
    assert "4,750 ms" in shown
    assert "MISSED" in shown


def test_busy_time_is_of_all_cpus_without_idle_wait_and_steal() -> None:
    text = "cpu  1 20 300 4000 50000 600000 7000000 80000000 9 9\ncpu0 5 5 5 5 5 5 5 5 5 5\n"
    assert busy_ns(text) == 7_600_321 * TICK_NS


def test_the_senders_own_time_is_not_the_receivers() -> None:
    """The sender alone burns: what stays is what the rest of the machine did meanwhile."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as burner:
        try:
            begin_ns, busy = process_ns(burner.pid), BusyTime(burner.pid)
            whole_ns = busy_ns()
            while process_ns(burner.pid) - begin_ns < 300_000_000:
                time.sleep(0.01)
            burnt_ns = process_ns(burner.pid) - begin_ns
            assert busy.so_far_ns() < busy_ns() - whole_ns - burnt_ns + 60_000_000
        finally:
            burner.kill()


def test_rounds_alternate_and_stop_where_time_is_over() -> None:
    order: list[str] = []

    def reading(name: str, seconds: float) -> Reading:
        order.append(name)
        time.sleep(seconds)
        return Reading(1.0, 1.0)

    quick = {name: partial(reading, name, 0.0) for name in "ab"}
    assert [len(each) for each in take_turns(quick, 3, print, 5.0).values()] == [3, 3]
    assert order == list("abbaab")
    slow = {name: partial(reading, name, 0.03) for name in "ab"}
    assert [len(each) for each in take_turns(slow, 50, print, 0.1).values()] == [2, 2]
