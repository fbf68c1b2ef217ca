"""The fault proxy against a real HTTP server: for each fault, what target and client saw."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from penstock.testing.fault_proxy import FaultProxy

ANSWER = b'{"result": "' + b"x" * 300 + b'"}'


class Target(ThreadingHTTPServer):
    """Remembers each request it has handled wholly; answers in the framing that the path names."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[bytes] = []
        self.connections = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Target

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append(body)
        self.send_response(200)
        if self.path == "/chunked":
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in (ANSWER[:100], ANSWER[100:]):
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
            self.wfile.write(b"0\r\n\r\n")
            return
        if self.path == "/until-close":
            self.close_connection = True
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def target() -> Iterator[Target]:
    server = Target()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def proxy(target: Target) -> Iterator[FaultProxy]:
    with FaultProxy(f"http://127.0.0.1:{target.server_port}") as running:
        yield running


def post(
    proxy: FaultProxy, body: bytes = b"order", path: str = "/", timeout_s: float = 10
) -> bytes:
    link = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=timeout_s)
    try:
        link.request("POST", path, body)
        return link.getresponse().read()
    finally:
        link.close()


@pytest.mark.parametrize("path", ["/", "/chunked", "/until-close"])
def test_pass_forwards_every_framing_unchanged(
    proxy: FaultProxy, target: Target, path: str
) -> None:
    assert post(proxy, b"\x00\xff order", path) == ANSWER
    assert target.seen == [b"\x00\xff order"]
    assert proxy.counts["pass"] == 1


def test_chunked_request_is_forwarded_wholly(proxy: FaultProxy, target: Target) -> None:
    link = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
    link.request("POST", "/", iter([b"one ", b"two"]), encode_chunked=True)
    assert link.getresponse().read() == ANSWER
    link.close()
    assert target.seen == [b"one two"]


def test_keep_alive_carries_many_requests_over_one_connection(
    proxy: FaultProxy, target: Target
) -> None:
    link = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
    for n in range(5):
        link.request("POST", "/chunked" if n % 2 else "/", b"%d" % n)
        assert link.getresponse().read() == ANSWER
    link.close()
    assert target.seen == [b"0", b"1", b"2", b"3", b"4"]
    assert proxy.counts["connections"] == 1
    assert target.connections == 1


@pytest.mark.parametrize("path", ["/", "/chunked", "/until-close"])
def test_cut_answer_resets_after_the_target_has_handled_the_request(
    proxy: FaultProxy, target: Target, path: str
) -> None:
    proxy.plan("cut_answer")
    with pytest.raises(ConnectionResetError):
        post(proxy, path=path)
    assert target.seen == [b"order"]
    assert proxy.counts["cut_answer"] == 1
    assert post(proxy) == ANSWER


def test_cut_request_never_reaches_the_target(proxy: FaultProxy, target: Target) -> None:
    proxy.plan("cut_request", count=2)
    for _ in range(2):
        with pytest.raises(ConnectionResetError):
            post(proxy)
    assert target.seen == []
    assert post(proxy) == ANSWER


def test_half_answer_ends_the_stream_in_the_middle(proxy: FaultProxy, target: Target) -> None:
    proxy.plan("half_answer")
    with pytest.raises(http.client.IncompleteRead) as caught:
        post(proxy)
    assert 0 < len(caught.value.partial) < len(ANSWER)
    assert target.seen == [b"order"]


def test_silent_target_has_the_request_and_the_client_times_out(
    proxy: FaultProxy, target: Target
) -> None:
    proxy.plan("silent")
    with pytest.raises(TimeoutError):
        post(proxy, timeout_s=0.3)
    assert target.seen == [b"order"]


def test_hang_keeps_the_request_from_the_target(proxy: FaultProxy, target: Target) -> None:
    proxy.plan("hang")
    with pytest.raises(TimeoutError):
        post(proxy, timeout_s=0.3)
    assert target.seen == []


def test_delay_holds_the_answer_back(proxy: FaultProxy, target: Target) -> None:
    proxy.plan("delay", delay_s=0.4)
    started = time.monotonic()
    assert post(proxy) == ANSWER
    assert time.monotonic() - started >= 0.4


def test_throttle_trickles_the_whole_answer(proxy: FaultProxy, target: Target) -> None:
    proxy.plan("throttle", bytes_per_s=1000)
    started = time.monotonic()
    assert post(proxy) == ANSWER
    assert time.monotonic() - started >= len(ANSWER) / 1000


def test_planned_refuse_resets_one_connection_unread(proxy: FaultProxy, target: Target) -> None:
    proxy.plan("refuse")
    with pytest.raises(ConnectionError):
        post(proxy)
    assert proxy.counts["refuse"] == 1
    assert proxy.counts["requests"] == 0
    assert post(proxy) == ANSWER


def test_standing_refuse_closes_the_port_and_opens_the_same_again(
    proxy: FaultProxy, target: Target
) -> None:
    port = proxy.port
    proxy.stand("refuse")
    with pytest.raises(ConnectionRefusedError):
        post(proxy)
    proxy.reset()
    assert proxy.port == port
    assert post(proxy) == ANSWER
    assert len(target.seen) == 1


def test_match_leaves_other_requests_alone(proxy: FaultProxy, target: Target) -> None:
    proxy.match("penstock.posting.post")
    proxy.plan("cut_answer")
    assert post(proxy, b'{"method": "model.penstock.posting.find"}') == ANSWER
    assert proxy.planned() == 1
    with pytest.raises(ConnectionResetError):
        post(proxy, b'{"method": "model.penstock.posting.post"}')
    assert proxy.planned() == 0
    assert len(target.seen) == 2


def test_standing_fault_holds_until_reset_and_planned_ones_go_first(
    proxy: FaultProxy, target: Target
) -> None:
    proxy.stand("cut_request")
    proxy.plan("cut_answer")
    for _ in range(3):
        with pytest.raises(ConnectionResetError):
            post(proxy)
    assert (proxy.counts["cut_answer"], proxy.counts["cut_request"]) == (1, 2)
    proxy.reset()
    assert post(proxy) == ANSWER
    assert len(target.seen) == 2


def test_upstream_that_is_down_is_counted_and_resets_the_client() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with FaultProxy(f"http://127.0.0.1:{unused.getsockname()[1]}") as proxy:
            with pytest.raises(ConnectionResetError):
                post(proxy)
            assert proxy.counts["upstream_down"] == 1


def test_client_that_gives_up_early_does_not_keep_the_target_from_finishing(
    proxy: FaultProxy, target: Target
) -> None:
    link = socket.create_connection(("127.0.0.1", proxy.port))
    link.sendall(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\norder")
    link.close()
    deadline = time.monotonic() + 5
    while not target.seen and time.monotonic() < deadline:
        time.sleep(0.01)
    assert target.seen == [b"order"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"no http\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"POST / HTTP/1.1\r\nX: " + b"x" * 200_000,
    ],
)
def test_garbage_is_cut_off_and_others_are_served(
    proxy: FaultProxy, target: Target, garbage: bytes
) -> None:
    got = b""
    link = socket.create_connection(("127.0.0.1", proxy.port), timeout=10)
    with link, suppress(OSError):  # it may be reset before all is sent
        link.sendall(garbage)
        link.shutdown(socket.SHUT_WR)
        got = link.recv(1000)
    assert b" 200 " not in got
    assert target.seen == []
    assert post(proxy) == ANSWER


def test_unknown_mode_is_refused_by_name(proxy: FaultProxy) -> None:
    with pytest.raises(ValueError, match="unknown mode 'cut'"):
        proxy.plan("cut")  # type: ignore[arg-type]


def test_port_in_use_is_an_error_of_start(proxy: FaultProxy) -> None:
    with pytest.raises(OSError, match="in use"):
        FaultProxy("http://127.0.0.1:1", port=proxy.port).start()


@pytest.mark.parametrize("control", ["-", "file"])
def test_process_obeys_control_lines_and_reports(
    target: Target, tmp_path: Path, control: str
) -> None:
    place = "-" if control == "-" else str(tmp_path / "control")
    upstream = f"http://127.0.0.1:{target.server_port}"
    command = ["-m", "penstock.testing.fault_proxy", "--upstream", upstream, "--control", place]
    with subprocess.Popen(
        [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            port = json.loads(process.stdout.readline())["port"]
            orders = process.stdin if place == "-" else open(place, "a")  # noqa: SIM115
            orders.write('{"plan": "cut_answer", "count": 1}\nnonsense\n{"counts": true}\n')
            orders.flush()
            assert "error" in json.loads(process.stdout.readline())
            assert json.loads(process.stdout.readline()) == {"counts": {}, "planned": 1}
            link = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            link.request("POST", "/", b"order")
            with pytest.raises(ConnectionResetError):
                link.getresponse()
            orders.write('{"quit": true}\n')
            orders.flush()
            assert json.loads(process.stdout.readline())["counts"]["cut_answer"] == 1
            assert process.wait(10) == 0
        finally:
            process.kill()
            if place != "-":
                orders.close()
    assert target.seen == [b"order"]
