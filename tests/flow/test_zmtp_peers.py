"""Our ZMTP side against real libzmq peers and against hostile raw sockets, over loopback TCP.

``tool_intake serve`` (tests/native) opens the intake stage with one source and prints its frames.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

zmq = pytest.importorskip("zmq", reason="pyzmq plays the peer; pip install pyzmq")

Socket = Any  # zmq.Socket: pyzmq is only there in tests
Start = Callable[..., "Intake"]
Peer = Callable[..., Socket]

WAIT_S = 20.0  # far above what is needed: a slow machine is not a failure
GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01NULL" + bytes(16 + 32)
READY_PUSH = b"\x04\x1a\x05READY\x0bSocket-Type\x00\x00\x00\x04PUSH"


class Intake:
    """One running tool: its lines as they come."""

    def __init__(self, tool: Path, *arguments: str) -> None:
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            [str(tool), "serve", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = int(self.wait(lambda lines: _first(lines, "port ")).split()[1])

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))

    def wait(self, find: Callable[[list[str]], str | None], timeout_s: float = WAIT_S) -> str:
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            found = find(list(self.lines))
            if found is not None:
                return found
            time.sleep(0.005)
        raise AssertionError(f"not seen within {timeout_s} s; last lines {self.lines[-5:]}")

    def wait_frames(self, count: int) -> list[tuple[bytes | None, bytes]]:
        self.wait(lambda lines: "" if _count(lines, "frame ") >= count else None)
        return self.frames()

    def frames(self) -> list[tuple[bytes | None, bytes]]:
        found = []
        for line in [line for line in self.lines if line.startswith("frame ")]:
            _, _, subject, payload = line.split(" ")
            found.append(
                (None if subject == "-" else bytes.fromhex(subject), bytes.fromhex(payload))
            )
        return found

    def wait_links(self, up: int, down: int) -> None:
        def find(lines: list[str]) -> str | None:
            return "" if (_count(lines, "up "), _count(lines, "down ")) == (up, down) else None

        self.wait(find)

    def counters(self) -> dict[str, str]:
        before = _count(self.lines, "counters ")
        assert self._process.stdin is not None
        self._process.stdin.write("counters\n")
        self._process.stdin.flush()
        line = self.wait(lambda lines: _nth(lines, "counters ", before))
        numbers, reason = line.removeprefix("counters ").split(" reason=", 1)
        return {**dict(pair.split("=") for pair in numbers.split(" ")), "reason": reason}

    def wait_counter(self, name: str, at_least: int) -> dict[str, str]:
        end = time.monotonic() + WAIT_S
        while time.monotonic() < end:
            found = self.counters()
            if int(found[name]) >= at_least:
                return found
            time.sleep(0.01)
        raise AssertionError(f"{name} stayed below {at_least}: {self.counters()}")

    def close(self) -> int:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        status = self._process.wait(WAIT_S)
        self._reader.join(WAIT_S)
        return status


def _count(lines: list[str], prefix: str) -> int:
    return sum(line.startswith(prefix) for line in lines)


def _nth(lines: list[str], prefix: str, index: int) -> str | None:
    found = [line for line in lines if line.startswith(prefix)]
    return found[index] if len(found) > index else None


def _first(lines: list[str], prefix: str) -> str | None:
    return _nth(lines, prefix, 0)


@pytest.fixture
def start(native_build: Path) -> Iterator[Start]:
    started: list[Intake] = []

    def _start(*arguments: str) -> Intake:
        started.append(Intake(native_build / "tool_intake", *arguments))
        return started[-1]

    yield _start
    assert [intake.close() for intake in started] == [0] * len(started)


@pytest.fixture
def peer() -> Iterator[Peer]:
    """Makes libzmq sockets, closed without lingering at the end."""
    with zmq.Context() as context:

        def make(kind: int, **options: int | bytes) -> Socket:
            made = context.socket(kind)
            made.linger = 0
            for name, value in options.items():
                made.setsockopt(getattr(zmq, name), value)
            return made

        yield make
        context.destroy(linger=0)


def raw(port: int, data: bytes = b"") -> socket.socket:
    made = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    made.sendall(data)
    return made


def wait_closed(sock: socket.socket) -> None:
    """Returns once our side has closed; raises TimeoutError when it does not."""
    with contextlib.suppress(ConnectionResetError):
        while sock.recv(4096):
            pass


# ---- libzmq, either side binding -----------------------------------------------------------------


def _send_all(push: Socket, count: int) -> list[tuple[bytes | None, bytes]]:
    expected: list[tuple[bytes | None, bytes]] = []
    for i in range(count):
        payload = b"%d" % i + b"x" * (i % 300)
        if i % 3 == 0:
            push.send_multipart([b"subject", b"between", payload])
            expected.append((b"subject", payload))
        else:
            push.send(payload)
            expected.append((None, payload))
    return expected


def test_push_connects_to_our_pull(start: Start, peer: Peer) -> None:
    intake = start("pull", "bind", "127.0.0.1", "0")
    push = peer(zmq.PUSH)
    push.connect(f"tcp://127.0.0.1:{intake.port}")
    expected = _send_all(push, 5000)
    assert intake.wait_frames(len(expected)) == expected


def test_push_binds_and_our_pull_connects(start: Start, peer: Peer) -> None:
    push = peer(zmq.PUSH)
    port = push.bind_to_random_port("tcp://127.0.0.1")
    intake = start("pull", "connect", "localhost", str(port))
    expected = _send_all(push, 5000)
    assert intake.wait_frames(len(expected)) == expected


@pytest.mark.parametrize("kind", [zmq.PUB, zmq.XPUB])
@pytest.mark.parametrize("who_binds", ["peer", "we"])
def test_pub_reaches_our_sub_with_its_topics_only(
    start: Start, peer: Peer, kind: int, who_binds: str
) -> None:
    pub = peer(kind, SNDHWM=100_000)  # at its mark a PUB drops without a word
    if who_binds == "peer":
        port = pub.bind_to_random_port("tcp://127.0.0.1")
        intake = start("sub", "connect", "127.0.0.1", str(port), "subject=plant.", "subject=line")
    else:
        intake = start("sub", "bind", "127.0.0.1", "0", "subject=plant.", "subject=line")
        pub.connect(f"tcp://127.0.0.1:{intake.port}")
    end = time.monotonic() + WAIT_S
    while not intake.frames() and time.monotonic() < end:  # until the subscription has arrived
        pub.send_multipart([b"plant.probe", b"?"])
        time.sleep(0.01)
    for i in range(1000):
        pub.send_multipart([b"other", b"no"])
        pub.send_multipart([b"plant.a", b"%d" % i])
        pub.send(b"line alone")
    intake.wait(lambda lines: "" if b"999" in {f[1] for f in intake.frames()} else None)
    frames = [frame for frame in intake.wait_frames(2001) if frame[1] != b"?"]
    assert [f[1] for f in frames if f[0] == b"plant.a"] == [b"%d" % i for i in range(1000)]
    assert not [f for f in frames if f[0] == b"other"]
    assert (None, b"line alone") in frames


def test_many_peers_at_once(start: Start, peer: Peer) -> None:
    intake = start("pull", "bind", "127.0.0.1", "0")
    pushes = [peer(zmq.PUSH) for _ in range(32)]
    for push in pushes:
        push.connect(f"tcp://127.0.0.1:{intake.port}")
    for i in range(100):
        for number, push in enumerate(pushes):
            push.send(b"%d %d" % (number, i))
    frames = intake.wait_frames(3200)
    for number in range(32):
        own = [p for _, p in frames if p.startswith(b"%d " % number)]
        assert own == [b"%d %d" % (number, i) for i in range(100)]


def test_large_messages_pass_and_larger_ones_are_dropped_by_name(start: Start, peer: Peer) -> None:
    intake = start("pull", "bind", "127.0.0.1", "0", "frame_bytes=1000000")
    push = peer(zmq.PUSH)
    push.connect(f"tcp://127.0.0.1:{intake.port}")
    payload = bytes(range(256)) * 3900
    push.send_multipart([b"big", payload])
    assert intake.wait_frames(1) == [(b"big", payload)]
    push.send(bytes(1_000_001))
    intake.wait(lambda lines: _first(lines, "drop 1 1"))  # PSTK_DROP_OVERSIZE
    intake.wait_links(2, 1)  # libzmq comes back
    push.send(b"after")
    assert intake.wait_frames(2)[1] == (None, b"after")


# ---- peers that go away --------------------------------------------------------------------------


def test_reconnects_after_the_peer_restarts(start: Start, peer: Peer) -> None:
    push = peer(zmq.PUSH)
    port = push.bind_to_random_port("tcp://127.0.0.1")
    intake = start("pull", "connect", "127.0.0.1", str(port))
    push.send(b"before")
    intake.wait_frames(1)
    for turn in range(1, 4):
        push.close(linger=0)
        intake.wait_links(turn, turn)
        push = peer(zmq.PUSH)
        end = time.monotonic() + WAIT_S
        while True:
            try:
                push.bind(f"tcp://127.0.0.1:{port}")
                break
            except zmq.ZMQError:  # the old listener is closed by another thread
                assert time.monotonic() < end
                time.sleep(0.01)
        push.send(b"after %d" % turn)
        assert intake.wait_frames(turn + 1)[-1] == (None, b"after %d" % turn)
    assert int(intake.counters()["reconnects"]) == 3


def test_subscriptions_are_sent_again_after_a_restart(start: Start, peer: Peer) -> None:
    pub = peer(zmq.XPUB)
    port = pub.bind_to_random_port("tcp://127.0.0.1")
    intake = start("sub", "connect", "127.0.0.1", str(port), "subject=a", "subject=b")
    assert {pub.recv(), pub.recv()} == {b"\x01a", b"\x01b"}
    pub.close(linger=0)
    intake.wait_links(1, 1)
    pub = peer(zmq.XPUB, RCVTIMEO=int(WAIT_S * 1000))
    pub.bind(f"tcp://127.0.0.1:{port}")
    assert {pub.recv(), pub.recv()} == {b"\x01a", b"\x01b"}


# ---- heartbeats ----------------------------------------------------------------------------------


def test_a_peer_with_heartbeats_stays_connected(start: Start, peer: Peer) -> None:
    intake = start("pull", "bind", "127.0.0.1", "0")
    push = peer(zmq.PUSH, HEARTBEAT_IVL=100, HEARTBEAT_TIMEOUT=700, HEARTBEAT_TTL=700)
    push.connect(f"tcp://127.0.0.1:{intake.port}")
    push.send(b"first")
    intake.wait_frames(1)
    time.sleep(1.5)  # more than two of its time-outs
    push.send(b"second")
    intake.wait_frames(2)
    intake.wait_links(1, 0)


def test_our_heartbeats_keep_an_idle_peer_and_end_a_dead_one(start: Start, peer: Peer) -> None:
    intake = start("pull", "bind", "127.0.0.1", "0", "heartbeat_ms=300")
    push = peer(zmq.PUSH)
    push.connect(f"tcp://127.0.0.1:{intake.port}")
    intake.wait_links(1, 0)
    with raw(intake.port, GREETING + READY_PUSH) as dead:
        intake.wait_links(2, 0)
        wait_closed(dead)  # never answers a PING
    intake.wait_links(2, 1)
    assert "silent" in intake.counters()["reason"]
    time.sleep(1.2)
    push.send(b"alive")
    intake.wait_frames(1)
    intake.wait_links(2, 1)


def test_the_peers_time_to_live_ends_a_connection(start: Start) -> None:
    intake = start("pull", "bind", "127.0.0.1", "0")
    with raw(intake.port, GREETING + READY_PUSH + b"\x04\x0a\x04PING\x00\x02abc") as dead:
        began = time.monotonic()
        wait_closed(dead)
        assert time.monotonic() - began >= 0.15
    intake.wait_links(1, 1)
    assert "silent" in intake.counters()["reason"]


# ---- hostile and wrong peers ---------------------------------------------------------------------


def test_pipelined_handshake_and_messages_are_read(start: Start) -> None:
    intake = start("pull", "bind", "127.0.0.1", "0")
    with raw(intake.port, GREETING + READY_PUSH + b"\x00\x05hello\x01\x01a\x00\x01b"):
        assert intake.wait_frames(2) == [(None, b"hello"), (b"a", b"b")]


def test_silent_connections_starve_nobody_and_are_closed(start: Start, peer: Peer) -> None:
    intake = start("pull", "bind", "127.0.0.1", "0", "handshake_ms=1500", "connections=65")
    push = peer(zmq.PUSH)
    push.connect(f"tcp://127.0.0.1:{intake.port}")
    intake.wait_links(1, 0)
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(raw(intake.port)) for _ in range(64)]
        intake.wait_counter("connections", 65)
        expected = _send_all(push, 2000)
        assert intake.wait_frames(2000) == expected
        for sock in silent:
            wait_closed(sock)
    found = intake.wait_counter("protocol_errors", 64)
    assert (found["connections"], found["ready"], found["refused"]) == ("1", "1", "0")
    push.send(b"still here")
    intake.wait_frames(2001)


def test_a_greeting_one_octet_at_a_time_runs_out_of_time(start: Start) -> None:
    intake = start("pull", "bind", "127.0.0.1", "0", "handshake_ms=400")
    began = time.monotonic()
    with raw(intake.port) as slow, contextlib.suppress(BrokenPipeError, ConnectionResetError):
        for octet in GREETING:
            slow.sendall(bytes([octet]))
            time.sleep(0.05)
    assert 0.35 <= time.monotonic() - began < 3.0
    assert "handshake" in intake.wait_counter("protocol_errors", 1)["reason"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "FF"),
        (b"\x16\x03\x01\x00\xa5\x01\x00", "FF"),
        (GREETING.replace(b"NULL\0", b"PLAIN"), "mechanism"),
        (GREETING + b"\x00\x05hello", "before the handshake"),
        (GREETING + READY_PUSH + b"\x02" + b"\xff" * 8, "2^63"),
        (GREETING + READY_PUSH + b"\x01\x00" * 2000, "parts"),
    ],
)
def test_strangers_are_closed_at_once_with_a_reason(start: Start, data: bytes, reason: str) -> None:
    intake = start("pull", "bind", "127.0.0.1", "0")
    with raw(intake.port, data) as stranger:
        wait_closed(stranger)
    found = intake.wait_counter("protocol_errors", 1)
    assert reason in found["reason"]
    assert found["frames"] == "0"


def test_wrong_libzmq_peers_are_refused(start: Start, peer: Peer) -> None:
    intake = start("pull", "bind", "127.0.0.1", "0")
    public, secret = zmq.curve_keypair()
    wrong = [
        peer(zmq.PUB),
        peer(zmq.PUSH, PLAIN_USERNAME=b"somebody", PLAIN_PASSWORD=b"secret"),
        peer(zmq.PUSH, CURVE_SERVERKEY=public, CURVE_PUBLICKEY=public, CURVE_SECRETKEY=secret),
    ]
    for number, sock in enumerate(wrong, start=1):
        sock.setsockopt(zmq.RECONNECT_IVL, -1)
        sock.connect(f"tcp://127.0.0.1:{intake.port}")
        intake.wait_counter("accepted", number)
    # A secured libzmq peer leaves on its own when it reads our NULL, before it names its own.
    end = time.monotonic() + WAIT_S
    while intake.counters()["connections"] != "0" and time.monotonic() < end:
        time.sleep(0.01)
    found = intake.counters()
    assert (found["connections"], found["frames"]) == ("0", "0")
    assert "Socket-Type" in found["reason"] or "mechanism" in found["reason"]
    good = peer(zmq.PUSH)
    good.connect(f"tcp://127.0.0.1:{intake.port}")
    good.send(b"fine")
    assert intake.wait_frames(1) == [(None, b"fine")]
    intake.wait_links(1, 0)
