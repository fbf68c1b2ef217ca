"""decide: an entry and what happened to it become its next state. Pure: no clock, no input.

The promise it keeps: at most one document, and never silence. Every path ends in ``posted``, or in
``held`` or ``dead`` with a category, or comes back here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from penstock.categories import TARGET_WIDE
from penstock.outbox.entry import Entry, State

NS_PER_S = 1_000_000_000
_EXPONENT_MAX = 32  # far above any policy.back_off_s_max; keeps the power finite


@dataclass(frozen=True, slots=True)
class Policy:
    """What one target offers, and how patient we are with it. Durations in seconds."""

    has_key: bool = (
        True  # a second post with our key is refused or answered "duplicate", atomically
    )
    has_readback: bool = True  # a document can be found by our key
    allows_unproven: bool = False  # send although the target offers neither; a person's choice
    back_off_s: float = 1.0
    back_off_s_max: float = 60.0
    attempts_max: int = 8
    look_up_after_s: float = 1.0  # a silent target may still be at work
    unreachable_s_max: float = 10.0  # a refused connection costs nothing; be quick when it is back
    access_rest_s: float = 300.0  # never loop logins: the target would lock the user out
    hold_on: frozenset[str] = frozenset({"order_state", "stock", "warning"})
    retry_on: frozenset[str] = (
        frozenset()
    )  # of these, try again up to attempts_max, then hold or refuse


@dataclass(frozen=True, slots=True)
class Answered:
    """The target answered, or was asked and knows our key.

    ``digest`` is ``""`` where it keeps none.
    """

    document: str
    digest: str
    receipt_json: str = ""


@dataclass(frozen=True, slots=True)
class NotAccepted:
    """Transient: certainly not posted."""

    reason: str
    category: str = "not_accepted"
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Permanent: certainly not posted, and the same again would be refused again."""

    reason: str
    category: str = "refused"


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Ambiguous: sent, and whether it was posted is not known."""

    reason: str


@dataclass(frozen=True, slots=True)
class Absent:
    """Asked by our key: the target does not have it."""


@dataclass(frozen=True, slots=True)
class NotAsked:
    """The look-up itself did not get through."""

    reason: str
    category: str = "unreachable"
    retry_after_s: float | None = None


Outcome = Answered | NotAccepted | Refused | NoAnswer | Absent | NotAsked


@dataclass(frozen=True, slots=True)
class Rest:
    """A target as a whole is left alone until then."""

    until_ns: int
    category: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The entry's next state.

    ``counts``: one more failure of this document. ``rest``: the whole target rests.
    """

    state: State
    category: str = ""
    reason: str = ""
    next_try_ns: int = 0
    counts: bool = False
    document: str = ""
    receipt_json: str = ""
    rest: Rest | None = None
    counter: str = ""  # a ledger counter that this decision moves


def decide_before(entry: Entry, policy: Policy, now_ns: int) -> Decision | None:
    """What must happen to a due entry before anything is sent, or None: go on."""
    is_wanted = entry.category == "person"  # somebody looked into the target's books and said: send
    if not (policy.has_key or policy.has_readback or policy.allows_unproven or is_wanted):
        return Decision(State.HELD, "unproven", "resolve with --retry to send it once")
    if entry.state is not State.IN_DOUBT or policy.has_readback:
        return None
    if policy.has_key or is_wanted:
        return Decision(State.READY, entry.category, "it may be sent again", now_ns)
    return Decision(State.HELD, "not_provable", entry.reason)


def decide(entry: Entry, outcome: Outcome, policy: Policy, now_ns: int) -> Decision:
    """The next state of ``entry``: ``posting`` after a send, ``in_doubt`` after a look-up."""
    match outcome:
        case Answered():
            return _answered(entry, outcome)
        case Absent():
            return _absent(entry, policy, now_ns)
        case NoAnswer():
            return _no_answer(entry, outcome, policy, now_ns)
        case Refused():
            return _refused(entry, outcome, policy, now_ns)
        case NotAccepted():
            return _not_accepted(entry, outcome, policy, now_ns)
        case NotAsked():
            wait_ns = _wait_ns(entry, outcome.category, outcome.retry_after_s, policy)
            # The category stays: it says why we are in doubt. The reason says why we still are.
            return Decision(
                State.IN_DOUBT,
                entry.category,
                outcome.reason,
                now_ns + wait_ns,
                rest=_rest(outcome.category, now_ns + wait_ns),
            )


def _answered(entry: Entry, outcome: Answered) -> Decision:
    counter = "lookups_found" if entry.state is State.IN_DOUBT else ""
    if outcome.digest and outcome.digest != entry.digest:
        reason = (
            f"the target has our key with digest {outcome.digest[:12]}, ours is {entry.digest[:12]}"
        )
        return Decision(
            State.HELD,
            "conflict",
            reason,
            document=outcome.document,
            receipt_json=outcome.receipt_json,
            counter=counter,
        )
    return Decision(
        State.POSTED, document=outcome.document, receipt_json=outcome.receipt_json, counter=counter
    )


def _absent(entry: Entry, policy: Policy, now_ns: int) -> Decision:
    if not policy.has_key and entry.category == "person":
        return Decision(State.READY, "person", entry.reason, now_ns, counter="lookups_absent")
    if not policy.has_key:
        # Not there now is no proof: the first send may still be on its way, and nothing would stop
        # the second.
        return Decision(State.HELD, "not_provable", entry.reason, counter="lookups_absent")
    # A restart or a lost ledger is not the document's failure.
    counts = entry.category == "no_answer"
    if counts and entry.attempts + 1 >= policy.attempts_max:
        # Held, not dead: silence is no refusal, and the last send may still be at work.
        return Decision(State.HELD, "attempts", entry.reason, counts=True, counter="lookups_absent")
    wait_ns = _back_off_ns(entry, entry.attempts, policy) if counts and entry.attempts else 0
    return Decision(
        State.READY,
        "",
        "the target does not have it",
        now_ns + wait_ns,
        counts=counts,
        counter="lookups_absent",
    )


def _no_answer(entry: Entry, outcome: NoAnswer, policy: Policy, now_ns: int) -> Decision:
    if policy.has_readback:
        return Decision(
            State.IN_DOUBT, "no_answer", outcome.reason, now_ns + _ns(policy.look_up_after_s)
        )
    if not policy.has_key:
        return Decision(State.HELD, "not_provable", outcome.reason)
    if entry.attempts + 1 >= policy.attempts_max:
        return Decision(State.HELD, "attempts", outcome.reason, counts=True)
    return _again(entry, NotAccepted(outcome.reason, "no_answer"), policy, now_ns)


def _refused(entry: Entry, outcome: Refused, policy: Policy, now_ns: int) -> Decision:
    category = outcome.category
    if category in policy.retry_on and entry.attempts + 1 < policy.attempts_max:
        return _again(entry, NotAccepted(outcome.reason, category), policy, now_ns)
    state = State.HELD if category in policy.hold_on else State.DEAD
    return Decision(state, category, outcome.reason, counts=True)


def _not_accepted(entry: Entry, outcome: NotAccepted, policy: Policy, now_ns: int) -> Decision:
    if outcome.category not in TARGET_WIDE:
        return _again(entry, outcome, policy, now_ns)
    next_try_ns = now_ns + _wait_ns(entry, outcome.category, outcome.retry_after_s, policy)
    return Decision(
        State.RETRY,
        outcome.category,
        outcome.reason,
        next_try_ns,
        rest=_rest(outcome.category, next_try_ns),
    )


def _again(entry: Entry, why: NotAccepted, policy: Policy, now_ns: int) -> Decision:
    if entry.attempts + 1 >= policy.attempts_max:
        return Decision(State.DEAD, "attempts", f"{why.category}: {why.reason}", counts=True)
    wait_ns = max(_back_off_ns(entry, entry.attempts, policy), _ns(why.retry_after_s or 0.0))
    return Decision(State.RETRY, why.category, why.reason, now_ns + wait_ns, counts=True)


def _rest(category: str, until_ns: int) -> Rest | None:
    return Rest(until_ns, category) if category in TARGET_WIDE else None


def _wait_ns(entry: Entry, category: str, retry_after_s: float | None, policy: Policy) -> int:
    wait_ns = _back_off_ns(entry, entry.sends + entry.lookups, policy)
    if category == "access":
        wait_ns = max(wait_ns, _ns(policy.access_rest_s))
    if category == "unreachable":
        wait_ns = min(wait_ns, _ns(policy.unreachable_s_max))
    return max(wait_ns, _ns(retry_after_s or 0.0))


def _back_off_ns(entry: Entry, failures: int, policy: Policy) -> int:
    """Doubled per failure up to the maximum, spread over its upper half by the entry's name.

    The spread keeps a hundred entries that failed together from coming back together; being a
    function of the entry it is the same in every replay.
    """
    full_s = min(policy.back_off_s * 2.0 ** min(failures, _EXPONENT_MAX), policy.back_off_s_max)
    seed = hashlib.sha256(f"{entry.command_id}/{entry.target}/{failures}".encode()).digest()
    return _ns(full_s * (0.5 + int.from_bytes(seed[:4], "big") / 2**33))


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)
