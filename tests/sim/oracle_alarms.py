"""Alarms: machines whose values idle around their limits."""

from __future__ import annotations

from random import Random
from typing import Any

from oracle_recordings import BASE, MS, Part

from oracle import Sample

EVERY_EVENT = {"events_per_minute_max": 1_000_000}
FEW_EVENTS = (1_000_000, 1_000_000, 1, 2, 3, 10)  # a minute
LEVELS = {"high_high": 4.0, "high": 2.0, "low": -2.0, "low_low": -4.0}
STEPS_MS = ((1,), (0, 1, 1, 1, 2, 3, 6), (1, 1, 20), (5, 5, 5, 200), (40, 300, 700))


def _level(draw: Random, value: float) -> dict[str, Any]:
    level: dict[str, Any] = {"value": value, "deadband": draw.choice((0, 0.5, 1.0, 2.5))}
    for delay in ("on_delay_s", "off_delay_s"):
        if draw.random() < 0.4:
            level[delay] = draw.choice((0.001, 0.002, 0.005, 0.02, 0.5))
    if draw.random() < 0.4:
        level["re_alarm_s"] = draw.choice((1, 2, 1.5))
    return level


def levels(draw: Random) -> dict[str, Any]:
    """Some of the four levels."""
    chosen = [name for name in LEVELS if draw.random() < 0.6] or ["high"]
    return {name: _level(draw, LEVELS[name]) for name in chosen}


def walk(draw: Random, steps: int, most: float = 6.0) -> list[float]:
    """Values in halves that wander, jump and rest around 0."""
    value, values, pace = 0.0, list[float](), draw.choice((0.5, 1.5, 4.0))
    for _ in range(steps):
        if draw.random() < 0.7:
            value += draw.choice((-1, -0.5, 0.5, 1)) * pace
        if abs(value) > most:
            value = draw.choice((0.0, most / 2, -most / 2))
        values.append(round(value * 2) / 2)
    return values


def times(draw: Random, steps: int) -> list[int]:
    """Stamps that never go back; some are equal."""
    time_ns, made, pace = BASE, list[int](), draw.choice(STEPS_MS)
    for _ in range(steps):
        made.append(time_ns)
        time_ns += draw.choice(pace) * MS
    return made


def qualities(draw: Random, *choices: str) -> dict[str, Any]:
    """What a bad sample means; left out now and then."""
    quality = draw.choice(("", *choices))
    return {"quality": quality} if quality else {}


def tag_of(draw: Random, steps: int, rule: dict[str, Any]) -> Part:
    """One f64 or i64 tag that wanders."""
    kind = draw.choice(("f64", "f64", "i64"))
    values = [v if kind == "f64" else int(v) for v in walk(draw, steps)]
    pairs = zip(times(draw, steps), values, strict=True)
    samples = [Sample("m.p", time_ns, value) for time_ns, value in pairs]
    most = {"events_per_minute_max": draw.choice(FEW_EVENTS)}
    return Part([{"name": "p", "tag": "*.p", **most, **rule}], samples, {"m.p": kind})


def quietened(draw: Random, part: Part) -> Part:
    """Now and then by what the machine does, by another rule, or by both."""
    rule, samples, types = {**part.rules[0]}, list(part.samples), {**part.types}
    rules = [rule]
    if draw.random() < 0.3:
        rule["suppress_when"] = {"tag": "*.state", "states": draw.choice(([2], [2, 3], [0, 5]))}
        types["m.state"] = "i64"
        state = draw.randint(0, 3)
        for time_ns in times(draw, len(samples) // draw.choice((2, 5, 20))):
            samples.append(Sample("m.state", time_ns, state))
            state = draw.choice((state, state, draw.randint(0, 3)))
    if draw.random() < 0.3:
        rule["suppress_by"] = "z"
        tag = draw.choice(("p", "q"))
        other = {"name": "z", "tag": f"*.{tag}", **EVERY_EVENT, **draw.choice(OTHERS)(draw)}
        if rule.get("order_by") and other["kind"] != "freshness":
            other["order_by"] = rule["order_by"]
        rules.insert(0, _apart(other))
        if tag == "q":
            types["m.q"] = "f64"
            count = len(samples) // draw.choice((1, 3, 10))
            pairs = zip(times(draw, count), walk(draw, count), strict=True)
            half_ns = MS // 2  # of two tags at one instant nobody says who is first
            samples += [Sample("m.q", time_ns + half_ns, value) for time_ns, value in pairs]
    return Part(rules, sorted(samples, key=lambda s: (s.time_ns, draw.random())), types)


def _other_limit(draw: Random) -> dict[str, Any]:
    return {"kind": "limit", **levels(draw)}


def _other_stuck(draw: Random) -> dict[str, Any]:
    return {"kind": "stuck", "band": 0.5, "after_s": draw.choice((0.001, 0.003, 0.01))}


def _other_freshness(draw: Random) -> dict[str, Any]:
    return {"kind": "freshness", "after_s": draw.choice((0.001, 0.005, 0.02))}


def _apart(rule: dict[str, Any]) -> dict[str, Any]:
    """Deadlines of its own: of two alarms that are due at one moment nobody says who is first."""
    for table in (rule, *(rule[name] for name in LEVELS if name in rule)):
        for key in ("after_s", "on_delay_s", "off_delay_s", "re_alarm_s"):
            if key in table:
                table[key] = round(table[key] + 1e-6, 9)
    return rule


OTHERS = (_other_limit, _other_limit, _other_stuck, _other_freshness)


def limits(draw: Random, steps: int) -> Part:
    """One tag around up to four levels, judged as it comes or by event time."""
    rule: dict[str, Any] = {"kind": "limit", **qualities(draw, "hold", "trip", "suppress")}
    rule |= levels(draw)
    if draw.random() < 0.3:
        rule["order_by"] = "event"
    return quietened(draw, tag_of(draw, steps, rule))


def rates(draw: Random, steps: int) -> Part:
    """The same for how fast it changes."""
    per = draw.choice(("s", "min", "h"))
    rule: dict[str, Any] = {"kind": "rate", "unit": "MTR", "per": per}
    rule |= {"span_s": draw.choice((0.001, 0.01, 0.032, 0.064, 0.5)), **qualities(draw, "suppress")}
    scale = {"s": 1, "min": 60, "h": 3600}[per] * draw.choice((1.0, 30.0, 500.0))
    for name, level in levels(draw).items():
        level |= {key: level[key] * scale for key in ("value", "deadband")}
        rule[name] = level
    if draw.random() < 0.2:
        rule["order_by"] = "event"
    return quietened(draw, tag_of(draw, steps, rule))


def stuck(draw: Random, steps: int) -> Part:
    """A value that rests now and then."""
    rule: dict[str, Any] = {"kind": "stuck", "band": draw.choice((0, 0.5, 1.0, 1.7))}
    rule |= {"after_s": draw.choice((0.001, 0.003, 0.01, 0.05)), **qualities(draw, "suppress")}
    if draw.random() < 0.2:
        rule["order_by"] = "event"
    return quietened(draw, tag_of(draw, steps, rule))


def gaps(draw: Random, steps: int) -> Part:
    """Samples of a numbered stream that do not come; a rule for any of them, one for many."""
    rules: list[dict[str, Any]] = [{"name": "lost", "kind": "gap", "source": "s"}]
    if draw.random() < 0.7:
        rules.append({**rules[0], "name": "many", "lost_min": draw.choice((2, 3, 11, 1000))})
    if draw.random() < 0.3:
        rules[-1]["asset"] = "line"
    part = tag_of(draw, steps, {"kind": "limit", "high": 5})
    return Part(rules, part.samples, part.types)


def freshness(draw: Random, steps: int) -> Part:
    """A tag that pauses."""
    rule = {"kind": "freshness", "after_s": draw.choice((0.001, 0.002, 0.005, 0.02, 0.3))}
    return quietened(draw, tag_of(draw, steps, rule))
