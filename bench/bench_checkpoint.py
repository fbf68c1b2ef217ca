"""What do checkpoints of 100,000 tags cost, and how long do they stop the judge?

Columns in process, flat out, tags in random order. Cost: rows a second with images beside the same
engine whose keeper writes none (``feed_journal_plain``), both on all processors of the box, as in
production; both on one processor, where the keeper has to take its time from the judge, is a part.
Pause: the longest that the writer lock was held for a checkpoint, or that a block took while one
was being read, by the wall clock.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from figure import Figure, rounded
from measure import CPU_RECEIVER, Bench, Child, Reading, compare, engine_folders, take_turns

COST = "checkpoint.cost"
PAUSE = "checkpoint.pause"
NAMES = (COST, PAUSE)
TAGS = 100_000
BATCH_ROWS = 65_536
WIRE = f"columns in process: tag u32, time i64 ns, value f64; {TAGS:,} tags, random order"
EVERYWHERE = f"0-{(os.cpu_count() or 1) - 1}"


@dataclass(slots=True)
class Runs:
    """Runs of one contestant, and what its journal said of each."""

    program: str
    cpus: int | str
    bench: Bench
    rows: int
    tags: int
    options: tuple[str, ...] = ()
    batch: int = BATCH_ROWS
    journal: list[dict[str, Any]] = field(default_factory=list)

    def once(self) -> Reading:
        with engine_folders() as (state, ring):
            command = [
                self.bench.program(self.program), state, ring, str(self.bench.ring_bytes),
                str(self.rows), str(self.batch), f"tags={self.tags}", *self.options,
            ]  # fmt: skip
            with Child(self.cpus, command) as child:
                measured = child.expect_json("measured")
                self.journal.append(child.expect_json("journal"))
                final = child.expect_json("final")
                expected = child.expect_json("expected")
        problem = compare(final, expected, tail=self.tags)
        rate = self.rows / measured["wall_ns"] * 1e9
        return Reading(measured["cpu_ns"] / self.rows, rate, problem)

    def median_of(self, name: str) -> float:
        return median(float(each[name]) for each in self.journal)


def sizes(bench: Bench) -> tuple[int, int]:
    """Rows and tags: so many that several images fall into a run."""
    if bench.sizes.rounds == 1:
        return bench.sizes.rows, min(TAGS, bench.sizes.rows // 4)
    return min(24_000_000, 6 * bench.sizes.rows), TAGS


def written(runs: Runs) -> str:
    """Bytes that go to memory and disk for each sample."""
    ring = runs.median_of("ring_bytes") / runs.rows
    images, size = runs.median_of("checkpoints"), runs.median_of("image_bytes")
    return (
        f"{ring:.1f} B/sample to the ring, {images * size / runs.rows:.1f} to images: "
        f"{images:.0f} of {size / 2**20:.1f} MiB"
    )


def cost(bench: Bench) -> Figure:
    rows, tags = sizes(bench)
    ours, bare = "feed_journal", "feed_journal_plain"
    contestants = {
        "with images": Runs(ours, EVERYWHERE, bench, rows, tags),
        "without": Runs(bare, EVERYWHERE, bench, rows, tags),
    }
    is_full = bench.sizes.rounds > 3
    if is_full:
        contestants["with, one CPU"] = Runs(ours, CPU_RECEIVER, bench, rows, tags)
        contestants["without, one CPU"] = Runs(bare, CPU_RECEIVER, bench, rows, tags)
    turns: dict[str, Callable[[], Reading]] = {key: at.once for key, at in contestants.items()}
    taken = take_turns(turns, min(bench.sizes.rounds, 3), bench.say)
    rates = {key: [each.rate for each in readings] for key, readings in taken.items()}
    problems = [each.problem for readings in taken.values() for each in readings if each.problem]
    found = bench.plain(
        COST, "rows/s", rates["with images"], rates["without"], n=rows, wire=WIRE,
        note=written(contestants["with images"]), problem=problems[0] if problems else "",
    )  # fmt: skip
    if is_full:
        one = median(rates["with, one CPU"]) / median(rates["without, one CPU"])
        found = replace(found, parts={"ratio_one_cpu": rounded(one)})
    return found


def pause(bench: Bench) -> Figure:
    rows, tags = sizes(bench)
    runs = Runs("feed_journal", EVERYWHERE, bench, rows, tags)
    taken = take_turns({"with images": runs.once}, bench.sizes.rounds, bench.say)["with images"]
    problems = [each.problem for each in taken if each.problem]
    return bench.plain(
        PAUSE, "ms", [each["pause_ns"] / 1e6 for each in runs.journal], n=rows, wire=WIRE,
        note=f"longest of a run; {written(runs)}", problem=problems[0] if problems else "",
    )  # fmt: skip


def run(bench: Bench, name: str) -> Figure:
    """One figure; its contestants run in turns."""
    return cost(bench) if name == COST else pause(bench)
