"""Sizing: a plant's numbers and a box's measured costs become cores, RAM, disk and calls. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

HOUR_S: Final = 3600
DAY_S: Final = 86_400
MIB: Final = 1 << 20
GB: Final = 1_000_000_000
RAM_STEP_MIB: Final = 16
RING_MIB_MIN, RING_MIB_MAX = 8, 256
RING_S: Final = 4  # a quarter of the ring is one second: what a restart may have to judge again
CHECKPOINT_EVERY_S: Final = 30
ENGINE_SHARE_MAX: Final = 0.7  # of one core: one engine has one judge, and bursts come on top


@dataclass(frozen=True, slots=True)
class Plant:
    """What is asked for. ``rate_hz`` is of each tag; an event makes one document, one call."""

    tags: int
    rate_hz: float
    rules: int
    events_per_tag_hour: float
    headroom: float

    @property
    def samples_per_s(self) -> float:
        """Of all tags together."""
        return self.tags * self.rate_hz

    @property
    def events_per_s(self) -> float:
        """Of all tags together."""
        return self.tags * self.events_per_tag_hour / HOUR_S


@dataclass(frozen=True, slots=True)
class Costs:
    """What a calibration measured on this box. CPU is user and system, of all threads."""

    cpu_ns_per_sample: float
    journal_bytes_per_sample: float
    ram_bytes_base: float  # the process with nothing configured, ring apart
    ram_bytes_per_tag: float
    checkpoint_bytes_per_tag: float
    entries_per_s: float  # durable, on the disk that was measured, a hundred a transaction
    cpu_ns_per_entry: float
    disk_bytes_per_entry: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What the plant takes; cores, RAM and engines hold the head-room and are rounded up."""

    cores: int
    cores_used: float
    engines: int
    ram_mib: int
    ring_mib: int
    disk_gb_per_day_process: float
    disk_gb_per_day_power: float
    erp_calls_per_day: int
    ledger_used: float  # share of the entries a second that the disk takes
    limits: tuple[str, ...]  # what this box or one engine does not take, in words


def size(plant: Plant, costs: Costs) -> Answer:
    """Head-room multiplies what grows in a burst: CPU and the state of tags, not a day's bytes."""
    judging = plant.samples_per_s * costs.cpu_ns_per_sample / 1e9
    used = judging + plant.events_per_s * costs.cpu_ns_per_entry / 1e9
    ledger_used = plant.events_per_s / costs.entries_per_s
    engines = max(1, math.ceil(judging * plant.headroom / ENGINE_SHARE_MAX))
    ring_mib = ring_mib_of(plant.samples_per_s / engines * costs.journal_bytes_per_sample)
    state = plant.tags * costs.ram_bytes_per_tag * plant.headroom
    ram_mib = (state + engines * costs.ram_bytes_base) / MIB + engines * ring_mib
    process, power = disk_bytes_per_day(plant, costs)
    return Answer(
        cores=max(1, math.ceil(used * plant.headroom)),
        cores_used=used,
        engines=engines,
        ram_mib=math.ceil(ram_mib / RAM_STEP_MIB) * RAM_STEP_MIB,
        ring_mib=ring_mib,
        disk_gb_per_day_process=up(process / GB),
        disk_gb_per_day_power=up(power / GB),
        erp_calls_per_day=math.ceil(plant.events_per_s * DAY_S),
        ledger_used=ledger_used,
        limits=tuple(limits_of(engines, ledger_used * plant.headroom)),
    )


def disk_bytes_per_day(plant: Plant, costs: Costs) -> tuple[float, float]:
    """Bytes written by durability: process (checkpoints, ledger), power (also every block)."""
    checkpoints = plant.tags * costs.checkpoint_bytes_per_tag * DAY_S / CHECKPOINT_EVERY_S
    ledger = plant.events_per_s * DAY_S * costs.disk_bytes_per_entry
    journal = plant.samples_per_s * DAY_S * costs.journal_bytes_per_sample
    return checkpoints + ledger, checkpoints + ledger + journal


def ring_mib_of(bytes_per_s: float) -> int:
    """A power of two that holds RING_S, within its bounds."""
    wanted = max(1, math.ceil(bytes_per_s * RING_S / MIB))
    return min(RING_MIB_MAX, max(RING_MIB_MIN, 1 << (wanted - 1).bit_length()))


def up(value: float) -> float:
    """Two significant digits, never less than the value."""
    if value <= 0:
        return 0.0
    places = 1 - math.floor(math.log10(value))
    scaled = math.ceil(round(value * 10.0**places, 6))
    return round(scaled / 10.0**places, max(places, 0))


def limits_of(engines: int, ledger_used: float) -> list[str]:
    """What does not fit, in words."""
    found = []
    if engines > 1:
        found.append(f"one engine judges on one core: {engines} engines with disjoint sources")
    if ledger_used > 1:
        found.append(f"the ledger's disk is too slow by a factor of {up(ledger_used):g}")
    return found
