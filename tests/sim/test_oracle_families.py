"""Every family of rules and windows, engine against oracle, by the thousand examples.

Each example is one plant in an engine of its own: hundreds of samples through a drawn channel
(bursts, ties, bad values, disorder, clocks, silence, streams), in blocks of every size, some with
an end by ``close`` or SIGKILL and another life. 5,000 examples in a plain run, 200,000 under
PENSTOCK_DEEP, over all families together; what they were is printed at the end of the run.

Each family is a test of its own, run by two processes. To run families side by side, give each
process some of them by name, and one worker:

    PENSTOCK_DEEP=1 PENSTOCK_ORACLE_WORKERS=1 pytest tests/sim/test_oracle_families.py -k limit
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import oracle_families as families
import pytest
from oracle_drive import differences, play
from oracle_recordings import BASE, S
from oracle_shrink import shrunk

from oracle import Judge, Receive

IS_DEEP = bool(os.environ.get("PENSTOCK_DEEP"))
EXAMPLES = int(os.environ.get("PENSTOCK_ORACLE_EXAMPLES", 200_000 if IS_DEEP else 5_000))
# A plain run guards main with the same examples each time; a deep one looks for new ones.
FOUND = random.SystemRandom().randrange(2**31) if IS_DEEP else 20_261_128
SEED = int(os.environ.get("PENSTOCK_ORACLE_SEED", FOUND))


@pytest.mark.timeout(3500 if IS_DEEP else 600)
@pytest.mark.parametrize("family", families.FAMILIES)
def test_family(family: str, tell_tally: Callable[[families.Tally], None]) -> None:
    print(f"PENSTOCK_ORACLE_SEED={SEED}")
    share = families.share_of(family, EXAMPLES)
    tally = families.run_family(family, share, SEED)
    tell_tally(tally)
    assert tally.examples >= share
    assert tally.median >= families.SAMPLES_MEDIAN
    assert tally.event_share >= families.EVENT_SHARE


@pytest.mark.parametrize("family", families.FAMILIES)
def test_a_seed_is_an_example(family: str) -> None:
    first, second = (families.example(family, 7) for _ in range(2))
    assert repr(first[0]) == repr(second[0])
    assert first[2] == second[2]


def test_a_clock_that_goes_back_is_seen_to_by_every_family_that_draws_it() -> None:
    for family, each in families.FAMILIES.items():
        for number in range(1000 if "regress" in each.hows else 0):
            recording, _, how, _ = families.example(family, number)
            if how == "regress" and any(
                event.time_epoch for event in Judge(recording.config).run(recording.records).events
            ):
                break
        else:
            assert "regress" not in each.hows, family


@pytest.mark.parametrize("family", ["tumbling", "figures", "hopping", "session", "count", "held"])
def test_windows_are_drawn_over_several_streams(family: str) -> None:
    several = 0
    for number in range(60):
        heard = set[int]()
        for record in families.example(family, number)[0].records:
            samples = record.samples if isinstance(record, Receive) else ()
            if any(each.time_ns and each.time_ns > BASE - S // 2 for each in samples):
                heard |= {record.stream for each in samples if not each.tag.startswith("hello")}
        several += len(heard) > 1
    assert several >= 3


def test_what_fails_is_made_small() -> None:
    """A recording whose fault is one sample shrinks to a few."""
    recording, _, _, _ = families.example("limit", 1)
    culprit = next(r for r in recording.records if isinstance(r, Receive)).samples[-1]

    def is_failing(tried: families.Recording) -> bool:
        return any(culprit in r.samples for r in tried.records if isinstance(r, Receive))

    small = shrunk(recording, is_failing)
    assert len(small.records) == 1


def test_a_spoiled_event_is_seen_in_every_family() -> None:
    for family in families.FAMILIES:
        for number in range(100):
            recording, way, how, _ = families.example(family, number)
            outcome = Judge(recording.config).run(recording.records)
            if how in ("whole", "cut") and (outcome.events or outcome.results):
                break
        run = play(recording.config, recording.records, recording.types, wire=way.wire)
        assert not differences(outcome, run)
        made = outcome.events or outcome.results
        made.pop(len(made) // 2)
        assert differences(outcome, run)
