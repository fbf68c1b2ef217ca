"""Events: what someone must act on, as the engine hands it over; and the context it happened in.

An event is immutable and owns its values. Its identity (``id``) is deterministic: the same journal
gives the same id.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, make_dataclass
from decimal import Decimal
from functools import cache
from typing import Any

# What a window rule may ask for beyond count, sum, mean, min, max, first and last: penstock.h,
# PSTK_AGGREGATE_LIST.
AGGREGATES = (
    "min_at", "max_at", "range", "variance", "tw_mean", "integral", "rate", "share", "completeness",
    "quality_share",
)  # fmt: skip


def _at(time_ns: int) -> str:
    from datetime import UTC, datetime, timedelta  # only a repr needs it

    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_ns // 1000)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@dataclass(frozen=True, slots=True, repr=False)
class Context:
    """What ran at the asset: texts as the plant gives them, ``""`` where not known."""

    order: str = ""
    operation: str = ""
    material: str = ""
    lot: str = ""
    shift: str = ""

    def __repr__(self) -> str:
        said = [
            f"{field.name} {text}" for field in fields(self) if (text := getattr(self, field.name))
        ]
        return f"<Context: {', '.join(said) or 'nothing is known'}>"


NOTHING_KNOWN = Context()


@dataclass(frozen=True, slots=True, repr=False)
class Event:
    """One event.

    Times are int64 nanoseconds since 1970 UTC; ``end_ns`` is None while the interval is open (a
    limit trip). ``value`` is the sample of a limit, the quantity of a counter or total, the code of
    a state, the time in micro-stops, the mean of a window, the number of a gap's stream.
    ``aggregates`` are by name, times in ns; None = no value. Registers and quantities of i64 tags
    are exact ``int``; those of f64 tags are ``float``. ``quantity`` is the same as an exact
    ``Decimal`` (shortest text that reads back to the same double), or None where the kind carries
    none.
    """

    id: str  # UUIDv8, lower case with hyphens
    digest: str  # 32 hex digits over the content
    seq: int  # order within this run; never used to recognise a repeat
    pos: int  # journal position of the block that made it
    kind: str  # "counter.segment", "limit.H.trip", ...: penstock.h, PSTK_EVENT_KIND_LIST
    plant: str
    rule: str
    series: str
    tag: str
    asset: str
    at_ns: int
    start_ns: int
    end_ns: int | None
    value: int | float | None  # None: a window without a sample
    unit: str  # unit of quantity, UN/ECE Rec 20; "" where the kind carries none
    quantity: Decimal | None
    text: str = ""  # state: the text or name of the code
    start_reading: int | float | None = None
    end_reading: int | float | None = None
    limit: float | None = None
    count: int = 0
    sum: float | None = None
    min: float | None = None
    max: float | None = None
    first: float | None = None
    last: float | None = None
    flags: frozenset[str] = frozenset()  # penstock.h, PSTK_FLAG_LIST
    context: Context = field(default_factory=Context)
    occurrence: int = 0
    time_epoch: int = 0
    revision: int = 0
    engine_time_ns: int = 0
    config_generation: int = 0
    aggregates: Mapping[str, int | float | None] | None = None  # window: asked for beyond these
    by: str = ""  # who did it: events of operators; "" where nobody did

    def __repr__(self) -> str:
        value = (
            f"{self.quantity} {self.unit}" if self.quantity is not None else self.text or self.value
        )
        lot = f", lot {self.context.lot}" if self.context.lot else ""
        flags = f", {' and '.join(sorted(self.flags))}" if self.flags else ""
        what = f"{self.kind} of {self.tag} at {_at(self.at_ns)}: {value}"
        return f"<Event {what} by rule {self.rule}{lot}{flags}>"

    @property
    def has_tag(self) -> bool:
        """Whether ``tag`` names a tag; of a gap it names a stream, which has no samples to show."""
        return self.kind != "gap.lost"

    @property
    def duration_ns(self) -> int | None:
        """Length of the interval (of micro-stops: the time in them), or None while it is open."""
        if self.kind == "state.micro":
            return int(self.value or 0)
        return None if self.end_ns is None else self.end_ns - self.start_ns


@cache
def event_maker() -> Callable[..., Event]:
    """Makes events of all their values in order, five times as fast as ``Event``: an immutable
    class sets its fields one by one past itself, so a class of the same layout sets them and then
    becomes it.
    """
    draft = make_dataclass("Event", [each.name for each in fields(Event)], slots=True, eq=False)

    def made(*values: object) -> Event:
        event: Any = draft(*values)
        event.__class__ = Event
        return event  # type: ignore[no-any-return]

    return made


@dataclass(frozen=True, slots=True, repr=False)
class Evidence:
    """Samples of one tag around an event, oldest first: what the ring still held when the event was
    committed.
    """

    tag: str
    time_ns: tuple[int, ...]
    values: tuple[float, ...]
    quality: tuple[int, ...]
    before: int  # how many of them lie at or before the event's block

    def __repr__(self) -> str:
        return (
            f"<Evidence: {len(self.time_ns)} samples of {self.tag}, {self.before} before the event>"
        )


class PackedEvidence(Evidence):
    """Evidence as the engine packed it, for those who only keep it; unpacked when looked into."""

    __slots__ = ("_columns", "packed")
    packed: bytes
    _columns: tuple[tuple[int, ...], tuple[float, ...], tuple[int, ...]] | None

    def __init__(self, tag: str, packed: bytes, before: int) -> None:
        for name, value in (("tag", tag), ("packed", packed), ("before", before)):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_columns", None)

    def __len__(self) -> int:
        from penstock.samples import count_samples

        return count_samples(self.packed)

    @property
    def time_ns(self) -> tuple[int, ...]:
        """See ``Evidence``."""
        return self._unpacked()[0]

    @property
    def values(self) -> tuple[float, ...]:
        """See ``Evidence``."""
        return self._unpacked()[1]

    @property
    def quality(self) -> tuple[int, ...]:
        """See ``Evidence``."""
        return self._unpacked()[2]

    def _unpacked(self) -> tuple[tuple[int, ...], tuple[float, ...], tuple[int, ...]]:
        columns = self._columns
        if columns is None:
            from penstock.samples import unpack_samples

            times, values, quality = unpack_samples(self.packed)
            columns = tuple(times), tuple(values), tuple(quality)
            object.__setattr__(self, "_columns", columns)
        return columns
