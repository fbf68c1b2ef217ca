"""Plan: the tables of a configuration, as TOML reads them, become rules with times in ns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

ROLES = ("tag", "lot", "order", "start", "since")
LEVELS = {"high_high": "HH", "high": "H", "low": "L", "low_low": "LL"}
_PER_NS = {"": 1, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9}
_EVENT_ORDER = ("counter", "total", "state")


def to_ns(seconds: Any) -> int:
    """Nanoseconds of a written duration, by its decimal text."""
    return int(Decimal(str(seconds)) * 10**9)


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a limit."""

    value: float
    deadband: float = 0.0
    on_delay_ns: int = 0
    off_delay_ns: int = 0


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; ``patterns`` by role, each with at most one '*'."""

    name: str
    kind: str
    series: str = "1"
    asset: str = ""
    patterns: Mapping[str, str] = field(default_factory=dict)
    is_event_order: bool = False
    cut_on: tuple[str, ...] = ()
    emits_zero: bool = False
    size_ns: int = 0
    offset_ns: int = 0
    rollover: int = 0
    per_ns: int = 1
    since_unit_ns: int = 1_000_000
    states: tuple[str | int, ...] = ()
    min_duration_ns: int = 0
    levels: Mapping[str, Level] = field(default_factory=dict)
    events_per_minute_max: int = 60
    is_event: bool = True

    def match(self, tag: str) -> str | None:
        """What '*' stands for when this rule reads ``tag`` ("" without a '*'); else None."""
        pattern = self.patterns["tag"]
        if "*" not in pattern:
            return "" if tag == pattern else None
        before, after = pattern.split("*")
        is_long = len(tag) >= len(before) + len(after)
        is_match = is_long and tag.startswith(before) and tag.endswith(after)
        return tag[len(before) : len(tag) - len(after)] if is_match else None

    def role_tags(self, star: str) -> dict[str, str]:
        """Tag name to role, of one instance."""
        return {
            pattern.replace("*", star): role for role, pattern in self.patterns.items() if pattern
        }


@dataclass(frozen=True, slots=True)
class Source:
    """One source's times."""

    name: str
    lateness_ns: int = 0
    idle_after_ns: int = 2 * 10**9
    future_max_ns: int = 60 * 10**9


def plan(config: Mapping[str, Any]) -> tuple[str, list[Source], list[Rule]]:
    """Plant, sources and rules of a configuration as TOML reads it."""
    sources = [
        Source(
            each["name"],
            to_ns(each.get("lateness_s", 0)),
            to_ns(each.get("idle_after_s", 2)),
            to_ns(each.get("future_max_s", 60)),
        )
        for each in config["source"]
    ]
    return config["plant"]["name"], sources, [_rule(each) for each in config["rule"]]


def _level(raw: Any) -> Level:
    if not isinstance(raw, Mapping):
        return Level(float(raw))
    return Level(
        float(raw["value"]),
        float(raw.get("deadband", 0)),
        to_ns(raw.get("on_delay_s", 0)),
        to_ns(raw.get("off_delay_s", 0)),
    )


def _rule(raw: Mapping[str, Any]) -> Rule:
    kind = raw["kind"]
    default_cuts = [role for role in ("lot", "order") if raw.get(role)]
    order = raw.get("order_by") or ("event" if kind in _EVENT_ORDER else "arrival")
    return Rule(
        name=raw["name"],
        kind=kind,
        series=raw.get("series", "1"),
        asset=raw.get("asset", ""),
        patterns={role: raw[role] for role in ROLES if raw.get(role)},
        is_event_order=order == "event",
        cut_on=tuple(raw.get("cut_on", default_cuts)),
        emits_zero=raw.get("emits_zero", False),
        size_ns=to_ns(raw.get("size_s") or raw.get("every_s") or 0),
        offset_ns=to_ns(raw.get("offset_s", 0)),
        rollover=int(raw.get("rollover", 0)),
        per_ns=_PER_NS[raw.get("per", "")],
        since_unit_ns={"ns": 1, "ms": 1_000_000}[raw.get("since_unit", "ms")],
        states=tuple(raw.get("states", ())),
        min_duration_ns=to_ns(raw.get("min_duration_s", 0)),
        levels={name: _level(raw[key]) for key, name in LEVELS.items() if key in raw},
        events_per_minute_max=raw.get("events_per_minute_max", 60),
        is_event=raw.get("emit", "result" if kind == "window" else "event") == "event",
    )
