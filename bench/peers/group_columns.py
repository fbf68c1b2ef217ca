"""group_columns: the baseline: count, min, max, mean by tag and second, on one thread.

    group_columns.py duckdb table|arrow COLUMNS ROWS PASSES
    group_columns.py polars frame COLUMNS ROWS PASSES
    group_columns.py pyarrow table COLUMNS ROWS PASSES
    group_columns.py chdb arrow COLUMNS ROWS PASSES

Reads the files of write_columns; prints one "measured {...}" a pass and at last "final {...}" with
what was wrong in the groups, compared with NumPy's figures of the whole.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

os.environ["POLARS_MAX_THREADS"] = "1"

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped]

SECOND_NS = 1_000_000_000
SQL = f"""
SELECT tag, time_ns // {SECOND_NS} AS second,
       count(*) AS n, min(value) AS low, max(value) AS high, avg(value) AS mean
FROM columns GROUP BY ALL
"""
Groups = Callable[[], "pa.Table"]


def with_duckdb(table: pa.Table, source: str) -> Groups:
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    if source == "table":
        connection.register("given", table)
        connection.execute("CREATE TABLE columns AS SELECT * FROM given")
    else:
        connection.register("columns", table)
    return lambda: connection.sql(SQL).to_arrow_table()


def with_polars(table: pa.Table) -> Groups:
    import polars as pl

    assert pl.thread_pool_size() == 1
    frame = pl.from_arrow(table, rechunk=True).lazy()  # type: ignore[union-attr]
    second = (pl.col("time_ns") // SECOND_NS).alias("second")
    value = pl.col("value")
    query = frame.group_by("tag", second).agg(
        pl.len().alias("n"),
        value.min().alias("low"),
        value.max().alias("high"),
        value.mean().alias("mean"),
    )
    return lambda: query.collect().to_arrow()


def with_pyarrow(table: pa.Table) -> Groups:
    import pyarrow.compute as pc  # type: ignore[import-untyped]

    pa.set_cpu_count(1)
    asked = [("value", "count"), ("value", "min"), ("value", "max"), ("value", "mean")]

    def groups() -> pa.Table:
        second = pc.divide(table["time_ns"], SECOND_NS)
        keyed = table.append_column("second", second).group_by(["tag", "second"], use_threads=False)
        names = {"value_count": "n", "value_min": "low", "value_max": "high", "value_mean": "mean"}
        return keyed.aggregate(asked).rename_columns({"tag": "tag", "second": "second", **names})

    return groups


def with_chdb(table: pa.Table) -> Groups:
    import chdb  # type: ignore[import-not-found]

    session = chdb.session.Session()
    session.query("SET max_threads = 1")
    session.query("CREATE TABLE columns (tag UInt32, time_ns Int64, value Float64) ENGINE = Memory")
    globals()["given"] = table  # chDB finds a table of Python by its name
    session.query("INSERT INTO columns SELECT tag, time_ns, value FROM Python(given)")
    sql = f"""
        SELECT tag, intDiv(time_ns, {SECOND_NS}) AS second, count() AS n, min(value) AS low,
               max(value) AS high, avg(value) AS mean
        FROM columns GROUP BY tag, second
    """

    def groups() -> pa.Table:
        answer = session.query(sql, "Arrow")
        return pa.ipc.open_file(pa.BufferReader(answer.bytes())).read_all()

    return groups


ENGINES: dict[str, Callable[[pa.Table, str], Groups]] = {
    "duckdb": with_duckdb,
    "polars": lambda table, _: with_polars(table),
    "pyarrow": lambda table, _: with_pyarrow(table),
    "chdb": lambda table, _: with_chdb(table),
}


def check(groups: pa.Table, tags: np.ndarray, times: np.ndarray, values: np.ndarray) -> str:
    """Groups, rows, sum and extremes against NumPy over the whole."""
    counts, means = groups["n"].to_numpy(), groups["mean"].to_numpy()
    keys = np.unique(tags.astype(np.int64) * 2**40 + times // SECOND_NS)
    if len(keys) != len(groups):
        return f"{len(groups)} groups, there are {len(keys)}"
    if counts.sum() != len(values):
        return f"{counts.sum()} rows in the groups, there are {len(values)}"
    if abs(float((counts * means).sum()) - float(values.sum())) > 1e-6 * float(values.sum()):
        return "the means do not make the sum"
    extremes = groups["low"].to_numpy().min(), groups["high"].to_numpy().max()
    return "" if extremes == (values.min(), values.max()) else f"extremes are {extremes}"


def cpu_ns() -> int:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return round((used.ru_utime + used.ru_stime) * 1e9)


def main(engine: str, source: str, folder: Path, rows: int, passes: int) -> None:
    tags = np.fromfile(folder / "tag.u32", np.uint32, rows)
    times = np.fromfile(folder / "time.i64", np.int64, rows)
    values = np.fromfile(folder / "value.f64", np.float64, rows)
    table = pa.table({"tag": tags, "time_ns": times, "value": values})
    groups_of = ENGINES[engine](table, source)
    groups_of()  # the first is the warm-up
    for _ in range(passes):
        begin = (cpu_ns(), time.monotonic_ns())
        groups = groups_of()
        spent = {"cpu_ns": cpu_ns() - begin[0], "wall_ns": time.monotonic_ns() - begin[1]}
        print("measured", json.dumps({"count": rows, **spent}), flush=True)
    print("final", json.dumps({"problem": check(groups, tags, times, values)}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
