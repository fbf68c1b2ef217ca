"""A numbered stream loses samples on a real wire: each gap is told once, with its count; the counts
are what the source says it lost; a process that dies in the middle of a gap tells it all the same.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "border"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from border_kit import ENCODERS, Sample, as_json, drain, make_config, packed, wait_until
from clock_kit import config_text, parse, plant
from test_nats_peers import Publisher, Server

from penstock import Engine, Event, cli, run
from penstock.config import Config
from penstock.emit import Emitter, PushPeer
from penstock.stats import SourceStats

S = 1_000_000_000
START_NS = 1_790_000_000 * S
RULES = """
[[rule]]
name = "lost"
kind = "gap"
source = "line"

[[rule]]
name = "lost_many"
kind = "gap"
source = "line"
lost_min = 3
asset = "hall"
"""
GAP = '\n[[rule]]\nname = "lost"\nkind = "gap"\nsource = "plc"\n'


def config_of(folder: Path, ring_dir: Path, *, kind: str = "feed", source: str = "") -> Config:
    return make_config(folder / "state", ring_dir, kind=kind, source=source, more=RULES)


def gaps(events: list[Event], rule: str = "lost") -> list[Event]:
    return [each for each in events if each.kind == "gap.lost" and each.rule == rule]


def line(engine: Engine) -> SourceStats:
    return next(each for each in engine.stats().sources if each.name == "line")


class Wire:
    """Hands messages on, but for those it loses."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self.is_losing = False

    def __call__(self, message: bytes) -> None:
        if not self.is_losing:
            self._send(message)


def speak(wire: Wire, stream: int, losses: dict[int, bool], begin_ns: int) -> list[tuple[int, int]]:
    """Ten messages of one or two samples; what is to be told: the sample before, how many."""
    expected: list[tuple[int, int]] = []
    last_ns = lost = 0
    with Emitter(wire, stream=stream, boot=1) as emit:
        for k in range(10):
            wire.is_losing = losses.get(k, False)
            for part in range(1 + k % 2):
                at_ns = begin_ns + (10 * k + part) * 1_000_000
                emit.add(f"m{stream}.temp", at_ns, float(k))
                lost += wire.is_losing
                if not wire.is_losing:
                    if lost:
                        expected.append((last_ns, lost))
                    last_ns, lost = at_ns, 0
            emit.flush()
    wire.is_losing = False
    return expected


@contextmanager
def zmtp(folder: Path, ring_dir: Path) -> Iterator[tuple[Engine, Callable[[bytes], None]]]:
    config = config_of(folder, ring_dir, kind="zmq_pull", source='bind = "tcp://127.0.0.1:0"')
    with Engine(config) as engine:
        engine.start()
        peer = PushPeer("127.0.0.1", engine.port("line") or 0)
        try:
            yield engine, peer
        finally:
            peer.close()


@contextmanager
def nats(folder: Path, ring_dir: Path) -> Iterator[tuple[Engine, Callable[[bytes], None]]]:
    server = Server()
    source = f'connect = "nats://127.0.0.1:{server.port}"\nsubjects = ["line.>"]'
    try:
        with Engine(config_of(folder, ring_dir, kind="nats", source=source)) as engine:
            engine.start()
            wait_until(lambda: line(engine).is_up, "the source is up")
            publisher = Publisher(server.port)

            def send(message: bytes) -> None:
                publisher.publish("line.m1", message)
                publisher.flush()

            yield engine, send
            publisher.close()
    finally:
        server.stop()


@pytest.mark.parametrize("wire_of", [zmtp, nats])
def test_each_gap_of_each_stream_is_told_with_its_count(
    tmp_path: Path, ring_dir: Path, wire_of: Callable[..., Iterator[object]]
) -> None:
    with wire_of(tmp_path, ring_dir) as (engine, send):  # type: ignore[attr-defined]
        wire = Wire(send)
        begin_ns = time.time_ns() - S
        losses = {7: {2: True, 5: True, 6: True}, 8: {4: True}}
        expected = {k: speak(wire, k, losses[k], begin_ns) for k in losses}
        sent = sum(1 + k % 2 for each in losses.values() for k in range(10) if k not in each)
        wait_until(lambda: line(engine).used == sent, "all samples are in")
        events = drain(engine)
        found = {
            k: [(e.at_ns, e.count) for e in gaps(events) if e.tag == f"line/{k}"] for k in losses
        }
        assert found == expected
        assert [count for _, count in expected[7]] == [1, 3]
        lost = line(engine).lost_upstream
        assert lost == sum(e.count for e in gaps(events)) == 5
        (many,) = gaps(events, "lost_many")
        assert (many.count, many.asset, many.value, many.tag) == (3, "hall", 7, "line/7")
        assert many.start_ns == many.at_ns < (many.end_ns or 0)
        assert gaps(events)[0].asset == "line"


def rows(first: int, count: int, value: float = 1.0) -> list[Sample]:
    return [("m1.temp", START_NS + (first + k) * S, value, 0) for k in range(count)]


def messages(form: str) -> list[bytes]:
    """Numbers 3 to 5 are missing; 6 and 7 are no numbers, so that the gap goes on; then 9."""
    make = ENCODERS[form]
    spoilt = [(name, at, "x", 0) for name, at, _, _ in rows(6, 2)]  # a text for a number
    nan = packed(rows(6, 2, float("nan")), stream=7, seq=6)
    return [
        make(rows(0, 3), stream=7, seq=0),
        nan if form == "packed" else make(spoilt, stream=7, seq=6),  # type: ignore[arg-type]
        make(rows(9, 1), stream=7, seq=9),
        make(rows(10, 1), stream=7, seq=10),
    ]


def play(config: Config, payloads: list[bytes], first: int, *, dies: bool) -> list[Event]:
    """A life of the engine; what it tells is acknowledged only in one that ends in order."""
    found: list[Event] = []
    with Engine(config, clock="manual") as engine:
        for k, payload in enumerate(payloads, first):
            engine.feed_frames((payload,), source="line", recv_time_ns=START_NS + (20 + k) * S)
        if dies:
            os.kill(os.getpid(), signal.SIGKILL)
        found = drain(engine)
        source = line(engine)
        assert (source.lost_upstream, source.residual) == (4, 0)
    return found


def killed(config: Config, payloads: list[bytes], first: int) -> None:
    child = os.fork()
    if child == 0:
        play(config, payloads, first, dies=True)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize("form", ["packed", "json"])
@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_a_kill_in_a_gap_changes_nothing_of_it(
    tmp_path: Path, ring_dir: Path, form: str, cut: int
) -> None:
    payloads = messages(form)
    source = f'format = "{form}"'
    whole = config_of(tmp_path / "whole", ring_dir / "a", source=source)
    cut_up = config_of(tmp_path / "cut", ring_dir / "b", source=source)
    for folder in (ring_dir / "a", ring_dir / "b"):
        folder.mkdir()
    killed(cut_up, payloads[:cut], 0)
    expected = gaps(play(whole, payloads, 0, dies=False))
    found = gaps(play(cut_up, payloads[cut:], cut, dies=False))
    assert [(e.id, e.digest) for e in found] == [(e.id, e.digest) for e in expected]
    (event,) = found
    assert (event.at_ns, event.end_ns) == (START_NS + 2 * S, START_NS + 9 * S)
    assert (event.tag, event.count, event.occurrence) == ("line/7", 4, 0)


def test_a_running_plant_keeps_gaps_in_its_ledger_and_explains_them(
    tmp_path: Path,
    ring_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(run, "EVIDENCE_AFTER_S", 0.0)  # samples behind an event are asked for too
    text = config_text(tmp_path / "state", ring_dir) + GAP
    file = tmp_path / "plant.toml"
    file.write_text(text)

    frames = [as_json(rows(k, 1), stream=7, seq=k) for k in (0, 9, 10)]

    def say(engine: Engine) -> None:
        for k, frame in enumerate(frames):
            engine.feed_frames([frame], source="plc", recv_time_ns=START_NS + (20 + k) * S)

    with Engine(parse(config_text(tmp_path / "other", ring_dir) + GAP), clock="manual") as other:
        say(other)
        (event,) = gaps(drain(other))

    async def go() -> None:
        async with plant(parse(text), clock="manual") as it:
            say(it.engine)
            await it.until(lambda: it.engine.stats().events_pending == 0, "the gap is committed")
            assert it.runner.ledger.reader.event(event.id).tag == "plc/7"

    asyncio.run(go())
    assert cli.main(["explain", event.id, "--config", str(file)]) == 0
    said = capsys.readouterr().out
    assert "gap.lost" in said
    assert "plc/7" in said
