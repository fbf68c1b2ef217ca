"""The verdict of --compare: what noise does to it is tried on noise like that of a shared machine.

Cost of a reading: 100, times a slow drift that both of a pair have, times spikes that fall on
either side alike.
"""

from __future__ import annotations

import math
import random
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "bench"))
from pairs import FASTER, PAIRS_TOLD, SAME, SLOWER, effect_of, verdict_of

RUNS = 300


def readings(
    seed: int, pairs: int, slower: float, noise: float, spikes: float = 0.05
) -> tuple[list[float], list[float]]:
    chance = random.Random(seed)
    ours, base = [], []
    for k in range(pairs):
        drift = 100 * (1 + 0.3 * math.sin(k / 7 + seed))
        both = [drift * (1 + abs(chance.gauss(0, noise))) for _ in range(2)]
        both = [each * (1.5 if chance.random() < spikes else 1) for each in both]
        ours.append(both[0] * (1 + slower))
        base.append(both[1])
    return ours, base


def words(slower: float, noise: float = 0.05, pairs: int = 40) -> list[str]:
    return [
        verdict_of(effect_of(*readings(seed, pairs, slower, noise))).word for seed in range(RUNS)
    ]


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.3])
def test_twins_are_no_different_whatever_the_noise(noise: float) -> None:
    assert words(0.0, noise).count(SAME) >= RUNS - 1


def test_ten_percent_is_seen_through_drift_and_spikes() -> None:
    assert words(0.10, noise=0.04).count(SLOWER) >= RUNS * 19 / 20
    assert words(-0.10, noise=0.04).count(FASTER) >= RUNS * 19 / 20


def test_one_percent_is_not_worth_a_line() -> None:
    assert words(0.01, noise=0.001) == [SAME] * RUNS


def test_exact_readings_give_the_exact_effect() -> None:
    effect = effect_of([110.0] * 20, [100.0] * 20)
    assert effect.low == effect.middle == effect.high == pytest.approx(math.log(1.1))
    assert verdict_of(effect).word == SLOWER


def test_few_pairs_tell_nothing_by_time() -> None:
    effect = effect_of([200.0] * (PAIRS_TOLD - 1), [100.0] * (PAIRS_TOLD - 1))
    assert verdict_of(effect).word == SAME
    assert f"{PAIRS_TOLD - 1} pairs" in verdict_of(effect).why


def test_instructions_decide_where_time_cannot_and_only_there() -> None:
    noisy = effect_of(*readings(1, 20, 0.0, 1.0))
    assert verdict_of(noisy, math.log(1.1)).word == SLOWER
    assert verdict_of(noisy, math.log(0.9)).word == FASTER
    assert verdict_of(noisy, math.log(1.03)).word == SAME
    calm = effect_of(*readings(1, 40, 0.0, 0.01, spikes=0))
    assert verdict_of(calm, math.log(1.1)).word == SAME
    faster = effect_of([80.0] * 20, [100.0] * 20)
    assert verdict_of(faster, math.log(1.1)).word == FASTER
