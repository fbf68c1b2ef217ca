"""Emit: samples become `packed` messages, numbered, and go out as a ZeroMQ PUSH peer.

For machine programs and gateways that feed an engine elsewhere; the twin of `penstock_emit.h`,
byte for byte. Standard library only, no thread; one caller at a time::

    from penstock.emit import Emitter, PushPeer

    with Emitter(PushPeer("127.0.0.1", 5555), stream=7, boot=int(time.time())) as emit:
        emit.add("line1.temp", time.time_ns(), 21.5)

A full message goes by itself, the rest by ``flush``. A message that cannot be handed over is
dropped and its samples counted in ``lost``. They keep their numbers: once the peer is back, the
engine counts the same as ``lost_upstream``. ``numbered == sent + lost``, always.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

SAMPLES_MAX: Final = 256  # of a message; the bounds are those of penstock_emit.h
NAMES_MAX: Final = 255
NAME_BYTES: Final = 8192  # of all names of a message, two bytes each on top
NAME_BYTES_MAX: Final = 95
NO_TIME: Final = -(2**63)  # the receive time stands in

Transport = Callable[[bytes], None]  # hands one message over, or raises OSError


class Emitter:
    """Makes messages and counts what became of their samples.

    ``stream``: which clock and sequence this is, one number a program. ``boot``: changes whenever
    counting begins anew, for example the start time in seconds. ``send``: a ``PushPeer``, or any
    callable that takes the bytes of one message and raises OSError where it cannot.
    """

    def __init__(self, send: Transport, *, stream: int, boot: int) -> None:
        self._send = send
        self.stream = stream
        self.boot = boot
        self.numbered = 0  # samples of this boot so far: the next message's seq
        self.sent = 0
        self.lost = 0
        self.messages = 0
        self._rows: list[tuple[int, bytes, int, int]] = []  # time, value, name, quality
        self._names: dict[tuple[int, bytes], int] = {}
        self._name_bytes = 0
        self._times = (0, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.flush()
        if isinstance(self._send, PushPeer):
            self._send.close()

    def __repr__(self) -> str:
        return (
            f"<Emitter of stream {self.stream}: {self.sent:,} samples sent, {self.lost:,} lost, "
            f"{len(self._rows):,} waiting>"
        )

    def add(self, name: str, time_ns: int, value: float | int | bool, quality: int = 0) -> bool:
        """One sample; False: it is lost and counted, for a name is 1 to 95 bytes.

        ``value``: float makes an f64 tag, int an i64 tag, bool a bool tag, for life. ``time_ns``:
        ns since 1970 UTC, or ``NO_TIME``. ``quality``: OPC UA StatusCode >> 16, 0 = good.
        """
        kind = 3 if isinstance(value, bool) else 2 if isinstance(value, int) else 1
        raw = struct.pack("<d" if kind == 1 else "<q", value)
        key = kind, name.encode()
        if not 0 < len(key[1]) <= NAME_BYTES_MAX:
            self.flush()
            self.numbered += 1  # its number is missing in what the peer sees
            self.lost += 1
            return False
        if not self._fits(time_ns, 0 if key in self._names else len(key[1]) + 2):
            self.flush()
        if key not in self._names:
            self._names[key] = len(self._names)
            self._name_bytes += len(key[1]) + 2
        low, high = self._times if self._rows else (time_ns, time_ns)
        self._times = min(low, time_ns), max(high, time_ns)
        self._rows.append((time_ns, raw, self._names[key], quality))
        return True

    def _fits(self, time_ns: int, new_name_bytes: int) -> bool:
        if not self._rows:
            return True
        low, high = self._times
        if (time_ns == NO_TIME) != (low == NO_TIME):
            return False
        has_room = not new_name_bytes or (
            len(self._names) < NAMES_MAX and self._name_bytes + new_name_bytes <= NAME_BYTES
        )
        span = max(high, time_ns) - min(low, time_ns)
        return has_room and len(self._rows) < SAMPLES_MAX and span < 1 << 32

    def _build(self) -> bytes:
        time0 = self._times[0]
        counts = len(self._rows), len(self._names), 0
        head = struct.pack(
            "<4sHBBIIQq", b"PSK1", *counts, self.stream, self.boot, self.numbered, time0
        )
        names = b"".join(bytes((kind, len(name))) + name for kind, name in self._names)
        rows = b"".join(
            raw + struct.pack("<IHH", time_ns - time0, name, quality)
            for time_ns, raw, name, quality in self._rows
        )
        return head + names + rows

    def flush(self) -> bool:
        """What is waiting goes now; False: it was lost, and counted."""
        if not self._rows:
            return True
        count, message = len(self._rows), self._build()
        self._rows, self._names, self._name_bytes = [], {}, 0
        self.numbered += count
        try:
            self._send(message)
        except OSError:
            self.lost += count
            return False
        self.sent += count
        self.messages += 1
        return True


class PushPeer:
    """A ZeroMQ PUSH peer over TCP (ZMTP 3.0, NULL mechanism), connected when there is something to
    send. ``timeout_s`` bounds connecting and each message; it is tried again once in that time.
    """

    def __init__(self, host: str, port: int, *, timeout_s: float = 1.0) -> None:
        self.host, self.port, self.timeout_s = host, port, timeout_s
        self.connects = 0
        self._socket: socket.socket | None = None
        self._retry_at = 0.0

    def __repr__(self) -> str:
        state = "connected" if self._socket else "not connected"
        return f"<PushPeer to tcp://{self.host}:{self.port}, {state}>"

    def __call__(self, message: bytes) -> None:
        """One message; OSError where the peer does not take it."""
        self._listen()
        if self._socket is None:
            self._connect()
        is_long = len(message) > 255
        head = struct.pack(">BQ", 2, len(message)) if is_long else bytes((0, len(message)))
        assert self._socket is not None
        try:
            self._socket.sendall(head + message)
        except OSError:
            self.close()  # half a frame ends the connection
            raise

    def close(self) -> None:
        """Lets the connection go; the next message opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> None:
        if time.monotonic() < self._retry_at:
            raise ConnectionRefusedError(f"{self!r}: waits before it tries again")
        made = None
        try:
            made = socket.create_connection((self.host, self.port), self.timeout_s)
            _greet(made)
        except OSError:
            if made is not None:
                made.close()
            raise
        finally:
            self._retry_at = time.monotonic() + self.timeout_s
        self._socket = made
        self.connects += 1

    def _listen(self) -> None:
        """The peer's end is noticed before a message is given to a dead socket."""
        while self._socket is not None:
            try:
                self._socket.setblocking(False)
                said = self._socket.recv(256)
            except BlockingIOError:
                break
            except OSError:
                said = b""
            if not said:
                self.close()
            elif said[2:7] == b"\4PING" and len(said) >= 9:
                pong = b"\4PONG" + said[9 : 2 + said[1]]
                with suppress(OSError):
                    self._socket.sendall(bytes((4, len(pong))) + pong)
        if self._socket is not None:
            self._socket.settimeout(self.timeout_s)


def _greet(made: socket.socket) -> None:
    """Greetings and READY, both ways (rfc.zeromq.org/spec/23)."""
    made.sendall(b"\xff" + bytes(7) + b"\x01\x7f\x03\x00" + b"NULL".ljust(52, b"\0"))
    theirs = _read(made, 64)
    if theirs[0] != 0xFF or theirs[9] != 0x7F or theirs[10] < 3:
        raise ConnectionError("the peer speaks no ZMTP 3")
    if theirs[12:32] != b"NULL".ljust(20, b"\0"):
        raise ConnectionError("the peer wants another mechanism than NULL")
    ready = b"\5READY\x0bSocket-Type\0\0\0\4PUSH"
    made.sendall(bytes((4, len(ready))) + ready)
    flags, size = _read(made, 2)
    if flags != 4 or not _read(made, size).startswith(b"\5READY"):
        raise ConnectionError("the peer is not ready for PUSH")


def _read(made: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = made.recv(count - len(found))
        if not part:
            raise ConnectionError("the peer ended its greeting")
        found += part
    return found
