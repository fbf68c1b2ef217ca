"""Operator: what persons did about alarms while a recording ran: a CSV file of their actions."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from penstock.config import Config
from penstock.config import vocabulary as words
from penstock.config.forms import suggest
from penstock.engine import ACTIONS, Engine
from penstock.errors import ConfigError, InputError
from penstock.replay.moment import Clock, NoTime

COLUMNS: Final = ("time", "action", "rule", "tag", "by", "until", "note")
NEEDED: Final = ("time", "action", "rule", "tag", "by")


@dataclass(frozen=True, slots=True)
class Operation:
    """One action of a person; ``place`` names its line in messages."""

    at_ns: int
    action: str
    rule: str
    tag: str
    by: str
    until_ns: int | None
    note: str
    place: str

    def tell(self, engine: Engine) -> None:
        """Done at its own time. InputError where the engine knows no such alarm."""
        try:
            engine.operate(
                self.action,
                rule=self.rule,
                tag=self.tag,
                by=self.by,
                at_ns=self.at_ns,
                until_ns=self.until_ns,
                note=self.note,
            )
        except (ConfigError, ValueError) as wrong:
            is_early = "judges no tag" in str(wrong)
            fix = "; an action stands at or behind the first row of its tag" if is_early else ""
            raise InputError(f"{self.place}: {wrong}{fix}") from wrong


def read_operations(path: Path, config: Config) -> Iterator[Operation]:
    """The rows of a file, in its order. InputError names file, line and fix."""
    clock = Clock(ZoneInfo(config.plant.timezone))
    alarms = {each.name: each.kind for each in config.rules}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        try:
            _check_columns(path, reader.fieldnames or ())
            for row in reader:
                yield _operation(f"{path}: line {reader.line_num}", row, clock, alarms)
        except (csv.Error, UnicodeDecodeError) as wrong:
            place = f"{path}: line {reader.line_num + 1}"
            raise InputError(f"{place}: {wrong}; write comma separated UTF-8") from wrong


def _check_columns(path: Path, names: object) -> None:
    found = [str(each) for each in names] if isinstance(names, (list, tuple)) else []
    for name in found:
        if name not in COLUMNS:
            raise InputError(f"{path}: line 1: no column {name!r}; {suggest(name, COLUMNS)}")
    for name in NEEDED:
        if name not in found:
            raise InputError(f"{path}: line 1: the column {name!r} is missing; write {_HEAD}")


_HEAD: Final = ",".join(COLUMNS)


def _operation(
    place: str, row: Mapping[str | None, object], clock: Clock, alarms: Mapping[str, str]
) -> Operation:
    if None in row:
        raise InputError(f"{place}: has more cells than the header; quote a note with a comma")
    cells = {name: str(row.get(name) or "").strip() for name in COLUMNS}
    for name in NEEDED:
        if not cells[name]:
            raise InputError(f"{place}: {name} is empty; write {_MEANING[name]}")
    action, rule = cells["action"], cells["rule"]
    if action not in ACTIONS:
        raise InputError(f"{place}: action {action!r} is unknown; {suggest(action, ACTIONS)}")
    if rule not in alarms:
        raise InputError(f"{place}: no rule is named {rule!r}; {suggest(rule, alarms)}")
    if alarms[rule] not in words.ALARM_KINDS:
        kinds = ", ".join(words.ALARM_KINDS)
        raise InputError(
            f"{place}: {rule!r} is a {alarms[rule]} rule; actions are about {kinds} rules"
        )
    if bool(cells["until"]) != (action == "shelve"):
        fix = "write until when" if action == "shelve" else "leave it empty"
        raise InputError(f"{place}: until belongs to shelve; {fix}")
    at_ns = _time(place, "time", cells["time"], clock)
    until_ns = _time(place, "until", cells["until"], clock) if cells["until"] else None
    return Operation(at_ns, action, rule, cells["tag"], cells["by"], until_ns, cells["note"], place)


_MEANING: Final = {
    "time": "when it was done",
    "action": ", ".join(ACTIONS),
    "rule": "the name of the rule",
    "tag": "the tag",
    "by": "who did it",
}


def _time(place: str, name: str, text: str, clock: Clock) -> int:
    try:
        return clock.read(text)
    except NoTime as wrong:
        fix = "write it as in the recording: 2026-03-02T06:00:10Z"
        raise InputError(f"{place}: {name} {text!r} {wrong}; {fix}") from wrong
