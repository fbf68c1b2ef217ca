"""Clocks that lie, down to the documents: what stands in the ledger and in the target's books.

Engine, mapping, ledger and relay are the product's own. The box that wakes in 1970 has a process of
its own, whose wall clock is a shim under libc; the others run on a manual clock.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from clock_kit import HOUR_NS, Plant, S, make_config, plant

from penstock.outbox import State

FOLDER = Path(__file__).resolve().parent
TODAY_NS = 1_790_000_000 * S
BOOT_NS = 45 * S  # what the box's clock says when it wakes
STEP_NS = S // 10
LOTS = 6


def live(
    tmp_path: Path, ring_dir: Path, story: Callable[[Plant], Coroutine[Any, Any, None]]
) -> None:
    async def go() -> None:
        async with plant(make_config(tmp_path / "state", ring_dir), clock="manual") as it:
            await story(it)
            await it.settled()

    asyncio.run(go())


# ---- a box that boots in 1970 and jumps to today ------------------------------------------------


@pytest.fixture(scope="module")
def fake_wall(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler for the clock's shim; apt install gcc")
    made = tmp_path_factory.mktemp("shim") / "fake_wall.so"
    source = FOLDER / "fake_wall.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", made, source, "-ldl"], check=True)
    return made


def box(shim: Path, tmp_path: Path, ring_dir: Path, *, ahead_s: int = 0) -> dict[str, Any]:
    """One life of it, from 1970 on; what it says."""
    wall = tmp_path / "wall"
    wall.write_bytes(struct.pack("=q", BOOT_NS - time.time_ns()))
    boot_ns = time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    wall.with_suffix(".boot").write_text(str(boot_ns))
    command = [sys.executable, FOLDER / "clock_kit.py", tmp_path / "state", ring_dir, wall]
    done = subprocess.run(
        [*map(str, command), str(LOTS), str(ahead_s)],
        env={**os.environ, "LD_PRELOAD": str(shim), "FAKE_WALL": str(wall)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_box_that_boots_in_1970_writes_all_documents_after_its_clock_is_set(
    fake_wall: Path, tmp_path: Path, ring_dir: Path
) -> None:
    found = box(fake_wall, tmp_path, ring_dir)
    before = found["before"]
    assert before["wall_ns"] < HOUR_NS, "the shim holds"
    assert (before["sent"], before["states"]) == (0, {"ready": LOTS}), "nothing goes in 1970"
    assert found["states"] == {"posted": LOTS}
    assert found["documents"] == LOTS
    assert found["dropped"] == 0, "future_max rests"
    assert abs(found["engine_time_ns"] - found["wall_ns"]) < 5 * S
    assert abs(found["wall_ns"] - time.time_ns()) < HOUR_NS


def test_a_box_that_wakes_in_1970_again_does_not_measure_today_by_yesterday(
    fake_wall: Path, tmp_path: Path, ring_dir: Path
) -> None:
    """Engine time stands where the last life left it; the machine is two hours further."""
    first = box(fake_wall, tmp_path, ring_dir)
    assert first["states"] == {"posted": LOTS}
    again = box(fake_wall, tmp_path, ring_dir, ahead_s=7200)
    assert again["before"]["sent"] == 0
    assert again["dropped"] == 0
    assert again["states"] == {"posted": 2 * LOTS + 1}, "and the lot that was open in between"
    assert again["documents"] == LOTS + 1
    assert (first["pieces"], again["pieces"]) == (5 * LOTS - 1, 7 * LOTS + 5 * LOTS - 1)


# ---- a PLC that resets to 1970 twice ------------------------------------------------------------


def ramp(it: Plant, now_ns: int, stamp_ns: int, temps: list[float]) -> tuple[int, int]:
    """Ten a second; returns both clocks behind it."""
    for temp in temps:
        it.say(now_ns, stamp_ns=stamp_ns, temp=temp)
        now_ns, stamp_ns = now_ns + STEP_NS, stamp_ns + STEP_NS
    return now_ns, stamp_ns


CALM = [20.0] * 150  # longer than it takes to be sure that a clock went back
CROSSING = [90.0] * 5 + [20.0] * 5


def test_a_plc_that_resets_to_1970_twice_makes_one_document_per_crossing(
    tmp_path: Path, ring_dir: Path
) -> None:
    async def story(it: Plant) -> None:
        now_ns, _ = ramp(it, TODAY_NS, TODAY_NS, CALM + 2 * CROSSING)
        for _ in range(2):  # the same stamps twice: only the epoch tells them apart
            now_ns, _ = ramp(it, now_ns, 10 * S, CALM + 3 * CROSSING + [20.0] * 40_000)
        it.engine.tick(now_ns + 60 * S)
        await it.settled()
        assert it.states() == {"posted": 8}
        assert it.documents() == 8
        rows = it.runner.ledger.reader.entries(limit=20)
        assert len({row.event_id for row in rows}) == 8

    live(tmp_path, ring_dir, story)


def test_a_crossing_that_a_reset_interrupts_is_one(tmp_path: Path, ring_dir: Path) -> None:
    async def story(it: Plant) -> None:
        now_ns, _ = ramp(it, TODAY_NS, TODAY_NS, CALM + [90.0] * 5)
        now_ns, _ = ramp(it, now_ns, 10 * S, [90.0] * 200 + CALM + CROSSING + [20.0] * 50)
        it.engine.tick(now_ns + 60 * S)
        await it.settled()
        assert it.states() == {"posted": 1, "held": 1}
        (held,) = it.runner.ledger.reader.entries(state=State.HELD, limit=2)
        assert "clock went back" in held.reason, "it began in 2026 and ended in 1970"

    live(tmp_path, ring_dir, story)


# ---- an hour of silence -------------------------------------------------------------------------


def test_an_hour_of_silence_closes_windows_by_tick_and_none_twice(
    tmp_path: Path, ring_dir: Path
) -> None:
    async def story(it: Plant) -> None:
        for k in range(25):
            it.say(TODAY_NS + k * S, stamp_ns=TODAY_NS + k * S, power=1.5)
        await it.settled()
        assert it.states() == {"posted": 2}, "the third window is open"
        for minute in range(61):
            it.engine.tick(TODAY_NS + (30 + 60 * minute) * S)
            it.engine.tick(TODAY_NS + (30 + 60 * minute) * S)
            if minute == 0:
                await it.settled()
                assert it.states() == {"posted": 3}, "closed by TICK"
        await it.settled()
        assert (it.states(), it.documents()) == ({"posted": 3}, 3)
        for k in range(3630, 3655):
            it.say(TODAY_NS + k * S, stamp_ns=TODAY_NS + k * S, power=1.5)
        it.engine.tick(TODAY_NS + 3700 * S)
        await it.settled()
        assert (it.states(), it.documents()) == ({"posted": 6}, 6)
        assert it.engine.stats().ticks > 0

    live(tmp_path, ring_dir, story)


# ---- a source 40 minutes ahead ------------------------------------------------------------------


def test_a_source_40_minutes_ahead_writes_nothing_and_is_named(
    tmp_path: Path, ring_dir: Path
) -> None:
    async def story(it: Plant) -> None:
        now_ns, count = TODAY_NS, 0
        for temp in CALM + 3 * CROSSING:
            it.say(now_ns, stamp_ns=now_ns + 40 * 60 * S, temp=temp)
            it.say(now_ns, source="other", stamp_ns=now_ns, pressure=1.0)
            now_ns, count = now_ns + STEP_NS, count + 1
        it.engine.tick(now_ns + HOUR_NS)  # the stamps lie behind now; too late
        await it.settled()
        assert (it.states(), it.documents()) == ({}, 0)
        by_name = {each.name: each for each in it.engine.stats().sources}
        assert by_name["plc"].dropped == {"future": count}
        assert (by_name["plc"].received, by_name["plc"].used) == (count, 0)
        assert by_name["other"].dropped == {}
        assert it.engine.stats().residual == 0

    live(tmp_path, ring_dir, story)
