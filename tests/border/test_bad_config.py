"""Mistakes in the configuration, over the real command, engine, mapping and ledger: a typo never
starts anything, and a document that cannot be filled is dead by name while the others go on.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tomllib
from array import array
from decimal import Decimal
from pathlib import Path

import pytest
from border_kit import START_NS, Open, S, wait_until

from penstock import ConfigError, Engine, StateError
from penstock.config import ConfigErrors, parse_config
from penstock.outbox import Entry, Ledger, State
from penstock.run import Intake

WAIT_S = 60.0

PLANT = """
[plant]
name = "border"
timezone = "Europe/Paris"

[engine]
state_dir = "{folder}/state"
ring_dir = "{ring}"
ring_bytes = 1048576

[[source]]
name = "line"
kind = "feed"

[[rule]]
name = "good"
kind = "counter"
tag = "*.good"
lot = "*.lot"
start = "*.good_start"
unit = "C62"

[[rule]]
name = "stop"
kind = "state"
tag = "*.state"
since = "*.since"
since_unit = "ns"
states = [2]

[[target]]
name = "erp"
kind = "tryton"
url = "http://127.0.0.1:9"
database = "none"
user = "nobody"
password = "none"

[[mapping]]
name = "confirm"
event = "counter.segment"
rule = "good"
contract = "production_confirmation/1"
target = "erp"

[[mapping]]
name = "stopped"
event = "state.end"
rule = "stop"
contract = "downtime/1"
target = "erp"
"""


def write(folder: Path, ring: Path, old: str = "", new: str = "") -> Path:
    """The plant in a file, with one passage replaced."""
    text = PLANT.format(folder=folder, ring=ring)
    assert old in text
    file = folder / "penstock.toml"
    file.write_text(text.replace(old, new, 1))
    return file


def start(file: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "penstock", "run", str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("old", "new", "path", "fix"),
    [
        ("ring_bytes", "ring_byte", "engine.ring_byte", "did you mean 'ring_bytes'?"),
        ('kind = "counter"', 'kind = "countr"', "rule[good].kind", "did you mean 'counter'?"),
        ('rule = "good"', 'rule = "god"', "mapping[confirm].rule", "did you mean 'good'?"),
        (
            'contract = "downtime/1"',
            'contract = "downtime/1"\nfields = { reason = "context.odrer" }',
            "mapping[stopped].fields.reason",
            "did you mean 'context.order'?",
        ),
        (
            'contract = "downtime/1"',
            'contract = "downtime/1"\nfields = { raeson = { const = "X" } }',
            "mapping[stopped].fields.raeson",
            "did you mean 'reason'?",
        ),
    ],
)
def test_a_typo_starts_nothing_and_names_the_fix(
    old: str, new: str, path: str, fix: str, tmp_path: Path, ring_dir: Path
) -> None:
    process = start(write(tmp_path, ring_dir, old, new))
    out, err = process.communicate(timeout=WAIT_S)
    assert process.returncode == 78, err
    assert out == ""
    assert f"{path}: " in err
    assert fix in err
    assert "Traceback" not in err
    assert not (tmp_path / "state").exists()
    assert list(ring_dir.iterdir()) == []


def test_a_second_run_on_the_same_state_is_75_and_the_first_goes_on(
    tmp_path: Path, ring_dir: Path
) -> None:
    file = write(tmp_path, ring_dir)
    first = start(file)
    try:
        wait_until((tmp_path / "state" / "ledger.sqlite").exists, "the first run has begun", WAIT_S)
        second = start(file)
        _, err = second.communicate(timeout=WAIT_S)
        assert second.returncode == 75, err
        assert f"in use by process {first.pid} on " in err
        assert "Traceback" not in err
        assert first.poll() is None
    finally:
        first.terminate()
        _, err = first.communicate(timeout=WAIT_S)
    assert first.returncode == 0, err


def test_a_document_that_cannot_be_filled_is_dead_by_name_and_the_others_go_on(
    tmp_path: Path, ring_dir: Path
) -> None:
    """No tag and no context gives the order that a confirmation requires."""
    text = write(tmp_path, ring_dir).read_text()
    config = parse_config(tomllib.loads(text, parse_float=Decimal))
    with (
        Engine(config, clock="manual") as engine,
        Ledger.open(tmp_path / "state" / "ledger.sqlite", now_ns=START_NS) as ledger,
    ):
        work(engine)
        asyncio.run(take_all(engine, Intake(engine, ledger, config)))
        entries = ledger.reader.entries(limit=100)
        assert ledger.reader.verify().problems == ()
    by_contract: dict[str, list[Entry]] = {}
    for each in entries:
        by_contract.setdefault(each.contract, []).append(each)
    dead, ready = by_contract["production_confirmation/1"], by_contract["downtime/1"]
    assert len(dead) == 2
    for each in dead:
        assert (each.state, each.category) == (State.DEAD, "mapping")
        assert each.reason == "counter.segment business_object: the event has no context.order"
        assert each.body_json == b""
    assert len(ready) == 2
    assert {each.state for each in ready} == {State.READY}


def work(engine: Engine) -> None:
    """Three lots and two stops of one machine."""
    names = ("good", "lot", "good_start", "state", "since")
    ids = array("I", [engine.tag(f"m1.{name}", "i64", source="line") for name in names])
    for second in range(60):
        time_ns = START_NS + second * S
        lot, is_stopped = second // 20, second % 20 >= 15
        since = START_NS + (second // 20 * 20 + 15 * is_stopped) * S
        values = array("q", [3 * second, lot, 60 * lot, 1 + is_stopped, since])
        times = array("q", [time_ns] * len(ids))
        engine.feed(ids, times, values, source="line", recv_time_ns=time_ns)
    engine.tick(START_NS + 100 * S)


async def take_all(engine: Engine, intake: Intake) -> None:
    while (batch := engine.poll()).events:
        await intake.take(batch)
    assert engine.stats().events_pending == 0


def test_several_mistakes_are_told_together(tmp_path: Path, ring_dir: Path) -> None:
    text = PLANT.format(folder=tmp_path, ring=ring_dir)
    text = text.replace("ring_bytes = 1048576", "tags_max = 0").replace(
        "states = [2]", "states = []"
    )
    with pytest.raises(ConfigErrors) as caught:
        parse_config(tomllib.loads(text, parse_float=Decimal))
    paths = [each.path for each in caught.value.errors]
    assert "engine.tags_max" in paths
    assert "rule[stop].states" in paths
    assert all(isinstance(each, ConfigError) for each in caught.value.errors)


def test_a_state_that_holds_more_tags_than_tags_max_is_refused(open_engine: Open) -> None:
    first = open_engine(engine="tags_max = 64")
    for number in range(10):
        first.tag(f"m{number}.pressure", source="line")
    first.close()
    with pytest.raises(StateError, match=r"holds 10 tags, more than engine\.tags_max; raise it"):
        open_engine(engine="tags_max = 4")
    assert open_engine(engine="tags_max = 64").stats().tags == 10
