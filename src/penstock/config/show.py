"""Show: a Config becomes TOML or plain data again, defaults included, secrets as ``***``."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import is_dataclass
from decimal import Decimal
from typing import Any

from penstock.config.check_window import WINDOW_KEYS
from penstock.config.forms import known_fields
from penstock.config.model import Config, Target
from penstock.config.secret import Secret

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def to_plain(config: Config) -> dict[str, Any]:
    """The configuration as tables and lists under the keys of a file, ready for JSON; a decimal
    is its text.
    """
    return {
        "plant": _table(config.plant),
        "engine": _table(config.engine),
        **({"ops": _table(config.ops)} if config.ops.listen else {}),
        "source": [_table(each) for each in config.sources],
        "rule": [_table(each) for each in config.rules],
        "target": [_table(each) for each in config.targets],
        "mapping": [_table(each) for each in config.mappings],
    }


def to_toml(config: Config) -> str:
    """The configuration as a TOML file that means the same, but for secrets, which are ``***``."""
    lines: list[str] = []
    for section, value in to_plain(config).items():
        for table in value if isinstance(value, list) else [value]:
            lines.append(f"[[{section}]]" if isinstance(value, list) else f"[{section}]")
            lines += [f"{_name(key)} = {_write(each)}" for key, each in table.items()]
            lines.append("")
    return "\n".join(lines)


def _table(model: Any) -> dict[str, Any]:
    """Every key that is set or has a default that means something; "" and empty lists are as good
    as absent.
    """
    found: dict[str, Any] = {}
    for key, field in known_fields(type(model)).items():
        value = getattr(model, field.name)
        is_kept_empty = key in ("cut_on", "hold_if_flags", "const")
        if value is None or (not is_kept_empty and value in ("", (), Secret(""))):
            continue
        if key in ("ring_bytes", *WINDOW_KEYS) and value == 0:
            continue
        if key == "session_max_s" and not model.session_gap_s:
            continue
        if key in ("cut_on",) and model.kind not in ("counter", "total", "window"):
            continue
        found[key] = _plain(value)
    if isinstance(model, Target):
        found |= {key: _plain(value) for key, value in model.options.items()}
    return _without_foreign(model, found)


def _without_foreign(model: Any, found: dict[str, Any]) -> dict[str, Any]:
    """A rule's keys that its kind allows: a default of another kind would be refused."""
    from penstock.config.check import RULE_KEYS
    from penstock.config.model import Rule

    if not isinstance(model, Rule):
        return found
    return {key: value for key, value in found.items() if key in RULE_KEYS[model.kind]}


def _plain(value: object) -> Any:
    if isinstance(value, Secret):
        return "***"
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if is_dataclass(value):
        return _table(value)
    if isinstance(value, (tuple, list)):
        is_pairs = bool(value) and all(isinstance(each, tuple) for each in value)
        return (
            {key: _plain(each) for key, each in value}
            if is_pairs
            else [_plain(each) for each in value]
        )
    return value


def _write(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return (
            "{ " + ", ".join(f"{_name(key)} = {_write(each)}" for key, each in value.items()) + " }"
        )
    if isinstance(value, list):
        return "[" + ", ".join(_write(each) for each in value) + "]"
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    if isinstance(value, Decimal):
        text = format(value, "f")
        return text if "." in text else f"{text}.0"
    if isinstance(value, int):
        return str(value)
    return _text(str(value))


def _name(key: str) -> str:
    return key if _BARE.fullmatch(key) else _text(key)


def _text(text: str) -> str:
    """A TOML basic string; ``${`` is escaped, so that what came from a reference stays text."""
    quoted = json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
    return quoted.replace("${", "$${")
