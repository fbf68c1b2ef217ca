"""Memory target: each document once, a bound that loses nothing, and no address."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from penstock.config import Target
from penstock.errors import ConfigError, Transient
from penstock.mapping import map_event
from penstock.outbox import Entry, Ledger, Mapped
from penstock.post import open_target
from penstock.post.memory import MemoryTarget
from penstock.testing.builders import make_config, make_event

CONFIG = make_config()


def entries(path: Path, count: int) -> list[Entry]:
    """Documents for orders O1, O2, …"""
    with Ledger.open(path / "ledger.sqlite", now_ns=time.time_ns()) as ledger:
        for number in range(1, count + 1):
            event = make_event(number, order=f"O{number}")
            ledger.commit_batch([Mapped(event, map_event(event, CONFIG))], now_ns=time.time_ns())
        return ledger.reader.entries()[::-1]


def test_memory_keeps_each_document_once_and_full_loses_none(tmp_path: Path) -> None:
    first, second, third = entries(tmp_path, 3)
    target = MemoryTarget("memory", documents_max=2)

    async def go() -> list[str]:
        assert await target.find(first.command_id) is None
        answers = [await target.send(target.prepare(each)) for each in (first, second, first)]
        with pytest.raises(Transient, match=r"holds 2 documents; clear\(\) it") as caught:
            await target.send(target.prepare(third))
        assert caught.value.category == "throttled"
        found = await target.find(second.command_id)
        assert found is not None
        assert len(target.clear()) == 2
        answers += [found, await target.send(target.prepare(third))]
        return [f"{each.status} {each.document}" for each in answers]

    assert asyncio.run(go()) == [
        *("posted M000001", "posted M000002", "duplicate M000001"),
        *("posted M000002", "posted M000003"),
    ]
    assert [each.body["order"] for each in target.documents] == ["O3"]


def test_memory_takes_a_bound_and_no_address() -> None:
    opened, _ = open_target(
        Target(name="m", kind="memory", options={"documents_max": 3}), "target[m]"
    )
    assert isinstance(opened, MemoryTarget)
    assert opened.documents_max == 3
    with pytest.raises(ConfigError, match="url: means nothing to a memory target"):
        open_target(Target(name="m", kind="memory", url="http://x"), "target[m]")
