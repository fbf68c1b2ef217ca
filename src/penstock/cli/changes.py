"""Changes: two configurations become the keys in which they mean something else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from penstock.config import Config
from penstock.config.show import to_plain

# What a change leads to that nobody would guess; the first that fits.
_NOTES: Final = tuple(
    (re.compile(pattern), note)
    for pattern, note in (
        (r"plant\.name", "every event gets another identity; needs a new state_dir"),
        (r"rule\[.*\]\.series", "a new series: its events get other ids"),
        (r"rule\[.*\]", "takes force by reload; its registers go on"),
        (
            r"mapping\[[^]]*\]$",
            "its documents get other keys: what was posted is not known by them",
        ),
        (r"(source|target)\[.*\]|engine\.", "takes force when the process starts again"),
    )
)


@dataclass(frozen=True, slots=True)
class Change:
    """One key; ``old`` or ``new`` is None where it is not there."""

    path: str
    old: Any
    new: Any
    note: str = ""

    def __str__(self) -> str:
        note = f"  ({self.note})" if self.note else ""
        if self.old is None:
            return f"+ {self.path} = {_shown(self.new)}{note}"
        if self.new is None:
            return f"- {self.path} = {_shown(self.old)}{note}"
        return f"~ {self.path}: {_shown(self.old)} -> {_shown(self.new)}{note}"


def changes_of(old: Config, new: Config) -> list[Change]:
    """Every difference, in the order of a file. Secrets are ``***`` in both and never differ."""
    return list(_compare("", _named(to_plain(old)), _named(to_plain(new))))


def _named(plain: Mapping[str, Any]) -> dict[str, Any]:
    """Lists of named tables as tables: their order means nothing."""
    found: dict[str, Any] = {}
    for section, value in plain.items():
        if isinstance(value, list):
            found |= {f"{section}[{each['name']}]": each for each in value}
        else:
            found[section] = value
    return found


def _compare(path: str, old: Any, new: Any) -> Iterator[Change]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in dict.fromkeys([*old, *new]):
            yield from _compare(f"{path}.{key}" if path else key, old.get(key), new.get(key))
    elif old != new:
        yield Change(path, old, new, _note(path))


def _note(path: str) -> str:
    return next((note for pattern, note in _NOTES if pattern.match(path)), "")


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= 100 else f"{text[:99]}…"
