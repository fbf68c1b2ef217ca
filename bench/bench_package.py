"""What does having penstock cost: how long is its import, how large is its wheel?

Import: a fresh interpreter that imports penstock less one that does nothing, wall time, in turns;
the bare interpreter's start stands beside it. Wheel: bytes of the one in dist/, if nothing it is
made of is newer.
"""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from measure import CPU_RECEIVER, ROOT, Bench, Figure, Skip

IMPORT = "import.time"
WHEEL = "wheel.size"
NAMES = (IMPORT, WHEEL)
WHEEL_BYTES_MAX = 2_000_000
LIMIT_MS = 50


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
    extra = sorted(each - start for each in ours)
    value = statistics.median(extra)
    p99 = extra[math.ceil(0.99 * turns) - 1]
    note = f"bare interpreter: {start:.1f} ms; at most {LIMIT_MS} ms is the target"
    return Figure(IMPORT, "ms", round(value, 2), round(start, 2), round(start / value, 3), turns,
                  round(extra[0], 2), round(value, 2), round(p99, 2), "process", bench.box,
                  note)  # fmt: skip


def is_fresh(wheel: Path) -> bool:
    """Nothing the wheel is made of is newer."""
    made_of = [ROOT / "CMakeLists.txt", ROOT / "pyproject.toml"]
    for folder in ("native", "src"):
        for base, folders, names in os.walk(ROOT / folder):
            folders[:] = [each for each in folders if each != "__pycache__"]
            made_of += [Path(base, name) for name in names if not name.endswith((".so", ".pyc"))]
    return wheel.stat().st_mtime >= max(each.stat().st_mtime for each in made_of)


def wheel_size(bench: Bench) -> Figure:
    wheels = sorted((ROOT / "dist").glob("penstock-*.whl"), key=lambda each: each.stat().st_mtime)
    if not wheels or not is_fresh(wheels[-1]):
        raise Skip("dist/ has no wheel of today's sources; build and install one: dev.py wheel")
    size = wheels[-1].stat().st_size
    ratio = round(WHEEL_BYTES_MAX / size, 3)
    return Figure(WHEEL, "bytes", size, WHEEL_BYTES_MAX, ratio, 1, size, size, size, "file",
                  bench.box, f"limit {WHEEL_BYTES_MAX:,} bytes; {wheels[-1].name}")  # fmt: skip


def run(bench: Bench, name: str) -> Figure:
    """One figure."""
    return wheel_size(bench) if name == WHEEL else import_time(bench)
