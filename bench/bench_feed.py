"""How fast do ready columns go through the engine, beside a columnar group-by of the same ones?

Ours: ``pstk_engine_feed`` in batches of 65,536 rows: journal, one limit, one 1 s window, events and
results taken after each batch. Peers: count, min, max, mean by tag and second, one thread, no
limit. Memory: how fast the same core reads bytes that no cache holds; a row has 20.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from measure import (
    CPU_RECEIVER,
    Bench,
    Child,
    Figure,
    Reading,
    Skip,
    compare,
    engine_folders,
)

DUCKDB = "feed.random1k.vs_duckdb"
POLARS = "feed.random1k.vs_polars"
MEMORY = "feed.random1k.vs_memory"
NAMES = (DUCKDB, POLARS, MEMORY)
WIRE = "columns in process: tag u32, time i64 ns, value f64; 1,000 tags, random order"
PEER = Path(__file__).resolve().parent / "peers" / "group_columns.py"
BATCH_ROWS = 65_536
ROW_BYTES = 20
PASSES = 5
Others = Callable[[str], dict[str, Callable[[], Reading]]]


def feed(bench: Bench, columns: str) -> Callable[[], Reading]:
    """Our engine over the columns: one pass to warm up, one that counts."""
    rows = bench.sizes.rows

    def once() -> Reading:
        with engine_folders() as (state, ring):
            command = [
                bench.program("feed_engine"), columns, str(rows), str(BATCH_ROWS), state, ring,
                str(bench.ring_bytes),
            ]  # fmt: skip
            with Child(CPU_RECEIVER, command) as child:
                measured = child.expect_json("measured")
                final = child.expect_json("final")
                expected = child.expect_json("expected")
        problem = compare(final, expected, tail=1000)
        return Reading(measured["cpu_ns"] / rows, rows / measured["wall_ns"] * 1e9, problem)

    return once


def group(columns: str, rows: int, engine: str, source: str) -> Callable[[], Reading]:
    """A columnar engine's best of several passes over the same files; the first warms it up."""

    def once() -> Reading:
        command = [sys.executable, str(PEER), engine, source, columns, str(rows), str(PASSES)]
        with Child(CPU_RECEIVER, command) as child:
            passes = [child.expect_json("measured") for _ in range(PASSES)]
            checked = child.expect_json("final")
        best = min(passes, key=lambda each: float(each["cpu_ns"]))
        return Reading(best["cpu_ns"] / rows, rows / best["wall_ns"] * 1e9, str(checked["problem"]))

    return once


def memory(bench: Bench) -> Callable[[], Reading]:
    """Reading as many bytes as the columns have, in units of a row."""
    bytes_ = bench.sizes.rows * ROW_BYTES

    def once() -> Reading:
        command = [bench.program("read_memory"), str(bytes_), str(PASSES)]
        with Child(CPU_RECEIVER, command) as child:
            passes = [child.expect_json("measured") for _ in range(PASSES)]
        best = min(passes, key=lambda each: float(each["cpu_ns"]))
        rows = best["count"] / ROW_BYTES
        return Reading(best["cpu_ns"] / rows, rows / best["wall_ns"] * 1e9)

    return once


def in_turns(bench: Bench, name: str, others: Others, *, is_limit: bool) -> Figure:
    """Ours and the others over the same files."""
    columns = tempfile.mkdtemp(prefix="penstock-columns-", dir="/dev/shm")
    try:
        taken = {"penstock": feed(bench, columns), **others(columns)}
        write = [bench.program("write_columns"), columns, str(bench.sizes.rows)]
        subprocess.run(write, check=True, stdout=subprocess.DEVNULL)
        read = bench.take_turns(taken)
        mine = read.pop("penstock")
        return bench.figure(name, mine, read, wire=WIRE, unit="ns CPU/sample", is_limit=is_limit)
    finally:
        shutil.rmtree(columns, ignore_errors=True)


def against(bench: Bench, name: str, module: str, *sources: str) -> Figure:
    """Ours and a columnar engine on the same columns, held as each of ``sources``."""
    for needed in (module, "numpy", "pyarrow"):
        if importlib.util.find_spec(needed) is None:
            raise Skip(f"{needed} is missing: pip install {needed}")
    rows = bench.sizes.rows

    def others(columns: str) -> dict[str, Callable[[], Reading]]:
        return {f"{module} {each}": group(columns, rows, module, each) for each in sources}

    return in_turns(bench, name, others, is_limit=False)


def run(bench: Bench, name: str) -> Figure:
    """One figure; its contestants run in turns over the same files."""
    if name == DUCKDB:
        return against(bench, name, "duckdb", "table", "arrow")
    if name == POLARS:
        return against(bench, name, "polars", "frame")
    return in_turns(bench, name, lambda _: {"memory read": memory(bench)}, is_limit=True)
