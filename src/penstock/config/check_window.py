"""Checks of window rules: kinds, what each aggregate needs, and how many panes stay open."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from decimal import Decimal

from penstock.config import vocabulary as words
from penstock.config.forms import Problems
from penstock.config.model import Rule, Source
from penstock.errors import ConfigError

WINDOW_KEYS = frozenset(
    (
        "size_s", "offset_s", "emit", "hop_s", "session_gap_s", "session_max_s", "count_n",
        "aggregates", "share_of", "expected_s", "correct_within_s", "lot", "order", "cut_on",
    )
)  # fmt: skip
KINDS = ("size_s", "session_gap_s", "count_n")  # a window rule has exactly one of these
_LEAST_S = 0.001

Refuse = Callable[..., None]


def check_window(rule: Rule, refuse: Refuse) -> None:
    """What a window rule must fulfil."""
    kinds = [key for key in KINDS if getattr(rule, key)]
    if not kinds:
        refuse(
            "size_s",
            "is required for a window rule: its length would be 0",
            "write the window's length in seconds, or session_gap_s, or count_n",
        )
    for key in kinds[1:]:
        refuse(key, f"and {kinds[0]} exclude each other", "a window ends in one way: leave one out")
    for key in ("size_s", "hop_s", "session_gap_s"):
        if 0 < getattr(rule, key) < _LEAST_S:
            refuse(key, "is shorter than a millisecond", "0.001 or more")
    _check_hop(rule, refuse)
    _check_aggregates(rule, refuse)
    _check_order(rule, refuse)
    for role in ("lot", "order"):
        if role in rule.cut_on and not getattr(rule, role):
            refuse(
                "cut_on",
                f"{role} cuts, and the rule has no {role} tag",
                f"write {role} = ..., or context.{role}",
            )
    if rule.session_max_s != words.SESSION_MAX_S and not rule.session_gap_s:
        refuse("session_max_s", "stands without session_gap_s", "it is for sessions: leave it out")
    if rule.offset_s and not rule.size_s:
        refuse("offset_s", "aligns windows of a length", "leave it out, or write size_s")


def is_ordered(rule: Rule) -> bool:
    """Whether the rule takes its samples in order of time: they wait for the watermark."""
    is_weighted = not words.AGGREGATES_WEIGHTED.isdisjoint(rule.aggregates)
    return bool(rule.session_gap_s or rule.count_n or is_weighted or rule.cut_on)


def _check_hop(rule: Rule, refuse: Refuse) -> None:
    if not rule.hop_s:
        return
    if not rule.size_s:
        refuse("hop_s", "stands without size_s", "write size_s, a multiple of hop_s")
        return
    size, hop = Decimal(repr(rule.size_s)), Decimal(repr(rule.hop_s))
    if size % hop:
        nearest = max(size // hop, Decimal(1)) * hop
        refuse(
            "hop_s",
            f"size_s {rule.size_s:g} is no multiple of hop_s {rule.hop_s:g}",
            f"size_s = {nearest.normalize():f}, or another hop_s",
        )
    elif size / hop > words.HOPS_MAX:
        least = size / words.HOPS_MAX
        refuse(
            "hop_s",
            f"a sample would lie in {size / hop:f} windows, at most {words.HOPS_MAX} are possible",
            f"hop_s of at least {least.normalize():f}",
        )


def _check_aggregates(rule: Rule, refuse: Refuse) -> None:
    needs = (
        ("share", "share_of", 'share_of = "RUN"'),
        ("completeness", "expected_s", "expected_s = 1"),
    )
    for aggregate, key, example in needs:
        if aggregate in rule.aggregates and not getattr(rule, key):
            refuse(key, f"is required for {aggregate}", f"write {example}")
        if getattr(rule, key) and aggregate not in rule.aggregates:
            refuse(
                key, f"is for {aggregate}, which is not asked", f'add "{aggregate}" to aggregates'
            )
    if len({type(state) for state in rule.share_of}) > 1:
        refuse("share_of", "mixes texts and numbers", "a tag is one or the other")


def _check_order(rule: Rule, refuse: Refuse) -> None:
    if rule.order_by == "arrival" and is_ordered(rule):
        refuse(
            "order_by",
            "this window needs its samples in order of time",
            'leave it out, or write "event"',
        )
    if not rule.correct_within_s:
        return
    if rule.session_gap_s or rule.count_n or rule.hop_s:
        kind = "session" if rule.session_gap_s else "count" if rule.count_n else "hopping"
        refuse(
            "correct_within_s",
            f"a {kind} window is not corrected, only a tumbling one is",
            "leave it out, or raise the source's lateness_s",
        )
    elif is_ordered(rule):
        asked = sorted(words.AGGREGATES_WEIGHTED.intersection(rule.aggregates)) or ["cut_on"]
        refuse(
            "correct_within_s",
            f"{', '.join(asked)} needs samples in order of time, a late one cannot enter any more",
            "leave it out, or raise the source's lateness_s",
        )


def check_panes(
    rules: Iterable[tuple[str, Rule]], sources: Iterable[Source], problems: Problems
) -> None:
    """Open panes of a window: 2 + ceil((lateness + correct_within) / hop), at most 64, by the
    source that may come latest.
    """
    lateness_s = max((source.lateness_s for source in sources), default=0.0)
    for path, rule in rules:
        if rule.kind != "window" or rule.size_s < _LEAST_S:
            continue
        key = "hop_s" if rule.hop_s else "size_s"
        late_s = lateness_s + rule.correct_within_s
        panes = 2 + math.ceil(late_s / (rule.hop_s or rule.size_s))
        if panes > words.PANES_MAX:
            least_s = late_s / (words.PANES_MAX - 2)
            late = "correct_within_s" if rule.correct_within_s else "lateness_s"
            problems.append(
                ConfigError(
                    f"{path}.{key}",
                    f"{panes} panes would be open, at most {words.PANES_MAX} are kept",
                    f"{key} of at least {least_s:g}, or a smaller {late}",
                )
            )
