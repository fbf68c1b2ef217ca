"""The benches cannot rot: each figure is taken once with few messages, and its work is compared
with the sender's plan. What the figures say here means nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from penstock.config import Config

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "bench"
ALWAYS = {"zmtp.packed64.vs_raw", "feed.random1k.vs_memory"}  # need nothing but a compiler
MESSAGES = 20_000
ISSUE_KEYS = [
    "name",
    "unit",
    "value",
    "baseline",
    "ratio",
    "n",
    "min",
    "median",
    "p99",
    "wire",
    "box",
]

sys.path.append(str(BENCH))
from figure import is_bigger_better  # noqa: E402
from measure import compare  # noqa: E402

PLAN = {"samples": 5000, "trips": 7, "sum": 250_000.5}
DONE = {
    "received": 6000, "used": 6000, "dropped": 0, "lost": 0, "late": 0, "out_of_order": 0,
    "overwritten": 0, "window_count": 5000, "window_sum": 250_000.5, "trips": 5, "clears": 5,
    "folded": 4,
}  # fmt: skip


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """One JSON line a figure, from one run of everything."""
    out = tmp_path_factory.mktemp("bench") / "figures.jsonl"
    command = [sys.executable, str(BENCH / "run.py"), "--quick", "--messages", str(MESSAGES),
               "--json", str(out), "--report", str(out.with_suffix(".html"))]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in out.read_text().splitlines()]


@pytest.mark.timeout(420)
def test_every_figure_is_taken_or_skipped_with_the_line_that_helps(
    figures: list[dict[str, Any]],
) -> None:
    taken = {each["name"] for each in figures if each["value"] is not None}
    assert taken >= ALWAYS
    for figure in figures:
        assert list(figure)[: len(ISSUE_KEYS)] == ISSUE_KEYS
        if figure["name"] not in taken:
            assert figure["note"].startswith("skipped: "), figure
            continue
        if figure["name"].startswith(("zmtp.packed64", "zmtp.json64", "nats.packed64")):
            assert figure["machine_busy"] is not None
        if figure["ratio"] is not None:
            over, under = figure["baseline"], figure["value"]
            if is_bigger_better(figure["unit"]):
                over, under = under, over
            assert figure["ratio"] == pytest.approx(over / under, rel=0.01, abs=0.01)


@pytest.mark.timeout(420)
def test_the_engine_of_the_benches_has_the_defaults_of_the_configuration(
    figures: list[dict[str, Any]], tmp_path: Path
) -> None:
    assert figures  # built
    text = '[plant]\nname = "bench"\n[[source]]\nname = "line"\nkind = "feed"\n'
    text += '[[rule]]\nname = "high"\nkind = "limit"\ntag = "*"\nhigh = 90\n'
    (tmp_path / "plant.toml").write_text(text)
    core = Config.from_file(tmp_path / "plant.toml").options_for_core()
    program = ROOT / "build" / "bench" / "recv_engine"
    shown = subprocess.run([program, "defaults"], capture_output=True, text=True, check=True)
    used = json.loads(shown.stdout)
    assert used["options"] == {name: core["options"][name] for name in used["options"]}
    assert used["source"] == {name: core["sources"][0][name] for name in used["source"]}
    assert used["events_per_minute_max"] == core["rules"][0]["events_per_minute_max"]


@pytest.mark.timeout(300)
def test_the_smallest_pieces_compute_what_they_say() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "--benchmark-disable", "test_micro.py"]
    done = subprocess.run(command, cwd=BENCH, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_work_that_differs_from_the_plan_is_named() -> None:
    assert compare(DONE, PLAN, tail=1000) == ""
    for name in DONE.keys() - {"trips", "folded"}:
        assert compare({**DONE, name: DONE[name] + 1}, PLAN, tail=1000).startswith(name)
    assert "clears" in compare({**DONE, "trips": 6}, PLAN, tail=1000)
    assert "crossings" in compare({**DONE, "folded": 3}, PLAN, tail=1000)
    assert "crossings" in compare({**DONE, "trips": 6, "clears": 6}, PLAN, tail=1000)


def test_a_glob_without_a_figure_is_a_usage_error() -> None:
    command = [sys.executable, str(BENCH / "run.py"), "--only", "zmpt.*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 2
    assert "no figure matches" in done.stderr
