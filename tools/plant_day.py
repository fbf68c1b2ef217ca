"""The simulated plant on a fast clock: hours of event time as captures, in minutes.

Usage: python tools/plant_day.py --out FOLDER [--hours 24]. Writes capture-*.bin and, a machine, its
own log of lots and stops (m1.jsonl, ...), as the running plant does. Samples each 100 ms from four
machines and what wanders around them: 118 tags, 102 million samples a day.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from penstock import Engine
from penstock.config import Config, parse_config
from plant_line import FIELDS, INT_FIELDS, Machine, MachineLog, Noise, Pace, noise_names

NS = 10**9
RATE = 10  # ticks a second
TAGS = 118
MACHINES = 4
START_NS = 1_795_000_000 * NS // (86_400 * NS) * (86_400 * NS)  # a midnight in UTC
BLOCK_TICKS = 1000
RING_BYTES = 64 << 20
PACE = Pace(lot_s=(400, 900), run_s=(200, 700), stop_s=(45, 240), hold_s=30)
CROSSINGS_PER_S = 0.02
SOURCE = "line1"

Values = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Day:
    """What was written, and every value of it where it was asked for."""

    samples: int
    start_ns: int
    names: tuple[str, ...]
    crossings: int


def config(folder: Path) -> Config:
    """An engine without rules: it only keeps what comes."""
    return parse_config({
        "plant": {"name": "graz", "timezone": "Europe/Vienna"},
        "engine": {
            "state_dir": str(folder / "state"), "ring_dir": str(folder),
            "ring_bytes": RING_BYTES, "checkpoint_s": 3600.0,
        },
        "source": [{"name": SOURCE, "kind": "feed", "future_max_s": 600}],
    })  # fmt: skip


class Writer:
    """Feeds an engine that is captured, and waits for the capture where it lies behind."""

    def __init__(self, folder: Path, bytes_max: int, names: list[str]) -> None:
        self._place = Path(tempfile.mkdtemp(prefix="plant-day-", dir="/dev/shm"))
        self.engine = Engine(config(self._place), clock="manual")
        self.engine.capture(folder, bytes_max)
        kinds = ["i64" if name.rpartition(".")[2] in INT_FIELDS else "f64" for name in names]
        ids = [
            self.engine.tag(name, kind, source=SOURCE)
            for name, kind in zip(names, kinds, strict=True)
        ]
        self._ids = np.array(ids, dtype=np.uint32)
        self._is_whole = np.array([kind == "i64" for kind in kinds])
        self._fed = 0

    def feed(self, first_ns: int, thousandths: Values) -> None:
        """Rows of one tick each, a second a call; the whole numbers stand as they are."""
        fractions = (thousandths / 1000.0).view(np.int64)
        words = np.where(self._is_whole, thousandths, fractions)
        step_ns = NS // RATE
        for row in range(0, len(words), RATE):
            part = words[row : row + RATE]
            times = first_ns + (row + np.arange(len(part), dtype=np.int64)) * step_ns
            now_ns = int(times[-1])
            self.engine.tick(now_ns)
            used, _ = self.engine.feed(
                np.tile(self._ids, len(part)),  # type: ignore[arg-type]
                np.repeat(times, len(self._ids)),  # type: ignore[arg-type]
                part.reshape(-1),  # type: ignore[arg-type]
                source=SOURCE,
                recv_time_ns=now_ns,
            )
            if used != part.size:
                raise RuntimeError(f"{part.size - used} samples were dropped")
            self._fed += part.nbytes * 3
        self._wait()

    def _wait(self) -> None:
        while True:
            stats = self.engine.stats()
            if stats.capture_missed or stats.is_capture_stopped:
                raise RuntimeError("the capture was too slow, or its disk failed")
            if self._fed - stats.captured < RING_BYTES // 4:
                return
            time.sleep(0.002)

    def close(self) -> None:
        """Everything is in the files on return."""
        self.engine.close()
        shutil.rmtree(self._place, ignore_errors=True)


def write_day(
    folder: Path,
    hours: float,
    *,
    seed: int = 1,
    bytes_max: int = 8 << 30,
    on_block: Callable[[int, Values], None] | None = None,
) -> Day:
    """Hours of the plant. ``on_block`` sees the values: thousandths, whole numbers as they are."""
    rng = random.Random(seed)
    machines = []
    for number in range(1, MACHINES + 1):
        log = MachineLog(folder / f"m{number}.jsonl")
        name, lot = f"line1.m{number}", number * 100_000 + 1
        machines.append(Machine(name, 1000 + number, lot, rng, log, RATE, PACE))
    extra = noise_names("line1", MACHINES, TAGS)
    noise = Noise(extra, RATE, CROSSINGS_PER_S, rng)
    names = [f"{each.name}.{what}" for each in machines for what in FIELDS] + extra
    writer = Writer(folder, bytes_max, names)
    for each in machines:
        each.begin(START_NS)
        writer.engine.context(each.name, order=str(each.order), at_ns=START_NS)
    ticks = int(hours * 3600 * RATE)
    for first in range(0, ticks, BLOCK_TICKS):
        count = min(BLOCK_TICKS, ticks - first)
        first_ns = START_NS + first * (NS // RATE)
        block = np.empty((count, len(names)), dtype=np.int64)
        for row in range(count):
            now_ns = first_ns + row * (NS // RATE)
            for at, machine in enumerate(machines):
                machine.step(first + row, now_ns)
                block[row, at * len(FIELDS) : (at + 1) * len(FIELDS)] = machine.fields()
        block[:, len(machines) * len(FIELDS) :] = noise.block(first, count)
        writer.feed(first_ns, block)
        if on_block is not None:
            on_block(first_ns, block)
    writer.close()
    return Day(ticks * len(names), START_NS, tuple(names), noise.crossings)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--hours", type=float, default=24.0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    day = write_day(options.out, options.hours)
    print(f"{day.samples:,} samples in {time.monotonic() - begin:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
