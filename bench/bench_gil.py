"""Does the engine thread wait for Python? Its ingest rate while a Python thread spins in the same
process, beside its rate without.

A recorded ZMTP stream (one 64-byte message a sample) lies in a file on tmpfs; a ``replay`` source
reads it, full work: decode, key, journal, one limit, one 1 s window. The engine's threads have one
CPU to themselves. The other is the consumer's, which takes events and results in Python, and the
spinner's; so that the consumer keeps up beside it, and its own speed is not what is measured, the
GIL changes hands every 0.5 ms, with and without. The rate is by the engine's clock, from the first
tenth of the recording on. Both CPUs are busy: on a machine that does other work it says nothing.
Two CPUs of a virtual machine may be one core: the rate while a process of its own spins there,
which holds no GIL of ours, is taken too (``ratio_other_process``: the Python thread's to that).
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from figure import Figure
from measure import (
    CPU_SENDER,
    Bench,
    Child,
    Reading,
    Skip,
    compare,
    engine_folders,
    take_turns,
)

BURN = "gil.burn"
NAMES = (BURN,)
PROCESS = Path(__file__).resolve().parent / "peers" / "replay_gil.py"
PLAN_START_NS = 1_780_000_000_000_000_000  # native/plan.h
PLAN_STEP_NS = 1000
PLAN_TAIL_NS = 120_000_000_000
TAIL = 1000
TURNS_MIN = 1000  # a spinner below it did not burn


@contextmanager
def recording(bench: Bench, samples: int) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The bytes that a sender of ours sends, with the tail, in a file; and what it expects."""
    folder = tempfile.mkdtemp(prefix="penstock-recording-", dir="/dev/shm")
    path = os.path.join(folder, "stream.zmtp")
    try:
        with Child(CPU_SENDER, [bench.program("send_stream"), "zmtp", "packed"]) as source:
            port = int(source.expect("port").split()[0])
            with socket.create_connection(("127.0.0.1", port)) as wire, open(path, "wb") as file:
                source.tell(f"send {samples}")
                source.tell("tail")
                source.finish_input()
                while piece := wire.recv(1 << 20):
                    file.write(piece)
            expected = source.expect_json("expected")
        yield path, expected
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def other_process(is_there: bool) -> Iterator[None]:
    """Spins on the consumer's CPU."""
    if not is_there:
        yield
        return
    with Child(CPU_SENDER, [sys.executable, "-c", "while True: pass"]) as spinner:
        yield
        spinner.kill()


def replay(bench: Bench, path: str, expected: Mapping[str, Any], how: str) -> Callable[[], Reading]:
    samples = int(expected["samples"])
    tail_ns = PLAN_START_NS + samples * PLAN_STEP_NS + PLAN_TAIL_NS

    def once() -> Reading:
        cpus = ",".join(str(each) for each in sorted({0, CPU_SENDER}))
        with engine_folders() as (state, ring), other_process(how == "other process"):
            command = [sys.executable, str(PROCESS), path, state, ring, str(bench.ring_bytes),
                       str(samples + TAIL), str(tail_ns), how]  # fmt: skip
            with Child(cpus, command) as child:
                measured = child.expect_json("measured")
                final = child.expect_json("final")
        problem = compare(final, expected, tail=TAIL)
        if how == "spin" and measured["turns"] < TURNS_MIN:
            problem = problem or "the spinner did not spin"
        return Reading(measured["cpu_ns"] / (samples + TAIL), measured["rate"], problem)

    return once


def run(bench: Bench, name: str) -> Figure:
    """Spinning and quiet runs in turns, over one recording."""
    if importlib.util.find_spec("penstock") is None:
        raise Skip("penstock is missing: pip install penstock, or python3 tools/dev.py setup")
    if not hasattr(os, "sched_setaffinity") or CPU_SENDER == 0:
        raise Skip("two CPUs are needed: one for the engine, one for Python")
    with recording(bench, bench.sizes.messages) as (path, expected):
        taken = take_turns(
            {
                "penstock": replay(bench, path, expected, "spin"),
                "quiet": replay(bench, path, expected, "quiet"),
                "other process": replay(bench, path, expected, "other process"),
            },
            bench.sizes.rounds,
            bench.say,
        )
    problems = [each.problem for found in taken.values() for each in found if each.problem]
    rates = {how: [each.rate for each in found] for how, found in taken.items()}
    figure = bench.plain(
        name, "samples/s", rates["penstock"], rates["quiet"], n=bench.sizes.messages,
        wire="ZMTP 3.1 recorded, file on tmpfs, 64 B payload, 1 sample, packed",
        note="the same without a spinning thread", problem=problems[0] if problems else "",
    )  # fmt: skip
    if "other process" not in rates:
        return figure
    other = statistics.median(rates["penstock"]) / statistics.median(rates["other process"])
    return replace(figure, parts={"ratio_other_process": other})
