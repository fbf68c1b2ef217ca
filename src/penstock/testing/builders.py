"""Builders: events and a small configuration for tests of what comes after the engine."""

from __future__ import annotations

import hashlib
import tomllib
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from penstock.config import Config, parse_config
from penstock.events import Context, Event, Evidence

BASE_NS = 1_795_000_000_000_000_000  # 2026-11-18
_S = 1_000_000_000

CONFIG_TEXT = """
[plant]
name = "demo"
timezone = "Europe/Paris"

[engine]
state_dir = "{state_dir}"

[[source]]
name = "line1"
kind = "feed"

[[rule]]
name = "good"
kind = "counter"
tag = "*.good"
asset = "*"
unit = "C62"
lot = "*.lot"
cut_on = ["lot"]

[[rule]]
name = "stops"
kind = "state"
tag = "*.state"
asset = "*"
states = ["Stopped"]

[[target]]
name = "{target}"
kind = "tryton"
url = "http://127.0.0.1:9"
database = "plant"
user = "penstock"
password = "x"

[[mapping]]
name = "confirm"
event = "counter.segment"
rule = "good"
contract = "production_confirmation/1"
target = "{target}"

[[mapping]]
name = "stop"
event = "state.end"
rule = "stops"
contract = "downtime/1"
target = "{target}"
"""


def make_config(state_dir: str = "/tmp", target: str = "memory") -> Config:
    """A plant with a counter and a state rule, each mapped to one document for one target."""
    return parse_config(
        tomllib.loads(CONFIG_TEXT.format(state_dir=state_dir, target=target), parse_float=Decimal)
    )


def make_event(number: int = 1, *, order: str = "O1", asset: str = "M1", **changes: Any) -> Event:
    """A counter segment of 12 pieces. Equal arguments, equal events; ``changes`` replace fields."""
    start_ns = BASE_NS + number * 10 * _S
    values: dict[str, Any] = {
        "id": _uuid8("id", asset, number),
        "seq": number,
        "pos": 64 * number,
        "kind": "counter.segment",
        "plant": "demo",
        "rule": "good",
        "series": "1",
        "tag": f"{asset}.good",
        "asset": asset,
        "at_ns": start_ns,
        "start_ns": start_ns,
        "end_ns": start_ns + 8 * _S,
        "value": 12,
        "unit": "C62",
        "quantity": Decimal(12),
        "start_reading": 12 * number,
        "end_reading": 12 * number + 12,
        "count": 8000,
        "context": Context(order=order, material="FG-1", lot=f"L{number}"),
        "engine_time_ns": start_ns + 9 * _S,
        "config_generation": 1,
    }
    values |= changes
    content = repr(sorted((key, str(each)) for key, each in values.items() if key != "seq"))
    return Event(**{"digest": _hash("digest", content).hex()[:32], **values})


def make_stop(number: int = 1, *, asset: str = "M1", order: str = "O1", **changes: Any) -> Event:
    """A stop of eight seconds."""
    end = {"value": 0, "text": "Stopped", "unit": "", "quantity": None}
    kind = {"kind": "state.end", "rule": "stops", "tag": f"{asset}.state"}
    readings = {"start_reading": None, "end_reading": None}
    identity = {"id": _uuid8("stop", asset, number)}
    return make_event(
        number, order=order, asset=asset, **{**identity, **end, **kind, **readings, **changes}
    )


def make_evidence(event: Event, before: int = 5, after: int = 0) -> Evidence:
    """A ramp of one sample a millisecond around the event's end."""
    center_ns = event.at_ns if event.end_ns is None else event.end_ns
    steps = range(1 - before, after + 1)
    return Evidence(
        tag=event.tag,
        time_ns=tuple(center_ns + step * 1_000_000 for step in steps),
        values=tuple(100.0 + step for step in steps),
        quality=tuple(0 for _ in steps),
        before=before,
    )


class ListBatch:
    """A batch of given events that notes its acknowledgement."""

    def __init__(
        self, events: Sequence[Event], evidence: Mapping[str, Evidence] | None = None
    ) -> None:
        self.events = tuple(events)
        self.is_acknowledged = False
        self._evidence = dict(evidence or {})

    def evidence(self, event: Event) -> Evidence | None:
        """The samples given for the event."""
        return self._evidence.get(event.id)

    def acknowledge(self) -> None:
        """Notes it."""
        self.is_acknowledged = True


def _uuid8(*parts: object) -> str:
    raw = bytearray(_hash(*parts)[:16])
    raw[6], raw[8] = raw[6] & 0x0F | 0x80, raw[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(raw)))


def _hash(*parts: object) -> bytes:
    return hashlib.sha256("/".join(str(part) for part in parts).encode()).digest()
