"""What does having penstock cost: how long is its import, how large is its wheel?

Import: a fresh interpreter that imports penstock less one that does nothing, wall time, in turns;
the bare interpreter's start stands beside it. Wheel: bytes of the one in dist/, if nothing it is
made of is newer.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from builds import IS_INSTALLED
from figure import Figure
from measure import CPU_RECEIVER, ROOT, Bench, Skip

IMPORT = "import.time"
WHEEL = "wheel.size"
NAMES = (IMPORT, WHEEL)


def start_ms(code: str) -> float:
    """A fresh interpreter from fork to exit, isolated, bytecode cached."""
    begin = time.perf_counter_ns()
    command = ["taskset", "-c", str(CPU_RECEIVER), sys.executable, "-I", "-c", code]
    subprocess.run(command, check=True)
    return (time.perf_counter_ns() - begin) / 1e6


def import_time(bench: Bench) -> Figure:
    turns = 3 if bench.sizes.rounds == 1 else 41
    bare, ours = [], []
    check = "import penstock, sys; sys.exit(not penstock.Engine)"
    start_ms(check)  # bytecode and page cache
    for _ in range(turns):
        bare.append(start_ms("import sys; sys.exit(0)"))
        ours.append(start_ms(check))
    start = statistics.median(bare)
    return bench.plain(
        IMPORT, "ms", [each - start for each in ours], bare, n=turns, wire="process",
        note="the bare interpreter's start",
    )  # fmt: skip


def is_fresh(wheel: Path) -> bool:
    """Nothing the wheel is made of is newer."""
    made_of = [ROOT / "CMakeLists.txt", ROOT / "pyproject.toml"]
    for folder in ("native", "src", "bench"):
        for base, folders, names in os.walk(ROOT / folder):
            folders[:] = [each for each in folders if each not in ("__pycache__", "out")]
            made_of += [Path(base, name) for name in names if not name.endswith((".so", ".pyc"))]
    return wheel.stat().st_mtime >= max(each.stat().st_mtime for each in made_of)


def wheel_size(bench: Bench) -> Figure:
    if IS_INSTALLED:
        raise Skip("the wheel itself is not kept where it is installed")
    wheels = sorted((ROOT / "dist").glob("penstock-*.whl"), key=lambda each: each.stat().st_mtime)
    if not wheels or not is_fresh(wheels[-1]):
        raise Skip("dist/ has no wheel of today's sources; build and install one: dev.py wheel")
    size = wheels[-1].stat().st_size
    return bench.plain(WHEEL, "B", [size], n=1, wire="file", note=wheels[-1].name)


def run(bench: Bench, name: str) -> Figure:
    """One figure."""
    return wheel_size(bench) if name == WHEEL else import_time(bench)
