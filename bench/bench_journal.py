"""What does it cost that a killed process, or a power cut, loses nothing that is journaled?

Columns in process, paced at 5 M samples a second in batches of 1 ms, all threads of the engine on
one processor. Ours: ``durability = "process"``, the ring a file on tmpfs, images beside it; or
``"power"``, every block to the disk as well. Beside it: the same engine with the ring in plain
memory and without images, which survives nothing.
"""

from __future__ import annotations

from bench_checkpoint import Runs, written
from figure import Figure
from measure import CPU_RECEIVER, Bench, Reading, take_turns

PROCESS = "journal.process_cost"
POWER = "journal.power_cost"
NAMES = (PROCESS, POWER)
RATE = 5_000_000
BATCH_ROWS = 5_000
TAGS = 1_000
WIRE = f"columns in process, paced at {RATE:,} rows/s, {BATCH_ROWS:,} a call; {TAGS:,} tags"


def paced(bench: Bench, program: str, *options: str) -> Runs:
    """Rows enough for an image, or few where only the work counts."""
    rows, is_tiny = bench.sizes.rows, bench.sizes.rounds == 1
    return Runs(
        program, CPU_RECEIVER, bench, rows if is_tiny else min(12_000_000, 3 * rows),
        min(TAGS, rows // 4), (f"rate={RATE}", *options), BATCH_ROWS,
    )  # fmt: skip


def on_disk(runs: Runs) -> str:
    """What the disk gets of each sample by the disk journal."""
    return f"; {runs.median_of('disk_bytes') / runs.rows:.1f} B/sample to the disk journal"


def run(bench: Bench, name: str) -> Figure:
    """CPU a sample of both, in turns."""
    is_power = name == POWER
    ours = paced(bench, "feed_journal", *(("power=1",) if is_power else ()))
    bare = paced(bench, "feed_journal_bare")
    mine = "power" if is_power else "process"
    taken: dict[str, list[Reading]] = take_turns(
        {mine: ours.once, "plain memory": bare.once}, bench.sizes.rounds, bench.say
    )
    problems = [each.problem for readings in taken.values() for each in readings if each.problem]
    return bench.plain(
        name, "ns CPU/sample", [each.cpu_ns for each in taken[mine]],
        [each.cpu_ns for each in taken["plain memory"]], n=ours.rows, wire=WIRE,
        note=written(ours) + (on_disk(ours) if is_power else ""),
        problem=problems[0] if problems else "",
    )  # fmt: skip
