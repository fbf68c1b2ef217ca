"""Content: events and samples as the ledger keeps them, and back again. Same input, same bytes."""

from __future__ import annotations

import hashlib
import itertools
import json
import struct
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import fields
from decimal import Decimal
from typing import Any, Final

from penstock.errors import LedgerError
from penstock.events import Context, Event, Evidence

BEFORE_MAX: Final = 192
AFTER_MAX: Final = 64

_EVENT_FIELDS: Final = tuple(each.name for each in fields(Event))
_CONTEXT_FIELDS: Final = tuple(each.name for each in fields(Context))
_LAYOUT: Final = 1
_HEAD: Final = struct.Struct("<BH")  # layout, samples


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces; floats as the shortest text that reads back the same."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def event_to_json(event: Event) -> str:
    """An event as canonical JSON; a Decimal becomes its text."""
    record = {name: getattr(event, name) for name in _EVENT_FIELDS if name not in ("seq", "pos")}
    record["quantity"] = None if event.quantity is None else str(event.quantity)
    record["flags"] = sorted(event.flags)
    record["context"] = {name: getattr(event.context, name) for name in _CONTEXT_FIELDS}
    return canonical_json(record)


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
    digest = hashlib.sha256()
    for part in parts:
        raw = part if isinstance(part, bytes) else str(part).encode()
        digest.update(len(raw).to_bytes(8, "little"))
        digest.update(raw)
    return digest.hexdigest()


def pack_samples(time_ns: Sequence[int], values: Sequence[float], quality: Sequence[int]) -> bytes:
    """Samples as a small blob: layout, count, deflated columns of time steps, values, qualities."""
    count = len(time_ns)
    steps = (
        [time_ns[0], *(after - before for before, after in itertools.pairwise(time_ns))]
        if count
        else []
    )
    columns = struct.pack(f"<{count}q{count}d{count}H", *steps, *values, *quality)
    return _HEAD.pack(_LAYOUT, count) + zlib.compress(columns, 1)


def unpack_samples(blob: bytes) -> tuple[list[int], list[float], list[int]]:
    """Time, values and qualities of ``pack_samples``."""
    try:
        layout, count = _HEAD.unpack_from(blob)
        if layout != _LAYOUT:
            raise LedgerError(f"evidence has layout {layout}, this build reads {_LAYOUT}")
        columns = struct.unpack(f"<{count}q{count}d{count}H", zlib.decompress(blob[_HEAD.size :]))
    except (struct.error, zlib.error) as wrong:
        raise LedgerError(f"a piece of evidence cannot be read: {wrong}") from wrong
    times: list[int] = []
    for step in columns[:count]:
        times.append(step + (times[-1] if times else 0))
    return times, list(columns[count : 2 * count]), list(columns[2 * count :])


def split_evidence(evidence: Evidence) -> tuple[bytes, bytes]:
    """The packed samples up to the event's block, and those behind it.

    ``b""`` where there are none.
    """
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


def _packed(evidence: Evidence, part: slice) -> bytes:
    times = evidence.time_ns[part]
    return pack_samples(times, evidence.values[part], evidence.quality[part]) if times else b""
