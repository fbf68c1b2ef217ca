"""The bookkeeper on a kept run: real books, hand-made logs; right as they are, and spoiled."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import books
import erp

BOOKS = Path(books.__file__)
START_MS = 1_795_000_000_123
MACHINES = ("L1-M1", "L1-M2")


@dataclass
class Run:
    """A kept run: logs, and the folder of stopped books."""

    logs: Path
    erp: Path
    orders: dict[str, str]

    def check(self) -> tuple[int, list[str]]:
        """Exit code and lines of the bookkeeper as a process."""
        command = ["--logs", str(self.logs), "--erp", str(self.erp / "erp.json")]
        done = subprocess.run(
            [sys.executable, str(BOOKS), *command], capture_output=True, text=True, check=False
        )
        return done.returncode, done.stdout.splitlines() or done.stderr.splitlines()

    def check_live(self, server: erp.Server) -> books.Verdict:
        """The verdict over books that a running server holds."""
        return books.check(self.logs, server.directory / "erp.json")

    def spoil(self, sql: str, *values: Any) -> None:
        """Change the books behind Tryton's back; exactly one row."""
        with closing(sqlite3.connect(self.erp / "plant.sqlite")) as database, database:
            assert database.execute(sql, values).rowcount == 1

    def log(self, event: dict[str, Any]) -> None:
        with (self.logs / f"{event['machine']}.jsonl").open("a") as lines:
            lines.write(json.dumps(event) + "\n")


def lot_event(machine: str, order: str, lot: str, **change: Any) -> dict[str, Any]:
    return {
        "type": "lot", "machine": machine, "order": order, "lot": lot, "good": 120, "scrap": 3,
        "used": "6.150", "unit_used": "KGM", "start_ns": 1, "end_ns": 2, **change,
    }  # fmt: skip


def stop_event(machine: str, order: str, nth: int) -> dict[str, Any]:
    start_ms = START_MS + nth * 60_000
    return {
        "type": "stop", "machine": machine, "order": order, "state": "STOP",
        "start_ms": start_ms, "end_ms": start_ms + 7_501,
    }  # fmt: skip


def post_lot(rpc: erp.Rpc, event: dict[str, Any]) -> None:
    common = {
        "order": event["order"], "product": None, "lot": event["lot"], "reason": "",
        "date": dt.datetime.now(dt.UTC).date().isoformat(), "reference": "test",
    }  # fmt: skip
    wanted = (
        ("production_confirmation", event["good"], "C62"),
        ("material_consumption", event["used"], "KGM"),
        ("scrap", event["scrap"], "C62"),
    )
    for kind, quantity, unit in wanted:
        if float(quantity) > 0:
            key = f"{kind}/{event['machine']}/{event['lot']}"
            values = {**common, "quantity": str(quantity), "unit": unit}
            rpc("penstock.posting", "post", key, "d", kind, values)


def post_stop(rpc: erp.Rpc, event: dict[str, Any]) -> None:
    start, end = (
        dt.datetime.fromtimestamp(0, dt.UTC) + dt.timedelta(milliseconds=event[name])
        for name in ("start_ms", "end_ms")
    )
    values = {
        "asset": event["machine"], "order": event["order"], "state": event["state"], "reason": "",
        "start": start.isoformat(), "end": end.isoformat(), "duration_s": "7.501",
        "reference": "test",
    }  # fmt: skip
    key = f"downtime/{event['machine']}/{event['start_ms']}"
    rpc("penstock.posting", "post", key, "d", "downtime", values)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Two machines, two lots each (one without scrap) and two stops: 15 documents."""
    folder = tmp_path_factory.mktemp("kept")
    server = erp.start(folder / "erp", ("L1-M1", "L1-M2", "L2-M1", "L2-M2"))
    orders = {row["asset"]: row["number"] for row in server.access.orders}
    run = Run(folder / "logs", folder / "erp", orders)
    run.logs.mkdir()
    rpc = server.rpc()
    try:
        for machine in MACHINES:
            order = orders[machine]
            for lot in (1, 2):
                event = lot_event(machine, order, f"{machine}-{lot}", scrap=3 * (lot % 2))
                post_lot(rpc, event)
                run.log(event)
            event = stop_event(machine, order, 1)
            post_stop(rpc, event)
            run.log(event)
        # One more lot whose machine logs the order's id instead of its number.
        by_id = {row["asset"]: row["order"] for row in server.access.orders}["L1-M1"]
        event = lot_event("L1-M1", orders["L1-M1"], "L1-M1-3")
        post_lot(rpc, event)
        run.log({**event, "order": str(by_id)})
    finally:
        server.stop()
    return run


@pytest.fixture
def run(kept: Run, tmp_path: Path) -> Run:
    """A copy of the kept run, to be spoiled."""
    shutil.copytree(kept.erp, tmp_path / "erp")
    shutil.copytree(kept.logs, tmp_path / "logs")
    return Run(tmp_path / "logs", tmp_path / "erp", kept.orders)


@pytest.fixture(scope="module")
def live(kept: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[erp.Server]:
    """The kept books, open in a running server: for tests that spoil logs only."""
    folder = tmp_path_factory.mktemp("live")
    shutil.copytree(kept.erp, folder / "erp")
    server = erp.start(folder / "erp")
    yield server
    server.stop()


def test_untouched_books_agree(run: Run) -> None:
    code, lines = run.check()
    assert lines == [
        "production_confirmation: events 5, documents 5",
        "material_consumption: events 5, documents 5",
        "scrap: events 3, documents 3",
        "downtime: events 2, documents 2",
        "events 15, documents 15, duplicates 0, lost 0",
    ]
    assert code == 0


def test_deleted_documents_are_named_although_their_posting_rows_remain(run: Run) -> None:
    run.spoil("DELETE FROM stock_move WHERE penstock_document = 'PC-000002'")
    run.spoil("DELETE FROM penstock_downtime WHERE number = 'DT-000001'")
    code, lines = run.check()
    assert code == 1
    assert lines[0].startswith(
        "missing: production_confirmation of MO-00001, L1-M1-2: quantity 120"
    )
    assert lines[1].startswith(f"missing: downtime of L1-M1, {START_MS + 60_000}:")
    assert lines[-1] == "events 15, documents 13, duplicates 0, lost 2"


def test_doubled_document_is_named(run: Run) -> None:
    with closing(sqlite3.connect(run.erp / "plant.sqlite")) as database:
        rows = database.execute("SELECT * FROM stock_move LIMIT 0")
        columns = ", ".join(column[0] for column in rows.description if column[0] != "id")
    run.spoil(
        f"INSERT INTO stock_move ({columns}) SELECT {columns} FROM stock_move"
        " WHERE penstock_document = 'MC-000001'"
    )
    code, lines = run.check()
    assert code == 1
    assert lines[0].startswith("doubled: material_consumption of MO-00001, L1-M1-1: MC-000001")
    assert lines[-1] == "events 15, documents 16, duplicates 1, lost 0"


def test_changed_quantity_is_named(run: Run) -> None:
    run.spoil("UPDATE stock_move SET quantity = 6.149 WHERE penstock_document = 'MC-000002'")
    code, lines = run.check()
    assert code == 1
    assert lines[0].startswith("differs: material_consumption of MO-00001, L1-M1-2: MC-000002")
    assert "has quantity 6.149" in lines[0]
    assert "logged quantity 6.15" in lines[0]
    assert lines[-1] == "events 15, documents 15, duplicates 0, lost 0, differing 1"


def test_unit_end_state_and_order_are_compared_too(run: Run) -> None:
    run.spoil(
        "UPDATE stock_move SET unit = (SELECT id FROM product_uom WHERE symbol = 'g')"
        " WHERE penstock_document = 'MC-000002'"
    )
    stop = "UPDATE penstock_downtime SET"
    run.spoil(f'{stop} "end" = "start", duration = 0 WHERE number = \'DT-000001\'')
    run.spoil(f"{stop} state = 'IDLE', production = 3 WHERE number = 'DT-000002'")
    code, lines = run.check()
    assert code == 1
    assert "has unit GRM, " in lines[0]
    assert "duration_ms 0, " in lines[1]
    assert "has state IDLE order MO-00003, " in lines[2]
    assert lines[-1].endswith(", differing 3")


def test_cancelled_move_does_not_count_as_a_document(run: Run) -> None:
    run.spoil("UPDATE stock_move SET state = 'cancelled' WHERE penstock_document = 'SC-000001'")
    code, lines = run.check()
    assert code == 1
    assert lines[0].startswith("missing: scrap of MO-00001, L1-M1-1")


@pytest.mark.parametrize(
    ("event", "lost"),
    [
        (lot_event("L1-M2", "MO-00002", "L1-M2-9"), 3),
        (lot_event("L1-M2", "MO-00002", "L1-M2-9", good=0, used="0.000"), 1),
        (stop_event("L1-M2", "MO-00002", 9), 1),
    ],
)
def test_logged_event_without_documents_is_named(
    run: Run, live: erp.Server, event: dict[str, Any], lost: int
) -> None:
    run.log(event)
    verdict = run.check_live(live)
    assert verdict.count("missing") == len(verdict.differences) == lost
    assert all("L1-M2.jsonl:4" in difference.text for difference in verdict.differences)
    assert verdict.line() == f"events {15 + lost}, documents 15, duplicates 0, lost {lost}"


def test_logged_event_without_documents_ends_with_exit_1(run: Run) -> None:
    run.log(stop_event("L1-M2", "MO-00002", 9))
    code, lines = run.check()
    assert code == 1
    assert lines[0].startswith("missing: downtime of L1-M2, ")


def test_document_without_a_logged_event_is_named(run: Run, live: erp.Server) -> None:
    log = run.logs / "L1-M2.jsonl"
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-1]))
    verdict = run.check_live(live)
    (difference,) = map(str, verdict.differences)
    assert difference.startswith(f"unexplained: downtime of L1-M2, {START_MS + 60_000}: DT-000002")
    assert verdict.line() == "events 14, documents 15, duplicates 0, lost 0, unexplained 1"


@pytest.mark.parametrize(
    "line", ['{"type":"lot","machine":"L1-M1"', '{"type":"party"}', '{"type":"stop","machine":"x"}']
)
def test_unreadable_log_line_is_named(run: Run, live: erp.Server, line: str) -> None:
    with (run.logs / "L1-M1.jsonl").open("a") as log:
        log.write(line)
    verdict = run.check_live(live)
    (difference,) = map(str, verdict.differences)
    assert difference.startswith("log: L1-M1.jsonl:5: ")
    assert verdict.line().endswith(", bad logs 1")


def test_event_logged_twice_is_named(run: Run, live: erp.Server) -> None:
    run.log(lot_event("L1-M1", "MO-00001", "L1-M1-1"))
    verdict = run.check_live(live)
    assert verdict.count("log") == len(verdict.differences) == 3


def test_no_logs_at_all_is_not_agreement(run: Run, live: erp.Server, tmp_path: Path) -> None:
    run.logs = tmp_path / "empty"
    run.logs.mkdir()
    verdict = run.check_live(live)
    assert str(verdict.differences[0]).startswith("log: no *.jsonl")
    assert not verdict.ok


def test_running_server_is_read_and_left_running(
    run: Run, new_tryton: Callable[[], erp.Server]
) -> None:
    server = new_tryton()
    order = server.access.orders[0]["number"]
    event = lot_event("L1-M1", order, "A")
    post_lot(server.rpc(), event)
    verdict = run.check_live(server)
    assert verdict.count("missing") == 15
    assert verdict.count("unexplained") == 3
    assert erp.running_pid(server.directory) == server.pid
    shutil.rmtree(run.logs)
    run.logs.mkdir()
    run.log(event)
    verdict = run.check_live(server)
    assert verdict.ok
    assert verdict.line(residual=0) == "events 3, documents 3, duplicates 0, lost 0, residual 0"


def test_books_that_cannot_be_read_are_not_agreement(run: Run, tmp_path: Path) -> None:
    run.erp = tmp_path / "nowhere"
    code, lines = run.check()
    assert code == 2
    assert lines[0].startswith("books: ")
