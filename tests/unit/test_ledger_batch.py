"""Ledger, a batch at once against event by event: the same rows, bit for bit, whatever comes.

Both ways get the same batches, made from a seed: new events, repeats in and across batches, other
content under a known id, faults, holds, events nobody maps, evidence within and beyond its budget,
odd texts, and a second writer in between. Then every table is compared.
"""

from __future__ import annotations

import hashlib
import random
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from penstock.errors import LedgerError
from penstock.events import Context, Event
from penstock.mapping import map_event
from penstock.outbox import Decision, Ledger, Mapped, State
from penstock.outbox.content import (
    canonical_json,
    content_hash,
    event_from_json,
    event_to_json,
)
from penstock.testing.builders import BASE_NS, make_config, make_event, make_evidence, make_stop

S = 1_000_000_000
NOW = BASE_NS + 3600 * S
CONFIG = make_config()
TABLES = ("ledger", "event", "conflict", "register", "entry", "evidence", "audit", "counter")
ODD = (
    '"',
    "\\",
    "\n",
    "\x00\x1f\x7f",
    "é",
    "—",
    "\u2028",
    "😀",
    "a" * 5000,
    "'; DROP TABLE event",
    "",
)


def plain_json(event: Event) -> str:
    record = {each.name: getattr(event, each.name) for each in fields(Event)}
    del record["seq"], record["pos"]
    record["quantity"] = None if event.quantity is None else str(event.quantity)
    record["flags"] = sorted(event.flags)
    context = event.context
    record["context"] = {each.name: getattr(context, each.name) for each in fields(context)}
    return canonical_json(record)


def random_number(chance: random.Random) -> int | float:
    return chance.choice(
        [0, -1, 2**63 - 1, -(2**63), 0.1 + 0.2, -0.0, 1e308, 5e-324, 12.0, chance.random() * 1e6]
    )


def random_event(chance: random.Random, number: int) -> Event:
    """Any field may be odd; the id only says which event it is."""
    changes: dict[str, Any] = {"value": random_number(chance)}
    if chance.random() < 0.3:
        name = chance.choice(["text", "unit", "series", "tag", "rule"])
        changes[name] = chance.choice(ODD)
    if chance.random() < 0.2:
        changes["context"] = Context(*(chance.choice(ODD) for _ in fields(Context)))
    for name in ("sum", "min", "max", "first", "last", "limit", "end_reading", "start_reading"):
        if chance.random() < 0.2:
            changes[name] = chance.choice([None, random_number(chance)])
    if chance.random() < 0.2:
        changes["flags"] = frozenset(chance.sample(["incomplete", "partial", "bridged", "é"], 2))
    if chance.random() < 0.1:
        changes["quantity"] = chance.choice([None, Decimal("1E+3"), Decimal("-0.10")])
    order = chance.choice(["O1", "O2", "O3"])
    make = make_stop if chance.random() < 0.2 else make_event
    return make(number, order=order, asset=chance.choice(["M1", "M2"]), **changes)


def random_batches(seed: int) -> list[list[Mapped]]:
    chance = random.Random(seed)
    known: list[Mapped] = []
    batches = []
    for _ in range(12):
        batch: list[Mapped] = []
        for _ in range(chance.choice([0, 1, 1, 2, 7, 40])):
            if known and chance.random() < 0.05:
                batch.append(chance.choice([*known, *batch]))  # a repeat, also within the batch
                continue
            event = random_event(chance, len(known) + 10_000 * (chance.random() < 0.05))
            outputs = map_event(event, CONFIG) if chance.random() < 0.9 else []
            samples = make_evidence(event, chance.choice([1, 5, 192, 300]), chance.choice([0, 70]))
            batch.append(Mapped(event, outputs, samples if chance.random() < 0.5 else None))
            known.append(batch[-1])
        batches.append(batch)
    return batches


def rows_of(path: Path) -> dict[str, list[tuple[object, ...]]]:
    connection = sqlite3.connect(path)
    try:
        found = {
            name: connection.execute(f"SELECT * FROM {name} ORDER BY 1, 2").fetchall()
            for name in TABLES
        }
    finally:
        connection.close()
    found["ledger"] = [row[2:] for row in found["ledger"]]  # not its random id
    return found


def write(path: Path, seed: int, *, is_plain: bool) -> tuple[list[object], int]:
    """Commits the batches of a seed; what each call answered, and how many went at once."""
    answers: list[object] = []
    at_once = 0
    with Ledger.open(
        path, now_ns=NOW, is_expected=seed % 3 == 0, evidence_bytes_max=9000
    ) as ledger:
        whole = ledger._commit_new

        def tried(batch: Any, now_ns: int) -> Any:
            nonlocal at_once
            done = None if is_plain else whole(batch, now_ns)
            at_once += done is not None
            return done

        ledger._commit_new = tried  # type: ignore[method-assign]
        for turn, batch in enumerate(random_batches(seed)):
            now_ns = NOW + turn * S
            try:
                answers.append(ledger.commit_batch(batch, now_ns=now_ns))
            except LedgerError as wrong:
                answers.append(str(wrong))
            if turn % 4 == 1:
                interfere(path, ledger, now_ns)
        assert ledger.reader.verify().problems == ()
    return answers, at_once


def interfere(path: Path, ledger: Ledger, now_ns: int) -> None:
    """The same ledger is moved on by its relay, and by another process."""
    for entry in ledger.due("memory", now_ns=now_ns, limit=1):
        marked = ledger.mark_posting(entry, now_ns=now_ns)
        assert marked is not None
        ledger.record(marked, Decision(State.POSTED, document="PC-1"), now_ns=now_ns)
    with Ledger.open(path, now_ns=now_ns, evidence_bytes_max=9000) as other:
        event = make_event(90_000 + now_ns // S % 1000)
        other.commit_batch([Mapped(event, map_event(event, CONFIG))], now_ns=now_ns)


@pytest.mark.parametrize("seed", range(20))
def test_a_batch_at_once_leaves_the_rows_of_event_by_event(tmp_path: Path, seed: int) -> None:
    plain, none_at_once = write(tmp_path / "plain" / "ledger.sqlite", seed, is_plain=True)
    fast, at_once = write(tmp_path / "fast" / "ledger.sqlite", seed, is_plain=False)
    assert fast == plain
    assert (none_at_once, at_once > 0) == (0, True)
    assert rows_of(tmp_path / "fast" / "ledger.sqlite") == rows_of(
        tmp_path / "plain" / "ledger.sqlite"
    )


@pytest.mark.parametrize("seed", range(5))
def test_an_event_written_out_is_its_canonical_json(seed: int) -> None:
    chance = random.Random(seed)
    for number in range(300):
        event = random_event(chance, number)
        assert event_to_json(event) == plain_json(event)
        figures = {"tw_mean": chance.random(), "max_at": number, "rate": None}
        event = replace(event, value=None, aggregates=figures)
        assert event_to_json(event) == plain_json(event)
        assert event_from_json(event_to_json(event)).aggregates == figures
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON"):
            event_to_json(make_event(1, value=wrong))


def plain_hash(parts: Sequence[str | int | bytes]) -> str:
    """The same, said part by part."""
    made = hashlib.sha256()
    for part in parts:
        raw = part if isinstance(part, bytes) else str(part).encode()
        made.update(len(raw).to_bytes(8, "little"))
        made.update(raw)
    return made.hexdigest()


def test_content_hash_is_the_plain_one() -> None:
    chance = random.Random(5)
    for _ in range(2000):
        parts = [
            chance.choice(
                [
                    chance.randrange(-9, 10**19),
                    "é" * chance.randrange(9),
                    bytes(chance.randrange(20)),
                    "x" * chance.choice([0, 4095, 4096, 9000]),
                ]
            )
            for _ in range(chance.randrange(16))
        ]
        assert content_hash(parts) == plain_hash(parts) == content_hash(iter(parts))


def test_parts_of_any_length_are_told_apart() -> None:
    assert content_hash(["ab", "c"]) != content_hash(["a", "bc"])
    for size in (0, 1, 4095, 4096, 70_000):
        assert content_hash(["x" * size, 7]) == content_hash([b"x" * size, b"7"])
        assert content_hash(["x" * size]) != content_hash(["x" * size, ""])


def spoil_counter(path: Path) -> None:
    with Ledger.open(path, now_ns=NOW) as other:
        other.wake_all(now_ns=NOW)


def spoil_nothing(path: Path) -> None:
    del path


@pytest.mark.parametrize(("spoil", "goes_at_once"), [(spoil_nothing, True), (spoil_counter, False)])
def test_a_ledger_that_somebody_else_changed_is_asked_again(
    tmp_path: Path, spoil: Callable[[Path], None], goes_at_once: bool
) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path, now_ns=NOW) as ledger:
        event, more = make_event(1), make_event(2)
        ledger.commit_batch([Mapped(event, map_event(event, CONFIG))], now_ns=NOW)
        spoil(path)
        batch = [Mapped(more, map_event(more, CONFIG))]
        assert (ledger._commit_new(batch, NOW) is not None) is goes_at_once
        if not goes_at_once:
            assert ledger.commit_batch(batch, now_ns=NOW).events == 1
        assert ledger.reader.verify().problems == ()
        assert ledger.reader.verify().links == 2
