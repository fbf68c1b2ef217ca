"""What does a small box need: one CPU, 256 MiB, 100,000 samples a second for ten minutes?

The engine inside a Python program that takes every event and window, as a user's would: interpreter
and ring are in its resident memory. The ring has the default size of a box with 256 MiB, 16 MiB.
The limit is a control group where one can be had (systemd-run, or cgroup v2 as root), else a limit
of the process's own memory; which one stands in the note. BENCH_EDGE_S: another length in seconds.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from figure import Figure
from measure import Bench, Skip
from steps import Shape, compare_shape, pair

EDGE = "edge.one_core"
NAMES: tuple[str, ...] = ()
APART = (EDGE,)
WIRE = "ZMTP 3.1, loopback TCP, paced by planned times, 64 B payload, 1 sample, packed"
RECEIVER = Path(__file__).resolve().parent / "recv_python.py"
RATE = 100_000
LIMIT_BYTES = 256 << 20
RING_BYTES = 16 << 20
MIB = 2**20
UNIFIED = Path("/sys/fs/cgroup")


def has_systemd() -> bool:
    return bool(shutil.which("systemd-run")) and Path("/run/systemd/system").is_dir()


@contextmanager
def limited() -> Iterator[tuple[list[str], str]]:
    """What stands before a command so that it has no more memory, and what that is called."""
    own = UNIFIED / f"penstock-edge-{os.getpid()}"
    if has_systemd():
        user = [] if os.geteuid() == 0 else ["--user"]
        yield ["systemd-run", *user, "--scope", "--quiet", "-p", f"MemoryMax={LIMIT_BYTES}",
               "-p", "MemorySwapMax=0", "--"], "systemd scope"  # fmt: skip
    elif os.geteuid() == 0 and (UNIFIED / "cgroup.subtree_control").exists():
        own.mkdir()
        try:
            (own / "memory.max").write_text(str(LIMIT_BYTES))
            enter = f'echo $$ > {own}/cgroup.procs; exec "$@"'
            yield ["sh", "-c", enter, "sh"], "cgroup v2"
        finally:
            own.rmdir()
    elif shutil.which("prlimit"):
        yield ["prlimit", f"--data={LIMIT_BYTES}"], "RLIMIT_DATA, for want of a control group"
    else:
        raise Skip("no way to limit memory: apt-get install -y util-linux")


def length_s(bench: Bench) -> float:
    usual = {1: 1.0, 3: 20.0}.get(bench.sizes.rounds, 600.0)
    return float(os.environ.get("BENCH_EDGE_S", usual))


def take(bench: Bench, receiver: Sequence[str], seconds: float) -> tuple[float, float, int, str]:
    """CPU share, peak in MiB, dropped samples, and what was wrong."""
    shape, count = Shape(), round(RATE * seconds)
    cpu_ns = wall_ns = 0
    small = replace(bench, ring_bytes=RING_BYTES)
    with pair(small, shape, receiver=receiver) as both:
        both.sender.tell(f"pace {RATE} {count}")
        for _ in range(max(1, round(2 * seconds))):
            spent = both.ask("rest 500", "measured")
            cpu_ns, wall_ns = cpu_ns + spent["cpu_ns"], wall_ns + spent["wall_ns"]
        both.ask(f"take {count}", "measured")
        both.sender.expect_json("paced")
        both.sent = count
        final, expected = both.finish()
        peak = both.ask("memory", "memory")["peak"]
    share, problem = 100 * cpu_ns / max(wall_ns, 1), compare_shape(shape, final, expected)
    return share, peak / MIB, final["dropped"] + final["lost"], problem


def run(bench: Bench, name: str) -> Figure:
    """One run: peak resident memory is the value."""
    if importlib.util.find_spec("penstock") is None:
        raise Skip("penstock is missing: pip install penstock")
    seconds = length_s(bench)
    with limited() as (before, limit):
        receiver = [*before, sys.executable, str(RECEIVER), "windows_s=0.5"]
        share, peak, dropped, problem = take(bench, receiver, seconds)
    figure = bench.plain(
        name, "MiB", [peak], n=round(RATE * seconds), wire=WIRE, problem=problem,
        note=f"{seconds:g} s, {share:.1f} % of the CPU, dropped {dropped}; limit by {limit}",
    )  # fmt: skip
    return replace(figure, parts={"rss_mib": peak, "dropped": dropped, "cpu_percent": share})
