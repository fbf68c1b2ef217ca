"""Identity: an event's id from stable names alone (design.md section 6)."""

from __future__ import annotations

import hashlib
import uuid


def event_id(
    plant: str,
    rule: str,
    series: str,
    tag: str,
    kind: str,
    *,
    at_ns: int,
    time_epoch: int = 0,
    occurrence: int = 0,
    revision: int = 0,
) -> str:
    """UUIDv8 of the first 128 bits of SHA-256 over the fields, joined by 0x1F, integers decimal."""
    fields = (
        "penstock-event/1", plant, rule, series, tag, kind,
        str(time_epoch), str(at_ns), str(occurrence), str(revision),
    )  # fmt: skip
    raw = bytearray(hashlib.sha256("\x1f".join(fields).encode()).digest()[:16])
    raw[6] = raw[6] & 0x0F | 0x80  # version 8
    raw[8] = raw[8] & 0x3F | 0x80  # the variant of RFC 9562
    return str(uuid.UUID(bytes=bytes(raw)))
