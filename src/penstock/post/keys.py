"""Keys: a target's kind becomes the keys that it has, needs and has no use for.

Opens no module that talks to a server, so that it is known without the extra of a kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from penstock import config
from penstock.config import forms
from penstock.errors import ConfigError
from penstock.post import Options
from penstock.post.memory import MemoryOptions
from penstock.post.rest_plan import RestOptions


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys of one kind: its own, and which of the common ones it must or must not have."""

    options: type[Options]
    required: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


_CONTEXT: Final = ("context", "context_every_s")
KEYS: Final[Mapping[str, Keys]] = MappingProxyType(
    {
        "tryton": Keys(Options, required=("url", "database", "user", "password")),
        "rest": Keys(RestOptions, required=("url",), refused=("database", *_CONTEXT)),
        "memory": Keys(MemoryOptions, refused=("url", "database", "user", "password", *_CONTEXT)),
    }
)
_FIXES: Final = MappingProxyType(
    {"url": 'write "https://host/api"', "password": 'write "${secret:NAME}"'}
)


def check_keys(target: config.Target, path: str) -> None:
    """ConfigError with every key that the target's kind does not have, or lacks."""
    keys, problems = KEYS[target.kind], forms.Problems()
    for key in target.options:
        owners = [kind for kind, each in KEYS.items() if key in forms.known_fields(each.options)]
        if owners and target.kind not in owners:
            reason = f"is no key of a {target.kind} target"
            fix = f"it belongs to {', '.join(owners)}"
            problems.append(ConfigError(f"{path}.{key}", reason, fix))
    for key in keys.refused:
        if key in target.options or getattr(target, key, None):
            reason = f"means nothing to a {target.kind} target"
            problems.append(ConfigError(f"{path}.{key}", reason, "leave it out"))
    for key in keys.required:
        if not getattr(target, key):
            reason = f"is required for a {target.kind} target"
            problems.append(ConfigError(f"{path}.{key}", reason, _FIXES.get(key, "name it")))
    if problems:
        raise problems[0] if len(problems) == 1 else config.ConfigErrors(tuple(problems))
