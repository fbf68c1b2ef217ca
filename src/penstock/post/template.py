"""Template: texts with ``{fields}`` of a document become a path, a header or JSON.

A small declared language; nothing is evaluated. ``{order}`` is a member of the document,
``{quantity.value}`` a part of one, ``{key}`` our key. ``{lot?}``: what holds it is left out where
the document has none. ``{quantity.value:number}`` stands alone and becomes a JSON number with
exactly the document's digits. ``{{`` and ``}}`` are braces. Values are escaped by where they
stand: percent-encoded in a path, refused in a header where it cannot hold them, JSON as JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

from penstock.config.forms import describe, suggest
from penstock.config.secret import Secret
from penstock.contracts import CONTRACTS, Contract
from penstock.errors import ConfigError, Permanent
from penstock.post import Document

DEPTH_MAX: Final = 8
NODES_MAX: Final = 1024  # values in one body
_PIECE: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_FIELD: Final = re.compile(r"([a-z][a-z0-9_]*(?:\.[a-z]+)?)(\?)?(:number)?", re.ASCII)
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?", re.ASCII)
_HEADER_VALUE: Final = re.compile(r"[\x20-\x7e]*", re.ASCII)

# What a template may say beside the document's members, and the shape of each.
FACTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "key": "text",  # our key in full, a UUID
        "key16": "text",  # the same in 16 upper-case characters, for text fields
        "digest": "text",  # SHA-256 of contract and document, for a target that keeps it
        "contract": "text",  # production_confirmation/1
        "noun": "text",  # production_confirmation
        "document": "table",  # the whole canonical document
    }
)
LOOK_UP_FACTS: Final[Mapping[str, str]] = MappingProxyType({"key": "text"})
_SHAPES: Final = {"boolean": "boolean", "texts": "list", "quantity": "table"}


class Absent(Exception):
    """The document lacks an optional field: whatever holds the template is left out."""


@dataclass(frozen=True, slots=True)
class Field:
    """One ``{field}``."""

    path: str
    is_optional: bool = False
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class Template:
    """A text with fields, parsed."""

    parts: tuple[str | Field, ...]

    @property
    def fields(self) -> Iterator[Field]:
        """Its fields, in order."""
        return (each for each in self.parts if isinstance(each, Field))

    def fill(self, facts: Mapping[str, Any]) -> str:
        """The text. Raises Absent; Permanent where a field is missing."""
        return "".join(
            each if isinstance(each, str) else _as_text(value_of(each, facts))
            for each in self.parts
        )


def known_fields(contracts: Iterable[Contract] = CONTRACTS.values()) -> dict[str, str]:
    """Every path that documents of these contracts may have, with its shape."""
    found = dict(FACTS)
    for contract in contracts:
        for name, member in contract.members.items():
            found[name] = _SHAPES.get(member.kind, "text")
            if member.kind == "quantity":
                found |= {f"{name}.value": "text", f"{name}.unit": "text"}
    return found


def facts_of(document: Document) -> dict[str, Any]:
    """What the templates of one document are filled with."""
    body = dict(document.body)
    return {
        **body,
        "key": document.command_id,
        "key16": document.key16,
        "digest": document.digest,
        "contract": document.contract,
        "noun": document.contract.partition("/")[0],
        "document": body,
    }


# ---- reading a configuration ---------------------------------------------------------------------


def parse_text(value: object, path: str, known: Mapping[str, str]) -> Template:
    """A template whose fields become text. ConfigError with the place of what is wrong."""
    template = _parse(value, path, known)
    for field in template.fields:
        if field.is_number:
            raise ConfigError(
                path, ":number makes a JSON number, and this is a text", "leave :number out"
            )
        _check_shape(field, path, known)
    return template


def parse_path(value: object, path: str, known: Mapping[str, str]) -> Template:
    """A template of an address below the target's url: ``/orders/{order}/confirmations``."""
    template = parse_text(value, path, known)
    fixed = "".join(each if isinstance(each, str) else "x" for each in template.parts)
    if not fixed.startswith("/") or not re.fullmatch(r"[!-~]+", fixed, re.ASCII) or "#" in fixed:
        raise ConfigError(path, "is no path", 'write "/orders/{order}/confirmations"')
    if any(each in (".", "..") for each in fixed.partition("?")[0].split("/")):
        raise ConfigError(path, "has a segment of dots", "write the path out")
    if any(field.is_optional for field in template.fields):
        raise ConfigError(path, "a path cannot leave a field out", "leave the '?' out")
    return template


def parse_json(value: object, path: str, known: Mapping[str, str]) -> object:
    """A tree of tables, lists and constants whose texts are templates."""
    return _parse_tree(value, path, known, [NODES_MAX], DEPTH_MAX)


def _parse_tree(
    value: object, path: str, known: Mapping[str, str], left: list[int], depth: int
) -> object:
    left[0] -= 1
    if left[0] < 0 or depth < 0:
        raise ConfigError(
            path, "the body is too large", f"at most {NODES_MAX} values, {DEPTH_MAX} deep"
        )
    if isinstance(value, Mapping):
        return {
            name: _parse_tree(each, f"{path}.{name}", known, left, depth - 1)
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [
            _parse_tree(each, f"{path}[{index}]", known, left, depth - 1)
            for index, each in enumerate(value)
        ]
    if isinstance(value, float):  # of tables that were made in Python
        value = Decimal(repr(value))
    if isinstance(value, (bool, int)) or (isinstance(value, Decimal) and value.is_finite()):
        return value
    template = _parse(value, path, known)
    if len(template.parts) > 1:
        for field in template.fields:
            if field.is_number:
                raise ConfigError(path, ":number stands beside other text", "let it stand alone")
            _check_shape(field, path, known)
    return template


def _parse(value: object, path: str, known: Mapping[str, str]) -> Template:
    if isinstance(value, Secret):
        raise ConfigError(
            path, "a secret may not stand here, it would be shown", "use headers or password"
        )
    if not isinstance(value, str):
        raise ConfigError(path, f"must be a text, not {describe(value)}", 'write it in quotes: "…"')
    text = str(value)
    parts: list[str | Field] = []
    end = 0
    for found in _PIECE.finditer(text):
        if found.start() > end:
            parts.append(text[end : found.start()])
        end = found.end()
        if found[0] in ("{{", "}}"):
            parts.append(found[0][0])
        elif found[1] is None:
            raise ConfigError(path, f"a lone {found[0]!r}", "write {field}, or {{ for a brace")
        else:
            parts.append(_parse_field(found[1], path, known))
    if end < len(text):
        parts.append(text[end:])
    return Template(_joined(parts))


def _joined(parts: list[str | Field]) -> tuple[str | Field, ...]:
    """Neighbouring texts as one, so that a lone field is seen to stand alone."""
    found: list[str | Field] = []
    for each in parts:
        if found and isinstance(each, str) and isinstance(found[-1], str):
            found[-1] += each
        else:
            found.append(each)
    return tuple(found)


def _parse_field(text: str, path: str, known: Mapping[str, str]) -> Field:
    found = _FIELD.fullmatch(text)
    if found is None:
        raise ConfigError(
            path, f"{{{text}}} is no field", "write {order}, {lot?} or {quantity.value:number}"
        )
    if found[1] not in known:
        raise ConfigError(path, f"no document has the field {found[1]!r}", suggest(found[1], known))
    return Field(found[1], bool(found[2]), bool(found[3]))


def _check_shape(field: Field, path: str, known: Mapping[str, str]) -> None:
    shape = known[field.path]
    if shape in ("text", "boolean"):
        return
    parts = [each for each in known if each.startswith(f"{field.path}.")]
    fix = f"name {' or '.join(parts)}" if parts else "let it stand alone in a body"
    raise ConfigError(path, f"{{{field.path}}} is a {shape}, and this is a text", fix)


# ---- filling -------------------------------------------------------------------------------------


def value_of(field: Field, facts: Mapping[str, Any]) -> Any:
    """The value of a field. Raises Absent; Permanent where the document lacks a required one."""
    found: Any = facts
    for name in field.path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    if found is None or found == "":
        if field.is_optional:
            raise Absent
        raise Permanent(
            f"the document has no {field.path}, which the target's template asks for",
            category="mapping",
        )
    if not field.is_number:
        return found
    if not isinstance(found, str) or not _NUMBER.fullmatch(found):
        raise Permanent(f"{field.path} {found!r} is no number", category="mapping")
    return Decimal(found)


def fill_path(template: Template, facts: Mapping[str, Any]) -> str:
    """The path, every value percent-encoded, so that none can reach another place."""
    parts = [
        each if isinstance(each, str) else quote(_as_text(value_of(each, facts)), safe="")
        for each in template.parts
    ]
    path = "".join(parts)
    # Dots are never encoded, and a client or server would take them for a step up.
    if any(each in (".", "..") for each in path.partition("?")[0].split("/")):
        raise Permanent(f"{path!r} has a segment of dots", category="mapping")
    return path


def fill_header(template: Template, facts: Mapping[str, Any], name: str) -> str:
    """The value of a header: printable ASCII, for no other means the same to every server."""
    text = template.fill(facts)
    if not _HEADER_VALUE.fullmatch(text):
        raise Permanent(f"the header {name} cannot hold {text!r}", category="mapping")
    return text


def fill_json(tree: object, facts: Mapping[str, Any]) -> Any:
    """The tree with every template filled; what holds an absent field is left out."""
    if isinstance(tree, Template):
        if len(tree.parts) == 1 and isinstance(tree.parts[0], Field):
            return value_of(tree.parts[0], facts)
        return tree.fill(facts)
    if isinstance(tree, Mapping):
        return dict(_present(tree.items(), facts))
    if isinstance(tree, list):
        return [each for _, each in _present(enumerate(tree), facts)]
    return tree


def _present(
    items: Iterable[tuple[Any, object]], facts: Mapping[str, Any]
) -> Iterator[tuple[Any, Any]]:
    for name, each in items:
        try:
            yield name, fill_json(each, facts)
        except Absent:
            continue


def write_json(value: Any) -> str:
    """JSON in the order written; a Decimal keeps all its digits, which a float would not."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, Mapping):
        return (
            f"{{{','.join(f'{_quoted(name)}:{write_json(each)}' for name, each in value.items())}}}"
        )
    if isinstance(value, (list, tuple)):
        return f"[{','.join(map(write_json, value))}]"
    return _quoted(value)


def _quoted(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
