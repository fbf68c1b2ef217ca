"""Fault proxy: HTTP requests come in and go on to the target; a plan says what goes wrong there.

It stands between penstock and a target. It reads HTTP framing, so it knows when a request was
forwarded wholly and when the target has answered wholly, which for a target that answers after its
commit means that the document exists::

    with FaultProxy("http://127.0.0.1:8000", match="penstock.posting.post") as proxy:
        proxy.plan("cut_answer", count=3)
        ...  # a client that talks to proxy.url
        assert proxy.counts["cut_answer"] == 3

Standard library only. Runs in a thread of its own, or as a process:
``python -m penstock.testing.fault_proxy --help``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import struct
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, get_args
from urllib.parse import urlsplit

Mode = Literal[
    "pass",  # nothing goes wrong
    "cut_request",  # reset before anything is forwarded: the target never saw it
    "cut_answer",  # forwarded, answered by the target, then reset without an answer to the client
    "half_answer",  # the client gets the first half of the answer, then the end of the stream
    "delay",  # the answer is held back for delay_s
    "throttle",  # the answer trickles at bytes_per_s
    "hang",  # nothing is forwarded and nothing answered; the connection stays open
    "silent",  # forwarded and answered by the target, but the client never hears of it
    "refuse",  # standing: the port is closed; planned: one connection or request is reset unread
]
MODES: Final = frozenset(get_args(Mode))
HEAD_BYTES_MAX: Final = 64 * 1024
BODY_BYTES_MAX: Final = 64 * 1024 * 1024
CONTROL_POLL_S: Final = 0.05
# SO_LINGER with no time: close sends RST, and bytes not sent yet are lost.
_RESET: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong; ``delay_s`` is for delay, ``bytes_per_s`` for throttle."""

    mode: Mode = "pass"
    delay_s: float = 1.0
    bytes_per_s: int = 64

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"unknown mode {self.mode!r}; one of {', '.join(sorted(MODES))}")
        if self.delay_s < 0 or self.bytes_per_s < 1:
            raise ValueError("delay_s must be at least 0 and bytes_per_s at least 1")


class FramingError(Exception):
    """The peer does not speak HTTP/1 as we read it, or closed in the middle of a message."""


@dataclass(slots=True)
class Message:
    """One HTTP/1 message as it came: the bytes are forwarded unchanged."""

    head: bytes
    body: bytes
    keeps_open: bool
    expects_continue: bool = False

    @property
    def raw(self) -> bytes:
        """The message as it goes over the wire."""
        return self.head + self.body


@dataclass(slots=True)
class _Plan:
    """What goes wrong next. Shared by the caller's threads and the loop."""

    standing: Fault = field(default_factory=Fault)
    match: bytes = b""
    queued: deque[Fault] = field(default_factory=deque)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next_for(self, raw: bytes) -> Fault:
        with self.lock:
            if self.match and self.match not in raw:
                return Fault()
            return self.queued.popleft() if self.queued else self.standing

    def takes_connection(self) -> bool:
        """Whether the next planned fault refuses a connection (with a match we read first)."""
        with self.lock:
            if self.match or not self.queued or self.queued[0].mode != "refuse":
                return False
            self.queued.popleft()
            return True


# ---- HTTP framing ----------------------------------------------------------------------------


async def read_request(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> Message | None:
    """The next request, or None when the client closed between requests."""
    head = await _read_head(reader)
    if head is None:
        return None
    fields = _fields(head)
    if fields.get(b"expect", b"").lower() == b"100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = b""
    if _is_chunked(fields):
        body = await _read_chunked(reader)
    elif b"content-length" in fields:
        body = await _read_exactly(reader, _length(fields))
    return Message(head, body, _keeps_open(head, fields, head.split(b"\r\n", 1)[0][-8:]))


async def read_answer(reader: asyncio.StreamReader, request_method: bytes) -> Message:
    """The whole answer to a request; interim 1xx answers are swallowed."""
    while True:
        head = await _read_head(reader)
        if head is None:
            raise FramingError("the target closed without an answer")
        fields = _fields(head)
        try:
            status = int(head.split(b" ", 2)[1])
        except (IndexError, ValueError):
            raise FramingError(f"not a status line: {head[:60]!r}") from None
        if status >= 200:
            break
    keeps_open = _keeps_open(head, fields, head[:8])
    if request_method == b"HEAD" or status in (204, 304):
        return Message(head, b"", keeps_open)
    if _is_chunked(fields):
        return Message(head, await _read_chunked(reader), keeps_open)
    if b"content-length" in fields:
        return Message(head, await _read_exactly(reader, _length(fields)), keeps_open)
    body = await reader.read(BODY_BYTES_MAX + 1)  # framed by the end of the stream
    while more := await reader.read(BODY_BYTES_MAX + 1 - len(body)):
        body += more
    if len(body) > BODY_BYTES_MAX:
        raise FramingError("body too long")
    return Message(head, body, False)


async def _read_head(reader: asyncio.StreamReader) -> bytes | None:
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise FramingError("closed inside a head") from None
    except asyncio.LimitOverrunError:
        raise FramingError("head too long") from None


async def _read_exactly(reader: asyncio.StreamReader, size: int) -> bytes:
    if size > BODY_BYTES_MAX:
        raise FramingError("body too long")
    try:
        return await reader.readexactly(size)
    except asyncio.IncompleteReadError:
        raise FramingError("closed inside a body") from None


async def _read_chunked(reader: asyncio.StreamReader) -> bytes:
    """A chunked body with its framing and trailers, as it came."""
    raw = bytearray()
    while True:
        line = await _read_line(reader)
        raw += line
        try:
            size = int(line.split(b";", 1)[0].strip(), 16)
        except ValueError:
            raise FramingError(f"not a chunk size: {line[:40]!r}") from None
        if size < 0 or len(raw) + size > BODY_BYTES_MAX:
            raise FramingError("body too long")
        if size == 0:
            break
        raw += await _read_exactly(reader, size + 2)
    while True:
        line = await _read_line(reader)
        raw += line
        if line == b"\r\n":
            return bytes(raw)
        if len(raw) > BODY_BYTES_MAX:
            raise FramingError("body too long")


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readuntil(b"\r\n")
    except asyncio.IncompleteReadError:
        raise FramingError("closed inside a body") from None
    except asyncio.LimitOverrunError:
        raise FramingError("line too long") from None


def _fields(head: bytes) -> dict[bytes, bytes]:
    fields = {}
    for line in head.split(b"\r\n")[1:-2]:
        name, _, value = line.partition(b":")
        fields[name.strip().lower()] = value.strip()
    return fields


def _is_chunked(fields: dict[bytes, bytes]) -> bool:
    return fields.get(b"transfer-encoding", b"").lower().endswith(b"chunked")


def _length(fields: dict[bytes, bytes]) -> int:
    text = fields[b"content-length"]
    if not text.isdigit():
        raise FramingError(f"not a length: {text[:40]!r}")
    return int(text)


def _keeps_open(head: bytes, fields: dict[bytes, bytes], version: bytes) -> bool:
    connection = fields.get(b"connection", b"").lower()
    return connection == b"keep-alive" if version == b"HTTP/1.0" else connection != b"close"


# ---- the proxy -------------------------------------------------------------------------------


class FaultProxy:
    """A proxy to ``upstream`` (``http://host:port``) whose faults a test steers. A context manager.

    ``counts`` says what it did: ``connections``, ``requests``, one entry a mode, ``upstream_down``,
    ``broken`` (a peer that closed in the middle, or does not speak HTTP/1). Methods may be called
    from any thread.
    """

    def __init__(
        self, upstream: str, *, host: str = "127.0.0.1", port: int = 0, match: str = ""
    ) -> None:
        parts = urlsplit(upstream)
        if parts.scheme != "http" or not parts.hostname or not parts.port:
            raise ValueError(f"upstream must be http://host:port, not {upstream!r}")
        self._upstream = (parts.hostname, parts.port)
        self._host, self._port_wanted = host, port
        self._plan = _Plan(match=match.encode())
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()
        self.counts: Counter[str] = Counter()
        self.port = 0

    @property
    def url(self) -> str:
        """Where clients connect to instead of the upstream."""
        return f"http://{self._host}:{self.port}"

    # ---- steering

    def plan(
        self, mode: Mode, *, count: int = 1, delay_s: float = 1.0, bytes_per_s: int = 64
    ) -> None:
        """Let the next ``count`` matching requests meet this fault, after those planned before."""
        fault = Fault(mode, delay_s, bytes_per_s)
        with self._plan.lock:
            self._plan.queued.extend([fault] * count)

    def stand(self, mode: Mode, *, delay_s: float = 1.0, bytes_per_s: int = 64) -> None:
        """Let every matching request meet this fault from now on, where none is planned.

        "refuse" closes the port, until another mode stands.
        """
        fault = Fault(mode, delay_s, bytes_per_s)
        with self._plan.lock:
            self._plan.standing = fault
        self._call(self._open_or_close)

    def match(self, text: str) -> None:
        """Touch only requests that contain this text from now on; all, when empty."""
        with self._plan.lock:
            self._plan.match = text.encode()

    def reset(self) -> None:
        """Nothing goes wrong from now on; planned faults are forgotten."""
        with self._plan.lock:
            self._plan.queued.clear()
        self.stand("pass")

    def planned(self) -> int:
        """Faults planned and not met yet."""
        with self._plan.lock:
            return len(self._plan.queued)

    # ---- life cycle

    def __enter__(self) -> FaultProxy:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Listen, in a thread of its own; on return ``port`` is bound."""
        if self._thread is not None:
            raise RuntimeError("the proxy is running")
        loop = asyncio.new_event_loop()
        ready: list[BaseException | None] = []
        woken = threading.Event()

        def live() -> None:
            try:
                loop.run_until_complete(self._listen())
                ready.append(None)
            except OSError as error:
                ready.append(error)
                return
            finally:
                woken.set()
            loop.run_forever()

        self._loop = loop
        self._thread = threading.Thread(target=live, name="fault-proxy", daemon=True)
        self._thread.start()
        woken.wait()
        if ready[0] is not None:
            self._thread.join()
            self._thread = self._loop = None
            loop.close()
            raise ready[0]

    def close(self) -> None:
        """Reset what is open and stop listening. Idempotent."""
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._shut(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
        self._loop = self._thread = None

    def _call(self, what: Callable[[], Any]) -> None:
        if self._loop is not None:
            asyncio.run_coroutine_threadsafe(what(), self._loop).result()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(
            self._accept, self._host, self.port or self._port_wanted, limit=HEAD_BYTES_MAX
        )
        self.port = int(self._server.sockets[0].getsockname()[1])

    async def _shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._clients):
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _open_or_close(self) -> None:
        if self._plan.standing.mode == "refuse":
            await self._shut()
        elif self._server is None:
            await self._listen()

    # ---- one client connection

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        self.counts["connections"] += 1
        target = _Target(self._upstream)
        graceful = False
        try:
            if self._plan.takes_connection():
                self.counts["refuse"] += 1
            else:
                graceful = await self._serve(reader, writer, target)
        except (FramingError, ConnectionError):
            self.counts["broken"] += 1
        except asyncio.CancelledError:
            pass  # only _shut cancels: the connection is reset below
        finally:
            self._clients.discard(task)
            target.close()
            if not graceful:
                _arm_reset(writer)
                writer.transport.abort()
            else:
                with suppress(ConnectionError):
                    writer.close()
                    await writer.wait_closed()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: _Target
    ) -> bool:
        """Serve requests until the connection ends; whether it ends in peace (else it is reset)."""
        while (request := await read_request(reader, writer)) is not None:
            self.counts["requests"] += 1
            fault = self._plan.next_for(request.raw)
            self.counts[fault.mode] += 1
            if fault.mode in ("cut_request", "refuse"):
                return False
            if fault.mode == "hang":
                await reader.read()
                return False
            answer = await self._forward(request, target)
            if answer is None or fault.mode == "cut_answer":
                return False
            if fault.mode == "silent":
                await reader.read()
                return False
            await _answer(writer, answer, fault)
            if fault.mode == "half_answer" or not (request.keeps_open and answer.keeps_open):
                return True
        return True

    async def _forward(self, request: Message, target: _Target) -> Message | None:
        """The target's whole answer, or None when it could not be reached."""
        try:
            reader, writer = await target.open()
        except OSError:
            self.counts["upstream_down"] += 1
            return None
        writer.write(request.raw)
        await writer.drain()
        answer = await read_answer(reader, request.head.split(b" ", 1)[0])
        if not answer.keeps_open:
            target.close()
        return answer


class _Target:
    """The upstream connection of one client connection: opened when needed, kept while both do."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None or self._streams[0].at_eof():
            self.close()
            self._streams = await asyncio.open_connection(*self._address, limit=HEAD_BYTES_MAX)
        return self._streams

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _answer(writer: asyncio.StreamWriter, answer: Message, fault: Fault) -> None:
    raw = answer.raw
    if fault.mode == "delay":
        await asyncio.sleep(fault.delay_s)
    if fault.mode == "half_answer":
        raw = raw[: len(raw) // 2]
    if fault.mode == "throttle":
        step = max(1, fault.bytes_per_s // 20)
        for start in range(0, len(raw), step):
            writer.write(raw[start : start + step])
            await writer.drain()
            await asyncio.sleep(step / fault.bytes_per_s)
        return
    writer.write(raw)
    await writer.drain()


def _arm_reset(writer: asyncio.StreamWriter) -> None:
    link = writer.get_extra_info("socket")
    if link is not None:
        with suppress(OSError):
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)


# ---- as a process ----------------------------------------------------------------------------


def _obey(proxy: FaultProxy, line: str) -> bool:
    """Carry out one control line; whether to go on."""
    order: dict[str, Any] = json.loads(line)
    if "match" in order:
        proxy.match(order["match"])
    measures = {k: order[k] for k in ("delay_s", "bytes_per_s") if k in order}
    if order.get("reset"):
        proxy.reset()
    if "plan" in order:
        proxy.plan(order["plan"], count=order.get("count", 1), **measures)
    if "stand" in order:
        proxy.stand(order["stand"], **measures)
    if order.get("counts"):
        _say({"counts": dict(proxy.counts), "planned": proxy.planned()})
    return not order.get("quit")


def _say(what: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def _obey_lines(proxy: FaultProxy, control: str) -> None:
    """Follow the control file or standard input until "quit", its end, or the parent's end."""
    if control == "-":
        for line in sys.stdin:
            if not _obey_safely(proxy, line):
                return
        return
    parent, pause = os.getppid(), threading.Event()
    path = Path(control)
    path.touch()
    with path.open() as lines:
        part = ""
        while os.getppid() == parent:
            part += lines.readline()
            if not part.endswith("\n"):
                pause.wait(CONTROL_POLL_S)
                continue
            if not _obey_safely(proxy, part):
                return
            part = ""


def _obey_safely(proxy: FaultProxy, line: str) -> bool:
    """A mistake in a control line is answered, and nothing else is disturbed."""
    try:
        return not line.strip() or _obey(proxy, line)
    except (ValueError, TypeError, AttributeError) as error:
        _say({"error": f"{type(error).__name__}: {error}", "line": line.strip()})
        return True


def main(argv: list[str] | None = None) -> int:
    """Run a proxy as a process: a JSON line with its port, one for each answer, one at the end."""
    parser = argparse.ArgumentParser(
        prog="python -m penstock.testing.fault_proxy",
        description="HTTP proxy that cuts, delays or swallows answers as it is told.",
        epilog='Control lines: {"plan": MODE, "count": N}, {"stand": MODE}, {"match": TEXT}, '
        '{"reset": true}, {"counts": true}, {"quit": true}; '
        "delay_s and bytes_per_s beside plan or stand. "
        f"Modes: {', '.join(get_args(Mode))}.",
    )
    parser.add_argument("--listen", default="127.0.0.1:0", help="host:port, 0 for a free one")
    parser.add_argument("--upstream", required=True, help="http://host:port")
    parser.add_argument("--control", default="-", help="file of JSON lines to follow; - for stdin")
    parser.add_argument("--match", default="", help="touch only requests that contain this text")
    args = parser.parse_args(argv)
    host, _, port = args.listen.rpartition(":")
    with FaultProxy(args.upstream, host=host, port=int(port), match=args.match) as proxy:
        _say({"port": proxy.port, "url": proxy.url})
        with suppress(KeyboardInterrupt):
            _obey_lines(proxy, args.control)
        _say({"counts": dict(proxy.counts), "planned": proxy.planned()})
    return 0


if __name__ == "__main__":
    sys.exit(main())
