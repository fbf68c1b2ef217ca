"""Every command's help: one sentence, its exit codes and one example, and each example is run.

The examples are run as printed, in a folder made for them: a plant that runs, a ledger in which
something waits, a recording, a rule test, a sender. Only ports and durations are others.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import zmq
from border_kit import as_json

from penstock.cli import COMMANDS, main
from penstock.config import load_config
from penstock.mapping import map_event
from penstock.ops import control
from penstock.outbox import Decision, Ledger, Mapped, State
from penstock.testing.builders import BASE_NS, make_event

# Beside 0: doctor and config check may find something wrong with the box that runs the tests.
CODES = {"doctor": (0, 1), "config check": (0, 1), "config diff": (1,)}
QUICK = {"60s": "1s", "10s": "1s", "--rules 2": "--rules 2 --seconds 0.4"}
LEDGER = "dlq", "ledger", "explain"
RUNS = "top", "reload", "alarm"
PLANT = """
[plant]
name = "graz"
[engine]
state_dir = "{state}"
ring_dir = "{ring}"
ring_bytes = "1MiB"
[[source]]
name = "line1"
kind = "feed"
[[rule]]
name = "good"
kind = "counter"
tag = "*.good"
unit = "C62"
every_s = 60
[[target]]
name = "erp"
kind = "memory"
[[mapping]]
name = "confirm"
event = "counter.segment"
rule = "good"
contract = "production_confirmation/1"
target = "erp"
"""
HOT = """
[[source]]
name = "line2"
kind = "zmq_pull"
bind = "tcp://127.0.0.1:{port}"
format = "json"
[[rule]]
name = "hot"
kind = "limit"
tag = "*.temp"
high = 90
"""
ROWS = ("06:00:00Z,100", "06:00:30Z,104", "06:01:10Z,110")


@dataclass(frozen=True)
class Command:
    """One command: its words, and what its function's docstring says."""

    path: str
    sentence: str
    text: str
    parameters: str
    words: tuple[str, ...]

    @property
    def example(self) -> str:
        found = re.search(r"Example:\s+(.*?)(?:\n\s*\n|$)", self.text, re.S)
        return " ".join(found[1].split()) if found else ""


def commands() -> list[Command]:
    found = []
    for name, text in COMMANDS:
        app = importlib.import_module(f"penstock.cli.{name}").app
        assert " ".join(app.help.split()) == text, f"{name}: two sentences that differ"
        own = {name: app.default_command} if app.default_command else {}
        words = [word for word in app if not word.startswith("-")]
        own |= {f"{name} {word}": app[word].default_command for word in words}
        for path, function in own.items():
            doc = function.__doc__ or ""
            sentence = " ".join(doc.split("\n\n")[0].split())
            text, _, parameters = doc.partition("Parameters\n")
            given = inspect.signature(function).parameters.values()
            # name="*": a class whose own docstring has the help of its words
            words_ = tuple(
                each.name for each in given if 'name="*"' not in str(each).replace("'", '"')
            )
            found.append(Command(path, sentence, text, parameters, words_))
    return found


ALL = commands()


@pytest.mark.parametrize("command", ALL, ids=lambda each: each.path)
def test_a_command_says_what_it_does_how_it_ends_and_an_example(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert re.fullmatch(r"[A-Z].{10,200}\.", command.sentence), command.sentence
    assert re.search(r"Exit codes?: 0 ", command.text), "its exit codes"
    assert command.example.startswith(f"penstock {command.path}"), "one example"
    assert command.text.count("Example:") == 1
    assert main([*command.path.split(), "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    for part in (command.sentence, "Exit code", f"penstock {command.path}"):
        assert " ".join(part.split()) in told, part


@pytest.mark.parametrize("command", ALL, ids=lambda each: each.path)
def test_every_word_of_a_command_has_its_own_help(command: Command) -> None:
    """Two names on one line of a docstring would show no help at all."""
    told = set(re.findall(r"^    (\w+)$", command.parameters, re.M))
    assert told == set(command.words)


def test_the_root_lists_every_command_with_its_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--help"]) == 0
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for name, text in COMMANDS:
        assert f"{name} {text}" in told


# ---- each example is run -------------------------------------------------------------------------


@pytest.fixture
def box(tmp_path: Path, ring_dir: Path) -> Path:
    """A folder in which every example can be typed."""
    text = PLANT.format(state=tmp_path / "state", ring=ring_dir)
    (tmp_path / "plant.toml").write_text(text)
    (tmp_path / "new.toml").write_text(text.replace("every_s = 60", "every_s = 120"))
    (tmp_path / "day.csv").write_text(
        "time,m1.good\n" + "\n".join(f"2026-03-02T{each}" for each in ROWS) + "\n"
    )
    case = tmp_path / "tests" / "rules" / "first"
    case.mkdir(parents=True)
    shutil.copy(tmp_path / "day.csv", case / "input.csv")
    (case / "config.toml").write_text(text)
    assert main(["test", str(case), "--update"]) == 0
    return tmp_path


def fill_ledger(box: Path) -> None:
    """Thirteen entries: the first is posted as PC-000047, the last two are held."""
    config = load_config(box / "plant.toml")
    now_ns = BASE_NS + 10**12
    with Ledger.open(box / "state" / "ledger.sqlite", now_ns=now_ns) as ledger:
        for number in range(1, 14):
            flags = frozenset({"incomplete"}) if number >= 12 else frozenset()
            event = make_event(number, order=f"O{number}", flags=flags)
            ledger.commit_batch([Mapped(event, map_event(event, config))], now_ns=now_ns)
        entry = ledger.due("erp", now_ns=now_ns, limit=1)[0]
        marked = ledger.mark_posting(entry, now_ns=now_ns)
        assert marked is not None
        ledger.record(marked, Decision(State.POSTED, document="PC-000047"), now_ns=now_ns)


def make_hot(box: Path, address: str) -> None:
    """One tag of the running plant is beyond its limit, and the plant knows it."""
    with zmq.Context() as context, context.socket(zmq.PUSH) as wire:
        wire.connect(address)
        wire.send(as_json([("line1.m01.temp", time.time_ns(), 95.0, 0)]))
        deadline = time.monotonic() + 30
        while not control.ask(box / "state", "alarms")["alarms"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)


@contextlib.contextmanager
def plant(box: Path) -> Iterator[None]:
    """The plant runs meanwhile, and one of its tags is beyond a limit."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (box / "plant.toml").open("a") as file:
        file.write(HOT.format(port=port))
    words = [sys.executable, "-m", "penstock", "run", "plant.toml"]
    with subprocess.Popen(words, cwd=box, stderr=subprocess.PIPE) as running:
        try:
            deadline = time.monotonic() + 30
            while not (box / "state" / "control.sock").exists():
                assert running.poll() is None, running.stderr and running.stderr.read()
                assert time.monotonic() < deadline
                time.sleep(0.05)
            make_hot(box, f"tcp://127.0.0.1:{port}")
            yield
        finally:
            running.terminate()


@contextlib.contextmanager
def sender() -> Iterator[int]:
    """A machine that publishes; its port."""
    context = zmq.Context()
    wire = context.socket(zmq.PUB)
    port: int = wire.bind_to_random_port("tcp://127.0.0.1")
    is_over = threading.Event()

    def send() -> None:
        while not is_over.wait(0.02):
            wire.send(as_json([("m1.temp", time.time_ns(), 21.5, 0)]))

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield port
    finally:
        is_over.set()
        thread.join()
        wire.close(0)
        context.term()


def typed(box: Path, example: str, port: int) -> subprocess.CompletedProcess[str]:
    for slow, quick in QUICK.items():
        example = example.replace(slow, quick)
    words = shlex.split(example.replace(":5555", f":{port}"))
    assert words[0] == "penstock"
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=box,
        env={**os.environ, "HOME": str(box)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.mark.parametrize("command", ALL, ids=lambda each: each.path)
def test_the_example_runs(command: Command, box: Path) -> None:
    name = command.path.split()[0]
    with contextlib.ExitStack() as stack:
        port = 0
        if name in LEDGER:
            fill_ledger(box)
        if name in RUNS:
            stack.enter_context(plant(box))
        if name == "tap":
            port = stack.enter_context(sender())
        done = typed(box, command.example, port)
    if name == "bench" and "not part of this build" in done.stderr:
        pytest.skip("this build came without the bench: python3 tools/dev.py setup")
    assert done.returncode in CODES.get(command.path, (0,)), done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_no_example_needs_a_port_of_this_box() -> None:
    """5555 stands in an example; here it is whoever has it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
    assert sum(":5555" in each.example for each in ALL) == 1
