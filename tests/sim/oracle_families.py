"""Families: each kind of rule and window, drawn by the hundred samples; the runs that drive engine
and oracle with them, and what those runs count.

A seed is an example: family, machines, channel, wire, block sizes and lives all come from it.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import oracle_alarms as alarms
import oracle_recordings as rec
import oracle_windows as windows
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from oracle_channel import Channel
from oracle_clocks import with_regress
from oracle_drive import Way, differences, play
from oracle_lives import play_lives, with_all, with_changes, with_reloads, with_restarts
from oracle_recordings import Part, Recording

from oracle import Context, Judge, Receive

SAMPLES_MEDIAN = 200
EVENT_SHARE = 0.2
WORKERS = int(os.environ.get("PENSTOCK_ORACLE_WORKERS", "2"))
HOWS = ("whole", "whole", "cut", "cut", "cut", "close", "kill", "reload")
CHANGED = (*HOWS, "change", "change", "all")
BOTH = (*CHANGED, "regress")


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of rule: how its machines are drawn, and how many steps make 200 samples."""

    draw: Callable[[Random, int], Part]
    steps: int
    machines: tuple[int, ...] = (1, 1, 2, 3)
    hows: tuple[str, ...] = HOWS
    weight: int = 11  # part of all examples; what is slow to judge has fewer


FAMILIES: dict[str, Family] = {
    "limit": Family(alarms.limits, 212, hows=BOTH),
    "rate": Family(alarms.rates, 212, hows=BOTH),
    "stuck": Family(alarms.stuck, 212, hows=BOTH),
    "freshness": Family(alarms.freshness, 212, hows=BOTH),
    "gap": Family(alarms.gaps, 212, hows=BOTH, weight=4),
    "counter": Family(rec.counters, 142, hows=BOTH),
    "total": Family(rec.totals, 206, hows=BOTH),
    "state": Family(rec.states, 105, hows=BOTH),
    "tumbling": Family(windows.tumbling, 212, hows=BOTH, weight=4),
    "figures": Family(windows.figures, 212, hows=BOTH, weight=4),
    "hopping": Family(windows.hopping, 212, hows=BOTH, weight=4),
    "session": Family(windows.sessions, 212, hows=BOTH, weight=4),
    "count": Family(windows.counts, 212, hows=BOTH, weight=4),
    "held": Family(windows.held, 212, hows=(*HOWS, "regress"), weight=2),
    "cut": Family(windows.cuts, 212, hows=(*HOWS, "regress"), weight=3),
}


def share_of(family: str, examples: int) -> int:
    """How many of all examples are this family's."""
    whole = sum(each.weight for each in FAMILIES.values())
    return -(-examples * FAMILIES[family].weight // whole)


@dataclass(slots=True)
class Tally:
    """What the examples of one family were."""

    family: str
    seeds: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    with_event: int = 0
    hows: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def examples(self) -> int:
        """How many."""
        return len(self.sizes)

    @property
    def median(self) -> float:
        """Samples of the median example."""
        return statistics.median(self.sizes)

    @property
    def event_share(self) -> float:
        """Part of the examples that made an event or closed a window."""
        return self.with_event / self.examples

    def add(self, other: Tally) -> None:
        """Another process's."""
        self.seeds += other.seeds
        self.sizes += other.sizes
        self.with_event += other.with_event
        self.hows += other.hows
        self.seconds += other.seconds

    def line(self) -> str:
        """For the end of the run."""
        hows = ", ".join(f"{how} {count}" for how, count in sorted(self.hows.items()))
        seeds = " ".join(map(str, self.seeds))
        return (
            f"{self.family:<10} {self.examples:>7} examples, median {self.median:g} samples, "
            f"{self.event_share:.0%} with an event, {self.seconds:.0f} s; {hows}; seeds {seeds}"
        )


def example(family: str, number: int) -> tuple[Recording, Way, str, Random]:
    """The example of a number."""
    draw = Random(f"{family} {number}")
    made = FAMILIES[family]
    count = draw.choice(made.machines)
    steps = max(1, made.steps * draw.choice((1, 2, 2, 2, 2, 3)) // 2 // count)
    parts = [made.draw(draw, steps) for _ in range(count)]
    if count > 1:
        parts = [part.renamed(i) for i, part in enumerate(parts)]
    channel = Channel(draw, parts)
    recording = channel.recording()
    how = draw.choice(made.hows)
    if how == "regress" and not _may_regress(recording):
        how = "cut"
    if channel.has_slept:
        how = {"close": "cut", "kill": "cut", "all": "change"}.get(how, how)
    if how in ("close", "kill"):
        recording = with_restarts(recording, draw, how)
    elif how in ("change", "all"):
        others = [made.draw(draw, 2) for _ in parts]
        if count > 1:
            others = [part.renamed(i) for i, part in enumerate(others)]
        rules = [channel.of_silence(rule) for part in others for rule in part.rules]
        change = with_changes if how == "change" else with_all
        recording = change(recording, draw, rules)
    elif how == "regress":
        recording = with_regress(recording, draw)
    elif how == "reload":
        recording = with_reloads(recording, draw)
    way = Way(recording.wire, None if how == "whole" else draw)
    return recording, way, how, draw


def _may_regress(recording: Recording) -> bool:
    """One stream of one clock; nothing that people say by another."""
    streams = {r.stream for r in recording.records if isinstance(r, Receive)}
    return len(streams) == 1 and not any(isinstance(r, Context) for r in recording.records)


def check(family: str, number: int, tally: Tally) -> None:
    """One example through both; raises where they differ."""
    recording, way, how, draw = example(family, number)
    outcome = Judge(recording.config).run(recording.records)
    if how in ("close", "kill", "all"):
        run = play_lives(recording, way, draw)
    else:
        run = play(recording.config, recording.records, recording.types, cut=way.cut, wire=way.wire)
    wrong = differences(outcome, run)
    assert not wrong, f"{family} {number} ({how}): {recording.config}\n" + "\n".join(wrong[:20])
    tally.sizes.append(sum(_sizes(recording)))
    tally.with_event += bool(outcome.events or outcome.results)
    tally.hows[how] += 1


def _sizes(recording: Recording) -> Iterator[int]:
    """Samples of machines: a stream that only says that it is there counts for nothing."""
    for record in recording.records:
        if isinstance(record, Receive):
            yield sum(not sample.tag.startswith("hello") for sample in record.samples)


def run_examples(
    family: str, count: int, first: int, begun: Callable[[], None] = lambda: None
) -> Tally:
    """``count`` examples, chosen by Hypothesis from its seed ``first``; ``begun``: before each."""
    tally = Tally(family, [first])
    begin = time.monotonic()

    @seed(first)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**63 - 1))
    def drawn(number: int) -> None:
        begun()
        check(family, number, tally)

    drawn()
    tally.seconds = time.monotonic() - begin
    return tally


def run_family(family: str, count: int, first: int) -> Tally:
    """In ``WORKERS`` processes at once."""
    whole = Tally(family)
    context = multiprocessing.get_context("forkserver")
    with ProcessPoolExecutor(WORKERS, mp_context=context, initializer=_paths) as pool:
        share = -(-count // WORKERS)
        runs = [pool.submit(run_examples, family, share, first + i) for i in range(WORKERS)]
        for done in runs:
            whole.add(done.result())
    return whole


def _paths() -> None:
    here = Path(__file__).resolve().parent
    sys.path[:0] = [str(here), str(here.parent)]
