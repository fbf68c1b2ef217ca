"""Runner: the whole Python half in one process, around a bench engine and the in-memory target."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from penstock import run
from penstock.config import Config
from penstock.errors import EngineError, EngineFailed, StateError
from penstock.events import Event, Evidence
from penstock.outbox import Reader
from penstock.post import Options, Running
from penstock.run import Runner, Status, StatusFile, has_history
from penstock.stats import SourceStats, Stats
from penstock.testing.builders import ListBatch, make_config, make_event, make_evidence, make_stop
from penstock.testing.target import Behaviour, MemoryTarget


class BenchEngine:
    """The engine's face over a list of events; notes what it is told."""

    def __init__(self, events: list[Event]) -> None:
        self.waiting = [ListBatch([event], {event.id: make_evidence(event)}) for event in events]
        self.given: list[ListBatch] = []
        self.told: list[Any] = []
        self.is_failed = False
        self.refuses = False
        self.received = 0

    def start(self) -> None:
        self.told.append("start")

    def close(self) -> None:
        self.told.append("close")

    async def events(self) -> AsyncIterator[ListBatch]:
        while True:
            if self.waiting:
                self.given.append(self.waiting.pop(0))
                yield self.given[-1]
            else:
                await asyncio.sleep(0.01)

    def evidence_after(self, event: Event) -> Evidence:
        return make_evidence(event, 0, 3)

    def context(self, asset: str, *, order: str | None = None, material: str | None = None) -> None:
        self.told.append((asset, order, material))

    def baseline(self, *place: Any) -> None:
        self.told.append(("baseline", *place))

    def reconfigure(self, config: Config) -> None:
        if self.refuses:
            raise EngineError("no")
        self.told.append("reconfigure")

    def stats(self) -> Stats:
        self.received += 1000
        dropped = {"future": 3}
        source = SourceStats(
            "line1", self.received, self.received - 3, dropped, 0, 5, None, *([True] + [0] * 7)
        )
        zeros = dict.fromkeys(Stats.__dataclass_fields__, 0)
        flags = {"is_failed": self.is_failed, "is_event_ring_full": False, "is_cold_start": False}
        return Stats(**{**zeros, **flags, "sources": (source,)})


class KnowingTarget(MemoryTarget):
    """Also knows what runs."""

    async def running(self, assets: object) -> list[Running]:
        return [Running("M1", "O1", "FG-1")]


@pytest.fixture
def target(monkeypatch: pytest.MonkeyPatch) -> KnowingTarget:
    made = KnowingTarget()
    options = Options(back_off_s=0.02, look_up_after_s=0.02, context=True, context_every_s=0.2)
    monkeypatch.setattr(run, "open_target", lambda config, path: (made, options))
    return made


def work(
    config: Config,
    engine: BenchEngine,
    until: Callable[[Runner], bool],
    *,
    on_status: Callable[[Status], None] | None = None,
) -> float:
    """Runs until the condition holds, stops; returns how long the stop took."""

    async def go() -> float:
        runner = Runner(config, engine, is_ledger_expected=False, on_status=on_status)
        running = asyncio.create_task(runner.run())
        deadline = time.monotonic() + 10.0
        while not running.done() and time.monotonic() < deadline and not until(runner):
            await asyncio.sleep(0.02)
        began = time.monotonic()
        runner.stop()
        await running
        return time.monotonic() - began

    return asyncio.run(go())


def posted(count: int) -> Callable[[Runner], bool]:
    return lambda runner: runner.ledger.reader.states()["posted"] == count


def test_events_become_documents_and_the_status_says_so(
    tmp_path: Path, target: KnowingTarget
) -> None:
    engine = BenchEngine([make_event(1), make_stop(2), make_event(3)])
    target.timeout_s = 0.02
    target.then(Behaviour.SILENT)
    lines: list[Status] = []
    file = StatusFile(tmp_path / "status.jsonl")

    def tell(status: Status) -> None:
        lines.append(status)
        file.write(status)

    work(
        make_config(str(tmp_path)),
        engine,
        lambda runner: posted(3)(runner) and bool(lines) and lines[-1].entries["posted"] == 3,
        on_status=tell,
    )
    assert engine.told[0] == "start"
    assert engine.told[-1] == "close"
    assert ("M1", "O1", "FG-1") in engine.told
    assert all(batch.is_acknowledged for batch in engine.given)
    last = lines[-1]
    assert (last.events, last.in_doubt_found, last.dropped, last.lost_upstream) == (3, 1, 3, 5)
    assert (last.residual, last.unmapped) == (0, 0)
    assert sorted(each["document"] for each in last.documents) == ["D00001", "D00002", "D00003"]
    assert last.rss > 10_000_000
    assert len(lines) < 3 or 500 < lines[2].samples_per_s < 1500
    written = [json.loads(line) for line in file._path.read_text().splitlines()]
    assert len(written) == len(lines)
    assert written[-1]["entries"]["posted"] == 3


def test_a_plant_without_targets_runs_until_it_is_stopped(tmp_path: Path) -> None:
    config = replace(make_config(str(tmp_path)), targets=(), mappings=())
    engine = BenchEngine([])
    lines: list[Status] = []
    work(config, engine, lambda _: len(lines) == 2, on_status=lines.append)
    assert len(lines) == 2


def test_the_next_start_tells_the_engine_where_the_last_documents_ended(
    tmp_path: Path, target: KnowingTarget
) -> None:
    config, event = make_config(str(tmp_path)), make_event(1)
    assert not has_history(tmp_path)
    work(config, BenchEngine([event]), posted(1))
    assert has_history(tmp_path)
    engine = BenchEngine([event])
    work(config, engine, lambda runner: "redelivered" in runner.ledger.reader.counters())
    assert ("baseline", "good", "1", "M1.good", 24, event.end_ns) in engine.told
    assert engine.told.index("start") == 1
    assert [len(each) for each in target.books.values()] == [1]


def test_stop_waits_for_the_request_on_its_way(tmp_path: Path, target: KnowingTarget) -> None:
    target.slow_s = 0.5
    target.then(Behaviour.SLOW)
    took = work(
        make_config(str(tmp_path)), BenchEngine([make_event(1)]), lambda _: target.in_flight == 1
    )
    assert took < 3.0
    with Reader.open(tmp_path / "ledger.sqlite") as reader:
        assert reader.states()["posted"] == 1


def test_a_request_that_outlasts_the_stop_is_asked_for_at_the_next_start(
    tmp_path: Path, target: KnowingTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    from penstock import relay

    monkeypatch.setattr(relay, "STOP_S", 0.2)
    target.slow_s = 60.0
    target.then(Behaviour.SLOW)
    config = make_config(str(tmp_path))
    took = work(config, BenchEngine([make_event(1)]), lambda _: target.in_flight == 1)
    assert took < 5.0
    with Reader.open(tmp_path / "ledger.sqlite") as reader:
        assert reader.states()["posting"] == 1
    work(config, BenchEngine([]), posted(1))
    assert [len(each) for each in target.books.values()] == [1]
    assert len(target.finds) == 1


def test_a_failed_engine_ends_the_run_with_its_error(tmp_path: Path, target: KnowingTarget) -> None:
    engine = BenchEngine([])
    engine.is_failed = True
    with pytest.raises(EngineFailed):
        work(make_config(str(tmp_path)), engine, lambda _: False)
    assert engine.told[-1] == "close"


def test_our_own_bug_in_a_target_ends_the_run_and_closes_everything(
    tmp_path: Path, target: KnowingTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(self: object, request: object) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(KnowingTarget, "send", broken)
    engine = BenchEngine([make_event(1)])
    with pytest.raises(ZeroDivisionError):
        work(make_config(str(tmp_path)), engine, lambda _: False)
    assert engine.told[-1] == "close"
    with Reader.open(tmp_path / "ledger.sqlite") as reader:
        assert reader.states()["posting"] == 1


def test_reload_takes_rules_and_mappings_and_keeps_the_old_ones_on_an_error(
    tmp_path: Path, target: KnowingTarget
) -> None:
    config, engine = make_config(str(tmp_path)), BenchEngine([])
    without = replace(config, mappings=())

    async def go() -> None:
        runner = Runner(config, engine, is_ledger_expected=False)
        running = asyncio.create_task(runner.run())
        await asyncio.sleep(0.1)
        with pytest.raises(StateError):
            runner.reload(replace(config, plant=replace(config.plant, name="other")))
        engine.refuses = True
        with pytest.raises(EngineError):
            runner.reload(without)
        assert runner._intake.config is config
        engine.refuses = False
        runner.reload(without)
        engine.waiting.append(ListBatch([make_event(1)]))
        while not runner.ledger.reader.counters().get("unmapped"):
            await asyncio.sleep(0.02)
        runner.stop()
        await running

    asyncio.run(asyncio.wait_for(go(), 10.0))
    assert engine.told.count("reconfigure") == 1


def test_a_status_file_is_bounded_and_an_unwritable_one_stops_nothing(
    tmp_path: Path, target: KnowingTarget, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "STATUS_BYTES_MAX", 1000)
    lines: list[Status] = []
    work(make_config(str(tmp_path)), BenchEngine([]), lambda _: bool(lines), on_status=lines.append)
    file = StatusFile(tmp_path / "status.jsonl")
    for _ in range(20):
        file.write(lines[0])
    sizes = [each.stat().st_size for each in tmp_path.glob("status.jsonl*")]
    assert len(sizes) == 2
    assert max(sizes) < 1000 + len(lines[0].to_json()) + 1
    StatusFile(tmp_path / "no" / "status.jsonl").write(lines[0])


def test_a_crash_point_kills_at_the_wanted_pass() -> None:
    code = (
        "from penstock.testing import crash\n"
        "with crash.listen(crash._killer('ack.after:2')):\n"
        "    for name in ('ack.before', 'ack.after', 'ack.before', 'ack.after'):\n"
        "        print(name, flush=True)\n"
        "        crash.point(name)\n"
        "print('alive')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.split() == ["ack.before", "ack.after", "ack.before", "ack.after"]
