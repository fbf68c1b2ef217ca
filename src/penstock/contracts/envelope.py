"""Envelope: a document and its origin become one CloudEvents 1.0 event in structured JSON, and
back.

CloudEvents 1.0.2, sections "Context Attributes" and "JSON Event Format". Same command, same bytes.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote, urlsplit

from penstock.contracts.values import canonical_json

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
_NAME = re.compile(r"[a-z0-9]+")
_TOKEN = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_PARAMETER = rf"\s*;\s*{_TOKEN}=(?:{_TOKEN}|\"(?:[^\"\\]|\\.)*\")"
_MEDIA_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN}(?:{_PARAMETER})*")
_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt](\d{2}:\d{2}:\d{2})(?:\.\d+)?(?:[Zz]|[+-](\d{2}):(\d{2}))", re.ASCII
)
_REQUIRED = ("specversion", "id", "source", "type")
_INT32 = range(-(2**31), 2**31)


def source_urn(plant: str, enterprise: str = "") -> str:
    """The CloudEvents ``source`` of a plant: ``urn:penstock:enterprise:plant``, or
    ``urn:penstock:plant``.
    """
    return ":".join(
        ["urn:penstock", *(quote(part, safe="") for part in (enterprise, plant) if part)]
    )


def encode_envelope(attributes: Mapping[str, str], data: Mapping[str, object]) -> bytes:
    """One CloudEvent in structured JSON, canonical bytes. ValueError where an attribute breaks
    the specification.
    """
    envelope: dict[str, object] = {
        "specversion": "1.0",
        "datacontenttype": "application/json",
        **attributes,
        "data": dict(data),
    }
    check_envelope(envelope)
    return canonical_json(envelope)


def decode_envelope(payload: bytes | str) -> dict[str, Any]:
    """A structured CloudEvent, checked: its members as they stand, ``data_base64`` decoded into
    ``data`` as bytes.

    Fractions become ``Decimal``, so that a foreign document loses nothing. ValueError where it is
    no CloudEvent.
    """
    try:
        found = json.loads(payload, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as wrong:
        raise ValueError(f"not JSON: {wrong}") from None
    if not isinstance(found, dict):
        raise ValueError("a CloudEvent is a JSON object")
    check_envelope(found)
    if "data_base64" in found:
        found["data"] = base64.b64decode(found.pop("data_base64"), validate=True)
    return found


def check_envelope(envelope: Mapping[str, object]) -> None:
    """Refuses what CloudEvents 1.0 forbids: ValueError names the attribute."""
    for name in _REQUIRED:
        if name not in envelope:
            raise ValueError(f"{name} is missing")
    if envelope["specversion"] != "1.0":
        raise ValueError("specversion must be 1.0")
    for name, value in envelope.items():
        if name not in ("data", "data_base64"):
            _check_attribute(name, value)
    if "data" in envelope and "data_base64" in envelope:
        raise ValueError("data and data_base64 exclude each other")
    _check_base64(envelope.get("data_base64"))


def _check_attribute(name: str, value: object) -> None:
    if not _NAME.fullmatch(name):
        raise ValueError(f"attribute {name!r} must be lower-case letters and digits")
    check = _CHECKS.get(name)
    if check is None:
        if not isinstance(value, (str, bool)) and not (isinstance(value, int) and value in _INT32):
            raise ValueError(f"extension {name} must be a text, a boolean or a 32-bit integer")
        return
    if not isinstance(value, str) or not value:
        raise ValueError(f"{name} must be a text of at least one character")
    if not check(value):
        raise ValueError(f"{name} {value!r} is not valid")


def _check_base64(value: object) -> None:
    if value is None:
        return
    try:
        if not isinstance(value, str):
            raise ValueError("must be a text")
        base64.b64decode(value, validate=True)
    except (ValueError, binascii.Error) as wrong:
        raise ValueError(f"data_base64: {wrong}") from None


def _is_time(text: str) -> bool:
    found = _TIME.fullmatch(text)
    if found is None:
        return False
    hours, minutes = int(found[3] or 0), int(found[4] or 0)
    clock = (
        found[2][:-2] + "59" if found[2].endswith("60") else found[2]
    )  # a leap second is legal in RFC 3339
    try:
        datetime.fromisoformat(f"{found[1]}T{clock}").replace(tzinfo=UTC)
    except ValueError:
        return False
    return hours < 24 and minutes < 60


def _is_uri(text: str) -> bool:
    return _is_uri_reference(text) and bool(urlsplit(text).scheme)


def _is_uri_reference(text: str) -> bool:
    if any(letter <= " " or letter in '<>"{}|\\^`' or ord(letter) > 126 for letter in text):
        return False
    try:
        urlsplit(text)
    except ValueError:
        return False
    return True


def _is_any(text: str) -> bool:
    return True


_CHECKS = {
    "specversion": _is_any,
    "id": _is_any,
    "source": _is_uri_reference,
    "type": _is_any,
    "datacontenttype": lambda text: _MEDIA_TYPE.fullmatch(text) is not None,
    "dataschema": _is_uri,
    "subject": _is_any,
    "time": _is_time,
}


def _refuse_constant(text: str) -> None:
    raise ValueError(f"{text} is not JSON")
