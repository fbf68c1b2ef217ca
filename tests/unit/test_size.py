"""``penstock size``: the arithmetic alone, then one short calibration that really runs."""

from __future__ import annotations

import json
import math
import os
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from penstock import cli
from penstock.cli.size import make_messages
from penstock.cli.sizing import MIB, Costs, Plant, ring_mib_of, size, up

PLANT = Plant(tags=1000, rate_hz=10, rules=2, events_per_tag_hour=0.36, headroom=2)
COSTS = Costs(
    cpu_ns_per_sample=100,
    journal_bytes_per_sample=25,
    ram_bytes_base=20 * MIB,
    ram_bytes_per_tag=1024,
    checkpoint_bytes_per_tag=500,
    entries_per_s=1000,
    cpu_ns_per_entry=1_000_000,
    disk_bytes_per_entry=10_000,
)


def test_the_answer_is_what_a_person_would_work_out() -> None:
    answer = size(PLANT, COSTS)
    assert answer.cores_used == pytest.approx(10_000 * 100e-9 + 0.1 * 1e-3)
    assert (answer.cores, answer.engines, answer.limits) == (1, 1, ())
    assert answer.ram_mib == 32  # 20 + 8 of ring + 2 of tags with head-room, up to the next 16
    assert answer.erp_calls_per_day == 8640
    assert answer.ledger_used == pytest.approx(0.0001)
    process = 1000 * 500 * 2880 + 8640 * 10_000
    assert answer.disk_gb_per_day_process == up(process / 1e9) == 1.6
    assert answer.disk_gb_per_day_power == up((process + 864_000_000 * 25) / 1e9) == 24


def test_a_plant_beyond_one_engine_says_so_and_takes_more_cores() -> None:
    answer = size(replace(PLANT, tags=1_000_000), COSTS)
    assert answer.engines == math.ceil(1.0 * 2 / 0.7) == 3
    assert answer.cores == math.ceil((1.0 + 0.1) * 2)
    assert answer.ram_mib >= 3 * (20 + answer.ring_mib) + 2 * 1_000_000 * 1024 / MIB
    assert "3 engines" in answer.limits[0]
    busy = size(replace(PLANT, events_per_tag_hour=36_000), COSTS)
    assert busy.limits == ("the ledger's disk is too slow by a factor of 20",)


@pytest.mark.parametrize("factor", [1.0, 1.1, 3, 10, 1000])
def test_more_of_anything_never_answers_less(factor: float) -> None:
    less = size(PLANT, COSTS)
    for more in (
        size(replace(PLANT, tags=round(1000 * factor)), COSTS),
        size(replace(PLANT, rate_hz=10 * factor), COSTS),
        size(replace(PLANT, events_per_tag_hour=0.36 * factor), COSTS),
        size(replace(PLANT, headroom=2 * factor), COSTS),
        size(PLANT, replace(COSTS, cpu_ns_per_sample=100 * factor)),
    ):
        for name in ("cores", "ram_mib", "disk_gb_per_day_process", "disk_gb_per_day_power"):
            assert getattr(more, name) >= getattr(less, name), name


def test_rounding_is_up_and_has_two_digits() -> None:
    assert [up(each) for each in (0, 0.0123, 1.0, 1.01, 9.91, 99.1, 101, 12_345)] == [
        *(0, 0.013, 1.0, 1.1, 10, 100, 110, 13_000),
    ]
    for each in (0.0012, 0.99, 7.7, 123.4, 99_999.0):
        assert each <= up(each) <= each * 1.11
    assert [ring_mib_of(each * MIB) for each in (0, 2, 2.1, 16, 1e6)] == [8, 8, 16, 64, 256]


def test_every_tag_is_in_a_message() -> None:
    for tags in (1, 127, 129, 5000):
        text = b"".join(make_messages(tags, 1000))
        assert all(f"plant.m{tag:07d}".encode() in text for tag in range(tags))


def test_a_short_calibration_really_runs_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", tempfile.mkdtemp(dir="/dev/shm", prefix="size-test-"))
    words = ["size", "--tags", "300", "--rate", "5", "--rules", "3", "--seconds", "0.6"]
    assert cli.main([*words, "--folder", str(tmp_path), "--json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert list(found) == ["asked", "answer", "measured", "assumed"]
    assert found["asked"]["events_per_tag_hour"] == 0.1
    assert found["measured"]["tags"] == 300
    for name in Costs.__dataclass_fields__:
        assert found["measured"][name] > 0, name
    measured = Costs(**{name: found["measured"][name] for name in Costs.__dataclass_fields__})
    assert found["answer"] == json.loads(
        json.dumps(asdict(size(Plant(300, 5, 3, 0.1, 2), measured)))
    )
    assert 24 <= measured.journal_bytes_per_sample < 40
    assert any("0.1 events a tag and hour" in each for each in found["assumed"])
    assert said.err.count("penstock size: ") == 3  # progress
    assert list(tmp_path.iterdir()) == []
    assert os.listdir(os.environ["RUNTIME_DIRECTORY"]) == []
    os.rmdir(os.environ["RUNTIME_DIRECTORY"])


def test_the_text_names_all_four_answers(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--tags", "10", "--rate", "1", "--rules", "1", "--seconds", "0.3"]
    assert cli.main(["size", *words]) == 0
    text = capsys.readouterr().out
    for each in (
        "cores ",
        "RAM ",
        "disk written",
        "with power",
        "ERP calls",
        "measured",
        "assumed",
    ):
        assert each in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--tags 0 --rate 1 --rules 1", "--tags is 0; 1 to 10,000,000"),
        ("--tags 9 --rate 0 --rules 1", "--rate is 0; 1e-06 to 1,000,000"),
        ("--tags 9 --rate nan --rules 1", "--rate is nan"),
        ("--tags 9 --rate 1 --rules 65", "--rules is 65; 1 to 64"),
        ("--tags 9 --rate 1 --rules 1 --headroom 0.5", "--headroom is 0.5; 1 to 100"),
        ("--tags 9 --rate 1 --rules 1 --events -1", "--events is -1"),
        ("--tags 9 --rate 1 --rules 1 --seconds 0", "--seconds is 0"),
        ("--tags many --rate 1 --rules 1", "many"),
        ("--rate 1 --rules 1", "tags"),
    ],
)
def test_wrong_words_are_2_and_say_the_bounds(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["size", *words.split()]) == 2
    captured = capsys.readouterr()
    assert said.lower() in captured.err.lower()
    assert captured.out == ""


def test_a_folder_that_is_not_there_is_1_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["size", "--tags", "9", "--rate", "1", "--rules", "1", "--seconds", "0.3", "--folder"]
    assert cli.main([*words, str(tmp_path / "none")]) == 1
    assert "none" in capsys.readouterr().err
