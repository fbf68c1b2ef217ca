"""Windows that are cut or that hold, engine against oracle: examples that once differed."""

from __future__ import annotations

from typing import Any

import oracle_recordings as rec
import pytest
from oracle_drive import Run
from oracle_recordings import BASE, MS, Recording
from test_oracle import at, check, tick

from oracle import Context, Record

CUT_WINDOW = {"name": "r", "kind": "window", "tag": "*.p", "lot": "*.lot", "cut_on": ["lot"]}


def windows_of(rule: dict[str, Any], records: list[Record], **source: Any) -> Run:
    """A window rule with its ``p`` beside other tags, compared; the columns' wire."""
    types = {"m.p": "f64", "m.lot": "i64", "m.order": "i64", "m.q": "f64"}
    return check(Recording(rec.config_of([rule], **source), tuple(records), types))[1]


def test_a_session_that_its_next_sample_ends_does_not_bear_that_instants_first_lot() -> None:
    session = {"session_gap_s": 0.02, "session_max_s": 0.05, "emit": "event"}
    records = [at(ms, p=1.0) for ms in (3, 20, 35, 50)]
    run = windows_of({**CUT_WINDOW, **session}, [*records, at(53, lot=4, p=8.0), at(90, q=1.0)])
    assert [event.context.lot for event in run.events] == ["", "4"]


@pytest.mark.parametrize("kind", [{"size_s": 0.02}, {"count_n": 2}], ids=["tumbling", "count"])
def test_what_a_lot_ends_does_not_bear_the_order_that_becomes_known_in_its_instant(
    kind: dict[str, Any],
) -> None:
    rule = {**CUT_WINDOW, "order": "*.order", "cut_on": ["lot", "order"], "emit": "event"}
    records = [at(0, lot=1, p=1.0), at(7, order=4, lot=2, p=2.0), at(9, p=3.0), at(30, q=1.0)]
    run = windows_of({**rule, **kind}, records)
    told = [(event.context.lot, event.context.order) for event in run.events]
    assert told == [("1", ""), ("2", "4")]


def test_a_hopping_window_behind_a_rest_knows_what_held_from_its_start() -> None:
    """64 empty ones end at 680; the windows over 682 begin at 660 and 670, ere the rest."""
    hopping = {"size_s": 0.03, "hop_s": 0.01, "aggregates": ["tw_mean"]}
    rule = {"name": "r", "kind": "window", "tag": "*.p", **hopping}
    run = windows_of(rule, [at(15, p=9.0), at(682, p=6.0), at(695, q=1.0)])
    last = run.results[-1]
    assert ((last["start_ns"] - BASE) // MS, last["flags"]) == (660, 0)
    assert abs(last["tw_mean"] - (22 * 9 + 8 * 6) / 30) < 1e-9


def test_a_piece_that_a_context_leaves_is_told_of_every_window_before_a_rest() -> None:
    """62 or 63 empty ones in a row: pieces of all three windows over the change are told."""
    hopping = {"size_s": 0.03, "hop_s": 0.01, "aggregates": ["tw_mean"]}
    rule = {"name": "r", "kind": "window", "tag": "*.p", "cut_on": ["context.order"], **hopping}
    change = [Context("m", {"order": "a"}, BASE), Context("m", {"order": "b"}, BASE + 668 * MS)]
    run = windows_of(rule, [at(15, p=9.0), *change, at(900, q=4.0)])
    ends = [(row["end_ns"] - BASE) / MS for row in run.results]
    assert ends.count(668) == 3


def test_a_context_cuts_a_count_at_the_watermark_of_the_last_tick_that_counted() -> None:
    """Nothing is due by time: the TICK at 7202 s is not journaled, and moves nothing."""
    count = {"name": "r", "kind": "window", "tag": "*.p", "count_n": 7, "emit": "event"}
    hopping = {"name": "h", "tag": "*.q", "size_s": 0.02, "hop_s": 0.01}
    rules = [
        {**count, "cut_on": ["context.order"]},
        {**CUT_WINDOW, **hopping},  # its samples have left it
    ]
    records = [
        Context("m", {"order": "a"}, BASE - MS),
        at(30, 7_200_000, q=1.0),
        at(47, 7_200_000, p=1.0),
        at(3424, 7_200_000, o=1.0),
        tick(7_200_060),
        tick(7_202_060),
        Context("m", {"order": "b"}, BASE + 3394 * MS),
        tick(7_290_000),
    ]
    types = {"m.p": "f64", "m.lot": "i64", "m.q": "f64", "m.o": "f64"}
    config = rec.config_of(rules, idle_after_s=0.05)
    _, run = check(Recording(config, tuple(records), types))
    assert [((event.end_ns or 0) - BASE) // MS for event in run.events] == [3484]
