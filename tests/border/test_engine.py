"""The typed Engine as a caller meets it: life cycle, columns and payloads in, batches and windows
out, positions to resume by, threads and tasks around it.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from array import array
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from border_kit import (
    START_NS,
    STEP_NS,
    TAGS,
    Open,
    S,
    drain,
    excursions,
    identities,
    make_config,
    packed,
    put,
    samples,
)

import penstock
from penstock import ConfigError, Engine, EngineClosed, Event, RingFull

numpy = pytest.importorskip("numpy", reason="columns also come as NumPy arrays; pip install numpy")


# ---- life cycle ----------------------------------------------------------------------------------


def test_import_needs_the_standard_library_only() -> None:
    code = (
        "import sys; before = set(sys.modules); import penstock; import json; "
        "names = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(json.dumps(sorted(names - sys.stdlib_module_names)))"
    )
    for options in ([], ["-I"]):
        done = subprocess.run(
            [sys.executable, *options, "-c", code], capture_output=True, text=True, check=True
        )
        found = set(json.loads(done.stdout))
        # What our own extension makes in memory, and the import hook of an editable install.
        own = ("_cython_", "cython_runtime", "_editable_")
        assert {name for name in found if not name.startswith(own)} == {"penstock"}


def test_import_starts_no_thread_and_installs_no_handler() -> None:
    code = (
        "import os, signal; before = [signal.getsignal(s) for s in signal.valid_signals()]; "
        "import penstock; "
        "assert [signal.getsignal(s) for s in signal.valid_signals()] == before; "
        "assert len(os.listdir('/proc/self/task')) == 1"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_context_manager_closes_also_on_an_error(tmp_path: Path, ring_dir: Path) -> None:
    config = make_config(tmp_path / "state", ring_dir)

    def work() -> None:
        with Engine(config, clock="manual") as engine:
            put(engine, [1.0])
            raise LookupError

    with pytest.raises(LookupError):
        work()
    with Engine(config, clock="manual") as engine:  # the lock is free, the sample is there
        assert engine.stats().sources[0].used == 1


def test_close_is_idempotent_and_every_call_after_it_says_closed(open_engine: Open) -> None:
    engine = open_engine()
    put(engine, excursions(2))
    batch = engine.poll()
    assert batch.events
    engine.close()
    engine.close()
    calls: list[Callable[[], Any]] = [
        engine.start,
        engine.poll,
        engine.results,
        engine.stats,
        engine.checkpoint,
        batch.acknowledge,
        lambda: put(engine, [1.0]),
        lambda: batch.evidence(batch.events[0]),
        lambda: engine.tick(START_NS),
        lambda: engine.context("m1", order="O1"),
        lambda: engine.position("line"),
        lambda: engine.feed_frames([b""], source="line"),
        lambda: engine.baseline("r", "1", "t", 1, START_NS),
    ]
    for call in calls:
        with pytest.raises(EngineClosed, match="the engine is closed"):
            call()
    assert batch.events[0].tag == TAGS[0]  # a batch owns its values


def test_an_engine_that_is_forgotten_lets_go_of_its_lock(tmp_path: Path, ring_dir: Path) -> None:
    config = make_config(tmp_path / "state", ring_dir)
    engine = Engine(config, clock="manual")
    put(engine, [1.0, 2.0])
    del engine
    gc.collect()
    with Engine(config, clock="manual") as engine:
        assert engine.stats().sources[0].used == 2


def test_several_engines_of_one_process_do_not_meet(open_engine: Open) -> None:
    engines = [open_engine(f"state{i}") for i in range(4)]
    for number, engine in enumerate(engines):
        put(engine, excursions(number + 1))
    trips = [[e.kind for e in drain(engine)].count("limit.H.trip") for engine in engines]
    assert trips == [1, 2, 3, 4]
    engines[1].close()
    assert put(engines[2], [5.0], first=1000) == (1, 0)


def test_an_unknown_clock_is_refused(tmp_path: Path, ring_dir: Path) -> None:
    with pytest.raises(ValueError, match="clock 'sundial' is none of system, manual"):
        Engine(make_config(tmp_path / "state", ring_dir), clock="sundial")


def test_a_tag_declared_with_another_type_than_it_has_is_refused(open_engine: Open) -> None:
    open_engine(source='tags = { "m1.good" = "i64" }').close()
    with pytest.raises(ConfigError, match=r"source\[line\]\.tags: tag m1\.good is refused \(type"):
        open_engine(source='tags = { "m1.good" = "f64" }')
    engine = open_engine(source='tags = { "m1.good" = "i64" }')  # and the lock is free
    with pytest.raises(ValueError, match="another type, for life"):
        engine.tag("m1.good", "bool", source="line")
    engine.tag("m1.warm", "f64", source="line")
    with pytest.raises(ValueError, match="another type, for life"):
        engine.tag("m1.warm", "i64", source="line")


# ---- columns and payloads in ---------------------------------------------------------------------


def test_numpy_columns_are_taken_as_they_are(open_engine: Open) -> None:
    engine = open_engine()
    warm = engine.tag("m1.pressure", "f64", source="line")
    good = engine.tag("m1.good", "i64", source="line")
    count = 1000
    times = START_NS + numpy.arange(count, dtype=numpy.int64) * STEP_NS
    last = int(times[-1])
    quality = numpy.zeros(count, dtype=numpy.uint16)
    readings = numpy.sin(numpy.arange(count)) * 3
    assert engine.feed(
        warm, times, readings, source="line", quality=quality, recv_time_ns=last
    ) == (count, 0)
    words = numpy.concatenate(
        [readings.view(numpy.uint64), numpy.arange(count, dtype=numpy.uint64)]
    )
    ids = numpy.repeat(numpy.array([warm, good], dtype=numpy.uint32), count)
    both = numpy.concatenate([times, times]) + 30 * S
    assert engine.feed(ids, both, words, source="line", recv_time_ns=last + 30 * S) == (2000, 0)
    engine.tick(last + 120 * S)
    rows = [row for row in engine.results().rows() if row["start_ns"] < last]
    by_start = {row["start_ns"]: row for row in rows}
    for start in range(0, count, 10):
        part = readings[start : start + 10]
        row = by_start[START_NS + start * STEP_NS]
        assert (row["count"], row["min"], row["max"]) == (10, part.min(), part.max())
        assert row["sum"] == pytest.approx(part.sum(), rel=1e-15)
    assert engine.stats().residual == 0


def test_results_are_columns_that_numpy_reads_without_a_copy(open_engine: Open) -> None:
    engine = open_engine()
    put(engine, [float(i) for i in range(100)])
    engine.tick(START_NS + 60 * S)
    results = engine.results()
    assert len(results) == 10
    column = numpy.frombuffer(results.columns["mean"])
    assert column.tolist() == [4.5 + 10 * i for i in range(10)]
    assert len(engine.results()) == 0  # taken once


def bad_columns() -> dict[str, tuple[dict[str, Any], str]]:
    ones = numpy.ones(4)
    return {
        "values float32": ({"values": ones.astype("f4")}, "values must be a contiguous"),
        "values big-endian": ({"values": ones.astype(">f8")}, "values must be a contiguous"),
        "values strided": ({"values": numpy.ones(8)[::2]}, "values must be a contiguous"),
        "values in Fortran order": (
            {"values": numpy.asfortranarray(numpy.ones((2, 2)))},
            "values must be a contiguous",
        ),
        "values bytes": ({"values": bytes(32)}, "values must be a contiguous"),
        "tags float": ({"tags": ones}, "tags must be a contiguous buffer of 4-byte"),
        "tags int64": ({"tags": ones.astype("i8")}, "tags must be a contiguous buffer of 4-byte"),
        "tags strided": ({"tags": numpy.zeros(8, "u4")[::2]}, "tags must be a contiguous"),
        "tags too short": ({"tags": numpy.zeros(3, "u4")}, "differ in length"),
        "time float": ({"time_ns": ones}, "time_ns must be a contiguous buffer of 8-byte"),
        "time too long": ({"time_ns": numpy.full(5, START_NS)}, "differ in length"),
        "time strided": ({"time_ns": numpy.full(8, START_NS)[::2]}, "time_ns must be"),
        "quality bytes": ({"quality": numpy.zeros(4, "u1")}, "quality must be a contiguous"),
        "quality too short": ({"quality": numpy.zeros(3, "u2")}, "differ in length"),
        "position negative": ({"position": -1}, "position -1 is not in 0"),
        "position too large": ({"position": 2**64 - 1}, "is not in 0"),
        "source unknown": ({"source": "nope"}, r"source 'nope' is not configured \(known: line\)"),
    }


@pytest.mark.parametrize("name", bad_columns())
def test_wrong_columns_are_refused_whole(name: str, open_engine: Open) -> None:
    engine = open_engine()
    tag = engine.tag(TAGS[0], source="line")
    changes, message = bad_columns()[name]
    columns = {"tags": tag, "time_ns": None, "values": numpy.ones(4), "source": "line", **changes}
    rest = {key: each for key, each in columns.items() if key not in ("tags", "time_ns", "values")}
    with pytest.raises(ValueError, match=message):
        engine.feed(
            columns["tags"], columns["time_ns"], columns["values"], recv_time_ns=START_NS, **rest
        )
    assert engine.stats().received == 0
    assert put(engine, [5.0]) == (1, 0)


def test_values_of_another_type_than_the_tags_are_refused(open_engine: Open) -> None:
    engine = open_engine()
    warm = engine.tag("m1.pressure", "f64", source="line")
    good = engine.tag("m1.good", "i64", source="line")
    with pytest.raises(ValueError, match="the values are int64, tag 0 is f64"):
        engine.feed(warm, None, array("q", [1]), source="line", recv_time_ns=START_NS)
    with pytest.raises(ValueError, match="the values are float64, tag 1 is i64"):
        engine.feed(good, None, array("d", [1.0]), source="line", recv_time_ns=START_NS)
    assert engine.feed(good, None, array("q", [1]), source="line", recv_time_ns=START_NS) == (1, 0)
    assert engine.stats().received == 1


def test_wrong_names_and_kinds_of_tags_are_refused(open_engine: Open) -> None:
    engine = open_engine()
    for name in ("", "x" * 96, "a\nb", "\ud800"):
        with pytest.raises(ValueError, match=r"tag_name|surrogates"):
            engine.tag(name, source="line")
    with pytest.raises(ValueError, match="'f32' is none of f64, i64, bool, code"):
        engine.tag("m1.x", "f32", source="line")
    with pytest.raises(ValueError, match="not configured"):
        engine.tag("m1.x", source="elsewhere")
    assert engine.stats().tags == 0


def test_no_rows_are_no_error(open_engine: Open) -> None:
    engine = open_engine()
    tag = engine.tag(TAGS[0], source="line")
    assert engine.feed(tag, None, array("d"), source="line", recv_time_ns=START_NS) == (0, 0)
    assert engine.feed_frames([], source="line") == (0, 0)


# ---- positions: what a redelivery doubles, which is nothing --------------------------------------


def test_the_same_batch_twice_is_used_once(open_engine: Open) -> None:
    engine = open_engine()
    values = excursions(200)  # more than one block
    assert engine.position("line") is None
    assert put(engine, values, position=7) == (len(values), 0)
    assert engine.position("line") == 7
    assert put(engine, values, position=7) == (0, len(values))
    assert put(engine, values, position=3) == (0, len(values))
    assert put(engine, values, first=len(values), position=8) == (len(values), 0)
    source = engine.stats().sources[0]
    assert (source.used, source.dropped) == (2 * len(values), {"duplicate": 2 * len(values)})
    assert source.residual == 0
    once = open_engine("once")
    put(once, values * 2)
    assert identities(drain(engine)) == identities(drain(once))


def test_positions_hold_over_a_restart(open_engine: Open) -> None:
    first = open_engine()
    put(first, excursions(3), position=0)
    frames = [packed(samples(100 + i, 1)) for i in range(3)]
    first.feed_frames(frames, source="line", position=1, recv_time_ns=START_NS + S)
    assert first.position("line") == 3
    first.close()
    engine = open_engine()
    assert engine.position("line") == 3
    again = engine.feed_frames(frames, source="line", position=1, recv_time_ns=START_NS + S)
    assert again == (0, 6)
    assert engine.stats().residual == 0


def is_fed(engine: Engine, values: list[float], position: int) -> bool:
    """Whether there was room for all of it."""
    try:
        put(engine, values, first=position * len(values), position=position)
    except RingFull as full:
        message = str(full)
    else:
        return True
    assert "poll, acknowledge, then feed" in message
    return False


def test_unacknowledged_events_fill_the_ring_and_nothing_is_lost(open_engine: Open) -> None:
    """``RingFull`` says: poll, acknowledge, feed the same position again."""
    busy = open_engine(engine="event_slots = 256", more=BUSY)
    calm = open_engine("calm", more=BUSY)
    events: list[Event] = []
    expected: list[Event] = []
    refusals = 0
    for position in range(60):
        values = excursions(100)
        while not is_fed(busy, values, position):
            refusals += 1
            events += drain(busy)
        put(calm, values, first=position * len(values), position=position)
        expected += drain(calm)
    assert refusals > 0
    events += drain(busy)
    assert identities(events) == identities(expected)
    source = busy.stats().sources[0]
    assert source.used == 60 * 1000
    # What a refused batch had journaled already is recognised when it comes again.
    assert set(source.dropped) == {"duplicate"}
    assert source.residual == 0


def test_a_tick_before_a_full_event_ring_is_heard_once_events_are_taken(open_engine: Open) -> None:
    engine = open_engine(engine="event_slots = 256", more=BUSY)
    put(engine, excursions(200))
    assert engine.stats().is_event_ring_full
    later_ns = engine.stats().engine_time_ns + 3600 * 10**9  # its stream is idle by then
    engine.tick(later_ns)
    assert (engine.stats().engine_time_ns, engine.stats().ticks) == (later_ns, 0)
    assert drain(engine)
    engine.tick(later_ns)
    assert engine.stats().ticks == 1


BUSY = """
[[rule]]
name = "busy"
kind = "limit"
tag = "*.pressure"
high = { value = 8.0, deadband = 0.5 }
events_per_minute_max = 1000000
"""


# ---- events: batches, acknowledgement, evidence, context -----------------------------------------


def test_unacknowledged_events_come_again_after_a_restart_and_acknowledged_ones_do_not(
    open_engine: Open,
) -> None:
    first = open_engine()
    put(first, excursions(4), position=0)
    batch = first.poll(3)
    batch.acknowledge()
    rest = first.poll()
    assert rest.events
    first.close()
    again = drain(open_engine())
    assert [e.id for e in again] == [e.id for e in rest.events]
    assert [e.digest for e in again] == [e.digest for e in rest.events]
    assert open_engine("other").poll().events == ()


def test_acknowledging_what_was_not_polled_is_refused(open_engine: Open) -> None:
    engine = open_engine()
    put(engine, excursions(1))
    with pytest.raises(ValueError, match="was not polled yet"):
        engine.acknowledge(0)


def test_evidence_is_the_samples_around_the_event(open_engine: Open) -> None:
    engine = open_engine()
    values = [5.0 + i / 1000 for i in range(300)] + [9.0] * 10
    put(engine, values)
    put(engine, [4.0] * 100, first=len(values))
    batch = engine.poll()
    trip = next(e for e in batch.events if e.kind == "limit.H.trip")
    evidence = batch.evidence(trip)
    assert evidence is not None
    assert evidence.before == len(evidence.values) == 192
    assert list(evidence.values) == values[-192:]
    assert evidence.time_ns[-1] == START_NS + (len(values) - 1) * STEP_NS
    after = engine.evidence_after(trip)
    assert (after.before, list(after.values)) == (0, [4.0] * 64)


def test_context_rides_on_events_from_when_it_holds(open_engine: Open) -> None:
    engine = open_engine()
    engine.context("m1", order="O1", material="FG", at_ns=START_NS)
    put(engine, excursions(1))
    engine.context("m1", order="O2", at_ns=START_NS + 5 * S)
    put(engine, excursions(1), first=1000)
    orders = [(e.context.order, e.context.material) for e in drain(engine) if "trip" in e.kind]
    assert orders == [("O1", "FG"), ("O2", "FG")]
    with pytest.raises(ConfigError, match=r"order: .* longer than 31 bytes"):
        engine.context("m1", order="x" * 32)


def test_new_rules_take_over_without_a_restart(
    open_engine: Open, tmp_path: Path, ring_dir: Path
) -> None:
    engine = open_engine()
    put(engine, [7.0] * 10)
    assert drain(engine) == []
    extra = BUSY.replace("8.0", "6.0").replace("busy", "lower")
    engine.reconfigure(make_config(tmp_path / "state", ring_dir, more=extra))
    put(engine, [7.0] * 10, first=100)
    found = [e for e in drain(engine) if e.kind.startswith("limit")]
    assert [(e.rule, e.kind) for e in found] == [("lower", "limit.H.trip")]
    assert found[0].quantity is None
    assert found[0].limit == 6.0


def test_quantities_are_exact_decimals(open_engine: Open) -> None:
    engine = open_engine(more=COUNTER)
    good = engine.tag("m1.good", "i64", source="line")
    lot = engine.tag("m1.lot", "i64", source="line")
    big = 2**60 + 1
    for i, (reading, number) in enumerate([(big, 1), (big + 11, 1), (big + 12, 2), (big + 13, 2)]):
        times = array("q", [START_NS + i * S] * 2)
        values = array("q", [number, reading])
        ids = array("I", [lot, good])
        engine.feed(ids, times, values, source="line", recv_time_ns=times[0])
    engine.tick(START_NS + 100 * S)
    segments = [e for e in drain(engine) if e.kind == "counter.segment"]
    assert segments
    first = segments[0]
    assert first.start_reading == big
    assert isinstance(first.quantity, Decimal)
    assert first.quantity == first.end_reading - first.start_reading
    assert (first.context.lot, first.unit) == ("1", "C62")


COUNTER = """
[[rule]]
name = "good"
kind = "counter"
tag = "*.good"
lot = "*.lot"
unit = "C62"
"""


def test_the_public_names_are_all_there() -> None:
    for name in penstock.__all__:
        assert getattr(penstock, name) is not None


def test_tags_tell_their_names_kinds_and_newest_samples(open_engine: Open) -> None:
    engine = open_engine(source='format = "json"')
    assert engine.tags() == ()
    warm = engine.tag("m1.warm", "f64", source="line")
    values = array("d", range(500))
    stamps = array("q", [START_NS + step for step in range(500)])
    assert engine.feed(warm, stamps, values, source="line", recv_time_ns=START_NS) == (500, 0)
    frame = {"samples": [{"name": "m1.state", "value": text, "time": START_NS} for text in "AB"]}
    raw = json.dumps(frame).encode()
    assert engine.feed_frames([raw], source="line", recv_time_ns=START_NS) == (2, 0)
    first, second = engine.tags()
    assert (first.id, first.name, first.kind) == (warm, "m1.warm", "f64")
    assert (second.name, second.kind) == ("m1.state", "code")
    newest = engine.newest(warm)
    assert newest.values == tuple(values[-192:])
    assert newest.time_ns == tuple(stamps[-192:])
    assert engine.newest(warm, 2).values == (498.0, 499.0)
    codes = engine.newest(second.id).values
    assert [engine.code_text(second.id, int(each)) for each in codes] == ["A", "B"]
    assert engine.code_text(second.id, 7) == ""


# ---- bounds -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("bound", "refused"), [("", 0), ("instances_max = 4", 2)])
def test_a_rule_that_finds_no_room_at_a_tag_is_counted(
    open_engine: Open, bound: str, refused: int
) -> None:
    """Three rules at two tags; what does not fit judges nothing, and is told."""
    engine = open_engine(engine=bound)
    rows = samples(0, 10)
    engine.feed_frames([packed(rows)], source="line", recv_time_ns=rows[-1][1])
    stats = engine.stats()
    assert stats.instances_refused == refused
    assert stats.instances == 6 - refused
