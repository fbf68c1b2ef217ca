"""Windows: tags whose values cancel, repeat, come in bursts and fall silent."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from oracle_recordings import BASE, MS, Part

from oracle import Sample

WILD = (0.0, -0.0, 1.0, -1.0, 0.1, 1e-300, 5e-324, 1e15, -1e15, 1e200, -1e200, 1e100, -1e100)
STEPS_MS = ((0, 1, 1, 3, 20), (1,), (0, 0, 0, 30), (3, 5, 90))


def value(draw: Random, nature: str) -> float:
    """One reading of a tag of this nature."""
    if nature == "wild":
        return draw.choice(WILD)
    if nature == "far":  # a small spread around a great mean
        return 1e9 + draw.uniform(-1e-3, 1e-3)
    if nature == "steps":
        return draw.choice((0.0, 1.0, 2.5, -7.0))
    return draw.uniform(-100, 100)


def readings(draw: Random, steps: int, natures: tuple[str, ...]) -> Part:
    """Two tags, f64 and i64."""
    nature, pace = draw.choice(natures), draw.choice(STEPS_MS)
    samples, event_ns = [], BASE + draw.randint(-50, 50) * MS
    for _ in range(steps):
        event_ns += draw.choice(pace) * MS + draw.choice((0, 0, 0, 1))
        if draw.random() < 0.6:
            samples.append(Sample("m.a", event_ns, value(draw, nature)))
        else:
            samples.append(Sample("m.b", event_ns, draw.randint(-9, 9)))
    return Part([], samples, {"m.a": "f64", "m.b": "i64"})


PLAIN = ("min_at", "max_at", "range", "variance", "rate", "completeness", "quality_share")
HELD = ("tw_mean", "integral", "share")
SIZES = (0.01, 0.02, 0.05, 0.1)


def asked(draw: Random, *most: str) -> dict[str, Any]:
    """Some of these aggregates, and what they need."""
    chosen = [name for name in most if draw.random() < 0.4]
    rule: dict[str, Any] = {"aggregates": chosen} if chosen else {}
    if "completeness" in chosen:
        rule["expected_s"] = draw.choice((0.001, 0.003))
    if "share" in chosen:
        rule["share_of"] = draw.choice((0, [1, 2], [-3, 0, 4]))
    return rule


def rules_of(draw: Random, steps: int, keys: list[dict[str, Any]], most: tuple[str, ...]) -> Part:
    """A window rule of each of these keys, on the f64 or the i64 tag, as results or events."""
    rules = []
    for number, each in enumerate(keys):
        tag = draw.choice("ab")
        wanted = tuple(name for name in most if tag == "b" or name != "share")
        rule = {"name": f"w{number}", "kind": "window", "tag": f"*.{tag}", "unit": "C62", **each}
        rule |= asked(draw, *wanted)
        if draw.random() < 0.3:
            rule["emit"] = "event"
        rules.append(rule)
    part = readings(draw, steps, ("far", "steps", "plain"))
    return Part(rules, part.samples, part.types)


def figures(draw: Random, steps: int) -> Part:
    """Tumbling windows with every plain aggregate; corrections."""
    keys = []
    for _ in range(3):
        key: dict[str, Any] = {"size_s": draw.choice(SIZES), "offset_s": draw.choice((0, 0.003))}
        if draw.random() < 0.5:
            key["correct_within_s"] = draw.choice((0.005, 0.02, 0.1))
        keys.append(key)
    return rules_of(draw, steps, keys, PLAIN)


def hopping(draw: Random, steps: int) -> Part:
    """Windows that overlap."""
    keys = []
    for _ in range(2):
        hop = draw.choice((5, 10, 20))
        size = hop * draw.choice((1, 2, 3, 5))
        keys.append(
            {"hop_s": hop / 1000, "size_s": size / 1000, "offset_s": draw.choice((0, 0.003))}
        )
    return rules_of(draw, steps, keys, PLAIN)


def sessions(draw: Random, steps: int) -> Part:
    """What lies close together."""
    gaps, longest = (0.002, 0.005, 0.02), (0.01, 0.05, 3600)
    keys = [
        {"session_gap_s": draw.choice(gaps), "session_max_s": draw.choice(longest)}
        for _ in range(2)
    ]
    return rules_of(draw, steps, keys, (*PLAIN, *HELD))


def counts(draw: Random, steps: int) -> Part:
    """Every n samples."""
    keys: list[dict[str, Any]] = [{"count_n": draw.choice((1, 2, 3, 7, 20))} for _ in range(2)]
    for key in keys:
        if key["count_n"] < 7:  # two of one stamp are told apart by their ids only
            key["emit"] = "event"
    return rules_of(draw, steps, keys, (*PLAIN, *HELD))


def held(draw: Random, steps: int) -> Part:
    """Values that hold until the next one."""
    keys = []
    for _ in range(2):
        hop = draw.choice((10, 20, 50))
        key = {"size_s": hop / 1000, "offset_s": draw.choice((0, 0.003))}
        if draw.random() < 0.4:
            key |= {"hop_s": hop / 1000, "size_s": hop * draw.choice((2, 3)) / 1000}
        keys.append(key)
    part = rules_of(draw, steps, keys, (*PLAIN, *HELD))
    for rule in part.rules:
        rule["aggregates"] = sorted({*rule.get("aggregates", ()), "tw_mean"})
    return part


KINDS: tuple[Callable[[Random], dict[str, Any]], ...] = (
    lambda draw: {"size_s": draw.choice(SIZES), "offset_s": draw.choice((0, 0.003))},
    lambda draw: {"hop_s": 0.01, "size_s": draw.choice((0.02, 0.03))},
    lambda draw: {"session_gap_s": draw.choice((0.005, 0.02)), "session_max_s": 0.05},
    lambda draw: {"count_n": draw.choice((3, 7, 20)), "emit": "event"},
)


def cuts(draw: Random, steps: int) -> Part:
    """Windows of every kind that end where the lot or order changes: a tag's, or the asset's."""
    keys = []
    on = draw.choice((["lot"], ["lot", "order"], ["context.lot"], ["lot", "context.order"]))
    for _ in range(2):
        roles = {role: f"*.{role}" for role in ("lot", "order") if role in on}
        keys.append({**draw.choice(KINDS)(draw), **roles, "cut_on": on})
    part = rules_of(draw, steps, keys, (*PLAIN, *draw.choice(((), HELD))))
    samples, types = list(part.samples), {**part.types}
    is_told = any(cut.startswith("context.") for cut in on)  # then one change an instant
    for role in ("lot", "order"):
        if any(role in rule for rule in part.rules):
            types[f"m.{role}"], number, last_ns = "i64", draw.randint(0, 3), 0
            for sample in part.samples:
                time_ns = sample.time_ns + draw.choice((0, 0, 1)) * MS
                if sample is part.samples[0]:
                    time_ns = sample.time_ns - draw.choice((0, 7, 90)) * MS
                elif draw.random() > 0.05 or (is_told and time_ns <= last_ns):
                    continue
                several = () if is_told else ((1, 1), (1, -1))  # of one instant
                once = ((0,),) * 6 if sample is part.samples[0] else ((0,), (1,), (1,))
                last_ns = time_ns
                for change in draw.choice((*once, *several)):
                    number += change
                    samples.append(Sample(f"m.{role}", time_ns, number))
    return Part(part.rules, sorted(samples, key=lambda s: (s.time_ns, draw.random())), types)


def tumbling(draw: Random, steps: int) -> Part:
    """Windows of three sizes; one of them makes events."""
    rules: list[dict[str, Any]] = [
        {"name": "w", "kind": "window", "tag": "*.a", "size_s": draw.choice(SIZES)},
        {"name": "v", "kind": "window", "tag": "*.b", "size_s": draw.choice(SIZES)},
        {"name": "e", "kind": "window", "tag": "*.a", "size_s": 0.05, "emit": "event"},
    ]
    rules[0]["offset_s"] = draw.choice((0, 0, 0.003))
    rules[2]["size_s"] = draw.choice((0.05, 0.05, 0.03))
    if draw.random() < 0.2:
        rules[0]["emit"] = "event"
    part = readings(draw, steps, ("wild", "far", "steps", "plain"))
    return Part(rules, part.samples, part.types)
