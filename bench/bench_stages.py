"""Where does a 64-byte ZeroMQ message spend its time: frame, parse, key, journal, limit, window?

Framing, key and parse: programs over a recorded stream in memory that stop after their stage (parse
is what making a sample takes beyond finding its tag). Journal, limit, window: the engine behind a
flat-out sender with no rule, a limit, a limit and a window; what a raw drain of the same stream
takes is the kernel's part, and the journal has what the engine does beside the stages. Instructions
are callgrind's, without the kernel.
"""

from __future__ import annotations

import statistics
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bench_zmtp import theirs
from builds import IS_INSTALLED
from figure import Figure, rounded
from measure import CPU_RECEIVER, Bench, Child, Reading, Skip
from steps import Shape, pair, read

STAGES = "zmtp.stages"
NAMES = (STAGES,)
WIRE = "ZMTP 3.1 recorded, loopback TCP, served flat out, 64 B payload, 1 sample, packed"
FUNCTION = "stage_chunk"
COUNTED = 60_000  # under callgrind; a third as many before them do not count
ROUNDS = 3
IN_MEMORY = ("frame", "key", "parse")
ENGINES = {
    "no rule": Shape(limits=0, windows=0),
    "limit": Shape(windows=0),
    "limit, window": Shape(),
}


def in_memory(bench: Bench, stage: str) -> Callable[[], Reading]:
    count = bench.sizes.messages // 2

    def once() -> Reading:
        with Child(CPU_RECEIVER, [bench.program("stages"), stage, str(count)]) as child:
            measured = child.expect_json("measured")
        ns = measured["cpu_ns"] / count
        return Reading(ns, 1e9 / max(ns, 0.001))

    return once


def engine(bench: Bench, shape: Shape) -> Callable[[], Reading]:
    count = bench.sizes.messages // 2
    return lambda: read(bench, shape, count=count, warm=count)


def split(whole: dict[str, float], kernel: float) -> dict[str, float]:
    """What each stage adds, from what all up to it take."""
    return {
        "frame": whole["frame"],
        "parse": whole["parse"] - whole["key"],
        "key": whole["key"] - whole["frame"],
        "journal": whole["no rule"] - whole["parse"] - kernel,
        "limit": whole["limit"] - whole["no rule"],
        "window": whole["limit, window"] - whole["limit"],
    }


def engine_total(bench: Bench, shape: Shape, out: Path, count: int) -> tuple[int, int]:
    """Instructions behind the engine's entry, and for how many messages."""
    from bench_instructions import WIRE, callgrind, total

    receiver = callgrind(out, WIRE, [bench.program("recv_steps")])
    with pair(bench, shape, receiver=receiver) as both:
        both.send(count)
        final, _ = both.finish()
        both.receiver.finish_input()
        both.receiver.wait()
    return total(out), final["received"]


def instructions(bench: Bench) -> dict[str, float]:
    """A message, for each program and each engine; what new tags take is not in it."""
    if IS_INSTALLED:
        raise Skip("the programs of a wheel have no symbols: run it in the source tree")
    from bench_instructions import callgrind, total

    count = min(COUNTED, bench.sizes.messages)
    counted = {}
    with tempfile.TemporaryDirectory(prefix="penstock-callgrind-") as folder:
        out = Path(folder) / "out"
        for stage in IN_MEMORY:
            command = callgrind(out, FUNCTION, [bench.program("stages"), stage, str(count)])
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            counted[stage] = total(out) / count
        for name, shape in ENGINES.items():
            few, many = (engine_total(bench, shape, out, n) for n in (count // 3, count))
            counted[name] = (many[0] - few[0]) / (many[1] - few[1])
    return counted


def run(bench: Bench, name: str) -> Figure:
    """One figure: the whole, beside the raw drain; the stages are its parts."""
    sender = [bench.program("send_stream"), "zmtp", "packed"]
    contestants = {
        "penstock": engine(bench, ENGINES["limit, window"]),
        "raw drain": theirs(bench, sender, [bench.program("recv_raw"), "OPENING", "66"]),
        **{each: engine(bench, ENGINES[each]) for each in ("no rule", "limit")},
        **{each: in_memory(bench, each) for each in IN_MEMORY},
    }
    taken = bench.take_turns(contestants, min(ROUNDS, bench.sizes.rounds))
    problem = next((each.problem for one in taken.values() for each in one if each.problem), "")
    kernel = {"raw drain": taken["raw drain"]} if "raw drain" in taken else {}
    figure = bench.figure(name, taken["penstock"], kernel, wire=WIRE, is_limit=True)
    if problem or bench.is_alone:
        return replace(figure, value=None, note=problem) if problem else figure
    median = {each: statistics.median(r.cpu_ns for r in one) for each, one in taken.items()}
    median["limit, window"] = median["penstock"]
    parts = {f"{k}_ns": v for k, v in split(median, median["raw drain"]).items()}
    parts["kernel_ns"] = median["raw drain"]
    note = "parts: ns a stage adds, and its instructions"
    try:
        counted = split(instructions(bench), 0)
        parts |= {f"{stage}_instructions": value for stage, value in counted.items()}
    except Skip as missing:
        note += f"; instructions skipped: {missing}"
    shown = ", ".join(f"{k.removesuffix('_ns')} {v:.1f}" for k, v in parts.items() if "_ns" in k)
    return replace(figure, note=f"{note}: {shown} ns",
                   parts={k: rounded(v) for k, v in parts.items()})  # fmt: skip
