"""The Tryton add-on on a real server: one key, one document, and a refusal leaves nothing."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

import pytest

import erp
from erp import Rpc, RpcError
from penstock.testing.fault_proxy import FaultProxy

REPO = Path(__file__).resolve().parents[2]
MACHINE = "L1-M1"


def today() -> str:
    return dt.datetime.now(dt.UTC).date().isoformat()


def booking(
    order: int | str, quantity: str = "12", unit: str = "C62", **more: Any
) -> dict[str, Any]:
    return {
        "order": order, "product": None, "quantity": quantity, "unit": unit, "lot": "LOT-1",
        "date": today(), "reference": "event-1", **more,
    }  # fmt: skip


@pytest.fixture(scope="module")
def rpc(tryton: erp.Server) -> Rpc:
    return tryton.rpc()


@pytest.fixture(scope="module")
def order(rpc: Rpc) -> dict[str, Any]:
    (running,) = rpc("penstock.posting", "running", [MACHINE])
    return dict(running)


@pytest.fixture
def key(request: pytest.FixtureRequest) -> str:
    return str(request.node.name)


def post(rpc: Rpc, key: str, kind: str, values: dict[str, Any], digest: str = "d1") -> Any:
    return rpc("penstock.posting", "post", key, digest, kind, values)


def counts(rpc: Rpc) -> dict[str, int]:
    """Rows of everything a posting may leave behind."""
    models = ("stock.move", "penstock.posting", "penstock.downtime", "stock.lot")
    return {model: rpc(model, "search_count", []) for model in models}


def move(rpc: Rpc, number: int) -> dict[str, Any]:
    fields = [
        "quantity", "unit.symbol", "state", "product.code", "from_location.type", "effective_date",
        "to_location.type", "production_input", "production_output", "lot.number", "penstock_lot",
        "penstock_document", "penstock_reason", "penstock_reference",
    ]  # fmt: skip
    (row,) = rpc("stock.move", "read", [number], fields)
    return dict(row)


def test_running_names_every_machines_order(tryton: erp.Server, rpc: Rpc) -> None:
    found = rpc("penstock.posting", "running", [])
    assert [row["asset"] for row in found] == ["L1-M1", "L1-M2", "L2-M1", "L2-M2"]
    started = [{**row, "lot": ""} for row in tryton.access.orders]
    assert [{**row, "lot": ""} for row in found] == started
    first = found[0]
    assert first["number"] == "MO-00001"
    assert (first["product"], first["unit"], first["quantity"]) == ("FG-100", "C62", "1000000")
    assert rpc("penstock.posting", "running", ["L2-M2"]) == [found[3]]
    assert rpc("penstock.posting", "running", ["nobody"]) == []


def test_confirmation_is_a_done_output_and_the_order_stays_running(
    rpc: Rpc, order: dict[str, Any], key: str
) -> None:
    answer = post(rpc, key, "production_confirmation", booking(order["order"]))
    assert answer["status"] == "posted"
    assert answer["document"].startswith("PC-")
    assert len(answer["document"]) == 9
    row = move(rpc, answer["id"])
    assert (row["quantity"], row["unit."]["symbol"], row["state"]) == (12.0, "u", "done")
    assert row["product."]["code"] == "FG-100"
    assert row["from_location."]["type"] == "production"
    assert row["to_location."]["type"] == "storage"
    assert row["production_output"] == order["order"]
    assert row["lot."]["number"] == row["penstock_lot"] == "LOT-1"
    assert row["penstock_document"] == answer["document"]
    assert row["penstock_reference"] == "event-1"
    assert row["effective_date"].isoformat() == today()
    (state,) = rpc("production", "read", [order["order"]], ["state"])
    assert state["state"] == "running"


def test_consumption_in_grams_of_the_orders_one_component(
    rpc: Rpc, order: dict[str, Any], key: str
) -> None:
    values = booking(order["number"], "61.805", "KGM")
    answer = post(rpc, key, "material_consumption", values)
    assert answer["document"].startswith("MC-")
    row = move(rpc, answer["id"])
    assert (row["quantity"], row["unit."]["symbol"], row["state"]) == (61.805, "kg", "done")
    assert row["product."]["code"] == "RM-100"
    assert (row["from_location."]["type"], row["to_location."]["type"]) == ("storage", "production")
    assert row["production_input"] == order["order"]
    assert row["penstock_lot"] == "LOT-1"


def test_scrap_goes_to_lost_and_found(rpc: Rpc, order: dict[str, Any], key: str) -> None:
    answer = post(rpc, key, "scrap", booking(order["order"], "3", reason="bent"))
    assert answer["document"].startswith("SC-")
    row = move(rpc, answer["id"])
    assert (row["quantity"], row["state"]) == (3.0, "done")
    assert row["to_location."]["type"] == "lost_found"
    assert row["penstock_reason"] == "bent"
    assert row["production_output"] == order["order"]


@pytest.mark.parametrize("named", [True, False])
def test_downtime_keeps_milliseconds(
    rpc: Rpc, order: dict[str, Any], key: str, named: bool
) -> None:
    values = {
        "asset": MACHINE, "order": order["number"] if named else None, "state": "STOP",
        "reason": "jam", "start": "2026-11-23T06:00:00.123456789Z",
        "end": "2026-11-23T08:00:07.624000000+02:00", "duration_s": "7.500543211",
        "reference": "event-1",
    }  # fmt: skip
    answer = post(rpc, key, "downtime", values)
    assert answer["document"].startswith("DT-")
    (row,) = rpc(
        "penstock.downtime",
        "read",
        [answer["id"]],
        ["asset", "start", "end", "duration", "production"],
    )
    assert row["asset"] == MACHINE
    assert row["start"] == dt.datetime(2026, 11, 23, 6, 0, 0, 123456, dt.UTC)
    assert row["end"] == dt.datetime(2026, 11, 23, 6, 0, 7, 624000, dt.UTC)
    assert str(row["duration"]) == "7.500543211"
    assert row["production"] == (order["order"] if named else None)


def test_same_key_is_a_duplicate_and_other_content_a_conflict(
    rpc: Rpc, order: dict[str, Any], key: str
) -> None:
    values = booking(order["order"])
    first = post(rpc, key, "production_confirmation", values)
    before = counts(rpc)
    assert post(rpc, key, "production_confirmation", values) == {**first, "status": "duplicate"}
    other = post(rpc, key, "production_confirmation", {**values, "quantity": "13"}, "d2")
    assert other == {**first, "status": "conflict"}
    assert post(rpc, key, "scrap", values)["status"] == "conflict"
    assert counts(rpc) == before
    assert rpc("penstock.posting", "find", key) == first
    assert rpc("penstock.posting", "find", key + "-other") is None


def test_eight_callers_of_one_key_make_one_document(
    tryton: erp.Server, rpc: Rpc, order: dict[str, Any], key: str
) -> None:
    sessions = [tryton.rpc() for _ in range(8)]
    gate = threading.Barrier(len(sessions))
    answers: list[dict[str, Any]] = []

    def call(session: Rpc) -> None:
        gate.wait()
        answers.append(post(session, key, "scrap", booking(order["order"], "1", reason="")))

    before = counts(rpc)["stock.move"]
    threads = [threading.Thread(target=call, args=(session,)) for session in sessions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer["status"] for answer in answers) == ["duplicate"] * 7 + ["posted"]
    assert len({answer["document"] for answer in answers}) == 1
    assert counts(rpc)["stock.move"] == before + 1


def test_numbers_of_many_callers_are_unique_and_have_no_gap(
    tryton: erp.Server, order: dict[str, Any], key: str
) -> None:
    sessions = [tryton.rpc() for _ in range(4)]
    answers: list[dict[str, Any]] = []

    def call(n: int, session: Rpc) -> None:
        for turn in range(3):
            values = booking(order["order"], "1", reason="")
            answers.append(post(session, f"{key}-{n}-{turn}", "scrap", values))

    threads = [threading.Thread(target=call, args=pair) for pair in enumerate(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    numbers = sorted(int(answer["document"].removeprefix("SC-")) for answer in answers)
    assert numbers == list(range(numbers[0], numbers[0] + 12))


REFUSED = [
    ({"order": "MO-99999"}, "order_unknown", "MO-99999"),
    ({"order": 99999}, "order_unknown", "99999"),
    ({"order": None}, "value_missing", "order"),
    ({"order": True}, "value_missing", "order"),
    ({"unit": "XXX"}, "unit_unknown", "XXX"),
    ({"unit": "KGM"}, "unit_differs", "KGM"),
    ({"quantity": "0"}, "quantity_not_positive", "0"),
    ({"quantity": "-1"}, "quantity_not_positive", "-1"),
    ({"quantity": "1.5"}, "quantity_digits", "1.5"),
    ({"quantity": "1,5"}, "quantity_invalid", "1,5"),
    ({"quantity": "1e3"}, "quantity_invalid", "1e3"),
    ({"quantity": "NaN"}, "quantity_invalid", "NaN"),
    ({"quantity": 12.0}, "quantity_invalid", "12.0"),
    ({"quantity": None}, "value_missing", "quantity"),
    ({"product": "NOPE"}, "product_unknown", "NOPE"),
    ({"product": "RM-100"}, "product_not_of_order", "RM-100"),
    ({"date": "23.11.2026"}, "date_invalid", "23.11.2026"),
    ({"date": "2999-01-01"}, "date_future", "2999-01-01"),
    ({"lot": "x" * 300}, "text_invalid", "lot"),
]


@pytest.mark.parametrize(("change", "code", "named"), REFUSED)
def test_refusal_says_why_and_leaves_nothing(
    rpc: Rpc, order: dict[str, Any], key: str, change: dict[str, Any], code: str, named: str
) -> None:
    before = counts(rpc)
    with pytest.raises(RpcError) as caught:
        post(rpc, key, "production_confirmation", {**booking(order["order"]), **change})
    name, (message, description, _) = caught.value.error
    assert name == "UserError"
    assert description == f"penstock:{code}"
    assert named in message
    assert counts(rpc) == before


def test_more_than_the_stock_is_refused_and_the_key_stays_free(
    rpc: Rpc, order: dict[str, Any], key: str
) -> None:
    values = booking(order["order"], "99999999", "KGM")
    with pytest.raises(RpcError, match="stock_short"):
        post(rpc, key, "material_consumption", values)
    assert rpc("penstock.posting", "find", key) is None
    values["quantity"] = "1.000"
    assert post(rpc, key, "material_consumption", values)["status"] == "posted"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"end": "2026-11-23T05:00:00Z"}, "interval_invalid"),
        ({"start": "2026-11-23T06:00:00"}, "time_invalid"),
        ({"start": "yesterday"}, "time_invalid"),
        ({"duration_s": "8.5"}, "duration_differs"),
        ({"asset": ""}, "value_missing"),
        ({"order": "MO-99999"}, "order_unknown"),
    ],
)
def test_downtime_that_makes_no_sense_is_refused(
    rpc: Rpc, key: str, change: dict[str, Any], code: str
) -> None:
    values = {
        "asset": MACHINE, "order": None, "state": "STOP", "reason": "", "reference": "",
        "start": "2026-11-23T06:00:00Z", "end": "2026-11-23T06:00:07.5Z", "duration_s": "7.5",
    }  # fmt: skip
    before = counts(rpc)
    with pytest.raises(RpcError, match=f"penstock:{code}"):
        post(rpc, key, "downtime", {**values, **change})
    assert counts(rpc) == before


def test_unknown_kind_and_empty_key_are_refused(rpc: Rpc, order: dict[str, Any]) -> None:
    with pytest.raises(RpcError, match="kind_unknown"):
        post(rpc, "k", "invoice", {})
    with pytest.raises(RpcError, match="value_missing"):
        post(rpc, "", "scrap", booking(order["order"]))


def test_client_cannot_make_change_or_delete_a_posting(
    rpc: Rpc, tryton: erp.Server, order: dict[str, Any], key: str
) -> None:
    answer = post(rpc, key, "scrap", booking(order["order"], "1", reason=""))
    (row,) = rpc("penstock.posting", "search", [("key", "=", key)], 0, None, None)
    for session in (rpc, tryton.rpc("admin")):
        with pytest.raises(RpcError, match="UserError"):
            session("penstock.posting", "write", [row], {"digest": "other"})
        with pytest.raises(RpcError, match="UserError"):
            session("penstock.posting", "delete", [row])
        with pytest.raises(RpcError, match="UserError"):
            session("penstock.posting", "create", [{"key": "x", "digest": "y", "kind": "scrap"}])
        with pytest.raises(RpcError, match="UserError"):
            session("stock.move", "delete", [answer["id"]])
    assert rpc("penstock.posting", "find", key) == {**answer, "status": "posted"}


def test_caller_without_stock_rights_is_refused_and_leaves_nothing(
    tryton: erp.Server, rpc: Rpc, order: dict[str, Any], key: str
) -> None:
    admin = tryton.rpc("admin")
    company = admin.context["company"]
    password = "a-Password-of-no-rights"
    admin(
        "res.user", "create",
        [{"name": "Guest", "login": key, "password": password, "company": company,
          "companies": [["add", [company]]]}],
    )  # fmt: skip
    guest = Rpc(tryton.access.url, tryton.access.database, key, password)
    before = counts(rpc)
    with pytest.raises(RpcError, match="not allowed to access"):
        post(guest, key, "scrap", booking(order["order"], "1", reason=""))
    assert counts(rpc) == before


def test_answer_cut_after_the_commit_is_found_and_not_booked_again(
    tryton: erp.Server, rpc: Rpc, order: dict[str, Any], key: str
) -> None:
    values = booking(order["order"])
    with FaultProxy(tryton.access.url, match="penstock.posting.post") as proxy:
        access = tryton.access
        client = Rpc(proxy.url, access.database, access.user, access.password)
        proxy.plan("cut_answer")
        before = counts(rpc)["stock.move"]
        with pytest.raises(ConnectionError):
            post(client, key, "production_confirmation", values)
        assert proxy.counts["cut_answer"] == 1
        found = client("penstock.posting", "find", key)
        assert found["status"] == "posted"
        again = post(client, key, "production_confirmation", values)
    assert again == {**found, "status": "duplicate"}
    assert counts(rpc)["stock.move"] == before + 1


def test_order_that_is_finished_takes_nothing_more_and_books_no_plan(
    new_tryton: Callable[[], erp.Server],
) -> None:
    server = new_tryton()
    rpc, admin = server.rpc(), server.rpc("admin")
    order = server.access.orders[0]["order"]
    post(rpc, "a", "production_confirmation", booking(order))
    post(rpc, "b", "material_consumption", booking(order, "1.500", "KGM"))
    post(rpc, "c", "scrap", booking(order, "2", reason=""))
    admin("production", "do", [order])
    domain = [["OR", ("production_input", "=", order), ("production_output", "=", order)]]
    moves = rpc(
        "stock.move", "search_read", domain, 0, None, [("id", "ASC")], ["quantity", "state"]
    )
    assert [(m["quantity"], m["state"]) for m in moves] == [
        (12.0, "done"),
        (1.5, "done"),
        (2.0, "done"),
    ]
    with pytest.raises(RpcError, match="order_not_running"):
        post(rpc, "d", "production_confirmation", booking(order))


def test_documents_survive_a_kill_of_the_server(new_tryton: Callable[[], erp.Server]) -> None:
    server = new_tryton()
    port = server.port
    order = server.access.orders[0]["order"]
    first = post(server.rpc(), "a", "production_confirmation", booking(order))
    server.kill()
    with pytest.raises(OSError, match="refused"):
        server.rpc()
    server.start()
    assert server.port == port
    again = post(server.rpc(), "a", "production_confirmation", booking(order))
    assert again == {**first, "status": "duplicate"}


def test_kill_in_the_middle_leaves_whole_documents_or_none(
    new_tryton: Callable[[], erp.Server],
) -> None:
    server = new_tryton()
    order = server.access.orders[0]["order"]
    unsure: list[str] = []
    for turn in range(3):
        session = server.rpc()
        killer = threading.Timer(0.3 + turn * 0.037, server.kill)
        killer.start()
        for n in range(1000):
            key = f"{turn}-{n}"
            try:
                post(session, key, "production_confirmation", booking(order))
            except (OSError, HTTPException):
                unsure.append(key)
                break
        killer.join()
        server.start()
    rpc = server.rpc()
    assert len(unsure) == 3
    keys = {
        row["key"] for row in rpc("penstock.posting", "search_read", [], 0, None, None, ["key"])
    }
    done = [("production_output", "=", order), ("state", "=", "done")]
    moves = rpc("stock.move", "search_read", done, 0, None, None, ["penstock_document"])
    assert len(moves) == len(keys)
    assert len({row["penstock_document"] for row in moves}) == len(moves)
    for key in unsure:
        status = post(rpc, key, "production_confirmation", booking(order))["status"]
        assert status == ("duplicate" if key in keys else "posted")


def test_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    command = [sys.executable, str(REPO / "tools" / "erp.py"), "start", "--dir", str(tmp_path)]
    with subprocess.Popen(
        [*command, "--machines", "A,B", "--json"], stdout=subprocess.PIPE
    ) as tool:
        assert tool.stdout is not None
        access = json.loads(tool.stdout.readline())
        assert [order["asset"] for order in access["orders"]] == ["A", "B"]
        assert erp.running_pid(tmp_path) == access["pid"]
        seed = [sys.executable, str(REPO / "tools" / "erp.py"), "seed", "--dir", str(tmp_path)]
        more = subprocess.run(
            [*seed, "--machines", "C", "--json"], stdout=subprocess.PIPE, check=True
        )
        assert json.loads(more.stdout)["orders"][0]["asset"] == "C"
        os.kill(tool.pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while erp.running_pid(tmp_path) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert erp.running_pid(tmp_path) is None


def test_stop_ends_only_the_server_of_its_folder(new_tryton: Callable[[], erp.Server]) -> None:
    one, two = new_tryton(), new_tryton()
    assert erp.stop(one.directory)
    assert one.wait() is not None
    assert erp.running_pid(one.directory) is None
    assert erp.running_pid(two.directory) == two.pid
    assert not erp.stop(one.directory)
