"""``penstock ledger`` and ``penstock explain`` over a real ledger file."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from penstock.cli import main
from penstock.cli.explain import PLOT_COLUMNS, plot
from penstock.events import Event, Evidence
from penstock.mapping import map_event
from penstock.outbox import Decision, Ledger, Mapped, State
from penstock.testing.builders import BASE_NS, CONFIG_TEXT, make_config, make_event, make_evidence

NOW = BASE_NS + 10**12
CONFIG = make_config()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory: one posted, one held, one mapping fault, one conflict, one unmapped."""
    with Ledger.open(tmp_path / "ledger.sqlite", now_ns=NOW) as ledger:
        events = [
            make_event(1),
            make_event(2, order="O2", flags=frozenset({"incomplete"})),
            make_event(3, order=""),
            make_event(1, value=13),
        ]
        for event in events:
            ledger.commit_batch(
                [Mapped(event, map_event(event, CONFIG), make_evidence(event, 40))], now_ns=NOW
            )
        ledger.commit_batch([Mapped(make_event(5, kind="limit.H.trip", end_ns=None))], now_ns=NOW)
        ledger.add_evidence([(events[0].id, make_evidence(events[0], 0, 10))], now_ns=NOW)
        (entry,) = ledger.due("memory", now_ns=NOW, limit=1)
        marked = ledger.mark_posting(entry, now_ns=NOW)
        assert marked is not None
        answer = json.dumps({"document": "PC-7", "model": "stock.move"})
        ledger.record(
            marked, Decision(State.POSTED, document="PC-7", receipt_json=answer), now_ns=NOW
        )
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> str:
    assert main([str(word) for word in words]) == code
    return capsys.readouterr().out


def record(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(told(capsys, *words, "--json", code=code))
    return found


def test_list_counts_and_names_what_waits(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = record(capsys, "ledger", "list", "--state-dir", state)
    states = {name: count for name, count in found["states"].items() if count}
    assert states == {"posted": 1, "held": 2, "dead": 1}
    assert found["counters"]["unmapped"] == 1
    held = record(capsys, "ledger", "list", "--state", "held", "--state-dir", state)
    assert {each["category"] for each in held["entries"]} == {"held", "conflict"}
    text = told(capsys, "ledger", "list", "--state-dir", state)
    assert "PC-7" in text
    assert "could not become a document" in text
    assert main(["ledger", "list", "--state", "lost", "--state-dir", str(state)]) == 2


def test_show_gives_document_story_and_receipt(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (entry,) = record(capsys, "ledger", "show", "PC-7", "--state-dir", state)["entries"]
    assert entry["body"]["quantity"] == {"unit": "C62", "value": "12"}
    assert entry["receipt"]["model"] == "stock.move"
    assert [step["to_state"] for step in entry["story"]] == ["ready", "posting", "posted"]
    text = told(capsys, "ledger", "show", "#1", "--state-dir", state)
    assert "quantity: 12 C62" in text
    assert "posting -> posted" in text
    assert main(["ledger", "show", "PC-8", "--state-dir", str(state)]) == 1


def test_verify_says_ok_or_names_the_change(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "ok: 4 events, 4 entries" in told(capsys, "ledger", "verify", "--state-dir", state)
    connection = sqlite3.connect(state / "ledger.sqlite", isolation_level=None)
    connection.execute("UPDATE entry SET document = 'PC-9' WHERE document = 'PC-7'").fetchall()
    connection.close()
    found = record(capsys, "ledger", "verify", "--state-dir", state, code=1)
    assert found["problems"] == ["entry 1: the document number or receipt was changed"]


def test_resolve_needs_a_choice_and_a_reason_and_changes_the_entry(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ("--state-dir", str(state))
    assert main(["ledger", "resolve", "#2", "--reason", "x", *where]) == 2
    assert main(["ledger", "resolve", "#2", "--retry", *where]) == 2
    assert main(["ledger", "resolve", "#2", "--retry", "--reason", " ", *where]) == 1
    text = told(capsys, "ledger", "resolve", "#2", "--retry", "--reason", "counted by hand", *where)
    assert "entry #2 is ready" in text
    found = record(
        capsys, "ledger", "resolve", "#4", "--discard", "--reason", "same", "--by", "ann", *where
    )
    assert found["state"] == "discarded"
    story = record(capsys, "ledger", "show", "#4", *where)["entries"][0]["story"]
    assert (story[-1]["by"], story[-1]["reason"]) == ("ann", "same")
    assert main(["ledger", "resolve", "#1", "--discard", "--reason", "x", *where]) == 1
    assert "ok" in told(capsys, "ledger", "verify", *where)


def test_a_mapping_fault_is_mapped_again_with_the_configuration(
    state: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "plant.toml"
    text = CONFIG_TEXT.format(state_dir=state, target="memory")
    config.write_text(text)
    words = (
        "ledger",
        "resolve",
        "#3",
        "--retry",
        "--reason",
        "order named",
        "--config",
        str(config),
    )
    assert main(list(words)) == 1
    assert "still cannot be mapped" in capsys.readouterr().err
    order = '[mapping.fields]\norder = { const = "O9" }\n\n[[mapping]]\nname = "stop"'
    fixed = text.replace('[[mapping]]\nname = "stop"', order).replace(
        'contract = "production_confirmation/1"',
        'contract = "production_confirmation/1"\nbusiness_object = "asset"',
    )
    config.write_text(fixed)
    assert "entry #3 is ready" in told(capsys, *words)
    body = record(capsys, "ledger", "show", "#3", "--state-dir", state)["entries"][0]["body"]
    assert body["order"] == "O9"
    assert "ok" in told(capsys, "ledger", "verify", "--state-dir", state)


def test_explain_goes_from_document_to_samples(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = told(capsys, "explain", "PC-7", "--state-dir", state)
    event = make_event(1)
    for part in ("PC-7", "#1 posted", event.id, "rule      good", "M1.good", "quantity 12 C62"):
        assert part in text, part
    assert "1 other contents came under this id" in text
    assert "50 over 49.0 ms, 40 before" in text
    assert "| event" in text
    (by_event,) = record(capsys, "explain", event.id[:9], "--state-dir", state)["explanations"]
    assert by_event["entries"][0]["document"] == "PC-7"
    assert len(by_event["evidence"][0]["values"]) == 50
    assert by_event["event"]["quantity"] == "12"
    unmapped = told(capsys, "explain", make_event(5).id, "--state-dir", state)
    assert "no mapping names this event" in unmapped
    assert "none are kept" in unmapped
    assert main(["explain", "nothing-like-it", "--state-dir", str(state)]) == 1
    assert main(["explain", "PC-7", "--state-dir", str(state / "none")]) == 1


def test_explain_and_list_work_read_only_while_a_ledger_is_open_for_writing(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Ledger.open(state / "ledger.sqlite", now_ns=NOW) as ledger:
        before = (state / "ledger.sqlite").stat().st_mtime_ns
        assert "PC-7" in told(capsys, "explain", "PC-7", "--state-dir", state)
        ledger.commit_batch([Mapped(make_event(9))], now_ns=NOW)
        assert "good" in told(capsys, "explain", make_event(9).id, "--state-dir", state)
        assert (state / "ledger.sqlite").stat().st_mtime_ns == before


def ramp(count: int, step_ns: int = 10**6) -> Evidence:
    return Evidence(
        "t",
        tuple(n * step_ns for n in range(count)),
        tuple(float(n) for n in range(count)),
        (),
        count,
    )


def test_the_plot_has_every_extreme_in_its_place() -> None:
    lines = plot(ramp(100), 50 * 10**6)
    assert lines[0].startswith("  99 |")
    assert lines[0].endswith("*")
    assert lines[7].startswith("   0 |*")
    assert all(len(line) <= PLOT_COLUMNS + 8 for line in lines)
    mark = lines[9].index("|") - len("  99  ")
    assert abs(mark - PLOT_COLUMNS // 2) <= 1
    flat = plot(Evidence("t", (5, 5, 5), (2.5, 2.5, 2.5), (), 3), 5)
    assert sum(line.count("*") for line in flat) == 1
    assert "1.0 ms after" in plot(ramp(3), 3 * 10**6)[-1]
    assert "1.0 ms before" in plot(ramp(3), -(10**6))[-1]


def test_an_event_without_end_is_marked_at_its_instant() -> None:
    trip: Event = make_event(5, kind="limit.H.trip", end_ns=None, limit=8.0)
    assert trip.duration_ns is None
    samples = make_evidence(trip, 20, 20)
    assert "| event" in plot(samples, trip.at_ns)[-1]


def test_a_ledger_whose_process_was_killed_is_readable_before_it_starts_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left, event = tmp_path / "left", make_event(1)
    left.mkdir()
    with Ledger.open(tmp_path / "ledger.sqlite", now_ns=NOW) as ledger:
        ledger.commit_batch([Mapped(event, map_event(event, CONFIG))], now_ns=NOW)
        names = sorted(each.name for each in tmp_path.glob("ledger.*"))
        assert names == ["ledger.id", "ledger.sqlite", "ledger.sqlite-shm", "ledger.sqlite-wal"]
        for name in names:
            (left / name).write_bytes((tmp_path / name).read_bytes())
    assert event.id in told(capsys, "explain", event.id, "--state-dir", left)
    (left / "ledger.sqlite-shm").unlink()
    assert event.id in told(capsys, "explain", event.id, "--state-dir", left)
