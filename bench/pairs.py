"""pairs: what readings taken in pairs say about two builds. Pure arithmetic, robust on a noisy box.

The effect is the Hodges-Lehmann estimate of the log-ratios of cost (the median of all means of two
of them), its interval the one that Wilcoxon's signed rank test would not refuse at 3 in 1,000. Both
need no normal noise, only noise that falls on either side alike: the order within a pair turns
round each time. A verdict wants more than significance: an effect that is worth a line, MINIMUM.

Time decides where it can tell. Where it cannot, because the machine is noisy or the pairs are few,
counted instructions decide, which no neighbour disturbs.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

MINIMUM = 0.05  # of cost
INSTRUCTIONS_MINIMUM = 0.04
CONFIDENCE = "99.7 %"  # so that a day of comparisons does not cry wolf
Z = 2.968
PAIRS_TOLD = 10  # with fewer, no order of ranks is as rare as that
SLOWER, FASTER, SAME = "slower", "faster", "no difference"


@dataclass(frozen=True, slots=True)
class Effect:
    """Log-ratio of cost, ours over the base: above 0 is slower; and its interval."""

    middle: float
    low: float
    high: float
    pairs: int

    @property
    def reach(self) -> float:
        """How far the interval goes to its wider side."""
        return max(self.high - self.middle, self.middle - self.low)


@dataclass(frozen=True, slots=True)
class Verdict:
    word: str
    why: str


def effect_of(ours: Sequence[float], base: Sequence[float]) -> Effect:
    """Costs in pairs, as they were taken."""
    logs = [math.log(mine / other) for mine, other in zip(ours, base, strict=True)]
    count = len(logs)
    walsh = sorted((logs[i] + logs[k]) / 2 for i in range(count) for k in range(i, count))
    spread = math.sqrt(count * (count + 1) * (2 * count + 1) / 24)
    cut = max(0, math.floor(len(walsh) / 2 - Z * spread))
    return Effect(statistics.median(walsh), walsh[cut], walsh[-1 - cut], count)


def verdict_of(effect: Effect, instructions: float | None = None) -> Verdict:
    """``instructions``: log-ratio of their counts, None where they cannot be counted."""
    noise = f"± {math.expm1(effect.reach):.0%}"
    is_told = effect.pairs >= PAIRS_TOLD
    if is_told and (effect.low > 0 or effect.high < 0 or effect.reach <= MINIMUM):
        return Verdict(word_of(effect.middle, effect.low > 0 or effect.high < 0), f"time, {noise}")
    why = f"time cannot tell, {noise}" if is_told else f"only {effect.pairs} pairs"
    if instructions is None:
        return Verdict(SAME, why)
    is_more = abs(instructions) >= INSTRUCTIONS_MINIMUM
    word = SAME if not is_more else SLOWER if instructions > 0 else FASTER
    return Verdict(word, f"instructions; {why}")


def word_of(middle: float, is_significant: bool) -> str:
    if not is_significant or abs(middle) < MINIMUM:
        return SAME
    return SLOWER if middle > 0 else FASTER
