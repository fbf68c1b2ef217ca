"""Windows: tags whose values cancel, repeat, come in bursts and fall silent."""

from __future__ import annotations

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


def tumbling(draw: Random, steps: int) -> Part:
    """Windows of three sizes; one of them makes events."""
    sizes = (0.01, 0.02, 0.05, 0.1)
    rules: list[dict[str, Any]] = [
        {"name": "w", "kind": "window", "tag": "*.a", "size_s": draw.choice(sizes)},
        {"name": "v", "kind": "window", "tag": "*.b", "size_s": draw.choice(sizes)},
        {"name": "e", "kind": "window", "tag": "*.a", "size_s": 0.05, "emit": "event"},
    ]
    rules[0]["offset_s"] = draw.choice((0, 0, 0.003))
    part = readings(draw, steps, ("wild", "far", "steps", "plain"))
    return Part(rules, part.samples, part.types)
