"""Draft: a few answers, or what was heard on a wire, become a commented configuration."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

ENVIRONMENTS: Final = ("dev", "test", "prod")
RULES: Final = ("state", "counter", "limit", "window")
TARGETS: Final = ("memory", "rest", "tryton")
WIRES: Final = ("feed", "zmq_pull", "zmq_sub", "nats")
COLUMN: Final = 36  # where comments begin
STATE_TEXT: Final = "STOP"
HIGH: Final = 80


@dataclass(frozen=True, slots=True)
class Wire:
    """A source: ``feed`` has no address."""

    kind: str = "feed"
    address: str = ""
    is_bind: bool = False
    format: str = "json"
    subjects: tuple[str, ...] = ()
    types: tuple[tuple[str, str], ...] = ()  # of tags, where the payload does not tell
    future_max_s: float = 0.0  # 0: the default


@dataclass(frozen=True, slots=True)
class Draft:
    """What a configuration is drafted from."""

    site: str  # "graz" or "acme/graz": enterprise and plant
    wire: Wire
    rule: str = "state"
    tag: str = "*.state"
    states: tuple[str, ...] = (STATE_TEXT,)
    high: float = HIGH
    target: str = "memory"
    url: str = ""
    environment: str = "dev"
    timezone: str = "UTC"
    heard: tuple[str, ...] = ()  # lines about what was heard, as comments

    @property
    def plant(self) -> str:
        """The plant's name; other environments than prod bear theirs, so that no id is shared."""
        name = self.site.rpartition("/")[2]
        return name if self.environment == "prod" else f"{name}-{self.environment}"


def draft_text(draft: Draft) -> str:
    """The configuration as commented TOML. It passes its own check."""
    parts = [
        *_head(draft),
        *_source(draft.wire),
        *_rule(draft),
        *_target(draft),
        *_mapping(draft),
    ]
    return "\n".join(parts) + "\n"


def _head(draft: Draft) -> list[str]:
    enterprise = draft.site.rpartition("/")[0].replace("/", ".")
    is_prod = draft.environment == "prod"
    state = "/var/lib/penstock" if is_prod else "state"
    named = [_line("enterprise", enterprise, "for the source of CloudEvents")] if enterprise else []
    return [
        f"# {draft.environment} of {draft.site}. Check: penstock config check FILE",
        "# What every key means: penstock docs config",
        *(f"# {each}" for each in draft.heard),
        "",
        "[plant]",
        _line("name", draft.plant, "part of every event's identity: never change it"),
        _line("timezone", draft.timezone, "decides the posting date"),
        *named,
        "",
        "[engine]",
        _line("state_dir", state, "ledger and checkpoints"),
        "",
    ]


def _source(wire: Wire) -> list[str]:
    key = "bind" if wire.is_bind else "connect"
    lines = ["[[source]]", _line("name", "line1"), _line("kind", wire.kind, _WIRE_HELP[wire.kind])]
    if wire.address:
        lines.append(_line(key, wire.address))
    if wire.subjects:
        lines.append(_line("subjects", list(wire.subjects)))
    lines.append(_line("format", wire.format, '"packed" is smaller and numbered: losses are seen'))
    lines.append(_line("lateness_s", 1, "how late a sample may come and still take part"))
    if wire.future_max_s:
        lines.append(_line("future_max_s", wire.future_max_s, "their clock is ahead of ours"))
    if wire.types:
        lines.append("")
        lines.append("[source.tags]")
        lines += [_line(json.dumps(name, ensure_ascii=False), kind) for name, kind in wire.types]
    return [*lines, ""]


_WIRE_HELP: Final = {
    "feed": "samples come by Engine.feed, or by penstock replay",
    "zmq_pull": "one collector takes the messages",
    "zmq_sub": "listens beside others; a slow listener loses",
    "nats": "core NATS",
}


def _rule(draft: Draft) -> list[str]:
    lines = ["[[rule]]", _line("name", draft.rule), _line("kind", draft.rule)]
    star = "'*' names the machine" if "*" in draft.tag else ""
    lines.append(_line("tag", draft.tag, star))
    if "*" not in draft.tag and draft.rule in ("state", "counter"):
        lines.append(_line("asset", draft.tag.rpartition(".")[0] or draft.tag, "where it happens"))
    match draft.rule:
        case "state":
            text = "an event when one of these ends"
            lines.append(_line("states", list(draft.states), text))
            lines.append(_line("min_duration_s", 2, "a shorter one is flagged micro"))
        case "counter":
            lines.append(_line("unit", "C62", "pieces, UN/ECE Rec 20"))
            lines.append(_line("every_s", 3600, 'a document an hour; or cut by lot = "*.lot"'))
        case "limit":
            lines.append(_line("high", draft.high, "trips at or beyond this value"))
        case _:
            lines.append(_line("size_s", 60, "a result a minute: count, sum, mean, min, max"))
    return [*lines, ""]


def _target(draft: Draft) -> list[str]:
    lines = ["[[target]]", _line("name", "erp"), _line("kind", draft.target)]
    secret = f"${{secret:erp_{draft.environment}}}"
    match draft.target:
        case "rest":
            lines += [
                _line("url", draft.url or "http://127.0.0.1:8080/api"),
                _line("headers", {"Authorization": f"Bearer {secret}"}, "never shown"),
                _line("path", "/documents", "penstock docs target-rest: templates, look_up"),
                _line("document", "id", "where the answer has the document's number"),
                _line("idempotent", False, "true: it makes no second document for one key"),
                "",
                "[target.look_up]" + " " * (COLUMN - 16) + "# how it is asked for what is in doubt",
                _line("path", "/documents/{key}"),
                _line("document", "id"),
            ]
        case "tryton":
            lines += [
                _line("url", draft.url or "http://127.0.0.1:8000"),
                _line("database", "plant"),
                _line("user", "penstock"),
                _line("password", secret, "never shown"),
            ]
        case _:
            lines[-1] = _line("kind", "memory", "a list in the process: nothing leaves it")
    return [*lines, ""]


def _mapping(draft: Draft) -> list[str]:
    match draft.rule:
        case "state":
            return [
                "[[mapping]]" + " " * (COLUMN - 11) + "# each stop becomes one document",
                _line("name", "stopped"),
                _line("event", "state.end"),
                _line("rule", "state"),
                _line("contract", "downtime/1"),
                _line("target", "erp"),
            ]
        case "counter":
            return [
                "[[mapping]]" + " " * (COLUMN - 11) + "# each hour becomes one document",
                _line("name", "confirm"),
                _line("event", "counter.segment"),
                _line("rule", "counter"),
                _line("contract", "production_confirmation/1"),
                _line("target", "erp"),
                _line(
                    "fields",
                    {"order": {"const": "ORDER-1"}},
                    "or from context.order: see docs config",
                ),
            ]
    return [
        "# Its events are kept in the ledger and become no document. For one, write a rule of kind",
        "# state or counter and a [[mapping]]: penstock docs config has both.",
    ]


def _line(key: str, value: object, comment: str = "") -> str:
    text = f"{key} = {toml(value)}"
    return f"{text:{COLUMN - 2}}  # {comment}" if comment else text


def toml(value: object) -> str:
    """A value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, (int, float)):
        return repr(value)
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
