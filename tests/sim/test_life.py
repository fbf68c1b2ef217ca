"""Rules change, processes die: what was told of a register is its end minus its start, whatever
happened between, and no interval is told twice or left out.

An engine in a forked child is fed by position and dies by SIGKILL at random instants; the next one
opens with another table of rules, or the rules change while it runs. Its events are appended to a
file before they are acknowledged. The seed of a failure is printed by pytest.
"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import sys
import traceback
from array import array
from collections import defaultdict
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from penstock import Engine
from penstock.config import Config, parse_config

S = 1_000_000_000
START_NS = 1_790_000_000 * S
MACHINES = ("m1", "m2")
ROWS = 400  # instants, half a second apart
BATCH = 5
STORIES = 12  # deep: ten times as many
Table = dict[str, Any]
Told = dict[str, dict[str, Any]]

# What a rule may say, one of each.
CHOICES: dict[str, list[Table]] = {
    "good": [
        {"every_s": 10},
        {"every_s": 7, "offset_s": 3},
        {"lot": "*.lot"},
        {"lot": "*.lot", "order": "*.order", "every_s": 30},
        {"lot": "*.lot", "start": "*.start"},
        {"order": "*.order", "emits_zero": True},
        {"tag": "m*.good", "lot": "m*.lot"},  # another name for the same machine
        {"every_s": 10, "negative": "ignore"},
        {"every_s": 10, "asset": "hall"},
    ],
    "flow": [
        {"every_s": 10},
        {"every_s": 60},
        {"lot": "*.lot"},
        {"lot": "*.lot", "every_s": 8},
    ],
    "power": [
        {"size_s": 1},
        {"size_s": 4},
        {"size_s": 7, "offset_s": 2},
        {"size_s": 10, "unit": "KWH"},
    ],
}
BASE: dict[str, Table] = {
    "good": {"name": "good", "kind": "counter", "tag": "*.good", "unit": "C62"},
    "flow": {"name": "flow", "kind": "total", "tag": "*.flow", "unit": "LTR", "per": "s"},
    "power": {"name": "power", "kind": "window", "tag": "*.power", "emit": "event"},
}
UNTOUCHED: Table = {**BASE["power"], "name": "still", "size_s": 3}


def draw_rules(dice: random.Random, *, may_be_gone: bool) -> list[Table]:
    rules = [UNTOUCHED]
    for name, choices in CHOICES.items():
        if not (may_be_gone and dice.random() < 0.15):
            rules.append(BASE[name] | dice.choice(choices))
    return rules


def config_of(folder: Path, ring: Path, rules: list[Table]) -> Config:
    kinds = {"good": "i64", "lot": "i64", "order": "i64", "start": "i64"}
    tags = {f"{m}.{name}": kind for m in MACHINES for name, kind in kinds.items()}
    places = {"state_dir": str(folder), "ring_dir": str(ring), "ring_bytes": 1 << 20}
    source = {"name": "line", "kind": "feed", "tags": tags, "lateness_s": 0.5, "ring_share": 1.0}
    raw = {"plant": {"name": "life"}, "engine": places, "source": [source], "rule": rules}
    return parse_config(raw, variables={})


def values_at(instant: int, machine: int) -> dict[str, int | float]:
    """Registers grow with jumps, lots change, nothing is a function of the process."""
    good = 3 * instant + instant // 7 + 1000 * machine
    lot = instant // 23 + 1
    begin = 23 * (lot - 1)
    return {
        "good": good,
        "lot": lot,
        "order": instant // 61 + 1,
        "start": 3 * begin + begin // 7 + 1000 * machine,
        "flow": 2.0,
        "power": float(instant % 11),
    }


def feed(engine: Engine, batch: int) -> None:
    times, tags, words = array("q"), array("I"), array("q")
    for instant in range(BATCH * batch, BATCH * (batch + 1)):
        for machine, name in enumerate(MACHINES):
            for tag, value in values_at(instant, machine).items():
                kind = "i64" if isinstance(value, int) else "f64"
                times.append(START_NS + instant * S // 2)
                tags.append(engine.tag(f"{name}.{tag}", kind, source="line"))
                words.frombytes(array("q" if kind == "i64" else "d", [value]).tobytes())
    engine.feed(tags, times, words, source="line", position=batch, recv_time_ns=times[-1])


def take(engine: Engine, out: Path) -> None:
    while batch := engine.poll():
        with out.open("a") as file:
            for event in batch.events:
                row = {name: getattr(event, name) for name in FIELDS}
                file.write(json.dumps(row | {"flags": sorted(event.flags)}) + "\n")
        batch.acknowledge()


FIELDS = (
    "id", "digest", "kind", "rule", "tag", "start_ns", "end_ns", "value", "start_reading",
    "end_reading", "count",
)  # fmt: skip


def in_child(body: Callable[[], None]) -> bool:
    """Runs it in a process of its own; False where that was killed."""
    child = os.fork()
    if child == 0:
        try:
            body()
            os._exit(0)
        except BaseException:  # noqa: BLE001 - a forked child must not return into pytest
            traceback.print_exc(file=sys.stderr)
            os._exit(1)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    assert os.WEXITSTATUS(status) == 0
    return True


class Story:
    """One recording through any number of processes and tables of rules."""

    def __init__(self, seed: int, folder: Path, ring: Path) -> None:
        self.dice = random.Random(seed)
        self.state, self.ring, self.out = folder / "state", ring, folder / "events"
        self.deaths = self.tables = 0

    def run(self, deaths: int) -> Told:
        batches = ROWS // BATCH
        while True:
            rules = draw_rules(self.dice, may_be_gone=True)
            die_at = self.dice.randrange(2, 30) if self.deaths < deaths else batches
            seed = self.dice.random()
            self.tables += 1
            if in_child(partial(self._live, rules, die_at, random.Random(seed), batches)):
                return self._told()
            self.deaths += 1

    def _live(self, rules: list[Table], die_at: int, dice: random.Random, batches: int) -> None:
        with Engine(config_of(self.state, self.ring, rules), clock="manual") as engine:
            done = engine.position("line")
            first = 0 if done is None else done + 1
            for batch in range(first, batches):
                feed(engine, batch)
                if batch - first >= die_at:
                    os.kill(os.getpid(), signal.SIGKILL)
                if dice.random() < 0.15:
                    rules = draw_rules(dice, may_be_gone=True)
                    engine.reconfigure(config_of(self.state, self.ring, rules))
                if dice.random() < 0.2:
                    engine.checkpoint(to_disk=dice.random() < 0.5)
                if dice.random() < 0.6:
                    take(engine, self.out)
            self._end(engine)

    def _end(self, engine: Engine) -> None:
        """Every rule is there, and everything that is open is cut."""
        last = [BASE[name] | CHOICES[name][0] for name in CHOICES]
        engine.reconfigure(config_of(self.state, self.ring, [UNTOUCHED, *last]))
        for batch in range(ROWS // BATCH, ROWS // BATCH + 20):
            feed(engine, batch)
        take(engine, self.out)

    def _told(self) -> Told:
        told: Told = {}
        for line in self.out.read_text().splitlines():
            row = json.loads(line)
            assert told.setdefault(row["id"], row)["digest"] == row["digest"], "an id tells two"
        return told


def segments(told: Told, rule: str) -> dict[str, list[Table]]:
    found: dict[str, list[Table]] = defaultdict(list)
    for row in told.values():
        if row["rule"] == rule and row["kind"] != "rule.restarted":
            found[row["tag"]].append(row)
    for rows in found.values():
        rows.sort(key=lambda row: (row["start_ns"], row["end_ns"]))
    return found


def check_registers(told: Told) -> None:
    found = segments(told, "good")
    assert set(found) == {f"{machine}.good" for machine in MACHINES}
    for machine, name in enumerate(MACHINES):
        rows = found[f"{name}.good"]
        rows.sort(key=lambda row: (row["start_reading"], row["end_reading"]))
        at = rows[0]["start_reading"]
        assert at <= values_at(0, machine)["good"] + 400, "the first rule may have come late"
        for row in rows:
            assert row["start_reading"] == at, "an interval is missing or told twice"
            assert row["value"] == row["end_reading"] - row["start_reading"]
            at = row["end_reading"]
        assert sum(row["value"] for row in rows) == at - rows[0]["start_reading"]
        assert at >= values_at(ROWS, machine)["good"], "told to the end"


def check_flows(told: Told) -> None:
    """Two litres a second; while the rule was gone nobody integrated, and that is said."""
    for rows in segments(told, "flow").values():
        whole = [row for row in rows if not {"incomplete", "partial"} & set(row["flags"])]
        for row in whole:
            seconds = Fraction(row["end_ns"] - row["start_ns"], S)
            assert Fraction(row["value"]) == 2 * seconds
        for before, after in itertools.pairwise(rows):
            assert before["end_ns"] <= after["start_ns"]


def check_windows(told: Told) -> None:
    """No sample is in two windows of a rule; the untouched rule's lie side by side, each whole."""
    for rule in ("power", "still"):
        for rows in segments(told, rule).values():
            assert sum(row["count"] for row in rows) <= ROWS + 20 * BATCH
            for before, after in itertools.pairwise(rows):
                is_cut = "partial" in before["flags"]  # closed as it stood
                assert before["end_ns"] <= after["start_ns"] or is_cut
                assert before["start_ns"] < after["start_ns"], "two windows tell one instant"
    for rows in segments(told, "still").values():
        assert sum(row["count"] for row in rows) >= ROWS
        for before, after in itertools.pairwise(rows):
            assert before["end_ns"] == after["start_ns"]
            assert after["count"] == 6
            assert "partial" not in after["flags"], "nobody touched it"


@pytest.mark.parametrize("seed", range(STORIES * 10))
def test_nothing_is_lost_or_told_twice(
    seed: int, tmp_path: Path, ring_dir: Path, is_deep: bool
) -> None:
    if seed >= STORIES and not is_deep:
        pytest.skip("deep")
    story = Story(seed, tmp_path, ring_dir)
    told = story.run(deaths=seed % 4)
    check_registers(told)
    check_flows(told)
    check_windows(told)
    assert story.deaths == seed % 4
