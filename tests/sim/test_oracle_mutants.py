"""The teeth of the oracle: every small mistake in native rules and windows is seen by its family.

The plain run checks that each mutant still has its place in the code; the deep one builds them all.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import oracle_mutants
import pytest
from oracle_families import FAMILIES
from oracle_mutants import Forge, Mutant

MUTANTS = oracle_mutants.mutants()
SEED = random.SystemRandom().randrange(2**31)


def test_every_mutant_has_one_place_in_the_code() -> None:
    assert len(MUTANTS) >= 40
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    for mutant in MUTANTS:
        text = (oracle_mutants.ROOT / "native" / mutant.file).read_text()
        assert mutant.applied(text) != text
        assert mutant.family in FAMILIES


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    """A build of the engine without a mistake."""
    folder: Path = tmp_path_factory.mktemp("mutants")
    return Forge(folder)


@pytest.mark.deep
@pytest.mark.timeout(1800)
def test_without_a_mistake_nothing_is_seen(forge: Forge) -> None:
    print(f"seed {SEED}")
    for family in FAMILIES:
        assert forge.seen(family, SEED, 30) is None


@pytest.mark.deep
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_is_killed(forge: Forge, mutant: Mutant) -> None:
    print(f"seed {SEED}")
    seen = forge.killed(mutant, SEED)
    assert seen is not None, f"{mutant.name} survived {oracle_mutants.EXAMPLES} examples"
    print(seen[:300])
