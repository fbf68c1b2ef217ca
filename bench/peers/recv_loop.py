"""recv_loop: a ZeroMQ PULL loop in Python that discards, or does our work in plain Python.

recv_loop.py zmq|pyomq discard|packed|json PORT WARM COUNT
"""

from __future__ import annotations

import importlib
import os
import sys

from lines import Span, say
from windows import Windows


def main(library: str, work: str, port: str, warm: int, count: int) -> None:
    zmq = importlib.import_module(library)
    socket = zmq.Context().socket(zmq.PULL)
    socket.connect(f"tcp://127.0.0.1:{port}")
    receive = socket.recv
    span = Span(warm, count)
    windows = Windows(work) if work != "discard" else None
    received = 0
    while True:
        payload = receive()
        received += 1
        if windows is not None:
            windows.add(payload)
        if span.is_over(received):
            break
    if windows is not None:
        say("final", windows.figures())
    os._exit(0)  # without waiting for the sender, which waits for us


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
