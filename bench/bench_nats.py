"""What does one 64-byte NATS message cost us, all work done, and what do NATS clients take?

A recorded stream (INFO and PONG, then MSG lines on ten subjects) is served flat out by a C program,
so that no broker is measured. Ours does the full work; nats.c calls an asynchronous callback that
discards, the better of its defaults and tuned; nats-py the same in Python.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from bench_zmtp import ours, theirs
from measure import Bench, Figure, Reading, Skip, median_rate, run_wire
from steps import Shape, with_delay

NATSC = "nats.packed64.vs_natsc_cpu"
NATSPY = "nats.packed64.vs_natspy_cpu"
NAMES = (NATSC, NATSPY)
WIRE = "NATS recorded, loopback TCP, served flat out, MSG, 64 B payload, 1 sample, packed"
PEER = Path(__file__).resolve().parent / "peers" / "recv_natspy.py"


def against_natsc(bench: Bench, sender: list[str]) -> Figure:
    natsc = bench.program("recv_natsc", "libnats-dev")
    taken = bench.take_turns(
        {
            "penstock": ours(bench, sender, "nats", "packed"),
            "nats.c": theirs(bench, sender, [natsc, "default"]),
            "nats.c tuned": theirs(bench, sender, [natsc, "tuned"]),
        }
    )
    mine = taken.pop("penstock")
    figure = bench.figure(NATSC, mine, taken, wire=WIRE)
    return with_delay(bench, figure, Shape(wire="nats"), median_rate(mine))


def against_natspy(bench: Bench, sender: list[str]) -> Figure:
    if importlib.util.find_spec("nats") is None:
        raise Skip("nats-py is missing: pip install nats-py")
    count = bench.sizes.slow

    def natspy() -> Reading:
        return run_wire(
            sender, lambda port: [sys.executable, str(PEER), "discard", port],
            warm=max(count // 10, 1), count=count, is_ours=False,
        )  # fmt: skip

    taken = bench.take_turns({"penstock": ours(bench, sender, "nats", "packed"), "nats-py": natspy})
    mine = taken.pop("penstock")
    figure = bench.figure(NATSPY, mine, taken, wire=WIRE)
    return with_delay(bench, figure, Shape(wire="nats"), median_rate(mine))


def run(bench: Bench, name: str) -> Figure:
    """One figure; its contestants run in turns."""
    sender = [bench.program("send_stream"), "nats", "packed"]
    return against_natsc(bench, sender) if name == NATSC else against_natspy(bench, sender)
