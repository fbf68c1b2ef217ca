"""``penstock init``: a few answers become a commented configuration and a rule test."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from cyclopts import App, Parameter

from penstock import cli
from penstock.cli.draft import (
    ENVIRONMENTS,
    HIGH,
    RULES,
    STATE_TEXT,
    TARGETS,
    Draft,
    Wire,
    draft_text,
)
from penstock.cli.guess import first_rows, guess, read_recording, typed
from penstock.config.forms import suggest

CONFIG_NAME: Final = "plant.toml"
RECORDING_BYTES_MAX: Final = 1 << 20  # of one's own recording that become a rule test

app = App(
    name="init",
    help="Begin a plant: a commented configuration and one rule test.",
    version_flags=[],
)

_WORD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,50}")
_TAGS: Final[Mapping[str, str]] = MappingProxyType(
    {"state": "*.state", "counter": "*.good", "limit": "*.temp", "window": "*.temp"}
)
# What the first rule test plays, and what its first line says. Made so that the rule does its work.
_TIMES: Final = ("06:00:00", "06:00:10", "06:00:20", "06:00:30", "07:00:10")
_VALUES: Final[Mapping[str, tuple[tuple[object, ...], str]]] = MappingProxyType(
    {
        "state": (
            ("RUN", STATE_TEXT, STATE_TEXT, "RUN", "RUN"),
            "A stop of 20 s becomes one document.",
        ),
        "counter": ((100, 104, 110, 112, 130), "What was made in an hour becomes one document."),
        "limit": (
            (HIGH - 10, HIGH - 1, HIGH + 2, HIGH + 1, HIGH - 10),
            "The limit trips once, and clears.",
        ),
        "window": ((20.0, 21.0, 22.0, 23.0, 24.0), "Each minute with samples becomes one result."),
    }
)


@app.default
def init(
    folder: Path,
    /,
    *,
    site: str = "",
    recording: Annotated[Path | None, Parameter(name="--from")] = None,
    source: str = "feed",
    bind: bool = False,
    format: str = "json",
    rule: str = "",
    tag: str = "",
    target: str = "memory",
    url: str = "",
    environment: str = "dev",
    timezone: str = "UTC",
    json: bool = False,
) -> int:
    """Begin a plant: a commented configuration and one rule test.

    Exit codes: 0 done; 1 something is there already, or the recording cannot be read, nothing was
    changed; 2 wrong usage. Example: penstock init graz --site acme/graz --rule state

    Parameters
    ----------
    folder
        Where plant.toml and tests/rules go; made where it is missing.
    site
        enterprise/plant, such as acme/graz; default: the folder's name.
    recording
        A CSV file of yours: its tags, their types and a rule that finds something in it.
    source
        feed (samples by API or replay), tcp://host:port (ZeroMQ) or nats://host:4222/tel.>
    bind
        ZeroMQ: listen at the address, senders connect.
    format
        json or packed.
    rule
        state (stops; default), counter (pieces), limit or window; with --from what fits.
    tag
        Tag or pattern of the rule; default by the rule: *.state, *.good, *.temp.
    target
        memory, rest or tryton.
    url
        Address of the target.
    environment
        dev, test or prod: its own name, state and secret, so that none meets another's.
    timezone
        IANA name; decides the posting date.
    json
        One JSON object: files, next.
    """
    wire = _wire(source, bind, format)
    answers = {
        "rule": rule or "state",
        "target": target,
        "environment": environment,
        "format": format,
    }
    wrong = _usage(answers, wire, site or folder.absolute().name, timezone)
    if wrong or wire is None:
        cli.say(f"penstock init: {wrong}")
        return cli.EXIT_USAGE
    given = Draft(
        site or folder.absolute().name, wire, rule or "state", tag or _TAGS[rule or "state"],
        target=target, url=url, environment=environment, timezone=timezone,
    )  # fmt: skip
    return _begin(folder, given, recording, (rule, tag), is_json=json)


def _begin(
    folder: Path, given: Draft, recording: Path | None, asked: tuple[str, str], *, is_json: bool
) -> int:
    """Writes all, or says what is in the way; returns the exit code."""
    draft, case = _planned(given, recording, *asked)
    taken = [each for each in (folder / CONFIG_NAME, folder / case.place) if each.exists()]
    if taken:
        cli.say(f"penstock init: {taken[0]} is there already; name another folder")
        return cli.EXIT_FAILED
    files = _write(folder, draft, case)
    return _tell(files, folder, is_json=is_json)


@dataclass(frozen=True, slots=True)
class Case:
    """One rule test: a recording and what it shows."""

    place: Path
    shows: str
    recording: bytes

    @classmethod
    def of(cls, draft: Draft) -> Case:
        """The recording that makes the draft's rule do its work."""
        values, shows = _VALUES[draft.rule]
        tag = draft.tag.replace("*", "m1")
        rows = [f"2026-03-02T{at}Z,{value}" for at, value in zip(_TIMES, values, strict=True)]
        recording = "\n".join([f"time,{tag}", *rows]) + "\n"
        return cls(_place(draft), shows, recording.encode())

    @classmethod
    def recorded(cls, draft: Draft, recording: Path) -> Case:
        """The beginning of somebody's own recording."""
        rows = b"".join(first_rows(recording, RECORDING_BYTES_MAX))
        shows = f"What the {draft.rule} rule makes of the first rows of {recording.name}."
        return cls(_place(draft), shows, rows)


def _place(draft: Draft) -> Path:
    return Path("tests", "rules", f"{draft.rule}-first")


def _planned(given: Draft, recording: Path | None, rule: str, tag: str) -> tuple[Draft, Case]:
    """What will be written, by the answers alone or with somebody's recording."""
    if recording is None:
        return given, Case.of(given)
    draft = _of_recording(given, recording, rule, tag)
    return draft, Case.recorded(draft, recording)


def _of_recording(draft: Draft, recording: Path, rule: str, tag: str) -> Draft:
    """The draft with the tags of a recording; rule and tag as asked for, else what fits."""
    tags, said = read_recording(recording, draft.timezone)
    cli.say(f"{recording}: {said}")
    wire = replace(draft.wire, types=typed(tags)) if draft.wire.format == "json" else draft.wire
    found = guess(replace(draft, wire=wire), tags, is_tripping=True)
    if rule and rule != found.rule:
        found = replace(found, rule=rule, tag=_TAGS[rule], states=draft.states)
    return replace(found, tag=tag) if tag else found


def _wire(source: str, is_bind: bool, format: str) -> Wire | None:
    if source == "feed":
        return Wire(format=format)
    parts = urlsplit(source)
    if parts.scheme == "nats" and parts.netloc and not is_bind:
        subject = parts.path.strip("/") or ">"
        return Wire("nats", f"nats://{parts.netloc}", False, format, (subject,))
    if parts.scheme == "tcp" and parts.netloc:
        return Wire("zmq_pull" if is_bind else "zmq_sub", source, is_bind, format)
    return None


def _usage(answers: Mapping[str, str], wire: Wire | None, site: str, timezone: str) -> str:
    known = {
        "rule": RULES,
        "target": TARGETS,
        "environment": ENVIRONMENTS,
        "format": ("json", "packed"),
    }
    for name, value in answers.items():
        if value not in known[name]:
            return f"--{name} {value!r} is not known; {suggest(value, known[name])}"
    if wire is None:
        return "--source is feed, tcp://host:port or nats://host:4222/subject"
    if not all(_WORD.fullmatch(each) for each in site.split("/")):
        return f"--site {site!r} is no name; letters, digits, '_', '.' and '-', as acme/graz"
    try:
        ZoneInfo(timezone)
    except (KeyError, ValueError, OSError):
        return f"--timezone {timezone!r} is not known here; an IANA name such as Europe/Vienna"
    return ""


def _write(folder: Path, draft: Draft, case: Case) -> list[Path]:
    """Writes all files; what the test expects is what its first play makes."""
    from penstock.errors import StateError
    from penstock.replay.case import run_case, update_case

    place = folder / case.place
    config = folder / CONFIG_NAME
    try:
        place.mkdir(parents=True)
        config.write_text(draft_text(draft), encoding="utf-8")
        # The test is of the plant's own configuration, so that a change of a rule is seen.
        (place / "config.toml").symlink_to(Path("..", "..", "..", CONFIG_NAME))
        (place / "README.md").write_text(f"{case.shows}\n", encoding="utf-8")
        (place / "input.csv").write_bytes(case.recording)
        expected = update_case(place, run_case(place))
    except OSError as wrong:
        raise StateError(f"{wrong.filename or folder}: {wrong.strerror or wrong}") from wrong
    named = ("config.toml", "README.md", "input.csv", *expected)
    return [config, *(place / name for name in named)]


def _tell(files: list[Path], folder: Path, *, is_json: bool) -> int:
    config = folder / CONFIG_NAME
    steps = [
        f"penstock config check {config}",
        f"penstock test {folder / 'tests' / 'rules'}",
        f"penstock replay FILE.csv --config {config} --events -",
        f"penstock run {config}",
    ]
    if is_json:
        cli.emit({"files": [str(each) for each in files], "next": steps})
        return cli.EXIT_OK
    for file in files:
        print(f"wrote  {file}")
    for step in steps:
        print(f"next   {step}")
    return cli.EXIT_OK
