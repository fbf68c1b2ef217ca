"""Ledger: against real files, real reopening, real full disks; time is an argument."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from penstock.errors import LedgerError, StateError
from penstock.mapping import map_event
from penstock.outbox import Decision, Ledger, LedgerBlocked, Mapped, Reader, State
from penstock.outbox.content import event_from_json, event_to_json
from penstock.outbox.decide import Rest
from penstock.testing.builders import BASE_NS, make_config, make_event, make_evidence, make_stop

S = 1_000_000_000
NOW = BASE_NS + 3600 * S
CONFIG = make_config()


def mapped(event: object, before: int = 0) -> Mapped:
    samples = make_evidence(event, before) if before else None
    return Mapped(event, map_event(event, CONFIG), samples)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    with Ledger.open(path, now_ns=NOW) as opened:
        yield opened


def raw(path: Path, text: str, *values: object) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        return connection.execute(text, values).fetchall()
    finally:
        connection.close()


def test_a_batch_is_whole_on_disk_when_commit_returns(path: Path, ledger: Ledger) -> None:
    done = ledger.commit_batch([mapped(make_event(1), 5), mapped(make_stop(2))], now_ns=NOW)
    assert (done.events, done.entries, done.unmapped) == (2, 2, 0)
    assert raw(path, "SELECT count(*) FROM event") == [(2,)]
    assert raw(path, "SELECT state, count(*) FROM entry GROUP BY state") == [("ready", 2)]
    assert raw(path, "PRAGMA journal_mode") == [("wal",)]
    assert ledger.reader.counters()["events"] == 2


def test_an_event_reads_back_as_it_was(ledger: Ledger) -> None:
    event = make_event(3, flags=frozenset({"bridged", "rollover"}), value=2**62 + 1)
    assert event_from_json(event_to_json(event)) == make_event(
        3,
        flags=frozenset({"bridged", "rollover"}),
        value=2**62 + 1,
        seq=0,
        pos=0,
        digest=event.digest,
    )
    ledger.commit_batch([mapped(event)], now_ns=NOW)
    assert ledger.reader.event(event.id).value == 2**62 + 1
    fraction = make_event(4, value=0.1 + 0.2)
    assert event_from_json(event_to_json(fraction)).value == 0.1 + 0.2


def test_a_repeat_is_skipped_whole_even_when_the_mapping_changed(ledger: Ledger) -> None:
    event = make_event(1)
    ledger.commit_batch([mapped(event)], now_ns=NOW)
    again = Mapped(event, [*map_event(event, CONFIG), *map_event(make_stop(9), CONFIG)])
    done = ledger.commit_batch([again], now_ns=NOW)
    assert (done.events, done.entries, done.redelivered) == (0, 0, 1)
    assert sum(ledger.reader.states().values()) == 1
    assert ledger.reader.counters()["redelivered"] == 1


def test_other_content_under_a_known_id_is_kept_held_and_never_posted(ledger: Ledger) -> None:
    event = make_event(1)
    other = make_event(1, id=event.id, value=13)
    assert other.digest != event.digest
    ledger.commit_batch([mapped(event)], now_ns=NOW)
    done = ledger.commit_batch([mapped(other)], now_ns=NOW)
    assert (done.conflicts, done.entries) == (1, 1)
    (held,) = ledger.reader.entries(state="held")
    assert held.category == "conflict"
    assert event.digest in held.reason
    assert other.digest in held.reason
    assert ledger.reader.event(event.id).value == 12
    assert [each.event.value for each in ledger.reader.conflicts(event.id)] == [13]
    assert len(ledger.due("memory", now_ns=NOW, limit=9)) == 1
    third = ledger.commit_batch([mapped(other)], now_ns=NOW)
    assert (third.conflicts, third.redelivered) == (0, 1)
    with pytest.raises(LedgerError, match="no document"):
        ledger.retry(held.entry_id, by="me", reason="try", now_ns=NOW)
    assert (
        ledger.discard(held.entry_id, by="me", reason="same lot", now_ns=NOW).state == "discarded"
    )


def test_while_recovering_other_content_is_absorbed_and_counted(ledger: Ledger) -> None:
    event = make_event(1)
    ledger.commit_batch([mapped(event)], now_ns=NOW)
    newest = ledger.newest_event_ns()
    assert newest == event.end_ns
    other = make_event(1, id=event.id, value=13)
    done = ledger.commit_batch([mapped(other)], now_ns=NOW, recovering_until_ns=newest)
    assert (done.absorbed, done.conflicts) == (1, 0)
    later = make_event(2)
    ledger.commit_batch([mapped(later)], now_ns=NOW, recovering_until_ns=newest)
    changed = make_event(2, id=later.id, value=13)
    done = ledger.commit_batch([mapped(changed)], now_ns=NOW, recovering_until_ns=newest)
    assert (done.absorbed, done.conflicts) == (0, 1)


def test_an_event_nobody_maps_is_kept_and_counted(ledger: Ledger) -> None:
    done = ledger.commit_batch([Mapped(make_event(1))], now_ns=NOW)
    assert (done.events, done.entries, done.unmapped) == (1, 0, 1)
    assert ledger.reader.counters()["unmapped"] == 1


def test_a_held_event_waits_with_its_document_and_a_fault_is_dead_with_its_cause(
    ledger: Ledger,
) -> None:
    ledger.commit_batch([mapped(make_event(1, flags=frozenset({"incomplete"})))], now_ns=NOW)
    (held,) = ledger.reader.entries(state="held")
    assert held.body["quantity"] == {"unit": "C62", "value": "12"}
    ledger.commit_batch([mapped(make_event(2, order=""))], now_ns=NOW)
    (dead,) = ledger.reader.entries(state="dead")
    assert dead.category == "mapping"
    assert "order" in dead.reason
    ledger.retry(held.entry_id, by="me", reason="checked", now_ns=NOW)
    assert [each.entry_id for each in ledger.due("memory", now_ns=NOW, limit=9)] == [held.entry_id]
    with pytest.raises(LedgerError, match="--config"):
        ledger.retry(dead.entry_id, by="me", reason="again", now_ns=NOW)
    fixed = make_event(2, order="O7")
    (command,) = map_event(make_event(2, id=fixed.id, order="O7"), CONFIG)
    entry = ledger.remap(dead.entry_id, command, by="me", reason="order known", now_ns=NOW)
    assert (entry.state, entry.business_object) == (State.READY, "O7")
    assert ledger.reader.verify().problems == ()


def test_one_of_a_business_object_is_due_in_order_of_occurrence(ledger: Ledger) -> None:
    late, early = make_event(9), make_event(1)
    other = make_event(5, order="O2")
    ledger.commit_batch([mapped(late), mapped(other), mapped(early)], now_ns=NOW)
    due = ledger.due("memory", now_ns=NOW, limit=9)
    assert [each.event_id for each in due] == [early.id, other.id]
    assert ledger.due("nobody", now_ns=NOW, limit=9) == []
    marked = ledger.mark_posting(due[0], now_ns=NOW)
    assert marked is not None
    assert (marked.state, marked.sends) == (State.POSTING, 1)
    assert [each.event_id for each in ledger.due("memory", now_ns=NOW, limit=9)] == [other.id]
    ledger.record(marked, Decision(State.RETRY, "locked", "busy", NOW + 60 * S), now_ns=NOW)
    assert [each.event_id for each in ledger.due("memory", now_ns=NOW, limit=9)] == [other.id]
    again = ledger.due("memory", now_ns=NOW + 60 * S, limit=9)
    assert [each.event_id for each in again] == [early.id, other.id]
    ledger.record(again[0], Decision(State.DEAD, "refused", "no"), now_ns=NOW)
    due = ledger.due("memory", now_ns=NOW, limit=9)
    assert [each.event_id for each in due] == [other.id, late.id]


def test_due_walks_the_index_and_does_not_scan(path: Path, ledger: Ledger) -> None:
    from penstock.outbox.sql import statements

    values = {"target": "memory", "now_ns": NOW, "limit": 4}
    connection = sqlite3.connect(path)
    plan = connection.execute("EXPLAIN QUERY PLAN " + statements()["entry_due"], values).fetchall()
    connection.close()
    steps = [row[3] for row in plan]
    assert sum("USING" in step and "entry_open" in step for step in steps) >= 3
    assert not any(step.startswith(("SCAN entry", "SCAN first")) for step in steps)


def test_every_statement_compiles_and_is_used(ledger: Ledger) -> None:
    from penstock.outbox.sql import statements

    source = "".join(
        each.read_text(encoding="utf-8")
        for each in Path(__file__).parents[2].joinpath("src/penstock/outbox").glob("*.py")
    )
    for name, text in statements().items():
        assert f'"{name}"' in source, f"{name} is used by nobody"
        assert text


def test_an_answer_to_an_older_send_is_not_attached(ledger: Ledger) -> None:
    ledger.commit_batch([mapped(make_event(1))], now_ns=NOW)
    (entry,) = ledger.due("memory", now_ns=NOW, limit=1)
    first = ledger.mark_posting(entry, now_ns=NOW)
    assert first is not None
    ledger.record(first, Decision(State.RETRY, "locked", "busy", NOW), now_ns=NOW)
    second = ledger.mark_posting(ledger.due("memory", now_ns=NOW, limit=1)[0], now_ns=NOW)
    assert second is not None
    assert second.sends == 2
    assert not ledger.record(first, Decision(State.POSTED, document="PC-1"), now_ns=NOW)
    assert ledger.reader.entry(entry.entry_id).state is State.POSTING
    assert ledger.record(second, Decision(State.POSTED, document="PC-2"), now_ns=NOW)
    assert [each.entry_id for each in ledger.reader.find("PC-2")] == [entry.entry_id]
    assert ledger.reader.find("PC-1") == []


def test_what_was_on_its_way_is_in_doubt_after_a_restart(path: Path) -> None:
    with Ledger.open(path, now_ns=NOW) as before:
        before.commit_batch([mapped(make_event(1))], now_ns=NOW)
        assert before.mark_posting(before.due("memory", now_ns=NOW, limit=1)[0], now_ns=NOW)
    with Ledger.open(path, now_ns=NOW, is_expected=True) as after:
        assert after.due("memory", now_ns=NOW, limit=9) == []
        assert after.recover(now_ns=NOW) == 1
        (entry,) = after.due("memory", now_ns=NOW, limit=9)
        assert (entry.state, entry.category) == (State.IN_DOUBT, "restart")
        assert after.reader.verify().problems == ()


def test_a_lost_ledger_starts_the_gap_in_doubt(path: Path) -> None:
    Ledger.open(path, now_ns=NOW).close()
    for each in path.parent.iterdir():
        if each.name.startswith("ledger.sqlite"):
            each.unlink()
    with Ledger.open(path, now_ns=NOW) as ledger:
        ledger.commit_batch([mapped(make_event(1))], now_ns=NOW)
        later = make_event(2, engine_time_ns=NOW + S, order="O2")
        ledger.commit_batch([mapped(later)], now_ns=NOW + 2 * S)
        assert [each.state for each in ledger.due("memory", now_ns=NOW + 9 * S, limit=9)] == [
            State.IN_DOUBT,
            State.READY,
        ]


def test_a_new_ledger_in_a_used_state_directory_starts_in_doubt(path: Path) -> None:
    with Ledger.open(path, now_ns=NOW, is_expected=True) as ledger:
        ledger.commit_batch([mapped(make_event(1))], now_ns=NOW)
        assert [each.category for each in ledger.due("memory", now_ns=NOW, limit=9)] == ["gap"]


def test_a_restored_old_copy_is_noticed_and_its_open_entries_are_in_doubt(path: Path) -> None:
    with Ledger.open(path, now_ns=NOW) as ledger:
        ledger.commit_batch([mapped(make_event(1))], now_ns=NOW)
    copy = path.read_bytes()
    with Ledger.open(path, now_ns=NOW) as ledger:
        entry = ledger.mark_posting(ledger.due("memory", now_ns=NOW, limit=1)[0], now_ns=NOW)
        assert entry is not None
        ledger.record(entry, Decision(State.POSTED, document="PC-1"), now_ns=NOW)
    path.write_bytes(copy)
    with Ledger.open(path, now_ns=NOW) as ledger:
        (entry,) = ledger.due("memory", now_ns=NOW, limit=9)
        assert (entry.state, entry.category) == (State.IN_DOUBT, "gap")
        assert "2 commits older" in entry.reason
        assert ledger.reader.verify().problems == ()
    with Ledger.open(path, now_ns=NOW + S) as ledger:
        assert ledger.due("memory", now_ns=NOW, limit=9)[0].category == "gap"


def test_a_kill_between_commit_and_note_is_no_gap(path: Path) -> None:
    with Ledger.open(path, now_ns=NOW) as ledger:
        note = path.with_name("ledger.id").read_bytes()
        ledger.commit_batch([mapped(make_event(1))], now_ns=NOW)
    path.with_name("ledger.id").write_bytes(note)
    with Ledger.open(path, now_ns=NOW, is_expected=True) as ledger:
        assert ledger.due("memory", now_ns=NOW, limit=9)[0].state is State.READY


def test_baselines_say_where_the_last_event_of_a_register_ended(ledger: Ledger) -> None:
    big = 2**60 + 1
    ledger.commit_batch([mapped(make_event(2, end_reading=big)), mapped(make_stop(3))], now_ns=NOW)
    flow = make_event(4, asset="M2", end_reading=0.1 + 0.2, start_reading=0.1)
    ledger.commit_batch([mapped(flow)], now_ns=NOW)
    found = {each.tag: (each.end_reading, each.end_ns) for each in ledger.baselines()}
    assert found == {"M1.good": (big, make_event(2).end_ns), "M2.good": (0.1 + 0.2, flow.end_ns)}
    assert isinstance(ledger.baselines()[0].end_reading, int)


def test_evidence_is_kept_in_two_parts_and_joined(ledger: Ledger) -> None:
    event = make_event(1)
    ledger.commit_batch([mapped(event, 500)], now_ns=NOW)
    whole = make_evidence(event, 0, 100)
    ledger.add_evidence([(event.id, whole)], now_ns=NOW)
    ledger.add_evidence([(event.id, whole)], now_ns=NOW)
    (found,) = ledger.reader.evidence(event.id)
    assert (found.before, len(found.values)) == (192, 256)
    assert found.time_ns == tuple(event.end_ns + n * 1_000_000 for n in range(-191, 65))
    assert found.values == tuple(100.0 + n for n in range(-191, 65))


def test_evidence_has_a_byte_budget_and_the_oldest_goes_first(path: Path) -> None:
    with Ledger.open(path, now_ns=NOW, evidence_bytes_max=2000) as ledger:
        events = [make_event(n) for n in range(1, 30)]
        for event in events:
            ledger.commit_batch([mapped(event, 192)], now_ns=NOW)
        kept = [bool(ledger.reader.evidence(event.id)) for event in events]
        assert kept[-1]
        assert kept == sorted(kept)
        assert ledger.reader.counters()["evidence_removed"] == kept.count(False) > 0
    (size,) = raw(path, "SELECT sum(length(samples)) FROM evidence")[0]
    assert 0 < size <= 2000
    assert raw(path, "SELECT evidence_bytes FROM ledger") == [(size,)]


def test_search_by_document_event_prefix_and_entry_number(ledger: Ledger) -> None:
    event = make_event(1)
    ledger.commit_batch([mapped(event)], now_ns=NOW)
    entry = ledger.mark_posting(ledger.due("memory", now_ns=NOW, limit=1)[0], now_ns=NOW)
    assert entry is not None
    ledger.record(entry, Decision(State.POSTED, document="PC-00012"), now_ns=NOW)
    texts = ("PC-00012", event.id, event.id[:8], entry.command_id[:10], entry.key16, "#1")
    for text in texts:
        assert [each.entry_id for each in ledger.reader.find(text)] == [entry.entry_id], text
    for text in (event.id[:7], "PC-0001", "", "%", "________"):
        assert ledger.reader.find(text) == [], text


def test_a_person_decides_with_a_name_and_a_reason_and_an_asked_entry_is_asked_again(
    ledger: Ledger,
) -> None:
    ledger.commit_batch([mapped(make_event(1))], now_ns=NOW)
    entry = ledger.mark_posting(ledger.due("memory", now_ns=NOW, limit=1)[0], now_ns=NOW)
    assert entry is not None
    with pytest.raises(LedgerError, match="can no longer"):
        ledger.discard(entry.entry_id, by="me", reason="oops", now_ns=NOW)
    ledger.record(entry, Decision(State.HELD, "stock", "no stock", counts=True), now_ns=NOW)
    with pytest.raises(LedgerError, match="name and a reason"):
        ledger.retry(entry.entry_id, by="me", reason=" ", now_ns=NOW)
    again = ledger.retry(entry.entry_id, by="ann", reason="stock is there", now_ns=NOW)
    assert (again.state, again.attempts) == (State.IN_DOUBT, 0)
    assert [(each.to_state, each.by) for each in ledger.reader.story(entry.entry_id)] == [
        ("ready", "penstock"),
        ("posting", "penstock"),
        ("held", "penstock"),
        ("in_doubt", "ann"),
    ]
    with pytest.raises(LedgerError, match="no entry 99"):
        ledger.retry(99, by="me", reason="x", now_ns=NOW)


def test_a_resting_target_has_nothing_due_and_the_rest_survives_a_restart(path: Path) -> None:
    with Ledger.open(path, now_ns=NOW) as ledger:
        ledger.commit_batch([mapped(make_event(1)), mapped(make_stop(1))], now_ns=NOW)
        entry = ledger.mark_posting(ledger.due("memory", now_ns=NOW, limit=1)[0], now_ns=NOW)
        assert entry is not None
        until = NOW + 90 * S
        pause = Decision(State.RETRY, "throttled", "429", until, rest=Rest(until, "throttled"))
        ledger.record(entry, pause, now_ns=NOW)
    with Ledger.open(path, now_ns=NOW) as ledger:
        ledger.recover(now_ns=NOW)
        ledger.wake("memory", now_ns=NOW)
        assert ledger.due("memory", now_ns=NOW + 89 * S, limit=9) == []
        assert len(ledger.due("memory", now_ns=until, limit=9)) == 2
        ledger.wake_all(now_ns=NOW - 86400 * S)
        assert len(ledger.due("memory", now_ns=NOW - 86400 * S, limit=9)) == 2


def test_one_changed_byte_or_a_cut_tail_is_found(path: Path) -> None:
    with Ledger.open(path, now_ns=NOW) as ledger:
        ledger.commit_batch([mapped(make_event(n)) for n in (1, 2, 3)], now_ns=NOW)
        entry = ledger.mark_posting(ledger.due("memory", now_ns=NOW, limit=1)[0], now_ns=NOW)
        assert entry is not None
        ledger.record(entry, Decision(State.POSTED, document="PC-1", receipt_json="{}"), now_ns=NOW)
    good = path.read_bytes()
    changes = (
        "UPDATE entry SET document = 'PC-2' WHERE entry_id = 1",
        "UPDATE entry SET receipt = '{ }' WHERE entry_id = 1",
        "UPDATE entry SET state = 'discarded' WHERE entry_id = 2",
        "UPDATE entry SET body = replace(body, '12', '13') WHERE entry_id = 2",
        "UPDATE entry SET target = 'other' WHERE entry_id = 2",
        "UPDATE event SET body = replace(body, '12', '13') WHERE rowid = 3",
        "UPDATE audit SET reason = 'x' WHERE seq = 2",
        "UPDATE audit SET at_ns = at_ns + 1 WHERE seq = 5",
        "UPDATE audit SET hash = substr(hash, 2) || substr(hash, 1, 1) WHERE seq = 1",
        "DELETE FROM audit WHERE seq = 2",
        "DELETE FROM audit WHERE seq = 5",
        "DELETE FROM entry WHERE entry_id = 3",
        "UPDATE ledger SET audit_seq = 4",
    )
    for change in changes:
        path.write_bytes(good)
        with Reader.open(path) as reader:
            assert reader.verify().problems == ()
        raw(path, "PRAGMA foreign_keys=OFF")
        raw(path, change)
        with Reader.open(path) as reader:
            assert reader.verify().problems, change
    path.write_bytes(good)
    raw(path, "DELETE FROM audit WHERE seq = 5")
    raw(path, "UPDATE entry SET state = 'posting', document = '', receipt = '' WHERE entry_id = 1")
    raw(
        path, "UPDATE ledger SET audit_seq = 4, audit_hash = (SELECT hash FROM audit WHERE seq = 4)"
    )
    with Reader.open(path) as reader:
        assert any("end of the chain" in each for each in reader.verify().problems)


def test_a_newer_schema_and_a_file_that_is_no_ledger_are_refused(tmp_path: Path) -> None:
    newer = tmp_path / "newer.sqlite"
    Ledger.open(newer, now_ns=NOW).close()
    raw(newer, "PRAGMA user_version = 99")
    for opener in (lambda: Ledger.open(newer, now_ns=NOW), lambda: Reader.open(newer).__enter__()):
        with pytest.raises(StateError, match="newer"):
            opener()
    rubbish = tmp_path / "rubbish.sqlite"
    rubbish.write_bytes(b"not a database" * 1000)
    with pytest.raises(StateError):
        Ledger.open(rubbish, now_ns=NOW)
    with pytest.raises(StateError, match="no ledger here"), Reader.open(tmp_path / "none.sqlite"):
        pass


def test_a_full_disk_changes_nothing_says_so_and_goes_on_when_there_is_space(path: Path) -> None:
    with Ledger.open(path, now_ns=NOW) as ledger:
        ledger.commit_batch([mapped(make_event(1))], now_ns=NOW)
        pages = ledger._store._pragma("page_count")
        ledger._store._pragma(f"max_page_count = {pages}")
        many = [mapped(make_event(n), 192) for n in range(2, 200)]
        with pytest.raises(LedgerBlocked, match="full"):
            ledger.commit_batch(many, now_ns=NOW)
        assert raw(path, "SELECT count(*) FROM event") == [(1,)]
        assert ledger.reader.counters()["events"] == 1
        ledger._store._pragma("max_page_count = 100000")
        assert ledger.commit_batch(many, now_ns=NOW).events == 198
        assert ledger.reader.verify().problems == ()


def test_a_writer_elsewhere_blocks_without_harm(path: Path, ledger: Ledger) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE").fetchall()
    with pytest.raises(LedgerBlocked, match="locked"):
        ledger.commit_batch([mapped(make_event(1))], now_ns=NOW)
    other.execute("ROLLBACK").fetchall()
    other.close()
    assert ledger.commit_batch([mapped(make_event(1))], now_ns=NOW).events == 1


def test_reading_works_beside_a_writer_and_sees_one_moment(path: Path, ledger: Ledger) -> None:
    ledger.commit_batch([mapped(make_event(1))], now_ns=NOW)
    with Reader.open(path) as reader:
        assert reader.states()["ready"] == 1
        ledger.commit_batch([mapped(make_event(2))], now_ns=NOW)
        assert reader.states()["ready"] == 1
    with Reader.open(path) as reader:
        assert reader.states()["ready"] == 2
