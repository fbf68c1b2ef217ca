"""Health: what makes a plant unready, what only degrades it, and what feeds its watchdog."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from penstock.ops.health import STALE_S, Look, has_progress, verdict
from penstock.stats import SourceStats, Stats

SOURCE = SourceStats("line1", 9, 9, {"future": 0}, 0, None, None, True, 1, 1, 1, 0, 0, 0, 0)
ZEROS: dict[str, Any] = dict.fromkeys(Stats.__dataclass_fields__, 0)
FLAGS = dict.fromkeys(("is_failed", "is_event_ring_full", "is_cold_start", "is_disk_full"), False)
STATS = Stats(**{**ZEROS, **FLAGS, "sources": (SOURCE,)})
CALM = Look(100.0, STATS)


def stats(**figures: Any) -> Stats:
    return replace(STATS, **figures)


def test_a_plant_that_has_not_looked_at_itself_is_starting() -> None:
    found = verdict(None, 100.0)
    assert (found.is_alive, found.is_ready) == (True, False)
    assert "starting" in found.reasons[0]


def test_calm_is_ready_and_not_degraded() -> None:
    found = verdict(CALM, 101.0)
    assert found.record() == {"alive": True, "ready": True, "reasons": [], "degraded": []}


@pytest.mark.parametrize(
    ("look", "word"),
    [
        (replace(CALM, stats=stats(is_failed=True)), "engine has failed"),
        (replace(CALM, stats=stats(is_disk_full=True)), "journal_bytes_max"),
        (replace(CALM, stats=stats(is_event_ring_full=True)), "event ring is full"),
        (replace(CALM, is_ledger_blocked=True), "ledger cannot be written"),
        (replace(CALM, mono_s=100.0 - STALE_S), "not looked at itself"),
    ],
)
def test_what_cannot_keep_data_is_not_ready(look: Look, word: str) -> None:
    found = verdict(look, 100.5)
    assert not found.is_ready
    assert word in " ".join(found.reasons)


def test_an_erp_outage_degrades_and_does_not_make_unready() -> None:
    down = replace(SOURCE, is_up=False)
    look = replace(
        CALM, silent_targets=("erp",), waiting_for_a_person=3, stats=stats(sources=(down,))
    )
    found = verdict(look, 100.5)
    assert found.is_ready
    assert found.is_alive
    said = " | ".join(found.degraded)
    assert "target erp does not answer" in said
    assert "source line1 is down" in said
    assert "3 documents wait" in said


def test_a_failed_or_standing_plant_is_not_alive() -> None:
    assert not verdict(replace(CALM, stats=stats(is_failed=True)), 100.5).is_alive
    assert not verdict(CALM, 100.0 + STALE_S + 1).is_alive


def test_only_progress_feeds_the_watchdog() -> None:
    waiting = replace(CALM, stats=stats(written=100, judged=50))
    assert has_progress(None, waiting)
    assert has_progress(CALM, CALM)  # nothing waits
    assert not has_progress(waiting, waiting)  # it waits, and nothing is judged
    assert has_progress(waiting, replace(CALM, stats=stats(written=200, judged=51)))
    assert has_progress(
        waiting, replace(CALM, stats=stats(written=200, judged=50, events_polled=1))
    )
    assert has_progress(waiting, replace(waiting, is_ledger_blocked=True))
    assert not has_progress(None, replace(CALM, stats=stats(is_failed=True)))
