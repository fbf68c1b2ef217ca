"""machine: what stands beside every figure: the box, its versions, and how busy all of it was."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
PYTHON_PEERS = (
    "bytewax", "chdb", "duckdb", "nats-py", "numpy", "pathway", "penstock", "polars", "pyarrow",
    "pyomq", "pyzmq",
)  # fmt: skip
TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")
BUSY = (0, 1, 2, 5, 6)  # columns of /proc/stat: user, nice, system, irq, softirq; steal is not ours


# ---- how busy ----------------------------------------------------------------------------------


class BusyTime:
    """Busy time of the whole machine from here on, less what one process (the sender) took.

    The kernel's work for a receiver is not all charged to it: interrupts, soft interrupts and
    kernel threads are here. So is whatever else runs, which is why it wants a calm machine.
    """

    def __init__(self, less_pid: int) -> None:
        self._pid = less_pid
        self._begin = (busy_ns(), process_ns(less_pid))

    def so_far_ns(self) -> int:
        """Not below 0, which a span of a few ticks could be."""
        sender_ns = process_ns(self._pid) - self._begin[1]
        return max(0, busy_ns() - self._begin[0] - sender_ns)


def busy_ns(text: str | None = None) -> int:
    """Busy time of all CPUs since the machine started, in steps of a tick (10 ms)."""
    line = (text or Path("/proc/stat").read_text()).split("\n", 1)[0].split()[1:]
    return sum(int(line[column]) for column in BUSY) * TICK_NS


def process_ns(pid: int) -> int:
    """User and system time of a process, its living threads, as the scheduler counts it."""
    total = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            total += int((task / "schedstat").read_text().split()[0])
        except OSError:  # it ended meanwhile
            continue
    return total


# ---- the box -----------------------------------------------------------------------------------


def describe_box() -> dict[str, Any]:
    """What stands beside every figure: machine, load, versions, date."""
    cpu = "unknown"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":", 1)[1].strip()
            break
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": cpu,
        "cpus": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "kernel": platform.release(),
        "cc": compiler(),
        "libc": " ".join(platform.libc_ver()),
        "versions": peer_versions(),
        "load": round(os.getloadavg()[0], 2),
        "date": time.strftime("%Y-%m-%d"),
        "revision": revision(),
    }


def compiler() -> str:
    if not shutil.which("cc"):
        return "none"
    shown = subprocess.run(["cc", "--version"], capture_output=True, text=True, check=True)
    return shown.stdout.splitlines()[0]


def revision() -> str:
    """The git revision of this tree, "+" behind it where files differ from it; "" outside git."""
    told = []
    for words in (["rev-parse", "--short=12", "HEAD"], ["status", "--porcelain"]):
        command = ["git", "-C", str(ROOT), *words]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return ""
        told.append(done.stdout.strip())
    return told[0] + ("+" if told[1] else "")


def peer_versions() -> dict[str, str]:
    """Versions of the peers that are here."""
    from importlib import metadata

    found = {"python": platform.python_version()}
    for name in PYTHON_PEERS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    for package in ("libzmq3-dev", "libnats-dev"):
        query = ["dpkg-query", "-W", "-f", "${Version}", package]
        if not shutil.which("dpkg-query"):
            break
        asked = subprocess.run(query, capture_output=True, text=True, check=False)
        if asked.returncode == 0:
            found[package.removesuffix("-dev")] = asked.stdout.strip()
    return found


def default_ring_bytes() -> int:
    """The default of ``ring_bytes``: 1/16 of memory, at most half of the tmpfs, 8 to 256 MiB."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    room = min(memory // 16, shutil.disk_usage("/dev/shm").free // 2)
    return 1 << max(23, min(28, room.bit_length() - 1))
