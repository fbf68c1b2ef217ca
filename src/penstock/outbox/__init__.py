"""Outbox: commands become durable entries; each answer of a target becomes the next state."""

from penstock.outbox.batch import Mapped
from penstock.outbox.decide import Decision, Policy, decide, decide_before
from penstock.outbox.entry import OPEN, Entry, State
from penstock.outbox.ledger import LEDGER_NAME, Baseline, Committed, Ledger
from penstock.outbox.store import LedgerBlocked
from penstock.outbox.view import Reader

__all__ = [
    "LEDGER_NAME",
    "OPEN",
    "Baseline",
    "Committed",
    "Decision",
    "Entry",
    "Ledger",
    "LedgerBlocked",
    "Mapped",
    "Policy",
    "Reader",
    "State",
    "decide",
    "decide_before",
]
