"""How long from an event to its committed row, and how often is Python called while samples pass?

Event to row: an engine, the intake of ``penstock run`` and a ledger in one process. A thread feeds
a state's end, one at a time; the clock runs from before the ``feed`` that ends it to the return of
the commit, so that judging, the eventfd, asyncio's wake, mapping and the transaction are in it.
Calls: samples come from a sender in C over ZMTP; ``sys.setprofile`` counts the calls of the thread
that iterates ``Engine.events()``, a proxy those across the border. Once nothing crosses the limit:
then there is none. Once 1 in 1,000 does.
"""

from __future__ import annotations

import asyncio
import importlib.util
import math
import shutil
import statistics
import sys
import tempfile
import threading
import time
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from figure import Figure
from measure import BUILD, CPU_SENDER, Bench, Child, Skip, engine_folders

if TYPE_CHECKING:
    from penstock.config import Config
    from penstock.outbox import Ledger

ROW = "relay.event_to_row_us"
CALLS = "python.calls_per_million_samples"
NAMES = (ROW, CALLS)
SAMPLES_MIN = 1_000_000
PATIENCE_S = 60
MS = 1_000_000

PLANT = """
[plant]
name = "bench"
timezone = "UTC"
[engine]
state_dir = "{state}"
ring_dir = "{ring}"
[[source]]
name = "line"
{source}
"""
STOPS = """
[[rule]]
name = "stops"
kind = "state"
tag = "*.state"
states = [2]
[[target]]
name = "memory"
kind = "tryton"
url = "http://127.0.0.1:9"
database = "plant"
user = "penstock"
password = "x"
[[mapping]]
name = "stop"
event = "state.end"
rule = "stops"
contract = "downtime/1"
target = "memory"
fields = {{ reason = {{ const = "UNPLANNED" }} }}
"""
DEFAULT = """
[[rule]]
name = "high"
kind = "limit"
tag = "*"
high = 90
[[rule]]
name = "second"
kind = "window"
tag = "*"
size_s = 1
"""


def configure(text: str, source: str, state: Path, ring: str) -> Config:
    from penstock.config import load_config

    state.mkdir(parents=True, exist_ok=True)
    file = state / "plant.toml"
    file.write_text((PLANT + text).format(state=state / "state", ring=ring, source=source))
    return load_config(file, is_environment_known=False)


# ---- event to row ------------------------------------------------------------------------------


class Feeder(threading.Thread):
    """Ends one stop at a time; ``told`` is set when its row is on the disk."""

    def __init__(self, engine: Any, count: int) -> None:
        super().__init__(daemon=True)
        self.told = threading.Event()
        self.taken: list[int] = []
        self.problem = ""
        self.committed_ns = 0
        self._engine = engine
        self._count = count

    def run(self) -> None:
        tag = self._engine.tag("m1.state", "i64", source="line")
        for number in range(self._count):
            self._feed(tag, [1, 2])  # stopped, and
            self.told.clear()
            begin = time.perf_counter_ns()
            self._feed(tag, [1, 1])  # running again; the next sample's time lets it be judged
            if not self.told.wait(PATIENCE_S):
                self.problem = f"event {number} was not committed within {PATIENCE_S} s"
                return
            self.taken.append(self.committed_ns - begin)
            time.sleep(0.002)

    def _feed(self, tag: int, codes: list[int]) -> None:
        now_ns = time.time_ns()
        stamps = array("q", [now_ns + place for place in range(len(codes))])
        self._engine.feed(tag, stamps, array("q", codes), source="line")


async def commit_all(engine: Any, ledger: Ledger, config: Config, count: int) -> Feeder:
    from penstock.run import Intake

    feeder = Feeder(engine, count)

    def committed() -> None:
        feeder.committed_ns = time.perf_counter_ns()
        feeder.told.set()

    intake = asyncio.create_task(Intake(engine, ledger, config, on_commit=committed).run())
    await asyncio.sleep(0.05)
    feeder.start()
    while feeder.is_alive() and not intake.done():
        await asyncio.sleep(0.05)
    intake.cancel()
    done = await asyncio.gather(intake, return_exceptions=True)
    feeder.problem = feeder.problem or (
        "" if isinstance(done[0], asyncio.CancelledError) else repr(done[0])
    )
    return feeder


def event_to_row(parent: Path, count: int) -> tuple[list[float], str]:
    """µs of each event, and what was wrong."""
    from penstock import Engine
    from penstock.outbox import LEDGER_NAME, Ledger

    with folders(parent) as (state, ring):
        config = configure(STOPS, 'kind = "feed"', state, ring)
        ledger = Ledger.open(state / LEDGER_NAME, now_ns=time.time_ns())
        with ledger, Engine(config) as engine:
            feeder = asyncio.run(commit_all(engine, ledger, config, count))
            kept = ledger.reader.counters().get("events", 0)
            entries = sum(ledger.reader.states().values())
    problem = feeder.problem
    if not problem and (kept, entries) != (count, count):
        problem = f"{count} stops ended, {kept} events and {entries} entries are in the ledger"
    return [each / 1e3 for each in feeder.taken], problem


@contextmanager
def folders(parent: Path) -> Iterator[tuple[Path, str]]:
    parent.mkdir(parents=True, exist_ok=True)
    state = tempfile.mkdtemp(prefix="penstock-row-", dir=parent)
    ring = tempfile.mkdtemp(prefix="penstock-bench-", dir="/dev/shm")
    try:
        yield Path(state), ring
    finally:
        shutil.rmtree(state, ignore_errors=True)
        shutil.rmtree(ring, ignore_errors=True)


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[math.ceil(share * len(ordered)) - 1]


def take_rows(bench: Bench) -> Figure:
    count = {1: 20, 3: 300}.get(bench.sizes.rounds, 1500)
    parts: dict[str, float] = {}
    problem, values = "", {}
    for place, parent in (("disk", BUILD), ("tmpfs", Path("/dev/shm"))):
        values[place], wrong = event_to_row(parent, count)
        problem = problem or wrong
        if not wrong:
            parts[f"p50_us_{place}"] = round(statistics.median(values[place]), 1)
            parts[f"p99_us_{place}"] = round(percentile(values[place], 0.99), 1)
    bench.say(f"  {parts}")
    figure = bench.plain(
        ROW, "us", values["disk"] or [0], n=count, problem=problem,
        wire="in process: feed, eventfd, asyncio, map, commit on a disk",
    )  # fmt: skip
    return replace(figure, parts=parts)


# ---- calls -------------------------------------------------------------------------------------


class Border:
    """The native engine with its calls counted."""

    def __init__(self, core: Any) -> None:
        self._core = core
        self.calls: dict[str, int] = {}

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._core, name)

        def counted(*values: Any, **named: Any) -> Any:
            if threading.current_thread() is threading.main_thread():
                self.calls[name] = self.calls.get(name, 0) + 1
            return call(*values, **named)

        return counted


class Count:
    """Python's calls of this thread, a proxy's own two apart."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, frame: Any, event: str, _: Any) -> None:
        if event == "call" and frame.f_code.co_filename != __file__:
            self.calls += 1


async def consume(engine: Any, sender: Callable[[], None]) -> tuple[int, int, int]:
    """Iterates while the sender's samples pass: Python calls, batches and events."""
    count, batches, events = Count(), 0, 0
    work = threading.Thread(target=sender, daemon=True)

    async def take() -> None:
        nonlocal batches, events
        async for batch in engine.events():
            batches, events = batches + 1, events + len(batch.events)
            batch.acknowledge()

    task = asyncio.create_task(take())
    await asyncio.sleep(0.1)
    ended = asyncio.get_running_loop().create_future()
    loop = asyncio.get_running_loop()

    def run_sender() -> None:
        sender()
        loop.call_soon_threadsafe(ended.set_result, None)

    work = threading.Thread(target=run_sender, daemon=True)
    work.start()
    sys.setprofile(count)
    try:
        await ended
    finally:
        sys.setprofile(None)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return count.calls, batches, events


def calls_while(bench: Bench, samples: int, over: int) -> tuple[dict[str, Any], str]:
    """What was called while ``samples`` came, of which ``over`` in a million cross."""
    from penstock import Engine

    command = [bench.program("send_stream"), "zmtp", "packed", f"over={over}"]
    with engine_folders() as (state, ring), Child(CPU_SENDER, command) as child:
        port = child.expect("port").split()[0]
        source = f'kind = "zmq_pull"\nconnect = "tcp://127.0.0.1:{port}"'
        config = configure(DEFAULT, source, Path(state), ring)
        with Engine(config) as engine:
            engine.start()
            core = engine._core
            border = Border(core)
            engine._core = border  # type: ignore[assignment]

            def send() -> None:
                child.tell(f"send {samples}")
                until = time.monotonic() + PATIENCE_S
                while core.source_stats(0)["used"] < samples and time.monotonic() < until:
                    time.sleep(0.01)

            calls, batches, events = asyncio.run(consume(engine, send))
            engine._core = core
            used = engine.stats().sources[0].used
        child.finish_input()
    problem = "" if used >= samples else f"used {used} of {samples}"
    found = {"calls": calls, "batches": batches, "events": events, "border": border.calls}
    return found, problem


def take_calls(bench: Bench) -> Figure:
    samples = SAMPLES_MIN if bench.sizes.rounds == 1 else 3 * SAMPLES_MIN
    quiet, wrong = calls_while(bench, samples, 0)
    busy, also_wrong = calls_while(bench, samples, 1000)
    bench.say(f"  nothing crosses: {quiet}")
    bench.say(f"  1 in 1,000 crosses: {busy}")
    asked = busy["border"].get("poll", 0)
    problem = wrong or also_wrong or ("" if busy["events"] else "no event came")
    figure = bench.plain(
        CALLS, "calls", [busy["calls"] / samples * 1e6], n=samples, problem=problem,
        wire="ZMTP 3.1, loopback TCP, 64 B payload, 1 sample, packed",
        note=f"{busy['events']} events in {busy['batches']} batches; with no event "
        f"{quiet['calls']} calls, of them {sum(quiet['border'].values())} across the border",
    )  # fmt: skip
    return replace(
        figure,
        parts={
            "calls_per_sample": quiet["calls"] // samples,
            "calls_without_events": quiet["calls"],
            "polls_per_batch": round(asked / max(1, busy["batches"]), 3),
        },
    )


def run(bench: Bench, name: str) -> Figure:
    """One figure."""
    if importlib.util.find_spec("penstock") is None:
        raise Skip("penstock is missing: pip install penstock")
    return take_rows(bench) if name == ROW else take_calls(bench)
