"""Lines: events, results and documents as stable lines of JSON; the page ``replay`` lists members.

A member that says nothing (empty, none, zero where zero is the rule) is left out, so that a later
member changes no line that does not need it. Times are RFC 3339 in UTC, exact.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any, Final

from penstock.config import Config
from penstock.config import vocabulary as words
from penstock.engine import Results
from penstock.errors import Permanent
from penstock.events import Context, Event
from penstock.mapping import Command, Fault, Hold, map_event
from penstock.outbox.content import document_digest
from penstock.post import Target, open_target
from penstock.replay.moment import short_time

# Of an event these depend on the run, not on what happened.
_OF_THE_RUN: Final = frozenset(
    {"seq", "pos", "digest", "plant", "engine_time_ns", "config_generation"}
)
CONTEXT_KEYS: Final = tuple(each.name for each in fields(Context))
_KEPT: Final = frozenset({"value"})  # also where it is 0
_TIMES: Final = {"min_ns": "min_at", "max_ns": "max_at"}  # columns beside min and max
_NO_TIME: Final = -(1 << 63)


def event_line(event: Event) -> dict[str, Any]:
    """An event as the members of a line."""
    found: dict[str, Any] = {}
    for each in fields(Event):
        value = getattr(event, each.name)
        if each.name in _OF_THE_RUN or (each.name == "series" and value == "1"):
            continue
        if each.name.endswith("_ns"):
            if value is not None:
                found[each.name.removesuffix("_ns")] = short_time(value)
            continue
        plain = _plain(value)
        if each.name in _KEPT or plain not in (None, "", 0, [], {}) or _is_figure(each.name, value):
            found[each.name] = plain
    return found


def _is_figure(name: str, value: object) -> bool:
    """A number that means something also where it is 0: everything but counts of repeats."""
    return value is not None and name not in (
        "count", "occurrence", "time_epoch", "revision", "text", "unit", "flags", "context",
    ) and isinstance(value, (int, float, Decimal))  # fmt: skip


def _plain(value: object) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items() if _plain(each) is not None}
    if isinstance(value, Context):
        return {name: each for name in CONTEXT_KEYS if (each := getattr(value, name)) != ""}
    return value


def result_lines(results: Results) -> Iterator[dict[str, Any]]:
    """Each closed window as the members of a line; figures that were not asked are left out."""
    for row in results.rows():
        found: dict[str, Any] = {"rule": row.pop("rule"), "tag": row.pop("tag")}
        for name, value in row.items():
            if name.endswith("_ns"):
                if value is not None and value != _NO_TIME:
                    found[_TIMES.get(name) or name.removesuffix("_ns")] = short_time(value)
            elif name == "flags":
                if texts := [text for bit, text in enumerate(words.FLAGS) if value >> bit & 1]:
                    found[name] = texts
            elif not _is_nothing(name, value):
                found[name] = value
        yield found


def _is_nothing(name: str, value: object) -> bool:
    is_nan = isinstance(value, float) and not math.isfinite(value)
    return value is None or is_nan or (name == "revision" and not value)


@dataclass(frozen=True, slots=True)
class _Document:
    """What a target needs of a command."""

    command_id: str
    key16: str
    contract: str
    posting_date: str
    digest: str
    body: Mapping[str, Any]


class Commands:
    """What events become for the ERPs, down to what each target would be told. Nothing is sent."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._targets: dict[str, Target] = {
            each.name: open_target(each, f"target[{each.name}]")[0] for each in config.targets
        }

    def lines(self, event: Event) -> Iterator[dict[str, Any]]:
        """A line for each document of an event, in the order of the configuration."""
        for made in map_event(event, self._config):
            yield command_line(made, self._targets)


def command_line(made: Command | Fault | Hold, targets: Mapping[str, Target]) -> dict[str, Any]:
    """A document, or why there is none, as the members of a line."""
    command = made.command if isinstance(made, Hold) else made
    found: dict[str, Any] = {
        "mapping": command.mapping,
        "contract": command.contract,
        "target": command.target,
        "state": "ready",
        "business_object": command.business_object,
        "event_id": command.event_id,
        "command_id": command.command_id,
        "key16": command.key16,
        "occurred_at": short_time(command.occurred_at_ns),
        "posting_date": command.posting_date,
    }
    if isinstance(made, Fault):
        return found | {"state": "dead", "category": made.category, "reason": made.reason}
    if isinstance(made, Hold):
        found |= {"state": "held", "category": made.category, "reason": made.reason}
    assert isinstance(command, Command)
    found["document"] = dict(command.body)
    document = _Document(
        command.command_id,
        command.key16,
        command.contract,
        command.posting_date,
        document_digest(command.contract, command.body_json),
        command.body,
    )
    try:
        payload = targets[command.target].prepare(document).payload
    except Permanent as wrong:
        return found | {"state": "dead", "category": wrong.category, "reason": str(wrong)}
    try:
        found["payload"] = json.loads(payload)
    except ValueError:
        found["payload"] = payload.decode("utf-8", "replace")
    return found


def to_text(line: Mapping[str, Any]) -> str:
    """One line of a file."""
    return json.dumps(line, ensure_ascii=False, allow_nan=False)
