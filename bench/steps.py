"""steps: our engine told step by step, behind a sender of ours: figures about another shape than
the usual (tags, rules, connections, samples a message), and how long crossings were on their way.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from figure import Figure
from machine import BusyTime
from measure import (
    CPU_RECEIVER,
    CPU_SENDER,
    Bench,
    Child,
    Reading,
    compare,
    engine_folders,
)

LOADS = (10, 50, 100)  # percent of the rate just measured
SWEEP_S = 10.0  # for the windows of many tags to close
SETTLE_S = 0.3  # of a paced run; what crosses earlier is not counted
OVER_USUAL = 1000  # samples in a million that cross the limit
TAILS = 2  # the first may end a folded excursion: what it folds itself, the second tells


@dataclass(frozen=True, slots=True)
class Shape:
    """What a figure asks about; the rest are the defaults. Words of send_stream and recv_steps."""

    wire: str = "zmtp"  # of the sender: zmtp, pub, nats, publish
    form: str = "packed"
    tags: int = 1000
    is_cyclic: bool = False
    samples: int = 1  # in a message
    sources: int = 1  # a connection each
    limits: int = 1
    windows: int = 1
    over: int = OVER_USUAL
    port: int = 0  # of a live server

    def sender(self, bench: Bench) -> list[str]:
        return [
            bench.program("send_stream"), self.wire, self.form, f"tags={self.tags}",
            f"cyclic={int(self.is_cyclic)}", f"over={self.over}", f"samples={self.samples}",
            f"connections={self.sources}", f"server={self.port}",
        ]  # fmt: skip

    def words(self) -> list[str]:
        """For recv_steps."""
        kind = {"pub": "sub", "publish": "nats"}.get(self.wire, self.wire)
        return [
            f"kind={kind}", f"format={self.form}", f"sources={self.sources}", f"tags={self.tags}",
            f"limits={self.limits}", f"windows={self.windows}",
        ]  # fmt: skip


class Pair:
    """A sender and our engine that takes from it. Samples are counted from the first on."""

    def __init__(self, shape: Shape, sender: Child, receiver: Child) -> None:
        self.shape, self.sender, self.receiver = shape, sender, receiver
        self.sent = 0

    def send(self, count: int) -> dict[str, Any]:
        """Flat out; what the engine took for exactly these."""
        return self._take(count, f"send {count}")

    def pace(self, count: int, rate: float) -> dict[str, Any]:
        """By planned times; what the engine took, and how late the sender was at the end."""
        taken = self._take(count, f"pace {max(1, round(rate))} {count}")
        return {**taken, **self.sender.expect_json("paced")}

    def _take(self, count: int, order: str) -> dict[str, Any]:
        self.sent += count
        self.receiver.tell(f"take {self.sent}")
        busy = BusyTime(self.sender.pid)
        self.sender.tell(order)
        measured = self.receiver.expect_json("measured")
        return {**measured, "busy_ns": busy.so_far_ns()}

    def ask(self, step: str, word: str) -> dict[str, Any]:
        self.receiver.tell(step)
        return self.receiver.expect_json(word)

    def send_tail(self) -> None:
        """Closes what is open, so that all can be compared; windows count up to the first tail."""
        self.sender.tell("tail?")
        self.receiver.tell(f"tail {self.sender.expect_json('tail')['tail_ns']}")
        for _ in range(TAILS):
            self.sender.tell("tail")

    def finish(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What our engine says it did, and what the sender had planned."""
        self.send_tail()
        self.ask(f"take {self.sent + TAILS * self.shape.tags}", "measured")
        self.sender.finish_input()
        expected = self.sender.expect_json("expected")
        until = time.monotonic() + SWEEP_S
        while True:
            final = self.ask("final", "final")
            is_judged = final["used"] + final["dropped"] >= final["received"]
            is_closed = final["window_count"] >= self.shape.windows * expected["samples"]
            if (is_judged and is_closed) or time.monotonic() > until:
                return final, expected
            self.ask("rest 20", "measured")  # the last windows are closed a part at a time

    def problem(self) -> str:
        final, expected = self.finish()
        return compare_shape(self.shape, final, expected)


def compare_shape(
    shape: Shape, final: Mapping[str, Any], expected: Mapping[str, Any], *, tails: int = TAILS
) -> str:
    """As ``compare``, where there is not one window rule: each has had every sample."""
    wanted = expected["samples"], expected["sum"]
    seen = {"window_count": wanted[0], "window_sum": wanted[1]} if shape.windows == 0 else {
        "window_count": final["window_count"] / shape.windows,
        "window_sum": final["window_sum"] / shape.windows,
    }  # fmt: skip
    if shape.limits == 0:
        seen["folded"] = 2 * expected["trips"]  # nobody could tell of a crossing
    return compare({**final, **seen}, expected, tail=tails * shape.tags)


@contextmanager
def pair(
    bench: Bench,
    shape: Shape,
    sender: Sequence[str] | None = None,
    *,
    receiver: Sequence[str] | None = None,
    wakes: bool = False,
) -> Iterator[Pair]:
    """Both processes, connected. ``sender``, ``receiver``: others than send_stream, recv_steps."""
    with (
        engine_folders() as (state, ring),
        Child(CPU_SENDER, sender or shape.sender(bench)) as sending,
    ):
        port = sending.expect("port").split()[0]
        command = [
            *(receiver or [bench.program("recv_steps")]), *shape.words(), f"port={port}",
            f"state={state}", f"ring={ring}", f"ring_bytes={bench.ring_bytes}",
            f"wake={int(wakes)}",
        ]  # fmt: skip
        with Child(CPU_RECEIVER, command) as receiving:
            both = Pair(shape, sending, receiving)
            both.ask(f"connected {shape.sources}", "connected")
            yield both


def read(bench: Bench, shape: Shape, *, count: int, warm: int) -> Reading:
    """CPU per sample of one run, flat out."""
    with pair(bench, shape) as both:
        both.send(warm)
        spent = both.send(count)
        problem = both.problem()
    rate = count / spent["wall_ns"] * 1e9
    return Reading(spent["cpu_ns"] / count, rate, problem, spent["busy_ns"] / count)


# ---- delay -------------------------------------------------------------------------------------


def delay_at(
    bench: Bench,
    shape: Shape,
    rate: float,
    seconds: float,
    sender: Sequence[str] | None = None,
    receiver: Sequence[str] | None = None,
) -> tuple[dict[str, Any], str]:
    """Planned send of a crossing sample to its event in the consumer's hands, open loop."""
    count = round(rate * (seconds + SETTLE_S)) if seconds else bench.sizes.messages
    with pair(bench, shape, sender, receiver=receiver, wakes=True) as both:
        both.receiver.tell(f"delays {round(SETTLE_S * 1000) if seconds else 0}")
        both.pace(count, rate)
        delay = both.ask("delay", "delay")
        final, expected = both.finish()
        if shape.form == "json":
            final = without_equal_stamps(final, expected)
        return delay, compare_shape(shape, final, expected)


def without_equal_stamps(final: dict[str, Any], expected: Mapping[str, Any]) -> dict[str, Any]:
    """JSON's stamps are in microseconds: above 1 M/s two samples of a tag may bear the same one,
    and its limit rightly passes over the second, which may have been a crossing.
    """
    passed_over = final["out_of_order"]
    missing = 2 * expected["trips"] - final["trips"] - final["clears"] - final["folded"]
    if abs(missing) <= 2 * passed_over:
        return {**final, "out_of_order": 0, "folded": final["folded"] + missing}
    return final


def added_delay(
    bench: Bench, shape: Shape, rate: float, sender: Sequence[str] | None = None
) -> tuple[dict[str, list[float]], str]:
    """p50 and p99.9 in microseconds at each load in percent of ``rate``; and what was wrong."""
    taken: dict[str, list[float]] = {}
    for load in LOADS:
        delay, problem = delay_at(bench, shape, rate * load / 100, bench.sizes.paced_s, sender)
        if problem:
            return taken, f"at {load} % load: {problem}"
        taken[str(load)] = [delay["p50_us"], delay["p999_us"]]
        bench.say(
            f"  delay at {load:3d} % load: p50 {delay['p50_us']:.0f} us,"
            f" p99.9 {delay['p999_us']:.0f} us of {delay['count']}"
        )
    return taken, ""


def with_delay(
    bench: Bench, figure: Figure, shape: Shape, rate: float, sender: Sequence[str] | None = None
) -> Figure:
    """A wire figure with the delay at each share of the rate that it measured."""
    if figure.value is None or bench.is_alone:
        return figure
    taken, problem = added_delay(bench, shape, rate, sender)
    return replace(figure, delay=taken, **({"value": None, "note": problem} if problem else {}))
