"""Samples: times, values and qualities of one tag become a small blob, and lists again.

Layout 1 is deflated columns, written here. Layout 2 is what the engine writes (native/engine_pack.c
draws it); its reader is here.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from operator import sub
from typing import Final

from penstock.errors import LedgerError

_DEFLATED: Final = 1
_NATIVE: Final = 2
_SCALE_BITS: Final = 255
_HEAD: Final = struct.Struct("<BH")  # layout, samples
_WORD: Final = (1 << 64) - 1

Columns = tuple[list[int], list[float], list[int]]


def pack_samples(time_ns: Sequence[int], values: Sequence[float], quality: Sequence[int]) -> bytes:
    """Samples as a small blob: layout, count, deflated columns of time steps, values, qualities."""
    count = len(time_ns)
    steps = map(sub, time_ns[1:], time_ns)
    columns = _columns(count).pack(*time_ns[:1], *steps, *values, *quality)
    return _HEAD.pack(_DEFLATED, count) + zlib.compress(columns, 1)


def count_samples(blob: bytes) -> int:
    """How many samples are in a blob."""
    return int.from_bytes(blob[1:3], "little")


def unpack_samples(blob: bytes) -> Columns:
    """Time, values and qualities of a blob of either layout. LedgerError for any other bytes."""
    try:
        layout, count = _HEAD.unpack_from(blob)
        if layout == _NATIVE:
            return _Reader(blob).columns(count)
        if layout != _DEFLATED:
            raise LedgerError(f"evidence has layout {layout}, this build reads 1 and 2")
        columns = _columns(count).unpack(zlib.decompress(blob[_HEAD.size :]))
    except (struct.error, zlib.error, IndexError) as wrong:
        raise LedgerError(f"a piece of evidence cannot be read: {wrong}") from wrong
    times = list(accumulate(columns[:count]))
    return times, list(columns[count : 2 * count]), list(columns[2 * count :])


@lru_cache(maxsize=512)
def _columns(count: int) -> struct.Struct:
    return struct.Struct(f"<{count}q{count}d{count}H")


class _Reader:
    def __init__(self, blob: bytes) -> None:
        self._blob = blob
        self._at = _HEAD.size

    def columns(self, count: int) -> Columns:
        if not count:
            return [], [], []
        found = self._times(count), self._values(count), self._quality(count)
        if self._at != len(self._blob):
            raise struct.error(f"{len(self._blob) - self._at} bytes too many")
        return found

    def _times(self, count: int) -> list[int]:
        times = [self._take(8)]
        step = 0
        for _ in range(count - 1):
            step += self._signed()
            times.append(times[-1] + step)
        return [_as_i64(each) for each in times]

    def _values(self, count: int) -> list[float]:
        scale = self._take(1)
        if scale != _SCALE_BITS:
            numbers = accumulate(self._signed() for _ in range(count))
            return [_as_i64(each) / 10**scale for each in numbers]
        bits, values = 0, []
        for _ in range(count):
            shape = self._take(1)
            lead, trail = shape >> 4, shape & 15
            if lead + trail > 8:
                raise struct.error("a value of more than eight bytes")
            bits ^= self._take(8 - lead - trail) << (8 * trail)
            values.append(struct.unpack("<d", struct.pack("<Q", bits))[0])
        return values

    def _quality(self, count: int) -> list[int]:
        found: list[int] = []
        while len(found) < count:
            run = self._varint()
            if not 0 < run <= count - len(found):
                raise struct.error(f"a run of {run} qualities")
            found += [self._take(2)] * run
        return found

    def _take(self, size: int) -> int:
        part = self._blob[self._at : self._at + size]
        if len(part) < size:
            raise struct.error("it ends too early")
        self._at += size
        return int.from_bytes(part, "little")

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._blob[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
            if shift > 63:
                raise struct.error("a number of more than ten bytes")

    def _signed(self) -> int:
        value = self._varint()
        return value >> 1 ^ -(value & 1)


def _as_i64(value: int) -> int:
    value &= _WORD
    return value - (1 << 64) if value >> 63 else value
