"""``penstock run --once``: when nothing moves and nothing is left to post, and not before."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from penstock.cli.bounded import DOUBT_LOOKS, QUIET_LOOKS, Bounds, Watch
from penstock.errors import StateError
from penstock.run import Status

IDLE = Status(
    time_ns=1, samples_per_s=0.0, cpu=0.0, rss=10, received=5, dropped=0, residual=0,
    lost_upstream=0, events=1, entries={}, in_doubt_found=0, in_doubt_absent=0, redelivered=0,
    unmapped=0, conflicts=0, tags=1, ring_bytes=1, documents=[],
)  # fmt: skip


class Stop:
    """Counts how often a run was told to end."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def looked(entries: dict[str, int], looks: int, *, is_once: bool = True) -> int:
    stop = Stop()
    watch = Watch(Bounds(is_once=is_once), stop)
    for _ in range(looks):
        watch.look(replace(IDLE, entries=entries))
    return stop.count


def test_quiet_ends_it_after_three_looks_and_only_once() -> None:
    assert looked({"posted": 3, "held": 1, "retry": 1}, QUIET_LOOKS) == 0
    assert looked({"posted": 3, "held": 1, "retry": 1}, QUIET_LOOKS + 1) == 1
    assert looked({"posted": 3}, 100, is_once=False) == 0


@pytest.mark.parametrize("state", ["ready", "posting"])
def test_what_is_still_to_be_posted_is_waited_for(state: str) -> None:
    assert looked({state: 1}, 100) == 0


def test_doubt_is_waited_for_and_not_for_ever() -> None:
    assert looked({"in_doubt": 1}, DOUBT_LOOKS) == 0
    assert looked({"in_doubt": 1}, DOUBT_LOOKS + 1) == 1


def test_a_sample_or_an_event_begins_the_wait_anew() -> None:
    stop = Stop()
    watch = Watch(Bounds(is_once=True), stop)
    for number in range(20):
        watch.look(replace(IDLE, received=number // QUIET_LOOKS))
    assert stop.count == 0


def test_figures_are_of_this_run_and_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    watch = Watch(Bounds(stats=tmp_path / "out.json"), Stop())
    watch.look(replace(IDLE, received=100, events=7, rss=30))
    watch.look(replace(IDLE, received=150, events=9, rss=20))
    watch.finish(replace(IDLE, received=160, events=9), None)
    run = json.loads((tmp_path / "out.json").read_text())["run"]
    assert (run["received"], run["events"], run["rss_max"]) == (60, 2, 30)
    broken = Watch(Bounds(stats=tmp_path / "no" / "out.json"), Stop())
    broken.look(IDLE)
    with pytest.raises(StateError, match="cannot be written: No such file or directory"):
        broken.finish(IDLE, None)
