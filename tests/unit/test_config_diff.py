"""``penstock config diff``: what two configurations mean, key by key."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from penstock.cli import main

OLD = """
[plant]
name = "graz"
[[source]]
name = "a"
kind = "feed"
[[rule]]
name = "hot"
kind = "limit"
tag = "*.temp"
high = 80
[[rule]]
name = "stops"
kind = "state"
tag = "*.state"
states = ["STOP"]
[[target]]
name = "erp"
kind = "tryton"
url = "http://127.0.0.1:8000"
database = "plant"
user = "penstock"
password = "${secret:A}"
"""


def diff(
    tmp_path: Path, new: str, capsys: pytest.CaptureFixture[str], code: int = 1
) -> dict[str, tuple[object, object, str]]:
    first, second = tmp_path / "old.toml", tmp_path / "new.toml"
    first.write_text(OLD)
    second.write_text(new)
    assert main(["config", "diff", str(first), str(second), "--json"]) == code
    found = json.loads(capsys.readouterr().out)
    assert found["same"] is (code == 0)
    return {each["path"]: (each["old"], each["new"], each["note"]) for each in found["changes"]}


def test_the_same_in_other_words_is_no_change(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Order of rules, a default said, a level as a table, another secret's name."""
    head, hot, stops, target = OLD[: OLD.index("[[rule]]")], *OLD.split("[[rule]]")[1:], ""
    stops, _, target = stops.partition("[[target]]")
    new = f"{head}[[rule]]{stops}[[rule]]{hot}[[target]]{target}"
    new = new.replace("high = 80", "high = { value = 80.0, deadband = 0 }").replace(":A}", ":B}")
    assert diff(tmp_path, new, capsys, 0) == {}


def test_each_change_is_one_line_with_its_consequence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = OLD.replace("high = 80", "high = { value = 85, deadband = 2 }")
    new = new.replace('name = "stops"', 'name = "halts"').replace(":8000", ":8001")
    found = diff(tmp_path, new, capsys)
    assert found["rule[hot].high.value"][:2] == (80.0, 85.0)
    assert found["rule[hot].high.deadband"][:2] == (0.0, 2.0)
    assert found["rule[stops]"][1] is None
    assert found["rule[halts]"][0] is None
    assert "process starts again" in found["target[erp].url"][2]
    assert len(found) == 5
    found = diff(tmp_path, OLD.replace('"graz"', '"linz"'), capsys)
    assert found == {"plant.name": ("graz", "linz", found["plant.name"][2])}
    assert "identity" in found["plant.name"][2]


def test_the_text_reads_like_a_diff(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    diff(tmp_path, OLD.replace("high = 80", "high = 90"), capsys)
    files = [str(tmp_path / name) for name in ("old.toml", "new.toml")]
    assert main(["config", "diff", *files]) == 1
    text = capsys.readouterr().out
    assert text.startswith("~ rule[hot].high.value: 80.0 -> 90.0  (takes force by reload")
    assert text.endswith("1 changes\n")
    assert main(["config", "diff", files[0], files[0]]) == 0
    assert capsys.readouterr().out == "they mean the same\n"
    assert main(["config", "diff", files[0], str(tmp_path / "none.toml")]) == 78
