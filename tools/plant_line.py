"""What a simulated line does: machines make lots and stop, pressures and temperatures wander.

Nothing of penstock is imported here. Time is a tick count: the caller says which tick it is and
what the clock shows. Every amount is an integer: pieces, grams, thousandths of a unit. A machine
writes its own log, one JSON object a line, flushed as it is written; that log is what the books
are later compared with.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

RUN, STOP, SETUP, IDLE = 1, 2, 3, 4

# What each machine sends in every message, in this order; the last ones as fractions.
INT_FIELDS = ("state", "since", "order", "lot", "good", "good_start", "scrap", "scrap_start")
MILLI_FIELDS = ("used", "used_start", "flow")
FIELDS = INT_FIELDS + MILLI_FIELDS
GOOD, SCRAP, USED = FIELDS.index("good"), FIELDS.index("scrap"), FIELDS.index("used")

Seconds = tuple[float, float]


@dataclass(frozen=True)
class Pace:
    """How long things last, in seconds; ``speed`` divides all of it, for tests."""

    speed: float = 1.0
    lot_s: Seconds = (8.0, 11.0)
    run_s: Seconds = (14.0, 18.0)  # with a stop: one stop each 20 to 25 s at most
    stop_s: Seconds = (6.0, 7.0)
    hold_s: float = (
        6.0  # no lot and no state is shorter: a collector that was killed is back sooner
    )
    setup_share: float = 0.2  # of the interruptions

    def ticks(self, span: Seconds, rng: random.Random, rate: int) -> int:
        return int(rng.uniform(*span) * rate / self.speed)

    def hold_ticks(self, rate: int) -> int:
        return int(self.hold_s * rate / self.speed)


class MachineLog:
    """One machine's own record of what it made and when it stood."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="utf-8")

    def write(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def kilograms(grams: int) -> str:
    return f"{grams // 1000}.{grams % 1000:03d}"


class Machine:
    """Makes pieces while it runs; cuts lots; stops now and then.

    A lot's figures are differences of registers that never go back. The tick that ends one lot
    begins the next: what is made in that tick belongs to the next.
    """

    def __init__(
        self,
        name: str,
        order: int,
        lot: int,
        rng: random.Random,
        log: MachineLog,
        rate: int,
        pace: Pace,
    ) -> None:
        self.name, self.order, self.lot = name, order, lot
        self._rng, self._log, self._rate, self._pace = rng, log, rate, pace
        self._hold = pace.hold_ticks(rate)
        self.lots = self.stops = 0
        self.good = self.good_start = rng.randrange(10_000, 900_000)
        self.scrap = self.scrap_start = rng.randrange(100, 9_000)
        self.used_g = self.used_start_g = rng.randrange(1_000_000, 90_000_000)
        self._gram_rest = self._piece_rest = 0
        self.state, self.since_ms = RUN, 0
        self._state_tick = self._lot_tick = self._lot_ns = 0
        self._state_end = pace.ticks((pace.hold_s, pace.run_s[1]), rng, rate)
        self._lot_end = 0
        self._is_closing = False

    def begin(self, now_ns: int) -> None:
        self.since_ms = now_ns // 1_000_000
        self._begin_lot(0, now_ns)

    def fields(self) -> tuple[int, ...]:
        """In the order of FIELDS; fractions in thousandths. Flow in kg/h: 1 g/s is 3.6 kg/h."""
        flow = self._grams_per_s * 3600 if self.state == RUN else 0
        return (
            self.state, self.since_ms, self.order, self.lot, self.good, self.good_start,
            self.scrap, self.scrap_start, self.used_g, self.used_start_g, flow,
        )  # fmt: skip

    def step(self, tick: int, now_ns: int) -> int:
        """One tick. What changed: 0 nothing, 1 the material used, 2 also a piece, 3 anything."""
        changed = 0
        if tick >= self._state_end:
            changed |= self._change_state(tick, now_ns)
        if tick >= self._lot_end:
            changed |= self._change_lot(tick, now_ns)
        if self._is_closing:
            changed |= self._try_end(tick, now_ns)
        if self.state != RUN:
            return changed
        rate = self._rate
        grams = self._gram_rest + self._grams_per_s
        self.used_g += grams // rate
        self._gram_rest = grams % rate
        self._piece_rest += self._pieces_per_s
        if self._piece_rest < rate:
            return changed or 1
        self._piece_rest -= rate
        self._pieces += 1
        if self._scrap_each and self._pieces % self._scrap_each == 0:
            self.scrap += 1
        else:
            self.good += 1
        return changed or 2

    def close(self) -> None:
        """Finish: the lot and any stop end together, as soon as neither is too short to be seen."""
        self._is_closing = True

    def _set_state(self, state: int, tick: int, now_ns: int) -> None:
        now_ms = now_ns // 1_000_000
        if self.state == STOP:
            self.stops += 1
            self._log.write({
                "type": "stop", "machine": self.name, "order": str(self.order), "state": "STOP",
                "start_ms": self.since_ms, "end_ms": now_ms,
            })  # fmt: skip
        self.state, self.since_ms, self._state_tick = state, now_ms, tick

    def _change_state(self, tick: int, now_ns: int) -> int:
        is_held = self._is_closing and (self.state == RUN or self.good > self.good_start)
        if self.state == IDLE or is_held:
            return 0
        pace = self._pace
        if self.state == RUN:
            is_setup = self._rng.random() < pace.setup_share
            self._set_state(SETUP if is_setup else STOP, tick, now_ns)
            self._state_end = tick + pace.ticks(pace.stop_s, self._rng, self._rate)
        else:
            self._set_state(RUN, tick, now_ns)
            self._state_end = tick + pace.ticks(pace.run_s, self._rng, self._rate)
        return 3

    def _begin_lot(self, tick: int, now_ns: int) -> None:
        self.good_start, self.scrap_start = self.good, self.scrap
        self.used_start_g = self.used_g
        self._lot_tick, self._lot_ns = tick, now_ns
        self._lot_end = tick + self._pace.ticks(self._pace.lot_s, self._rng, self._rate)
        self._pieces = 0
        self._pieces_per_s = int(self._rng.randrange(20, 41) * self._pace.speed)
        self._grams_per_s = int(self._rng.randrange(4_000, 8_000) * self._pace.speed)
        self._scrap_each = self._rng.randrange(8, 40) if self._rng.random() < 2 / 3 else 0

    def _end_lot(self, now_ns: int) -> None:
        self.lots += 1
        self._log.write({
            "type": "lot", "machine": self.name, "order": str(self.order), "lot": str(self.lot),
            "good": self.good - self.good_start, "scrap": self.scrap - self.scrap_start,
            "used": kilograms(self.used_g - self.used_start_g), "unit_used": "KGM",
            "start_ns": self._lot_ns, "end_ns": now_ns,
        })  # fmt: skip
        self.lot += 1

    def _change_lot(self, tick: int, now_ns: int) -> int:
        if self._is_closing:
            return 0
        self._end_lot(now_ns)
        self._begin_lot(tick, now_ns)
        return 3

    def _try_end(self, tick: int, now_ns: int) -> int:
        oldest = tick - self._hold
        is_young = self._lot_tick > oldest or self._state_tick > oldest
        if self.state == IDLE or is_young or self.good == self.good_start:
            return 0
        self._end_lot(now_ns)
        self._begin_lot(tick, now_ns)
        self._set_state(IDLE, tick, now_ns)
        return 3


PRESSURE_RANGE = (4_500, 7_400)  # thousandths of a bar; the limit is at 8, its deadband ends at 7.8
TEMPERATURE_RANGE = (140_000, 220_000)
CROSSING_S = (0.3, 0.8)
CROSSING_REST_S = 0.5
CROSSING_LEVEL = (8_100, 8_900)


class Noise:
    """Random walks between two walls, in thousandths; now and then a main pressure is too high."""

    def __init__(
        self, names: Sequence[str], rate: int, crossings_per_s: float, rng: random.Random
    ) -> None:
        self._rng, self._rate, self._crossings_per_s = rng, rate, crossings_per_s
        self._random = np.random.Generator(np.random.PCG64(rng.getrandbits(64)))
        is_pressure = np.array(["pressure" in name for name in names], dtype=bool)
        self._low = np.where(is_pressure, PRESSURE_RANGE[0], TEMPERATURE_RANGE[0]).astype(float)
        high = np.where(is_pressure, PRESSURE_RANGE[1], TEMPERATURE_RANGE[1])
        self._width = high - self._low
        self._sigma = self._width * 0.002
        self._walk = self._random.uniform(0, 1, len(names)) * self._width
        self._main = [i for i, name in enumerate(names) if name.endswith(".pressure1")]
        self._high: dict[int, tuple[int, int, int]] = {}  # column: from tick, to tick, level
        self.crossings = 0

    def block(self, first_tick: int, ticks: int) -> npt.NDArray[np.int64]:
        """Values of ``ticks`` ticks, one row a tick."""
        steps = self._random.standard_normal((ticks, len(self._low))) * self._sigma
        walk = self._walk + np.cumsum(steps, axis=0)
        self._walk = walk[-1] % (2 * self._width)
        folded = np.abs((walk + self._width) % (2 * self._width) - self._width)
        values: npt.NDArray[np.int64] = np.rint(folded + self._low).astype(np.int64)
        self._begin_crossings(first_tick, ticks)
        for column, (start, end, level) in self._high.items():
            values[max(0, start - first_tick) : max(0, end - first_tick), column] = level
        return values

    def _begin_crossings(self, first_tick: int, ticks: int) -> None:
        if self._rng.random() >= self._crossings_per_s * ticks / self._rate or not self._main:
            return
        column = self._rng.choice(self._main)
        start = first_tick + self._rng.randrange(ticks)
        if column in self._high and start < self._high[column][1] + CROSSING_REST_S * self._rate:
            return
        length = int(self._rng.uniform(*CROSSING_S) * self._rate) + 1
        self._high[column] = (start, start + length, self._rng.randrange(*CROSSING_LEVEL))
        self.crossings += 1


def noise_names(line: str, machines: int, tags: int) -> list[str]:
    """What fills the line up to its number of tags: pressures and temperatures, by machine."""
    fill = tags - machines * len(FIELDS)
    names = []
    for i in range(fill):
        machine, number = i % machines + 1, i // machines
        what = "pressure" if number % 2 == 0 else "temperature"
        names.append(f"{line}.m{machine}.{what}{number // 2 + 1}")
    return names
