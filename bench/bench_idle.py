"""What does a connected engine take while nothing comes?

Ten sources, each with a connection and tags that it knows, silent for the time that counts (they
have been so for longer than idle_after, so all windows are closed). CPU of the whole process, user
and system, of one processor's time.
"""

from __future__ import annotations

from figure import Figure
from measure import Bench
from steps import Pair, Shape, pair

IDLE = "idle.cpu"
NAMES = (IDLE,)
WIRE = "ZMTP 3.1, loopback TCP, 10 connections of a source each, silent"
SHAPE = Shape(sources=10)
SAMPLES = 10_000
SETTLE_MS = 2500  # idle_after is 2 s


def problem_of(both: Pair) -> str:
    final = both.ask("final", "final")
    wanted = {"received": SAMPLES, "used": SAMPLES, "dropped": 0, "lost": 0, "reconnects": 0,
              "protocol_errors": 0, "connections": SHAPE.sources}  # fmt: skip
    wrong = [name for name, value in wanted.items() if final[name] != value]
    return f"{wrong[0]} is {final[wrong[0]]}, not {wanted[wrong[0]]}" if wrong else ""


def run(bench: Bench, name: str) -> Figure:
    """One rest; each peer is pinged after 5 s of silence."""
    rest_ms = {1: 300, 3: 4000}.get(bench.sizes.rounds, 10_000)
    with pair(bench, SHAPE, wakes=True) as both:
        both.send(SAMPLES)
        both.ask(f"rest {SETTLE_MS if bench.sizes.paced_s else 0}", "measured")
        spent = both.ask(f"rest {rest_ms}", "measured")
        problem = problem_of(both)
    share = 100 * spent["cpu_ns"] / spent["wall_ns"]
    return bench.plain(name, "%", [share], n=rest_ms, wire=WIRE, problem=problem,
                       note=f"{rest_ms / 1000:g} s; n is milliseconds")  # fmt: skip
