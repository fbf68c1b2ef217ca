"""Stats: figures of an engine and its sources, copied under one lock; and the alarms that stand."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_ALARM = struct.Struct("<64s96sqq8sHBB3?x")  # pstk_alarm of penstock.h
ALARM_BYTES = _ALARM.size
_LEVELS = ("HH", "H", "L", "LL")
_LEVELLED = (1, 6)  # limit and rate rules
_F64 = 1
_NO_TIME = -(1 << 63)


@dataclass(frozen=True, slots=True, repr=False)
class SourceStats:
    """Figures of one source since its state directory was made. ``residual`` must be 0."""

    name: str
    received: int
    used: int
    dropped: Mapping[str, int]
    residual: int
    lost_upstream: (
        int | None
    )  # None: the source's samples are not numbered, so a loss cannot be counted
    sent_upstream: int | None
    is_up: bool
    frames: int
    bytes: int
    connections: int
    reconnects: int
    protocol_errors: int
    late: int
    out_of_order: int

    def __repr__(self) -> str:
        lost = "unknown" if self.lost_upstream is None else f"{self.lost_upstream:,}"
        return (
            f"<SourceStats of {self.name}: {self.received:,} received, {self.used:,} used, "
            f"{sum(self.dropped.values()):,} dropped, {lost} lost upstream, "
            f"residual {self.residual}>"
        )


@dataclass(frozen=True, slots=True, repr=False)
class Alarm:
    """An instance of a limit, rate, stuck or freshness rule that is active, shelved or suppressed.

    ``level`` is HH, H, L or LL: the first of them that is active; ``""`` where the rule has none or
    nothing is active. ``since_ns`` and ``value`` are of its crossing, None where nothing is active.
    """

    rule: str
    tag: str
    level: str
    since_ns: int | None
    value: int | float | None
    is_acknowledged: bool
    shelved_until_ns: int | None
    is_suppressed: bool

    def __repr__(self) -> str:
        said = [f"{self.level or 'active'} with {self.value}"] if self.since_ns is not None else []
        said += ["acknowledged"] if self.is_acknowledged else []
        said += ["shelved"] if self.shelved_until_ns is not None else []
        said += ["suppressed"] if self.is_suppressed else []
        return f"<Alarm {self.rule} of {self.tag}: {', '.join(said)}>"


def alarms_of(rows: bytes | bytearray, count: int) -> list[Alarm]:
    """The first ``count`` pstk_alarm."""
    return [_alarm(_ALARM.unpack_from(rows, index * ALARM_BYTES)) for index in range(count)]


def _alarm(row: tuple[Any, ...]) -> Alarm:
    rule, tag, since, until, value, kind, level, value_type, is_active, is_known, is_hushed = row
    number = struct.unpack("<d" if value_type == _F64 else "<q", value)[0]
    return Alarm(
        rule=rule.rstrip(b"\0").decode(),
        tag=tag.rstrip(b"\0").decode(),
        level=_LEVELS[level] if is_active and kind in _LEVELLED else "",
        since_ns=since if is_active else None,
        value=number if is_active else None,
        is_acknowledged=is_known,
        shelved_until_ns=None if until == _NO_TIME else until,
        is_suppressed=is_hushed,
    )


@dataclass(frozen=True, slots=True, repr=False)
class Stats:
    """Figures of the engine; cursors in bytes of the journal (design: written >= judged >=
    checkpointed).
    """

    sources: tuple[SourceStats, ...]
    written: int
    judged: int
    checkpointed: int
    saved: int
    durable: int
    ring_bytes: int
    tags: int
    instances: int
    instances_refused: int
    instances_mistyped: int
    streams: int
    assets: int
    events: int
    events_pending: int
    events_polled: int
    results: int
    results_overwritten: int
    late: int
    out_of_order: int
    reorder_overflow: int
    chattering: int
    micro_dropped: int
    suppressed: int
    checkpoints: int
    checkpoint_ns_max: int
    ticks: int
    blocks: int
    redelivered: int
    engine_time_ns: int
    config_gen: int
    is_failed: bool
    is_event_ring_full: bool
    is_cold_start: bool
    is_disk_full: bool
    journal_bytes: int
    disk_full_waits: int
    disk_written: int
    captured: int
    capture_missed: int
    is_capture_stopped: bool

    def __repr__(self) -> str:
        return (
            f"<Stats: {self.received:,} samples received by {len(self.sources)} "
            f"source{'s' if len(self.sources) != 1 else ''}, {self.dropped:,} dropped, "
            f"{self.events:,} events, {self.events_pending:,} waiting, residual {self.residual}"
            f"{', FAILED' if self.is_failed else ''}>"
        )

    @property
    def received(self) -> int:
        """Samples received by all sources."""
        return sum(source.received for source in self.sources)

    @property
    def dropped(self) -> int:
        """Samples dropped by all sources, for every reason."""
        return sum(sum(source.dropped.values()) for source in self.sources)

    @property
    def lost_upstream(self) -> int:
        """Samples that numbered streams had sent and nobody here received."""
        return sum(source.lost_upstream or 0 for source in self.sources)

    @property
    def residual(self) -> int:
        """received - used - dropped over all sources: anything but 0 is a bug."""
        return sum(abs(source.residual) for source in self.sources)
