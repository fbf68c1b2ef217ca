"""Audit: every change of an entry becomes one link of a hash chain.

``verify`` finds a changed byte and a cut tail.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from penstock.outbox.content import canonical_json, content_hash
from penstock.outbox.store import Store

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Head:
    """Where the chain ends: number and hash of its last link."""

    seq: int
    hash: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What ``verify`` found; ``problems`` is empty when all is well."""

    links: int
    entries: int
    events: int
    problems: tuple[str, ...]


class Chain:
    """Appends links inside the caller's transaction. One per transaction."""

    def __init__(self, store: Store, head: Head, now_ns: int) -> None:
        self.head = head
        self._store = store
        self._now_ns = now_ns

    def link(
        self,
        entry_id: int,
        change: tuple[str, str],
        *,
        by: str,
        reason: str,
        detail: dict[str, Any],
    ) -> None:
        """One change, from a state to a state. ``by`` is ``penstock`` or a person's name."""
        seq, detail_json = self.head.seq + 1, canonical_json(detail)
        fields = (seq, entry_id, self._now_ns, *change, by, reason, detail_json)
        head = Head(seq, link_hash(self.head.hash, fields))
        names = ("seq", "entry_id", "at_ns", "from_state", "to_state", "by", "reason", "detail")
        values = dict(zip(names, fields, strict=True))
        self._store.rows("audit_insert", {**values, "prev_hash": self.head.hash, "hash": head.hash})
        self.head = head


def link_hash(prev_hash: str, fields: tuple[Any, ...]) -> str:
    """SHA-256 over the hash before and the link's own fields as JSON, hex."""
    return hash_text(json.dumps([prev_hash, *fields]))


def hash_text(text: str) -> str:
    """SHA-256 of a link's JSON, hex."""
    return hashlib.sha256(text.encode()).hexdigest()


def entry_content(record: dict[str, Any], event_body: str) -> str:
    """Hash of what must never change in an entry, and of the event it came from."""
    names = ("command_id", "target", "key16", "event_id", "mapping", "contract", "business_object")
    more = ("correlation_id", "plant", "occurred_at_ns", "posting_date", "body", "digest")
    return content_hash([*(record[name] for name in names + more), event_body])


def verify(store: Store, remembered: Head | None) -> Verdict:
    """Walks the whole chain and compares it with the entries. Read-only; call it inside a snapshot.

    ``remembered`` is the head noted outside the database, which tells a cut tail from a short
    history.
    """
    problems: list[str] = []
    contents: dict[int, str] = {}
    outcomes: dict[int, tuple[str, str]] = {}
    head = Head(0, GENESIS)
    meets_remembered = remembered is None or remembered.seq == 0
    while page := store.rows("audit_page", {"after": head.seq}):
        for *fields, prev_hash, stored_hash in page:
            seq, entry_id, detail = fields[0], fields[1], fields[7]
            if seq != head.seq + 1:
                problems.append(f"audit {seq}: links {head.seq + 1} to {seq - 1} are missing")
            if prev_hash != head.hash or link_hash(prev_hash, tuple(fields)) != stored_hash:
                problems.append(
                    f"audit {seq}: entry {entry_id}: the link was changed, or one before it"
                )
            _learn(entry_id, detail, contents, outcomes)
            head = Head(seq, stored_hash)
            meets_remembered = meets_remembered or head == remembered
    if not meets_remembered:
        problems.append(
            "the end of the chain is missing: the note beside the ledger knows a later link"
        )
    ledger = store.row("ledger_read")
    if ledger is None or (ledger[4], ledger[5]) != (head.seq, head.hash):
        problems.append(
            f"the chain ends at {head.seq}, the ledger's own row says otherwise: cut or changed"
        )
    entries = _check_entries(store, contents, outcomes, problems)
    events = _check_events(store, problems)
    return Verdict(head.seq, entries, events, tuple(problems))


def _learn(
    entry_id: int, detail: str, contents: dict[int, str], outcomes: dict[int, tuple[str, str]]
) -> None:
    try:
        known = json.loads(detail)
    except ValueError:
        return  # the hash has already told
    if "content" in known:
        contents[entry_id] = known["content"]
    if "document" in known:
        outcomes[entry_id] = (known["document"], known["receipt"])


def _check_entries(
    store: Store,
    contents: dict[int, str],
    outcomes: dict[int, tuple[str, str]],
    problems: list[str],
) -> int:
    for entry_id, state, chained in store.rows("audit_last_state"):
        problems.append(
            f"entry {entry_id}: its row says {state}, the chain says {chained or 'nothing'}"
        )
    after = count = 0
    while page := store.records("entry_page", {"after": after}):
        for record in page:
            after, count = record["entry_id"], count + 1
            event_body = record.pop("event_body")
            if contents.pop(after, None) != entry_content(record, event_body):
                problems.append(f"entry {after}: the document or its event was changed")
            said = (record["document"], content_hash([record["receipt"]]))
            if outcomes.get(after, ("", content_hash([""]))) != said:
                problems.append(f"entry {after}: the document number or receipt was changed")
    problems.extend(f"entry {each}: the row is missing" for each in contents)
    return count


def _check_events(store: Store, problems: list[str]) -> int:
    after, count = "", 0
    while page := store.rows("event_page", {"after": after}):
        for event_id, body, body_hash in page:
            after, count = event_id, count + 1
            if content_hash([body]) != body_hash:
                problems.append(f"event {event_id}: its content was changed")
    return count
