"""The engine against the oracle: the same recording through both, every event and window compared.

Recordings are drawn by hypothesis (small, shrinking) and from printed seeds (several machines at
once). A quick run draws about 700 of them, one under PENSTOCK_DEEP 25 times as many.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from random import Random
from typing import Any

import oracle_recordings as rec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from oracle_drive import Run, differences, play
from oracle_recordings import BASE, MS, Part, Recording

from oracle import Judge, Outcome, Receive, Record, Reload, Sample, Tick
from oracle.made import Point

IS_DEEP = bool(os.environ.get("PENSTOCK_DEEP"))
EXAMPLES = 2500 if IS_DEEP else 100  # of each shape
SEEDS = 200 if IS_DEEP else 10
DRAWN = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
RANDOMS = st.randoms(use_true_random=False, note_method_calls=False)
BAD = 0x8000


def check(recording: Recording, **how: Any) -> tuple[Outcome, Run]:
    """Both, compared."""
    outcome = Judge(recording.config).run(recording.records)
    run = play(recording.config, recording.records, recording.types, **how)
    wrong = differences(outcome, run)
    assert not wrong, f"{recording.config}\n" + "\n".join(wrong[:20])
    return outcome, run


def one(shape: str, draw: Random, steps: int, arrival: str) -> Recording:
    """A recording of one machine."""
    lateness_ns = draw.choice((0, 5) if arrival == "ordered" else (5, 20)) * MS
    return rec.recording(draw, [rec.SHAPES[shape](draw, steps)], arrival, lateness_ns)


def several(draw: Random, steps: int) -> list[Part]:
    """Machines of every shape, with rules and tags of their own."""
    shapes = [*rec.SHAPES, *draw.choices(list(rec.SHAPES), k=2)]
    return [rec.SHAPES[shape](draw, steps).renamed(i) for i, shape in enumerate(shapes)]


# ---- drawn by hypothesis ------------------------------------------------------------------------


@pytest.mark.timeout(1800)
@DRAWN
@given(RANDOMS, st.integers(1, 30))
def test_limits(draw: Random, steps: int) -> None:
    check(rec.limits(draw, steps))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("shape", rec.SHAPES)
@DRAWN
@given(RANDOMS, st.integers(1, 30), st.sampled_from(list(rec.ARRIVALS)))
def test_rules_by_event_time(shape: str, draw: Random, steps: int, arrival: str) -> None:
    check(one(shape, draw, steps, arrival))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("shape", rec.SHAPES)
@settings(DRAWN, max_examples=EXAMPLES // 2)
@given(RANDOMS, st.integers(1, 30))
def test_silence_and_ticks(shape: str, draw: Random, steps: int) -> None:
    check(rec.silences(draw, [rec.SHAPES[shape](draw, steps)], draw.choice((0, 5)) * MS))


# ---- from seeds ---------------------------------------------------------------------------------


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("arrival", rec.ARRIVALS)
def test_several_machines_at_once(arrival: str) -> None:
    for seed in range(SEEDS):
        print(f"seed {seed}")
        draw = Random(f"{arrival} {seed}")
        lateness_ns = draw.choice((5, 20)) * MS
        check(rec.recording(draw, several(draw, 100), arrival, lateness_ns))


@pytest.mark.timeout(1800)
def test_a_stream_for_each_machine_and_the_slowest_holds_the_watermark() -> None:
    for seed in range(SEEDS):
        print(f"seed {seed}")
        draw = Random(f"streams {seed}")
        check(rec.streams(draw, several(draw, 60)), wire="packed", cut=draw)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("wire", ["columns", "packed"])
def test_block_size_does_not_show(wire: str) -> None:
    """Same journal time, cut elsewhere: the same ids, digests and bits of every sum."""
    for seed in range(SEEDS):
        print(f"seed {seed}")
        draw = Random(f"blocks {seed}")
        recording = rec.recording(draw, several(draw, 60), "shuffled", 20 * MS)
        _, whole = check(recording, wire=wire)
        for _ in range(3):
            _, cut = check(recording, wire=wire, cut=draw)
            assert _identities(whole) == _identities(cut)
            assert _rows(whole) == _rows(cut)


def _identities(run: Run) -> Counter[tuple[str, str]]:
    return Counter((event.id, event.digest) for event in run.events)


def _rows(run: Run) -> Counter[tuple[Any, ...]]:
    return Counter(tuple(row.values()) for row in run.results)


@pytest.mark.timeout(1800)
def test_order_within_lateness_does_not_show() -> None:
    """Same ids and digests. Windows have the same samples; their sums may round otherwise."""
    for seed in range(SEEDS):
        print(f"seed {seed}")
        draw = Random(f"order {seed}")
        parts = several(draw, 60)
        runs = []
        for arrival in ("ordered", "shuffled", "shuffled"):
            _, run = check(rec.recording(draw, parts, arrival, 20 * MS))
            runs.append(run)
        first, *others = [(_exact(run), _windows(run)) for run in runs]
        assert all(first == other for other in others)
        assert sum(first[0].values()) > 20


def _exact(run: Run) -> Counter[tuple[str, str]]:
    return Counter((e.id, e.digest) for e in run.events if e.kind != "window.close")


def _windows(run: Run) -> Counter[tuple[Any, ...]]:
    closed = [(e.rule, e.id, e.count, e.min, e.max) for e in run.events if e.count]
    closed += [(r["rule"], r["tag"], r["start_ns"], r["count"], r["min"]) for r in run.results]
    return Counter(closed)


# ---- examples -----------------------------------------------------------------------------------


def at(time_ms: float, recv_ms: float | None = None, quality: int = 0, **values: Any) -> Receive:
    """Values of machine m at one instant."""
    time_ns = BASE + round(time_ms * MS)
    recv_ns = time_ns if recv_ms is None else BASE + round(recv_ms * MS)
    samples = tuple(Sample(f"m.{tag}", time_ns, value, quality) for tag, value in values.items())
    return Receive(recv_ns, "s", samples)


def tick(time_ms: float) -> Tick:
    return Tick(BASE + round(time_ms * MS))


COUNTER = {"name": "r", "kind": "counter", "unit": "C62", "tag": "*.good", "lot": "*.lot"}
EXACT = {**COUNTER, "start": "*.start"}
EVERY = {"name": "r", "kind": "counter", "unit": "C62", "tag": "*.good", "every_s": 0.007}
WINDOW = {"name": "r", "kind": "window", "tag": "*", "size_s": 0.01}
HIGH = {"name": "r", "kind": "limit", "tag": "*.p", "high": {"value": 10, "deadband": 1}}
TYPES = {"p": "f64", "flow": "f64", "on": "bool"}

CASES: dict[str, tuple[dict[str, Any], list[Record]]] = {
    "rollover with the lot's start beyond it": (
        {**EXACT, "rollover": 1000},
        [
            at(0, good=3, lot=1, start=3),
            at(2, good=990),
            at(4, lot=2, start=5, good=8),
            at(6, good=9),
        ],
    ),
    "a register that begins at 0 with each lot": (
        EXACT,
        [
            at(0, good=0, lot=1, start=0),
            at(2, good=90),
            at(4, lot=2, start=0, good=2),
            at(6, good=9),
            at(7, good=0, lot=3, start=0),
            at(8, lot=3),
        ],
    ),
    "a lot that is told late": (
        EXACT,
        [
            at(0, good=5, lot=1, start=0),
            at(2, good=12),
            at(4, good=15, lot=2, start=10),
            at(6, good=20, lot=3, start=20),
            at(7, good=20),
        ],
    ),
    "a lot that begins on a boundary of fixed intervals": (
        {**EXACT, "every_s": 0.007},
        [
            at(0, good=1, lot=1, start=0),
            at(30, good=5),
            at(34, good=7, lot=2, start=6),  # boundaries lie at 6 + 7 k
            at(36, good=7),
            at(60, good=7),
        ],
    ),
    "only the order changes": (
        {**EXACT, "order": "*.order"},
        [
            at(0, good=6, lot=1, order=1, start=5),
            at(2, good=9, lot=1, order=2, start=5),
            at(4, good=11, lot=1, order=2, start=5),
            at(6, good=12, lot=2, order=2, start=12),
            at(7, good=12),
        ],
    ),
    "a cut without a reading": (
        COUNTER,
        [
            at(0, good=1, lot=1),
            at(2, good=5),
            at(4, lot=2),
            at(6, good=9),
            at(9, lot=3),
            at(10, lot=3),
        ],
    ),
    "the start comes after its lot": (
        EXACT,
        [
            at(0, good=1, lot=1, start=0),
            at(2, good=5),
            at(4, lot=2),
            at(5, start=7),
            at(6, good=9),
            at(9, lot=3),
            at(10, lot=3),
        ],
    ),
    "integers beyond 2**53": (
        EXACT,
        [
            at(0, good=2**62 + 1, lot=2**61 + 1, start=2**62 - 1),
            at(1, good=2**62 + 4, lot=2, start=2**62 + 3),
            at(2, good=2**62 + 5, lot=3, start=2**62 + 5),
            at(3, lot=3),
        ],
    ),
    "a bad reading and a bad lot": (
        COUNTER,
        [
            at(0, good=1, lot=1),
            at(1, quality=BAD, good=50),
            at(2, quality=BAD, lot=2),
            at(3, good=8),
            at(4, lot=2, good=9),
            at(5, good=9),
        ],
    ),
    "fixed intervals of a silent counter end by the other tags' time": (
        EVERY,
        [at(0, good=1), at(2, good=5), at(100, p=1.0)],
    ),
    "fixed intervals of a silent counter end by a tick": (
        EVERY,
        [at(0, good=1), at(2, good=5), tick(2000)],
    ),
    "empty fixed intervals": (
        {**EVERY, "emits_zero": True},
        [at(0, good=1), at(2, good=5), at(40, p=5.0), at(60, p=6.0), at(80, good=6)],
    ),
    "a fixed interval of a flow ends by a tick": (
        {"name": "r", "kind": "total", "unit": "LTR", "per": "s", "tag": "*.flow", "every_s": 0.5},
        [at(0, flow=1.0), at(2, flow=5.0), tick(2000)],
    ),
    "a state of bad quality does not end one": (
        {"name": "r", "kind": "state", "tag": "*.state", "states": [2]},
        [
            at(0, state=1),
            at(2, state=2),
            at(4, quality=BAD, state=1),
            at(6, state=2),
            at(8, state=1),
            at(9, state=1),
        ],
    ),
    "the same state with another start": (
        {"name": "r", "kind": "state", "tag": "*.state", "states": [2], "since": "*.since"},
        [
            *(at(i, state=2, since=BASE // MS + ms) for i, ms in enumerate((0, 0, 1, 3, 3))),
            at(9, state=1, since=BASE // MS + 8),
            at(10, state=1),
        ],
    ),
    "windows of integers, booleans and bad values": (
        WINDOW,
        [at(0, p=1.0, good=2, on=1), at(1, quality=BAD, p=7.0, good=3), at(2, on=0), at(30, p=0.0)],
    ),
    "a window ends by a tick once all is silent": (
        WINDOW,
        [
            at(0, p=1.0),
            tick(999),
            tick(1000),
            at(1001, p=3.0),
            at(5, p=4.0),
            tick(5000),
        ],
    ),
    "a clock that lags behind a tick": (
        WINDOW,
        [
            at(0, 500, p=1.0),
            tick(1501),
            at(2, 1502, p=3.0),
            at(30, 1503, p=3.0),
            tick(5000),
        ],
    ),
    "stamps too far ahead": (
        WINDOW,
        [at(0, p=1.0), at(100_001, 0, p=1.0), at(100_000, 0, p=1.0), tick(200_000)],
    ),
    "a limit judged by event time": (
        {**HIGH, "order_by": "event"},
        [at(0, p=11.0), at(3, p=12.0), at(1, p=5.0), at(9, p=1.0), at(30, p=1.0), at(60, p=1.0)],
    ),
    "a limit after a bad sample": (
        HIGH,
        [at(0, p=11.0), at(5, quality=BAD, p=0.0), at(4, p=5.0), at(9, p=9.5), at(15, p=5.0)],
    ),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("wire", ["columns", "packed"])
def test_example(name: str, wire: str) -> None:
    rule, records = CASES[name]
    tags = {s.tag for r in records if isinstance(r, Receive) for s in r.samples}
    types = {tag: TYPES.get(tag.partition(".")[2], "i64") for tag in tags}
    lateness_s = 0.02 if rule.get("order_by") else 0
    config = rec.config_of([rule], lateness_s=lateness_s, idle_after_s=1, future_max_s=100)
    outcome, _ = check(Recording(config, tuple(records), types), wire=wire)
    assert outcome.events or outcome.results


def test_a_start_told_on_a_boundary_after_empty_intervals() -> None:
    rule = {**EXACT, "every_s": 0.007}
    records = [
        at(0, good=1, lot=1, start=0),
        at(14, good=5),
        at(34, good=7, lot=2, start=6),  # boundaries lie at 6, 13, 20, 27, 34 ms
        at(36, good=7),
        at(60, good=7),
    ]
    types = dict.fromkeys(("m.good", "m.lot", "m.start"), "i64")
    check(Recording(rec.config_of([rule]), tuple(records), types))


def test_texts_of_states_and_lots_come_by_json() -> None:
    rules = [
        {"name": "stop", "kind": "state", "tag": "*.state", "states": ["STOP"], "order": "*.order"},
        {**COUNTER, "order": "*.order"},
    ]
    states = ("RUN", "RUN", "STOP", "RUN", "STOP", "STOP", "FAULT", "RUN")
    records = [
        at(i * 5, state=state, order=f"A-{i // 4}", lot=f"Ä/{i // 2}", good=float(i))
        for i, state in enumerate(states)
    ]
    records += [at(time, **{s.tag[2:]: s.value for s in records[-1].samples}) for time in (90, 99)]
    config = rec.config_of(rules)
    config["source"][0]["format"] = "json"
    outcome, run = check(Recording(config, tuple(records), {}), wire="json")
    assert [event.text for event in run.events if event.kind == "state.end"] == ["STOP", "STOP"]
    assert Counter(made.kind for made in outcome.events) == {"state.end": 2, "counter.segment": 3}


def test_a_silent_source_holds_nobody_elses_windows() -> None:
    rules = [{"name": "w", "kind": "window", "tag": "*", "size_s": 0.01}]
    config = rec.config_of(rules)
    config["source"].append({**config["source"][0], "name": "t", "lateness_s": 0.015})
    records = [at(0, p=1.0), replace(at(0, flow=1.0), source="t")]
    records += [at(i * 3, p=1.0) for i in range(1, 20)]
    records += [replace(at(i * 3, flow=1.0), source="t") for i in range(1, 20)]
    outcome, _ = check(Recording(config, tuple(records), {"m.p": "f64", "m.flow": "f64"}))
    assert Counter(pane.tag for pane in outcome.results) == {"m.p": 5, "m.flow": 4}


def test_one_chattering_event_stands_for_the_rest_of_a_minute() -> None:
    swings: list[Record] = [at(i * 10, p=0.0 if i % 2 else 11.0) for i in range(200)]
    records = [*swings, at(61_000, p=11.0), at(125_000, p=0.0)]
    config = rec.config_of([HIGH])
    outcome = Judge(config).run(records)
    run = play(config, records, {"m.p": "f64"})
    chatter = [event for event in run.events if event.kind == "limit.chattering"]
    assert differences(outcome, run) == []
    assert (len(outcome.events), outcome.folded) == (63, {("r", "m.p"): 140})
    assert [event.count for event in chatter] == [140]


STOPPED: dict[str, Any] = {
    **HIGH,
    "order_by": "event",
    "suppress_when": {"tag": "*.on", "states": [1]},
}
LISTENER: dict[str, Any] = {
    "name": "l",
    "kind": "limit",
    "tag": "*.on",
    "order_by": "event",
    "high": 2,
}
PASSED, WAITING = 30, 15  # where the watermark, 20 ms behind, has passed the state, or not


@pytest.mark.parametrize(
    ("between", "time_ms", "is_suppressed"),
    [([HIGH], PASSED, False), ([HIGH], WAITING, True), ([HIGH, LISTENER], PASSED, True)],
    ids=["nobody waited for the state", "it waits until then", "another rule waited"],
)
def test_a_state_of_event_order_is_known_as_long_as_a_rule_waits_for_it(
    between: list[dict[str, Any]], time_ms: float, *, is_suppressed: bool
) -> None:
    config = rec.config_of([STOPPED], lateness_s=0.02)
    other = {**config, "rule": between}
    records = [
        at(0, on=True, p=1.0),
        Reload(other),
        at(time_ms, p=2.0),
        Reload(config),
        at(60, p=11.0),
        at(90, p=12.0),
    ]
    recording = Recording(config, tuple(records), {"m.p": "f64", "m.on": "bool"})
    outcome, _ = check(recording)
    trips = sum(event.kind == "limit.H.trip" for event in outcome.events)
    assert (trips, outcome.alarms[0].is_suppressed) == (not is_suppressed, is_suppressed)


def test_what_is_due_after_a_long_silence_is_taken_in_order_of_time() -> None:
    """The tag is silent 20 ms behind the trip: no re-alarm of the next minutes is told."""
    on = {"value": 10, "on_delay_s": 0.005, "re_alarm_s": 1}
    alarm = {"name": "r", "kind": "limit", "tag": "*.p", "high": on, "suppress_by": "quiet"}
    quiet = {"name": "quiet", "kind": "freshness", "tag": "*.p", "after_s": 0.02}
    config = rec.config_of([quiet, alarm])
    records: list[Record] = [at(0, p=11.0), Tick(BASE + 70 * 10**9)]
    outcome, run = check(Recording(config, tuple(records), {"m.p": "f64"}))
    assert [event.kind for event in run.events] == ["limit.H.trip", "freshness.trip"]
    assert outcome.suppressed == 0


@pytest.mark.parametrize("is_gone", [False, True])
def test_a_silence_told_ahead_of_its_stamp_is_told_apart_from_another_table(
    *, is_gone: bool
) -> None:
    fresh = {"name": "r", "kind": "freshness", "tag": "*.p", "after_s": 0.02}
    config = rec.config_of([fresh])
    other = {**config, "rule": [{**fresh, "after_s": 0.001}]}
    records = [
        at(47, 1000, p=6.0),
        tick(1020),  # silent at 67, by the clock of the engine
        at(60, 1021, p=1.0),  # and clear at 67
        *([Reload({**config, "rule": [HIGH]})] if is_gone else []),
        Reload(other),
        at(61, 1022, p=1.0),
        at(67, 1022, p=3.0),  # clear at 67
    ]
    outcome, run = check(Recording(config, tuple(records), {"m.p": "f64"}))
    clears = [event for event in run.events if event.kind == "freshness.clear"]
    assert [(event.at_ns - BASE) // MS for event in clears] == [67, 67]
    assert len({event.id for event in run.events}) == len(outcome.events)
    assert [event.occurrence for event in clears] == [0, 1]


def test_what_flowed_before_a_change_is_measured_by_the_old_rule() -> None:
    """The watermark stands at 20 ms; the second table's boundaries end nothing any more."""
    hourly = {"name": "r", "kind": "total", "unit": "LTR", "tag": "*.flow", "per": "h"}
    rule = {**hourly, "per": "s", "every_s": 3600}
    config = rec.config_of([rule])
    records = [
        at(0, flow=1000.0),
        at(20, p=1.0),
        Reload({**config, "rule": [{**hourly, "every_s": 0.05}]}),
        at(30, p=1.0),
        Reload({**config, "rule": [{**rule, "every_s": 0.1}]}),
        at(120, p=1.0),
    ]
    _, run = check(Recording(config, tuple(records), {"m.p": "f64", "m.flow": "f64"}))
    assert [(event.end_ns or 0) - BASE for event in run.events] == [100 * MS]
    assert abs(float(run.events[0].value or 0) - (20 + 70 + 10 / 3600)) < 1e-6


@pytest.mark.parametrize("is_gone", [False, True])
@pytest.mark.parametrize(
    ("kind", "tag"), [("counter", "good"), ("total", "flow")], ids=["counter", "total"]
)
def test_an_interval_of_a_silent_tag_ends_by_the_changed_rule(
    kind: str, tag: str, *, is_gone: bool
) -> None:
    """The boundaries at 10 ms are of before the change; the first behind it is that at 30 ms."""
    hour = {"name": "r", "kind": kind, "unit": "C62", "tag": f"*.{tag}", "every_s": 3600}
    config = rec.config_of([hour if kind == "counter" else {**hour, "per": "s"}])
    changed = {**config, "rule": [{**config["rule"][0], "every_s": 0.01}]}
    records = [
        at(0, **{tag: 1}),
        at(3, **{tag: 5}),
        at(27, p=1.0),
        *([Reload({**config, "rule": [HIGH]}), at(28, p=1.0)] if is_gone else []),
        Reload(changed),
        at(31, p=1.0),
        at(45, p=1.0),
        at(45, **{tag: 9}),
        at(99, p=1.0),
    ]
    recording = Recording(config, tuple(records), {"m.p": "f64", f"m.{tag}": "i64"})
    _, run = check(recording)
    ends = [(event.end_ns - BASE) // MS for event in run.events if event.end_ns is not None]
    if kind == "counter":
        assert ends == [30, 50]
        assert [event.value for event in run.events] == [4, 4]
    else:
        assert ends[:1] == [30]


# ---- the comparison itself ----------------------------------------------------------------------


def _change(**values: Any) -> Callable[[Outcome], None]:
    def change(outcome: Outcome) -> None:
        for name, value in values.items():
            setattr(outcome.events[3], name, value)

    return change


SPOILS: dict[str, Callable[[Outcome], None]] = {
    "missing": lambda outcome: outcome.events.pop(3) and None,
    "twice": lambda outcome: outcome.events.insert(3, outcome.events[3]),
    "order": lambda outcome: outcome.events.reverse(),
    "id": _change(id="0" * 36),
    "kind": _change(kind="total.segment"),
    "at": _change(at_ns=1),
    "end": _change(end_ns=None),
    "quantity": _change(quantity=Fraction(1, 3)),
    "reading": _change(end_reading=-1),
    "flags": _change(flags=frozenset({"reset", "rollover"})),
    "lot": _change(lot="0"),
    "order number": _change(order="0"),
    "asset": _change(asset="x"),
    "result missing": lambda outcome: outcome.results.pop() and None,
    "result sum": lambda outcome: outcome.results[0].points.append(Point(BASE, 1e-9)),
    "result partial": lambda outcome: setattr(outcome.results[0], "is_partial", False),
    "used": lambda outcome: setattr(outcome, "used", 0),
    "late": lambda outcome: setattr(outcome, "late", 99),
}


@pytest.mark.parametrize("spoil", SPOILS)
def test_the_comparison_sees_a_spoiled(spoil: str) -> None:
    records: list[Record] = [
        at(i, good=i * 3, lot=i // 3, start=i * 3, p=float(i)) for i in range(40)
    ]
    rules = [EXACT, {**WINDOW, "name": "w", "tag": "*.p"}]
    types = {"m.good": "i64", "m.lot": "i64", "m.start": "i64", "m.p": "f64"}
    outcome, run = check(Recording(rec.config_of(rules), tuple(records), types))
    SPOILS[spoil](outcome)
    assert differences(outcome, run)


def test_a_sum_is_compared_to_the_last_place() -> None:
    tenths = [at(i / 10, p=0.1) for i in range(90)]
    recording = Recording(rec.config_of([WINDOW]), (*tenths, at(20, p=0.0)), {"m.p": "f64"})
    outcome, run = check(recording)
    naive = sum([0.1] * 90)
    assert naive != run.results[0]["sum"] == float(Fraction(0.1) * 90)
    run.results[0]["sum"] = naive
    assert any("sum" in each for each in differences(outcome, run))
