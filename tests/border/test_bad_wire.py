"""Hostile peers on a real socket while a good libzmq client delivers: each is closed or counted by
name, the client loses nothing, and the engine goes on.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest
from border_kit import TAGS, Open, Sample, drain, packed, pressure, wait_until

from penstock import Engine

zmq = pytest.importorskip("zmq", reason="pyzmq plays the good client; pip install pyzmq")

WAIT_S = 20.0
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01NULL" + bytes(16 + 32)
READY_PUSH = b"\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04PUSH"
HELLO = GREETING + READY_PUSH
FRAME_BYTES_MAX = 100_000
A_MESSAGE = 10  # instants


class Client:
    """A good machine: numbered packed messages over libzmq, on a thread of its own."""

    def __init__(self, port: int) -> None:
        self.sent = 0
        self._context = zmq.Context()
        self._push = self._context.socket(zmq.PUSH)
        self._push.sndtimeo = int(WAIT_S * 1000)
        self._push.connect(f"tcp://127.0.0.1:{port}")
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._push.send(packed(self._rows(), seq=self.sent))
                self.sent += A_MESSAGE * len(TAGS)
                self._stop.wait(0.001)
        except BaseException as error:  # noqa: BLE001 - given to the test's own thread
            self._error = error

    def _rows(self) -> list[Sample]:
        now_ns, first = time.time_ns(), self.sent // len(TAGS)
        return [
            (name, now_ns + i, pressure(machine, first + i), 0)
            for i in range(A_MESSAGE)
            for machine, name in enumerate(TAGS)
        ]

    def stop(self) -> int:
        """How many samples it has sent."""
        self._stop.set()
        self._thread.join(WAIT_S)
        self._push.close(linger=int(WAIT_S * 1000))
        self._context.term()
        if self._error is not None:
            raise self._error
        return self.sent


def long_frame(announced: int, body: bytes, flags: int = 2) -> bytes:
    return bytes([flags]) + struct.pack(">Q", announced) + body


def frame(body: bytes) -> bytes:
    return long_frame(len(body), body)


def dice(count: int) -> bytes:
    return random.Random(count).randbytes(count)


# Bytes of a peer; whether we close it; what is dropped by name.
HOSTILE: dict[str, tuple[bytes, bool, dict[str, int]]] = {
    "no ZMTP at all": (b"GET / HTTP/1.1\r\nHost: plant\r\n\r\n" + bytes(64), True, {}),
    "ZMTP 1.0": (b"\x01\x00\x05hello" + bytes(64), True, {}),
    "noise": (dice(4096), True, {}),
    "noise after the greeting": (GREETING + dice(4096), True, {}),
    "another mechanism": (GREETING.replace(b"NULL\0", b"CURVE"), True, {}),
    "another socket type": (HELLO.replace(b"\x04PUSH", b"\x04PULL"), True, {}),
    "a message before READY": (GREETING + frame(b"x"), True, {}),
    "reserved flag bits": (HELLO + b"\xf8\x01x", True, {}),
    "a length of 2^63": (HELLO + long_frame(1 << 63, b"x"), True, {}),
    "a length of 2^64 - 1": (HELLO + long_frame((1 << 64) - 1, b"x"), True, {}),
    "a length of 1 GB": (HELLO + long_frame(1 << 30, dice(5000)), True, {"oversize": 1}),
    "parts that add up to too much": (
        HELLO + long_frame(60_000, bytes(60_000), 3) * 3, True, {"oversize": 1}),
    "a command of 1 MB": (HELLO + long_frame(1 << 20, b"\x04PING", 6), True, {}),
    "a payload that is no packed": (HELLO + frame(dice(100)), False, {"malformed": 1}),
    "a packed count that lies": (
        HELLO + frame(packed([("m9.pressure", 1, 1.0, 0)])[:-1]), False, {"malformed": 1}),
    "an empty message": (HELLO + frame(b""), False, {"malformed": 1}),
    "half a frame, then silence": (HELLO + long_frame(5000, b"half"), False, {}),
}  # fmt: skip


@pytest.fixture
def line(open_engine: Open) -> Engine:
    source = f'bind = "tcp://127.0.0.1:0"\nframe_bytes_max = {FRAME_BYTES_MAX}\nhandshake_s = 1'
    engine = open_engine(clock="system", kind="zmq_pull", source=source)
    engine.start()
    return engine


@pytest.fixture
def client(line: Engine) -> Iterator[Client]:
    port = line.port("line")
    assert port is not None
    made = Client(port)
    yield made
    with contextlib.suppress(Exception):
        made.stop()


def attack(engine: Engine, data: bytes) -> socket.socket:
    port = engine.port("line")
    peer = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
    with contextlib.suppress(ConnectionError):  # it may be closed before all is sent
        peer.sendall(data)
    return peer


def is_closed_by_us(peer: socket.socket) -> bool:
    """Reads until our side ends the connection."""
    with contextlib.suppress(ConnectionError):
        while peer.recv(4096):
            pass
    return True


def check_client(engine: Engine, client: Client, dropped: dict[str, int]) -> None:
    """All that the client sent is used, nothing of it lost; the rest has a reason."""
    sent = client.stop()
    wait_until(lambda: engine.stats().sources[0].used >= sent, "the client's last sample is used")
    source = engine.stats().sources[0]
    assert source.used == source.sent_upstream == sent
    assert source.dropped == dropped
    assert (source.residual, source.lost_upstream) == (0, 0)
    assert {event.tag for event in drain(engine)} <= set(TAGS)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_peer_is_refused_and_the_good_client_delivers(
    name: str, line: Engine, client: Client
) -> None:
    data, is_closed, dropped = HOSTILE[name]
    wait_until(lambda: line.stats().sources[0].used > 0, "the client's first sample")
    before = line.stats().sources[0].used
    with attack(line, data) as peer:
        if is_closed:
            assert is_closed_by_us(peer)
            wait_until(lambda: line.stats().sources[0].protocol_errors == 1, "the error is counted")
        wait_until(
            lambda: line.stats().sources[0].used > before + 1000, "the client goes on delivering"
        )
        wait_until(lambda: line.stats().sources[0].dropped == dropped, f"dropped = {dropped}")
        if not is_closed:
            assert line.stats().sources[0].protocol_errors == 0
    check_client(line, client, dropped)


def test_a_crowd_of_hostile_peers_at_once(line: Engine, client: Client) -> None:
    """More than connections_max: those beyond are closed, the client is not."""
    wait_until(lambda: line.stats().sources[0].used > 0, "the client's first sample")
    with contextlib.ExitStack() as stack:
        for number in range(100):
            peer = attack(line, b"" if number % 2 else GREETING)
            stack.enter_context(peer)
        before = line.stats().sources[0].used
        wait_until(lambda: line.stats().sources[0].used > before + 1000, "the client goes on")
    check_client(line, client, {})


def test_every_kind_of_hostile_peer_in_turn(line: Engine, client: Client) -> None:
    wait_until(lambda: line.stats().sources[0].used > 0, "the client's first sample")
    expected: dict[str, int] = {}
    for data, is_closed, dropped in HOSTILE.values():
        with attack(line, data) as peer:
            if is_closed:
                assert is_closed_by_us(peer)
            for reason, count in dropped.items():
                expected[reason] = expected.get(reason, 0) + count
            wait_until(lambda: line.stats().sources[0].dropped == expected, f"{expected}")
    closed = sum(is_closed for _, is_closed, _ in HOSTILE.values())
    assert line.stats().sources[0].protocol_errors == closed
    check_client(line, client, expected)
