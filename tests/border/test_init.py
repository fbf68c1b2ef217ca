"""``penstock init``: what it writes checks, its rule test passes, a change of the rule shows."""

from __future__ import annotations

import json
import tomllib
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from penstock.cli import main
from penstock.cli.draft import ENVIRONMENTS, RULES, TARGETS


def answered(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> dict[str, Any]:
    assert main([*words, "--json"]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.parametrize(("rule", "target"), list(product(RULES, TARGETS)))
def test_each_rule_and_target_checks_and_its_test_passes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rule: str, target: str
) -> None:
    folder = str(tmp_path / "graz")
    words = ("init", folder, "--site", "acme/graz", "--rule", rule, "--target", target)
    found = answered(capsys, *words)
    checked = answered(capsys, "config", "check", f"{folder}/plant.toml", "--no-environment")
    assert (checked["ok"], checked["errors"]) == (True, [])
    played = answered(capsys, "test", f"{folder}/tests/rules")
    assert played["ok"] is True
    files = {Path(each).name for each in found["files"]}
    assert {"plant.toml", "input.csv", "config.toml", "README.md"} < files
    expected = {"state": "commands.jsonl", "counter": "commands.jsonl", "window": "results.jsonl"}
    assert expected.get(rule, "events.jsonl") in files


def test_the_rule_test_is_of_the_plant_s_own_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "graz"
    answered(capsys, "init", str(folder), "--rule", "limit")
    file = folder / "plant.toml"
    file.write_text(file.read_text().replace("high = 80", "high = 90"))
    played = answered(capsys, "test", str(folder / "tests" / "rules"), code=1)
    assert played["ok"] is False


def test_environments_share_no_name_no_state_and_no_secret(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: dict[str, tuple[str, str, str]] = {}
    for each in ENVIRONMENTS:
        folder = tmp_path / each
        words = ("--site", "acme/graz", "--target", "tryton", "--environment", each)
        answered(capsys, "init", str(folder), *words)
        raw = tomllib.loads((folder / "plant.toml").read_text())
        state = str(folder / raw["engine"]["state_dir"])
        seen[each] = (raw["plant"]["name"], state, raw["target"][0]["password"])
        assert raw["plant"]["enterprise"] == "acme"
    assert seen["prod"][0] == "graz"
    for position in range(3):
        assert len({each[position] for each in seen.values()}) == 3


RECORDINGS = {
    "state": "time,press.state\n2026-03-02T06:00:00Z,RUN\n2026-03-02T06:00:20Z,STOP\n"
    "2026-03-02T06:01:00Z,RUN\n2026-03-02T06:02:00Z,RUN\n",
    "counter": "timestamp;good\n02.03.2026 06:00:00;100\n02.03.2026 06:30:00;104\n"
    "02.03.2026 07:10:00;110\n02.03.2026 07:20:00;111\n",
    "limit": "time,value\n" + "".join(
        f"2026-03-02 06:{step:02d}:00,{20 + step % 7 * 1.5}\n" for step in range(40)
    ),
}  # fmt: skip


@pytest.mark.parametrize("rule", RECORDINGS)
def test_somebody_s_own_csv_makes_its_first_event_in_two_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rule: str
) -> None:
    recording = tmp_path / "day.csv"
    recording.write_text(RECORDINGS[rule])
    folder = str(tmp_path / "graz")
    words = ("init", folder, "--from", str(recording), "--timezone", "Europe/Vienna")
    found = answered(capsys, *words)
    assert f"{rule}-first/events.jsonl" in " ".join(found["files"])
    assert (
        main(["replay", str(recording), "--config", f"{folder}/plant.toml", "--events", "-"]) == 0
    )
    lines = [json.loads(each) for each in capsys.readouterr().out.splitlines()]
    assert lines
    assert {each["rule"] for each in lines} == {rule}
    checked = answered(capsys, "config", "check", f"{folder}/plant.toml", "--no-environment")
    assert checked["errors"] == []
    assert answered(capsys, "test", f"{folder}/tests/rules")["ok"] is True


def test_a_recording_that_cannot_be_read_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "day.csv").write_text("a,b\n1,2\n")
    words = ["init", str(tmp_path / "graz"), "--from", str(tmp_path / "day.csv")]
    assert main(words) == 1
    assert "no column holds times" in capsys.readouterr().err
    assert not (tmp_path / "graz").exists()


def test_a_live_source_and_comments(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--source", "nats://10.0.0.5:4222/tel.line2.>", "--format", "packed")
    answered(capsys, "init", str(tmp_path / "a"), *words)
    text = (tmp_path / "a" / "plant.toml").read_text()
    raw = tomllib.loads(text)
    assert raw["source"][0]["subjects"] == ["tel.line2.>"]
    assert text.count("# ") > 8
    answered(capsys, "init", str(tmp_path / "b"), "--source", "tcp://127.0.0.1:5555", "--bind")
    raw = tomllib.loads((tmp_path / "b" / "plant.toml").read_text())
    assert (raw["source"][0]["kind"], raw["source"][0]["bind"]) == (
        "zmq_pull",
        "tcp://127.0.0.1:5555",
    )


def test_what_is_there_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answered(capsys, "init", str(tmp_path / "graz"))
    before = (tmp_path / "graz" / "plant.toml").read_text()
    assert main(["init", str(tmp_path / "graz"), "--rule", "limit"]) == 1
    assert "is there already; name another folder" in capsys.readouterr().err
    assert (tmp_path / "graz" / "plant.toml").read_text() == before
    (tmp_path / "file").write_text("x")
    assert main(["init", str(tmp_path / "file" / "below")]) == 1


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["--rule", "limits"], "--rule 'limits' is not known; did you mean 'limit'?"),
        (["--target", "sap"], "--target 'sap' is not known; known: memory, rest, tryton"),
        (["--environment", "qa"], "--environment 'qa' is not known"),
        (["--source", "mqtt://x"], "--source is feed, tcp://host:port or nats://"),
        (["--source", "nats://h:1/x", "--bind"], "--source is feed, tcp://host:port or nats://"),
        (["--site", "acme//graz"], "--site 'acme//graz' is no name"),
        (["--site", "Graz Süd"], "--site 'Graz Süd' is no name"),
        (["--timezone", "Vienna"], "--timezone 'Vienna' is not known here"),
    ],
)
def test_wrong_answers_are_2_and_write_nothing(
    tmp_path: Path, words: list[str], wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", str(tmp_path / "graz"), *words]) == 2
    assert wrong in capsys.readouterr().err
    assert not (tmp_path / "graz").exists()
