"""How much memory does a tag take, with two rules and one window on it?

Resident memory of an engine with a million tags less that of one with a thousand, for each tag
between; both have tables for as many, which are touched on first use, and a
checkpoint behind them. The ring is not in it: its
size does not depend on the tags. Each tag has had three samples, a second apart.
"""

from __future__ import annotations

from typing import Any

from figure import Figure
from measure import CPU_RECEIVER, Bench, Child, engine_folders

MEMORY = "memory.per_tag"
NAMES = (MEMORY,)
WIRE = "columns in process; 14-character names, 2 limits and a 1 s window on every tag"
MANY, FEW = 1_000_000, 1_000
PASSES = 3


def resident(bench: Bench, tables: int, used: int) -> tuple[int, str]:
    """Bytes, and what was wrong."""
    with engine_folders() as (state, ring):
        command = [
            bench.program("memory_engine"), state, ring, str(bench.ring_bytes), str(used),
            f"tags={tables}", "limits=2", "windows=1", "results=16384",
        ]  # fmt: skip
        with Child(CPU_RECEIVER, command) as child:
            bytes_ = child.expect_json("memory")["bytes"]
            return bytes_, problem_of(child.expect_json("final"), used)


def problem_of(final: dict[str, Any], used: int) -> str:
    wanted = {"used": PASSES * used, "dropped": 0, "tags": used, "late": 0}
    wrong = [name for name, value in wanted.items() if final[name] != value]
    if wrong:
        return f"{wrong[0]} is {final[wrong[0]]}, not {wanted[wrong[0]]}"
    closed = final["windows"] + final["overwritten"]
    least = (PASSES - 2) * used  # the sweep may not be through the last but one
    return "" if closed >= least else f"only {closed} windows are closed"


def run(bench: Bench, name: str) -> Figure:
    """Two processes, one after the other."""
    many = {1: 20 * FEW, 3: 200 * FEW}.get(bench.sizes.rounds, MANY)
    large, small = resident(bench, many, many), resident(bench, many, FEW)
    return bench.plain(
        name, "B", [(large[0] - small[0]) / (many - FEW)], n=many, wire=WIRE,
        problem=large[1] or small[1],
        note=f"a process with {FEW:,} tags: {small[0] / 2**20:.1f} MiB; "
        f"the ring apart: {bench.ring_bytes >> 20} MiB",
    )  # fmt: skip
