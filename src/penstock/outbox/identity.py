"""Identity: a note beside the ledger that says which ledger belongs here and how far it had come.

The note is how a ledger that was deleted, or restored from an old copy, is noticed: then what
happened in the gap is not known, and its entries start in doubt. It is not fsynced; a note that
lags is harmless, one that leads is the alarm.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from penstock.outbox.audit import Head

NOTE_NAME = "ledger.id"
_NOTE_BYTES = 256  # one write of a fixed size, in place
_NOTE = b'{"ledger": "%b", "commits": %d, "audit_seq": %d, "audit_hash": "%b"}'


@dataclass(frozen=True, slots=True)
class Note:
    """What the file ``ledger.id`` says."""

    ledger_id: str
    commits: int
    head: Head


def read_note(ledger_path: Path) -> Note | None:
    """The note, or None where there is none or it cannot be read."""
    try:
        found = json.loads(ledger_path.with_name(NOTE_NAME).read_text(encoding="utf-8"))
        head = Head(int(found["audit_seq"]), str(found["audit_hash"]))
        return Note(str(found["ledger"]), int(found["commits"]), head)
    except (OSError, ValueError, KeyError, TypeError):
        return None


class NoteFile:
    """The note, open for writing in place."""

    def __init__(self, ledger_path: Path) -> None:
        self._path = ledger_path.with_name(NOTE_NAME)
        self._descriptor = -1

    def write(self, note: Note) -> None:
        """Writes the note. Raises OSError."""
        raw = _NOTE % (
            *(note.ledger_id.encode(), note.commits, note.head.seq, note.head.hash.encode()),
        )
        if self._descriptor < 0:
            flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(self._path, flags, 0o640)
        os.pwrite(self._descriptor, raw.ljust(_NOTE_BYTES - 1) + b"\n", 0)

    def close(self) -> None:
        """Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
