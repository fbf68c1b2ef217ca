"""The control socket against requests that nobody of ours sends: each gets one line that answers or
says what is wrong, nothing is raised behind it, and the plant takes the next order.

Hypothesis draws the bytes, and requests that are almost right; engine, runner and service are real.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from border_kit import TAGS, excursions, make_config, put
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock import Engine
from penstock.config import Config
from penstock.engine import ACTIONS
from penstock.ops import control
from penstock.ops.control import REQUEST_BYTES_MAX, SOCKET_NAME
from penstock.ops.service import Service
from penstock.run import Runner

ORDERS = ("figures", "reload", "alarms", "operate")
RULE = "high"
NUMBERS = (0, -1, 1 << 31, 1 << 63, -(1 << 63) - 1, 1 << 64, 10**300)
TEXTS = ("", RULE, TAGS[0], "\0", "high\0er", "\ud800", "x" * 5000, "ü" * 32)

anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(NUMBERS)
    | st.floats()
    | st.text(max_size=40)
    | st.sampled_from(TEXTS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
requests = st.fixed_dictionaries(
    {"order": st.just("operate") | st.sampled_from(ORDERS) | anything},
    optional={
        "action": st.sampled_from(sorted(ACTIONS)) | anything,
        "rule": st.just(RULE) | anything,
        "tag": st.just(TAGS[0]) | anything,
        "until_ns": anything,
        "note": anything,
        "by": anything,
    },
)
almost = st.builds(
    lambda request, at, new: (raw := json.dumps(request).encode())[: at % len(raw)] + new,
    requests,
    st.integers(0, 1000),
    st.binary(max_size=8),
)


class Plant:
    """One that runs in a thread, and what was raised behind its answers."""

    def __init__(self, folder: Path, ring: Path) -> None:
        self.state, self.raised = folder / "state", list[dict[str, Any]]()
        self._config = make_config(self.state, ring)
        self._is_open, self._stop = threading.Event(), lambda: None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live(self._config)))

    def start(self) -> None:
        self._thread.start()
        assert self._is_open.wait(30)

    def stop(self) -> None:
        self._stop()
        self._thread.join(30)

    async def _live(self, config: Config) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.raised.append(context))
        with Engine(config, clock="manual") as engine:
            put(engine, excursions(3))
            runner = Runner(config, engine)
            service = Service(runner, engine, lambda: "read again")
            self._stop = lambda: loop.call_soon_threadsafe(runner.stop)
            async with service.open(config):
                loop.call_soon(self._is_open.set)
                await runner.run()

    def ask(self, sent: bytes) -> Any:
        """What it answers to these bytes; None where it hung up."""
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(30)
            link.connect(str(self.state / SOCKET_NAME))
            try:
                link.sendall(sent)
                link.shutdown(socket.SHUT_WR)
                answer = control._read_all(link)
            except (ConnectionResetError, BrokenPipeError):
                answer = b""
        return json.loads(answer) if answer else None


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    ring = Path(tempfile.mkdtemp(prefix="penstock-control-", dir="/dev/shm"))
    running = Plant(tmp_path_factory.mktemp("control"), ring)
    running.start()
    try:
        yield running
    finally:
        running.stop()
        shutil.rmtree(ring, ignore_errors=True)


def check(plant: Plant, sent: bytes) -> None:
    answer = plant.ask(sent)
    if answer is None:
        assert len(sent) > REQUEST_BYTES_MAX, "cut off in the middle of too long a line"
    else:
        assert isinstance(answer, dict)
    assert "sources" in plant.ask(b'{"order": "figures"}\n')
    assert not plant.raised


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200) | almost)
@example(b"")
@example(b"9" * 5000 + b"\n")
@example(b"x" * (REQUEST_BYTES_MAX + 9) + b"\n")
def test_any_bytes_get_an_answer(plant: Plant, sent: bytes) -> None:
    check(plant, sent)


@settings(max_examples=300, deadline=None)
@given(requests)
def test_any_request_gets_an_answer(plant: Plant, request: dict[str, Any]) -> None:
    check(plant, json.dumps(request).encode() + b"\n")


@pytest.mark.parametrize("until_ns", NUMBERS)
def test_a_time_beyond_every_clock_is_refused(plant: Plant, until_ns: int) -> None:
    words = {"order": "operate", "action": "shelve", "rule": RULE, "tag": TAGS[0]}
    check(plant, json.dumps({**words, "until_ns": until_ns}).encode() + b"\n")


def test_words_nested_as_deep_as_can_be_read_are_refused(plant: Plant) -> None:
    for depth in range(900, 1000):
        nested = b"[" * depth + b"]" * depth
        for name in (b"rule", b"note"):
            request = b'{"order": "operate", "action": "reset", "tag": "t", "%s": %s}\n'
            check(plant, request % (name, nested))
