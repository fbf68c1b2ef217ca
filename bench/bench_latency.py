"""How long from a crossing on the wire to the event in Python's hands?

Open loop: each sample is stamped with when it was planned to be sent, whether the sender was late
or not, so that no stall is left out. The consumer is a Python program that the engine's eventfd
wakes; a checkpoint to disk runs each second. Engine and consumer share one CPU, the sender has the
other.
At 10 k msg/s one sample in 50 crosses, so that there are enough for a p99.9; else one in 1,000.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

from figure import Figure
from measure import Bench, Skip
from steps import Shape, delay_at

LATENCY = "latency.limit_to_python"
NAMES = (LATENCY,)
WIRE = "ZMTP 3.1, loopback TCP, paced by planned times, 64 B payload, 1 sample, packed"
RECEIVER = Path(__file__).resolve().parent / "recv_python.py"
RATES = {"10k": (10_000, 20_000), "500k": (500_000, 1000)}  # msg/s, crossings in a million
CHECKPOINT_S = 1.0


def run(bench: Bench, name: str) -> Figure:
    """Both rates; the worse p50 is the value, the parts hold all."""
    if importlib.util.find_spec("penstock") is None:
        raise Skip("penstock is missing: pip install penstock")
    receiver = [sys.executable, str(RECEIVER), f"checkpoint_s={CHECKPOINT_S}"]
    seconds = {1: 0.0, 3: 3.0}.get(bench.sizes.rounds, 12.0)
    parts: dict[str, float] = {}
    notes, problem, count = [], "", 0
    for told, (rate, over) in RATES.items():
        delay, wrong = delay_at(bench, Shape(over=over), rate, seconds, receiver=receiver)
        problem = problem or wrong
        count += delay["count"]
        parts |= {f"p50_us_{told}": delay["p50_us"], f"p999_us_{told}": delay["p999_us"]}
        notes.append(
            f"{told} msg/s: p50 {delay['p50_us']:.0f}, p99 {delay['p99_us']:.0f}, "
            f"p99.9 {delay['p999_us']:.0f}, max {delay['max_us']:.0f} us"
        )
        bench.say(f"  {notes[-1]} of {delay['count']}")
    worst = max(value for name, value in parts.items() if name.startswith("p50"))
    figure = bench.plain(name, "us", [worst], n=count, wire=WIRE, problem=problem,
                         note="; ".join(notes))  # fmt: skip
    return replace(figure, parts=parts)
