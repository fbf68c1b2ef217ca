"""Feed: the records an engine journals, as far as rules can see them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Value = float | int | str  # f64 tag; i64 and bool tag; code tag

QUALITY_GOOD = 0
QUALITY_UNCERTAIN = 0x4000
QUALITY_BAD = 0x8000
_QUALITY_MASK = 0xC000  # OPC UA StatusCode, the upper half: its top two bits


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading as sent; without a stamp the receive time stands in."""

    tag: str
    time_ns: int | None
    value: Value
    quality: int = QUALITY_GOOD

    @property
    def is_bad(self) -> bool:
        """Top two bits 10."""
        return self.quality & _QUALITY_MASK == QUALITY_BAD

    @property
    def is_uncertain(self) -> bool:
        """Top two bits 01: judged like a good one, and said so."""
        return self.quality & _QUALITY_MASK == QUALITY_UNCERTAIN

    @property
    def is_nan(self) -> bool:
        """Not a finite number: never journaled."""
        return isinstance(self.value, float) and not math.isfinite(self.value)


@dataclass(frozen=True, slots=True)
class Receive:
    """Samples of one stream of one source that came at one engine time. ``lost``: how many of
    the stream did not come before them, by its numbers.
    """

    recv_time_ns: int
    source: str
    samples: tuple[Sample, ...]
    stream: int = 0
    lost: int = 0


@dataclass(frozen=True, slots=True)
class Tick:
    """Engine time passed and nothing came."""

    now_ns: int


@dataclass(frozen=True, slots=True)
class Operate:
    """A person acknowledges, shelves, unshelves or resets one alarm; ``at_ns`` is engine time."""

    action: str
    rule: str
    tag: str
    by: str = "uid:1000"
    until_ns: int | None = None
    at_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """What runs at an asset from a time on (None: now); what is not named stays."""

    asset: str
    values: Mapping[str, str]
    at_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Reload:
    """From here on another configuration's rules."""

    config: Mapping[str, Any] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Restart:
    """The process ends, by ``close`` or by ``kill``, and another goes on: all sources were down."""

    how: str = "close"


@dataclass(slots=True)
class Gap:
    """A source was down: a stream's stamps from its newest before to its first behind."""

    start_ns: int
    end_ns: int | None = None  # nothing has come yet

    def reaches_into(self, after_ns: int, before_ns: int) -> bool:
        """Whether a part of it lies between the two."""
        is_ended = self.end_ns is not None and self.end_ns <= after_ns
        return self.start_ns < before_ns and not is_ended


Record = Receive | Tick | Operate | Context | Reload | Restart
