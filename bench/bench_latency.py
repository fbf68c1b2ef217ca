"""How long from a crossing on the wire to the event in Python's hands?

Open loop: each sample is stamped with when it was planned to be sent, whether the sender was late
or not, so that no stall is left out. The consumer is a Python program that the engine's eventfd
wakes; a checkpoint to disk runs each second. Engine and consumer share one CPU, the sender has the
other.
At 10 k msg/s one sample in 50 crosses, so that there are enough for a p99.9; else one in 1,000.

Beside it, at 10 k, the limit: a Python program that waits on the socket itself and reads stamps.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

from figure import Figure
from measure import CPU_RECEIVER, CPU_SENDER, Bench, Child, Skip
from steps import SETTLE_S, Shape, delay_at

LATENCY = "latency.limit_to_python"
NAMES = (LATENCY,)
WIRE = "ZMTP 3.1, loopback TCP, paced by planned times, 64 B payload, 1 sample, packed"
RECEIVER = Path(__file__).resolve().parent / "recv_python.py"
RATES = {"10k": (10_000, 20_000), "500k": (500_000, 1000)}  # msg/s, crossings in a million
CHECKPOINT_S = 1.0
BARE = Path(__file__).resolve().parent / "recv_bare.py"
MESSAGE_BYTES, STAMP_AT = 66, 26  # a short ZMTP frame's two bytes, then packed v1: time0_ns at 24


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
    limit = bare_delay(bench, *RATES["10k"], seconds)
    parts["limit_p50_us_10k"] = limit["p50_us"]
    notes.append(f"limit at 10k: p50 {limit['p50_us']:.0f}, p99.9 {limit['p999_us']:.0f} us")
    bench.say(f"  {notes[-1]} of {limit['count']}")
    worst = max(value for name, value in parts.items() if name.startswith("p50"))
    figure = bench.plain(name, "us", [worst], [limit["p50_us"]], n=count, wire=WIRE,
                         problem=problem, note="; ".join(notes))  # fmt: skip
    return replace(figure, parts=parts)


def bare_delay(bench: Bench, rate: int, over: int, seconds: float) -> dict[str, float]:
    """Planned send to a stamp in Python's hands, of every message: no engine, no rule."""
    count = round(rate * (seconds + SETTLE_S)) if seconds else bench.sizes.messages
    skip_ms = round(SETTLE_S * 1000) if seconds else 0
    with Child(CPU_SENDER, Shape(over=over).sender(bench)) as sending:
        port, _, opening = sending.expect("port").split()
        words = [port, opening, MESSAGE_BYTES, STAMP_AT, count, skip_ms]
        command = [sys.executable, str(BARE), *(str(word) for word in words)]
        with Child(CPU_RECEIVER, command) as receiving:
            receiving.expect("ready")
            sending.tell(f"pace {rate} {count}")
            return receiving.expect_json("delay")
