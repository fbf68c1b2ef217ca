"""``penstock run`` that ends by itself: after a time, when all is done, and for show only."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import zmq
from border_kit import as_json

from penstock.outbox import Reader

TEXT = """
[plant]
name = "graz"
[engine]
state_dir = "{state}"
ring_dir = "{ring}"
ring_bytes = "1MiB"
[[source]]
name = "line1"
kind = "zmq_pull"
connect = "{address}"
format = "json"
idle_after_s = 0.2
[[rule]]
name = "stops"
kind = "state"
tag = "*.state"
states = ["STOP"]
[[target]]
name = "erp"
kind = "memory"
[[mapping]]
name = "stopped"
event = "state.end"
rule = "stops"
contract = "downtime/1"
target = "erp"
hold_if_flags = []
"""
STOPS = 3


@contextmanager
def stopping(count: int = STOPS) -> Iterator[str]:
    """A machine that stops so often, then stays running; its address."""
    context = zmq.Context()
    socket = context.socket(zmq.PUSH)
    socket.linger = 0
    port = socket.bind_to_random_port("tcp://127.0.0.1")
    is_over = threading.Event()

    def send() -> None:
        for turn in range(2 * count + 1):
            state: Any = "STOP" if turn % 2 else "RUN"
            now_ns = time.time_ns()
            while not is_over.is_set():
                try:
                    socket.send(as_json([("m1.state", now_ns, state, 0)]), zmq.DONTWAIT)
                    break
                except zmq.Again:
                    is_over.wait(0.01)
            is_over.wait(0.05)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield f"tcp://127.0.0.1:{port}"
    finally:
        is_over.set()
        thread.join()
        socket.close()
        context.term()


def run(*words: str, code: int = 0) -> tuple[str, str]:
    """A process of its own; what it told on stdout and on stderr."""
    command = [sys.executable, "-m", "penstock", "run", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


def plant(tmp_path: Path, ring_dir: Path, address: str) -> str:
    file = tmp_path / "plant.toml"
    file.write_text(TEXT.format(state=tmp_path / "state", ring=ring_dir, address=address))
    return str(file)


def test_once_ends_when_all_is_posted_and_tells_its_figures(tmp_path: Path, ring_dir: Path) -> None:
    out = tmp_path / "out.json"
    with stopping() as address:
        file = plant(tmp_path, ring_dir, address)
        _, said = run(file, "--once", "--for", "60s", "--stats", str(out))
    assert "done; entries: 3 posted" in said
    found = json.loads(out.read_text())
    assert found["status"]["entries"]["posted"] == STOPS
    assert (found["status"]["residual"], found["status"]["dropped"]) == (0, 0)
    assert found["run"]["seconds"] < 30
    assert found["run"]["events"] == STOPS
    (source,) = found["sources"]
    assert (source["name"], source["received"]) == ("line1", 2 * STOPS + 1)
    with Reader.open(tmp_path / "state" / "ledger.sqlite") as reader:
        documents = [each.document for each in reader.documents(limit=9)]
    assert sorted(documents) == ["M000001", "M000002", "M000003"]


def test_for_ends_after_its_time(tmp_path: Path, ring_dir: Path) -> None:
    begin = time.monotonic()
    _, said = run(plant(tmp_path, ring_dir, "tcp://127.0.0.1:9"), "--for", "1500ms")
    assert 1.4 < time.monotonic() - begin < 20
    assert "done; entries: none" in said


@pytest.mark.parametrize("name", ["run.log", "what it said"])
def test_the_first_log_may_lie_in_the_new_state_directory(
    name: str, tmp_path: Path, ring_dir: Path
) -> None:
    """``penstock run ... 2> state/run.log``: the shell made the file before the first start."""
    file = plant(tmp_path, ring_dir, "tcp://127.0.0.1:9")
    log = tmp_path / "state" / name
    log.parent.mkdir()
    command = [sys.executable, "-m", "penstock", "run", file, "--for", "300ms"]
    with log.open("w") as output:
        done = subprocess.run(command, stderr=output, timeout=90, check=False)
    assert done.returncode == 0, log.read_text()
    assert "done; entries: none" in log.read_text()
    assert (tmp_path / "state" / "STATE").exists()


@pytest.mark.parametrize("is_json", [True, False])
def test_dry_shows_the_documents_and_keeps_and_posts_nothing(
    tmp_path: Path, ring_dir: Path, is_json: bool
) -> None:
    with stopping() as address:
        file = plant(tmp_path, ring_dir, address)
        words = [file, "--dry-run", "--once", "--for", "60s"]
        told, said = run(*words, *(["--json"] if is_json else []))
    assert "line1 takes messages" in said
    assert "3 events, 3 documents shown, nothing posted" in said
    lines = told.splitlines()
    if is_json:
        bodies = [json.loads(each)["document"] for each in lines]
        assert [each["state"] for each in bodies] == ["STOP"] * STOPS
    else:
        assert lines[0] == "ready  downtime/1 for erp, about m1"
        assert json.loads(lines[1])["asset"] == "m1"
    assert not (tmp_path / "state").exists()
    assert list(ring_dir.iterdir()) == []


def test_a_dry_run_stands_beside_the_plant(tmp_path: Path, ring_dir: Path) -> None:
    """The plant holds its state; a dry run of the same file does not need it."""
    from penstock import Engine
    from penstock.config import load_config

    file = plant(tmp_path, ring_dir, "tcp://127.0.0.1:9")
    with Engine(load_config(file)):
        run(file, "--once", "--for", "1s", code=75)
        run(file, "--dry-run", "--for", "1s")


def test_a_file_that_cannot_be_written_and_a_time_that_is_none(
    tmp_path: Path, ring_dir: Path
) -> None:
    file = plant(tmp_path, ring_dir, "tcp://127.0.0.1:9")
    assert "--for is a duration such as 60s, 5m or 2h" in run(file, "--for", "soon", code=2)[1]
    out = str(tmp_path / "no" / "x")
    _, said = run(file, "--for", "500ms", "--stats", out, code=1)
    assert "cannot be written: No such file or directory" in said
