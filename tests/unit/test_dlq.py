"""``penstock dlq`` over a real ledger: what waits is listed, and each decision is audited."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.cli import main
from penstock.errors import LedgerError
from penstock.mapping import map_event
from penstock.outbox import Decision, Ledger, Mapped, Policy, State, decide
from penstock.outbox.decide import Absent
from penstock.testing.builders import BASE_NS, CONFIG_TEXT, make_config, make_event

NOW = BASE_NS + 10**12
LATER = NOW + 10**15
CONFIG = make_config()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """#1 posted, #2 held by its flag, #3 a mapping fault, #4 in doubt, #5 dead by its period."""
    with Ledger.open(tmp_path / "ledger.sqlite", now_ns=NOW) as ledger:
        given = [
            make_event(1),
            make_event(2, order="O2", flags=frozenset({"incomplete"})),
            make_event(3, order=""),
            make_event(4, order="O4"),
            make_event(5, order="O5"),
        ]
        for event in given:
            ledger.commit_batch([Mapped(event, map_event(event, CONFIG))], now_ns=NOW)
        outcomes = {
            "O1": Decision(State.POSTED, document="PC-7"),
            "O4": Decision(State.IN_DOUBT, "no_answer", "reset by peer", LATER),
            "O5": Decision(State.DEAD, "period", "October is closed", counts=True),
        }
        for entry in ledger.due("memory", now_ns=NOW, limit=9):
            marked = ledger.mark_posting(entry, now_ns=NOW)
            assert marked is not None
            ledger.record(marked, outcomes[entry.business_object], now_ns=NOW)
    return tmp_path


def told(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> str:
    assert main([str(word) for word in words]) == code
    return capsys.readouterr().out


def record(capsys: pytest.CaptureFixture[str], *words: object, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(told(capsys, *words, "--json", code=code))
    return found


def test_the_list_has_what_waits_the_oldest_first_with_a_sentence(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = record(capsys, "dlq", "list", "--state-dir", state)
    waiting = [(each["entry_id"], each["state"], each["category"]) for each in found["entries"]]
    assert waiting == [
        (2, "held", "held"),
        (3, "dead", "mapping"),
        (4, "in_doubt", "no_answer"),
        (5, "dead", "period"),
    ]
    assert found["counts"]["dead period"] == 1
    text = told(capsys, "dlq", "list", "--state-dir", state)
    assert "the posting period is closed in the target: October is closed" in text
    assert text.endswith("4 wait\n")
    only = record(capsys, "dlq", "list", "--category", "period", "--state-dir", state)
    assert [each["entry_id"] for each in only["entries"]] == [5]
    assert main(["dlq", "list", "--category", "perod", "--state-dir", str(state)]) == 2
    assert "did you mean 'period'?" in capsys.readouterr().err


def test_show_is_the_ledger_s_own(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (entry,) = record(capsys, "dlq", "show", "#5", "--state-dir", state)["entries"]
    assert entry["story"][-1]["to_state"] == "dead"


def test_a_dead_entry_that_was_sent_is_looked_up_before_it_goes_again(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("dlq", "retry", "#5", "--reason", "period is open", "--by", "ann")
    found = record(capsys, *words, "--state-dir", state)
    assert [(each["state"], each["category"]) for each in found["entries"]] == [
        ("in_doubt", "person")
    ]
    story = record(capsys, "dlq", "show", "#5", "--state-dir", state)["entries"][0]["story"]
    assert (story[-1]["by"], story[-1]["reason"]) == ("ann", "period is open")


def test_in_doubt_is_asked_now_and_never_sent_by_a_person_s_word(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A target without a key: absence proves nothing, and no `retry` may turn it into a send."""
    words = ("dlq", "retry", "#4", "--reason", "ask now", "--by", "ann", "--state-dir", state)
    assert "entry #4 is asked for again" in told(capsys, *words)
    with Ledger.open(state / "ledger.sqlite", now_ns=NOW + 1) as ledger:
        entry = ledger.reader.entry(4)
        assert (entry.state, entry.category) == (State.IN_DOUBT, "no_answer")
        assert entry.next_try_ns < LATER
        unproven = Policy(has_key=False, has_readback=True)
        assert decide(entry, Absent(), unproven, NOW).state is State.HELD
        story = ledger.reader.story(4)
        assert (story[-1].by, story[-1].to_state) == ("ann", "in_doubt")
    assert "ok" in told(capsys, "ledger", "verify", "--state-dir", state)


def test_only_what_is_in_doubt_is_asked_for(state: Path) -> None:
    with Ledger.open(state / "ledger.sqlite", now_ns=NOW + 1) as ledger:
        for entry_id, name in ((1, "posted"), (2, "held"), (5, "dead")):
            with pytest.raises(LedgerError, match=f"entry {entry_id} is {name}: only in_doubt is"):
                ledger.ask_again(entry_id, by="ann", reason="x", now_ns=NOW + 1)


def test_all_of_a_category_and_what_refuses_is_named(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("dlq", "retry", "--all", "--reason", "again", "--state-dir", state)
    found = record(capsys, *words, code=1)
    assert [each["entry_id"] for each in found["entries"]] == [2, 4, 5]
    (refused,) = found["refused"]
    assert "entry 3 has no document (mapping: " in refused
    assert "use --config" in refused
    found = record(capsys, *words, "--category", "period")
    assert found["entries"] == []


def test_a_mapping_fault_is_mapped_again(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = CONFIG_TEXT.format(state_dir=state, target="memory")
    more = 'business_object = "asset"\nfields = { order = { const = "MO-9" } }\n'
    text = text.replace('contract = "production', f'{more}contract = "production')
    file = state / "plant.toml"
    file.write_text(text)
    words = ("dlq", "retry", "#3", "--reason", "order is known", "--config", file)
    (entry,) = record(capsys, *words)["entries"]
    assert (entry["state"], entry["business_object"]) == ("ready", "M1")


def test_discard_needs_a_reason_and_who(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--state-dir", state)
    assert main(["dlq", "discard", "#5", "--reason", "x", "--state-dir", str(state)]) == 2
    assert main(["dlq", "discard", "#5", "--by", "ann", "--state-dir", str(state)]) == 2
    told(capsys, "dlq", "discard", "#5", "--reason", " ", "--by", "ann", *where, code=1)
    told(capsys, "dlq", "discard", "#5", "--reason", "x", "--by", " ", *where, code=1)
    told(capsys, "dlq", "discard", "#5", "--reason", "by hand: 4711", "--by", "ann", *where)
    (entry,) = record(capsys, "dlq", "show", "#5", *where)["entries"]
    assert entry["state"] == "discarded"
    told(capsys, "dlq", "discard", "#1", "--reason", "x", "--by", "ann", *where, code=1)
    assert "ok" in told(capsys, "ledger", "verify", *where)


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["retry", "--reason", "x"], "name entries, or say --all"),
        (["retry", "#2", "--all", "--reason", "x"], "name entries, or say --all"),
        (["retry", "#2", "--target", "a", "--reason", "x"], "--target and --category narrow --all"),
    ],
)
def test_wrong_usage_is_2(
    state: Path, words: list[str], wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["dlq", *words, "--state-dir", str(state)]) == 2
    assert wrong in capsys.readouterr().err
