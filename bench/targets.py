"""targets: what each figure shall reach, in one place: table, report and exit summary read it here.

A bound is of the ``ratio``, of the ``value`` (with its unit), or of one of the figure's ``parts``.
A name that is not here, and one without bounds, is only reported.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from figure import Figure

AT_LEAST, AT_MOST = "≥", "≤"
HOLDS: Mapping[str, Callable[[float, float], bool]] = {
    AT_LEAST: operator.ge,
    AT_MOST: operator.le,
}
RATIO, VALUE = "ratio", "value"
SCALE = {  # to nanoseconds, bytes, parts of one
    "ns": 1.0, "us": 1e3, "µs": 1e3, "ms": 1e6, "s": 1e9,
    "B": 1.0, "KiB": 1024.0, "MiB": 1024.0**2, "MB": 1e6,
    "%": 0.01,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Bound:
    """``what`` compared with ``limit`` in ``unit``; a ratio has none."""

    what: str
    word: str
    limit: float
    unit: str = ""

    def text(self) -> str:
        what = "" if self.what in (RATIO, VALUE) else f"{self.what} "
        return f"{what}{self.word} {self.limit:g}{' ' if self.unit else ''}{self.unit}"

    def holds(self, figure: Figure) -> bool | None:
        """None where the figure does not have what is bound."""
        found = figure.ratio if self.what == RATIO else figure.value
        unit = figure.unit.split(" ")[0].split("/")[0]
        if self.what not in (RATIO, VALUE):
            found, unit = figure.parts.get(self.what), self.unit
        if found is None:
            return None
        if self.unit and unit != self.unit:
            found *= SCALE[unit] / SCALE[self.unit]
        return HOLDS[self.word](found, self.limit)


def at_least(limit: float) -> tuple[Bound, ...]:
    return (Bound(RATIO, AT_LEAST, limit),)


def at_most(limit: float, unit: str) -> tuple[Bound, ...]:
    return (Bound(VALUE, AT_MOST, limit, unit),)


def parts_at_most(**limits: float) -> tuple[Bound, ...]:
    return tuple(Bound(what, AT_MOST, limit) for what, limit in limits.items())


TARGETS: Mapping[str, tuple[Bound, ...]] = {
    "zmtp.packed64.vs_libzmq_cpu": at_least(5),
    "zmtp.json64.vs_libzmq_cpu": at_least(2),
    "zmtp.packed64.vs_raw": at_least(0.35),
    "zmtp.packed64.cyclic": (),
    "zmtp.packed64.vs_pyomq": (),
    "zmtp.block64.vs_feed": at_least(0.4),
    "zmtp.stages": (),
    "nats.packed64.vs_natsc_cpu": at_least(7),
    "nats.packed64.vs_natspy_cpu": at_least(100),
    "nats.live.cpu_per_million": (),
    "feed.random1k.vs_duckdb": at_least(1.5),
    "feed.random1k.vs_polars": at_least(1.5),
    "feed.random1k.vs_memory": (),
    "scale.tags_1k_100k.by_id": at_least(0.6),
    "scale.tags_1k_100k.by_name": at_least(0.35),
    "scale.rules_1_16": at_least(0.2),
    "scale.sources_1_256": at_least(0.8),
    "memory.per_tag": at_most(256, "B"),
    "journal.process_cost": at_least(0.95),
    "journal.power_cost": at_least(0.85),
    "checkpoint.cost": at_least(0.95),
    "checkpoint.pause": at_most(1, "ms"),
    "gil.burn": at_least(0.98),
    "latency.limit_to_python": parts_at_most(
        p50_us_10k=60, p999_us_10k=500, p50_us_500k=60, p999_us_500k=500
    ),
    "ledger.commit1": at_least(0.8),
    "ledger.commit100": at_least(0.9),
    "ledger.commit1.tmpfs": at_least(0.8),
    "ledger.commit100.tmpfs": at_least(0.9),
    "relay.event_to_row_us": (),
    "python.calls_per_million_samples": parts_at_most(calls_per_sample=0),
    "edge.one_core": parts_at_most(rss_mib=64, dropped=0),
    "idle.cpu": at_most(0.2, "%"),
    # A page or two is no queue that grows: 0 in whole MiB.
    "overload.2x": parts_at_most(rss_growth_mib=0.5, accounting_error=0),
    "import.time": at_most(50, "ms"),
    "wheel.size": at_most(2, "MB"),
}


def text_of(name: str) -> str:
    return ", ".join(bound.text() for bound in TARGETS.get(name, ())) or "report"


def is_met(figure: Figure) -> bool | None:
    """Whether every bound holds; None where there is none, or the figure lacks what is bound."""
    bounds = TARGETS.get(figure.name, ())
    if figure.value is None or not bounds:
        return None
    held = [bound.holds(figure) for bound in bounds]
    return False if False in held else None if None in held else True


def judged(figure: Figure) -> Figure:
    """The figure with its target and whether it is met."""
    return replace(figure, target=text_of(figure.name), is_met=is_met(figure))


def in_order(names: list[str]) -> list[str]:
    """As the table has them; what it does not know comes last, by name."""
    place = {name: at for at, name in enumerate(TARGETS)}
    return sorted(names, key=lambda name: (place.get(name, len(place)), name))
