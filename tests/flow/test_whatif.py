"""What if: five changes of the rules against generated hours of the plant. The truth is the
machines' own logs and plain arithmetic over every value that was sent; a deep run takes a whole
day, more than 10^8 samples, and two minutes are what it may take.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

np = pytest.importorskip("numpy", reason="the generated plant; pip install numpy")

from penstock import cli  # noqa: E402
from penstock.replay.moment import short_time  # noqa: E402
from plant_day import RATE, START_NS, Day, Values, write_day  # noqa: E402

pytestmark = pytest.mark.timeout(1800)  # a day is made first; what it may take is asserted

NS = 10**9
TICK_NS = NS // RATE
SECONDS_MAX = 120.0
HOURS, HOURS_DEEP = 0.6, 24.0

CONFIG = """
[plant]
name = "graz"
timezone = "Europe/Vienna"

[[source]]
name = "line1"
kind = "zmq_pull"
bind = "tcp://127.0.0.1:5555"

[[rule]]
name = "good"
kind = "counter"
tag = "*.good"
lot = "*.lot"
start = "*.good_start"
unit = "C62"

[[rule]]
name = "used"
kind = "counter"
tag = "*.used"
lot = "*.lot"
start = "*.used_start"
unit = "KGM"

[[rule]]
name = "stop"
kind = "state"
tag = "*.state"
since = "*.since"
states = [2]

[[rule]]
name = "pressure-high"
kind = "limit"
tag = "*.pressure1"
high = 8.0

[[rule]]
name = "warm"
kind = "limit"
tag = "*.temperature1"
events_per_minute_max = 1000000
high = 180

[[rule]]
name = "flow"
kind = "window"
tag = "*.flow"
unit = "KGM"
size_s = 600
emit = "event"

[[rule]]
name = "seen-by-nobody"
kind = "window"
tag = "*"
size_s = 1

[[target]]
name = "erp"
kind = "tryton"
url = "http://erp:8000"
database = "plant"
user = "penstock"
password = "${secret:ERP}"

[[mapping]]
name = "confirm"
event = "counter.segment"
rule = "good"
contract = "production_confirmation/1"
target = "erp"

[[mapping]]
name = "consumed"
event = "counter.segment"
rule = "used"
contract = "material_consumption/1"
target = "erp"
fields = { component = { const = "RM-100" }, quantity = { from = "quantity", round = "0.001" } }

[[mapping]]
name = "stopped"
event = "state.end"
rule = "stop"
contract = "downtime/1"
target = "erp"
fields = { state = { const = "STOP" } }

[[mapping]]
name = "pressed"
event = "limit.H.clear"
rule = "pressure-high"
contract = "downtime/1"
target = "erp"
fields = { state = { const = "PRESSURE" } }

[[mapping]]
name = "heated"
event = "limit.H.clear"
rule = "warm"
contract = "downtime/1"
target = "erp"
fields = { state = { const = "HEAT" } }

[[mapping]]
name = "flowed"
event = "window.close"
rule = "flow"
contract = "material_consumption/1"
target = "erp"
fields = { component = { const = "GAS" }, quantity = { from = "sum", unit = "KGM" } }
hold_if_flags = []
"""

Span = tuple[str, str, str]  # asset, start, end


@dataclass
class Past:
    """What was recorded, and what the plant itself says of it."""

    folder: Path
    day: Day
    values: dict[str, Any]  # tag to its values, in thousandths
    logs: dict[str, list[dict[str, Any]]]
    is_deep: bool

    def spans(self, tag: str, high: int, deadband: int = 0) -> set[Span]:
        """Excursions that ended, by the words of the rule: trip at or above, clear below."""
        found, since = set(), None
        asset = tag.rpartition(".")[0]
        for tick, value in enumerate(self.values[tag].tolist()):
            if since is None:
                since = tick if value >= high else None
            elif value < high - deadband:
                found.add((asset, _at(since), _at(tick)))
                since = None
        return found


def _at(tick: int) -> str:
    return short_time(START_NS + tick * TICK_NS)


@pytest.fixture(scope="module", params=["hours", pytest.param("day", marks=pytest.mark.deep)])
def past(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Past]:
    folder = tmp_path_factory.mktemp("captures")
    blocks: dict[str, list[Any]] = {}
    names: list[str] = []

    def keep(_: int, block: Values) -> None:
        parts = blocks.setdefault("all", [])
        parts.append(block[:, _watched(block.shape[1])].copy())

    is_deep = request.param == "day"
    day = write_day(folder, HOURS_DEEP if is_deep else HOURS, on_block=keep)
    names = [day.names[at] for at in _watched(len(day.names))]
    table = np.concatenate(blocks["all"])
    values = {name: table[:, at] for at, name in enumerate(names)}
    logs = {
        path.stem: [json.loads(line) for line in path.read_text().splitlines()]
        for path in sorted(folder.glob("m*.jsonl"))
    }
    (folder / "old.toml").write_text(CONFIG)
    yield Past(folder, day, values, logs, is_deep)
    for each in folder.glob("capture-*.bin"):
        each.unlink()


def _watched(count: int) -> list[int]:
    """The main pressures and temperatures: the first eight behind the machines' fields."""
    return list(range(44, min(count, 52)))


def whatif(past: Past, old: str, new: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Differences by mapping, from the command's JSON."""
    assert old in CONFIG
    (past.folder / "new.toml").write_text(CONFIG.replace(old, new))
    begin, begin_cpu = time.monotonic(), time.process_time()
    code = cli.main([
        "whatif", str(past.folder / "new.toml"), "--config", str(past.folder / "old.toml"),
        "--capture", str(past.folder), "--since", "48h", "--json",
    ])  # fmt: skip
    elapsed_s, cpu_s = time.monotonic() - begin, time.process_time() - begin_cpu
    captured = capsys.readouterr()
    assert code == 0, captured.err
    report = json.loads(captured.out)
    assert report["samples"] == past.day.samples
    assert any("nothing before" in each for each in report["said"]), "48 h are not recorded"
    if past.is_deep:
        assert past.day.samples >= 10**8
        took = f"{past.day.samples:,} samples through both in {elapsed_s:.0f} s, {cpu_s:.0f} of CPU"
        print(f"{took}, load {os.getloadavg()[0]:.1f}")
        assert elapsed_s < SECONDS_MAX, took
        assert "% " in captured.err, "progress is shown"
    found: dict[str, Any] = {}
    for each in report["differences"]:
        for side in ("more", "fewer", "changed"):
            for document in each[side]:
                one = document["new"] if side == "changed" else document
                found.setdefault(one["mapping"], {}).setdefault(side, []).append(document)
    return found


def _spans(documents: list[dict[str, Any]]) -> set[Span]:
    return {(each["asset"], each["start"], each["end"]) for each in documents}


def _sides(found: dict[str, Any]) -> tuple[set[Span], set[Span]]:
    """What only the old side has, and what only the new one."""
    changed = found.get("changed", [])
    old = found.get("fewer", []) + [each["old"] for each in changed]
    new = found.get("more", []) + [each["new"] for each in changed]
    return _spans(old), _spans(new)


def test_a_limit_moved(past: Past, capsys: pytest.CaptureFixture[str]) -> None:
    found = whatif(past, "high = 8.0", "high = 8.5", capsys)
    tags = [each for each in past.values if "pressure1" in each]
    old = set().union(*(past.spans(each, 8000) for each in tags))
    new = set().union(*(past.spans(each, 8500) for each in tags))
    assert set(found) == {"pressed"}
    assert _sides(found["pressed"]) == (old - new, new - old)
    assert len(old) > len(new) > 3
    assert len(found["pressed"]["fewer"]) == len(old) - len(new)


def test_a_deadband_added(past: Past, capsys: pytest.CaptureFixture[str]) -> None:
    found = whatif(past, "high = 180\n", "high = { value = 180, deadband = 3 }\n", capsys)
    tags = [each for each in past.values if "temperature1" in each]
    old = set().union(*(past.spans(each, 180_000) for each in tags))
    new = set().union(*(past.spans(each, 180_000, 3_000) for each in tags))
    assert set(found) == {"heated"}
    assert _sides(found["heated"]) == (old - new, new - old)
    assert len(old) > 2 * len(new) > 4


def test_a_window_halved(past: Past, capsys: pytest.CaptureFixture[str]) -> None:
    found = whatif(past, "size_s = 600", "size_s = 300", capsys)
    seconds = past.day.samples // len(past.day.names) // RATE
    assert set(found) == {"flowed"}
    old, new = _sides(found["flowed"])
    ends = [(600, old), (300, new)]
    for size, side in ends:
        closed = (seconds * RATE - 1) // (size * RATE)
        wanted = {
            (f"line1.m{m}", _at(k * size * RATE), _at((k + 1) * size * RATE))
            for m in range(1, 5)
            for k in range(closed)
        }
        assert side == wanted
    sums = [each for each in found["flowed"]["changed"] if each["old"]["start"] == _at(0)]
    assert {name["name"] for each in sums for name in each["members"]} >= {"end", "quantity"}


def test_a_rule_removed(past: Past, capsys: pytest.CaptureFixture[str]) -> None:
    rule = CONFIG[CONFIG.index('[[rule]]\nname = "stop"') : CONFIG.index('[[rule]]\nname = "pres')]
    mapping = CONFIG[
        CONFIG.index('[[mapping]]\nname = "stopped"') : CONFIG.index('[[mapping]]\nname = "pressed')
    ]
    text = CONFIG.replace(rule, "").replace(mapping, "")
    found = whatif(past, CONFIG, text, capsys)
    stops = {
        (f"line1.{machine}", _ms(each["start_ms"]), _ms(each["end_ms"]))
        for machine, log in past.logs.items()
        for each in log
        if each["type"] == "stop"
    }
    assert set(found) == {"stopped"}
    assert set(found["stopped"]) == {"fewer"}
    starts = {each[:2] for each in stops}
    assert {each[:2] for each in _spans(found["stopped"]["fewer"])} == starts
    assert len(starts) > 3


def _ms(time_ms: int) -> str:
    return short_time(time_ms * 10**6)


def test_a_mapping_changed(past: Past, capsys: pytest.CaptureFixture[str]) -> None:
    found = whatif(past, 'round = "0.001"', 'round = "1"', capsys)
    lots = [
        Decimal(each["used"]) for log in past.logs.values() for each in log if each["type"] == "lot"
    ]
    assert set(found) == {"consumed"}
    assert set(found["consumed"]) == {"changed"}
    changed = found["consumed"]["changed"]
    before = [Decimal(each["old"]["body"]["quantity"]["value"]) for each in changed]
    assert sorted(before) == sorted(each for each in lots if each % 1)
    for each in changed:
        assert [member["name"] for member in each["members"]] == ["quantity"]
        old, new = (Decimal(each[side]["body"]["quantity"]["value"]) for side in ("old", "new"))
        assert abs(old - new) <= Decimal("0.5")
    assert len(changed) > 3
    assert math.isclose(sum(before), sum(each for each in lots if each % 1))
