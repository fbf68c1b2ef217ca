"""recv_bare: the limit of a delay: a Python program that waits on the socket itself, and does no
more with a message than read its stamp.

    recv_bare.py PORT OPENING_BYTES MESSAGE_BYTES STAMP_AT COUNT SKIP_MS

One wake stands between the wire and Python; an engine of its own thread needs two. Prints "ready",
and after COUNT messages "delay" as recv_python.py does.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import sys
import time

PAST_NS = 300_000_000_000  # plan.h


def main(port: int, opening: int, size: int, stamp_at: int, count: int, skip_ms: int) -> None:
    link = socket.create_connection(("127.0.0.1", port))
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.setblocking(False)
    waiting = select.poll()
    waiting.register(link, select.POLLIN)
    print("ready", flush=True)
    rest, taken, delays = b"", 0, []
    begin_ns = 0
    while taken < count:
        waiting.poll()
        rest += link.recv(1 << 17)
        if opening:
            rest, opening = rest[opening:], max(0, opening - len(rest))
        now_ns = time.time_ns() - PAST_NS
        begin_ns = begin_ns or now_ns + skip_ms * 1_000_000
        whole = len(rest) // size
        for index in range(whole):
            (time_ns,) = struct.unpack_from("<q", rest, index * size + stamp_at)
            if time_ns >= begin_ns:
                delays.append(now_ns - time_ns)
        taken += whole
        rest = rest[whole * size :]
    delays.sort()
    shares = {"p50_us": 0.5, "p99_us": 0.99, "p999_us": 0.999}
    told = {name: delays[int(share * len(delays))] / 1000 for name, share in shares.items()}
    print("delay", json.dumps({"count": len(delays), **told}), flush=True)


if __name__ == "__main__":
    main(*(int(word) for word in sys.argv[1:]))
