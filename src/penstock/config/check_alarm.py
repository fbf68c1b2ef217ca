"""Checks of alarms: what a limit, rate, stuck or freshness rule must fulfil."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import pairwise

from penstock.config import vocabulary as words
from penstock.config.forms import Problems, suggest
from penstock.config.model import Rule
from penstock.errors import ConfigError

Refuse = Callable[..., None]
HIGH = ("high_high", "high")
LOW = ("low", "low_low")


def check_limit(rule: Rule, refuse: Refuse) -> None:
    """Levels stand in order and can clear."""
    levels = rule.levels()
    if not levels:
        refuse("high", "no level is set", "set high_high, high, low or low_low")
    for (upper, above), (lower, below) in pairwise(levels.items()):
        if above.value <= below.value:
            refuse(
                upper, f"{above.value:g} is not above {lower} {below.value:g}", "HH > H > L > LL"
            )
    _check_overlap(rule, refuse)
    for name, level in levels.items():
        if 0 < level.re_alarm_s < 1:
            refuse(f"{name}.re_alarm_s", "is shorter than a second", "1 or more; 0 = never")


def _check_overlap(rule: Rule, refuse: Refuse) -> None:
    """A level clears before one of the other side trips."""
    levels = rule.levels()
    for lower in (name for name in LOW if name in levels):
        for upper in (name for name in reversed(HIGH) if name in levels):
            low, high = levels[lower], levels[upper]
            if low.value >= high.value:
                continue  # said above
            if low.value + low.deadband >= high.value:
                refuse(
                    f"{lower}.deadband",
                    f"reaches {upper}: the level could never clear",
                    "make it smaller",
                )
            if high.value - high.deadband <= low.value:
                refuse(
                    f"{upper}.deadband",
                    f"reaches {lower}: the level could never clear",
                    "make it smaller",
                )


def check_rate(rule: Rule, refuse: Refuse) -> None:
    """A limit over a span."""
    check_limit(rule, refuse)
    _check_quality(rule, refuse)
    if 0 < rule.span_s < 0.001:
        refuse("span_s", "is shorter than a millisecond", "0.001 or more")


def check_stuck(rule: Rule, refuse: Refuse) -> None:
    """It waits for something."""
    _check_quality(rule, refuse)
    if 0 < rule.after_s < 0.001:
        refuse("after_s", "is shorter than a millisecond", "0.001 or more")


def check_freshness(rule: Rule, refuse: Refuse) -> None:
    """Silence has no event to be ordered."""
    if 0 < rule.after_s < 0.001:
        refuse("after_s", "is shorter than a millisecond", "0.001 or more")
    if rule.order_by == "event":
        refuse(
            "order_by", "event: silence is judged as samples arrive", 'leave it out, or "arrival"'
        )


def _check_quality(rule: Rule, refuse: Refuse) -> None:
    if rule.quality == "trip":
        refuse("quality", f"a {rule.kind} rule cannot trip by a bad sample", "hold, or suppress")


def check_suppression(rules: Iterable[tuple[str, Rule]], problems: Problems) -> None:
    """What keeps an alarm back exists, stands above it, and is found by the same capture."""
    above: dict[str, Rule] = {}
    for path, rule in rules:

        def refuse(key: str, reason: str, fix: str, path: str = path) -> None:
            problems.append(ConfigError(f"{path}.{key}", reason, fix))

        when = rule.suppress_when
        if when and "*" in when.tag and "*" not in rule.tag:
            refuse("suppress_when.tag", "has a '*', and tag has none", "put the '*' into tag too")
        if when and len({type(state) for state in when.states}) > 1:
            refuse("suppress_when.states", "mixes texts and numbers", "a tag is one or the other")
        if rule.suppress_by:
            _check_suppressor(rule, above, refuse)
        if rule.kind in words.ALARM_KINDS:
            above[rule.name] = rule


def _check_suppressor(rule: Rule, above: dict[str, Rule], refuse: Refuse) -> None:
    other = above.get(rule.suppress_by)
    if other is None:
        kinds = ", ".join(words.ALARM_KINDS)
        refuse(
            "suppress_by",
            f"no {kinds} rule above this one is named {rule.suppress_by!r}",
            suggest(rule.suppress_by, above) if above else "put it above this rule",
        )
    elif ("*" in other.tag) != ("*" in rule.tag) or ("*" not in rule.tag and other.tag != rule.tag):
        refuse(
            "suppress_by",
            f"{other.name} judges {other.tag!r} and this rule {rule.tag!r}: nothing pairs them",
            "give both a '*' that matches the same, or the same tag",
        )
