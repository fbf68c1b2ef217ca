"""Batch: mapped events become all rows of one transaction, before it is begun. Pure.

The plain way (``Ledger.commit_batch`` event by event) asks the database at every step. Here nothing
is asked: entry numbers and the audit chain go on from where the ledger stood. Where it no longer
stands there, or an id is known already, a statement fails, all is rolled back and the plain way is
taken. Both write the same rows, bit for bit (tests/unit/test_ledger_batch.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii
from typing import Any, Final

from penstock.events import Event, Evidence
from penstock.mapping import Command, Fault, Hold
from penstock.outbox import content, rows
from penstock.outbox.audit import Head, hash_text
from penstock.outbox.store import Row

_PHASES: Final = ("before", "after")


@dataclass(frozen=True, slots=True)
class Mapped:
    """One event with what mapping made of it and the samples around it."""

    event: Event
    outputs: Sequence[Command | Fault | Hold] = ()
    evidence: Evidence | None = None


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a ledger stands: each change of any process moves ``commits``."""

    ledger_id: str
    commits: int
    head: Head
    entry_id: int  # the newest
    evidence_bytes: int


@dataclass(slots=True)
class Rows:
    """The rows a batch adds, by table, and where the ledger stands with them."""

    stand: Stand
    events: list[Row] = field(default_factory=list)
    registers: list[Row] = field(default_factory=list)
    evidence: list[Row] = field(default_factory=list)
    entries: list[Row] = field(default_factory=list)
    audit: list[Row] = field(default_factory=list)
    unmapped: int = 0


def make_rows(batch: Sequence[Mapped], stand: Stand, *, gap_until_ns: int, now_ns: int) -> Rows:
    """All rows of a batch of new events on top of ``stand``."""
    made = Rows(stand)
    entry_id, seq, last_hash = stand.entry_id, stand.head.seq, stand.head.hash
    evidence_bytes = stand.evidence_bytes
    for each in batch:
        event = each.event
        body = content.event_to_json(event)
        raw = body.encode()
        made.events.append(rows.event_row(event, body, content.content_hash((raw,)), now_ns))
        register = rows.register_row(event)
        if register is not None:
            made.registers.append(register)
        if each.evidence is not None:
            evidence_bytes += _add_evidence(made, event.id, each.evidence)
        made.unmapped += not each.outputs
        is_in_gap = event.engine_time_ns <= gap_until_ns
        for output in each.outputs:
            entry_id, seq = entry_id + 1, seq + 1
            entry, immutable = rows.entry_row(entry_id, output, is_in_gap, now_ns)
            made.entries.append(entry)
            sealed = content.content_hash((*immutable, raw))
            link = _first_link((seq, entry_id, now_ns), entry, sealed, last_hash)
            made.audit.append(link)
            last_hash = link[-1]
    head = Head(seq, last_hash)
    made.stand = Stand(stand.ledger_id, stand.commits + 1, head, entry_id, evidence_bytes)
    return made


def _add_evidence(made: Rows, event_id: str, evidence: Evidence) -> int:
    size = 0
    for phase, samples in zip(_PHASES, content.split_evidence(evidence), strict=True):
        if samples:
            made.evidence.append((event_id, evidence.tag, phase, samples))
            size += len(samples)
    return size


def _first_link(numbers: tuple[int, int, int], entry: Row, sealed: str, last_hash: str) -> Row:
    """The link of a new entry: what ``Chain.link`` writes, its texts put together at once."""
    seq, entry_id, now_ns = numbers
    state, reason = entry[rows.ENTRY_STATE], entry[rows.ENTRY_REASON]
    said = encode_basestring_ascii(reason)
    text = (
        f'["{last_hash}", {seq}, {entry_id}, {now_ns}, "", "{state}", "penstock", {said}, '
        f'"{{\\"content\\":\\"{sealed}\\"}}"]'
    )
    detail = f'{{"content":"{sealed}"}}'
    link: tuple[Any, ...] = (seq, entry_id, now_ns, "", state, "penstock", reason, detail)
    return (*link, last_hash, hash_text(text))
