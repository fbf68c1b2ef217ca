"""What was posted of a counter is its end minus its start, whatever became of its rule: changed
while the plant was down, reloaded while it ran, or with nothing left but the ledger.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

from clock_kit import Plant, S, config_text, parse, plant

from penstock.config import Config, ConfigErrors
from penstock.outbox import LEDGER_NAME, State

START_NS = 1_790_000_000 * S
A_LIFE = 60  # readings, one a second
FIRST = 1000
LOT_RULE = 'lot = "*.lot"\norder = "*.order"'
RULES = {
    "lots": LOT_RULE,
    "lots and ten seconds": f"{LOT_RULE}\nevery_s = 10",
    "seven seconds": 'order = "*.order"\nevery_s = 7\noffset_s = 2',
    "hall": f'{LOT_RULE}\nasset = "hall"',
    "ignores what is below": f'{LOT_RULE}\nnegative = "ignore"',
}


def config_of(tmp_path: Path, ring_dir: Path, rule: str) -> Config:
    text = config_text(tmp_path / "state", ring_dir)
    assert LOT_RULE in text
    return parse(text.replace(LOT_RULE, RULES[rule]))


def say(it: Plant, k: int) -> None:
    """Three pieces a second; a lot lasts 17 s, an order 40."""
    now_ns = START_NS + k * S
    values = {"good": FIRST + 3 * k, "lot": f"L{k // 17}", "order": f"O{k // 40}"}
    it.say(now_ns, stamp_ns=now_ns, **values)


async def live(config: Config, life: int, *, then: Config | None = None) -> int:
    """A life of the plant; ``then`` is its configuration from the middle on. What is posted."""
    async with plant(config, clock="manual") as it:
        for k in range(A_LIFE * life, A_LIFE * (life + 1)):
            if then is not None and k == A_LIFE * life + A_LIFE // 2:
                it.runner.reload(then)
            say(it, k)
        await it.settled()
        return it.pieces()


async def end(config: Config, lives: int) -> list[str]:
    """A last cut; the sum is checked. What waits for a person."""
    async with plant(config, clock="manual") as it:
        for k in range(A_LIFE * lives, A_LIFE * lives + 45):
            say(it, k)
        await it.settled()
        reader = it.runner.ledger.reader
        entries = reader.entries(limit=1000)
        last = max(int(reader.event(entry.event_id).end_reading or 0) for entry in entries)
        assert it.pieces() == last - FIRST, "what is posted is end minus start"
        assert last >= FIRST + 3 * A_LIFE * lives
        return [
            f"{entry.state}: {entry.reason}" for entry in entries if entry.state != State.POSTED
        ]


@pytest.mark.parametrize("is_ring_lost", [False, True], ids=["whole", "the ledger alone"])
def test_what_is_posted_is_the_end_minus_the_start(
    tmp_path: Path, ring_dir: Path, is_ring_lost: bool
) -> None:
    configs = [config_of(tmp_path, ring_dir, rule) for rule in RULES]

    async def go() -> None:
        posted = 0
        for life, config in enumerate(configs):
            then = configs[(life + 2) % len(configs)] if life % 2 else None
            before, posted = posted, await live(config, life, then=then)
            assert posted > before
            if is_ring_lost and life == 2:
                forget_all_but_the_ledger(tmp_path / "state", ring_dir)
        waiting = await end(configs[0], len(configs))
        no_order = "dead: counter.segment business_object: the event has no context.order"
        # The stretch that only the ledger's last end tells: nobody knows whose it was.
        assert waiting == ([no_order] if is_ring_lost else [])

    asyncio.run(go())


def forget_all_but_the_ledger(state: Path, ring: Path) -> None:
    for folder in (state, ring):
        for each in folder.iterdir():
            if each.is_dir():
                shutil.rmtree(each)
            elif not each.name.startswith(LEDGER_NAME):
                each.unlink()


def test_a_wrong_configuration_changes_nothing(tmp_path: Path, ring_dir: Path) -> None:
    """Parsed and checked first: the old one goes on, and the sum holds."""
    config = config_of(tmp_path, ring_dir, "lots")

    async def go() -> None:
        async with plant(config, clock="manual") as it:
            for k in range(A_LIFE):
                if k == 30:
                    text = config_text(tmp_path / "state", ring_dir)
                    with pytest.raises(ConfigErrors) as wrong:
                        it.runner.reload(parse(text.replace(LOT_RULE, "every_s = -1")))
                    assert "rule[good].every_s: -1 is out of bounds" in str(wrong.value)
                say(it, k)
            await it.settled()
            generation = it.engine.stats().config_gen
            assert it.pieces() == 3 * 50, "to the reading before the third change of lot"
            it.runner.reload(config)
            assert it.engine.stats().config_gen == generation + 1

    asyncio.run(go())
