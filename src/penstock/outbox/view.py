"""View: the ledger's rows become answers for people and programs.

Changes nothing, also while another process writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from penstock.errors import LedgerError
from penstock.events import Event, Evidence
from penstock.outbox import audit, content
from penstock.outbox.entry import Entry, State
from penstock.outbox.identity import read_note
from penstock.outbox.store import Store

PREFIX_CHARS_MIN: Final = 8
_RENAMED: Final = {"body_json": "body", "receipt_json": "receipt"}


@dataclass(frozen=True, slots=True)
class Step:
    """One link of an entry's story."""

    seq: int
    at_ns: int
    from_state: str
    to_state: str
    by: str
    reason: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """Another content that came under an event's id."""

    digest: str
    event: Event
    committed_at_ns: int


class Reader:
    """Questions to the ledger."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Reader]:
        """The ledger of a plant, for reading only.

        StateError where there is none or this build is too old.
        """
        store = Store.connect_reading(path)
        try:
            with store.snapshot():
                yield cls(store)
        finally:
            store.close()

    def entry(self, entry_id: int) -> Entry:
        """One entry. LedgerError where there is none."""
        found = self._entries("entry_read", {"entry_id": entry_id})
        if not found:
            raise LedgerError(f"there is no entry {entry_id}")
        return found[0]

    def entries(self, *, state: str = "", target: str = "", limit: int = 100) -> list[Entry]:
        """The newest entries, of one state and target if given."""
        return self._entries("entry_list", {"state": state, "target": target, "limit": limit})

    def waiting(self, *, target: str = "", category: str = "", limit: int = 100) -> list[Entry]:
        """Held, dead and in doubt, the oldest first."""
        values = {"target": target, "category": category, "limit": limit}
        return self._entries("entry_waiting", values)

    def entries_of(self, event_id: str) -> list[Entry]:
        """What an event led to."""
        return self._entries("entry_by_event", {"event_id": event_id})

    def documents(self, *, limit: int) -> list[Entry]:
        """The newest posted entries, newest first."""
        return self._entries("entry_documents", {"limit": limit})

    def find(self, text: str, *, limit: int = 20) -> list[Entry]:
        """Entries by document number, entry number (``#12``), event id, command id or key.

        Ids by prefix of 8 or more.
        """
        if text.startswith("#") and text[1:].isdecimal():
            return self._entries("entry_read", {"entry_id": int(text[1:])})
        found = (
            self._entries("entry_by_document", {"document": text, "limit": limit}) if text else []
        )
        if found or len(text) < PREFIX_CHARS_MIN:
            return found
        for event_id in self.find_events(text, limit=limit):
            found += self.entries_of(event_id)
        if not found:
            found = self._entries("entry_by_command_prefix", {"prefix": text, "limit": limit})
        return found[:limit]

    def find_events(self, prefix: str, *, limit: int = 20) -> list[str]:
        """Ids of events that begin like this; none for a prefix shorter than 8."""
        if len(prefix) < PREFIX_CHARS_MIN:
            return []
        rows = self._store.rows("event_by_prefix", {"prefix": prefix.lower(), "limit": limit})
        return [event_id for (event_id,) in rows]

    def event(self, event_id: str) -> Event:
        """One event as it was committed. LedgerError where there is none."""
        row = self._store.row("event_read", {"event_id": event_id})
        if row is None:
            raise LedgerError(f"there is no event {event_id}")
        return content.event_from_json(row[0])

    def recent(self, since_ns: int) -> tuple[int, int | None, int]:
        """Events committed since then, when the first of them was, and events in all."""
        row = self._store.row("event_recent", {"since_ns": since_ns})
        assert row is not None
        return int(row[0]), row[1], int(row[2])

    def committed_at_ns(self, event_id: str) -> int | None:
        """When an event became durable."""
        row = self._store.row("event_read", {"event_id": event_id})
        return None if row is None else int(row[2])

    def conflicts(self, event_id: str) -> list[Conflict]:
        """Other contents that came under this id."""
        rows = self._store.rows("conflict_read", {"event_id": event_id})
        return [
            Conflict(digest, content.event_from_json(body), at_ns) for digest, body, at_ns in rows
        ]

    def evidence(self, event_id: str) -> list[Evidence]:
        """Samples around an event, one per tag; empty where the byte budget has taken them."""
        parts: dict[str, dict[str, bytes]] = {}
        for tag, phase, samples in self._store.rows("evidence_read", {"event_id": event_id}):
            parts.setdefault(tag, {})[phase] = samples
        return [
            content.join_evidence(tag, each.get("before", b""), each.get("after", b""))
            for tag, each in parts.items()
        ]

    def story(self, entry_id: int) -> list[Step]:
        """Every change of an entry, oldest first."""
        rows = self._store.rows("audit_of_entry", {"entry_id": entry_id})
        return [Step(*row[:6]) for row in rows]

    def states(self) -> dict[str, int]:
        """How many entries stand where; every state is named."""
        return {state.value: 0 for state in State} | dict(self._store.rows("entry_states"))

    def counters(self) -> dict[str, int]:
        """Ledger counters: events, redelivered, absorbed, conflicts, unmapped, lookups_found, …"""
        return dict(self._store.rows("counter_all"))

    def verify(self) -> audit.Verdict:
        """Walks the audit chain and compares it with the rows."""
        note = read_note(self._store.path)
        return audit.verify(self._store, None if note is None else note.head)

    def _entries(self, name: str, values: dict[str, Any]) -> list[Entry]:
        return [to_entry(record) for record in self._store.records(name, values)]


def to_entry(record: dict[str, Any]) -> Entry:
    """An entry from its row by column name."""
    values = {each.name: record[_RENAMED.get(each.name, each.name)] for each in fields(Entry)}
    return Entry(**{**values, "state": State(values["state"])})
