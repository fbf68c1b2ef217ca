"""Values of a document: Python values become the texts of the canonical form and back, without
loss.

Canonical form: quantities are ``{"unit": Rec 20 code, "value": exact decimal text}``, times RFC
3339 in UTC with ``Z`` and nine decimals, dates ISO 8601; JSON with sorted keys, no spaces, UTF-8
and no number that is not an integer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from penstock import units

_NS_PER_S = 1_000_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME = re.compile(r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})\.(\d{9})Z", re.ASCII)
DECIMAL_PATTERN = r"^-?(0|[1-9][0-9]*)(\.[0-9]*[1-9])?$"
TIME_PATTERN = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{9}Z$"
UNIT_PATTERN = r"^[0-9A-Z]{2,3}$"


@dataclass(frozen=True, slots=True)
class Quantity:
    """An exact number with its unit (UN/ECE Rec 20). ``value`` is finite; equal values have equal
    canonical texts.
    """

    value: Decimal
    unit: str

    def to_body(self) -> dict[str, str]:
        """The canonical form."""
        return {"unit": self.unit, "value": units.to_text(Fraction(self.value))}


def read_quantity(value: object) -> Quantity:
    """A quantity in canonical form. ValueError where it is not one."""
    if not isinstance(value, Mapping) or set(value) != {"unit", "value"}:
        raise ValueError("a quantity has exactly unit and value")
    number, unit = value["value"], value["unit"]
    if (
        not isinstance(number, str)
        or not re.search(DECIMAL_PATTERN, number, re.ASCII)
        or number == "-0"
    ):
        raise ValueError("value must be a plain decimal text without exponent or trailing zeros")
    if not isinstance(unit, str) or units.find(unit) is None:
        raise ValueError("unit must be a known UN/ECE Rec 20 code")
    return Quantity(Decimal(number), unit)


def time_text(time_ns: int) -> str:
    """RFC 3339 in UTC with nine decimals."""
    seconds, rest_ns = divmod(time_ns, _NS_PER_S)
    moment = _EPOCH + timedelta(seconds=seconds)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest_ns:09d}Z"


def read_time(value: object) -> int:
    """Nanoseconds since 1970 UTC of a time in canonical form. ValueError where it is not one."""
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError("a time is RFC 3339 in UTC with nine decimals and Z")
    moment = datetime.fromisoformat(found[1]).replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(seconds=1) * _NS_PER_S + int(found[2])


def read_date(value: object) -> date:
    """A date in canonical form (``2026-11-23``). ValueError where it is not one."""
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", value, re.ASCII):
        raise ValueError("a date is YYYY-MM-DD")
    return date.fromisoformat(value)


def canonical_json(value: object) -> bytes:
    """The one JSON of a value: same value, same bytes. TypeError for a float: no binary number
    enters a document.
    """
    _refuse_floats(value)
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode(
        "utf-8"
    )


def _refuse_floats(value: object) -> None:
    if isinstance(value, float):
        raise TypeError(f"a binary float ({value!r}) may not stand in a document")
    if isinstance(value, Mapping):
        for each in value.values():
            _refuse_floats(each)
    elif isinstance(value, (list, tuple)):
        for each in value:
            _refuse_floats(each)
