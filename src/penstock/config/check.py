"""Checks of sources and rules: each alone, and against each other. Nothing here looks at the
machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from penstock import units
from penstock.config import check_alarm
from penstock.config import vocabulary as words
from penstock.config.check_window import WINDOW_KEYS, check_window
from penstock.config.forms import Problems, suggest
from penstock.config.model import Notice, Rule, Source
from penstock.errors import ConfigError

_ALL = {"name", "kind", "series", "asset"}
_COMMON = _ALL | {"tag", "unit", "order_by"}
_QUANTITY = {"lot", "order", "cut_on", "emits_zero", "every_s", "offset_s"}
_ALARM = {"events_per_minute_max", "suppress_when", "suppress_by"}
RULE_KEYS: Mapping[str, frozenset[str]] = {
    "counter": frozenset(_COMMON | _QUANTITY | {"start", "rollover", "negative"}),
    "total": frozenset(_COMMON | _QUANTITY | {"per"}),
    "state": frozenset(
        _COMMON
        | {"order", "since", "since_unit", "states", "names", "on", "min_duration_s"}
        | {"micro", "micro_every_s"}
    ),
    "limit": frozenset(_COMMON | _ALARM | set(words.LEVELS) | {"quality"}),
    "rate": frozenset(_COMMON | _ALARM | set(words.LEVELS) | {"quality", "span_s", "per"}),
    "stuck": frozenset(_COMMON | _ALARM | {"quality", "after_s", "band"}),
    "freshness": frozenset(_COMMON | _ALARM | {"after_s"}),
    "gap": frozenset(_ALL | {"source", "lost_min"}),
    "window": frozenset(_COMMON | WINDOW_KEYS),
}
ALL_KEYS = frozenset().union(*RULE_KEYS.values())
RULE_REQUIRED: Mapping[str, tuple[str, ...]] = {
    "counter": ("tag", "unit"),
    "total": ("tag", "unit", "per"),
    "state": ("tag", "states"),
    "limit": ("tag",),
    "rate": ("tag", "span_s"),
    "stuck": ("tag", "after_s"),
    "freshness": ("tag", "after_s"),
    "gap": ("source",),
    "window": ("tag",),
}


@dataclass(frozen=True, slots=True)
class Item:
    """One table of a list: the model (None where it could not be read), its name as written, and
    its path.
    """

    path: str
    name: str
    model: object
    keys: frozenset[str]


def check_duplicates(items: Iterable[Item], problems: Problems) -> None:
    """Names are unique within their list."""
    seen: dict[str, str] = {}
    for item in items:
        if item.name and item.name in seen:
            problems.append(
                ConfigError(
                    f"{item.path}.name",
                    f"{item.name!r} is taken by {seen[item.name]}",
                    "rename one",
                )
            )
        seen.setdefault(item.name, item.path)


def check_source(source: Source, path: str, problems: Problems) -> None:
    """What one source must fulfil by its kind."""

    def refuse(key: str, reason: str, fix: str) -> None:
        problems.append(ConfigError(f"{path}.{key}", reason, fix))

    if source.full == "block" and source.kind in ("zmq_sub", "nats"):
        refuse(
            "full",
            f"block is not possible for {source.kind}: its sender does not wait",
            'write full = "drop"',
        )
    if source.kind in ("feed", "zmq_pull", "replay") and source.subjects:
        refuse("subjects", f"{source.kind} has no subjects", "leave it out")
    if source.kind == "nats":
        _check_nats(source, refuse)
    elif source.user or source.password or source.token:
        refuse(
            "user",
            f"{source.kind} takes no credentials in this release",
            "leave user, password and token out",
        )
    if source.reconnect_min_s > source.reconnect_max_s:
        refuse("reconnect_min_s", "is above reconnect_max_s", "make it smaller")


def _check_nats(source: Source, refuse: Callable[[str, str, str], None]) -> None:
    if not source.subjects:
        refuse("subjects", "is required for nats", 'write subjects = ["tel.>"]')
    for index, subject in enumerate(source.subjects):
        parts = subject.split(".")
        if not all(parts) or any(letter.isspace() for letter in subject) or ">" in parts[:-1]:
            refuse(
                f"subjects[{index}]",
                f"{subject!r} is no NATS subject",
                "tokens with '.', '*', and '>' at the end",
            )
    if source.token and (source.user or source.password):
        refuse("token", "token and user exclude each other", "leave one out")
    if source.password and not source.user:
        refuse("password", "stands without user", "write user, or token")


def check_binds(sources: Iterable[tuple[str, Source]], problems: Problems) -> None:
    """No two sources listen on one address."""
    seen: dict[str, str] = {}
    for path, source in sources:
        if source.bind and source.bind in seen and not source.bind.endswith(":0"):
            problems.append(
                ConfigError(
                    f"{path}.bind",
                    f"{source.bind} is taken by {seen[source.bind]}",
                    "change the port",
                )
            )
        seen.setdefault(source.bind, path)


def finish_rule(rule: Rule, keys: frozenset[str]) -> Rule:
    """The rule with the defaults that depend on its kind."""
    if rule.kind in ("counter", "total", "window") and "cut_on" not in keys:
        rule = replace(rule, cut_on=tuple(cut for cut in ("lot", "order") if getattr(rule, cut)))
    if rule.kind == "rate" and not rule.per:
        rule = replace(rule, per="s")
    if not rule.emit:
        rule = replace(rule, emit="result" if rule.kind == "window" else "event")
    return rule


def check_rule(rule: Rule, keys: frozenset[str], path: str, problems: Problems) -> None:
    """What one rule must fulfil by its kind."""

    def refuse(key: str, reason: str, fix: str = "") -> None:
        problems.append(ConfigError(f"{path}.{key}", reason, fix))

    for key in sorted((keys & ALL_KEYS) - RULE_KEYS[rule.kind]):
        owners = [kind for kind, allowed in RULE_KEYS.items() if key in allowed]
        refuse(key, f"is no key of a {rule.kind} rule", f"it belongs to {', '.join(owners)}")
    for key in RULE_REQUIRED[rule.kind]:
        if not getattr(rule, key):
            refuse(key, f"is required for a {rule.kind} rule", _REQUIRED_HELP[key])
    if rule.order_by == "arrival" and rule.kind in words.EVENT_ORDER:
        refuse("order_by", f"a {rule.kind} rule is always judged by event time", "leave it out")
    if rule.unit and units.find(rule.unit) is None:
        refuse("unit", f"{rule.unit!r} is no known UN/ECE Rec 20 code", _REQUIRED_HELP["unit"])
    for key in ("lot", "order", "start", "since", "asset"):
        if "*" in getattr(rule, key) and "*" not in rule.tag:
            fix = "put the '*' into tag too" if "tag" in RULE_KEYS[rule.kind] else "write one name"
            refuse(key, "has a '*', and tag has none", fix)
    roles = [getattr(rule, role) for role in words.ROLES if getattr(rule, role)]
    if len(set(roles)) < len(roles):
        refuse("tag", "two roles read the same tag", "name a tag for each role")
    _KIND_CHECKS[rule.kind](rule, refuse)


Refuse = Callable[..., None]
_REQUIRED_HELP = {
    "tag": 'write tag = "line1.temp", or a pattern: "*.temp"',
    "source": "write the name of a [[source]] whose streams bear numbers",
    "unit": "write the UN/ECE Rec 20 code of what is counted, such as C62 (pieces), KGM or LTR",
    "per": 'write per = "h", "min" or "s": the time the flow is given in',
    "states": "list the states that make an event when they end",
    "span_s": "write the span of the change in seconds",
    "after_s": "write how long, in seconds",
}


def _check_quantity(rule: Rule, refuse: Refuse) -> None:
    for cut in rule.cut_on:
        if not cut.startswith("context.") and not getattr(rule, cut):
            refuse(
                "cut_on",
                f"names {cut!r}, and the rule has no {cut} tag",
                f"write {cut} = ..., or context.{cut}",
            )
    if not rule.cut_on and not rule.every_s:
        refuse(
            "cut_on",
            "nothing ever cuts: the rule would never make an event",
            "give lot, order, cut_on or every_s",
        )
    if rule.offset_s and not rule.every_s:
        refuse("offset_s", "has no meaning without every_s", "leave it out")
    if rule.every_s and rule.every_s < 0.001:
        refuse("every_s", "is shorter than a millisecond", "0.001 or more")
    if rule.start and not rule.lot:
        refuse(
            "start",
            "is the reading where a lot began, and the rule has no lot tag",
            "write lot = ...",
        )


def _check_state(rule: Rule, refuse: Refuse) -> None:
    names = rule.state_names()
    if words.ANY_STATE in rule.states:
        if not rule.is_any_state():
            refuse("states", "'*' is every state already", 'write states = ["*"]')
    elif names:
        _check_named(rule, names, refuse)
    elif len({type(state) for state in rule.states}) > 1:
        refuse("states", "mixes texts and numbers", "a tag is one or the other")
    if len(set(names.values())) < len(names):
        refuse("names", "two codes have one name", "name each apart; a code is a state of its own")
    if rule.micro != "flag" and not rule.min_duration_s:
        refuse("micro", "has no meaning without min_duration_s", "write min_duration_s = ...")
    if rule.micro != "flag" and rule.on == "enter":
        refuse("micro", 'is decided when a state ends, and on = "enter"', 'write on = "both"')
    if rule.micro != "fold" and rule.micro_every_s != words.MICRO_EVERY_S:
        refuse("micro_every_s", 'has no meaning without micro = "fold"', "leave it out")


def _check_named(rule: Rule, names: Mapping[int, str], refuse: Refuse) -> None:
    codes = {name: code for code, name in names.items()}
    for index, state in enumerate(rule.states):
        if isinstance(state, str) and state not in codes:
            refuse(f"states[{index}]", f"{state!r} is no name of a code", suggest(state, codes))
    listed = [codes.get(state, state) if isinstance(state, str) else state for state in rule.states]
    if len(set(listed)) < len(listed):
        refuse("states", "lists a code and its name", "leave one out")


def check_gaps(
    rules: Iterable[tuple[str, Rule]], sources: Iterable[Source], problems: Problems
) -> None:
    """A gap rule names a source that is there."""
    names = [each.name for each in sources]
    for path, rule in rules:
        if rule.kind == "gap" and rule.source and rule.source not in names:
            known = suggest(rule.source, names) if names else "write a [[source]] of that name"
            problems.append(
                ConfigError(f"{path}.source", f"{rule.source!r} is no [[source]]", known)
            )


_KIND_CHECKS: Mapping[str, Callable[[Rule, Refuse], None]] = {
    "counter": _check_quantity,
    "total": _check_quantity,
    "state": _check_state,
    "limit": check_alarm.check_limit,
    "rate": check_alarm.check_rate,
    "stuck": check_alarm.check_stuck,
    "freshness": check_alarm.check_freshness,
    "gap": lambda *_: None,  # held against the sources, below
    "window": check_window,
}


def source_notices(sources: Iterable[tuple[str, Source]]) -> list[Notice]:
    """What is legal in a source and probably not meant."""
    return [
        Notice(f"{path}.bind", "listens on every network of the machine", "bind to one address")
        for path, source in sources
        if source.bind.startswith(("tcp://*", "tcp://0.0.0.0", "tcp://[::]"))
    ]
