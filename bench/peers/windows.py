"""windows: our full work as a Python developer would write it: a dict by name, one limit with its
deadband, one tumbling window of a second. The bytes are those of native/plan.h."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass

SECOND_NS = 1_000_000_000
LIMIT = 90.0
DEADBAND = 5.0
PACKED = struct.Struct("<24xq")  # the header: time0
SAMPLE = struct.Struct("<d")


def decode_packed(payload: bytes) -> tuple[bytes, float, int]:
    end = 34 + payload[33]
    return payload[34:end], SAMPLE.unpack_from(payload, end)[0], PACKED.unpack_from(payload)[0]


def decode_json(payload: bytes) -> tuple[str, float, int]:
    read = json.loads(payload)
    return read["name"], read["value"], read["t"] * 1000


@dataclass(slots=True)
class Tag:
    second: int
    count: int = 0
    total: float = 0.0
    low: float = float("inf")
    high: float = float("-inf")
    is_over: bool = False


class Windows:
    """Keeps what the plan can be compared with: samples, sum of window sums, trips."""

    def __init__(self, form: str) -> None:
        self.decode = decode_json if form == "json" else decode_packed
        self.tags: dict[bytes | str, Tag] = {}
        self.closed = self.samples = self.trips = 0
        self.total = 0.0

    def add(self, payload: bytes) -> None:
        name, value, time_ns = self.decode(payload)
        second = time_ns // SECOND_NS
        tag = self.tags.get(name)
        if tag is None:
            tag = self.tags[name] = Tag(second)
        elif tag.second != second:
            self.close(tag, second)
        tag.count += 1
        tag.total += value
        tag.low = min(tag.low, value)
        tag.high = max(tag.high, value)
        if not tag.is_over and value >= LIMIT:
            tag.is_over = True
            self.trips += 1
        elif tag.is_over and value < LIMIT - DEADBAND:
            tag.is_over = False

    def close(self, tag: Tag, second: int) -> None:
        self.closed += 1
        self.samples += tag.count
        self.total += tag.total
        tag.second, tag.count, tag.total = second, 0, 0.0
        tag.low, tag.high = float("inf"), float("-inf")

    def figures(self) -> dict[str, object]:
        for tag in self.tags.values():
            self.close(tag, tag.second)
        return {"samples": self.samples, "sum": self.total, "trips": self.trips}
