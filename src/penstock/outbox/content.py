"""Content: events and samples as the ledger keeps them, and back again. Same input, same bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import fields
from decimal import Decimal
from itertools import chain
from math import isfinite
from typing import Any, Final

from penstock.errors import LedgerError
from penstock.events import Context, Event, Evidence, PackedEvidence
from penstock.samples import pack_samples, unpack_samples

BEFORE_MAX: Final = 192
AFTER_MAX: Final = 64

_EVENT_FIELDS: Final = tuple(each.name for each in fields(Event))
_CONTEXT_FIELDS: Final = tuple(each.name for each in fields(Context))
_LENGTHS_MADE: Final = 4096
_LENGTHS: Final = tuple(size.to_bytes(8, "little") for size in range(_LENGTHS_MADE))
_text: Final = json.encoder.encode_basestring


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces; floats as the shortest text that reads back the same."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def event_to_json(event: Event) -> str:
    """An event as canonical JSON; a Decimal becomes its text. Written out, for it is in every
    commit: the general encoder took six times as long for the same bytes.
    """
    on = event.context
    quantity = "null" if event.quantity is None else f'"{event.quantity}"'
    flags = ",".join(map(_text, sorted(event.flags)))
    return (
        f'{{"aggregates":{_figures(event.aggregates)},"asset":{_text(event.asset)},'
        f'"at_ns":{event.at_ns},"by":{_text(event.by)},'
        f'"config_generation":{event.config_generation},"context":{{"lot":{_text(on.lot)},'
        f'"material":{_text(on.material)},"operation":{_text(on.operation)},'
        f'"order":{_text(on.order)},"shift":{_text(on.shift)}}},"count":{event.count},'
        f'"digest":{_text(event.digest)},"end_ns":{_number(event.end_ns)},'
        f'"end_reading":{_number(event.end_reading)},"engine_time_ns":{event.engine_time_ns},'
        f'"first":{_number(event.first)},"flags":[{flags}],"id":{_text(event.id)},'
        f'"kind":{_text(event.kind)},"last":{_number(event.last)},"limit":{_number(event.limit)},'
        f'"max":{_number(event.max)},"min":{_number(event.min)},"occurrence":{event.occurrence},'
        f'"plant":{_text(event.plant)},"quantity":{quantity},"revision":{event.revision},'
        f'"rule":{_text(event.rule)},"series":{_text(event.series)},"start_ns":{event.start_ns},'
        f'"start_reading":{_number(event.start_reading)},"sum":{_number(event.sum)},'
        f'"tag":{_text(event.tag)},"text":{_text(event.text)},"time_epoch":{event.time_epoch},'
        f'"unit":{_text(event.unit)},"value":{_number(event.value)}}}'
    )


def event_from_json(text: str) -> Event:
    """The event again.

    ``seq`` and ``pos`` are 0, for they meant something only to the run that made it.
    """
    record: dict[str, Any] = json.loads(text)
    try:
        known = {name: record[name] for name in _EVENT_FIELDS if name in record}
        known |= {
            "seq": 0,
            "pos": 0,
            "quantity": None if record["quantity"] is None else Decimal(record["quantity"]),
            "flags": frozenset(record["flags"]),
            "context": Context(**record["context"]),
        }
        return Event(**known)
    except (KeyError, TypeError) as wrong:
        raise LedgerError(
            f"a stored event cannot be read: {wrong}; run `penstock ledger verify`"
        ) from wrong


def document_digest(contract: str, body_json: bytes) -> str:
    """SHA-256 over contract and document, hex: what tells *same key, other content*."""
    return hashlib.sha256(contract.encode() + b"\n" + body_json).hexdigest()


def content_hash(parts: Iterable[str | int | bytes]) -> str:
    """SHA-256 over parts, each with its length, hex."""
    made = [
        part.encode()
        if part.__class__ is str
        else part
        if isinstance(part, bytes)
        else str(part).encode()
        for part in parts
    ]
    try:
        lengths = map(_LENGTHS.__getitem__, map(len, made))
        whole = b"".join(chain.from_iterable(zip(lengths, made, strict=True)))
    except IndexError:  # a long document
        whole = b"".join(len(each).to_bytes(8, "little") + each for each in made)
    return hashlib.sha256(whole).hexdigest()


def split_evidence(evidence: Evidence) -> tuple[bytes, bytes]:
    """The packed samples up to the event's block, and those behind it.

    ``b""`` where there are none.
    """
    if isinstance(evidence, PackedEvidence) and (count := len(evidence)):
        if evidence.before == count <= BEFORE_MAX:
            return evidence.packed, b""
        if evidence.before == 0 and count <= AFTER_MAX:
            return b"", evidence.packed
    before = slice(max(0, evidence.before - BEFORE_MAX), evidence.before)
    after = slice(evidence.before, evidence.before + AFTER_MAX)
    return _packed(evidence, before), _packed(evidence, after)


def join_evidence(tag: str, before: bytes, after: bytes) -> Evidence:
    """Evidence again from its two parts."""
    early = unpack_samples(before) if before else ([], [], [])
    late = unpack_samples(after) if after else ([], [], [])
    return Evidence(
        tag=tag,
        time_ns=tuple(early[0] + late[0]),
        values=tuple(early[1] + late[1]),
        quality=tuple(early[2] + late[2]),
        before=len(early[0]),
    )


def _figures(aggregates: Mapping[str, int | float | None] | None) -> str:
    if aggregates is None:
        return "null"
    named = sorted(aggregates.items())
    return "{" + ",".join(f"{_text(name)}:{_number(value)}" for name, value in named) + "}"


def _number(value: int | float | None) -> str:
    if value is None:
        return "null"
    if value.__class__ is not int and not isfinite(value):
        raise ValueError(f"{value!r} is no number in JSON")
    return repr(value)


def _packed(evidence: Evidence, part: slice) -> bytes:
    times = evidence.time_ns[part]
    return pack_samples(times, evidence.values[part], evidence.quality[part]) if times else b""
