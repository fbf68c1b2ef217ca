"""Service: a real `penstock run`, watched and steered through its socket, its pages and signals."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

import penstock

UNIT = Path(penstock.__file__).parent / "docs" / "penstock.service"
CONFIG = """
[plant]
name = "graz"
[engine]
state_dir = "state"
ring_dir = "{ring}"
ring_bytes = "1MiB"
[ops]
listen = "127.0.0.1:{port}"
[[source]]
name = "line1"
kind = "zmq_pull"
bind = "tcp://127.0.0.1:{wire}"
format = "json"
[[rule]]
name = "hot"
kind = "limit"
tag = "*.temp"
high = {high}
"""


class Plant:
    """A plant as a process, its configuration and its service manager's ear."""

    def __init__(self, folder: Path, ring: Path) -> None:
        self.folder, self.ring = folder, ring
        self.config = folder / "plant.toml"
        with socket.socket() as free, socket.socket() as other:
            free.bind(("127.0.0.1", 0))
            other.bind(("127.0.0.1", 0))
            self.port, self.wire = free.getsockname()[1], other.getsockname()[1]
        self.write("90")
        self.ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.ear.bind(str(folder / "notify"))
        self.ear.settimeout(0.1)
        self.heard: list[str] = []
        self.process: subprocess.Popen[str] | None = None

    def write(self, high: str) -> None:
        self.config.write_text(
            CONFIG.format(ring=self.ring, port=self.port, wire=self.wire, high=high)
        )

    def start(self) -> None:
        words = [sys.executable, "-m", "penstock", "run", str(self.config), "--log-format", "json"]
        env = {**os.environ, "NOTIFY_SOCKET": str(self.folder / "notify")}
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(words, env=env, stderr=log, text=True)
        self.until(lambda: any("READY=1" in word for word in self.listen()))

    def listen(self) -> list[str]:
        try:
            while True:
                self.heard += self.ear.recv(4096).decode().splitlines()
        except TimeoutError:
            return self.heard

    def until(self, is_so: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 30
        while not is_so():
            assert self.process is None or self.process.poll() is None, self.log()
            assert time.monotonic() < deadline, self.log()
            time.sleep(0.05)

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "penstock", *words], capture_output=True, text=True, check=False
        )

    def page(self, name: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/{name}", timeout=10) as answer:
            return str(answer.read().decode())

    def end(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(15)


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    ring = Path("/dev/shm") / f"penstock-{os.getpid()}-service"
    ring.mkdir(mode=0o700)
    made = Plant(tmp_path, ring)
    try:
        yield made
    finally:
        if made.process is not None and made.process.poll() is None:
            made.process.kill()
            made.process.wait()
        made.ear.close()
        shutil.rmtree(ring, ignore_errors=True)


def test_a_plant_is_watched_and_steered_while_it_runs(plant: Plant) -> None:
    plant.start()
    config = str(plant.config)
    plant.until(lambda: plant.listen().count("WATCHDOG=1") >= 2)
    top = plant.ask("top", config, "--once", "--json")
    answer = json.loads(top.stdout)
    assert answer["health"]["ready"]
    assert answer["sources"][0]["name"] == "line1"
    shown = plant.ask("top", config, "--once").stdout
    assert "samples/s" in shown
    assert "line1" in shown
    assert json.loads(plant.page("readyz"))["ready"]
    assert 'penstock_samples_received_total{source="line1"} 0' in plant.page("metrics")

    plant.write("70")
    done = plant.ask("reload", config)
    assert (done.returncode, done.stdout) == (0, f"{config}: the new configuration is in force\n")
    assert "RELOADING=1" in plant.listen()
    plant.write('"hot"')
    done = plant.ask("reload", "--state-dir", str(plant.folder / "state"), "--json")
    assert done.returncode == 1
    assert "rule[hot].high" in json.loads(done.stdout)["errors"][0]["text"]
    assert plant.process is not None
    plant.process.send_signal(signal.SIGHUP)
    plant.until(lambda: "the old one stays" in plant.log())

    began = time.monotonic()
    assert plant.end() == 0
    assert time.monotonic() - began < 10
    assert "STOPPING=1" in plant.listen()
    plant.write("70")
    assert plant.ask("top", config, "--once").returncode == 1
    lines = [json.loads(line) for line in plant.log().splitlines()]
    assert {"time", "level", "logger", "message"} <= lines[0].keys()


def test_a_person_acknowledges_and_shelves_an_alarm(plant: Plant) -> None:
    """By its socket; what was done is an event with who did it, kept in the ledger."""
    plant.start()
    config = str(plant.config)
    assert plant.ask("alarm", "list", config).stdout == "no alarms\n"
    with zmq.Context() as context, context.socket(zmq.PUSH) as wire:
        wire.connect(f"tcp://127.0.0.1:{plant.wire}")
        wire.send_json({"name": "m1.temp", "time": time.time_ns(), "value": 95.0})
        plant.until(lambda: "m1.temp" in plant.ask("alarm", "list", config).stdout)
        more = ("--config", config, "--note", "seen")
        done = plant.ask("alarm", "ack", "hot", "m1.temp", *more, "--json")
        assert json.loads(done.stdout) == {"ok": True, "by": f"uid:{os.getuid()}"}
        shown = plant.ask("alarm", "list", config).stdout
        assert "acknowledged" in shown
        assert " H " in shown
        assert (
            plant.ask("alarm", "shelve", "hot", "m1.temp", "--until", "8h", *more).returncode == 0
        )
        (alarm,) = json.loads(plant.ask("alarm", "list", config, "--json").stdout)["alarms"]
        assert alarm["shelved_until_ns"] > time.time_ns() + 7 * 3600 * 10**9
        assert plant.ask("alarm", "unshelve", "hot", "m1.temp", *more).returncode == 0
        assert plant.ask("alarm", "reset", "hot", "m1.temp", *more).returncode == 0
        plant.until(lambda: plant.ask("alarm", "list", config).stdout == "no alarms\n")

    refused = plant.ask("alarm", "ack", "hot", "m9.temp", *more)
    assert refused.returncode == 1
    assert "m9.temp" in refused.stderr
    assert plant.ask("alarm", "shelve", "hot", "m1.temp", "--until", "30d", *more).returncode == 1
    assert plant.ask("alarm", "shelve", "hot", "m1.temp", "--until", "soon", *more).returncode == 2
    assert plant.end() == 0
    ledger = f"file:{plant.folder}/state/ledger.sqlite?mode=ro"
    with contextlib.closing(sqlite3.connect(ledger, uri=True)) as books:
        events = [json.loads(body) for (body,) in books.execute("SELECT body FROM event")]
    by = {event["kind"]: event.get("by", "") for event in events}
    assert by["limit.H.trip"] == ""
    for kind in ("alarm.acknowledged", "alarm.shelved", "alarm.unshelved", "limit.H.clear"):
        assert by[kind] == f"uid:{os.getuid()}", kind


def test_a_taken_port_ends_the_start_with_its_place(plant: Plant) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", plant.port))
        taken.listen()
        done = plant.ask("run", str(plant.config))
    assert done.returncode == 78
    assert "ops.listen" in done.stderr


def test_the_unit_is_hardened() -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is missing: apt-get install systemd")
    words = ["systemd-analyze", "security", "--offline=true", "--json=short", "--threshold=25"]
    done = subprocess.run([*words, str(UNIT)], capture_output=True, text=True, check=False)
    if "unrecognized" in done.stderr:
        pytest.skip("this systemd-analyze is too old for --offline: systemd 250 or later")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_check_of_the_unit_can_fail(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is missing: apt-get install systemd")
    loose = tmp_path / "penstock.service"
    loose.write_text("[Service]\nExecStart=/bin/true\n")
    words = ["systemd-analyze", "security", "--offline=true", "--threshold=25", str(loose)]
    assert subprocess.run(words, capture_output=True, check=False).returncode != 0
