"""A plant that ends in books: engine, mapping, ledger and relay are the product's, the target is
the public one in memory.

Run as a program it is a box whose wall clock lies (``fake_wall.c``):

    clock_kit.py STATE_DIR RING_DIR FAKE_WALL LOTS AHEAD_S

It starts as the clock says, journals LOTS lots of a machine whose own clock is right (AHEAD_S from
now), waits, sets the clock, and prints as JSON what was sent before and what was posted after.
"""

from __future__ import annotations

import asyncio
import json
import struct
import sys
import time
import tomllib
from collections.abc import Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from penstock import Engine, run
from penstock.config import Config, parse_config
from penstock.contracts import time_text
from penstock.post import Options
from penstock.run import Runner
from penstock.testing.target import MemoryTarget

S = 1_000_000_000
HOUR_NS = 3600 * S
WAIT_S = 30.0
HELD_S = 1.5  # the relay looks each second

CONFIG = """
[plant]
name = "clocks"

[engine]
state_dir = "{state}"
ring_dir = "{ring}"
ring_bytes = 1048576

[[source]]
name = "plc"
kind = "feed"
format = "json"
idle_after_s = 2
future_max_s = 60
tags = {{ "*.good" = "i64", "*.temp" = "f64" }}

[[source]]
name = "other"
kind = "feed"
format = "json"

[[rule]]
name = "good"
kind = "counter"
tag = "*.good"
lot = "*.lot"
order = "*.order"
unit = "C62"

[[rule]]
name = "hot"
kind = "limit"
tag = "*.temp"
high = {{ value = 80, deadband = 5 }}
unit = "CEL"

[[rule]]
name = "energy"
kind = "window"
tag = "*.power"
size_s = 10
emit = "event"
unit = "KWH"

[[target]]
name = "books"
kind = "tryton"
url = "http://127.0.0.1:9"
database = "plant"

[[mapping]]
name = "confirm"
event = "counter.segment"
rule = "good"
contract = "production_confirmation/1"
target = "books"
hold_if_flags = []

[[mapping]]
name = "overheated"
event = "limit.H.clear"
rule = "hot"
contract = "downtime/1"
target = "books"
fields = {{ state = {{ const = "HOT" }} }}
hold_if_flags = []

[[mapping]]
name = "power"
event = "window.close"
rule = "energy"
contract = "material_consumption/1"
target = "books"
business_object = "asset"
hold_if_flags = []

[mapping.fields]
order = {{ const = "O1" }}
component = {{ const = "POWER" }}
quantity = {{ from = "sum", round = "0.001" }}
"""


def config_text(state: Path, ring: Path) -> str:
    """The plant as a file."""
    return CONFIG.format(state=state, ring=ring)


def parse(text: str) -> Config:
    """A file as a configuration."""
    return parse_config(tomllib.loads(text, parse_float=Decimal), variables={})


def make_config(state: Path, ring: Path) -> Config:
    """The plant."""
    return parse(config_text(state, ring))


class Plant:
    """What runs, and where its documents stand."""

    def __init__(self, engine: Engine, runner: Runner, target: MemoryTarget) -> None:
        self.engine, self.runner, self.target = engine, runner, target

    def say(self, now_ns: int | None, *, source: str = "plc", stamp_ns: int, **values: Any) -> None:
        """One message of machine m1; engine time is now_ns on a manual clock."""
        frame = json.dumps({"time": time_text(stamp_ns), "m1": values}).encode()
        self.engine.feed_frames([frame], source=source, recv_time_ns=now_ns or 0)

    def states(self) -> dict[str, int]:
        """Entries of the ledger by state; those without any are left out."""
        found = self.runner.ledger.reader.states()
        return {state: count for state, count in found.items() if count}

    def documents(self) -> int:
        """Documents in the books; each key has one."""
        counts = [len(each) for each in self.target.books.values()]
        assert set(counts) <= {1}, "a document was written twice"
        return len(counts)

    def pieces(self) -> int:
        """What was made, as the ledger's entries say: posted, or waiting by name for a person."""
        reader = self.runner.ledger.reader
        entries = reader.entries(limit=1000)
        return sum(int(reader.event(entry.event_id).quantity or 0) for entry in entries)

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Waits for it; fails by name."""
        end = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < end, f"not within {WAIT_S:g} s: {what}: {self.states()}"
            await asyncio.sleep(0.01)

    async def settled(self) -> None:
        """Every event is in the ledger, and every entry has ended."""
        await self.until(
            lambda: (
                self.engine.stats().events_pending == 0
                and set(self.states()) <= {"posted", "held", "dead"}
            ),
            "settled",
        )


@asynccontextmanager
async def plant(config: Config, *, clock: str) -> Any:
    """A running plant; stopped in the end."""
    target = MemoryTarget("books")
    before, run.open_target = run.open_target, lambda _config, _path: (target, Options())
    try:
        with Engine(config, clock=clock) as engine:
            runner = Runner(config, engine, is_ledger_expected=False)
            working = asyncio.create_task(runner.run())
            try:
                yield Plant(engine, runner, target)
            finally:
                runner.stop()
                await working
    finally:
        run.open_target = before


def set_wall(path: Path, offset_ns: int) -> None:
    """Sets the clock of the processes that ``fake_wall`` is loaded into."""
    with path.open("r+b") as file:
        file.write(struct.pack("=q", offset_ns))


def real_ns() -> int:
    """The machine's own clock, which the lie does not touch."""
    boot_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return boot_ns + int(Path(sys.argv[3]).with_suffix(".boot").read_text())


async def box(config: Config, wall: Path, lots: int, ahead_s: int) -> dict[str, Any]:
    """The life of a box that does not know the time at first."""
    async with plant(config, clock="system") as it:
        began_ns = real_ns() + ahead_s * S
        count = 7 * int(it.engine.stats().events)
        for lot in range(lots):
            for reading in range(5):
                stamp_ns = began_ns + (5 * lot + reading) * S // 100
                values = {"good": count + 5 * lot + reading, "lot": f"L{began_ns}-{lot}"}
                it.say(None, stamp_ns=stamp_ns, order="4711", **values)
        end_ns = began_ns + 5 * lots * S // 100
        it.say(None, stamp_ns=end_ns, good=count + 5 * lots, lot="end", order="4711")
        it.say(None, stamp_ns=end_ns + S, good=count + 5 * lots, lot="end", order="4711")
        made = lots + it.states().get("posted", 0)
        await it.until(lambda: sum(it.states().values()) >= made, "entries of all lots")
        await asyncio.sleep(HELD_S)
        before = {"wall_ns": time.time_ns(), "sent": len(it.target.sends), "states": it.states()}
        set_wall(wall, 0)
        await it.until(lambda: it.states().get("posted", 0) >= made, "documents of all lots")
        await it.settled()
        stats = it.engine.stats()
        return {
            "before": before,
            "states": it.states(),
            "documents": it.documents(),
            "pieces": it.pieces(),
            "dropped": stats.dropped,
            "engine_time_ns": stats.engine_time_ns,
            "wall_ns": time.time_ns(),
        }


if __name__ == "__main__":
    state, ring, wall = (Path(each) for each in sys.argv[1:4])
    found = box(make_config(state, ring), wall, int(sys.argv[4]), int(sys.argv[5]))
    print(json.dumps(asyncio.run(found)))
