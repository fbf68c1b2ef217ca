"""A plant engineer plays README and the page ``start`` in a fresh clone: every command exactly as
printed, but for the ports: free ones stand for those of the pages (5555, 4222).

Deep, for it builds penstock anew and takes as long as the pages say.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from border_kit import as_json
from page_kit import Shell, commands, free_port, page

from penstock.config import load_config
from penstock.mapping import map_event
from penstock.outbox import Ledger, Mapped
from penstock.testing.builders import BASE_NS, make_stop

RUN_S = 5.0
ROWS = ["time,press.state,press.temp"] + [
    f"2026-03-02T06:{minute:02d}:00Z,{'STOP' if minute % 10 == 5 else 'RUN'},{20 + minute % 7}"
    for minute in range(60)
]
pytestmark = [pytest.mark.deep, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def office(stranger: Shell, readme: str, wires: tuple[tuple[int, int], ...]) -> Shell:
    """Their terminal, once README's first line has been followed."""
    ((setup, export),) = re.findall(r"From a clone, once: `(.*?)`, then `(.*?)`", readme)
    stranger.types(setup)
    path = stranger.types(f"{export}; echo $PATH").strip()
    return dataclasses.replace(stranger, path=path, ports=wires)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "day.csv").write_text("\n".join(ROWS) + "\n")
    return tmp_path


@pytest.fixture(scope="module")
def wires() -> Iterator[tuple[tuple[int, int], ...]]:
    """Machines at the addresses that the pages name; which port stands for which."""
    program = shutil.which("nats-server", path=f"{Path(sys.executable).parent}:{os.defpath}")
    if program is None:
        pytest.skip("needs nats-server: python3 tools/dev.py setup")
    context, is_over = zmq.Context(), threading.Event()
    wire = context.socket(zmq.PUB)
    zmq_port, nats_port = wire.bind_to_random_port("tcp://127.0.0.1"), free_port()

    def publish() -> None:
        while not is_over.wait(0.02):
            wire.send(as_json([("press.temp", time.time_ns(), 21.5, 0)]))

    def publish_nats() -> None:
        while not is_over.wait(0.1):
            with (
                contextlib.suppress(OSError),
                socket.create_connection(("127.0.0.1", nats_port)) as link,
            ):
                link.sendall(b'CONNECT {"verbose":false}\r\n')
                while not is_over.wait(0.02):
                    raw = as_json([("press.temp", time.time_ns(), 21.5, 0)])
                    link.sendall(b"PUB tel.line2.m1 %d\r\n%s\r\n" % (len(raw), raw))

    words = [program, "-a", "127.0.0.1", "-p", str(nats_port)]
    threads = [threading.Thread(target=each) for each in (publish, publish_nats)]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as server:
        for each in threads:
            each.start()
        yield ((5555, zmq_port), (4222, nats_port))
        is_over.set()
        for each in threads:
            each.join()
        server.kill()
    wire.close(0)
    context.term()


def typed(office: Shell, folder: Path, line: str, codes: tuple[int, ...] = (0,)) -> str:
    """Types one line into a shell; one that does not end is stopped like a service is."""
    shell = dataclasses.replace(office, folder=folder)
    if not line.startswith("penstock run "):
        return shell.types(line, codes)
    with shell.starts(line) as running:
        with pytest.raises(subprocess.TimeoutExpired):
            running.communicate(timeout=RUN_S)
        running.send_signal(signal.SIGTERM)
        told, _ = running.communicate(timeout=20)
    assert running.returncode in codes, f"{line}\n{told}"
    return told


def live_a_while(folder: Path) -> None:
    """Thirteen stops in the plant's ledger; the last two wait for a person."""
    config, now_ns = load_config(folder / "plant.toml"), BASE_NS + 10**12
    with Ledger.open(folder / "state" / "ledger.sqlite", now_ns=now_ns) as ledger:
        for number in range(1, 14):
            flags = frozenset({"incomplete"}) if number >= 12 else frozenset()
            event = make_stop(number, rule="state", asset=f"M{number}", flags=flags)
            ledger.commit_batch([Mapped(event, map_event(event, config))], now_ns=now_ns)


def test_the_readme_s_own_data(office: Shell, folder: Path, readme: str) -> None:
    """Three commands from a clone to the first event of one's own CSV: set-up, init, replay."""
    lines = commands(readme, "## Your own data")
    assert len(lines) == 4
    told = [typed(office, folder, line, (0, 1) if " doctor " in line else (0,)) for line in lines]
    assert "state.end" in told[1], "the first event of one's own CSV, by the second command"
    assert "press.temp" in told[2]


def test_the_page_start(office: Shell, folder: Path, docs: Path) -> None:
    text = page("start", docs)
    begin = [typed(office, folder, line) for line in commands(text, "# A plant of your own")]
    assert "state.end" in begin[1]
    for line in commands(text, "## Look at a wire: `penstock tap`"):
        assert "press.temp" in typed(office, folder, line)
    assert (folder / "heard.toml").is_file()
    shutil.rmtree(folder / "graz" / "state")
    live_a_while(folder / "graz")
    listed, *changed = [
        typed(office, folder, line) for line in commands(text, "## What waits: `penstock dlq`")
    ]
    assert "#12" in listed
    assert "entry #12 is ready" in changed[0]
    assert "entry #13 is discarded" in changed[-1]
    shutil.copy(folder / "graz" / "plant.toml", folder / "plant.toml")
    new = (folder / "plant.toml").read_text().replace("min_duration_s = 2", "min_duration_s = 5")
    (folder / "new.toml").write_text(new)
    diff, check = commands(text, "## Before a change")
    assert "min_duration_s" in typed(office, folder, diff, (1,))
    typed(office, folder, check)
