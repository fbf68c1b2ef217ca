"""Target ``tryton`` against a real Tryton, through the fault proxy: one document each.

The books are read with the tools' own client, which knows nothing of penstock.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import erp
from penstock.config import Secret, Target
from penstock.events import Context, Event
from penstock.mapping import map_event
from penstock.outbox import Ledger, Mapped, Policy
from penstock.post import Running
from penstock.post.http import HttpClient
from penstock.post.tryton import TrytonTarget
from penstock.relay import Port, Relay
from penstock.testing.builders import make_config, make_event, make_stop
from penstock.testing.fault_proxy import FaultProxy

QUICK = Policy(back_off_s=0.1, back_off_s_max=0.5, look_up_after_s=0.1, access_rest_s=0.2)
CONFIG = make_config(target="erp")
_numbers = iter(range(1, 10_000))


@pytest.fixture
def proxy(tryton: erp.Server) -> Iterator[FaultProxy]:
    with FaultProxy(tryton.access.url, match="penstock.posting.post") as opened:
        yield opened


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.sqlite", now_ns=time.time_ns()) as opened:
        yield opened


def orders(server: erp.Server) -> list[dict[str, Any]]:
    return list(server.rpc()("penstock.posting", "running", []))


def target(
    url: str, server: erp.Server, *, timeout_s: float = 20.0, user: str = ""
) -> TrytonTarget:
    access = server.access
    config = Target(
        name="erp",
        kind="tryton",
        url=url,
        database=access.database,
        user=user or access.user,
        password=Secret(access.password),
    )
    return TrytonTarget(config, HttpClient(timeout_s=timeout_s, concurrency=4))


def moment(number: int) -> int:
    """An hour ago, one ten seconds after the other: never in the future, where Tryton refuses."""
    hour_ns = dt.timedelta(hours=1) // dt.timedelta(microseconds=1) * 1000
    return time.time_ns() - hour_ns + number % 300 * 10_000_000_000


def piece(order: dict[str, Any], **changes: Any) -> Event:
    number = next(_numbers)
    start_ns = moment(number)
    context = Context(order=order["number"], material=order["product"], lot=f"LOT-{number}")
    times = {"at_ns": start_ns, "start_ns": start_ns, "end_ns": start_ns + 8_000_000_000}
    given = {**times, "context": context, **changes}
    return make_event(number, asset=order["asset"], **given)


def stop(order: dict[str, Any]) -> Event:
    number = next(_numbers)
    start_ns = moment(number)
    times = {"at_ns": start_ns, "start_ns": start_ns, "end_ns": start_ns + 6_500_000_001}
    context = Context(order=order["number"])
    return make_stop(number, asset=order["asset"], context=context, **times)


def commit(ledger: Ledger, *events: Event) -> None:
    batch = [Mapped(event, map_event(event, CONFIG)) for event in events]
    ledger.commit_batch(batch, now_ns=time.time_ns())


def work(
    ledger: Ledger, opened: TrytonTarget, until: Callable[[dict[str, int]], bool], within_s: float
) -> dict[str, int]:
    async def go() -> None:
        relay = Relay(ledger, [Port(opened, QUICK, 2)])
        relay.recover()
        running = asyncio.create_task(relay.run())
        deadline = time.monotonic() + within_s
        while not until(states()) and time.monotonic() < deadline and not running.done():
            await asyncio.sleep(0.05)
        relay.stop()
        await running
        await opened.close()

    def states() -> dict[str, int]:
        return {name: count for name, count in ledger.reader.states().items() if count}

    asyncio.run(go())
    assert until(states()), (states(), [each.reason for each in ledger.reader.entries()])
    return states()


def posted(count: int) -> Callable[[dict[str, int]], bool]:
    return lambda found: found == {"posted": count}


def rows(server: erp.Server, ledger: Ledger) -> dict[str, int]:
    """How many rows the add-on's table holds under each of our keys."""
    keys = [each.command_id for each in ledger.reader.entries()]
    found = server.rpc()(
        "penstock.posting", "search_read", [["key", "in", keys]], 0, None, None, ["key", "document"]
    )
    return {key: sum(each["key"] == key for each in found) for key in keys}


def test_each_kind_of_document_is_booked_once_with_what_it_says(
    tryton: erp.Server, ledger: Ledger
) -> None:
    order = orders(tryton)[0]
    made, stopped = piece(order), stop(order)
    commit(ledger, made, stopped)
    work(ledger, target(tryton.access.url, tryton), posted(2), 30.0)
    (entry,) = ledger.reader.entries_of(made.id)
    (move,) = tryton.rpc()(
        "stock.move",
        "search_read",
        [["penstock_document", "=", entry.document]],
        0,
        None,
        None,
        ["quantity", "state", "penstock_lot", "penstock_reference"],
    )
    assert (move["quantity"], move["state"]) == (12.0, "done")
    assert (move["penstock_lot"], move["penstock_reference"]) == (made.context.lot, entry.key16)
    (entry,) = ledger.reader.entries_of(stopped.id)
    (record,) = tryton.rpc()(
        "penstock.downtime",
        "search_read",
        [["number", "=", entry.document]],
        0,
        None,
        None,
        ["asset", "state", "duration", "reference"],
    )
    assert (record["asset"], record["state"]) == (order["asset"], "Stopped")
    assert (
        str(getattr(record["duration"], "normalize", lambda: record["duration"])()) == "6.500000001"
    )
    assert set(rows(tryton, ledger).values()) == {1}


@pytest.mark.parametrize("mode", ["cut_answer", "half_answer", "silent"])
def test_an_answer_lost_after_the_commit_is_found_and_not_repeated(
    mode: Any, tryton: erp.Server, proxy: FaultProxy, ledger: Ledger
) -> None:
    commit(ledger, *(piece(order) for order in orders(tryton)[:3]))
    proxy.plan(mode, count=3)
    work(ledger, target(proxy.url, tryton, timeout_s=3.0), posted(3), 60.0)
    assert proxy.counts[mode] == 3
    assert ledger.reader.counters()["lookups_found"] == 3
    assert rows(tryton, ledger) == {each.command_id: 1 for each in ledger.reader.entries()}


def test_a_request_lost_before_the_commit_is_asked_for_and_sent_again(
    tryton: erp.Server, proxy: FaultProxy, ledger: Ledger
) -> None:
    commit(ledger, piece(orders(tryton)[0]))
    proxy.plan("cut_request")
    work(ledger, target(proxy.url, tryton), posted(1), 30.0)
    assert ledger.reader.counters()["lookups_absent"] == 1
    assert set(rows(tryton, ledger).values()) == {1}


def test_a_server_that_is_down_is_waited_for_and_counts_no_attempt(
    new_tryton: Callable[[], erp.Server], ledger: Ledger
) -> None:
    server = new_tryton()
    commit(ledger, *(piece(order) for order in orders(server)[:2]))
    url = server.access.url
    server.stop()
    opened = target(url, server)
    work(ledger, opened, lambda found: found.get("retry") == 2, 10.0)
    assert {each.category for each in ledger.reader.entries()} == {"unreachable"}
    server.start()
    work(ledger, target(server.access.url, server), posted(2), 30.0)
    assert {each.attempts for each in ledger.reader.entries()} == {0}
    assert set(rows(server, ledger).values()) == {1}


def test_a_refusal_has_a_category_a_planner_understands_and_leaves_nothing(
    tryton: erp.Server, ledger: Ledger
) -> None:
    order = orders(tryton)[0]
    nobody = piece({**order, "number": "no such order"})
    unit = piece(order, unit="KGM")
    foreign = piece({**order, "product": "NOT-THERE"})
    commit(ledger, nobody, unit, foreign)
    work(
        ledger,
        target(tryton.access.url, tryton),
        lambda found: found.get("dead") == 3,
        30.0,
    )
    categories = {
        event.id: ledger.reader.entries_of(event.id)[0].category
        for event in (nobody, unit, foreign)
    }
    assert categories == {nobody.id: "master_data", unit.id: "number", foreign.id: "master_data"}
    assert set(rows(tryton, ledger).values()) == {0}


def test_a_wrong_password_rests_the_target_and_loses_nothing(
    tryton: erp.Server, ledger: Ledger
) -> None:
    commit(ledger, piece(orders(tryton)[0]))
    wrong = target(tryton.access.url, tryton, user="nobody-we-know")
    work(ledger, wrong, lambda found: found == {"retry": 1}, 10.0)
    (entry,) = ledger.reader.entries()
    assert (entry.category, entry.attempts) == ("access", 0)
    work(ledger, target(tryton.access.url, tryton), posted(1), 30.0)


def test_what_runs_where_is_read_as_context(tryton: erp.Server) -> None:
    async def go() -> list[Running]:
        opened = target(tryton.access.url, tryton)
        try:
            return await opened.running(["L1-M1", "L2-M2"])
        finally:
            await opened.close()

    found = {each.asset: each for each in asyncio.run(go())}
    expected = {each["asset"]: each for each in orders(tryton)}
    assert set(found) == {"L1-M1", "L2-M2"}
    for asset, each in found.items():
        assert (each.order, each.material) == (
            expected[asset]["number"],
            expected[asset]["product"],
        )
