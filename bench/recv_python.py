"""recv_python: ours as a Python program: penstock.Engine and a consumer that the eventfd wakes.

Speaks the steps of native/recv_steps.c.

    recv_python.py kind=zmtp port=PORT state=FOLDER ring=FOLDER ring_bytes=N [checkpoint_s=S]
                   [windows_s=S]

checkpoint_s: a thread asks for a checkpoint to disk that often. windows_s: closed windows are taken
that often; without it at the end, since who wants events soon does not turn a thousand windows into
Python objects between them.
"""

from __future__ import annotations

import json
import os
import resource
import select
import sys
import threading
import time
from pathlib import Path

from penstock import Engine
from penstock.config import Config

PAST_NS = 300_000_000_000  # plan.h
PATIENCE_S = 120.0
CONFIG = """
[plant]
name = "bench"
[engine]
state_dir = "{state}/engine"
ring_dir = "{ring}"
ring_bytes = {ring_bytes}
[[source]]
name = "line"
kind = "zmq_pull"
connect = "tcp://127.0.0.1:{port}"
[[rule]]
name = "high"
kind = "limit"
tag = "*"
high = {{ value = 90.0, deadband = 5.0 }}
[[rule]]
name = "second"
kind = "window"
tag = "*"
size_s = 1
"""


def say(word: str, **values: float) -> None:
    print(word, json.dumps(values), flush=True)


def cpu_ns() -> int:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return round((used.ru_utime + used.ru_stime) * 1e9)


def memory() -> dict[str, int]:
    """Resident bytes without the ring, and the most there ever were with it."""
    kib = {"bytes": 0, "peak": 0}
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(("RssAnon:", "RssFile:")):
            kib["bytes"] += int(line.split()[1])
        elif line.startswith("VmHWM:"):
            kib["peak"] = int(line.split()[1])
    return {name: value * 1024 for name, value in kib.items()}


class Consumer:
    """What takes the events, and what it has seen."""

    def __init__(self, engine: Engine, windows_s: float) -> None:
        self.engine = engine
        self.windows = self.window_count = 0
        self.window_sum = 0.0
        self.windows_s, self.windows_due = windows_s, time.monotonic() + windows_s
        self.trips = self.clears = self.folded = self.wakes = 0
        self.delays: list[int] = []
        self.delays_from_ns = 2**63
        self.tail_ns = 2**63
        self._poll = select.poll()
        self._poll.register(engine.event_fd(), select.POLLIN)

    def wait(self, seconds: float) -> None:
        """Until events come, or the time is over."""
        if self._poll.poll(max(0, round(seconds * 1000))):
            os.eventfd_read(self.engine.event_fd())
            self.wakes += 1
        self.take()

    def take(self) -> None:
        while True:
            batch = self.engine.poll()
            if not batch.events:
                return
            now_ns = time.time_ns() - PAST_NS
            for event in batch:
                if event.kind == "limit.H.trip":
                    self.trips += 1
                    if event.at_ns >= self.delays_from_ns:
                        self.delays.append(now_ns - event.at_ns)
                elif event.kind == "limit.H.clear":
                    self.clears += 1
                elif event.kind == "limit.chattering":
                    self.folded += event.count
            batch.acknowledge()

    def used(self) -> int:
        return self.engine.stats().sources[0].used

    def rest(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self.wait(left)
            if self.windows_s and time.monotonic() >= self.windows_due:
                self.windows_due += self.windows_s
                self.take_windows()

    def take_windows(self) -> None:
        while len(results := self.engine.results()):
            columns = results.columns
            rows = zip(columns["end_ns"], columns["count"], columns["sum"], strict=True)
            for end_ns, count, total in rows:
                if end_ns <= self.tail_ns:
                    self.windows += 1
                    self.window_count += count
                    self.window_sum += total

    def take_until(self, used: int) -> None:
        until = time.monotonic() + PATIENCE_S
        while self.used() < used:
            if time.monotonic() > until:
                raise SystemExit(f"only {self.used()} of {used} samples came")
            self.rest(0.1)
        self.take()

    def tell_delay(self) -> None:
        ordered = sorted(self.delays)
        shares = {"p50_us": 0.5, "p99_us": 0.99, "p999_us": 0.999, "max_us": 1.0}
        last = len(ordered) - 1
        say("delay", count=len(ordered), **{
            name: ordered[min(last, int(share * len(ordered)))] / 1000 if ordered else 0.0
            for name, share in shares.items()
        })  # fmt: skip

    def tell_final(self) -> None:
        while self.engine.stats().judged < self.engine.stats().written:
            self.wait(0.001)
        self.take()
        self.take_windows()
        stats = self.engine.stats()
        source = stats.sources[0]
        say(
            "final", received=source.received, used=source.used, dropped=stats.dropped,
            lost=source.lost_upstream or 0, late=stats.late, out_of_order=stats.out_of_order,
            overwritten=stats.results_overwritten, trips=self.trips, clears=self.clears,
            folded=self.folded, windows=self.windows, window_count=self.window_count,
            window_sum=self.window_sum, checkpoints=stats.checkpoints,
            tags=stats.tags, connections=source.connections, reconnects=source.reconnects,
            protocol_errors=source.protocol_errors,
            checkpoint_ns_max=stats.checkpoint_ns_max,
        )  # fmt: skip


def keep_checkpointing(engine: Engine, seconds: float, is_over: threading.Event) -> None:
    while not is_over.wait(seconds):
        engine.checkpoint()


def obey(consumer: Consumer, line: str) -> None:
    step, _, number = line.strip().partition(" ")
    if step in ("take", "rest"):
        begin, used = (cpu_ns(), time.monotonic_ns()), consumer.used()
        if step == "take":
            consumer.take_until(int(number))
        else:
            consumer.rest(int(number) / 1000)
        say("measured", count=consumer.used() - used, cpu_ns=cpu_ns() - begin[0],
            wall_ns=time.monotonic_ns() - begin[1])  # fmt: skip
    elif step == "connected":
        while not consumer.engine.stats().sources[0].is_up:
            consumer.wait(0.005)
        say("connected")
    elif step == "delays":
        consumer.delays_from_ns = time.time_ns() - PAST_NS + int(number) * 1_000_000
    elif step == "delay":
        consumer.tell_delay()
    elif step == "memory":
        say("memory", **memory())
    elif step == "tail":
        consumer.tail_ns = int(number)
    else:
        consumer.tell_final()


def main(words: dict[str, str]) -> None:
    path = Path(words["state"]) / "bench.toml"
    path.write_text(CONFIG.format(**words))
    is_over = threading.Event()
    with Engine(Config.from_file(path)) as engine:
        engine.start()
        consumer = Consumer(engine, float(words.get("windows_s", 0)))
        if seconds := float(words.get("checkpoint_s", 0)):
            asks = (engine, seconds, is_over)
            keeper = threading.Thread(target=keep_checkpointing, args=asks, daemon=True)
            keeper.start()
        for line in sys.stdin:
            obey(consumer, line)
        is_over.set()
        if seconds:
            keeper.join()


if __name__ == "__main__":
    main(dict(word.split("=", 1) for word in sys.argv[1:]))
