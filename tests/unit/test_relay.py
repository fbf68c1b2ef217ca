"""Relay and intake: with the real ledger, the in-memory target, and real time in small amounts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.mapping import map_event
from penstock.outbox import Entry, Ledger, LedgerBlocked, Mapped, Policy, State
from penstock.post import Guarantees, Receipt, Request
from penstock.relay import NS_PER_S, Port, Relay, SystemClock
from penstock.run import ContextPoll, Intake
from penstock.testing.builders import ListBatch, make_config, make_event, make_evidence, make_stop
from penstock.testing.target import Behaviour, MemoryTarget

QUICK = Policy(back_off_s=0.02, back_off_s_max=0.1, look_up_after_s=0.02, access_rest_s=0.05)


def fill(ledger: Ledger, *events: object, targets: tuple[str, ...] = ("memory",)) -> None:
    configs = [make_config(target=target) for target in targets]
    batch = [
        Mapped(event, [each for config in configs for each in map_event(event, config)])
        for event in events
    ]
    ledger.commit_batch(batch, now_ns=time.time_ns())


def work(relay: Relay, until: Callable[[], bool], within_s: float = 10.0) -> None:
    async def go() -> None:
        running = asyncio.create_task(relay.run())
        deadline = time.monotonic() + within_s
        while not until() and time.monotonic() < deadline and not running.done():
            await asyncio.sleep(0.01)
        relay.stop()
        await running

    asyncio.run(go())
    assert until()


def states(ledger: Ledger) -> dict[str, int]:
    return {state: count for state, count in ledger.reader.states().items() if count}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


def test_silence_after_commit_ends_as_one_document_found_by_key(path: Path) -> None:
    target = MemoryTarget(timeout_s=0.02).then(Behaviour.SILENT, Behaviour.LOST)
    with Ledger.open(path, now_ns=time.time_ns()) as ledger:
        fill(ledger, make_event(1), make_event(2, order="O2"))
        work(Relay(ledger, [Port(target, QUICK)]), lambda: states(ledger) == {"posted": 2})
        counters = ledger.reader.counters()
        assert (counters["lookups_found"], counters["lookups_absent"]) == (1, 1)
        assert [len(each) for each in target.books.values()] == [1, 1]
        assert ledger.reader.verify().problems == ()


def test_one_object_keeps_order_and_others_go_in_parallel_up_to_concurrency(path: Path) -> None:
    target = MemoryTarget(slow_s=0.05)
    target.then(*[Behaviour.SLOW] * 12)
    with Ledger.open(path, now_ns=time.time_ns()) as ledger:
        events = [make_event(n, order=f"O{n % 6}") for n in range(12)]
        fill(ledger, *reversed(events))
        work(Relay(ledger, [Port(target, QUICK, 4)]), lambda: states(ledger) == {"posted": 12})
        assert target.in_flight_max == 4
        for order in range(6):
            posted = [
                each
                for key in target.sends
                for each in ledger.reader.find(key)
                if each.business_object == f"O{order}"
            ]
            assert [each.occurred_at_ns for each in posted] == sorted(
                each.occurred_at_ns for each in posted
            )


def test_a_slow_target_holds_up_nobody_else(path: Path) -> None:
    slow = MemoryTarget("slow", slow_s=1.0).then(*[Behaviour.SLOW] * 8)
    quick = MemoryTarget("quick")
    with Ledger.open(path, now_ns=time.time_ns()) as ledger:
        fill(ledger, *(make_event(n, order=f"O{n}") for n in range(8)), targets=("slow", "quick"))
        relay = Relay(ledger, [Port(slow, QUICK, 1), Port(quick, QUICK, 4)])
        began = time.monotonic()
        work(relay, lambda: len(quick.books) == 8)
        assert len(slow.books) <= 2
        assert time.monotonic() - began < 3.0


def test_throttling_rests_the_whole_target_and_counts_no_attempt(path: Path) -> None:
    target = MemoryTarget(retry_after_s=0.3).then(Behaviour.THROTTLED)
    with Ledger.open(path, now_ns=time.time_ns()) as ledger:
        fill(ledger, make_event(1), make_event(2, order="O2"))
        began = time.monotonic()
        work(Relay(ledger, [Port(target, QUICK, 1)]), lambda: states(ledger) == {"posted": 2})
        assert time.monotonic() - began >= 0.3
        assert len(target.sends) == 3
        assert {each.attempts for each in ledger.reader.entries()} == {0}


def test_when_a_target_answers_again_what_waited_for_it_goes_at_once(path: Path) -> None:
    target = MemoryTarget().then(*[Behaviour.DOWN] * 4)
    patient = Policy(back_off_s=0.05, back_off_s_max=1000.0)
    with Ledger.open(path, now_ns=time.time_ns()) as ledger:
        fill(ledger, *(make_event(n, order=f"O{n}") for n in range(4)))
        relay = Relay(ledger, [Port(target, patient, 4)])
        work(relay, lambda: states(ledger) == {"posted": 4})
        assert len(target.sends) == 8


def test_a_refused_document_is_dead_and_the_next_of_its_order_goes(path: Path) -> None:
    target = MemoryTarget(category="number").then(Behaviour.REFUSE)
    with Ledger.open(path, now_ns=time.time_ns()) as ledger:
        fill(ledger, make_event(1), make_event(2))
        work(Relay(ledger, [Port(target, QUICK)]), lambda: sum(states(ledger).values()) == 2)
        work(Relay(ledger, [Port(target, QUICK)]), lambda: "posted" in states(ledger))
        assert states(ledger) == {"dead": 1, "posted": 1}
        assert ledger.reader.entries(state="dead")[0].category == "number"


def test_attempts_end_as_dead_never_as_a_drop(path: Path) -> None:
    target = MemoryTarget().then(*[Behaviour.BUSY] * 100)
    quick = Policy(back_off_s=0.001, back_off_s_max=0.002, attempts_max=5)
    with Ledger.open(path, now_ns=time.time_ns()) as ledger:
        fill(ledger, make_event(1))
        work(Relay(ledger, [Port(target, quick)]), lambda: "dead" in states(ledger))
        assert len(target.sends) == 5
        assert ledger.reader.entries()[0].category == "attempts"


def test_a_target_with_neither_key_nor_read_back_gets_nothing_unasked(path: Path) -> None:
    target = MemoryTarget(guarantees=Guarantees(False, False, "memory"))
    blind = Policy(has_key=False, has_readback=False)
    with Ledger.open(path, now_ns=time.time_ns()) as ledger:
        fill(ledger, make_event(1))
        work(Relay(ledger, [Port(target, blind)]), lambda: "held" in states(ledger))
        assert target.sends == []
        ledger.retry(1, by="ann", reason="not in the books", now_ns=time.time_ns())
        work(Relay(ledger, [Port(target, blind)]), lambda: "posted" in states(ledger))
        assert len(target.sends) == 1


def test_stop_ends_the_request_on_its_way_and_begins_no_other(path: Path) -> None:
    target = MemoryTarget(slow_s=0.3).then(*[Behaviour.SLOW] * 3)
    with Ledger.open(path, now_ns=time.time_ns()) as ledger:
        fill(ledger, make_event(1), make_event(2), make_event(3))
        work(
            Relay(ledger, [Port(target, QUICK)]),
            lambda: target.in_flight == 1 or bool(target.books),
        )
        assert states(ledger) == {"posted": 1, "ready": 2}


def test_our_own_bug_ends_the_relay_and_keeps_the_row(path: Path) -> None:
    class Broken(MemoryTarget):
        async def send(self, request: Request) -> Receipt:
            raise ZeroDivisionError

    with Ledger.open(path, now_ns=time.time_ns()) as ledger:
        fill(ledger, make_event(1))
        with pytest.raises(ExceptionGroup) as caught:
            asyncio.run(Relay(ledger, [Port(Broken(), QUICK)]).run())
        assert caught.group_contains(ZeroDivisionError)
        assert states(ledger) == {"posting": 1}


def test_a_clock_that_is_not_set_sends_nothing(path: Path) -> None:
    class Early(SystemClock):
        def now_ns(self) -> int:
            return 10**18  # 2001

    target = MemoryTarget()
    with Ledger.open(path, now_ns=time.time_ns()) as ledger:
        fill(ledger, make_event(1))
        assert asyncio.run(Relay(ledger, [Port(target, QUICK)], Early()).step()) == 0
        assert target.sends == []


def test_a_clock_that_goes_back_a_day_stops_no_retry(path: Path) -> None:
    class Jumping(SystemClock):
        shift_ns = 0

        def now_ns(self) -> int:
            return time.time_ns() + self.shift_ns

    target, clock = MemoryTarget().then(Behaviour.BUSY), Jumping()
    with Ledger.open(path, now_ns=time.time_ns()) as ledger:
        fill(ledger, make_event(1))
        relay = Relay(ledger, [Port(target, QUICK)], clock)
        assert asyncio.run(relay.step()) == 1
        clock.shift_ns = -86400 * NS_PER_S
        assert asyncio.run(relay.step()) == 1
        assert states(ledger) == {"posted": 1}


def test_an_answer_waits_for_a_full_disk_and_is_not_lost(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = MemoryTarget()
    with Ledger.open(path, now_ns=time.time_ns()) as ledger:
        fill(ledger, make_event(1))
        real, refusals = ledger.record, [LedgerBlocked("full"), LedgerBlocked("full")]

        def record(*args: object, **more: object) -> bool:
            if refusals:
                raise refusals.pop()
            return real(*args, **more)

        monkeypatch.setattr(ledger, "record", record)
        work(Relay(ledger, [Port(target, QUICK)]), lambda: states(ledger) == {"posted": 1})
        assert (len(target.sends), refusals) == (1, [])


class Bench:
    """The parts of an engine that intake and context use."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str | None, str | None]] = []

    def evidence_after(self, event: object) -> object:
        return make_evidence(event, 0, 10)

    def context(self, asset: str, *, order: str | None = None, material: str | None = None) -> None:
        self.told.append((asset, order, material))


def test_intake_acknowledges_only_what_is_on_the_disk(path: Path) -> None:
    with Ledger.open(path, now_ns=time.time_ns()) as ledger:
        intake = Intake(Bench(), ledger, make_config())
        event = make_event(1)
        batch = ListBatch([event, make_stop(1)], {event.id: make_evidence(event, 5)})
        pages = ledger._store._pragma("page_count")
        ledger._store._pragma(f"max_page_count = {pages}")
        full = ListBatch([make_event(n) for n in range(2, 200)])

        async def go() -> None:
            taking = asyncio.create_task(intake.take(full))
            await asyncio.sleep(0.2)
            assert not full.is_acknowledged
            ledger._store._pragma("max_page_count = 1000000")
            await asyncio.wait_for(taking, 5.0)
            await intake.take(batch)

        asyncio.run(go())
        assert full.is_acknowledged
        assert batch.is_acknowledged
        assert ledger.reader.counters()["events"] == 200
        assert states(ledger) == {"ready": 200}
        assert len(ledger.reader.evidence(event.id)[0].values) == 5


def test_evidence_behind_an_event_follows_seconds_later(path: Path) -> None:
    class Later(SystemClock):
        shift_ns = 0

        def now_ns(self) -> int:
            return time.time_ns() + self.shift_ns

    clock = Later()
    with Ledger.open(path, now_ns=time.time_ns()) as ledger:
        intake = Intake(Bench(), ledger, make_config(), clock=clock)
        event = make_event(1)
        asyncio.run(intake.take(ListBatch([event])))
        assert intake.fetch_evidence() == 0
        clock.shift_ns = 4 * NS_PER_S
        assert intake.fetch_evidence() == 1
        assert len(ledger.reader.evidence(event.id)[0].values) == 10


def test_context_is_told_when_it_changes_and_cleared_when_the_order_ends() -> None:
    from penstock.post import Running

    bench = Bench()
    poll = ContextPoll(bench, None, 1.0)
    poll.tell([Running("M1", "7", "FG-1"), Running("M2", "8", "FG-2")])
    poll.tell([Running("M1", "7", "FG-1", "L9"), Running("M2", "9", "FG-2")])
    poll.tell([Running("M2", "9", "FG-2")])
    assert bench.told == [
        ("M1", "7", "FG-1"),
        ("M2", "8", "FG-2"),
        ("M2", "9", "FG-2"),
        ("M1", "", ""),
    ]


def test_documents_posted_before_a_restart_are_known_after_it(path: Path) -> None:
    target = MemoryTarget()
    with Ledger.open(path, now_ns=time.time_ns()) as ledger:
        fill(ledger, make_event(1), make_event(2))
        relay = Relay(ledger, [Port(target, QUICK)])
        work(relay, lambda: states(ledger) == {"posted": 2})
        before = [each.document for each in relay.documents]
        after = Relay(ledger, [Port(target, QUICK)])
        assert after.recover() == 0
        assert [each.document for each in after.documents] == before == ["D00001", "D00002"]
        assert all(
            isinstance(each, Entry) and each.state is State.POSTED for each in after.documents
        )
