"""How does throughput hold with more tags, more rules and more connections?

Each figure is CPU per sample at the large size beside the same at the small one, in turns: the
ratio is throughput kept on a core. by_id: columns in process. by_name: one 64-byte ZeroMQ message a
sample, names looked up. The total rate stays (1 us of event time a sample), so that with more tags
each window holds fewer samples and more windows close.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from figure import Figure
from measure import CPU_RECEIVER, Bench, Child, Reading, engine_folders
from steps import Shape, compare_shape, read

BY_ID = "scale.tags_1k_100k.by_id"
BY_NAME = "scale.tags_1k_100k.by_name"
RULES = "scale.rules_1_16"
SOURCES = "scale.sources_1_256"
NAMES = (BY_ID, BY_NAME, RULES, SOURCES)
ZMTP = "ZMTP 3.1, loopback TCP, served flat out, 64 B payload, 1 sample, packed"
FEED = "columns in process: tag u32, time i64 ns, value f64; random order"
BATCH_ROWS = 65_536
ROUNDS = 3
MILLION = 1_000_000
USUAL = Shape()
HUNDRED_THOUSAND = Shape(tags=100_000)
ONE_RULE = Shape(windows=0)
SIXTEEN_RULES = Shape(limits=12, windows=4)
MANY_SOURCES = Shape(sources=256)


def by_wire(bench: Bench, shape: Shape) -> Callable[[], Reading]:
    """Ours behind send_stream. The warm-up has seen every tag some times."""
    count = bench.sizes.messages * 2 // 5
    return lambda: read(bench, shape, count=count, warm=max(count, 4 * shape.tags))


@contextmanager
def columns(bench: Bench, rows: int, tags: int) -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="penstock-columns-", dir="/dev/shm")
    try:
        write = [bench.program("write_columns"), folder, str(rows), f"tags={tags}"]
        subprocess.run(write, check=True, stdout=subprocess.DEVNULL)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def by_feed(bench: Bench, shape: Shape) -> Callable[[], Reading]:
    """Ours over columns in process: one pass to warm up, one that counts."""
    rows = max(bench.sizes.rows // 4, shape.tags)

    def once() -> Reading:
        with columns(bench, rows, shape.tags) as folder, engine_folders() as (state, ring):
            command = [
                bench.program("feed_engine"), folder, str(rows), str(BATCH_ROWS), state, ring,
                str(bench.ring_bytes), *shape.words(),
            ]  # fmt: skip
            with Child(CPU_RECEIVER, command) as child:
                measured = child.expect_json("measured")
                final = child.expect_json("final")
                expected = child.expect_json("expected")
        problem = compare_shape(shape, final, expected, tails=1)
        return Reading(measured["cpu_ns"] / rows, rows / measured["wall_ns"] * 1e9, problem)

    return once


PAIRS = {  # name: how it is taken, large, small, what they are called, wire
    BY_ID: (by_feed, HUNDRED_THOUSAND, USUAL, "1,000 tags", FEED),
    BY_NAME: (by_wire, HUNDRED_THOUSAND, USUAL, "1,000 tags", ZMTP),
    RULES: (by_feed, SIXTEEN_RULES, ONE_RULE, "1 limit", f"{FEED}; 12 limits and 4 windows"),
    SOURCES: (by_wire, MANY_SOURCES, USUAL, "1 connection", ZMTP),
}


def run(bench: Bench, name: str) -> Figure:
    """One figure, large and small in turns."""
    how, large, small, called, wire = PAIRS[name]
    contestants = {"penstock": how(bench, large), called: how(bench, small)}
    taken = bench.take_turns(contestants, min(ROUNDS, bench.sizes.rounds))
    mine = taken.pop("penstock")
    figure = bench.figure(name, mine, taken, wire=wire, unit="ns CPU/sample")
    if large.tags == 1000 or bench.sizes.rounds <= ROUNDS or figure.value is None:
        return figure
    million = how(bench, replace(large, tags=MILLION))()
    told = million.problem or f"{million.cpu_ns:.1f} ns"
    bench.say(f"  1,000,000 tags: {told}")
    return replace(figure, note=f"{figure.note}; 1,000,000 tags: {told}")
