"""Forms: each kind of configuration value, said once: how it is read, and how the JSON Schema
tells it to an editor.

``read`` returns the value of the model or raises ConfigError; a form of many values adds each
failure to ``problems``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields
from decimal import Decimal, InvalidOperation
from difflib import get_close_matches
from typing import Any, Protocol, cast

from penstock.config.secret import Secret, Substituted
from penstock.errors import ConfigError

Problems = list[ConfigError]
Schema = dict[str, Any]

_SIZE = re.compile(r"([0-9]+)\s*(B|KiB|MiB|GiB|KB|MB|GB)?")
_SIZE_UNITS = {
    None: 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
    "KB": 10**3, "MB": 10**6, "GB": 10**9,
}  # fmt: skip
_REFERENCE_SCHEMA = {
    "type": "string",
    "pattern": r"^\$\{.*\}$",
    "description": "A reference such as ${VAR:-1}.",
}


class Reported(Exception):
    """A value cannot be read, and every reason is among the problems already."""


class Form(Protocol):
    """How one kind of value is read and described."""

    def read(self, value: object, path: str, problems: Problems) -> object:
        """The model's value; ConfigError where there is none, Reported where the reasons are in
        ``problems``.
        """

    def schema(self) -> Schema:
        """JSON Schema 2020-12 of what may be written."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text of a bounded number of UTF-8 bytes with no control character."""

    bytes_max: int
    pattern: str = ""
    pattern_help: str = ""
    bytes_min: int = 1

    def read(self, value: object, path: str, problems: Problems) -> str:
        """The text."""
        text = read_text(value, path)
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > self.bytes_max:
            raise ConfigError(
                path, f"{size} bytes of UTF-8 are too long", f"at most {self.bytes_max}"
            )
        if size < self.bytes_min:
            raise ConfigError(path, "must not be empty", "write a text, or leave the key out")
        if any(
            ord(letter) < 32 or ord(letter) == 127 or 0xD800 <= ord(letter) < 0xE000
            for letter in text
        ):
            raise ConfigError(path, "contains a control character", "use printable characters")
        if self.pattern and not re.search(self.pattern, text):
            raise ConfigError(path, f"{text!r} is not valid", self.pattern_help)
        return text

    def schema(self) -> Schema:
        """A string; its bytes are bounded, so its characters are."""
        found: Schema = {"type": "string", "maxLength": self.bytes_max}
        if self.bytes_min:
            found["minLength"] = self.bytes_min
        return found


@dataclass(frozen=True, slots=True)
class TagPattern(Text):
    """A tag or asset name in which at most one ``*`` stands for any text."""

    def read(self, value: object, path: str, problems: Problems) -> str:
        """The pattern."""
        text = Text.read(self, value, path, problems)
        if text.count("*") > 1:
            raise ConfigError(
                path, f"{text!r} has more than one '*'", "use one '*', or one rule for each"
            )
        return text

    def schema(self) -> Schema:
        """A string with at most one star."""
        return {**Text.schema(self), "pattern": r"^[^*]*\*?[^*]*$"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def read(self, value: object, path: str, problems: Problems) -> str:
        """The word."""
        text = read_text(value, path)
        if text not in self.words:
            raise ConfigError(path, f"{text!r} is not known", suggest(text, self.words))
        return text

    def schema(self) -> Schema:
        """An enumeration."""
        return {"enum": list(self.words)}


@dataclass(frozen=True, slots=True)
class Integer:
    """A whole number within bounds; ``is_power`` asks for a power of two."""

    low: int
    high: int
    is_power: bool = False

    def read(self, value: object, path: str, problems: Problems) -> int:
        """The number."""
        if isinstance(value, Substituted) and re.fullmatch(r"[+-]?[0-9]{1,19}", value, re.ASCII):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise ConfigError(
                path, f"must be a whole number, not {describe(value)}", "write it without quotes"
            )
        if not self.low <= value <= self.high:
            raise ConfigError(path, f"{value} is out of bounds", f"{self.low} to {self.high}")
        if self.is_power and value & (value - 1):
            below = 1 << (value.bit_length() - 1)
            raise ConfigError(
                path, f"{value} is not a power of two", f"take {below} or {below * 2}"
            )
        return value

    def schema(self) -> Schema:
        """An integer with bounds, or a reference."""
        return {
            "anyOf": [
                {"type": "integer", "minimum": self.low, "maximum": self.high},
                _REFERENCE_SCHEMA,
            ]
        }


@dataclass(frozen=True, slots=True)
class Number:
    """A finite number within bounds."""

    low: float = -1e300
    high: float = 1e300
    is_above_low: bool = False  # low itself is refused

    def read(self, value: object, path: str, problems: Problems) -> float:
        """The number as a double."""
        number = read_number(value, path)
        if not self.low <= number <= self.high or (self.is_above_low and number == self.low):
            bounds = f"{'above ' if self.is_above_low else ''}{self.low:g} to {self.high:g}"
            raise ConfigError(path, f"{number:g} is out of bounds", bounds)
        return number

    def schema(self) -> Schema:
        """A number with bounds, or a reference."""
        low = "exclusiveMinimum" if self.is_above_low else "minimum"
        return {
            "anyOf": [{"type": "number", low: self.low, "maximum": self.high}, _REFERENCE_SCHEMA]
        }


@dataclass(frozen=True, slots=True)
class Boolean:
    """true or false."""

    def read(self, value: object, path: str, problems: Problems) -> bool:
        """The boolean."""
        if isinstance(value, Substituted) and value in ("true", "false"):
            return value == "true"
        if not isinstance(value, bool):
            raise ConfigError(
                path, f"must be true or false, not {describe(value)}", "write true or false"
            )
        return value

    def schema(self) -> Schema:
        """A boolean, or a reference."""
        return {"anyOf": [{"type": "boolean"}, _REFERENCE_SCHEMA]}


@dataclass(frozen=True, slots=True)
class Size:
    """A number of bytes: an integer, or a text such as ``"64MiB"``."""

    low: int
    high: int
    is_power: bool = False

    def read(self, value: object, path: str, problems: Problems) -> int:
        """The bytes."""
        if isinstance(value, str):
            found = _SIZE.fullmatch(value)
            if found is None or len(found[1]) > 15:
                raise ConfigError(
                    path, f"{value!r} is no size", 'write bytes, or a text such as "64MiB"'
                )
            value = int(found[1]) * _SIZE_UNITS[found[2]]
        return Integer(self.low, self.high, self.is_power).read(value, path, problems)

    def schema(self) -> Schema:
        """An integer, or a text."""
        text = {"type": "string", "pattern": r"^([0-9]+\s*(B|KiB|MiB|GiB|KB|MB|GB)?|\$\{.*\})$"}
        return {"anyOf": [{"type": "integer", "minimum": self.low, "maximum": self.high}, text]}


@dataclass(frozen=True, slots=True)
class Hidden:
    """A text that must not be shown."""

    bytes_max: int

    def read(self, value: object, path: str, problems: Problems) -> Secret:
        """The secret."""
        text = value.reveal() if isinstance(value, Secret) else value
        if not isinstance(text, str):
            raise ConfigError(path, "must be a text", 'write "${secret:NAME}"')
        if len(text.encode("utf-8", "surrogatepass")) > self.bytes_max or "\0" in text:
            raise ConfigError(
                path,
                "the secret is too long or holds a zero byte",
                f"at most {self.bytes_max} bytes",
            )
        return Secret(text)

    def schema(self) -> Schema:
        """A string."""
        return {"type": "string", "maxLength": self.bytes_max}


@dataclass(frozen=True, slots=True)
class Listed:
    """A list of values of one form, without repeats."""

    item: Form
    count_max: int
    count_min: int = 0

    def read(self, value: object, path: str, problems: Problems) -> tuple[object, ...]:
        """The values, each failure of one added to ``problems``."""
        if not isinstance(value, list):
            raise ConfigError(path, f"must be a list, not {describe(value)}", "write [ ... ]")
        if not self.count_min <= len(value) <= self.count_max:
            raise ConfigError(
                path, f"has {len(value)} items", f"{self.count_min} to {self.count_max}"
            )
        found: list[object] = []
        for index, each in enumerate(value):
            try:
                item = self.item.read(each, f"{path}[{index}]", problems)
                if item in found:
                    raise ConfigError(
                        f"{path}[{index}]", f"{each!r} is there twice", "leave one out"
                    )
                found.append(item)
            except ConfigError as wrong:
                problems.append(wrong)
            except Reported:
                continue
        return tuple(found)

    def schema(self) -> Schema:
        """An array."""
        found: Schema = {"type": "array", "items": self.item.schema(), "maxItems": self.count_max}
        if self.count_min:
            found["minItems"] = self.count_min
        return found


@dataclass(frozen=True, slots=True)
class OneOf:
    """The first form that can read the value; the second where the value is a ``shape``."""

    plain: Form
    other: Form
    shape: type[Any]

    def read(self, value: object, path: str, problems: Problems) -> object:
        """The value of whichever form fits its shape."""
        return (self.other if isinstance(value, self.shape) else self.plain).read(
            value, path, problems
        )

    def schema(self) -> Schema:
        """Either."""
        return {"anyOf": [self.plain.schema(), self.other.schema()]}


@dataclass(frozen=True, slots=True)
class Named:
    """A table whose keys are free texts of one form and whose values are of another."""

    key: Text
    value: Form
    count_max: int

    def read(self, value: object, path: str, problems: Problems) -> tuple[tuple[str, object], ...]:
        """Pairs in the order written."""
        if not isinstance(value, dict):
            raise ConfigError(
                path, f"must be a table, not {describe(value)}", "write { name = ... }"
            )
        if len(value) > self.count_max:
            raise ConfigError(path, f"has {len(value)} keys", f"at most {self.count_max}")
        found: list[tuple[str, object]] = []
        for key, each in value.items():
            try:
                name = self.key.read(key, f"{path}.{key}", problems)
                found.append((name, self.value.read(each, f"{path}.{key}", problems)))
            except ConfigError as wrong:
                problems.append(wrong)
            except Reported:
                continue
        return tuple(found)

    def schema(self) -> Schema:
        """An object with free keys."""
        return {"type": "object", "additionalProperties": self.value.schema()}


@dataclass(frozen=True, slots=True)
class Constant:
    """A text, whole number, exact decimal or boolean, kept as written."""

    def read(self, value: object, path: str, problems: Problems) -> str | int | Decimal | bool:
        """The value; a decimal stays exact."""
        if isinstance(value, (str, bool, int, Decimal)):
            return str(value) if isinstance(value, Substituted) else value
        raise ConfigError(path, f"must be a text, a number or a boolean, not {describe(value)}")

    def schema(self) -> Schema:
        """A scalar."""
        return {"type": ["string", "number", "boolean"]}


@dataclass(frozen=True, slots=True)
class Table:
    """A table that becomes a model class."""

    model: type[Any]
    is_open: bool = False  # unknown keys are kept in the model's ``options``

    def read(self, value: object, path: str, problems: Problems) -> object:
        """The model; ConfigError where it is no table, Reported where its reasons are in
        ``problems``.
        """
        if not isinstance(value, dict):
            raise ConfigError(
                path, f"must be a table, not {describe(value)}", "write { key = ... }"
            )
        found = read_table(self.model, value, path, problems, is_open=self.is_open)
        if found is None:
            raise Reported
        return found

    def schema(self) -> Schema:
        """An object with exactly the model's keys."""
        return table_schema(self.model, is_open=self.is_open)


def key_of(each: Field[Any]) -> str:
    """The TOML key of a model's field."""
    return str(each.metadata.get("key") or each.name)


def known_fields(model: type[Any]) -> dict[str, Field[Any]]:
    """TOML key to field, of all fields that a file may set."""
    return {key_of(each): each for each in fields(model) if "form" in each.metadata}


def read_table(
    model: type[Any],
    raw: Mapping[str, object],
    path: str,
    problems: Problems,
    *,
    is_open: bool = False,
) -> Any | None:
    """The model of a table, every reason against it added to ``problems``; None where a value
    cannot be read.

    With unknown keys alone the model is still given, so that the checks that follow can say what
    else is wrong.
    """
    known = known_fields(model)
    is_whole = True
    count = len(problems)
    values: dict[str, object] = {}
    extra: dict[str, object] = {}
    for key, value in raw.items():
        if key not in known:
            extra[key] = value
            continue
        try:
            values[known[key].name] = cast(Form, known[key].metadata["form"]).read(
                value, f"{path}.{key}", problems
            )
        except ConfigError as wrong:
            problems.append(wrong)
        except Reported:
            is_whole = False
    for key, each in known.items():
        if each.default is MISSING and each.default_factory is MISSING and key not in raw:
            problems.append(ConfigError(f"{path}.{key}", "is required", str(each.metadata["help"])))
    is_whole = is_whole and len(problems) == count
    if not is_open:
        for key in extra:
            problems.append(ConfigError(f"{path}.{key}", "is not a known key", suggest(key, known)))
    if not is_whole:
        return None
    return model(**values, **({"options": extra} if is_open else {}))


def table_schema(model: type[Any], *, is_open: bool = False) -> Schema:
    """JSON Schema of a model's table."""
    properties: Schema = {}
    required: list[str] = []
    for key, each in known_fields(model).items():
        shape = cast(Form, each.metadata["form"]).schema()
        properties[key] = {"description": each.metadata["help"], **shape}
        if each.default is MISSING and each.default_factory is MISSING:
            required.append(key)
        elif isinstance(each.default, (str, int, float, bool)) and each.default != "":
            properties[key]["default"] = each.default
    found: Schema = {"type": "object", "additionalProperties": is_open, "properties": properties}
    return {**found, "required": required} if required else found


def read_text(value: object, path: str) -> str:
    """A plain text; a secret is refused, for it would be shown."""
    if isinstance(value, Secret):
        raise ConfigError(
            path, "a secret may not stand here, it would be shown", "use user, password or token"
        )
    if not isinstance(value, str):
        raise ConfigError(
            path, f"must be a text, not {describe(value)}", 'write it in quotes: "..."'
        )
    return str(value)


def read_number(value: object, path: str) -> float:
    """A finite double of an integer, decimal, or substituted text."""
    if isinstance(value, Substituted):
        try:
            value = Decimal(value)
        except InvalidOperation:
            raise ConfigError(
                path, f"{value!r} is no number", "set the variable to a number"
            ) from None
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise ConfigError(
            path, f"must be a number, not {describe(value)}", "write it without quotes"
        )
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ConfigError(path, "is not a finite number", "write a plain number")
    return number


def suggest(word: str, known: Sequence[str] | Mapping[str, object]) -> str:
    """What the person may have meant, else all that is possible."""
    words = list(known)
    close = get_close_matches(word, words, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(words)}" if len(words) <= 30 else ""


def describe(value: object) -> str:
    """A value's kind in TOML's words, never the value of a secret."""
    if isinstance(value, Secret):
        return "a secret"
    names: tuple[tuple[type[Any], str], ...] = (
        (bool, "a boolean"),
        (str, "a text"),
        (int, "a whole number"),
        (Decimal, "a number"),
        (float, "a number"),
        (list, "a list"),
        (dict, "a table"),
    )
    return next((name for kind, name in names if isinstance(value, kind)), "a date or time")
