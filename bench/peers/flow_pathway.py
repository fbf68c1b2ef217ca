"""flow_pathway: Pathway over a ZeroMQ PULL socket: JSON, key, tumbling window of a second with
count, sum, min and max. No limit.

flow_pathway.py PORT WARM COUNT
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import pathway as pw
import zmq
from lines import Span, say

SECOND_US = 1_000_000


class Sample(pw.Schema):
    name: str
    value: float
    t: int


class Pull(pw.io.python.ConnectorSubject):
    def __init__(self, port: str, span: Span) -> None:
        super().__init__()
        self._port, self._span = port, span

    def run(self) -> None:
        socket = zmq.Context().socket(zmq.PULL)
        socket.connect(f"tcp://127.0.0.1:{self._port}")
        for received in range(1, self._span.last + 1):
            self.next(**json.loads(socket.recv()))
            if received == self._span.warm:
                self._span.is_over(received)


def main(port: str, warm: int, count: int) -> None:
    span = Span(warm, count)
    table = pw.io.python.read(Pull(port, span), schema=Sample)
    windows = table.windowby(
        pw.this.t, window=pw.temporal.tumbling(duration=SECOND_US), instance=pw.this.name
    ).reduce(
        count=pw.reducers.count(),
        total=pw.reducers.sum(pw.this.value),
        low=pw.reducers.min(pw.this.value),
        high=pw.reducers.max(pw.this.value),
    )
    totals = {"samples": 0, "sum": 0.0}

    def change(key: Any, row: dict[str, Any], time: int, is_addition: bool) -> None:
        sign = 1 if is_addition else -1
        totals["samples"] += sign * row["count"]
        totals["sum"] += sign * row["total"]

    pw.io.subscribe(windows, on_change=change)
    pw.run(monitoring_level=pw.MonitoringLevel.NONE)
    span.end(count)
    say("final", dict(totals))
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
