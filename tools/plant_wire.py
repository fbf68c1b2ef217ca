"""How a simulated line speaks: packed v1 or JSON messages, over ZeroMQ or NATS.

An emitter written from the format's specification, sharing no code with penstock. A message is
built once; each tick only patches the numbers in it. Senders never wait: what the wire does not
take at once is refused to the caller, who counts it and goes on, as a machine must.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import numpy as np
import numpy.typing as npt
import zmq

TYPE_F64, TYPE_I64 = 1, 2
PACKED_HEADER = struct.Struct("<4sHBBIIQq")
PACKED_PATCH = struct.Struct("<Qq")  # seq and time0, at byte 16
PACKED_SAMPLES_MAX = 200

Rows = npt.NDArray[Any]


class WireError(Exception):
    """The wire cannot work at all: wrong address, or refused by the server."""


class Encoder(Protocol):
    """One message of fixed size. Tags come in the order ints, fractions, noise."""

    buffer: bytearray

    def put_int(self, index: int, value: int) -> None: ...
    def put_milli(self, index: int, value: int) -> None: ...
    def rows(self, milli: npt.NDArray[np.int64]) -> Rows: ...
    def put_noise(self, row: Rows) -> None: ...
    def stamp(self, seq: int, time_ns: int) -> None: ...


def _sample(value: str) -> np.dtype[Any]:
    return np.dtype([("value", value), ("dt", "<u4"), ("name", "<u2"), ("quality", "<u2")])


class PackedEncoder:
    """Packed v1: header, names, samples of 16 bytes; all little-endian."""

    def __init__(
        self,
        ints: Sequence[str],
        millis: Sequence[str],
        noise: Sequence[str],
        stream: int,
        boot: int,
    ) -> None:
        names = [*ints, *millis, *noise]
        if len(names) > PACKED_SAMPLES_MAX:
            raise ValueError(f"a message holds at most {PACKED_SAMPLES_MAX} samples")
        table = b"".join(
            bytes((TYPE_I64 if i < len(ints) else TYPE_F64, len(name.encode()))) + name.encode()
            for i, name in enumerate(names)
        )
        header = PACKED_HEADER.pack(b"PSK1", len(names), len(names), 0, stream, boot, 0, 0)
        self.buffer = bytearray(header + table + bytes(16 * len(names)))
        start, count = len(header) + len(table), len(names)
        floats: Rows = np.frombuffer(self.buffer, _sample("<f8"), count, start)
        words: Rows = np.frombuffer(self.buffer, _sample("<i8"), count, start)
        floats["name"] = np.arange(len(names))
        self._ints, self._millis = words["value"], floats["value"][len(ints) :]
        self._noise = floats["value"][len(ints) + len(millis) :]

    def put_int(self, index: int, value: int) -> None:
        self._ints[index] = value

    def put_milli(self, index: int, value: int) -> None:
        self._millis[index] = value / 1000

    def rows(self, milli: npt.NDArray[np.int64]) -> Rows:
        return milli / 1000

    def put_noise(self, row: Rows) -> None:
        self._noise[:] = row

    def stamp(self, seq: int, time_ns: int) -> None:
        PACKED_PATCH.pack_into(self.buffer, 16, seq, time_ns)


class JsonEncoder:
    """One flat object; every number has a slot of fixed width, blanks on its left."""

    INT_WIDTH = 20
    NOISE_WIDTH = 7  # up to 999.999

    def __init__(
        self,
        ints: Sequence[str],
        millis: Sequence[str],
        noise: Sequence[str],
        stream: int,
        boot: int,
    ) -> None:
        self.buffer = bytearray(b'{"stream":%d,"boot":%d' % (stream, boot))
        self._seq = self._slot("seq")
        self._time = self._slot("t")
        self._ints = [self._slot(name) for name in ints]
        self._millis = [self._slot(name) for name in millis]
        keys = [f",{json.dumps(name)}:".encode() for name in noise]
        width = max(map(len, keys), default=0) + self.NOISE_WIDTH
        start = len(self.buffer)
        for key in keys:
            self.buffer += key.ljust(width)
        self.buffer += b"}"
        section = np.frombuffer(self.buffer, dtype=np.uint8, count=width * len(keys), offset=start)
        self._noise = section.reshape(len(keys), width)[:, width - self.NOISE_WIDTH :]

    def _slot(self, name: str) -> int:
        self.buffer += f",{json.dumps(name)}:".encode()
        start = len(self.buffer)
        self.buffer += b"0".rjust(self.INT_WIDTH)
        return start

    def _put(self, start: int, text: bytes) -> None:
        self.buffer[start : start + self.INT_WIDTH] = text.rjust(self.INT_WIDTH)

    def put_int(self, index: int, value: int) -> None:
        self._put(self._ints[index], b"%d" % value)

    def put_milli(self, index: int, value: int) -> None:
        self._put(self._millis[index], b"%d.%03d" % divmod(value, 1000))

    def rows(self, milli: npt.NDArray[np.int64]) -> Rows:
        """Digits as bytes, shape (ticks, tags, width)."""
        text = np.full((*milli.shape, self.NOISE_WIDTH), ord(" "), dtype=np.uint8)
        rest = milli.astype(np.int32)
        for place in (6, 5, 4, 2, 1, 0):  # 3 is the point
            digit = rest % 10
            is_shown = (rest > 0) | (place >= 2)
            text[..., place] = np.where(is_shown, digit + ord("0"), ord(" "))
            rest //= 10
        text[..., 3] = ord(".")
        return text

    def put_noise(self, row: Rows) -> None:
        self._noise[:] = row

    def stamp(self, seq: int, time_ns: int) -> None:
        self._put(self._seq, b"%d" % seq)
        self._put(self._time, b"%d" % time_ns)


ENCODERS: dict[str, type[PackedEncoder] | type[JsonEncoder]] = {
    "packed": PackedEncoder,
    "json": JsonEncoder,
}


class Sender(Protocol):
    def send(self, message: bytearray) -> bool:
        """False: not taken, and not tried again."""
        ...

    def attend(self) -> None:
        """Called some ten times a second."""
        ...

    def close(self) -> None: ...


class ZmqSender:
    """PUSH or PUB. ZMQ_IMMEDIATE: without a peer a PUSH takes nothing, so no queue grows unread."""

    QUEUE_MESSAGES = 500
    LINGER_MS = 2000
    FIRST_SUBSCRIBER_MS = 2000

    def __init__(self, is_push: bool, bind: str, connect: str, subject: str) -> None:
        self._context = zmq.Context(1)
        self._socket = self._context.socket(zmq.PUSH if is_push else zmq.XPUB)
        self._socket.setsockopt(zmq.IMMEDIATE, 1)
        self._socket.setsockopt(zmq.SNDHWM, self.QUEUE_MESSAGES)
        self._socket.setsockopt(zmq.LINGER, self.LINGER_MS)
        self._socket.setsockopt(zmq.RECONNECT_IVL, 50)
        self._subject = subject.encode()
        try:
            if bind:
                self._socket.bind(bind)
            else:
                self._socket.connect(connect)
        except zmq.ZMQError as error:
            raise WireError(f"{bind or connect}: {error}") from error
        if not is_push:
            # XPUB is PUB that shows subscriptions: a line does not begin to speak to nobody.
            self._socket.poll(self.FIRST_SUBSCRIBER_MS, zmq.POLLIN)

    def send(self, message: bytearray) -> bool:
        try:
            if self._subject:
                self._socket.send_multipart((self._subject, message), zmq.NOBLOCK)
            else:
                self._socket.send(message, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def attend(self) -> None:
        """ZeroMQ's own thread does it."""

    def close(self) -> None:
        self._socket.close()
        self._context.term()


class NatsSender:
    """PUB on a plain socket that never blocks; connects again by itself.

    A message is taken whole or not at all: what the kernel left of one goes out before the next
    is taken.
    """

    RETRY_S = 0.2
    START_S = 10.0
    END_S = 2.0

    def __init__(self, url: str, subject: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "nats" or not parts.hostname:
            raise WireError(f"{url}: not a nats:// address")
        if not subject or any(c.isspace() for c in subject):
            raise WireError("a NATS line needs --subject")
        self._address = (parts.hostname, parts.port or 4222)
        self._head = f"PUB {subject} ".encode()
        self._hello = self._connect_line(parts.username, parts.password)
        self._socket: socket.socket | None = None
        self._is_ready = False
        self._rest = b""
        self._input = b""
        self._retry_at = 0.0
        self._start()

    @staticmethod
    def _connect_line(user: str | None, password: str | None) -> bytes:
        options: dict[str, Any] = {"verbose": False, "pedantic": False, "headers": True}
        options |= {"lang": "python", "version": "1", "name": "plant", "protocol": 1}
        if user and password is not None:
            options |= {"user": unquote(user), "pass": unquote(password)}
        elif user:
            options["auth_token"] = unquote(user)
        return b"CONNECT " + json.dumps(options).encode() + b"\r\nPING\r\n"

    def _start(self) -> None:
        until = time.monotonic() + self.START_S
        while not self._is_ready:
            if time.monotonic() > until:
                raise WireError(f"no NATS server at {self._address[0]}:{self._address[1]}")
            self.attend()
            time.sleep(0.02)

    def _lose(self) -> None:
        if self._socket is not None:
            self._socket.close()
        self._socket, self._is_ready, self._rest, self._input = None, False, b"", b""
        self._retry_at = time.monotonic() + self.RETRY_S

    def _open(self) -> None:
        if time.monotonic() < self._retry_at:
            return
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.connect_ex(self._address)

    def attend(self) -> None:
        if self._socket is None:
            self._open()
            return
        try:
            data = self._socket.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            self._lose()
            return
        if not data:
            self._lose()
            return
        *lines, self._input = (self._input + data).split(b"\r\n")
        for line in lines:
            self._take(line)

    def _take(self, line: bytes) -> None:
        if line.startswith(b"INFO") and not self._is_ready:
            self._flush(self._hello)
        elif line == b"PING":
            self._flush(b"PONG\r\n")
        elif line == b"PONG":
            self._is_ready = True
        elif line.startswith(b"-ERR") and b"uthorization" in line:
            raise WireError(f"the NATS server says {line[5:].decode('utf-8', 'replace')}")

    def _flush(self, more: bytes) -> None:
        """Sends what it can; the rest waits."""
        self._rest += more
        if self._socket is None or not self._rest:
            return
        try:
            self._rest = self._rest[self._socket.send(self._rest) :]
        except BlockingIOError:
            pass
        except OSError:
            self._lose()

    def send(self, message: bytearray) -> bool:
        if self._rest:
            self._flush(b"")
        if not self._is_ready or self._rest or self._socket is None:
            return False
        self._flush(b"".join((self._head, b"%d\r\n" % len(message), message, b"\r\n")))
        return True

    def close(self) -> None:
        """A PONG behind the last message says that the server has it."""
        until = time.monotonic() + self.END_S
        if self._is_ready:
            self._is_ready = False
            self._flush(b"PING\r\n")
        while self._socket is not None and not self._is_ready and time.monotonic() < until:
            select.select([self._socket], [self._socket] if self._rest else [], [], 0.1)
            self._flush(b"")
            self.attend()
        if self._socket is not None:
            self._socket.close()
