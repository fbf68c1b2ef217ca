"""Rows: events, what mapping made of them, and decisions become the values of statements. Pure."""

from __future__ import annotations

from typing import Any, Final

from penstock.events import Event
from penstock.mapping import Command, Fault, Hold, Intent
from penstock.outbox import content
from penstock.outbox.decide import Decision
from penstock.outbox.entry import Entry, State
from penstock.outbox.store import Row

REASON_CHARS_MAX: Final = 2000

ENTRY_STATE: Final = 14  # places in an entry_row
ENTRY_REASON: Final = 16

_EVENT_COLUMNS: Final = (
    *("digest", "kind", "plant", "rule", "series", "tag", "asset"),
    *("at_ns", "start_ns", "end_ns", "engine_time_ns", "config_generation"),
)
_INTENT_COLUMNS: Final = (
    *("command_id", "target", "key16", "event_id", "mapping", "contract", "business_object"),
    *("correlation_id", "plant", "occurred_at_ns", "posting_date"),
)


def event_time_ns(event: Event) -> int:
    """The end of an event's interval, or its instant."""
    return event.at_ns if event.end_ns is None else event.end_ns


def event_values(event: Event, now_ns: int) -> dict[str, Any]:
    """A row of ``event``."""
    body = content.event_to_json(event)
    return {
        **{name: getattr(event, name) for name in _EVENT_COLUMNS},
        "event_id": event.id,
        "body": body,
        "body_hash": content.content_hash([body]),
        "now_ns": now_ns,
    }


def event_row(event: Event, body: str, body_hash: str, now_ns: int) -> Row:
    """The same in the table's order of columns."""
    return (
        *(event.id, event.digest, event.kind, event.plant, event.rule, event.series, event.tag),
        *(event.asset, event.at_ns, event.start_ns, event.end_ns, event.engine_time_ns),
        *(event.config_generation, body, body_hash, now_ns),
    )


def register_row(event: Event) -> Row | None:
    """``register_values`` in the table's order of columns."""
    end_ns, reading = event.end_ns, event.end_reading
    if reading is None or end_ns is None:
        return None
    reading_type = "i64" if isinstance(reading, int) else "f64"
    return (event.rule, event.series, event.tag, end_ns, reading, reading_type)


def register_values(event: Event) -> dict[str, Any] | None:
    """A row of ``register``, or None where the event carries no reading."""
    if event.end_reading is None or event.end_ns is None:
        return None
    names = ("rule", "series", "tag", "end_ns", "end_reading")
    reading_type = "i64" if isinstance(event.end_reading, int) else "f64"
    return {**{name: getattr(event, name) for name in names}, "reading_type": reading_type}


def entry_values(output: Command | Fault | Hold, *, is_in_gap: bool, now_ns: int) -> dict[str, Any]:
    """A row of ``entry``: ready; in doubt where the ledger's past is not known; held; dead."""
    match output:
        case Fault():
            values = _intent_values(output) | {"body": b"", "digest": ""}
            state, category, reason = State.DEAD, output.category, output.reason
        case Hold():
            values = command_values(output.command)
            state, category, reason = State.HELD, output.category, output.reason
        case Command() if is_in_gap:
            values = command_values(output)
            state, category, reason = State.IN_DOUBT, "gap", "the ledger was lost or restored"
        case Command():
            values = command_values(output)
            state, category, reason = State.READY, "", ""
    stand = {"state": state, "category": category, "reason": reason[:REASON_CHARS_MAX]}
    return {**values, **stand, "now_ns": now_ns}


def entry_row(
    entry_id: int, output: Command | Fault | Hold, is_in_gap: bool, now_ns: int
) -> tuple[Row, Row]:
    """``entry_values`` in the order of ``entry_insert_many``; and what must never change in it."""
    made: Intent
    if isinstance(output, Command) and not is_in_gap:
        made, state, category, reason = output, "ready", "", ""
    else:
        values = entry_values(output, is_in_gap=is_in_gap, now_ns=now_ns)
        state, category, reason = values["state"].value, values["category"], values["reason"]
        made = output.command if isinstance(output, Hold) else output
    body, digest = b"", ""
    if isinstance(made, Command):
        body = made.body_json
        digest = content.document_digest(made.contract, body)
    immutable = (
        *(made.command_id, made.target, made.key16, made.event_id, made.mapping, made.contract),
        *(made.business_object, made.correlation_id, made.plant, made.occurred_at_ns),
        *(made.posting_date, body, digest),
    )
    return (entry_id, *immutable, state, category, reason, now_ns, now_ns), immutable


def command_values(command: Command) -> dict[str, Any]:
    """What an entry has of its command."""
    digest = content.document_digest(command.contract, command.body_json)
    return _intent_values(command) | {"body": command.body_json, "digest": digest}


def conflict_values(event: Event, first_digest: str, now_ns: int) -> dict[str, Any]:
    """The held entry that names both contents of one id; it can only be discarded."""
    return {
        **dict.fromkeys(_INTENT_COLUMNS, ""),
        "command_id": f"conflict:{event.id}:{event.digest}",
        "event_id": event.id,
        "business_object": event.asset,
        "plant": event.plant,
        "occurred_at_ns": event_time_ns(event),
        "body": b"",
        "digest": event.digest,
        "state": State.HELD,
        "category": "conflict",
        "reason": f"event {event.id} came with digest {first_digest} and again with {event.digest}",
        "now_ns": now_ns,
    }


def decision_values(entry: Entry, decision: Decision, now_ns: int) -> dict[str, Any]:
    """What a decision changes in an entry's row."""
    return {
        "entry_id": entry.entry_id,
        "state": decision.state,
        "category": decision.category,
        "reason": decision.reason[:REASON_CHARS_MAX],
        "next_try_ns": decision.next_try_ns,
        "counts": int(decision.counts),
        "asked": int(entry.state is State.IN_DOUBT),
        "document": decision.document,
        "receipt": decision.receipt_json,
        "now_ns": now_ns,
    }


def _intent_values(intent: Intent) -> dict[str, Any]:
    return {name: getattr(intent, name) for name in _INTENT_COLUMNS}
