"""compare: this tree against a git revision, both built here and run in turns; or against a file.

Of each figure only our own side runs: once for this build, once for the other, the order turned
round from pair to pair, for some seconds a figure. The bench's own programs are this tree's on both
sides, over the other's native/: what differs is the engine. Where this tree's programs do not
compile over the other engine, the other's own are taken.
"""

from __future__ import annotations

import hashlib
import math
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import bench_instructions
from builds import BUILD, configure_and_build
from figure import Figure, is_bigger_better, rounded
from machine import ROOT
from measure import Bench, Sizes, Skip
from pairs import CONFIDENCE, SAME, SLOWER, Effect, Verdict, effect_of, verdict_of

SECONDS = 7.5  # a figure, instructions apart
AT = ROOT / "build" / "bench-at"
PAIRS_MIN, PAIRS_MAX = 4, 60
RING_BYTES = 1 << 24  # wraps within a reading, so that a warm-up need not be long
SAMPLES = 40_000  # whose instructions are counted
WITNESS: Mapping[str, str] = {  # figures that begin so: where their instructions are counted
    "zmtp.packed64.": "instructions.zmtp.packed64",
    "zmtp.json64.": "instructions.zmtp.json64",
    "zmtp.block64.": "instructions.zmtp.block64",
    "nats.packed64.": "instructions.nats.packed64",
    "feed.random1k.": "instructions.feed",
}
HEAD = (
    "figure",
    "this",
    "base",
    "ratio",
    f"{CONFIDENCE} interval",
    "instructions",
    "verdict",
    "by",
)


class Refused(Exception):
    """Cannot be compared; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One figure of two builds. Ratios: bigger is better, 0.9 is a tenth more cost or less rate."""

    name: str
    unit: str
    ours: float
    base: float
    effect: Effect
    instructions: float | None  # log-ratio of cost
    verdict: Verdict

    def ratios(self) -> tuple[float, float, float]:
        """Lowest, estimated and highest ratio."""
        cost = (self.effect.high, self.effect.middle, self.effect.low)
        low, middle, high = (math.exp(-each) for each in cost)
        return low, middle, high

    def cells(self) -> tuple[str, ...]:
        low, middle, high = self.ratios()
        counted = "" if self.instructions is None else f"{math.exp(-self.instructions):.3f}"
        span = f"{low:.3f} to {high:.3f}"
        return (self.name, f"{self.ours:,.2f} {self.unit}", f"{self.base:,.2f}", f"{middle:.3f}",
                span, counted, self.verdict.word, self.verdict.why)  # fmt: skip

    def figure(self, bench: Bench, base: str) -> Figure:
        """The same as a line of JSON."""
        low, middle, high = self.ratios()
        parts = {"ratio_low": rounded(low), "ratio_high": rounded(high)}
        if self.instructions is not None:
            parts["instructions_ratio"] = rounded(math.exp(-self.instructions))
        told = f"{self.verdict.word} than {base}" if self.verdict.word != SAME else SAME
        found = bench.plain(self.name, self.unit, [self.ours], [self.base], n=self.effect.pairs,
                            wire="pairs of runs", note=f"{told}: {self.verdict.why}")  # fmt: skip
        return replace(found, ratio=rounded(middle), parts=parts)


# ---- the other build ---------------------------------------------------------------------------


def git(*words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Refused(f"git {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout.strip()


def programs_digest() -> str:
    """Of what both sides are built from beside the engine."""
    sha = hashlib.sha256()
    for path in (ROOT / "bench" / "CMakeLists.txt", *sorted((ROOT / "bench/native").iterdir())):
        sha.update(path.read_bytes())
    return sha.hexdigest()[:8]


def build_revision(revision: str, say: Callable[[str], None]) -> Path:
    """The programs over that revision's engine, in build/bench-at/; built once."""
    full = git("rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    folder = AT / f"{full[:12]}-{programs_digest()}"
    if (folder / "whole").exists():
        return folder
    say(f"building {revision} ({full[:12]})")
    tree = Path(tempfile.mkdtemp(prefix="penstock-revision-")) / "tree"
    try:
        git("worktree", "add", "--detach", "--force", str(tree), full)
        told = configure_and_build(ROOT / "bench", folder, f"-DBENCH_NATIVE={tree / 'native'}")
        if told and (tree / "bench" / "CMakeLists.txt").exists():
            say("  this tree's programs do not compile over it: its own are taken")
            shutil.rmtree(folder, ignore_errors=True)
            told = configure_and_build(tree / "bench", folder)
        if told:
            raise Refused(f"{revision} does not build:\n{told}")
        (folder / "whole").write_text(full)
    finally:
        shutil.rmtree(tree.parent, ignore_errors=True)
        git("worktree", "prune")
    return folder


# ---- pairs -------------------------------------------------------------------------------------


def compare_one(
    bench: Bench,
    module: ModuleType,
    name: str,
    base: Path,
    seconds: float = SECONDS,
    is_counted: bool = True,
) -> Comparison:
    """One figure of the bench's own build against the one in ``base``. Without ``is_counted`` by
    time alone.
    """
    this = bench.build
    ours: list[float] = []
    theirs: list[float] = []
    unit = ""
    begin = time.monotonic()
    while len(ours) < PAIRS_MAX:
        is_even = len(ours) % 2 == 0
        for build in (this, base) if is_even else (base, this):
            figure = read(bench, module, name, build)
            assert figure.value is not None
            unit = figure.unit
            (ours if build == this else theirs).append(figure.value)
        spent = time.monotonic() - begin
        if len(ours) >= PAIRS_MIN and spent + spent / len(ours) > seconds:
            break
    bench.build = this
    costs = (theirs, ours) if is_bigger_better(unit) else (ours, theirs)
    effect = effect_of(*costs)
    counted = count_instructions(bench, name, base) if is_counted else None
    return Comparison(name, unit, statistics.median(ours), statistics.median(theirs), effect,
                      counted, verdict_of(effect, counted))  # fmt: skip


def read(bench: Bench, module: ModuleType, name: str, build: Path) -> Figure:
    """One reading of one build; refuses what compares nothing."""
    bench.build, bench.is_used = build, False
    figure: Figure = module.run(bench, name)
    if figure.value is None:
        raise Refused(f"{name} with {build}: {figure.note}")
    if not bench.is_used:
        raise Skip("it measures the installed Python package, which is the same on both sides")
    return figure


def count_instructions(bench: Bench, name: str, base: Path) -> float | None:
    """Log-ratio of the instructions a sample takes; None where they cannot be counted."""
    witness = next((w for start, w in WITNESS.items() if name.startswith(start)), None)
    if witness is None or not shutil.which("valgrind"):
        return None
    this, counts = bench.build, []
    try:
        for build in (this, base):
            bench.build = build
            value, problem = bench_instructions.count(bench, witness, SAMPLES)
            if problem:
                raise Refused(f"{witness} with {build}: {problem}")
            counts.append(value)
    finally:
        bench.build = this
    return math.log(counts[0] / counts[1])


def compare_builds(
    bench: Bench,
    chosen: Sequence[tuple[ModuleType, str]],
    base: Path,
    say: Callable[[str], None],
    seconds: float = SECONDS,
    is_counted: bool = True,
) -> list[Comparison]:
    """Every figure that can be compared; the others are named."""
    found = []
    for module, name in chosen:
        try:
            found.append(compare_one(bench, module, name, base, seconds, is_counted))
            say("  ".join(found[-1].cells()))
        except Skip as missing:
            say(f"{name}: not compared: {missing}")
    return found


def bench_for(box: Mapping[str, Any], sizes: Sizes | None = None, build: Path = BUILD) -> Bench:
    """A bench that takes only our own side, in short readings, and says nothing of each."""
    return Bench(sizes or Sizes.short(), box, lambda _: None, ring_bytes=RING_BYTES, build=build,
                 is_alone=True)  # fmt: skip


def is_slower(found: Sequence[Comparison]) -> bool:
    return any(each.verdict.word == SLOWER for each in found)
