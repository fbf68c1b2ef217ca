"""What do the tools that people reach for today take for the same bytes?

Each peer gets the messages of the wire figures from the same compiled sender, or the same ready
columns, on one CPU; those that eat text get JSON, and so do we. "loop" is plain Python doing our
work (a dict, one limit, one window); Bytewax, Pathway and the programs do the window but no limit;
PyArrow and chDB group ready columns. What a peer counts is compared with the plan. Only pyomq's
bare receive belongs to a full run: the others are slow and run by name: ``--only 'peers.*'``.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import bench_feed
from bench_zmtp import ours, theirs
from measure import (
    CPU_RECEIVER,
    CPU_SENDER,
    Bench,
    Child,
    Figure,
    Reading,
    Skip,
)

PYOMQ = "zmtp.packed64.vs_pyomq"
NAMES = (PYOMQ,)
ZMQ_LOOP, NATS_LOOP = "peers.pyzmq_loop", "peers.natspy_loop"
OMQ_LOOP = "peers.pyomq_loop"
BYTEWAX, PATHWAY = "peers.bytewax", "peers.pathway"
PYARROW, CHDB = "peers.pyarrow", "peers.chdb"
TELEGRAF, REDPANDA = "peers.telegraf", "peers.redpanda-connect"
APART = (ZMQ_LOOP, OMQ_LOOP, NATS_LOOP, BYTEWAX, PATHWAY, PYARROW, CHDB, TELEGRAF,
         REDPANDA)  # fmt: skip
PEERS = Path(__file__).resolve().parent / "peers"
WIRE = "ZMTP 3.1, loopback TCP, libzmq PUSH, 64 B payload, 1 sample"


def need(*modules: str) -> None:
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise Skip(f"{module} is missing: pip install {module}")


def differences(final: Mapping[str, Any], expected: Mapping[str, Any]) -> str:
    """What the peer counted against the plan, in the words both have; "" where they agree."""
    for name, value in final.items():
        if value != expected[name]:
            return f"{name} is {value}, the plan says {expected[name]}"
    return ""


def peer(bench: Bench, sender: Sequence[str], script: Sequence[str]) -> Callable[[], Reading]:
    """A peer in Python that says what it counted."""
    count = bench.sizes.slow
    warm = max(count // 10, 1)

    def once() -> Reading:
        with Child(CPU_SENDER, sender) as source:
            port = source.expect("port").split()[0]
            command = [sys.executable, str(PEERS / script[0]), *script[1:], port]
            with Child(CPU_RECEIVER, [*command, str(warm), str(count)]) as target:
                source.tell(f"send {warm}")
                target.expect("warm")
                source.tell(f"send {count}")
                measured = target.expect_json("measured")
                final = target.expect_json("final")
            source.finish_input()
            expected = source.expect_json("expected")
        return Reading(measured["cpu_ns"] / count, count / measured["wall_ns"] * 1e9,
                       differences(final, expected))  # fmt: skip

    return once


def by_turns(
    bench: Bench, name: str, mine: Callable[[], Reading], label: str, other: Callable[[], Reading],
    wire: str,
) -> Figure:  # fmt: skip
    taken = bench.take_turns({"penstock": mine, label: other})
    readings = taken.pop("penstock")
    return bench.figure(name, readings, taken, wire=wire)


def bare_pyomq(bench: Bench) -> Figure:
    need("pyomq")
    sender = [bench.program("send_zmq", "libzmq3-dev"), "packed"]
    loop = [sys.executable, str(PEERS / "recv_loop.py"), "pyomq", "discard"]
    return by_turns(bench, PYOMQ, ours(bench, sender, "zmtp", "packed"), "pyomq",
                    theirs(bench, sender, loop), wire=f"{WIRE}, packed")  # fmt: skip


def loop(bench: Bench, name: str) -> Figure:
    """Plain Python doing our work."""
    if name == NATS_LOOP:
        need("nats")
        recorded = [bench.program("send_stream"), "nats", "packed"]
        return by_turns(bench, name, ours(bench, recorded, "nats", "packed"), "nats-py loop",
                        peer(bench, recorded, ["recv_natspy.py", "packed"]),
                        wire="NATS recorded, 64 B payload, 1 sample, packed")  # fmt: skip
    module = "zmq" if name == ZMQ_LOOP else "pyomq"
    need(module)
    sender = [bench.program("send_zmq", "libzmq3-dev"), "packed"]
    return by_turns(bench, name, ours(bench, sender, "zmtp", "packed"), f"{module} loop",
                    peer(bench, sender, ["recv_loop.py", module, "packed"]),
                    wire=f"{WIRE}, packed")  # fmt: skip


def flow(bench: Bench, name: str) -> Figure:
    """A streaming framework over the same text."""
    label = name.removeprefix("peers.")
    need(label, "zmq")
    sender = [bench.program("send_zmq", "libzmq3-dev"), "json"]
    return by_turns(bench, name, ours(bench, sender, "zmtp", "json"), label,
                    peer(bench, sender, [f"flow_{label}.py"]), wire=f"{WIRE}, json")  # fmt: skip


def columns(bench: Bench, name: str) -> Figure:
    label = name.removeprefix("peers.")
    need(label, "numpy", "pyarrow")
    return bench_feed.against(bench, name, label, "arrow" if name == CHDB else "table")


def program(bench: Bench, name: str) -> Figure:
    """A program with its configuration, on the recorded NATS stream; the same text for both."""
    label = name.removeprefix("peers.")
    if not shutil.which(label):
        raise Skip(f"{label} is not on PATH")
    recorded = [bench.program("send_stream"), "nats", "json"]
    return by_turns(bench, name, ours(bench, recorded, "nats", "json"), label,
                    peer(bench, recorded, ["run_program.py", label]),
                    wire="NATS recorded, 64 B payload, 1 sample, json")  # fmt: skip


def run(bench: Bench, name: str) -> Figure:
    """One figure; its contestants run in turns."""
    if name == PYOMQ:
        return bare_pyomq(bench)
    if name in (BYTEWAX, PATHWAY):
        return flow(bench, name)
    if name in (PYARROW, CHDB):
        return columns(bench, name)
    return program(bench, name) if name in (TELEGRAF, REDPANDA) else loop(bench, name)
