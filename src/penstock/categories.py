"""Categories: why an entry waits or ended, each with the sentence a planner reads.

Targets raise with these words, ``decide`` and the ledger keep them, the CLI prints the sentences.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

CATEGORIES: Final[Mapping[str, str]] = {
    # The target as a whole; no entry is to blame, nothing counts towards the limit of attempts.
    "unreachable": "the target cannot be reached",
    "throttled": "the target asks for a pause",
    "access": "the target refuses our login",
    "address": "the target does not know the address, database or add-on",
    # One document; trying again may help.
    "locked": "somebody else holds the record in the target",
    "not_accepted": "the target did not accept the document now",
    "order_state": "the order is not running in the target",
    "stock": "stock is missing in the target",
    # One document; a person or master data must change something.
    "master_data": "master data is missing in the target",
    "period": "the posting period is closed in the target",
    "number": "the target refuses the unit or the number",
    "date": "the target refuses the date or time",
    "right": "the target's user may not post this document",
    "warning": "the target asks for a confirmation that only a person may give",
    "internal": "the target failed inside and rolled the document back",
    "refused": "the target refused the document",
    # Our own.
    "mapping": "the event could not become a document",
    "held": "the mapping holds this document for a person",
    "conflict": "the same key stands for other content; both are kept, nothing is posted",
    "unproven": "the target offers neither a key nor a read-back, so nothing is sent unasked",
    "no_answer": "sent, and no answer came; the target is asked by our key",
    "not_provable": "sent, no answer, and the target cannot prove that it did not post",
    "restart": "the process ended while this was being sent; the target is asked by our key",
    "gap": "the ledger was lost or restored; the target is asked by our key before any send",
    "attempts": "the limit of attempts is reached",
    "person": "a person decided",
}

# These say something about the target, never about one document.
TARGET_WIDE: Final = frozenset({"unreachable", "throttled", "access", "address"})


def sentence(category: str) -> str:
    """The planner's sentence, or the word itself where it is not ours."""
    return CATEGORIES.get(category, category)
