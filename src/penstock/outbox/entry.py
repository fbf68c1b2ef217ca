"""Entry: the durable row of one command for one target, and the states it passes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final


class State(StrEnum):
    """Where an entry stands. Drawn::

    ready ──▶ posting ──▶ posted
    ▲          ├──▶ retry ──▶ posting      not accepted: back-off, Retry-After
    │          ├──▶ in_doubt               sent and no answer: ask by our key before any repeat
    │          ├──▶ held                   a person or master data
    │          └──▶ dead                   refused, with a category
    └── in_doubt ──▶ posted | held
    held, dead ──▶ ready | discarded         by a person, with a reason
    """

    READY = "ready"
    POSTING = "posting"
    RETRY = "retry"
    IN_DOUBT = "in_doubt"
    POSTED = "posted"
    HELD = "held"
    DEAD = "dead"
    DISCARDED = "discarded"


# These make later entries of the same business object wait. A held or dead one does not.
OPEN: Final = (State.READY, State.POSTING, State.RETRY, State.IN_DOUBT)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the ledger's table ``entry``; times are ns since 1970 UTC."""

    entry_id: int
    command_id: str
    key16: str
    target: str
    event_id: str
    mapping: str
    contract: str
    business_object: str
    correlation_id: str
    plant: str
    occurred_at_ns: int
    posting_date: str  # "YYYY-MM-DD", the plant's production day
    body_json: bytes  # the command's canonical document; b"" where mapping failed
    digest: str  # SHA-256 of contract and body_json, hex; what the target keeps beside our key
    state: State
    category: str
    reason: str
    attempts: int  # failures that count towards the limit
    sends: int  # number of the latest send; an answer to an older one is not attached
    lookups: int  # look-ups since the latest send
    next_try_ns: int
    created_at_ns: int
    sent_at_ns: int | None
    posted_at_ns: int | None
    document: str
    receipt_json: str

    @property
    def body(self) -> Mapping[str, Any]:
        """The canonical document as parsed JSON; empty where mapping failed."""
        if not self.body_json:
            return {}
        parsed: Mapping[str, Any] = json.loads(self.body_json)
        return parsed

    @property
    def receipt(self) -> Mapping[str, Any]:
        """What the target answered, or an empty mapping."""
        if not self.receipt_json:
            return {}
        parsed: Mapping[str, Any] = json.loads(self.receipt_json)
        return parsed
