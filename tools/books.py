#!/usr/bin/env python3
"""The bookkeeper: what the machines logged must stand in Tryton's books, once, unchanged.

    books.py --logs DIR --erp DIR/erp.json [--json]

It imports nothing of penstock. It reads the machines' own logs and, over JSON-RPC, the real
documents: done stock moves and downtime records. Each difference is named; exit code 1 if there is
one. If no server runs on those books, it starts one for the time of reading.

A log is a file of JSON lines:
    {"type":"lot","machine","order","lot","good","scrap","used","unit_used","start_ns","end_ns"}
    {"type":"stop","machine","order","state","start_ms","end_ms"}
A lot must be one confirmation (good), one consumption (used) and one scrap, each where its quantity
is above zero; a stop must be one downtime.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import erp
from tryton_rpc import Rpc, RpcError

KINDS = ("production_confirmation", "material_consumption", "scrap", "downtime")
PIECE = "C62"
SYMBOLS = {"u": PIECE, "kg": "KGM", "g": "GRM", "l": "LTR", "m": "MTR"}
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MILLISECOND = dt.timedelta(milliseconds=1)


@dataclass(frozen=True)
class Key:
    """What makes a document the one of an event: its kind, whose, and which."""

    kind: str
    whose: str  # order number; of a downtime the machine
    which: str  # lot; of a downtime its start in ms since 1970

    def __str__(self) -> str:
        return f"{self.kind} of {self.whose}, {self.which}"


@dataclass(frozen=True)
class Entry:
    """One event of a log, or one document: the figures that must agree, and where it stands."""

    key: Key
    figures: dict[str, str]
    place: str


@dataclass(frozen=True)
class Difference:
    """Something that is not as it must be."""

    kind: str  # missing, doubled, differs, unexplained, log
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


@dataclass
class Verdict:
    """What must exist, what does, and what differs."""

    events: int = 0
    documents: int = 0
    differences: list[Difference] = field(default_factory=list)
    events_by_kind: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    documents_by_kind: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))

    def count(self, kind: str) -> int:
        """Differences of one kind."""
        return sum(difference.kind == kind for difference in self.differences)

    @property
    def ok(self) -> bool:
        return not self.differences

    def line(self, residual: int | None = None) -> str:
        """The verdict in one line; `residual` is the collector's, for who knows it."""
        text = f"events {self.events}, documents {self.documents}"
        text += f", duplicates {self.count('doubled')}, lost {self.count('missing')}"
        text += f", residual {residual}" if residual is not None else ""
        for kind, word in (
            ("differs", "differing"),
            ("unexplained", "unexplained"),
            ("log", "bad logs"),
        ):
            text += f", {word} {self.count(kind)}" if self.count(kind) else ""
        return text

    def by_kind(self) -> list[str]:
        """One line a kind: events and documents."""
        return [
            f"{kind}: events {self.events_by_kind[kind]}, documents {self.documents_by_kind[kind]}"
            for kind in KINDS
        ]

    def as_dict(self) -> dict[str, Any]:
        return {
            "ok": self.ok,
            "events": self.events,
            "documents": self.documents,
            "duplicates": self.count("doubled"),
            "lost": self.count("missing"),
            "events_by_kind": self.events_by_kind,
            "documents_by_kind": self.documents_by_kind,
            "differences": [{"kind": d.kind, "text": d.text} for d in self.differences],
        }


# ---- what must exist -------------------------------------------------------------------------


def read_logs(folder: Path, orders: dict[str, str]) -> tuple[list[Entry], list[Difference]]:
    """The documents that the logs ask for, and lines that cannot be read."""
    expected: list[Entry] = []
    bad: list[Difference] = []
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        bad.append(Difference("log", f"no *.jsonl in {folder}"))
    for path in files:
        for number, line in enumerate(path.read_text().splitlines(), 1):
            place = f"{path.name}:{number}"
            try:
                expected += _expected(json.loads(line), place, orders)
            except (ValueError, KeyError, TypeError, InvalidOperation) as error:
                bad.append(Difference("log", f"{place}: {type(error).__name__}: {error}"))
    return expected, bad


def _expected(event: dict[str, Any], place: str, orders: dict[str, str]) -> Iterator[Entry]:
    if event["type"] == "stop":
        start_ms, end_ms = int(event["start_ms"]), int(event["end_ms"])
        figures = {"state": event["state"], "end_ms": str(end_ms)}
        if event.get("order"):
            figures["order"] = _order(event, orders)
        figures["duration_ms"] = str(end_ms - start_ms)
        yield Entry(Key("downtime", event["machine"], str(start_ms)), figures, place)
        return
    if event["type"] != "lot":
        raise ValueError(f"unknown type {event['type']!r}")
    order = _order(event, orders)
    booked = (
        ("production_confirmation", event["good"], PIECE),
        ("material_consumption", event["used"], event["unit_used"]),
        ("scrap", event["scrap"], PIECE),
    )
    for kind, quantity, unit in booked:
        if Decimal(str(quantity)) > 0:
            figures = {"quantity": _plain(Decimal(str(quantity))), "unit": unit}
            yield Entry(Key(kind, order, event["lot"]), figures, place)


def _order(event: dict[str, Any], orders: dict[str, str]) -> str:
    """The order's number; machines may log its number or its id."""
    text = str(event["order"])
    return orders.get(text, text)


def _plain(value: Decimal) -> str:
    return format(value.normalize(), "f")


# ---- what does exist -------------------------------------------------------------------------


def read_orders(rpc: Rpc) -> dict[str, str]:
    """Order id and order number, as texts, to order number."""
    rows = rpc("production", "search_read", [], 0, None, None, ["number"])
    numbers = {str(row["id"]): row["number"] or str(row["id"]) for row in rows}
    return numbers | {number: number for number in numbers.values()}


def read_documents(rpc: Rpc, orders: dict[str, str]) -> list[Entry]:
    """Every done move of an order and every downtime record, whoever made it."""
    fields = (
        "quantity", "unit.symbol", "penstock_lot", "penstock_document", "to_location.type",
        "production_input", "production_output",
    )  # fmt: skip
    of_order = ["OR", ("production_input", "!=", None), ("production_output", "!=", None)]
    moves = rpc(
        "stock.move", "search_read", [("state", "=", "done"), of_order], 0, None, None, list(fields)
    )
    names = ("number", "asset", "state", "start", "end", "duration", "production")
    stops = rpc("penstock.downtime", "search_read", [], 0, None, None, list(names))
    return [_move(row, orders) for row in moves] + [_stop(row, orders) for row in stops]


def _move(row: dict[str, Any], orders: dict[str, str]) -> Entry:
    if row["production_input"]:
        kind, order = "material_consumption", row["production_input"]
    elif row["to_location."]["type"] == "lost_found":
        kind, order = "scrap", row["production_output"]
    else:
        kind, order = "production_confirmation", row["production_output"]
    symbol = row["unit."]["symbol"]
    figures = {
        "quantity": _plain(Decimal(repr(row["quantity"]))),
        "unit": SYMBOLS.get(symbol, symbol),
    }
    place = f"{row['penstock_document'] or 'unnumbered'} (stock.move {row['id']})"
    return Entry(Key(kind, orders[str(order)], row["penstock_lot"] or ""), figures, place)


def _stop(row: dict[str, Any], orders: dict[str, str]) -> Entry:
    start_ms, end_ms = ((row[name] - EPOCH) // MILLISECOND for name in ("start", "end"))
    figures = {"state": row["state"], "end_ms": str(end_ms)}
    if row["production"]:
        figures["order"] = orders[str(row["production"])]
    figures["duration_ms"] = _plain((row["duration"] * 1000).quantize(Decimal(1)))
    place = f"{row['number']} (penstock.downtime {row['id']})"
    return Entry(Key("downtime", row["asset"], str(start_ms)), figures, place)


# ---- comparing -------------------------------------------------------------------------------


def compare(expected: list[Entry], documents: list[Entry]) -> Verdict:
    """Every event has one document with its figures; every document has an event."""
    verdict = Verdict(events=len(expected), documents=len(documents))
    for entry in expected:
        verdict.events_by_kind[entry.key.kind] += 1
    found: dict[Key, list[Entry]] = {}
    for document in documents:
        verdict.documents_by_kind[document.key.kind] += 1
        found.setdefault(document.key, []).append(document)
    seen: dict[Key, Entry] = {}
    for event in expected:
        if event.key in seen:
            text = f"{event.key}: logged at {seen[event.key].place} and again at {event.place}"
            verdict.differences.append(Difference("log", text))
            continue
        seen[event.key] = event
        verdict.differences += _judge(event, found.pop(event.key, []))
    for others in found.values():
        for document in others:
            text = f"{document.key}: {document.place}, {_words(document.figures)}, no logged event"
            verdict.differences.append(Difference("unexplained", text))
    return verdict


def _judge(event: Entry, documents: list[Entry]) -> Iterator[Difference]:
    if not documents:
        text = f"{event.key}: {_words(event.figures)}, logged at {event.place}, no document"
        yield Difference("missing", text)
        return
    for extra in documents[1:]:
        yield Difference("doubled", f"{event.key}: {documents[0].place} and also {extra.place}")
    for document in documents:
        wrong = [n for n in event.figures if _differs(n, event.figures, document.figures)]
        if wrong:
            must = _words({name: event.figures[name] for name in wrong})
            has = _words({name: document.figures.get(name, "none") for name in wrong})
            text = f"{event.key}: {document.place} has {has}, {event.place} logged {must}"
            yield Difference("differs", text)


def _differs(name: str, must: dict[str, str], has: dict[str, str]) -> bool:
    # A downtime record need not name the order that ran; if it does, it must be the logged one.
    return must[name] != has.get(name, must[name] if name == "order" else None)


def _words(figures: dict[str, str]) -> str:
    return " ".join(f"{name} {figure}" for name, figure in figures.items())


def check(logs: Path, access_file: Path) -> Verdict:
    """Compare the logs in `logs` with the books that `access_file` (erp.json) leads to."""
    directory = access_file.parent
    if not (directory / f"{erp.DATABASE}.sqlite").exists():
        raise erp.ErpError(f"no books in {directory}")
    if erp.running_pid(directory) is None:
        server = erp.start(directory, say=erp.say_to_stderr)
        try:
            return _check(logs, server.rpc())
        finally:
            server.stop()
    access = json.loads(access_file.read_text())
    return _check(logs, Rpc(access["url"], access["database"], access["user"], access["password"]))


def _check(logs: Path, rpc: Rpc) -> Verdict:
    orders = read_orders(rpc)
    expected, bad = read_logs(logs, orders)
    verdict = compare(expected, read_documents(rpc, orders))
    verdict.differences[:0] = bad
    return verdict


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--logs", type=Path, required=True, help="folder of the machines' logs")
    parser.add_argument("--erp", type=Path, required=True, help="erp.json of the books")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    args = parser.parse_args(argv)
    try:
        verdict = check(args.logs, args.erp)
    except (erp.ErpError, RpcError, OSError) as error:
        print(f"books: {error}", file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps(verdict.as_dict()))
    else:
        print("\n".join([*map(str, verdict.differences), *verdict.by_kind(), verdict.line()]))
    return 0 if verdict.ok else 1


if __name__ == "__main__":
    sys.exit(main())
