"""flow_bytewax: Bytewax over a ZeroMQ PULL socket: JSON, key, tumbling window of a second with
count, sum, min and max. No limit: its windows cannot tell a crossing with a deadband.

flow_bytewax.py PORT WARM COUNT
"""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime, timedelta

import bytewax.operators as op
import bytewax.operators.windowing as win
import zmq
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import cluster_main
from lines import Span, say

# Its event clock goes on with the system's: the plan's event time does not, so it has to wait.
WAIT = timedelta(hours=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
BATCH = 1000
Sample = tuple[str, float, datetime]
Window = tuple[int, float, float, float]


class Pull(StatelessSourcePartition[Sample]):
    def __init__(self, port: str, span: Span) -> None:
        self._socket = zmq.Context().socket(zmq.PULL)
        self._socket.connect(f"tcp://127.0.0.1:{port}")
        self._span = span
        self._received = 0

    def next_batch(self) -> list[Sample]:
        if self._received >= self._span.last:
            raise StopIteration
        batch: list[Sample] = []
        while len(batch) < BATCH and self._received < self._span.last:
            read = json.loads(self._socket.recv())
            batch.append((read["name"], read["value"], EPOCH + timedelta(microseconds=read["t"])))
            self._received += 1
            if self._received == self._span.warm:
                self._span.is_over(self._received)
                break
        return batch


class Source(DynamicSource[Sample]):
    def __init__(self, port: str, span: Span) -> None:
        self._given = port, span

    def build(self, step_id: str, worker_index: int, worker_count: int) -> Pull:
        return Pull(*self._given)


class Count(StatelessSinkPartition[tuple[str, tuple[int, Window]]]):
    samples = 0
    total = 0.0

    def write_batch(self, items: list[tuple[str, tuple[int, Window]]]) -> None:
        for _, (_, window) in items:
            Count.samples += window[0]
            Count.total += window[1]


class Sink(DynamicSink[tuple[str, tuple[int, Window]]]):
    def build(self, step_id: str, worker_index: int, worker_count: int) -> Count:
        return Count()


def add(window: Window, sample: Sample) -> Window:
    value = sample[1]
    return window[0] + 1, window[1] + value, min(window[2], value), max(window[3], value)


def merge(one: Window, other: Window) -> Window:
    return one[0] + other[0], one[1] + other[1], min(one[2], other[2]), max(one[3], other[3])


def main(port: str, warm: int, count: int) -> None:
    span = Span(warm, count)
    flow = Dataflow("bench")
    samples = op.input("pull", flow, Source(port, span))
    keyed = op.key_on("key", samples, lambda sample: sample[0])
    clock = win.EventClock(lambda sample: sample[2], wait_for_system_duration=WAIT)
    tumbling = win.TumblingWindower(length=timedelta(seconds=1), align_to=EPOCH)
    empty: Window = (0, 0.0, float("inf"), float("-inf"))
    folded = win.fold_window("fold", keyed, clock, tumbling, lambda: empty, add, merge)
    op.output("count", folded.down, Sink())
    cluster_main(flow, [], 0)
    span.end(count)  # with the windows that the end of the input closed
    say("final", {"samples": Count.samples, "sum": Count.total})
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
