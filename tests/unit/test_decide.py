"""decide: every outcome of a send or a look-up, over policies.

And properties over all combinations.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from penstock.categories import CATEGORIES
from penstock.outbox import Entry, Policy, State, decide, decide_before
from penstock.outbox.decide import Absent, Answered, NoAnswer, NotAccepted, NotAsked, Refused, Rest

S = 1_000_000_000
NOW = 1_800_000_000 * S
POLICY = Policy()


def entry(state: State = State.POSTING, **changes: object) -> Entry:
    made = Entry(
        entry_id=7,
        command_id="c0ffee00-0000-8000-8000-000000000001",
        key16="ABCDEFGHIJKLMNOP",
        target="erp",
        event_id="e0",
        mapping="confirm",
        contract="production_confirmation/1",
        business_object="O1",
        correlation_id="",
        plant="demo",
        occurred_at_ns=NOW - S,
        posting_date="2026-11-18",
        body_json=b"{}",
        digest="d" * 64,
        state=state,
        category="",
        reason="",
        attempts=0,
        sends=1,
        lookups=0,
        next_try_ns=0,
        created_at_ns=NOW - S,
        sent_at_ns=NOW,
        posted_at_ns=None,
        document="",
        receipt_json="",
    )
    return replace(made, **changes)


def test_an_answer_with_our_digest_is_posted_and_with_another_is_a_conflict() -> None:
    posted = decide(entry(), Answered("PC-1", "d" * 64), POLICY, NOW)
    assert (posted.state, posted.document, posted.counter) == (State.POSTED, "PC-1", "")
    other = decide(entry(), Answered("PC-1", "f" * 64), POLICY, NOW)
    assert (other.state, other.category, other.document) == (State.HELD, "conflict", "PC-1")
    unkept = decide(entry(), Answered("PC-1", ""), POLICY, NOW)
    assert unkept.state is State.POSTED


def test_silence_is_never_taken_for_failure() -> None:
    decision = decide(entry(), NoAnswer("time-out"), POLICY, NOW)
    assert (decision.state, decision.category) == (State.IN_DOUBT, "no_answer")
    assert decision.next_try_ns == NOW + S
    assert not decision.counts


def test_in_doubt_found_is_posted_absent_goes_again_and_unasked_stays() -> None:
    doubtful = entry(State.IN_DOUBT, category="no_answer")
    found = decide(doubtful, Answered("PC-1", "d" * 64), POLICY, NOW)
    assert (found.state, found.counter) == (State.POSTED, "lookups_found")
    absent = decide(doubtful, Absent(), POLICY, NOW)
    assert (absent.state, absent.counter, absent.counts) == (State.READY, "lookups_absent", True)
    unasked = decide(doubtful, NotAsked("down"), POLICY, NOW)
    assert (unasked.state, unasked.category, unasked.counts) == (State.IN_DOUBT, "no_answer", False)
    assert unasked.next_try_ns > NOW


def test_absence_is_no_proof_where_the_target_has_no_key() -> None:
    doubtful = entry(State.IN_DOUBT, category="no_answer")
    decision = decide(doubtful, Absent(), replace(POLICY, has_key=False), NOW)
    assert (decision.state, decision.category) == (State.HELD, "not_provable")
    asked = decide(replace(doubtful, category="person"), Absent(), Policy(has_key=False), NOW)
    assert asked.state is State.READY


def test_a_restart_or_a_lost_ledger_is_not_the_documents_failure() -> None:
    for category in ("restart", "gap"):
        tired = entry(State.IN_DOUBT, category=category, attempts=7)
        decision = decide(tired, Absent(), POLICY, NOW)
        assert (decision.state, decision.counts) == (State.READY, False)


def test_a_target_that_never_answers_and_never_posts_is_held_not_asked_for_ever() -> None:
    tired = entry(State.IN_DOUBT, category="no_answer", attempts=7)
    decision = decide(tired, Absent(), POLICY, NOW)
    assert (decision.state, decision.category) == (State.HELD, "attempts")
    keyed = decide(entry(attempts=7), NoAnswer("?"), Policy(has_readback=False), NOW)
    assert (keyed.state, keyed.category) == (State.HELD, "attempts")


def test_what_concerns_the_whole_target_never_counts_and_rests_it() -> None:
    for category in ("unreachable", "throttled", "access", "address"):
        tired = entry(attempts=7, sends=5000)
        decision = decide(tired, NotAccepted("no", category, 90.0), POLICY, NOW)
        assert (decision.state, decision.counts) == (State.RETRY, False)
        assert decision.rest == Rest(decision.next_try_ns, category)
        assert decision.next_try_ns >= NOW + 90 * S
    refused_login = decide(entry(), NotAccepted("no", "access"), POLICY, NOW)
    assert refused_login.next_try_ns >= NOW + 300 * S


def test_retry_after_is_honoured_and_the_limit_leads_to_dead() -> None:
    decision = decide(entry(), NotAccepted("busy", "locked", 42.0), POLICY, NOW)
    assert (decision.state, decision.counts) == (State.RETRY, True)
    assert decision.next_try_ns == NOW + 42 * S
    last = decide(entry(attempts=7), NotAccepted("busy", "locked"), POLICY, NOW)
    assert (last.state, last.category) == (State.DEAD, "attempts")
    assert "locked" in last.reason


def test_back_off_doubles_is_bounded_spread_and_repeatable() -> None:
    waits = []
    for attempts in range(7):
        one = decide(entry(attempts=attempts), NotAccepted("busy", "locked"), POLICY, NOW)
        again = decide(entry(attempts=attempts), NotAccepted("busy", "locked"), POLICY, NOW)
        assert one == again
        waits.append((one.next_try_ns - NOW) / S)
    for attempts, wait in enumerate(waits):
        full = min(2.0**attempts, 60.0)
        assert full / 2 <= wait <= full
    spread = {
        decide(entry(command_id=str(n)), NotAccepted("busy", "locked"), POLICY, NOW).next_try_ns
        for n in range(100)
    }
    assert len(spread) == 100
    far = decide(entry(sends=10**6), NotAccepted("down", "unreachable"), POLICY, NOW)
    assert NOW + S <= far.next_try_ns <= NOW + 10 * S


def test_a_refusal_is_dead_and_a_business_hold_waits_for_a_person() -> None:
    assert decide(entry(), Refused("no such unit", "number"), POLICY, NOW).state is State.DEAD
    for category in ("stock", "order_state", "warning"):
        assert decide(entry(), Refused("no", category), POLICY, NOW).state is State.HELD
    patient = replace(POLICY, retry_on=frozenset({"stock"}))
    assert decide(entry(), Refused("no", "stock"), patient, NOW).state is State.RETRY
    assert decide(entry(attempts=7), Refused("no", "stock"), patient, NOW).state is State.HELD


def test_a_target_with_neither_key_nor_read_back_is_held_until_somebody_says_send() -> None:
    blind = Policy(has_key=False, has_readback=False)
    fresh = entry(State.READY, sends=0)
    decision = decide_before(fresh, blind, NOW)
    assert decision is not None
    assert (decision.state, decision.category) == (State.HELD, "unproven")
    assert decide_before(replace(fresh, category="person"), blind, NOW) is None
    assert decide_before(fresh, replace(blind, allows_unproven=True), NOW) is None
    silent = decide(entry(), NoAnswer("?"), replace(blind, allows_unproven=True), NOW)
    assert (silent.state, silent.category) == (State.HELD, "not_provable")


def test_in_doubt_without_read_back_repeats_only_where_the_target_knows_keys() -> None:
    doubtful = entry(State.IN_DOUBT, category="restart")
    keyed = decide_before(doubtful, Policy(has_readback=False), NOW)
    assert keyed is not None
    assert keyed.state is State.READY
    unkeyed = Policy(has_key=False, has_readback=False, allows_unproven=True)
    held = decide_before(doubtful, unkeyed, NOW)
    assert held is not None
    assert (held.state, held.category) == (State.HELD, "not_provable")


OUTCOMES = (
    Answered("PC-1", "d" * 64),
    Answered("PC-1", "f" * 64),
    Absent(),
    NoAnswer("?"),
    NotAsked("?"),
    *(NotAccepted("?", category) for category in CATEGORIES),
    *(Refused("?", category) for category in CATEGORIES),
)


@pytest.mark.parametrize("state", [State.POSTING, State.IN_DOUBT])
def test_no_decision_drops_an_entry_repeats_in_doubt_or_waits_for_ever(state: State) -> None:
    policies = [
        Policy(has_key=key, has_readback=readback, allows_unproven=True)
        for key, readback in itertools.product((True, False), repeat=2)
    ]
    tried = 0
    for outcome, policy, attempts in itertools.product(OUTCOMES, policies, range(9)):
        before = entry(state, attempts=attempts, category="no_answer")
        decision = decide(before, outcome, policy, NOW)
        tried += 1
        assert decision.state not in (State.POSTING, State.DISCARDED)
        if decision.state in (State.HELD, State.DEAD, State.RETRY, State.IN_DOUBT):
            assert decision.category, (outcome, policy)
        if decision.state in (State.RETRY, State.IN_DOUBT, State.READY):
            assert NOW <= decision.next_try_ns <= NOW + 300 * S
        if isinstance(outcome, NoAnswer):
            assert decision.state not in (State.READY, State.DEAD)
            if not policy.has_key:
                assert decision.state in (State.IN_DOUBT, State.HELD)
        if decision.state is State.POSTED:
            assert isinstance(outcome, Answered)
    assert tried == len(OUTCOMES) * 4 * 9


def test_every_category_has_a_sentence() -> None:
    assert all(text and text[0].islower() for text in CATEGORIES.values())
