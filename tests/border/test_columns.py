"""Columns cross the border in place: C reads the caller's memory, pyarrow, Polars and NumPy read
C's. Each promise is an address compared, and memory outlives the engine that gave it.
"""

from __future__ import annotations

import gc
import math
import threading
from array import array
from typing import Any

import numpy
import polars
import pyarrow
import pytest
from border_kit import START_NS, STEP_NS, Open, S, put

from penstock import Engine
from penstock.columns import TIME_NONE

COUNT = 1000
TIMES = START_NS + numpy.arange(COUNT, dtype=numpy.int64) * STEP_NS
READINGS = numpy.sin(numpy.arange(COUNT) / 7) * 3


def address(buffer: Any) -> int:
    return int(numpy.frombuffer(buffer, numpy.uint8).ctypes.data)


def feed(engine: Engine, times: Any, values: Any, **more: Any) -> tuple[int, int]:
    tag = engine.tag("m1.pressure", source="line")
    return engine.feed(tag, times, values, source="line", recv_time_ns=int(TIMES[-1]), **more)


def arrow_times(times: numpy.ndarray[Any, Any]) -> pyarrow.Array:
    return pyarrow.array(times).cast(pyarrow.timestamp("ns", "UTC"))


FORMS: dict[str, tuple[Any, Any, int]] = {
    "ndarray": (TIMES, READINGS, READINGS.ctypes.data),
    "datetime64": (TIMES.view("M8[ns]"), READINGS, READINGS.ctypes.data),
    "Arrow array": (
        pyarrow.array(TIMES),
        (held := pyarrow.array(READINGS)),
        held.buffers()[1].address,
    ),
    "Arrow slice and timestamps": (
        arrow_times(TIMES[5:]),
        held.slice(5),
        held.buffers()[1].address + 40,
    ),
    "Polars series": (
        polars.Series(TIMES),
        (series := polars.Series(READINGS)),
        series.to_numpy(allow_copy=False).ctypes.data,
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_c_reads_the_values_where_the_caller_holds_them(form: str, open_engine: Open) -> None:
    times, values, wanted = FORMS[form]
    engine = open_engine()
    assert feed(engine, times, values) == (len(values), 0)
    assert engine._core.fed_at == wanted


def test_an_array_is_read_in_place(open_engine: Open) -> None:
    values = array("d", READINGS)
    engine = open_engine()
    assert feed(engine, array("q", TIMES.tolist()), values) == (COUNT, 0)
    assert engine._core.fed_at == values.buffer_info()[0]


def test_chunks_of_a_stream_are_fed_one_by_one_and_give_the_same_windows(open_engine: Open) -> None:
    chunked = pyarrow.chunked_array([READINGS[:300], READINGS[300:310], READINGS[310:]])
    times = pyarrow.chunked_array([TIMES[:299], TIMES[299:]])
    rows = []
    for name, each in (("a", (TIMES, READINGS)), ("b", (times, chunked))):
        engine = open_engine(name)
        assert feed(engine, *each) == (COUNT, 0)
        engine.tick(int(TIMES[-1]) + 60 * S)
        rows.append(engine.results().rows())
    assert rows[0] == rows[1]
    assert len(rows[0]) == 100


def bad_columns() -> dict[str, tuple[Any, str]]:
    nulls = pyarrow.array([1.0, None] * 500)
    return {
        "nulls": (nulls, "holds nulls; drop those rows first"),
        "float32": (pyarrow.array(READINGS, pyarrow.float32()), "format f is not taken; cast it"),
        "texts": (pyarrow.array(["a"] * COUNT), "format u is not taken"),
        "dictionary": (nulls.dictionary_encode(), "is not taken"),
        "too short": (held.slice(1), "differ in length"),
        "decimal": (pyarrow.array([1] * COUNT, pyarrow.decimal128(9)), "format d:9,0 is not taken"),
    }


@pytest.mark.parametrize("name", bad_columns())
def test_a_column_that_cannot_be_read_in_place_is_refused_by_name(
    name: str, open_engine: Open
) -> None:
    values, said = bad_columns()[name]
    engine = open_engine()
    with pytest.raises(ValueError, match=said):
        feed(engine, TIMES, values)
    assert engine.stats().received == 0


def test_a_slice_past_its_nulls_is_taken(open_engine: Open) -> None:
    values = pyarrow.array([None, *READINGS[1:]])
    assert feed(open_engine(), TIMES[1:], values.slice(1)) == (COUNT - 1, 0)


def test_a_position_names_one_batch_not_several_chunks(open_engine: Open) -> None:
    chunked = pyarrow.chunked_array([READINGS[:300], READINGS[300:]])
    with pytest.raises(ValueError, match="combine them first"):
        feed(open_engine(), TIMES, chunked, position=7)
    assert feed(open_engine("b"), TIMES, chunked.combine_chunks(), position=7) == (COUNT, 0)


# ---- results -------------------------------------------------------------------------------------


def closed_windows(engine: Engine) -> Any:
    feed(engine, TIMES, READINGS)
    engine.tick(int(TIMES[-1]) + 60 * S)
    return engine.results()


def as_rows(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is absent as ``rows`` says it: a time is None, any NaN is the one NaN."""
    return [
        {
            name: None if value == TIME_NONE else math.nan if value != value else value
            for name, value in row.items()
        }
        for row in rows
    ]


def test_a_table_of_results_is_the_batchs_own_memory(open_engine: Open) -> None:
    results = closed_windows(open_engine())
    table = pyarrow.table(results)
    frame = polars.DataFrame(results)
    assert table.num_rows == frame.height == len(results) == 100
    assert table.column_names == frame.columns == list(results.columns)
    for name, column in results.columns.items():
        if name in ("rule", "tag"):  # places in a table of names
            indices = table[name].chunk(0).indices
            assert indices.buffers()[1].address == address(column)
            continue
        assert table[name].chunk(0).buffers()[1].address == address(column), name
        assert frame[name].to_arrow().buffers()[1].address == address(column), name
    wanted = results.rows()
    assert as_rows(table.to_pylist()) == wanted
    assert as_rows(frame.with_columns(polars.col("rule", "tag").cast(str)).to_dicts()) == wanted


def test_a_time_that_is_not_known_is_null(open_engine: Open) -> None:
    asked = '[[rule]]\nname = "asked"\nkind = "window"\ntag = "*.pressure"\nsize_s = 0.1\n'
    results = closed_windows(open_engine(more=asked + 'aggregates = ["min_at"]'))
    table, frame = pyarrow.table(results), polars.DataFrame(results)
    is_asked = [row["rule"] == "asked" for row in results.rows()]
    assert [each is not None for each in table["min_ns"].to_pylist()] == is_asked
    assert frame["min_ns"].is_not_null().to_list() == is_asked
    assert sum(is_asked) == 100
    assert table["max_ns"].null_count == len(results)


def test_results_outlive_their_engine_and_are_released_from_any_thread(open_engine: Open) -> None:
    engine = open_engine()
    results = closed_windows(engine)
    wanted = results.rows()
    table = pyarrow.table(results)
    mean = results.columns["mean"]
    engine.close()
    del results, engine
    gc.collect()
    assert table["mean"].to_pylist() == mean.tolist() == [row["mean"] for row in wanted]
    column = table["sum"].chunk(0)  # a child outlives the table it came in
    held = [table]
    del table
    thread = threading.Thread(target=held.clear)
    thread.start()
    thread.join()
    assert column.to_pylist() == [row["sum"] for row in wanted]


def test_no_result_is_an_empty_table_of_the_same_columns(open_engine: Open) -> None:
    engine = open_engine()
    empty = engine.results()
    assert (len(empty), repr(empty)) == (0, "<Results: no window has closed>")
    assert pyarrow.table(empty).num_rows == polars.DataFrame(empty).height == 0
    assert pyarrow.table(empty).schema == pyarrow.table(closed_windows(engine)).schema


def test_a_column_is_read_only(open_engine: Open) -> None:
    mean = closed_windows(open_engine()).columns["mean"]
    with pytest.raises(TypeError, match="read-only"):
        mean[0] = 1.0


# ---- events --------------------------------------------------------------------------------------


def test_events_are_a_structured_view_of_their_memory(open_engine: Open) -> None:
    engine = open_engine()
    put(engine, [1.0, *[9.0] * 20, *[1.0] * 200])
    engine.tick(START_NS + 60 * S)
    batch = engine.poll()
    view = numpy.asarray(batch)
    assert view.ctypes.data == address(batch.raw)
    assert view.itemsize == len(batch.raw) // len(batch)
    assert view["at_ns"].tolist() == [event.at_ns for event in batch]
    assert view["start_ns"].tolist() == [event.start_ns for event in batch]
    assert [raw.tobytes().hex() for raw in view["digest"]] == [event.digest for event in batch]
    trips = [event.kind == "limit.H.trip" for event in batch]
    assert any(trips)
    assert view["limit"][trips].tolist() == [8.0] * sum(trips)
    assert [lot.decode() for lot in view["context"]["lot"]] == [e.context.lot for e in batch]
    with pytest.raises(ValueError, match="read-only"):
        view["at_ns"][0] = 0


def test_a_table_of_events_says_what_the_events_say(open_engine: Open) -> None:
    engine = open_engine()
    put(engine, [1.0, *[9.0] * 20, *[1.0] * 200])
    engine.tick(START_NS + 60 * S)
    batch = engine.poll()
    table, frame = pyarrow.table(batch), polars.DataFrame(batch)
    assert table.num_rows == frame.height == len(batch) > 2
    for row, event in zip(table.to_pylist(), batch, strict=True):
        for name in (
            "id",
            "kind",
            "rule",
            "tag",
            "asset",
            "at_ns",
            "end_ns",
            "value",
            "limit",
            "sum",
        ):
            assert row[name] == getattr(event, name), name
        assert row["lot"] == event.context.lot
        assert row["flags"] == ",".join(sorted(event.flags))
    assert frame["id"].to_list() == [event.id for event in batch]
    engine.close()
    del batch, engine
    gc.collect()
    assert len(table["id"].to_pylist()) == table.num_rows
    assert table["end_ns"].null_count == frame["end_ns"].null_count() > 0


def test_no_event_is_an_empty_table(open_engine: Open) -> None:
    batch = open_engine().poll()
    assert pyarrow.table(batch).num_rows == 0
    assert {"at_ns", "quantity", "lot", "flags"} <= set(pyarrow.table(batch).column_names)
    assert numpy.asarray(batch).shape == (0,)
    assert repr(batch) == "<Batch: no event waits>"
