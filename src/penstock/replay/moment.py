"""Moment: a time as people and machines write it becomes nanoseconds since 1970 UTC.

ISO 8601 with or without an offset, ``day.month.year`` with a clock time, or an epoch number whose
unit is judged by its size, as JSON payloads are read. A time without an offset is local.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

NS: Final = 1_000_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ISO: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9})\d*)?)?)?"
    r"\s*(Z|z|UTC|[+-]\d\d:?\d\d)?",
    re.ASCII,
)
_DOTTED: Final = re.compile(
    r"(\d{1,2})\.(\d{1,2})\.(\d{4})(?:[T ,]\s*(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d{1,9})\d*)?)?)?",
    re.ASCII,
)
_NUMBER: Final = re.compile(r"-?\d+(?:[.,]\d+)?", re.ASCII)
# Below which size of a number it is in this unit: s, ms, us; else ns.
_UNITS: Final = ((10**11, NS), (10**14, 10**6), (10**17, 10**3))
_I64: Final = 1 << 63


class NoTime(ValueError):
    """A text that is no time; the reason says why."""


class Clock:
    """Reads times of one file: one zone, and which of two equal local times in autumn is meant.

    The hour that comes twice is told apart by the row before: the nearer of the two is taken, the
    first where there is no row before.
    """

    def __init__(self, zone: ZoneInfo, form: str = "") -> None:
        self._zone = zone
        self._form = form
        self._last_ns: int | None = None
        self.locals = 0  # times without an offset
        self.twice = 0  # of these: such that came twice

    def read(self, text: str) -> int:
        """Nanoseconds of a text. NoTime where it is none."""
        found = self._read(text.strip())
        if not -_I64 < found < _I64:
            raise NoTime("is outside 1677 to 2262")
        self._last_ns = found
        return found

    def _read(self, text: str) -> int:
        if self._form:
            return self._declared(text)
        if found := _ISO.fullmatch(text):
            year, month, day, hour, minute, second, part, offset = found.groups()
            fields = year, month, day, hour, minute, second
            return self._whole(fields, part, offset)
        if found := _DOTTED.fullmatch(text):
            day, month, year, hour, minute, second, part = found.groups()
            return self._whole((year, month, day, hour, minute, second), part, None)
        if _NUMBER.fullmatch(text):
            return _epoch(text)
        raise NoTime("is no time")

    def _declared(self, text: str) -> int:
        try:
            moment = datetime.strptime(text, self._form)  # noqa: DTZ007 - the zone follows
        except ValueError:
            raise NoTime(f"is no time of the form {self._form}") from None
        if moment.tzinfo is not None:
            return (moment - _EPOCH) // timedelta(microseconds=1) * 1000
        whole = moment.replace(microsecond=0)
        return self._local(whole) + moment.microsecond * 1000

    def _whole(self, fields: tuple[str | None, ...], part: str | None, offset: str | None) -> int:
        try:
            year, month, day, hour, minute, second = (int(each or 0) for each in fields)
            moment = datetime(year, month, day, hour, minute, second)  # noqa: DTZ001
        except ValueError as wrong:
            raise NoTime(f"is no time ({wrong})") from None
        rest_ns = int((part or "").ljust(9, "0"))
        if offset is None:
            return self._local(moment) + rest_ns
        seconds = (moment.replace(tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)
        return (seconds - _offset_s(offset)) * NS + rest_ns

    def _local(self, moment: datetime) -> int:
        self.locals += 1
        first, second = _instants(self._zone, moment)
        if first is None:
            raise NoTime(f"does not exist in {self._zone.key}: the clocks went forward over it")
        if second is None:
            return first
        self.twice += 1
        last_ns = self._last_ns
        is_second = last_ns is not None and abs(second - last_ns) < abs(first - last_ns)
        return second if is_second else first


@lru_cache(maxsize=4096)
def _instants(zone: ZoneInfo, moment: datetime) -> tuple[int | None, int | None]:
    """The instants that a clock on the wall showed this time at: none, one or two."""
    found: list[int] = []
    for fold in (0, 1):
        there = moment.replace(tzinfo=zone, fold=fold)
        instant = there.astimezone(UTC)
        if instant.astimezone(zone).replace(tzinfo=None) == moment:
            found.append((instant - _EPOCH) // timedelta(seconds=1) * NS)
    distinct = sorted(set(found))
    return (distinct[0] if distinct else None), (distinct[1] if len(distinct) > 1 else None)


def _offset_s(text: str) -> int:
    if text in ("Z", "z", "UTC"):
        return 0
    digits = text[1:].replace(":", "")
    seconds = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    return -seconds if text[0] == "-" else seconds


def _epoch(text: str) -> int:
    number = Decimal(text.replace(",", "."))
    for below, unit in _UNITS:
        if abs(number) < below:
            return int(number * unit)
    return int(number)


def short_time(time_ns: int) -> str:
    """RFC 3339 in UTC, exact, without trailing zeros."""
    seconds, rest_ns = divmod(time_ns, NS)
    moment = _EPOCH + timedelta(seconds=seconds)
    part = f".{rest_ns:09d}".rstrip("0") if rest_ns else ""
    return f"{moment:%Y-%m-%dT%H:%M:%S}{part}Z"


def is_time(text: str, read: Callable[[str], int] | None = None) -> bool:
    """Whether a cell of a file would do as a time. A plain number is one only above 1e8."""
    try:
        found = (read or Clock(ZoneInfo("UTC")).read)(text)
    except NoTime:
        return False
    return not _NUMBER.fullmatch(text.strip()) or abs(found) >= 10**8 * NS
