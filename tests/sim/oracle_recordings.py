"""Recordings: plants in small, drawn from a Random: hypothesis's own, or one of a printed seed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby
from random import Random
from typing import Any

from oracle import Receive, Record, Sample, Tick
from oracle.plan import ROLES

S = 10**9
MS = 10**6
BASE = 1_700_000_000 * S
BAD = 0x8000
_EVERY_EVENT = {"events_per_minute_max": 1_000_000}


@dataclass(frozen=True, slots=True)
class Recording:
    """A configuration, what comes in, each tag's type, and on which wire."""

    config: dict[str, Any]
    records: tuple[Record, ...]
    types: dict[str, str]
    wire: str = "columns"


@dataclass(frozen=True, slots=True)
class Part:
    """One machine: its rules, its samples as they were made, and each tag's type."""

    rules: list[dict[str, Any]]
    samples: list[Sample]
    types: dict[str, str]

    def renamed(self, number: int) -> Part:
        """The same machine under another number; no other machine's rules read its tags."""

        def tag(name: str) -> str:
            machine, _, role = name.partition(".")
            return f"{machine}{number}.{role}{number}"

        def pattern(key: str, value: Any) -> Any:
            if key == "suppress_when":
                return {**value, "tag": f"{value['tag']}{number}"}
            return f"{value}{number}" if key in (*ROLES, "name", "suppress_by") else value

        return Part(
            [{key: pattern(key, value) for key, value in rule.items()} for rule in self.rules],
            [replace(sample, tag=tag(sample.tag)) for sample in self.samples],
            {tag(name): kind for name, kind in self.types.items()},
        )


def config_of(rules: list[dict[str, Any]], **source: Any) -> dict[str, Any]:
    """One plant, one feed source ``s`` that is never idle by itself."""
    defaults = {"name": "s", "kind": "feed", "idle_after_s": 10_000, "future_max_s": 100_000}
    return {"plant": {"name": "graz"}, "source": [{**defaults, **source}], "rule": rules}


# ---- how samples arrive -------------------------------------------------------------------------


def ordered(draw: Random, samples: list[Sample], lateness_ns: int) -> list[Sample]:
    """As they were made."""
    return samples


def shuffled(draw: Random, samples: list[Sample], lateness_ns: int) -> list[Sample]:
    """In another order, none later than ``lateness_ns`` behind the newest before it."""
    arrival = [(s.time_ns + draw.randint(0, lateness_ns), i, s) for i, s in enumerate(samples)]
    return [sample for _, _, sample in sorted(arrival, key=lambda each: each[:2])]


def delayed(draw: Random, samples: list[Sample], lateness_ns: int) -> list[Sample]:
    """Whole instants change places, some too late; a machine's first one, with its roles, not."""
    first = {machine(s): s.time_ns for s in reversed(samples)}
    arrival = {s.time_ns: s.time_ns + draw.randint(0, lateness_ns * 2) for s in samples}
    arrival |= {time_ns: time_ns for time_ns in first.values()}
    return sorted(samples, key=lambda s: arrival[s.time_ns])


def machine(sample: Sample) -> str:
    """Whose sample it is."""
    return sample.tag.partition(".")[0]


ARRIVALS = {"ordered": ordered, "shuffled": shuffled, "delayed": delayed}


def in_batches(draw: Random, samples: list[Sample], stream: int = 0) -> list[Record]:
    """Receives of random size. Engine time goes on with the stamps, or stands still."""
    records: list[Record] = []
    is_moving = draw.random() < 0.7
    now_ns = BASE if is_moving else BASE + 600 * S
    start = 0
    while start < len(samples):
        piece = tuple(samples[start : start + draw.choice((1, 1, 1, 2, 5, 20, 700))])
        start += len(piece)
        if is_moving:
            now_ns = max([now_ns, *(s.time_ns for s in piece)])
        records.append(Receive(now_ns, "s", piece, stream))
    return records


def ending(parts: list[Part]) -> list[Sample]:
    """The last value of each tag twice more, so that every instant before is judged."""
    end_ns = max(s.time_ns for part in parts for s in part.samples)
    last = {s.tag: s.value for part in parts for s in part.samples}
    times = (end_ns + S, end_ns + 2 * S)
    return [Sample(tag, time_ns, value) for time_ns in times for tag, value in last.items()]


def recording(draw: Random, parts: list[Part], arrival: str, lateness_ns: int) -> Recording:
    """One source and one stream of all the machines."""
    samples = [sample for part in parts for sample in part.samples]
    samples.sort(key=lambda s: s.time_ns)
    samples = ARRIVALS[arrival](draw, samples, lateness_ns) + ending(parts)
    config = config_of([r for part in parts for r in part.rules], lateness_s=lateness_ns / S)
    return Recording(config, tuple(in_batches(draw, samples)), _types(parts))


def streams(draw: Random, parts: list[Part]) -> Recording:
    """A stream for each machine, some behind the others; the slowest holds the watermark."""
    records: list[tuple[int, Receive]] = []
    for stream, part in enumerate(parts):
        behind_ns = draw.choice((0, 0, 5, 50)) * MS
        for record in in_batches(draw, sorted(part.samples, key=lambda s: s.time_ns), stream + 1):
            assert isinstance(record, Receive)
            records.append((record.samples[-1].time_ns + behind_ns, record))
    records.sort(key=lambda each: each[0])
    now_ns, whole = BASE, list[Record]()
    for stream in range(1, len(parts) + 1):  # every clock is known before the first is ahead
        hello = Sample(f"hello{stream}", BASE - S, 0)
        whole.append(Receive(now_ns, "s", (hello,), stream))
    for _, record in records:
        now_ns = max(now_ns, record.recv_time_ns)
        whole.append(replace(record, recv_time_ns=now_ns))
    last = ending(parts)
    for stream, part in enumerate(parts):
        mine = tuple(s for s in last if s.tag in part.types)
        whole.append(Receive(max(now_ns, mine[-1].time_ns), "s", mine, stream + 1))
    config = config_of([r for part in parts for r in part.rules])
    hellos = {f"hello{stream}": "i64" for stream in range(1, len(parts) + 1)}
    return Recording(config, tuple(whole), _types(parts) | hellos)


def silences(draw: Random, parts: list[Part], lateness_ns: int) -> Recording:
    """The source falls silent and comes back; engine time passes by ticks, ahead of the stamps."""
    samples = [sample for part in parts for sample in part.samples]
    samples.sort(key=lambda s: s.time_ns)
    lag_ns = draw.choice((0, 0, 3, 40)) * MS
    now_ns, records = BASE, list[Record]()
    for time_ns, instant in groupby(samples, key=lambda s: s.time_ns):
        if draw.random() < 0.1:
            now_ns += draw.choice((1, 20, 60, 300)) * MS
            records.append(Tick(now_ns))
        now_ns = max(now_ns, time_ns + lag_ns)
        records.append(Receive(now_ns, "s", tuple(instant)))
    records += [Tick(now_ns + 2 * S), Tick(now_ns + 3 * S)]
    rules = [r for part in parts for r in part.rules]
    config = config_of(rules, idle_after_s=0.05, lateness_s=lateness_ns / S)
    return Recording(config, tuple(records), _types(parts))


def _types(parts: list[Part]) -> dict[str, str]:
    return {tag: kind for part in parts for tag, kind in part.types.items()}


# ---- limits -------------------------------------------------------------------------------------


def _level(draw: Random, value: float) -> dict[str, Any]:
    level: dict[str, Any] = {"value": value, "deadband": draw.choice((0, 0.5, 1.0))}
    for delay in ("on_delay_s", "off_delay_s"):
        if draw.random() < 0.4:
            level[delay] = draw.choice((0.001, 0.002, 0.005))
    return level


def limits(draw: Random, steps: int) -> Recording:
    """One tag around four levels: equal and old stamps, bad quality, no stamp, silence."""
    names = {"high_high": 4.0, "high": 2.0, "low": -2.0, "low_low": -4.0}
    chosen = [name for name in names if draw.random() < 0.6] or ["high"]
    rule = {"name": "p", "kind": "limit", "tag": "*.p", **_EVERY_EVENT}
    rule |= {name: _level(draw, names[name]) for name in chosen}
    kind = draw.choice(("f64", "f64", "i64"))
    half = 1.0 if kind == "f64" else 2.0
    records: list[Record] = []
    event_ns = now_ns = BASE
    for _ in range(steps):
        if draw.random() < 0.15:
            now_ns += draw.choice((0, 1, 2, 5, 10)) * MS
            records.append(Tick(now_ns))
            event_ns = max(event_ns, now_ns)
            continue
        samples = []
        for _ in range(draw.choice((1, 1, 2, 6))):
            event_ns += draw.choice((-2, -1, 0, 1, 1, 1, 2, 3, 6)) * MS
            value = draw.randint(-11, 11) / 2 * half
            quality = BAD if draw.random() < 0.1 else 0
            sample = Sample("m.p", event_ns, value if kind == "f64" else int(value), quality)
            samples.append(sample)
        now_ns = max(now_ns, event_ns)
        if draw.random() < 0.1:
            samples.append(Sample("m.p", None, samples[-1].value))
            event_ns = now_ns
        records.append(Receive(now_ns, "s", tuple(samples)))
    end_ns = max(now_ns, event_ns) + S  # takes the delays that still run
    records.append(Receive(end_ns, "s", (Sample("m.p", end_ns, 0.0 if kind == "f64" else 0),)))
    return Recording(config_of([rule]), tuple(records), {"m.p": kind})


# ---- counters, totals, states -------------------------------------------------------------------


def counters(draw: Random, steps: int) -> Part:
    """One register with lots and orders; rollover and reset; with the machine's START or not."""
    is_exact, rollover = draw.random() < 0.5, draw.choice((0, 0, 1000))
    kind = draw.choice(("i64", "f64"))
    rule: dict[str, Any] = {"name": "good", "kind": "counter", "unit": "C62", "tag": "*.good"}
    rule |= {"lot": "*.lot"} if is_exact or draw.random() < 0.7 else {"every_s": 0.01}
    if "lot" in rule and draw.random() < 0.6:
        rule["order"] = "*.order"
    if "lot" in rule and draw.random() < 0.2:
        rule["every_s"] = draw.choice((0.007, 0.02))
    if is_exact:
        rule["start"] = "*.start"
    if rollover:
        rule["rollover"] = rollover
    if not is_exact and draw.random() < 0.5:  # with START only today's meaning is specified
        rule["negative"] = draw.choice(("reset", "subtract", "ignore"))
    if "order" not in rule and not is_exact and draw.random() < 0.4:
        on = ["lot", "context.order"] if "lot" in rule else ["context.lot"]
        rule["cut_on"] = on
    if not rule.get("every_s") and draw.random() < 0.2:
        rule["emits_zero"] = True
    part = 4 if kind == "f64" else 1  # quarters: every sum of them is an exact double
    register, lot, order, event_ns, made = draw.randint(0, 900), 1, 7, BASE, 0
    now = {"lot": lot, "order": order, "start": register, "good": register + draw.randint(0, 3)}
    samples: list[Sample] = []
    register = now["good"]
    for step in range(steps):
        values = {"good": register} if draw.random() < 0.9 else {}
        if step == 0:
            values = dict(now)
        elif draw.random() < 0.2:
            lot += 1
            order += draw.random() < 0.5
            told_late = min(draw.choice((0, 0, 1, 2)), made)
            values |= {"lot": lot, "order": order, "start": register - told_late}
            register += draw.choice((0, 0, 1, 5))
            values["good"] = register
            made = 0
        elif draw.random() < 0.3:
            values |= {"lot": lot, "order": order}
        for role, value in values.items():
            if role in ("good", "start"):
                value = float(value) / part if kind == "f64" else value
            if role == "good" or role in rule:
                samples.append(Sample(f"m.{role}", event_ns, value))
        more = draw.choice((0, 0, 1, 2, 9))
        register, made = register + more, made + more
        if draw.random() < 0.05 and register > 3:  # a correction
            register, made = register - draw.choice((1, 2, 3)), 0
        if draw.random() < 0.08 and register > 40:  # so far down that the next reading shows it
            register, made = draw.randint(0, 20), 0
        if rollover and register >= rollover * part:
            register, made = register - rollover * part, 0
        event_ns += draw.choice((1, 1, 2, 10)) * MS
    return _part([rule], samples, {"good": kind, "start": kind})


def totals(draw: Random, steps: int) -> Part:
    """One flow, cut by lots, fixed intervals or both."""
    rule: dict[str, Any] = {"name": "water", "kind": "total", "unit": "LTR", "tag": "*.flow"}
    rule["per"] = draw.choice(("s", "min", "h"))
    if draw.random() < 0.7:
        rule["lot"] = "*.lot"
    if "lot" not in rule or draw.random() < 0.3:
        rule["every_s"] = draw.choice((0.01, 0.05))
    if "every_s" in rule and draw.random() < 0.2:
        rule["offset_s"] = 0.003
    if draw.random() < 0.3:
        rule["cut_on"] = ["lot", "context.order"] if "lot" in rule else ["context.lot"]
    samples, lot, event_ns = [], 1, BASE + draw.randint(0, 20) * MS
    for step in range(steps):
        if "lot" in rule and draw.random() < (0.8 if step == 0 else 0.2):
            lot += 1
            samples.append(Sample("m.lot", event_ns, lot))
        if step == 0 or draw.random() < 0.9:
            flow = draw.choice((0.0, 1.0, 0.1, 3.3, 1e-9, 123456.789, draw.random()))
            samples.append(Sample("m.flow", event_ns, flow))
        event_ns += draw.choice((1, 1, 2, 7, 30)) * MS + draw.choice((0, 0, 1, 999))
    return _part([rule], samples, {"flow": "f64"})


def states(draw: Random, steps: int) -> Part:
    """One machine's states, with SINCE or not; the order changes between the states that matter."""
    rule: dict[str, Any] = {"name": "stop", "kind": "state", "tag": "*.state", "states": [2, 3]}
    has_since = draw.random() < 0.5
    unit_ns = draw.choice((1, MS))
    if has_since:
        rule |= {"since": "*.since", "since_unit": "ns" if unit_ns == 1 else "ms"}
    if draw.random() < 0.5:
        rule["order"] = "*.order"
    if draw.random() < 0.5:
        rule["min_duration_s"] = draw.choice((0.002, 0.004))
        rule["micro"] = draw.choice(("flag", "drop", "fold"))
        rule["micro_every_s"] = draw.choice((0.02, 0.05, 1)) if rule["micro"] == "fold" else 3600
    if draw.random() < 0.5:
        rule["on"] = draw.choice(("end", "enter", "both"))
    if rule.get("on") == "enter":
        rule.pop("micro", None)
        rule.pop("micro_every_s", None)
    if draw.random() < 0.4:
        rule["names"] = draw.choice(("packml", {"1": "RUN", "2": "STOP", "3": "IDLE"}))
        named = ["Stopped", "Starting"] if rule["names"] == "packml" else ["STOP", "IDLE"]
        rule["states"] = draw.choice((named, [2, 3], ["*"]))
    samples, order, event_ns, state, since = [], 1, BASE, 1, BASE - 5 * MS
    for _ in range(steps):
        values: dict[str, Any] = {"state": state, "order": order, "since": since // unit_ns}
        known = {role: value for role, value in values.items() if role == "state" or role in rule}
        samples += [Sample(f"m.{role}", event_ns, value) for role, value in known.items()]
        event_ns += draw.choice((1, 1, 2, 5)) * MS
        changed = state if draw.random() < 0.4 else draw.randint(0, 4)
        if changed != state:
            state, since = changed, event_ns - draw.choice((0, 0, MS, 900_000))
            order += state not in (2, 3) and draw.random() < 0.4
    return _part([rule], samples, {})


def _part(rules: list[dict[str, Any]], samples: list[Sample], kinds: dict[str, str]) -> Part:
    tags = {s.tag for s in samples}
    return Part(rules, samples, {tag: kinds.get(tag.split(".")[1], "i64") for tag in tags})


# ---- windows ------------------------------------------------------------------------------------

_WILD = (0.0, -0.0, 1.0, -1.0, 0.1, 1e-300, 5e-324, 1e15, -1e15, 1e200, -1e200, 1e100, -1e100)


def windows(draw: Random, steps: int) -> Part:
    """Two tags in windows of two sizes; values that cancel; equal stamps."""
    rules = [
        {"name": "w", "kind": "window", "tag": "*.a", "size_s": draw.choice((0.01, 0.1))},
        {"name": "v", "kind": "window", "tag": "*.b", "size_s": 0.02},
        {"name": "e", "kind": "window", "tag": "*.a", "size_s": 0.05, "emit": "event"},
    ]
    rules[0]["offset_s"] = draw.choice((0, 0, 0.003))
    is_wild = draw.random() < 0.5
    samples, event_ns = [], BASE + draw.randint(-50, 50) * MS
    for _ in range(steps):
        event_ns += draw.choice((0, 1, 1, 3, 20)) * MS
        value = draw.choice(_WILD) if is_wild else draw.uniform(-100, 100)
        tag = draw.choice(("m.a", "m.b"))
        samples.append(Sample(tag, event_ns, value if tag == "m.a" else draw.randint(-9, 9)))
    return _part(rules, samples, {"a": "f64"})


SHAPES: dict[str, Callable[[Random, int], Part]] = {
    "counters": counters,
    "totals": totals,
    "states": states,
    "windows": windows,
}
