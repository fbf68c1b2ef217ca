"""The oracle itself, by examples worked out by hand: what it says here, the design says in words.

Times are whole seconds after BASE unless a name ends in _ns.
"""

from __future__ import annotations

import hashlib
from fractions import Fraction
from typing import Any

import pytest

from oracle import Judge, Made, Outcome, Receive, Sample, Tick, event_id
from oracle.plan import plan

S = 10**9
BASE = 1_700_000_000 * S
BAD = 0x8000


def outcome(
    rule: dict[str, Any], *records: Receive | Tick, source: dict[str, Any] | None = None
) -> Outcome:
    """What one rule makes of a recording."""
    config = {
        "plant": {"name": "p"},
        "source": [{"name": "s", "idle_after_s": 1000, "future_max_s": 9000, **(source or {})}],
        "rule": [{"name": "r", "kind": "limit", "tag": "*.x", **rule}],
    }
    return Judge(config).run(records)


def row(tag: str, *pairs: tuple[float, Any], stream: int = 0) -> list[Receive]:
    """One sample a receive, engine time equal to its stamp."""
    return [
        Receive(ns(at), "s", (Sample(f"m.{tag}", ns(at), value),), stream) for at, value in pairs
    ]


def at(time: float, **values: Any) -> Receive:
    """All values of one instant."""
    samples = tuple(Sample(f"m.{tag}", ns(time), value) for tag, value in values.items())
    return Receive(ns(time), "s", samples)


def ns(seconds: float) -> int:
    return BASE + round(seconds * S)


def short(events: list[Made]) -> list[tuple[Any, ...]]:
    """Kind and times, in seconds after BASE."""

    def seconds(time_ns: int | None) -> float | None:
        return None if time_ns is None else (time_ns - BASE) / S

    return [(e.kind, seconds(e.at_ns), seconds(e.start_ns), seconds(e.end_ns)) for e in events]


# ---- limits -------------------------------------------------------------------------------------

H10 = {"high": {"value": 10, "deadband": 2}}


def test_limit_trips_at_the_value_and_clears_below_the_deadband() -> None:
    found = outcome(H10, *row("x", (0, 9.9), (1, 10.0), (2, 12.0), (3, 8.0), (4, 7.9), (5, 9.0)))
    assert short(found.events) == [
        ("limit.H.trip", 1, 1, None),
        ("limit.H.clear", 4, 1, 4),
    ]
    assert [e.value for e in found.events] == [10.0, 7.9]
    assert [e.asset for e in found.events] == ["m", "m"]


def test_low_limit_is_the_mirror_image() -> None:
    rule = {"low": {"value": -1, "deadband": 0.5}}
    found = outcome(rule, *row("x", (0, -0.9), (1, -1.0), (2, -0.5), (3, -0.4)))
    assert short(found.events) == [("limit.L.trip", 1, 1, None), ("limit.L.clear", 3, 1, 3)]


def test_levels_are_apart() -> None:
    found = outcome({"high_high": 20, "high": 10}, *row("x", (0, 25), (1, 15), (2, 5)))
    assert short(found.events) == [
        ("limit.HH.trip", 0, 0, None),
        ("limit.H.trip", 0, 0, None),
        ("limit.HH.clear", 1, 0, 1),
        ("limit.H.clear", 2, 0, 2),
    ]


@pytest.mark.parametrize(
    ("samples", "events"),
    [
        ([(0, 11), (2.9, 5)], []),
        ([(0, 11), (3, 5)], [("limit.H.trip", 0, 0, None), ("limit.H.clear", 3, 0, 3)]),
        ([(0, 11), (2, 9), (2.5, 11), (5, 11)], []),
        ([(0, 11), (2, 12), (3, 12)], [("limit.H.trip", 0, 0, None)]),
    ],
)
def test_on_delay_must_be_held_and_its_end_comes_before_the_sample_at_it(
    samples: list[tuple[float, float]], events: list[Any]
) -> None:
    found = outcome({"high": {"value": 10, "on_delay_s": 3}}, *row("x", *samples))
    assert short(found.events) == events


def test_off_delay_bears_its_own_end() -> None:
    rule = {"high": {"value": 10, "off_delay_s": 2}}
    found = outcome(rule, *row("x", (0, 11), (1, 5), (2, 11), (3, 5), (9, 5)))
    assert short(found.events) == [("limit.H.trip", 0, 0, None), ("limit.H.clear", 3, 0, 5)]


def test_a_tick_ends_the_delay_of_a_silent_tag_with_the_same_identity() -> None:
    rule = {"high": {"value": 10, "on_delay_s": 3}}
    ticked = outcome(rule, *row("x", (0, 11)), Tick(ns(2.9)), Tick(ns(3)))
    sampled = outcome(rule, *row("x", (0, 11), (4, 11)))
    assert [e.id for e in ticked.events] == [e.id for e in sampled.events] != []
    assert outcome(rule, *row("x", (0, 11)), Tick(ns(2.9))).events == []


def test_old_and_bad_samples_change_nothing() -> None:
    records = [
        *row("x", (0, 11), (0, 5), (-1, 5)),
        Receive(ns(1), "s", (Sample("m.x", ns(1), 5.0, BAD),)),
    ]
    found = outcome(H10, *records)
    assert short(found.events) == [("limit.H.trip", 0, 0, None)]
    assert found.out_of_order == 2
    found = outcome(H10, *records, *row("x", (0.5, 5), (1, 5)))
    assert (len(found.events), found.out_of_order) == (1, 4)  # older than the bad one


def test_more_events_than_a_minute_may_hold_are_counted() -> None:
    swings = [(i / 10, 11.0 if i % 2 == 0 else 0.0) for i in range(200)]
    found = outcome(H10, *row("x", *swings, (60 * 20, 11.0)))
    kinds = [each.kind for each in found.events]
    assert (len(kinds), kinds.index("limit.chattering")) == (62, 60), "one stands for the rest"
    assert found.folded == {("r", "m.x"): 140}


# ---- counters -----------------------------------------------------------------------------------

COUNTER = {"kind": "counter", "unit": "C62", "lot": "*.lot", "order": "*.order"}
EXACT = {**COUNTER, "start": "*.start"}


def quantities(found: Outcome) -> list[tuple[Any, ...]]:
    return [(e.lot, e.start_reading, e.end_reading, e.quantity) for e in found.events]


def test_a_lot_with_the_machines_reading_is_exact() -> None:
    found = outcome(
        EXACT,
        at(0, lot=1, order=7, start=100, x=103),
        at(1, x=110),
        at(2, lot=2, order=8, start=115, x=118),
        at(3, lot=3, order=8, start=125, x=125),
        at(4, x=125),
    )
    assert quantities(found) == [("1", 100, 115, 15), ("2", 115, 125, 10)]
    assert short(found.events) == [("counter.segment", 0, 0, 2), ("counter.segment", 2, 2, 3)]
    assert [e.order for e in found.events] == ["7", "8"]
    assert [e.flags for e in found.events] == [frozenset(), frozenset()]


def test_without_it_the_cut_lies_at_the_last_reading_before() -> None:
    found = outcome(
        COUNTER,
        at(0, lot=1, order=7, x=100),
        at(1, x=110),
        at(2, lot=2, x=118),
        at(3, lot=3),
        at(4, x=120),
    )
    assert quantities(found) == [("1", 100, 110, 10), ("2", 110, 118, 8)]
    assert [e.flags for e in found.events] == [frozenset({"partial"}), frozenset()]


def test_a_lot_told_late_takes_back_what_was_counted_since() -> None:
    found = outcome(
        EXACT,
        at(0, lot=1, order=1, start=0, x=8),
        at(1, x=12),
        at(2, lot=2, start=10, x=15),
        at(3, lot=3, start=20, x=20),
        at(4, x=20),
    )
    assert quantities(found) == [("1", 0, 10, 10), ("2", 10, 20, 10)]


def test_a_register_that_begins_at_0_with_each_lot() -> None:
    found = outcome(
        EXACT,
        at(0, lot=1, start=0, x=0),
        at(1, x=90),
        at(2, lot=2, start=0, x=2),
        at(3, lot=3, start=0, x=0),
        at(4, x=0),
    )
    assert quantities(found) == [("1", 0, 0, 90), ("2", 0, 0, 2)]
    assert [e.flags for e in found.events] == [{"reset"}, {"reset"}]


def test_only_the_order_changes_and_the_lots_start_does_not_count_again() -> None:
    found = outcome(
        EXACT,
        at(0, lot=1, order=1, start=5, x=6),
        at(1, lot=1, order=2, start=5, x=9),
        at(2, lot=1, order=2, start=5, x=11),
        at(3, lot=2, order=2, start=12, x=12),
        at(4, x=12),
    )
    assert quantities(found) == [("1", 5, 6, 1), ("1", 6, 12, 6)]


def test_rollover_up_to_half_the_range_otherwise_a_reset() -> None:
    rule = {**COUNTER, "rollover": 1000}
    found = outcome(
        rule,
        at(0, lot=1, order=1, x=990),
        at(1, x=10),
        at(2, lot=2, x=10),
        at(3, x=4),
        at(4, lot=3, x=4),
        at(5, x=4),
    )
    assert quantities(found) == [("1", 990, 10, 20), ("2", 10, 4, 4)]
    assert [e.flags & {"rollover", "reset"} for e in found.events] == [{"rollover"}, {"reset"}]


def test_rollover_at_exactly_half_is_still_one() -> None:
    rule = {**COUNTER, "rollover": 1000}
    end = (at(1, x=200), at(2, lot=2), at(3, lot=2))
    half = outcome(rule, at(0, lot=1, x=700), *end)
    more = outcome(rule, at(0, lot=1, x=699), *end)
    assert [half.events[0].quantity, more.events[0].quantity] == [500, 200]


def test_nothing_made_is_no_event_unless_asked() -> None:
    records = (at(0, lot=1, order=1, x=5), at(1, x=5), at(2, lot=2, x=5), at(3, x=5))
    assert outcome(COUNTER, *records).events == []
    found = outcome({**COUNTER, "emits_zero": True}, *records[:3])
    assert quantities(found) == []  # the cut at 2 waits for the watermark to pass it
    found = outcome({**COUNTER, "emits_zero": True}, *records)
    assert quantities(found) == [("1", 5, 5, 0)]


def test_fixed_intervals_end_at_their_boundary_with_the_last_reading_before_it() -> None:
    rule = {"kind": "counter", "unit": "C62", "every_s": 10}
    times = {3: 1, 9: 5, 10: 9, 12: 11, 35: 30, 40: 31, 41: 31}
    records = [at(time, x=value) for time, value in times.items()]
    found = outcome(rule, *records)
    assert short(found.events) == [
        ("counter.segment", 3, 3, 10),
        ("counter.segment", 10, 10, 20),
        ("counter.segment", 30, 30, 40),
    ]
    assert quantities(found) == [("", 1, 5, 4), ("", 5, 11, 6), ("", 11, 30, 19)]


def test_a_lot_that_changes_at_a_boundary_is_one_cut() -> None:
    rule = {**EXACT, "every_s": 10}
    found = outcome(rule, at(5, lot=1, start=0, x=1), at(10, lot=2, start=4, x=6), at(12, x=7))
    assert short(found.events) == [("counter.segment", 5, 5, 10)]
    assert quantities(found) == [("1", 0, 4, 4)]


def test_integers_beyond_two_to_the_53_are_exact() -> None:
    big = 2**60
    found = outcome(COUNTER, at(0, lot=1, x=big), at(1, x=big + 3), at(2, lot=2), at(3, lot=2))
    assert quantities(found) == [("1", big, big + 3, 3)]


def test_roles_of_one_instant_count_together_however_they_come() -> None:
    early = (at(0, lot=1, order=1, start=0, x=1), at(1, start=5), at(1, x=7), at(1, lot=2))
    found = outcome(EXACT, *early, at(2, x=9))
    assert quantities(found) == [("1", 0, 5, 5)]


# ---- totals, states -----------------------------------------------------------------------------


def test_a_flow_holds_until_its_next_sample_and_across_a_cut() -> None:
    rule = {"kind": "total", "unit": "LTR", "per": "min", "lot": "*.lot"}
    found = outcome(
        rule,
        at(0, lot=1, x=60.0),
        at(10, x=30.0),
        at(20, lot=2),
        at(30, x=0.0, lot=3),
        at(31, lot=4),
        at(32, lot=4),
    )
    assert [(e.lot, e.quantity) for e in found.events] == [("1", Fraction(15)), ("2", Fraction(5))]
    assert short(found.events) == [("total.segment", 0, 0, 20), ("total.segment", 20, 20, 30)]


def test_a_flow_is_split_at_fixed_boundaries() -> None:
    rule = {"kind": "total", "unit": "LTR", "per": "s", "every_s": 10}
    found = outcome(rule, at(5, x=2.0), at(15, x=1.0), at(20, x=1.0), at(21, x=0.0))
    assert [e.quantity for e in found.events] == [10, 15]


STATE = {"kind": "state", "states": [2], "min_duration_s": 2}


def test_a_state_ends_when_another_begins() -> None:
    found = outcome(STATE, *row("x", (0, 1), (1, 2), (2, 2), (4, 1), (5, 2), (6, 1), (7, 1)))
    assert short(found.events) == [("state.end", 1, 1, 4), ("state.end", 5, 5, 6)]
    assert [e.flags for e in found.events] == [frozenset(), frozenset({"micro"})]


def test_since_gives_both_ends() -> None:
    rule = {**STATE, "since": "*.since", "order": "*.order", "since_unit": "ms"}
    ms = BASE // 1_000_000
    found = outcome(
        rule,
        at(0, x=2, since=ms - 5000, order=9),
        at(3, x=1, since=ms + 2500),
        at(4, x=1, since=ms + 2500),
    )
    assert short(found.events) == [("state.end", -5, -5, 2.5)]
    assert (found.events[0].order, found.events[0].value) == ("9", 2)


def test_the_same_state_with_another_start_ends_the_first() -> None:
    rule = {**STATE, "since": "*.since", "since_unit": "ns"}
    found = outcome(rule, at(0, x=2, since=ns(0)), at(5, x=2, since=ns(4)), at(6, x=2))
    assert short(found.events) == [("state.end", 0, 0, 4)]


def test_the_same_start_twice_is_told_apart() -> None:
    rule = {**STATE, "since": "*.since", "since_unit": "ns"}
    records = [at(i, x=state, since=BASE) for i, state in enumerate([2, 1, 2, 1, 1])]
    found = outcome(rule, *records)
    assert [e.occurrence for e in found.events] == [0, 1]
    assert len({e.id for e in found.events}) == 2


# ---- windows, watermark -------------------------------------------------------------------------

WINDOW = {"kind": "window", "size_s": 10}


def test_a_window_is_half_open_and_closes_when_the_watermark_reaches_its_end() -> None:
    found = outcome(WINDOW, *row("x", (0, 1.5), (9.9, 2.0), (10, -1.0)))
    (pane,) = found.results
    assert (pane.start_ns, pane.end_ns, pane.terms) == (ns(0), ns(10), [1.5, 2.0])
    assert (pane.total, pane.first, pane.last) == (Fraction(7, 2), 1.5, 2.0)


def test_lateness_keeps_it_open_and_what_comes_after_the_end_is_late() -> None:
    source = {"lateness_s": 5}
    rows = row("x", (9, 1), (14, 2), (3, 3), (15, 4), (9.9, 5), (11, 6), (30, 7))
    found = outcome(WINDOW, *rows, source=source)
    assert [pane.terms for pane in found.results] == [[1, 3], [2, 4, 6]]
    assert found.late == 1
    assert (found.results[0].first, found.results[0].last) == (3, 1)


def test_offset_moves_the_grid_also_before_1970() -> None:
    found = outcome({**WINDOW, "offset_s": 3}, *row("x", (2, 1), (3, 2), (13, 3)))
    assert [(pane.start_ns, pane.terms) for pane in found.results] == [
        (ns(-7), [1.0]),
        (ns(3), [2.0]),
    ]


def test_the_slowest_stream_holds_the_watermark_until_it_is_idle() -> None:
    source = {"idle_after_s": 4}
    records = [
        *row("x", (0, 1), stream=1),
        *row("x", (1, 2), (3, 3), (11, 4), stream=2),
    ]
    assert len(outcome(WINDOW, *records[:3], source=source).results) == 0
    held = [*records[:1], Receive(ns(3), "s", (Sample("m.x", ns(11), 9),), 2)]
    assert outcome(WINDOW, *held, source=source).results == []
    assert outcome(WINDOW, *records, source=source).results == []  # no TICK has seen it idle
    ticked = [*records[:3], Tick(ns(4)), *records[3:]]
    found = outcome(WINDOW, *ticked, source=source)  # stream 1 is silent since 0
    assert [pane.terms for pane in found.results] == [[1, 2, 3]]


def test_when_all_is_silent_engine_time_closes() -> None:
    source = {"idle_after_s": 4}
    assert outcome(WINDOW, *row("x", (8, 1)), Tick(ns(11.9)), source=source).results == []
    assert len(outcome(WINDOW, *row("x", (8, 1)), Tick(ns(12)), source=source).results) == 1


def test_a_stamp_too_far_ahead_is_dropped_and_moves_nothing() -> None:
    record = Receive(ns(0), "s", (Sample("m.x", ns(61), 1.0), Sample("m.x", None, 2.0)))
    found = outcome(WINDOW, record, Tick(ns(5000)), source={"future_max_s": 60})
    assert (found.future, found.used) == (1, 1)
    assert [pane.terms for pane in found.results] == [[2.0]]


def test_a_window_event_bears_the_window_start() -> None:
    found = outcome({**WINDOW, "emit": "event"}, *row("x", (3, 1), (4, 5), (12, 0)))
    assert short(found.events) == [("window.close", 0, 0, 10)]
    assert (found.events[0].count, found.results) == (2, [])


def test_late_samples_of_event_order_take_no_part() -> None:
    records = (at(0, lot=1, x=0), at(5, x=50), at(3, x=999), at(6, lot=2, x=60), at(7, x=70))
    found = outcome(COUNTER, *records)
    assert quantities(found) == [("1", 0, 50, 50)]
    assert found.late == 1


# ---- identity -----------------------------------------------------------------------------------


def test_the_id_is_the_hash_of_the_fields_with_version_8() -> None:
    text = b"penstock-event/1\x1fp\x1fr\x1f1\x1fm.x\x1flimit.H.trip\x1f0\x1f5\x1f0\x1f0"
    digest = hashlib.sha256(text).hexdigest()
    found = event_id("p", "r", "1", "m.x", "limit.H.trip", at_ns=5)
    assert found[:13] == f"{digest[:8]}-{digest[8:12]}"
    assert found[14] == "8"
    assert found[19] in "89ab"
    assert found.replace("-", "")[17:] == digest[17:32]


def test_every_field_changes_the_id() -> None:
    fields = ("p", "r", "1", "m.x", "limit.H.trip")
    ids = {event_id(*(f + "y" * (i == k) for i, f in enumerate(fields)), at_ns=5) for k in range(6)}
    ids |= {event_id(*fields, at_ns=n) for n in (5, 6)}
    ids |= {event_id(*fields, at_ns=5, **{k: 1}) for k in ("time_epoch", "occurrence", "revision")}
    assert len(ids) == 5 + 2 + 3


def test_durations_are_read_by_their_decimal_text() -> None:
    config = {
        "plant": {"name": "p"},
        "source": [{"name": "s", "lateness_s": 0.1}],
        "rule": [{"name": "r", "kind": "window", "tag": "x", "size_s": 0.3}],
    }
    _, sources, rules = plan(config)
    assert (sources[0].lateness_ns, rules[0].size_ns) == (100_000_000, 300_000_000)
