"""Answer paths: where in a JSON answer a value stands, as ``data.items.0.number``.

A step of digits is a place in a list. ``header:location`` is a header of the answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from penstock.errors import ConfigError

if TYPE_CHECKING:  # places are read without the client that fetches answers
    from penstock.post.http import Answer

STEPS_MAX: Final = 16
TEXT_CHARS_MAX: Final = 500
_HEADER: Final = re.compile(r"header:([A-Za-z0-9-]{1,64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class AnswerPath:
    """One place in an answer; neither header nor steps: the answer itself."""

    text: str = ""
    header: str = ""
    steps: tuple[str, ...] = ()

    def value(self, body: Any, headers: Mapping[str, str]) -> Any:
        """What stands there, or None."""
        if self.header:
            return headers.get(self.header)
        for step in self.steps:
            if isinstance(body, Mapping):
                body = body.get(step)
            elif isinstance(body, list) and step.isdecimal() and int(step) < len(body):
                body = body[int(step)]
            else:
                return None
        return body

    def string(self, body: Any, headers: Mapping[str, str]) -> str:
        """A text or whole number there, as text; "" where there is none."""
        found = self.value(body, headers)
        is_shown = isinstance(found, (str, int, Decimal)) and not isinstance(found, bool)
        return cut(str(found).strip()) if is_shown else ""


def parse_answer_path(text: str, path: str) -> AnswerPath:
    """The place a text names. ConfigError where it names none."""
    if not text:
        return AnswerPath()
    found = _HEADER.fullmatch(text)
    if found is not None:
        return AnswerPath(text, header=found[1].lower())
    steps = tuple(text.split("."))
    if not all(steps) or len(steps) > STEPS_MAX:
        raise ConfigError(
            path, f"{text!r} is no place in an answer", 'write "data.number" or "header:location"'
        )
    return AnswerPath(text, steps=steps)


def read_json(answer: Answer) -> Any:
    """The body as JSON, exact decimals; None where it is empty or no JSON."""
    try:
        return json.loads(answer.body, parse_float=Decimal) if answer.body.strip() else None
    except (ValueError, RecursionError):
        return None


def shown(body: bytes) -> str:
    """The beginning of a body as one line without its tags."""
    text = re.sub(r"<[^>]*>", " ", body[:2000].decode("utf-8", "replace"))
    return cut(" ".join(text.split()))


def cut(text: str) -> str:
    """At most 500 characters."""
    return text if len(text) <= TEXT_CHARS_MAX else text[: TEXT_CHARS_MAX - 1] + "…"
