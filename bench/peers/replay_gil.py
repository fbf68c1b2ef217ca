"""replay_gil: our engine in a Python process, over a recording; beside it, or not, a Python thread
that spins. The engine thread has CPU 0 to itself; the main thread, which takes events and results,
and the spinner share CPU 1 and the GIL.

replay_gil.py RECORDING STATE RING RING_BYTES SAMPLES TAIL_NS quiet|spin

Prints "measured {...}" with the rate by the engine's own clock, so that the waits of this thread
for the GIL are no part of it; then "final {...}" as native/engine_default.c.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import tomllib
from decimal import Decimal
from itertools import compress

from lines import cpu_ns, say

from penstock import Engine
from penstock.config import parse_config

CPUS = sorted(os.sched_getaffinity(0))
TURN_S = 0.02
PATIENCE_S = 120.0
# Each call over the border gives the GIL away, and at the default of 5 ms the consumer could not
# take as many events as the engine makes: a full event ring would be measured, not the engine.
SWITCH_S = 0.0005
CONFIG = """
[plant]
name = "bench"
timezone = "UTC"
[engine]
state_dir = "{state}"
ring_dir = "{ring}"
ring_bytes = {ring_bytes}
[[source]]
name = "line"
kind = "replay"
connect = "file://{recording}"
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


class Spinner:
    """Counts as fast as Python can, until it is told to stop."""

    def __init__(self) -> None:
        self.turns = 0
        self._is_on = True
        self._thread = threading.Thread(target=self._spin)
        self._thread.start()

    def _spin(self) -> None:
        while self._is_on:
            self.turns += 1

    def stop(self) -> None:
        self._is_on = False
        self._thread.join()


class Counts:
    """What the consumer took, against the sender's plan."""

    def __init__(self, engine: Engine, tail_ns: int) -> None:
        self._engine, self._tail_ns = engine, tail_ns
        self.kinds = {"limit.H.trip": 0, "limit.H.clear": 0, "limit.chattering": 0}
        self.window_count, self.window_sum = 0, 0.0

    def take(self) -> None:
        while batch := self._engine.poll():
            for event in batch:
                self.kinds[event.kind] += event.count if event.kind == "limit.chattering" else 1
            batch.acknowledge()
        while found := self._engine.results():
            is_counted = [end_ns <= self._tail_ns for end_ns in found.columns["end_ns"]]
            self.window_count += sum(compress(found.columns["count"], is_counted))
            self.window_sum += sum(compress(found.columns["sum"], is_counted))


Look = tuple[int, int, int]


def look(engine: Engine) -> Look:
    """Engine time, journal bytes and samples: the first two are of one instant, read under the
    engine's own lock, however long this thread then waits for the GIL."""
    stats = engine.stats()
    return stats.engine_time_ns, stats.written, stats.sources[0].used


def follow(engine: Engine, counts: Counts, samples: int) -> list[Look]:
    """Starts the engine, and looks each turn up to the end of the recording."""
    looks = [look(engine)]
    engine.start()
    os.sched_setaffinity(0, CPUS[-1:])
    until = time.monotonic() + PATIENCE_S
    while looks[-1][2] < samples and time.monotonic() < until:
        counts.take()
        time.sleep(TURN_S)
        looks.append(look(engine))
    return looks


def rate_of(looks: list[Look]) -> float:
    """Samples a second, from a tenth of the recording to the last look before its end; of so few
    that nobody looked in between, over the whole."""
    total = looks[-1][1] - looks[0][1]
    inner = [each for each in looks[:-1] if each[1] - looks[0][1] >= total // 10]
    first, last = (inner[0], inner[-1]) if len(inner) > 1 else (looks[0], looks[-1])
    share = (last[1] - first[1]) / total
    return share * looks[-1][2] / max(last[0] - first[0], 1) * 1e9


def final(engine: Engine, counts: Counts) -> dict[str, object]:
    stats = engine.stats()
    source = stats.sources[0]
    return {
        "received": source.received,
        "used": source.used,
        "dropped": sum(source.dropped.values()),
        "lost": source.lost_upstream,
        "late": stats.late,
        "out_of_order": stats.out_of_order,
        "overwritten": stats.results_overwritten,
        "window_count": counts.window_count,
        "window_sum": counts.window_sum,
        "trips": counts.kinds["limit.H.trip"],
        "clears": counts.kinds["limit.H.clear"],
        "folded": counts.kinds["limit.chattering"],
    }


def main(recording: str, state: str, ring: str, ring_bytes: str, samples: str, tail_ns: str,
         how: str) -> None:  # fmt: skip
    text = CONFIG.format(recording=recording, state=state, ring=ring, ring_bytes=ring_bytes)
    sys.setswitchinterval(SWITCH_S)
    with Engine(parse_config(tomllib.loads(text, parse_float=Decimal))) as engine:
        counts = Counts(engine, int(tail_ns))
        os.sched_setaffinity(0, CPUS[-1:])
        spinner = Spinner() if how == "spin" else None
        os.sched_setaffinity(0, CPUS[:1])  # the engine's threads inherit it
        begin_cpu = cpu_ns()
        looks = follow(engine, counts, int(samples))
        used_cpu = cpu_ns() - begin_cpu
        if spinner:
            spinner.stop()
        while (stats := engine.stats()).judged < stats.written:
            counts.take()
        counts.take()
        turns = spinner.turns if spinner else 0
        say("measured", {"rate": rate_of(looks), "cpu_ns": used_cpu, "turns": turns})
        say("final", final(engine, counts))


if __name__ == "__main__":
    main(*sys.argv[1:])
