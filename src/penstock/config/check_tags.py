"""Checks of rules against the types that sources declare for their tags, and of the time that
samples wait against the room they wait in.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from penstock.config import vocabulary as words
from penstock.config.check_window import is_ordered as takes_in_order
from penstock.config.forms import Problems
from penstock.config.model import EngineOptions, Rule, Source
from penstock.errors import ConfigError

_NUMBERS = ("f64", "i64")
# What a rule of a kind can read in a role; a role that is not named takes every type.
_READABLE: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("counter", "tag"): _NUMBERS,
    ("total", "tag"): _NUMBERS,
    ("counter", "start"): _NUMBERS,
    ("state", "since"): _NUMBERS,
}
_SAMPLE_BYTES = 24
_RING_BYTES = 8 << 20  # the least that is taken where ring_bytes is left to the machine


def covers(pattern: str, name: str) -> bool:
    """Whether every tag that ``name`` stands for (a name or a pattern) is one of ``pattern``."""
    head, star, tail = pattern.partition("*")
    if not star:
        return name == pattern
    first, inner_star, last = name.partition("*")
    if inner_star:
        return first.startswith(head) and last.endswith(tail)
    return len(name) >= len(head) + len(tail) and name.startswith(head) and name.endswith(tail)


def _readable(rule: Rule, role: str) -> tuple[str, ...]:
    if role == "tag" and rule.kind == "state":
        if rule.names or any(isinstance(state, int) for state in rule.states):
            return ("f64", "i64", "bool")
        return tuple(words.TYPES) if rule.is_any_state() else ("code",)
    if role == "tag" and rule.kind == "freshness":
        return tuple(words.TYPES)
    if role == "tag" and rule.kind not in ("counter", "total"):
        return tuple(words.TYPES) if "share" in rule.aggregates else ("f64", "i64", "bool")
    return _READABLE.get((rule.kind, role), tuple(words.TYPES))


def check_types(
    rules: Iterable[tuple[str, Rule]], sources: Sequence[Source], problems: Problems
) -> None:
    """No rule reads a tag whose declared type it cannot judge. A rule of a pattern passes over
    single tags of another type; the engine counts them.
    """
    declared = [
        (source.name, name, kind)
        for source in sources
        # an exact name is worth more than a pattern
        for name, kind in sorted(source.tags, key=lambda each: "*" in each[0])
    ]
    for path, rule in rules:
        for role in words.ROLES:
            tag = getattr(rule, role)
            found = next((each for each in declared if tag and covers(each[1], tag)), None)
            if found is None or found[2] in (readable := _readable(rule, role)):
                continue
            problems.append(
                ConfigError(
                    f"{path}.{role}",
                    f"{tag!r} is {found[2]} by source[{found[0]}].tags, "
                    f"a {rule.kind} rule reads {', '.join(readable)} here",
                    "name another tag, or correct its type",
                )
            )


def check_waiting(
    rules: Iterable[tuple[str, Rule]],
    sources: Iterable[tuple[str, Source]],
    engine: EngineOptions,
    problems: Problems,
) -> None:
    """What comes within ``lateness_s`` has to be held: by one tag that sends once a second, the
    least that anybody measures, it must fit.
    """
    is_ordered = any(
        rule.order_by == "event"
        or rule.kind in words.EVENT_ORDER
        or (rule.kind == "window" and takes_in_order(rule))
        for _, rule in rules
    )
    ring_bytes = engine.ring_bytes or _RING_BYTES
    for path, source in sources:
        if is_ordered and source.lateness_s > engine.reorder_slots:
            problems.append(
                ConfigError(
                    f"{path}.lateness_s",
                    f"{source.lateness_s:g} s of one tag that sends each second are more than "
                    f"engine.reorder_slots = {engine.reorder_slots} samples",
                    "a smaller lateness_s, or more engine.reorder_slots",
                )
            )
        elif source.lateness_s * _SAMPLE_BYTES > ring_bytes / 2:
            problems.append(
                ConfigError(
                    f"{path}.lateness_s",
                    f"{source.lateness_s:g} s of one tag that sends each second are more than "
                    f"half of the ring of {ring_bytes >> 10} KiB",
                    "a smaller lateness_s, or a larger engine.ring_bytes",
                )
            )
