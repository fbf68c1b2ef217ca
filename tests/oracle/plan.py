"""Plan: the tables of a configuration, as TOML reads them, become rules with times in ns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from oracle.feed import Value

ROLES = ("tag", "lot", "order", "start", "since")
LEVELS = {"high_high": "HH", "high": "H", "low": "L", "low_low": "LL"}
PACKML = {
    1: "Clearing", 2: "Stopped", 3: "Starting", 4: "Idle", 5: "Suspended", 6: "Execute",
    7: "Stopping", 8: "Aborting", 9: "Aborted", 10: "Holding", 11: "Held", 12: "Unholding",
    13: "Suspending", 14: "Unsuspending", 15: "Resetting", 16: "Completing", 17: "Complete",
}  # fmt: skip
ALARMS = ("limit", "rate", "stuck", "freshness")
HELD = {"tw_mean", "integral", "share"}  # aggregates for which a value holds until the next one
_PER_NS = {"": 1, "s": 10**9, "min": 60 * 10**9, "h": 3600 * 10**9}
_EVENT_ORDER = ("counter", "total", "state")


def to_ns(seconds: Any) -> int:
    """Nanoseconds of a written duration, by its decimal text."""
    return int(Decimal(str(seconds)) * 10**9)


@dataclass(frozen=True, slots=True)
class Level:
    """One level of a limit or rate."""

    value: float
    deadband: float = 0.0
    on_delay_ns: int = 0
    off_delay_ns: int = 0
    re_alarm_ns: int = 0


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
    negative: str = "reset"
    per_ns: int = 1
    since_unit_ns: int = 1_000_000
    states: tuple[str | int, ...] = ()
    names: Mapping[int, str] = field(default_factory=dict)
    on: str = "end"
    micro: str = "flag"
    micro_every_ns: int = 0
    min_duration_ns: int = 0
    levels: Mapping[str, Level] = field(default_factory=dict)
    quality: str = "hold"
    span_ns: int = 0
    after_ns: int = 0
    band: float = 0.0
    source: str = ""
    lost_min: int = 1
    suppress_tag: str = ""
    suppress_states: tuple[Value, ...] = ()
    suppress_by: str = ""
    events_per_minute_max: int = 60
    is_event: bool = True
    aggregates: frozenset[str] = frozenset()
    hop_ns: int = 0
    session_gap_ns: int = 0
    session_max_ns: int = 0
    count_n: int = 0
    correct_within_ns: int = 0
    expected_ns: int = 0
    share_of: tuple[Value, ...] = ()

    @property
    def is_plain(self) -> bool:
        """A window that only tumbles: it swaps at its boundary."""
        asks = self.aggregates or self.correct_within_ns or self.is_event_order
        return not asks and self.hop_ns == self.size_ns

    def match(self, tag: str) -> str | None:
        """What '*' stands for when this rule reads ``tag`` ("" without a '*'); else None."""
        pattern = self.patterns.get("tag", "")
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

    def ran(self, values: Mapping[str, Value], role: str) -> str:
        """The lot or order that runs: as its tag says where the rule names one, else as the
        asset's context does.
        """
        return str(values.get(role if role in self.patterns else f"context.{role}", ""))

    def is_listed(self, state: Value | None) -> bool:
        """Whether a state is one of ``states``: by code, by text or by its name."""
        if state is None:
            return False
        return "*" in self.states or state in self.states or self.text(state) in self.states

    def text(self, state: Value | None) -> str:
        """A state in words; "" where it has none."""
        if isinstance(state, str):
            return state
        return self.names.get(int(state), "") if state is not None else ""


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
        to_ns(raw.get("re_alarm_s", 0)),
    )


def _rule(raw: Mapping[str, Any]) -> Rule:
    kind = raw["kind"]
    default_cuts = [role for role in ("lot", "order") if raw.get(role)]
    aggregates = frozenset(raw.get("aggregates", ()))
    return Rule(
        name=raw["name"],
        kind=kind,
        series=raw.get("series", "1"),
        asset=raw.get("asset", ""),
        patterns={role: raw[role] for role in ROLES if raw.get(role)},
        is_event_order=_is_event_order(raw),
        cut_on=tuple(raw.get("cut_on", () if kind == "window" else default_cuts)),
        emits_zero=raw.get("emits_zero", False),
        is_event=raw.get("emit", "result" if kind == "window" else "event") == "event",
        aggregates=aggregates,
        **_counts(raw),
        **_state(raw),
        **_alarm(raw),
        **_window(raw),
    )


def _is_event_order(raw: Mapping[str, Any]) -> bool:
    if raw["kind"] == "window":
        asked = HELD & set(raw.get("aggregates", ()))
        return bool(asked or any(raw.get(key) for key in ("session_gap_s", "count_n", "cut_on")))
    return bool(raw.get("order_by") == "event" or raw["kind"] in _EVENT_ORDER)


def _counts(raw: Mapping[str, Any]) -> dict[str, Any]:
    is_total = raw["kind"] == "total"
    return {
        "size_ns": to_ns(raw.get("size_s") or raw.get("every_s") or 0),
        "offset_ns": to_ns(raw.get("offset_s", 0)),
        "rollover": int(raw.get("rollover", 0)),
        "negative": raw.get("negative", "reset"),
        "per_ns": _PER_NS[raw.get("per", "" if is_total else "s")],
    }


def _state(raw: Mapping[str, Any]) -> dict[str, Any]:
    names = raw.get("names", {})
    return {
        "since_unit_ns": {"ns": 1, "ms": 1_000_000}[raw.get("since_unit", "ms")],
        "states": tuple(raw.get("states", ())),
        "names": PACKML if names == "packml" else {int(key): text for key, text in names.items()},
        "on": raw.get("on", "end"),
        "micro": raw.get("micro", "flag"),
        "micro_every_ns": to_ns(raw.get("micro_every_s", 3600)),
        "min_duration_ns": to_ns(raw.get("min_duration_s", 0)),
    }


def _alarm(raw: Mapping[str, Any]) -> dict[str, Any]:
    when = raw.get("suppress_when", {})
    return {
        "levels": {name: _level(raw[key]) for key, name in LEVELS.items() if key in raw},
        "quality": raw.get("quality", "hold"),
        "span_ns": to_ns(raw.get("span_s", 0)),
        "after_ns": to_ns(raw.get("after_s", 0)),
        "band": float(raw.get("band", 0)),
        "source": raw.get("source", ""),
        "lost_min": raw.get("lost_min", 1),
        "suppress_tag": when.get("tag", ""),
        "suppress_states": tuple(when.get("states", ())),
        "suppress_by": raw.get("suppress_by", ""),
        "events_per_minute_max": raw.get("events_per_minute_max", 60),
    }


def _window(raw: Mapping[str, Any]) -> dict[str, Any]:
    share_of = raw.get("share_of", ())
    return {
        "hop_ns": to_ns(raw.get("hop_s", 0)) or to_ns(raw.get("size_s", 0)),
        "session_gap_ns": to_ns(raw.get("session_gap_s", 0)),
        "session_max_ns": to_ns(raw.get("session_max_s", 3600)),
        "count_n": raw.get("count_n", 0),
        "correct_within_ns": to_ns(raw.get("correct_within_s", 0)),
        "expected_ns": to_ns(raw.get("expected_s", 0)),
        "share_of": tuple(share_of) if isinstance(share_of, (list, tuple)) else (share_of,),
    }
