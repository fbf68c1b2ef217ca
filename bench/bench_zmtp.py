"""What does one 64-byte ZeroMQ message cost us, all work done, and what does libzmq take?

Ours: decode, key, journal, one limit, one 1 s window, in an engine process. libzmq: PULL,
``zmq_msg_recv``, discard, the better of its defaults and tuned. Raw: ``recv`` and discard of a
recorded ZMTP stream with our socket options, which is what the kernel alone takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from measure import Bench, Figure, Reading, engine_folders, median_rate, run_wire
from steps import Shape, with_delay

PACKED = "zmtp.packed64.vs_libzmq_cpu"
JSON = "zmtp.json64.vs_libzmq_cpu"
RAW = "zmtp.packed64.vs_raw"
NAMES = (PACKED, RAW, JSON)
LIVE = "ZMTP 3.1, loopback TCP, libzmq PUSH, 64 B payload, 1 sample"
RECORDED = "ZMTP 3.1 recorded, loopback TCP, served flat out, 64 B payload, 1 sample"
PACKAGE = "libzmq3-dev"


def ours(bench: Bench, sender: Sequence[str], wire: str, form: str) -> Callable[[], Reading]:
    """Our engine process behind the given sender."""
    sizes = bench.sizes

    def once() -> Reading:
        with engine_folders() as (state, ring):
            return run_wire(
                sender,
                lambda port: [
                    bench.program("recv_engine"), wire, form, port, state, ring,
                    str(bench.ring_bytes),
                ],
                warm=sizes.warm, count=sizes.messages, is_ours=True,
            )  # fmt: skip

    return once


def theirs(bench: Bench, sender: Sequence[str], receiver: Sequence[str]) -> Callable[[], Reading]:
    """A receiver that discards. It keeps nothing, so a short warm-up suffices."""
    sizes = bench.sizes

    def once() -> Reading:
        return run_wire(
            sender, lambda port: [*receiver, port],
            warm=min(sizes.warm, 500_000), count=sizes.messages, is_ours=False,
        )  # fmt: skip

    return once


def against_libzmq(bench: Bench, name: str, form: str) -> Figure:
    sender = [bench.program("send_zmq", PACKAGE), form]
    libzmq = bench.program("recv_libzmq", PACKAGE)
    taken = bench.take_turns(
        {
            "penstock": ours(bench, sender, "zmtp", form),
            "libzmq": theirs(bench, sender, [libzmq, "default"]),
            "libzmq tuned": theirs(bench, sender, [libzmq, "tuned"]),
        }
    )
    mine = taken.pop("penstock")
    figure = bench.figure(name, mine, taken, wire=f"{LIVE}, {form}")
    return with_delay(bench, figure, Shape(form=form), median_rate(mine), sender)


def against_raw(bench: Bench, name: str) -> Figure:
    sender = [bench.program("send_stream"), "zmtp", "packed"]
    raw = [bench.program("recv_raw"), "OPENING", "66"]
    taken = bench.take_turns(
        {
            "penstock": ours(bench, sender, "zmtp", "packed"),
            "raw drain": theirs(bench, sender, raw),
        }
    )
    mine = taken.pop("penstock")
    figure = bench.figure(name, mine, taken, wire=f"{RECORDED}, packed", is_limit=True)
    return with_delay(bench, figure, Shape(), median_rate(mine))


def run(bench: Bench, name: str) -> Figure:
    """One figure; its contestants run in turns."""
    if name == RAW:
        return against_raw(bench, name)
    return against_libzmq(bench, name, "json" if name == JSON else "packed")
