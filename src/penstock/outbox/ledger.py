"""Ledger: events and commands become durable rows, and so does all that happens to an entry.

On return of every method that changes something, the change is on the disk. One transaction per
batch: only after ``commit_batch`` returned may the batch be acknowledged.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from penstock.errors import LedgerError
from penstock.events import Event, Evidence
from penstock.mapping import Command
from penstock.outbox import content, rows, view
from penstock.outbox.audit import GENESIS, Chain, Head, entry_content
from penstock.outbox.batch import Mapped, Rows, Stand, make_rows
from penstock.outbox.decide import Decision
from penstock.outbox.entry import Entry, State
from penstock.outbox.identity import Note, NoteFile, read_note
from penstock.outbox.store import AlreadyThere, Store
from penstock.testing import crash

LEDGER_NAME: Final = "ledger.sqlite"
EVIDENCE_BYTES_MAX: Final = 256 * 1024 * 1024

_log = logging.getLogger("penstock.outbox")
_SELF = "penstock"


@dataclass(slots=True)
class Committed:
    """What a batch changed, in numbers of events and entries."""

    events: int = 0
    entries: int = 0
    redelivered: int = 0
    absorbed: int = 0
    conflicts: int = 0
    unmapped: int = 0


@dataclass(frozen=True, slots=True)
class Baseline:
    """Where the last event of a register ended."""

    rule: str
    series: str
    tag: str
    end_reading: int | float
    end_ns: int


class Ledger:
    """The posting ledger of one plant, open for writing.

    One thread per object; several processes may write.
    """

    def __init__(self, store: Store, evidence_bytes_max: int) -> None:
        self._store = store
        self._evidence_bytes_max = evidence_bytes_max
        self._gap_until_ns = 0
        self._stand: Stand | None = None  # as this object's last commit left it
        self._note = NoteFile(store.path)

    @classmethod
    def open(
        cls,
        path: Path,
        *,
        now_ns: int,
        is_expected: bool = False,
        evidence_bytes_max: int = EVIDENCE_BYTES_MAX,
    ) -> Ledger:
        """Opens or creates the ledger file and brings its schema up to date.

        ``is_expected``: the plant has a history, so a new file means that the old one was lost.
        Then, and where the file is older than the note beside it, all that happened up to
        ``now_ns`` starts in doubt. Raises StateError (unreadable, newer than this build, no WAL) or
        LedgerError.
        """
        ledger = cls(Store.connect(path), evidence_bytes_max)
        try:
            ledger._identify(now_ns, is_expected)
        except BaseException:
            ledger.close()
            raise
        return ledger

    @property
    def path(self) -> Path:
        """The ledger file."""
        return self._store.path

    @property
    def reader(self) -> view.Reader:
        """The questions that change nothing, over this connection."""
        return view.Reader(self._store)

    def close(self) -> None:
        """Idempotent."""
        self._note.close()
        self._store.close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- events in --------------------------------------------------------------------------

    def commit_batch(
        self, batch: Sequence[Mapped], *, now_ns: int, recovering_until_ns: int | None = None
    ) -> Committed:
        """All of a batch in one transaction.

        A known id with the same digest is skipped whole and counted. A known id with other content
        is kept beside the first, and a held entry names both; up to event time
        ``recovering_until_ns`` it is only counted.
        """
        done = self._commit_new(batch, now_ns)
        if done is not None:
            return done
        done = Committed()
        with self._change(now_ns) as chain:
            for each in batch:
                self._take(each, chain, done, now_ns, recovering_until_ns)
            self._count("events", done.events)
            self._count("redelivered", done.redelivered)
            self._count("absorbed", done.absorbed)
            self._count("conflicts", done.conflicts)
            self._count("unmapped", done.unmapped)
            self._trim_evidence()
            crash.point("ledger.commit.before")
        crash.point("ledger.commit.after")
        return done

    def _commit_new(self, batch: Sequence[Mapped], now_ns: int) -> Committed | None:
        """A batch of nothing but new events on a ledger nobody else changed, which is the rule.

        Rows are made before the transaction is begun. None where it is otherwise; nothing changed.
        """
        stand, self._stand = self._stand or self._read_stand(), None
        made = make_rows(batch, stand, gap_until_ns=self._gap_until_ns, now_ns=now_ns)
        is_trimmed = made.stand.evidence_bytes > self._evidence_bytes_max
        try:
            with self._store.transaction():
                if not self._add_rows(stand, made):
                    return None
                if is_trimmed:
                    self._trim_evidence()
                crash.point("ledger.commit.before")
        except AlreadyThere:
            return None
        crash.point("ledger.commit.after")
        now = made.stand
        self._stand = None if is_trimmed else now
        self._write_note(Note(now.ledger_id, now.commits, now.head))
        return Committed(len(made.events), len(made.entries), unmapped=made.unmapped)

    def _add_rows(self, stand: Stand, made: Rows) -> bool:
        now = made.stand
        advance = (now.head.seq, now.head.hash, now.evidence_bytes, stand.commits)
        if self._store.write("ledger_advance", advance) != 1:
            return False
        self._store.write_many("event_insert_many", made.events)
        self._store.write_many("register_write_many", made.registers)
        self._store.write_many("evidence_insert_many", made.evidence)
        self._store.write_many("entry_insert_many", made.entries)
        self._store.write_many("audit_insert_many", made.audit)
        self._count("events", len(made.events))
        self._count("unmapped", made.unmapped)
        return True

    def _read_stand(self) -> Stand:
        row = self._store.row("ledger_stand")
        assert row is not None
        ledger_id, commits, seq, last_hash, evidence_bytes, entry_id = row
        return Stand(ledger_id, commits, Head(seq, last_hash), entry_id, evidence_bytes)

    def add_evidence(self, pieces: Sequence[tuple[str, Evidence]], *, now_ns: int) -> None:
        """The samples behind events (id, samples), seconds after them.

        Kept once; a repeat changes nothing.
        """
        packed = [
            (event_id, each.tag, content.split_evidence(each)[1]) for event_id, each in pieces
        ]
        if not any(samples for _, _, samples in packed):
            return
        with self._change(now_ns):
            for event_id, tag, samples in packed:
                if samples:
                    self._keep_evidence(event_id, tag, "after", samples)
            self._trim_evidence()

    def baselines(self) -> list[Baseline]:
        """Where the last event of each register ended, for the engine's BASELINE records."""
        found = []
        for rule, series, tag, reading, reading_type, end_ns in self._store.rows("register_all"):
            exact = int(reading) if reading_type == "i64" else float(reading)
            found.append(Baseline(rule, series, tag, exact, end_ns))
        return found

    def newest_event_ns(self) -> int | None:
        """Time of the newest event, or None where there is none."""
        row = self._store.row("event_newest_ns")
        return None if row is None else row[0]

    # ---- entries out ------------------------------------------------------------------------

    def recover(self, *, now_ns: int) -> int:
        """At start, by the one process that posts: what was on its way goes in doubt.

        Returns how many.
        """
        with self._change(now_ns) as chain:
            found = [entry_id for (entry_id,) in self._store.rows("entry_posting")]
            for entry_id in found:
                reason = "the process ended while this was being sent"
                self._move(
                    chain,
                    self._read(entry_id),
                    Decision(State.IN_DOUBT, "restart", reason, now_ns),
                    now_ns,
                )
            self._store.rows("target_wake_access")
        return len(found)

    def due(self, target: str, *, now_ns: int, limit: int) -> list[Entry]:
        """The oldest open entry of each business object, where its time has come.

        None while the target rests.
        """
        if self.rest_until_ns(target) > now_ns:
            return []
        values = {"target": target, "now_ns": now_ns, "limit": limit}
        return [view.to_entry(record) for record in self._store.records("entry_due", values)]

    def next_try_ns(self, target: str) -> int | None:
        """When the next entry of a target may become due, or None: nothing waits."""
        row = self._store.row("entry_next_try_ns", {"target": target})
        return (
            None if row is None or row[0] is None else max(int(row[0]), self.rest_until_ns(target))
        )

    def rest_until_ns(self, target: str) -> int:
        """Until when a target rests; 0 = it does not."""
        row = self._store.row("target_read", {"name": target})
        return 0 if row is None else int(row[0])

    def mark_posting(self, entry: Entry, *, now_ns: int) -> Entry | None:
        """Durable before the send: the entry as it stands now, with the number of this send.

        None where somebody changed the entry since it was read.
        """
        with self._change(now_ns) as chain:
            if self._has_changed(entry):
                return None
            self._store.rows("entry_mark_posting", {"entry_id": entry.entry_id, "now_ns": now_ns})
            marked = self._read(entry.entry_id)
            chain.link(
                entry.entry_id,
                (entry.state, State.POSTING),
                by=_SELF,
                reason="",
                detail={"send": marked.sends},
            )
        return marked

    def record(self, entry: Entry, decision: Decision, *, now_ns: int) -> bool:
        """What was decided about ``entry``.

        False where the row moved on: an answer to an older send is not attached.
        """
        crash.point("receipt.before")
        with self._change(now_ns) as chain:
            if self._has_changed(entry):
                return False
            self._move(chain, entry, decision, now_ns)
            if decision.rest is not None:
                until_ns, category = decision.rest.until_ns, decision.rest.category
                values = {"name": entry.target, "rest_until_ns": until_ns, "category": category}
                self._store.rows("target_rest", values)
            if decision.counter:
                self._count(decision.counter, 1)
        crash.point("receipt.after")
        return True

    def wake(self, target: str, *, now_ns: int) -> None:
        """The target answers again: what only waited for it goes now."""
        with self._change(now_ns):
            self._store.rows("entry_wake", {"target": target, "now_ns": now_ns})
            self._store.rows("target_wake", {"name": target, "now_ns": now_ns})

    def wake_all(self, *, now_ns: int) -> None:
        """The wall clock went back: no entry waits for a time that was measured by the old one."""
        with self._change(now_ns):
            self._store.rows("entry_wake_all", {"now_ns": now_ns})
            self._store.rows("target_wake_all", {"now_ns": now_ns})

    # ---- a person decides -------------------------------------------------------------------

    def retry(self, entry_id: int, *, by: str, reason: str, now_ns: int) -> Entry:
        """A held or dead entry goes again.

        Asked by key first if it was ever sent. Raises LedgerError with the way out.
        """
        with self._change(now_ns) as chain:
            entry = self._read(entry_id)
            if entry.state not in (State.HELD, State.DEAD, State.RETRY):
                raise LedgerError(
                    f"entry {entry_id} is {entry.state}: only held, dead and retry entries go again"
                )
            if not entry.body_json:
                way = (
                    "correct it in the target, then discard"
                    if entry.category == "conflict"
                    else "use --config"
                )
                raise LedgerError(
                    f"entry {entry_id} has no document ({entry.category}: {entry.reason}); {way}"
                )
            state = (
                State.IN_DOUBT if entry.sends or self._is_in_gap(entry.event_id) else State.READY
            )
            self._resolve(chain, entry, state, by=by, reason=reason, now_ns=now_ns)
        return self._read(entry_id)

    def ask_again(self, entry_id: int, *, by: str, reason: str, now_ns: int) -> Entry:
        """An entry in doubt is looked up now, not at its next time. Nothing is sent by this."""
        with self._change(now_ns) as chain:
            entry = self._read(entry_id)
            if entry.state is not State.IN_DOUBT:
                raise LedgerError(f"entry {entry_id} is {entry.state}: only in_doubt is asked for")
            said = _said(by, reason)
            self._store.rows("entry_ask", {"entry_id": entry_id, "now_ns": now_ns})
            chain.link(entry_id, (entry.state, entry.state), by=by, reason=said, detail={})
        return self._read(entry_id)

    def discard(self, entry_id: int, *, by: str, reason: str, now_ns: int) -> Entry:
        """An entry that must not become a document. One that is being sent cannot be discarded."""
        with self._change(now_ns) as chain:
            entry = self._read(entry_id)
            if entry.state in (State.POSTING, State.POSTED, State.DISCARDED):
                raise LedgerError(
                    f"entry {entry_id} is {entry.state}: it can no longer be discarded"
                )
            self._resolve(chain, entry, State.DISCARDED, by=by, reason=reason, now_ns=now_ns)
        return self._read(entry_id)

    def remap(self, entry_id: int, command: Command, *, by: str, reason: str, now_ns: int) -> Entry:
        """A mapping fault that today's mapping can fill: the document takes its place."""
        with self._change(now_ns) as chain:
            entry = self._read(entry_id)
            if entry.body_json or entry.category != "mapping":
                raise LedgerError(f"entry {entry_id} is no mapping fault")
            if (command.command_id, command.target) != (entry.command_id, entry.target):
                raise LedgerError(
                    f"entry {entry_id}: the command is another one ({command.command_id})"
                )
            values = rows.command_values(command)
            self._store.rows("entry_remap", {**values, "entry_id": entry_id})
            detail = {"content": self._content(entry_id)}
            state = State.IN_DOUBT if self._is_in_gap(entry.event_id) else State.READY
            self._resolve(chain, entry, state, by=by, reason=reason, now_ns=now_ns, detail=detail)
        return self._read(entry_id)

    # ---- inside one transaction -------------------------------------------------------------

    @contextmanager
    def _change(self, now_ns: int) -> Iterator[Chain]:
        with self._store.transaction():
            row = self._store.row("ledger_read")
            assert row is not None
            chain = Chain(self._store, Head(row[4], row[5]), now_ns)
            yield chain
            self._store.rows(
                "ledger_commit", {"audit_seq": chain.head.seq, "audit_hash": chain.head.hash}
            )
        self._write_note(Note(row[0], row[2] + 1, chain.head))

    def _write_note(self, note: Note) -> None:
        try:
            self._note.write(note)
        except OSError as wrong:  # the commit stands; a note that lags is harmless
            _log.warning("%s: the note beside the ledger was not written: %s", self.path, wrong)

    def _take(
        self,
        mapped: Mapped,
        chain: Chain,
        done: Committed,
        now_ns: int,
        recovering_until_ns: int | None,
    ) -> None:
        event = mapped.event
        known = self._store.row("event_digest", {"event_id": event.id})
        if known is not None:
            if known[0] == event.digest:
                done.redelivered += 1
            elif (
                recovering_until_ns is not None and rows.event_time_ns(event) <= recovering_until_ns
            ):
                done.absorbed += 1
            else:
                self._conflict(event, known[0], chain, done, now_ns)
            return
        self._keep_event(event, now_ns)
        done.events += 1
        if mapped.evidence is not None:
            for phase, samples in zip(
                ("before", "after"), content.split_evidence(mapped.evidence), strict=True
            ):
                if samples:
                    self._keep_evidence(event.id, mapped.evidence.tag, phase, samples)
        is_in_gap = event.engine_time_ns <= self._gap_until_ns
        for output in mapped.outputs:
            self._enter(rows.entry_values(output, is_in_gap=is_in_gap, now_ns=now_ns), chain)
            done.entries += 1
        done.unmapped += not mapped.outputs

    def _keep_event(self, event: Event, now_ns: int) -> None:
        self._store.rows("event_insert", rows.event_values(event, now_ns))
        register = rows.register_values(event)
        if register is not None:
            self._store.rows("register_write", register)

    def _conflict(
        self, event: Event, first_digest: str, chain: Chain, done: Committed, now_ns: int
    ) -> None:
        seen = {"event_id": event.id, "digest": event.digest}
        if self._store.row("conflict_digest", seen) is not None:
            done.redelivered += 1
            return
        body = content.event_to_json(event)
        self._store.rows("conflict_insert", {**seen, "body": body, "now_ns": now_ns})
        values = rows.conflict_values(event, first_digest, now_ns)
        _log.error("%s; nothing is posted for the second", values["reason"])
        self._enter(values, chain)
        done.conflicts += 1
        done.entries += 1

    def _enter(self, values: dict[str, Any], chain: Chain) -> None:
        self._store.rows("entry_insert", values)
        row = self._store.row("entry_exists", values_of(values, "command_id", "target"))
        assert row is not None
        state, reason = values["state"], values["reason"]
        chain.link(
            row[0], ("", state), by=_SELF, reason=reason, detail={"content": self._content(row[0])}
        )

    def _content(self, entry_id: int) -> str:
        record = self._store.records("entry_read", {"entry_id": entry_id})[0]
        event = self._store.row("event_read", {"event_id": record["event_id"]})
        assert event is not None
        return entry_content(record, event[0])

    def _move(self, chain: Chain, entry: Entry, decision: Decision, now_ns: int) -> None:
        values = rows.decision_values(entry, decision, now_ns)
        self._store.rows("entry_decide", values)
        detail: dict[str, Any] = {"category": decision.category}
        if decision.document or decision.receipt_json:
            after = self._read(entry.entry_id)
            receipt = content.content_hash([after.receipt_json])
            detail |= {"document": after.document, "receipt": receipt}
        change = (entry.state, decision.state)
        chain.link(entry.entry_id, change, by=_SELF, reason=values["reason"], detail=detail)

    def _resolve(
        self,
        chain: Chain,
        entry: Entry,
        state: State,
        *,
        by: str,
        reason: str,
        now_ns: int,
        detail: dict[str, Any] | None = None,
    ) -> None:
        said = _said(by, reason)
        values = {"entry_id": entry.entry_id, "state": state, "category": "person", "reason": said}
        self._store.rows("entry_resolve", {**values, "now_ns": now_ns})
        chain.link(entry.entry_id, (entry.state, state), by=by, reason=said, detail=detail or {})

    def _read(self, entry_id: int) -> Entry:
        records = self._store.records("entry_read", {"entry_id": entry_id})
        if not records:
            raise LedgerError(f"there is no entry {entry_id}")
        return view.to_entry(records[0])

    def _has_changed(self, entry: Entry) -> bool:
        now = self._read(entry.entry_id)
        return (now.state, now.sends, now.body_json) != (entry.state, entry.sends, entry.body_json)

    def _count(self, name: str, change: int) -> None:
        if change:
            self._store.rows("counter_add", {"name": name, "change": change})

    # ---- evidence, within its budget --------------------------------------------------------

    def _keep_evidence(self, event_id: str, tag: str, phase: str, samples: bytes) -> None:
        values = {"event_id": event_id, "tag": tag, "phase": phase, "samples": samples}
        if (
            self._store.row("evidence_exists", values_of(values, "event_id", "tag", "phase"))
            is None
        ):
            self._store.rows("evidence_insert", values)
            self._store.rows("evidence_bytes", {"change": len(samples)})

    def _trim_evidence(self) -> None:
        row = self._store.row("ledger_read")
        assert row is not None
        excess = row[6] - self._evidence_bytes_max
        while excess > 0:
            oldest = self._store.rows("evidence_oldest")
            if not oldest:
                return
            removed = count = 0
            for evidence_id, size in oldest:
                if removed >= excess:
                    break
                self._store.rows("evidence_delete", {"evidence_id": evidence_id})
                removed, count = removed + size, count + 1
            self._store.rows("evidence_bytes", {"change": -removed})
            self._count("evidence_removed", count)
            excess -= removed

    # ---- which ledger this is ---------------------------------------------------------------

    def _identify(self, now_ns: int, is_expected: bool) -> None:
        note = read_note(self.path)
        row = self._store.row("ledger_read")
        if row is None:
            is_lost = is_expected or note is not None or self.path.with_name("ledger.id").exists()
            self._gap_until_ns = now_ns if is_lost else 0
            ledger_id = str(uuid.uuid4())
            values = {"ledger_id": ledger_id, "gap_until_ns": self._gap_until_ns, "hash": GENESIS}
            with self._store.transaction():
                self._store.rows("ledger_create", {**values, "now_ns": now_ns})
            if is_lost:
                self._open_gap(now_ns, "the ledger was lost; this is a new one")
            else:
                self._write_note(Note(ledger_id, 0, Head(0, GENESIS)))
            return
        self._gap_until_ns = row[3]
        if note is None or note.ledger_id != row[0]:
            self._open_gap(now_ns, "the note beside the ledger is missing or names another ledger")
        elif note.commits > row[2]:
            self._open_gap(
                now_ns,
                f"the ledger is {note.commits - row[2]} commits older than the note beside it",
            )

    def _open_gap(self, now_ns: int, reason: str) -> None:
        _log.warning(
            "%s: %s; what happened until now is looked up before any send", self.path, reason
        )
        self._gap_until_ns = now_ns
        with self._change(now_ns) as chain:
            self._store.rows("ledger_gap", {"gap_until_ns": now_ns})
            chain.link(0, ("", "gap"), by=_SELF, reason=reason, detail={})
            for (entry_id,) in self._store.rows("entry_open"):
                self._move(
                    chain,
                    self._read(entry_id),
                    Decision(State.IN_DOUBT, "gap", reason, now_ns),
                    now_ns,
                )

    def _is_in_gap(self, event_id: str) -> bool:
        row = self._store.row("event_read", {"event_id": event_id})
        return (
            row is not None and content.event_from_json(row[0]).engine_time_ns <= self._gap_until_ns
        )


def values_of(values: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Some of the values, by name."""
    return {name: values[name] for name in names}


def _said(by: str, reason: str) -> str:
    """The reason of a person's decision. LedgerError where name or reason is missing."""
    if not reason.strip() or not by.strip():
        raise LedgerError("a person's decision needs a name and a reason")
    return reason.strip()[: rows.REASON_CHARS_MAX]
