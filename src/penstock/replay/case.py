"""Case: a folder with a recording, a configuration and what is expected of them.

``config.toml`` and ``input.csv`` or ``capture.bin`` go in; events.jsonl, results.jsonl and
commands.jsonl say what must come out, line by line. A file that is absent expects nothing.
``case.toml`` says how the input is written, ``context.csv`` what ran at the assets,
``operator.csv`` what persons did about alarms.
"""

from __future__ import annotations

import csv
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from penstock.captures import Capture
from penstock.config import Config, load_config
from penstock.errors import InputError, StateError
from penstock.replay.dry import Dry, Outcome, Told
from penstock.replay.lines import CONTEXT_KEYS, Commands, event_line, result_lines, to_text
from penstock.replay.moment import Clock, NoTime
from penstock.replay.operator import Operation, read_operations
from penstock.replay.table import Form, Table

EXPECTED: Final = ("events", "results", "commands")
# What tells two lines of a file to be about the same thing.
_IDENTITY: Final = {
    "events": ("id",),
    "results": ("rule", "tag", "start", "revision"),
    "commands": ("command_id", "target"),
}
_SHOWN: Final = ("kind", "rule", "tag", "mapping", "target", "at", "start", "state")
_FORM_KEYS: Final = tuple(each.name for each in fields(Form) if each.name != "names")

Line = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """One line that is not as expected: missing, new, or with members that differ."""

    file: str
    what: str  # "missing", "new", "differs"
    line: Line
    members: tuple[tuple[str, Any, Any], ...] = ()  # name, expected, found

    def __str__(self) -> str:
        about = " ".join(str(self.line[key]) for key in _SHOWN if key in self.line)
        lines = [f"{self.file}: {self.what}: {about}"]
        if self.what != "differs":
            lines[0] += f"\n    {to_text(self.line)}"
        for name, expected, found in self.members:
            lines.append(f"    {name}: expected {_shown(expected)}, found {_shown(found)}")
        return "\n".join(lines)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a case."""

    name: str
    shows: str  # the first line of its README.md
    differences: tuple[Difference, ...]
    made: Mapping[str, Sequence[Line]]
    notes: tuple[str, ...] = ()

    @property
    def is_ok(self) -> bool:
        """Whether everything is as expected."""
        return not self.differences


@dataclass(frozen=True, slots=True)
class _Input:
    form: Form = field(default_factory=Form)
    source: str = ""
    after_s: float | None = None


def find_cases(folder: Path) -> list[Path]:
    """The folder itself where it is a case, else every case below it, by name."""
    if (folder / "config.toml").is_file():
        return [folder]
    return sorted(each.parent for each in folder.glob("**/config.toml"))


def run_case(folder: Path) -> Verdict:
    """Plays a case. InputError or ConfigError where it cannot be played."""
    made, notes = play(folder)
    differences: list[Difference] = []
    for name in EXPECTED:
        differences += compare(name, _read_lines(folder / f"{name}.jsonl"), made[name])
    return Verdict(folder.name, shows(folder), tuple(differences), made, notes)


def update_case(folder: Path, verdict: Verdict) -> list[str]:
    """Writes what was made as what is expected; the names of the files that changed."""
    changed = []
    for name in EXPECTED:
        path = folder / f"{name}.jsonl"
        text = "".join(to_text(line) + "\n" for line in verdict.made[name])
        before = path.read_text(encoding="utf-8") if path.is_file() else ""
        if text == before:
            continue
        changed.append(path.name)
        if text:
            path.write_text(text, encoding="utf-8")
        else:
            path.unlink()
    return changed


def shows(folder: Path) -> str:
    """What a case shows: the first line of its README.md."""
    path = folder / "README.md"
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return text.strip().partition("\n")[0].lstrip("# ").strip()


def play(folder: Path) -> tuple[dict[str, list[Line]], tuple[str, ...]]:
    """Everything that a case's engine makes, as lines by file, and what was said of the input."""
    config = load_config(folder / "config.toml", is_environment_known=False)
    given = _read_input(folder / "case.toml")
    commands = Commands(config)
    made: dict[str, list[Line]] = {name: [] for name in EXPECTED}
    with Dry(config, source=given.source) as dry:
        made_by, named = _open_input(folder, dry, given)
        for outcome in made_by:
            for event in outcome.events:
                made["events"].append(event_line(event))
                made["commands"] += commands.lines(event)
            for results in outcome.results:
                made["results"] += result_lines(results)
        dropped = dry.stats().dropped
    notes = [*named]
    if dropped:
        notes.append(f"{dropped} samples dropped by the engine")
    return made, tuple(notes)


def samples(folder: Path) -> Iterator[tuple[int, str, float | str]]:
    """The samples of a case's CSV: time, tag, and a number or a text."""
    config = load_config(folder / "config.toml", is_environment_known=False)
    given = _read_input(folder / "case.toml")
    kinds = dict(kind for source in config.sources for kind in source.tags)
    table = Table(folder / "input.csv", given.form, config.plant.timezone, kinds)
    for time_ns, cells in table.rows():
        for tag, value, _ in cells:
            is_text = table.kind(tag) in ("code", "bool")
            yield time_ns, tag, str(json.loads(value)) if is_text else float(value)


def _open_input(folder: Path, dry: Dry, given: _Input) -> tuple[Iterator[Outcome], list[str]]:
    """What comes of the case's recording, and the list that cells which cannot be used go to."""
    capture = folder / "capture.bin"
    if capture.is_file():
        if (folder / "operator.csv").is_file():
            raise InputError(
                f"{folder / 'operator.csv'}: stands beside a capture, which holds what persons "
                "did; remove it, or write the recording as input.csv"
            )
        return _from_capture(capture, dry, given.after_s), []
    table = Table(folder / "input.csv", given.form, dry.config.plant.timezone, dry.kinds())
    told: list[Told | Operation] = list(_read_context(folder / "context.csv", dry.config))
    if (operator := folder / "operator.csv").is_file():
        told += read_operations(operator, dry.config)
    return dry.rows(table, told=told, after_s=given.after_s), table.rejected.named


def _from_capture(path: Path, dry: Dry, after_s: float | None) -> Iterator[Outcome]:
    try:
        yield from dry.capture(Capture(path))
    except StateError as wrong:
        raise InputError(str(wrong)) from wrong
    yield from dry.finish(after_s or 0.0)


def compare(file: str, expected: Sequence[Line], found: Sequence[Line]) -> Iterator[Difference]:
    """How two lists of lines differ; lines about the same thing are compared member by member."""
    left = _by_identity(file, expected)
    right = _by_identity(file, found)
    for key, line in left.items():
        if key not in right:
            yield Difference(file, "missing", line)
        elif members := tuple(_members(line, right[key])):
            yield Difference(file, "differs", line, members)
    for key, line in right.items():
        if key not in left:
            yield Difference(file, "new", line)
    if list(left) != list(right) and set(left) == set(right):
        moved = next(
            line for (key, line), other in zip(left.items(), right, strict=True) if key != other
        )
        yield Difference(file, "in another order, from here on", moved)


def _by_identity(file: str, lines: Sequence[Line]) -> dict[tuple[Any, ...], Line]:
    found: dict[tuple[Any, ...], Line] = {}
    for line in lines:
        key: tuple[Any, ...] = tuple(line.get(name) for name in _IDENTITY[file])
        while key in found:
            key = (*key, "again")
        found[key] = line
    return found


def _members(expected: Line, found: Line, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    for name in dict.fromkeys((*expected, *found)):
        old, new = expected.get(name), found.get(name)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _members(old, new, f"{prefix}{name}.")
        elif old != new or type(old) is not type(new):
            yield prefix + name, old, new


def _shown(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)


def _read_lines(path: Path) -> list[Line]:
    if not path.is_file():
        return []
    found: list[Line] = []
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            line = json.loads(text)
        except ValueError as wrong:
            raise InputError(f"{path}: line {number} is no JSON: {wrong}") from wrong
        if not isinstance(line, dict):
            raise InputError(f"{path}: line {number} is no object")
        found.append(line)
    return found


def _read_input(path: Path) -> _Input:
    if not path.is_file():
        return _Input()
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        raise InputError(f"{path}: is not TOML: {wrong}") from wrong
    names = raw.pop("names", {})
    source, after_s = raw.pop("source", ""), raw.pop("after_s", None)
    unknown = sorted(set(raw) - set(_FORM_KEYS))
    if unknown:
        known = ", ".join((*_FORM_KEYS, "names", "source", "after_s"))
        raise InputError(f"{path}: {unknown[0]} is not known; there are {known}")
    if not isinstance(names, dict) or not all(isinstance(e, str) for e in (*raw.values(), source)):
        raise InputError(f"{path}: names is a table, after_s a number, everything else a text")
    form = Form(**raw, names=tuple((str(k), str(v)) for k, v in names.items()))
    return _Input(form, source, None if after_s is None else float(after_s))


def _read_context(path: Path, config: Config) -> Iterator[Told]:
    """Columns time, asset and any of order, operation, material, lot, shift."""
    if not path.is_file():
        return
    clock = Clock(ZoneInfo(config.plant.timezone))
    with path.open(encoding="utf-8", newline="") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            try:
                at_ns = clock.read(row.get("time") or "")
            except NoTime as wrong:
                raise InputError(f"{path}: line {number}: time {wrong}") from wrong
            values = {key: row[key] for key in CONTEXT_KEYS if row.get(key)}
            yield Told(at_ns, row.get("asset") or "", values)
