"""recv_natspy: the baseline: nats-py, a callback that discards. Speaks the lines of native/child.h.

recv_natspy.py PORT WARM COUNT
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
import time

import nats
from nats.aio.msg import Msg


def cpu_ns() -> int:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return round((used.ru_utime + used.ru_stime) * 1e9)


async def main(port: str, warm: int, count: int) -> None:
    received = 0
    begin = (0, 0)
    done = asyncio.Event()

    async def discard(message: Msg) -> None:
        nonlocal received, begin
        received += 1
        if received == warm:
            begin = (cpu_ns(), time.monotonic_ns())
            print("warm", flush=True)
        elif received == warm + count:
            spent = {"cpu_ns": cpu_ns() - begin[0], "wall_ns": time.monotonic_ns() - begin[1]}
            print("measured", json.dumps({"count": received - warm, **spent}), flush=True)
            done.set()

    connection = await nats.connect(f"nats://127.0.0.1:{port}", allow_reconnect=False)
    await connection.subscribe("tel.>", cb=discard, pending_msgs_limit=0, pending_bytes_limit=0)
    await done.wait()
    os._exit(0)  # the server is no NATS server: an orderly end would wait for its answers


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
