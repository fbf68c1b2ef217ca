"""Channel: what machines made becomes what an engine receives: bursts, ties, gaps, bad values,
disorder, clocks that jump, silence, several streams.

Everything is drawn from a Random, so that a seed is a recording.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

from oracle_recordings import BASE, MS, Part, Recording, S, config_of, machine

from oracle import Context, Operate, Receive, Record, Sample, Tick
from oracle.plan import ALARMS

BAD, UNCERTAIN = 0x8000, 0x4000
NAN = (float("nan"), float("inf"), float("-inf"))
BATCHES = ((1,), (1, 1, 1, 2, 5, 20), (1, 3, 64), (7,), (700,))  # samples a receive
LATENESSES_MS = (0, 0, 5, 20)
FUTURE_MAX_S = 100_000
INTERVALS = {"every_s", "micro_every_s"}
PERSON_NS = 777_777  # within a millisecond, where a person acts; samples stand elsewhere
VERSIONS = 8  # of an asset's context that may wait; beyond them the two oldest become one
ACTIONS = ("acknowledge", "shelve", "shelve", "unshelve", "reset")
SHELVES_MS = (1, 5, 50, 300, 2_000, 60_000, 7 * 86_400_000)


def _heard(part: Part, pattern: str) -> list[Sample]:
    """What is said of one role of the machine."""
    return [s for s in part.samples if s.tag.endswith(pattern.removeprefix("*"))]


def _leads(part: Part) -> Iterator[tuple[list[Sample], int]]:
    """What is said of each lot or order that cuts a window, and when the window's tag came."""
    for rule in part.rules:
        came_ns = min((s.time_ns for s in _heard(part, rule["tag"])), default=0)
        for role in sorted({"lot", "order"} & {*rule.get("cut_on", ())}):
            yield _heard(part, rule[role]), came_ns


def _changes_before(part: Part) -> bool:
    """Whether a lot or order changes before the first value of a window that it cuts."""
    return any(
        len({s.value for s in said if s.time_ns <= came_ns}) > 1 for said, came_ns in _leads(part)
    )


def _is_led(part: Part) -> bool:
    """Whether a lot or order is known before the first value of a window that it cuts."""
    return any(said and said[0].time_ns < came_ns for said, came_ns in _leads(part))


def _is_near(sample: Sample) -> bool:
    """It is used, and has a stamp."""
    return sample.time_ns is not None and _is_used(sample)


def _is_used(sample: Sample) -> bool:
    """Late or not: its stream is heard."""
    is_near = sample.time_ns is None or sample.time_ns < BASE + FUTURE_MAX_S * S
    return is_near and not sample.is_nan


def _is_ordered(rule: dict[str, Any]) -> bool:
    """A window that keeps no panes open for what comes: its samples wait for the watermark."""
    held = {"tw_mean", "integral", "share"} & {*rule.get("aggregates", ())}
    return bool(held or "session_gap_s" in rule or "count_n" in rule)


class Channel:
    """One way from the machines to the engine."""

    def __init__(self, draw: Random, parts: list[Part]) -> None:
        self.draw, self.parts = draw, parts
        self.lateness_ns = draw.choice(LATENESSES_MS) * MS
        self.disorder = draw.choice(("none", "none", "within", "beyond"))
        has_start = any("start" in rule for part in parts for rule in part.rules)
        if self.disorder == "beyond" and has_start:  # a first reading that is late is not specified
            self.disorder = "within"
        self.clock = draw.choice(("moving", "moving", "still", "ahead", "behind"))
        self.is_spoiled = draw.random() < 0.5
        self.has_ticks = draw.random() < 0.5
        self.has_silence = draw.random() < 0.25
        has_gaps = any(rule["kind"] == "gap" for part in parts for rule in part.rules)
        is_windowed = any(rule["kind"] == "window" for part in parts for rule in part.rules)
        # a tag is known with its first sample there: a lot before the values it is the lot of
        cuts = {cut for part in parts for rule in part.rules for cut in rule.get("cut_on", ())}
        is_told = any(cut.startswith("context.") for cut in cuts)
        # where it changed before the tag came, nobody remembers when: the window begins at the grid
        may_be_packed = is_windowed and not is_told and not any(map(_changes_before, parts))
        self.is_led = may_be_packed and any(map(_is_led, parts)) and draw.random() < 0.6
        if self.is_led:
            self.has_ticks = False
            self.disorder = draw.choice(("none", "within")) if len(parts) == 1 else "none"
        # what is late for a window that is not there yet nobody counts
        is_ahead = len(parts) > 1 and self.disorder == "within"  # the first instant of the last
        may_be_late = self.disorder == "beyond" or self.has_ticks or is_ahead
        may_be_packed = may_be_packed and not may_be_late
        is_late_known = may_be_packed and (self.is_led or draw.random() < 0.5)
        has_lots = any("lot" in rule or "order" in rule for part in parts for rule in part.rules)
        may_be_several = not is_windowed or not (is_told or has_lots)
        several = (1, 1, 2, 3) if is_windowed else (1, 1, 1, 3)
        self.streams = draw.choice(several) if may_be_several else 1
        # of tags that come late nobody counts what was late: else each stream names its own at once
        self.is_named = is_windowed and (not may_be_packed or draw.random() < 0.5)
        self.is_packed = has_gaps or self.streams > 1 or is_late_known
        self.is_windowed, self.known = is_windowed, set[str]()
        is_kept = all(map(_is_ordered, (rule for part in parts for rule in part.rules)))
        may_be_far = is_kept and len(parts) >= self.streams  # each will be heard of again
        self.is_near = is_windowed and not (may_be_far and draw.random() < 0.5)
        hops = any("hop_s" in rule for part in parts for rule in part.rules)
        self.pane_ns = (5 if hops else 10) * MS  # the shortest, of rules that change as well
        self.newest_ns = dict.fromkeys(range(1, self.streams + 1), BASE - S)  # by stream
        self.asleep = set[int]()  # streams that are idle, until something comes
        self.is_soon_idle = self.may_sleep = False  # drawn with the source; before each receive
        self.has_slept = False  # any: in another life it would hold the watermark again
        panes = (0, 0.5, 1, 3) if self.is_near else (0, 2, 100)
        may_lag = self.is_named and self.streams > 1
        lags = [draw.choice(panes) if may_lag else 0 for _ in range(self.streams)]
        self.lag_ns = [round(lag * self.pane_ns) for lag in lags]  # of each, behind the others
        self.lost_share = draw.choice((0.02, 0.1, 0.5)) if has_gaps else 0.0
        self.batches = draw.choice(BATCHES)
        rules = [rule for part in parts for rule in part.rules]
        self.is_fine = any(INTERVALS & rule.keys() for rule in rules)  # each makes an event
        # while an interval is open the oracle takes each TICK to count, an engine journals those by
        # which something is due: of two in a row the second may be seen by the oracle only
        self.has_lone_ticks = any(rule["kind"] in ("counter", "total", "state") for rule in rules)

    def of_silence(self, rule: dict[str, Any]) -> dict[str, Any]:
        """A rule that comes while it runs: an hour of silence in its intervals makes hundreds of
        events, not a hundred thousand.
        """
        if self.is_fine or not self.has_silence or "every_s" not in rule:
            return rule
        return {**rule, "every_s": rule["every_s"] * 1000}

    # ---- samples --------------------------------------------------------------------------------

    def spoil(self, samples: list[Sample], types: dict[str, str]) -> list[Sample]:
        """Some are bad, uncertain, no number, too far ahead, twice, or have no stamp."""
        if not self.is_spoiled:
            return samples
        draw, made = self.draw, []
        first = {machine(s): s.time_ns for s in reversed(samples)}
        unstamped = self.disorder == "none" and self.clock == "moving" and draw.random() < 0.3
        unstamped = unstamped and not (self.streams > 1 and self.has_ticks)  # ahead of all others
        for sample in samples:
            turn = draw.random()
            if sample.time_ns == first[machine(sample)]:
                turn = 1.0  # what it says of itself at first
            if turn < 0.04:
                sample = replace(sample, quality=BAD)
            elif turn < 0.06:
                sample = replace(sample, quality=UNCERTAIN)
            elif turn < 0.08 and types[sample.tag] == "f64":
                made.append(replace(sample, value=draw.choice(NAN)))
            elif turn < 0.09:
                made.append(replace(sample, time_ns=sample.time_ns + 2 * FUTURE_MAX_S * S))
            elif turn < 0.12:
                made.append(sample)  # and again: a tie
            elif turn < 0.13 and unstamped:
                sample = replace(sample, time_ns=None)
            made.append(sample)
        return made

    def reorder(self, samples: list[Sample]) -> list[Sample]:
        """Within lateness, or beyond it; the machines' first instants, with their roles, lead. A
        stream may lag behind the others.
        """
        if self.disorder == "none" and not any(self.lag_ns):
            return samples
        draw, names = self.draw, sorted({machine(sample) for sample in samples})
        beyond_ns = self.lateness_ns * 2 + 3 * MS
        most_ns = {"none": 0, "within": self.lateness_ns, "beyond": beyond_ns}[self.disorder]
        first = {machine(s): s.time_ns for s in reversed(samples)}
        by_instant = draw.random() < 0.5
        late = {s.time_ns: draw.randint(0, most_ns) for s in samples}
        arrival = []
        for i, sample in enumerate(samples):
            delay_ns = late[sample.time_ns] if by_instant else draw.randint(0, most_ns)
            delay_ns += self.lag_ns[names.index(machine(sample)) % self.streams]
            is_first = sample.time_ns == first[machine(sample)]
            arrival.append((BASE - S if is_first else sample.time_ns + delay_ns, i, sample))
        arrival.sort(key=lambda each: each[:2])
        return [sample for _, _, sample in arrival]

    def stretch(self, samples: list[Sample]) -> list[Sample]:
        """Silence: from some samples on, everything comes later."""
        if not self.has_silence:
            return samples
        seconds = self.draw.choice((0.2, 0.5, 1) if self.is_fine else (1, 70, 3600))
        at = {self.draw.randrange(len(samples)): round(seconds * S)}
        shift_ns, made = 0, []
        for i, sample in enumerate(samples):
            shift_ns += at.get(i, 0)
            value = sample.value
            if ".since" in sample.tag:  # the machine's own stamp goes on as well
                value += shift_ns if value > BASE // 1000 else shift_ns // MS
            made.append(replace(sample, time_ns=sample.time_ns + shift_ns, value=value))
        return made

    # ---- records --------------------------------------------------------------------------------

    def records(self, samples: list[Sample], types: dict[str, str]) -> list[Record]:
        """In receives of a drawn size, with engine time; ticks between them."""
        draw, records = self.draw, list[Record]()
        names, heard = sorted({machine(sample) for sample in samples}), set[str]()
        now_ns = BASE + {"still": 7200 * S, "behind": -30 * S}.get(self.clock, 0)
        lag_ns = draw.choice((1, 40, 900)) * MS if self.clock == "ahead" else 0
        start = 0
        for stream in range(1, self.streams + 1 if self.streams > 1 else 1):
            hello = Sample(f"hello{stream}", BASE - S, 0)  # known before another is ahead
            mine = names[stream - 1 :: self.streams] if self.is_named else []
            tags = sorted({sample.tag for sample in samples if machine(sample) in mine})
            first = [Sample(tag, BASE - S, 0.0 if types[tag] == "f64" else 0) for tag in tags]
            records.append(Receive(now_ns, "s", (hello, *first), stream))
        while start < len(samples):
            piece = self._fitting(samples[start : start + draw.choice(self.batches)])
            piece = self._near(piece)
            heard_of = {names.index(machine(s)) % self.streams + 1 for s in piece}
            # where all are idle already the engine keeps a tick only if it ends something
            self.may_sleep = self.is_soon_idle and not any(
                isinstance(r, Tick) for r in records[-1:]
            )
            records += self._following(piece, heard_of, now_ns)
            now_ns = max([now_ns, *(r.now_ns for r in records[-1:] if isinstance(r, Tick))])
            start += len(piece)
            stamps = [s.time_ns for s in piece if s.time_ns is not None]
            newest = [t for t in stamps if t < BASE + FUTURE_MAX_S * S]
            if self.clock in ("moving", "ahead") and newest:
                now_ns = max(now_ns, max(newest) + lag_ns)
            elif self.clock == "behind":
                now_ns += draw.choice((0, 0, 1)) * MS
            for stream in range(self.streams):
                mine = [s for s in piece if names.index(machine(s)) % self.streams == stream]
                if mine:
                    is_lossy = self.lost_share and draw.random() < self.lost_share
                    lost = draw.choice((1, 2, 3, 10, 1000)) if is_lossy else 0
                    records.append(Receive(now_ns, "s", tuple(mine), stream + 1, lost))
                    stamps = [s.time_ns for s in mine if _is_near(s)]
                    self.newest_ns[stream + 1] = max([self.newest_ns[stream + 1], *stamps])
            heard |= {machine(sample) for sample in piece}
            is_ticked = self.has_ticks and len(heard) == len(names) and draw.random() < 0.15
            if is_ticked and (any(map(_is_used, piece)) or not self.has_lone_ticks):
                now_ns += draw.choice((0, 1, 2, 5, 60, 300)) * MS
                records.append(Tick(now_ns))
        if self.has_ticks:
            lasts: tuple[int, ...] = (300 * MS, S) if self.is_fine else (2 * S, 90 * S)
            if self.has_lone_ticks:
                lasts = () if isinstance(records[-1], Tick) else lasts[1:]
            records += [Tick(now_ns + after_ns) for after_ns in lasts]
        return records

    def _near(self, piece: list[Sample]) -> list[Sample]:
        """Windows have a few panes open, one more than lateness asks for: streams that share a
        watermark lie no further apart than a pane, or one of them is an instant ahead.
        """
        if self.streams == 1 or not self.is_near:
            return piece
        reached_ns, ahead = max(self.newest_ns.values()), set[int]()
        for count, sample in enumerate(piece):
            if not _is_near(sample) or sample.time_ns <= reached_ns:
                continue
            ahead.add(sample.time_ns)
            if len(ahead) > 1 and max(ahead) > reached_ns + self.pane_ns:
                return piece[:count]
        return piece

    def _following(self, piece: list[Sample], heard_of: set[int], now_ns: int) -> list[Record]:
        """Streams that would lie further back than that say before it that they are there, or all
        fall idle.
        """
        if self.streams == 1 or not self.is_near:
            return []
        reached_ns = max(self.newest_ns.values())
        least_ns = max((s.time_ns for s in piece if _is_near(s)), default=reached_ns) - self.pane_ns
        self.asleep -= heard_of
        awake = self.newest_ns.keys() - self.asleep
        behind = [k for k in sorted(awake) if self.newest_ns[k] < least_ns]
        if behind and self.may_sleep and heard_of.isdisjoint(behind) and self.draw.random() < 0.3:
            self.asleep, self.has_slept = self.newest_ns.keys() - heard_of, True
            return [Tick(now_ns + 50 * MS)]
        self.newest_ns |= dict.fromkeys(behind, least_ns)
        hellos = [Sample(f"hello{k}", least_ns, 0) for k in behind]
        return [Receive(now_ns, "s", (hello,), k) for k, hello in zip(behind, hellos, strict=True)]

    def told(self, records: list[Record]) -> list[Record]:
        """What runs at the assets, where a rule cuts on it."""
        roles: dict[str, list[str]] = {}
        for part in self.parts:
            cuts = sorted({role for rule in part.rules for role in rule.get("cut_on", ())})
            told = [role.removeprefix("context.") for role in cuts if role.startswith("context.")]
            roles |= {machine(sample): told for sample in part.samples if told}
        if not roles:
            return records
        draw, newest_ns, share = self.draw, 0, self.draw.choice((0.02, 0.1))
        assets = sorted(roles)
        now, heard, changes = Counter[tuple[str, str]](), set[str](), Counter(assets)
        at_ns = dict.fromkeys(assets, BASE - 10 * S)
        made: list[Record] = [
            Context(asset, {role: f"{role} 0" for role in roles[asset]}, at_ns[asset])
            for asset in assets
        ]
        for record in records:
            asset = draw.choice(assets)
            is_known = asset in heard or not self.is_windowed
            # a stream that says no more than hello holds the watermark, and all of them wait
            is_held = self.streams > len(self.parts) and changes[asset] == VERSIONS
            if draw.random() < share and is_known and not is_held:
                told = [role for role in roles[asset] if draw.random() < 0.7]
                now.update((asset, role) for role in told if draw.random() < 0.8)
                wanted_ns = newest_ns + draw.choice((-30, -3, 0, 0, 1, 20)) * MS
                if wanted_ns > at_ns[asset]:  # an engine holds a few that wait, not any number
                    at_ns[asset] = wanted_ns
                    changes[asset] += 1
                    values = {role: f"{role} {now[asset, role]}" for role in told}
                    made.append(Context(asset, values, wanted_ns))
            made.append(record)
            if isinstance(record, Receive):
                stamps = [s.time_ns for s in record.samples if s.time_ns is not None]
                near = [t for t in stamps if t < BASE + FUTURE_MAX_S * S]
                newest_ns = max([newest_ns, *near])
                heard |= {machine(sample) for sample in record.samples}
        return made

    def operated(self, records: list[Record]) -> list[Record]:
        """People act on alarms, somewhere; never at a sample's stamp to the nanosecond nor two at
        one T: a reset and a clear ahead of T, or two acts on rules of one name and another kind,
        may share their id there (known faults of the engine).
        """
        draw, made, now_ns = self.draw, list[Record](), 0
        rules = [r for part in self.parts for r in part.rules if r["kind"] in ALARMS]
        if not rules or draw.random() < 0.5:
            return records
        share, known = draw.choice((0.02, 0.1, 0.3)), set[str]()
        for record in records:
            made.append(record)
            if isinstance(record, Receive):
                known |= {sample.tag for sample in record.samples}
                now_ns = max(now_ns, record.recv_time_ns)
            elif isinstance(record, Tick):
                now_ns = max(now_ns, record.now_ns)
            rule = draw.choice(rules)
            tags = sorted(tag for tag in known if tag.endswith(rule["tag"].removeprefix("*")))
            if tags and draw.random() < share:
                action = draw.choice(ACTIONS)
                at_ns = max(now_ns + 1, now_ns // MS * MS + PERSON_NS) + draw.choice((0, 0, 1)) * MS
                until_ns = at_ns + draw.choice(SHELVES_MS) * MS if action == "shelve" else None
                by = draw.choice(("uid:0", "uid:1000", "Frau Ä"))
                tag = draw.choice(tags)
                now_ns = at_ns
                made.append(Operate(action, rule["name"], tag, by, until_ns, at_ns))
        return made

    def _fitting(self, piece: list[Sample]) -> list[Sample]:
        """As many as one packed message can hold: stamps all or none, within 4 s. A message makes
        all its tags known before its first sample: one that is led brings what is new at its front.
        """
        if not self.is_packed:
            return piece
        for count, sample in enumerate(piece):
            if self.is_led and sample.tag not in self.known and count:
                return piece[:count]
            self.known.add(sample.tag)
            if (sample.time_ns is None) != (piece[0].time_ns is None):
                return piece[:count]
            stamps = [s.time_ns for s in piece[: count + 1] if s.time_ns is not None]
            if stamps and max(stamps) - min(stamps) > 4 * S:
                return piece[:count]
        return piece

    def recording(self, **source: Any) -> Recording:
        """All machines of the plant through this channel."""
        types = {tag: kind for part in self.parts for tag, kind in part.types.items()}
        samples = sorted(
            (sample for part in self.parts for sample in part.samples), key=lambda s: s.time_ns
        )
        samples = self.stretch(samples)
        samples = self.reorder(samples)
        samples = self.spoil(samples, types)
        self.is_soon_idle = self.has_ticks and self.draw.random() < 0.7
        idle_after_s = 0.05 if self.is_soon_idle else 10_000
        rules = [rule for part in self.parts for rule in part.rules]
        config = config_of(
            rules,
            lateness_s=self.lateness_ns / S,
            idle_after_s=idle_after_s,
            future_max_s=FUTURE_MAX_S,
            **source,
        )
        records = self.operated(self.told(self.records(samples, types)))
        types |= {f"hello{stream}": "i64" for stream in range(1, self.streams + 1)}
        wire = "packed" if self.is_packed else "columns"
        return Recording(config, tuple(records), types, wire)
