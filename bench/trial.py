"""trial: is the tester right? A build against its twin, and against one slowed down on purpose.

    python3 tools/dev.py bench-trial [--runs 20] [--only GLOB] [--seconds S]

Three builds of this tree: the base, its twin, and one whose judging thread takes 10 % more CPU
(native/plant_slow.c). A run is what --compare does on three figures, one a wire and the columns, by
time alone: counted instructions, which decide on a noisy machine, would make it too easy.
Of the runs of the twin at most one in twenty may say anything but "no difference" of any figure;
of the slowed ones nineteen in twenty must be caught: a figure "slower", and none "faster".
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import compare
from builds import build
from machine import ROOT
from measure import Sizes
from pairs import FASTER, SAME, SLOWER
from run import chosen, clock, say

FIGURES = "zmtp.packed64.vs_raw,nats.packed64.vs_natsc_cpu,feed.random1k.vs_memory"
SLOW_PERCENT = 10
SECONDS = 9.0  # a figure: what --compare takes with its counts
BUILDS = ROOT / "build" / "bench-trial"
IN_TWENTY = 20


@dataclass(slots=True)
class Side:
    """All runs of one build against the base."""

    label: str
    build: Path
    words: list[list[str]] = field(default_factory=list)  # a run: the verdict of each figure
    longest_s: float = 0.0

    def count(self, is_so: Callable[[list[str]], bool]) -> int:
        return sum(is_so(run) for run in self.words)

    def figures(self) -> str:
        said = Counter(word for run in self.words for word in run)
        return ", ".join(f"{word} {said[word]}" for word in (SLOWER, FASTER, SAME) if said[word])


def is_alarm(words: Sequence[str]) -> bool:
    return any(word != SAME for word in words)


def is_caught(words: Sequence[str]) -> bool:
    return SLOWER in words and FASTER not in words


def make_builds(folder: Path = BUILDS) -> tuple[Path, Side, Side]:
    """The base, its twin and the slow one."""
    slow = f"-DBENCH_PLANT_SLOW={SLOW_PERCENT}"
    for name, defines in (("base", ()), ("twin", ()), ("slow", (slow,))):
        say(f"building {name}")
        build(folder / name, *defines)
    return (folder / "base", Side("twin", folder / "twin"),
            Side(f"{SLOW_PERCENT} % slower", folder / "slow"))  # fmt: skip


def one_run(base: Path, side: Side, only: str, seconds: float, sizes: Sizes | None = None) -> None:
    begin = time.monotonic()
    bench = compare.bench_for({}, sizes, side.build)
    found = compare.compare_builds(bench, chosen(only), base, say, seconds, is_counted=False)
    side.words.append([each.verdict.word for each in found])
    side.longest_s = max(side.longest_s, time.monotonic() - begin)


def summary(twin: Side, slow: Side) -> tuple[str, bool]:
    """One line, and whether the tester passes."""
    runs = len(twin.words)
    alarms, caught = twin.count(is_alarm), slow.count(is_caught)
    passes = alarms * IN_TWENTY <= runs and (runs - caught) * IN_TWENTY <= runs
    text = (
        f"trial: {alarms} false alarms in {runs} runs of a twin ({twin.figures()}); "
        f"{slow.label} caught in {caught} of {runs} ({slow.figures()}); "
        f"load {os.getloadavg()[0]:.1f}, longest run {max(twin.longest_s, slow.longest_s):.0f} s: "
        f"{'pass' if passes else 'FAIL'}"
    )
    return text, passes


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=20, metavar="N")
    parser.add_argument("--only", default=FIGURES, metavar="GLOB")
    parser.add_argument("--seconds", type=float, default=SECONDS, metavar="S")
    options = parser.parse_args()
    base, twin, slow = make_builds()
    begin = time.monotonic()
    for run in range(options.runs):
        say(f"[{run + 1}/{options.runs}, {clock(time.monotonic() - begin)} gone]")
        for side in (twin, slow):
            say(f" {side.label}")
            one_run(base, side, options.only, options.seconds)
    text, passes = summary(twin, slow)
    print(text)
    return 0 if passes else 1


if __name__ == "__main__":
    sys.exit(main())
