"""Feed: the records an engine journals, as far as rules can see them."""

from __future__ import annotations

from dataclasses import dataclass

Value = float | int | str  # f64 tag; i64 and bool tag; code tag

QUALITY_GOOD = 0
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


@dataclass(frozen=True, slots=True)
class Receive:
    """Samples of one stream of one source that came at one engine time."""

    recv_time_ns: int
    source: str
    samples: tuple[Sample, ...]
    stream: int = 0


@dataclass(frozen=True, slots=True)
class Tick:
    """Engine time passed and nothing came."""

    now_ns: int


Record = Receive | Tick
