"""The cases that ship are as expected, and a case that is not is told apart: what is missing, new
or different is named, and ``--update`` mends it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from penstock import cli
from penstock.config import vocabulary as words
from penstock.replay.case import find_cases, run_case, shows

ROOT = Path(__file__).parents[2]
CASES = ROOT / "src" / "penstock" / "docs" / "cases"
SHIPPED = find_cases(CASES)


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_a_shipped_case_is_as_expected(folder: Path) -> None:
    verdict = run_case(folder)
    assert verdict.is_ok, "\n".join(str(each) for each in verdict.differences)
    assert any(verdict.made.values()), "a case makes something"
    assert 30 < len(shows(folder)) < 130


def test_there_are_at_least_twenty_and_every_kind_of_rule_has_one() -> None:
    assert len(SHIPPED) >= 20
    texts = [(each / "config.toml").read_text(encoding="utf-8") for each in SHIPPED]
    for kind in words.RULE_KINDS:
        assert any(f'kind = "{kind}"' in text for text in texts), f"no case shows {kind}"


def test_the_generated_parts_of_the_pages_are_what_the_engine_makes() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "docs.py"), "--check"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """A copy of a shipped case."""
    folder = tmp_path / "stop"
    shutil.copytree(CASES / "state-stop", folder)
    return folder


def edit(path: Path, old: str, new: str, count: int = 1) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, count), encoding="utf-8")


def test_a_changed_rule_is_shown_member_by_member(
    case: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(case / "config.toml", "min_duration_s = 5", "min_duration_s = 2")
    assert cli.main(["test", str(case)]) == 1
    out = capsys.readouterr().out
    assert "FAILED   stop" in out
    assert 'flags: expected ["micro"], found nothing' in out
    assert "document.micro: expected true, found false" in out
    assert "1 case, 1 not as expected" in out


def test_what_is_missing_and_what_is_new_is_named_whole(
    case: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (case / "events.jsonl").read_text().splitlines(keepends=True)
    (case / "events.jsonl").write_text("".join(lines[1:]))
    edit(case / "config.toml", "UNPLANNED", "PLANNED")
    assert cli.main(["test", str(case), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is False
    whats = [(each["file"], each["what"]) for each in found["cases"][0]["differences"]]
    assert whats == [("events", "new"), ("commands", "differs"), ("commands", "differs")]
    member = found["cases"][0]["differences"][1]["members"][0]
    assert (member["name"], member["expected"], member["found"]) == (
        "document.reason", "UNPLANNED", "PLANNED",
    )  # fmt: skip


def test_lines_in_another_order_are_told(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (case / "events.jsonl").read_text().splitlines(keepends=True)
    (case / "events.jsonl").write_text("".join([lines[1], lines[0], *lines[2:]]))
    assert cli.main(["test", str(case)]) == 1
    assert "events: in another order, from here on: state.end" in capsys.readouterr().out


def test_update_writes_what_came_out_and_removes_what_is_empty(
    case: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(case / "config.toml", 'states = ["STOP", "FAULT"]', 'states = ["NEVER"]')
    assert cli.main(["test", str(case), "--update"]) == 0
    assert "written  stop: events.jsonl, commands.jsonl" in capsys.readouterr().out
    assert not (case / "events.jsonl").exists()
    assert cli.main(["test", str(case)]) == 0


def test_a_folder_without_a_case_is_2_and_a_wrong_configuration_78(
    case: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    assert cli.main(["test", str(tmp_path / "empty")]) == 2
    assert "no folder in it holds a config.toml" in capsys.readouterr().err
    edit(case / "config.toml", "min_duration_s", "min_duraton_s")
    assert cli.main(["test", str(case)]) == 78
    assert "min_duration_s" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("case.toml", 'delimeter = ";"', "delimeter is not known; there are delimiter"),
        ("case.toml", "after_s = [", "is not TOML"),
        ("events.jsonl", "{", "line 1 is no JSON"),
        ("context.csv", "time,asset\nsoon,m1\n", "line 2: time is no time"),
        ("input.csv", "", "holds no row"),
    ],
)
def test_a_file_that_cannot_be_read_is_1_with_its_place(
    case: Path, file: str, text: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (case / file).write_text(text)
    assert cli.main(["test", str(case)]) == 1
    assert says in capsys.readouterr().err


DONE = "2026-03-02T06:00:02Z"
LATER = "2026-03-02T14:00:00Z"


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("soon,acknowledge,hot,oven1.temp,me,,", "line 2: time 'soon' is no time; write it as in"),
        (
            f"{DONE},acknowlege,hot,oven1.temp,me,,",
            "line 2: action 'acknowlege' is unknown; did you mean 'acknowledge'?",
        ),
        (f"{DONE},,hot,oven1.temp,me,,", "line 2: action is empty; write acknowledge, shelve"),
        (f"{DONE},reset,hot,oven1.temp,,,", "line 2: by is empty; write who did it"),
        (
            f"{DONE},reset,hto,oven1.temp,me,,",
            "line 2: no rule is named 'hto'; did you mean 'hot'?",
        ),
        (
            f"{DONE},reset,cold,oven1.temp,me,,",
            "line 2: 'cold' is a window rule; actions are about",
        ),
        (f"{DONE},shelve,hot,oven1.temp,me,,", "line 2: until belongs to shelve; write until when"),
        (f"{DONE},reset,hot,oven1.temp,me,{LATER},", "until belongs to shelve; leave it empty"),
        (f"{DONE},shelve,hot,oven1.temp,me,later,", "line 2: until 'later' is no time"),
        (f"{LATER},shelve,hot,oven1.temp,me,{DONE},", "line 2: operate: an alarm is shelved until"),
        (f"{DONE},reset,hot,oven2.temp,me,,", "line 2: rule hot judges no tag oven2.temp"),
        ("2026-03-02T05:59:59Z,reset,hot,oven1.temp,me,,", "at or behind the first row of its tag"),
        (f"{DONE},reset,hot,oven1.temp,me,,a,b", "line 2: has more cells than the header"),
        (f"{DONE},reset,hot,oven1.temp,me,,{'n' * 96}", "is longer than 95 bytes"),
    ],
)
def test_a_wrong_action_is_1_with_file_line_and_fix(
    tmp_path: Path, row: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "shelve"
    shutil.copytree(CASES / "alarm-shelve", folder)
    with (folder / "config.toml").open("a") as file:
        file.write('[[rule]]\nname = "cold"\nkind = "window"\ntag = "*.temp"\nsize_s = 5\n')
    path = folder / "operator.csv"
    path.write_text(f"time,action,rule,tag,by,until,note\n{row}\n")
    assert cli.main(["test", str(folder)]) == 1
    err = capsys.readouterr().err
    assert str(path) in err
    assert says in err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "time,action,rule,tag\n",
            "line 1: the column 'by' is missing; write time,action,rule,tag",
        ),
        ("time,action,rule,tag,by,untill\n", "no column 'untill'; did you mean 'until'?"),
        ("", "line 1: the column 'time' is missing"),
    ],
)
def test_columns_of_actions_that_are_wrong_are_named(
    tmp_path: Path, text: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "shelve"
    shutil.copytree(CASES / "alarm-shelve", folder)
    (folder / "operator.csv").write_text(text)
    assert cli.main(["test", str(folder)]) == 1
    assert says in capsys.readouterr().err


def test_actions_beside_a_capture_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "gap"
    shutil.copytree(CASES / "counter-gap", folder)
    shutil.copy(CASES / "alarm-shelve" / "operator.csv", folder)
    assert cli.main(["test", str(folder)]) == 1
    assert "stands beside a capture, which holds what persons did" in capsys.readouterr().err
