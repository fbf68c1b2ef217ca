"""recv_natspy: nats-py with a callback that discards, or does our work in plain Python.

recv_natspy.py discard|packed PORT WARM COUNT
"""

from __future__ import annotations

import asyncio
import os
import sys

import nats
from lines import Span, say
from nats.aio.msg import Msg
from windows import Windows


async def main(work: str, port: str, warm: int, count: int) -> None:
    span = Span(warm, count)
    windows = Windows(work) if work != "discard" else None
    received = 0
    done = asyncio.Event()

    async def take(message: Msg) -> None:
        nonlocal received
        received += 1
        if windows is not None:
            windows.add(message.data)
        if span.is_over(received):
            done.set()

    connection = await nats.connect(f"nats://127.0.0.1:{port}", allow_reconnect=False)
    await connection.subscribe("tel.>", cb=take, pending_msgs_limit=0, pending_bytes_limit=0)
    await done.wait()
    if windows is not None:
        say("final", windows.figures())
    os._exit(0)  # the server is no NATS server: an orderly end would wait for its answers


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
