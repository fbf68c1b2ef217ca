"""What does a sample cost on the wire when a gateway puts 64 into a message, and when tags come in
a fixed order?

block64: 64 samples a message, each of its tags named once, beside the same samples fed as columns
in process. cyclic: one 64-byte message a sample, the tags always in the same order, beside the
random order that all other figures have: how much of the cost is looking names up.
"""

from __future__ import annotations

from collections.abc import Callable

from bench_feed import feed
from bench_scale import columns
from figure import Figure
from measure import Bench, Reading
from steps import Shape, read

BLOCK = "zmtp.block64.vs_feed"
CYCLIC = "zmtp.packed64.cyclic"
NAMES = (BLOCK, CYCLIC)
WIRE = "ZMTP 3.1, loopback TCP, served flat out, packed"


def wire(bench: Bench, shape: Shape) -> Callable[[], Reading]:
    sizes = bench.sizes
    return lambda: read(bench, shape, count=sizes.messages, warm=min(sizes.warm, sizes.messages))


def run(bench: Bench, name: str) -> Figure:
    """One figure; its contestants run in turns."""
    rounds = min(3, bench.sizes.rounds)
    if name == CYCLIC:
        both = {
            "penstock": wire(bench, Shape(is_cyclic=True)),
            "random order": wire(bench, Shape()),
        }
        taken = bench.take_turns(both, rounds)
        mine = taken.pop("penstock")
        return bench.figure(name, mine, taken, wire=f"{WIRE}, 64 B payload, 1 sample",
                            unit="ns CPU/sample")  # fmt: skip
    with columns(bench, bench.sizes.rows, 1000) as folder:
        both = {"penstock": wire(bench, Shape(samples=64)), "feed": feed(bench, folder)}
        taken = bench.take_turns(both, rounds)
    mine = taken.pop("penstock")
    return bench.figure(name, mine, taken, wire=f"{WIRE}, 64 samples a message",
                        unit="ns CPU/sample", is_limit=True)  # fmt: skip
