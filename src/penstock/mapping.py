"""Mapping: an event becomes commands, one document for one target each. Pure: no clock, file,
locale or environment.

Same event and configuration, same bytes. Quantities are exact: an event's number enters as the
shortest decimal text that reads back to the same double, is converted by exact factors and
rounded only where the mapping says so.
"""

from __future__ import annotations

import base64
import hashlib
import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import cast
from zoneinfo import ZoneInfo

from penstock import contracts, units
from penstock.config import Config, DocumentMapping, FieldMap
from penstock.config import vocabulary as words
from penstock.contracts import CONTRACTS, Contract, Member
from penstock.errors import MappingError
from penstock.events import Event

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SEPARATOR = "\x1f"
_NS = Fraction(1, 1_000_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What one mapping makes of one event for one target, whether or not a document could be
    written.

    ``command_id`` is the same for every target of a mapping; (command_id, target) is unique.
    """

    command_id: str  # UUIDv8, lower case with hyphens
    key16: (
        str  # 16 characters A-Z2-7: the first 80 bits of the same hash, for carriers of short texts
    )
    event_id: str
    mapping: str
    contract: str  # "production_confirmation/1"
    target: str
    business_object: str  # "" only in a Fault
    correlation_id: str  # UUIDv8; the same for all documents of one order of one plant
    plant: str
    rule: str
    series: str
    tag: str
    asset: str
    occurred_at_ns: int  # end of the interval; the crossing where it has none
    posting_date: str  # "YYYY-MM-DD" in the plant's time zone, of the interval's last instant


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Intent):
    """A canonical document for one target."""

    source: str  # the CloudEvents source: urn:penstock:…
    body: Mapping[str, object]
    body_json: bytes  # canonical JSON of ``body``

    def envelope(self) -> bytes:
        """The document as a CloudEvent 1.0 in structured JSON, canonical bytes."""
        contract = CONTRACTS[self.contract]
        return contracts.encode_envelope(
            {
                "id": self.command_id,
                "source": self.source,
                "type": contract.event_type,
                "subject": self.business_object,
                "time": contracts.time_text(self.occurred_at_ns),
                "dataschema": contract.schema_id,
                "eventid": self.event_id,
                "correlationid": self.correlation_id,
                "plant": self.plant,
            },
            self.body,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault(Intent):
    """No document could be written. The entry is dead; ``reason`` names event kind and field."""

    event_kind: str
    field: str
    reason: str
    category: str = "mapping"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A document that waits for a person: the event bears a flag that the mapping does not let
    pass.
    """

    command: Command
    flags: tuple[str, ...]  # those that hold it, sorted
    reason: str  # for a planner
    category: str = "held"


class _Missing(MappingError):
    """A member cannot be filled; names the event kind and the field."""

    def __init__(self, event: Event, field: str, why: str) -> None:
        self.field = field
        super().__init__(f"{event.kind} {field}: {why}")


def map_event(event: Event, config: Config) -> list[Command | Fault | Hold]:
    """Everything that an event becomes, in the order of the configuration; empty where no mapping
    names it.

    A mapping that cannot be filled gives a Fault and disturbs no other.
    """
    found: list[Command | Fault | Hold] = []
    for mapping in config.mappings:
        if (
            mapping.event == event.kind
            and mapping.rule == event.rule
            and matches(mapping.asset, event.asset)
        ):
            found.extend(
                _map_one(event, mapping, target, config) for target in mapping.target_names()
            )
    return found


def matches(pattern: str, name: str) -> bool:
    """Whether a name fits a pattern with at most one ``*``; "" fits all."""
    if not pattern:
        return True
    head, star, tail = pattern.partition("*")
    if not star:
        return name == pattern
    return len(name) >= len(head) + len(tail) and name.startswith(head) and name.endswith(tail)


def command_id(event_id: str, mapping: str, ordinal: int = 0) -> str:
    """UUIDv8 over event, mapping and ordinal: the same event and mapping give the same command
    for ever.
    """
    return _uuid8(_hash("penstock-command/1", event_id, mapping, str(ordinal)))


def command_key16(event_id: str, mapping: str, ordinal: int = 0) -> str:
    """The first 80 bits of the same hash in base32, upper case (RFC 4648): survives upper-casing
    and 16 characters.
    """
    return base64.b32encode(
        _hash("penstock-command/1", event_id, mapping, str(ordinal))[:10]
    ).decode("ascii")


def posting_date(event: Event, timezone: str) -> str:
    """Business date of the event in the plant's time zone: that of the interval's last instant.

    Intervals are [start, end), so a shift that ends at midnight belongs to the day before.
    """
    last_ns = event.at_ns if event.end_ns is None else max(event.start_ns, event.end_ns - 1)
    moment = _EPOCH + timedelta(seconds=last_ns // 1_000_000_000)
    return moment.astimezone(ZoneInfo(timezone)).date().isoformat()


def _map_one(
    event: Event, mapping: DocumentMapping, target: str, config: Config
) -> Command | Fault | Hold:
    contract = CONTRACTS[mapping.contract]
    rule = config.rule(mapping.rule)
    reading = _Reading(event, posting_date(event, config.plant.timezone), rule.unit if rule else "")
    subject = ""
    fault: _Missing | None = None
    body: dict[str, object] = {}
    try:
        subject = reading.text(mapping.business_object or contract.subject, "business_object")
        body = _body(reading, mapping, contract)
    except _Missing as missing:
        fault = missing
    intent = {
        "command_id": command_id(event.id, mapping.name),
        "key16": command_key16(event.id, mapping.name),
        "event_id": event.id,
        "mapping": mapping.name,
        "contract": contract.name,
        "target": target,
        "business_object": subject,
        "correlation_id": _correlation_id(event, subject),
        "plant": event.plant,
        "rule": event.rule,
        "series": event.series,
        "tag": event.tag,
        "asset": event.asset,
        "posting_date": reading.date,
    }
    occurred_at_ns = event.at_ns if event.end_ns is None else event.end_ns
    if fault is not None:
        return Fault(
            **intent,
            occurred_at_ns=occurred_at_ns,
            event_kind=event.kind,
            field=fault.field,
            reason=str(fault),
        )
    command = Command(
        **intent,
        occurred_at_ns=occurred_at_ns,
        source=contracts.source_urn(event.plant, config.plant.enterprise),
        body=body,
        body_json=contracts.canonical_json(body),
    )
    holding = _holding(event, mapping)
    if not holding:
        return command
    return Hold(
        command=command,
        flags=holding,
        reason="; ".join(dict.fromkeys(words.FLAGS[flag] for flag in holding)),
    )


def _holding(event: Event, mapping: DocumentMapping) -> tuple[str, ...]:
    """The flags that make it wait for a person.

    An interval that ends before it began always does: the machine's clock went back inside, and
    nobody knows how long it was.
    """
    found = event.flags.intersection(mapping.hold_if_flags)
    if event.end_ns is not None and event.end_ns < event.start_ns:
        found |= {"clock_regress"}
    return tuple(sorted(found))


def _body(reading: _Reading, mapping: DocumentMapping, contract: Contract) -> dict[str, object]:
    named = dict(mapping.fields)
    body: dict[str, object] = {}
    for name, member in contract.members.items():
        spec = named.get(name)
        is_optional = spec.is_optional if spec else not member.is_required
        if spec is None:
            if not words.has_path(member.source, reading.event.kind):
                continue
            spec = FieldMap(source=member.source)
        if is_optional and not reading.has(spec.source):
            continue
        body[name] = reading.value(member, spec)
        try:
            contracts.read_member(member, body[name])
        except ValueError as wrong:
            raise _Missing(reading.event, name, str(wrong)) from None
    return body


@dataclass(frozen=True, slots=True)
class _Reading:
    """One event as a mapping reads it. Every failure is a _Missing that names event kind and
    field.
    """

    event: Event
    date: str
    rule_unit: str

    def value(self, member: Member, spec: FieldMap) -> object:
        """The member's value in canonical form."""
        if member.kind == "quantity":
            return self._quantity(member.name, spec)
        if spec.const is not None:
            return spec.const if member.kind == "boolean" else str(spec.const)
        if spec.map:
            return self._mapped(member, spec)
        if member.kind == "texts":
            return sorted(self.event.flags)
        if member.kind == "boolean":
            return self._flag(spec.source)
        return self.text(spec.source, member.name)

    def has(self, path: str) -> bool:
        """Whether the event carries the path. Dates, flags and the list of flags are always
        there.
        """
        if path in ("posting_date", "flags") or path.startswith("flags."):
            return True
        return self._raw(path) not in (None, "")

    def text(self, path: str, field: str) -> str:
        """A path's value as text; a missing one is an error, never a default."""
        kind = words.EVENT_PATHS[path][0]
        if kind == "date":
            return self.date
        value = self._raw(path)
        if value is None or value == "":
            raise _Missing(self.event, field, f"the event has no {path}")
        if kind == "time":
            return contracts.time_text(cast(int, value))
        return value if isinstance(value, str) else units.to_text(self._exact(path, field))

    def _mapped(self, member: Member, spec: FieldMap) -> object:
        is_flag = words.EVENT_PATHS[spec.source][0] == "boolean"
        key = (
            str(self._flag(spec.source)).lower() if is_flag else self.text(spec.source, member.name)
        )
        for known, value in spec.map:
            if known == key:
                return value if member.kind == "boolean" else str(value)
        why = f"{spec.source} is {key!r}, which the mapping's map does not list"
        raise _Missing(self.event, member.name, why)

    def _flag(self, path: str) -> bool:
        return path.removeprefix("flags.") in self.event.flags

    def _raw(self, path: str) -> object:
        """The event's own value of a path; None or "" where it has none."""
        event = self.event
        if path.startswith("context."):
            return getattr(event.context, path.removeprefix("context."))
        if path in ("at", "start", "end", "duration"):
            return getattr(event, f"{path}_ns")
        if path in words.AGGREGATES:
            return (event.aggregates or {}).get(path)
        if path == "state":
            return event.text or (str(event.value) if isinstance(event.value, int) else "")
        return getattr(event, path)

    def _exact(self, path: str, field: str) -> Fraction:
        """The exact value: an integer or decimal itself, a double by its shortest text
        (``repr``).
        """
        value = self._raw(path)
        if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
            raise _Missing(self.event, field, f"the event has no {path}")
        if not isinstance(value, int) and not math.isfinite(value):
            raise _Missing(self.event, field, f"{path} is not a finite number")
        return Fraction(repr(value)) if isinstance(value, float) else Fraction(value)

    def _quantity(self, field: str, spec: FieldMap) -> dict[str, str]:
        if spec.const is not None:
            return {"unit": spec.unit, "value": units.to_text(Fraction(cast(Decimal, spec.const)))}
        value = self._exact(spec.source, field)
        kind = words.EVENT_PATHS[spec.source][0]
        source_unit = self.event.unit or self.rule_unit
        source_unit = words.UNIT_OF_KIND.get(kind, source_unit + words.BY_SECOND.get(kind, ""))
        if kind == "duration":
            value *= _NS
        unit = spec.unit or source_unit
        try:
            if unit != source_unit:
                value = units.convert(value, source_unit, unit)
            if spec.round is not None:
                value = units.round_to(value, spec.round, spec.rounding)
            return {"unit": unit, "value": units.to_text(value)}
        except ValueError as wrong:
            raise _Missing(self.event, field, f"{spec.source}: {wrong}") from None


def _correlation_id(event: Event, subject: str) -> str:
    order = event.context.order
    about = ("order", order) if order else ("object", subject) if subject else ("event", event.id)
    return _uuid8(_hash("penstock-correlation/1", event.plant, *about))


def _hash(*parts: str) -> bytes:
    return hashlib.sha256(_SEPARATOR.join(parts).encode("utf-8")).digest()


def _uuid8(digest: bytes) -> str:
    """UUID version 8 (RFC 9562, section 5.8) over the first 16 bytes of a digest."""
    number = int.from_bytes(digest[:16], "big")
    number = number & ~(0xF << 76) | (8 << 76)
    number = number & ~(0b11 << 62) | (0b10 << 62)
    return str(uuid.UUID(int=number))
