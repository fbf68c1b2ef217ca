"""Dry: a configured plant runs for show: its documents are printed, nothing is posted or kept."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock import cli
from penstock.cli.bounded import QUIET_LOOKS, Bounds
from penstock.config import Config, load_config

if TYPE_CHECKING:
    from penstock import Engine
    from penstock.replay import Commands


def dry_run(path: Path, bounds: Bounds, *, is_json: bool) -> int:
    """Runs until stopped or done; returns the exit code."""
    config = load_config(path)
    takes = [each.name for each in config.sources if each.kind == "zmq_pull"]
    if takes:
        cli.say(
            f"penstock run: {', '.join(takes)} takes messages, and whoever else pulls lacks them"
        )
    with _apart(config) as own:
        asyncio.run(_run(own, config, bounds, is_json))
    return cli.EXIT_OK


@contextmanager
def _apart(config: Config) -> Iterator[Config]:
    """The same plant over a state of its own, removed afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="penstock-dry-") as state,
        tempfile.TemporaryDirectory(prefix="penstock-dry-", dir=config.engine.ring_dir) as ring,
    ):
        engine = replace(config.engine, state_dir=state, ring_dir=ring, durability="process")
        yield replace(config, engine=engine)


async def _run(own: Config, config: Config, bounds: Bounds, is_json: bool) -> None:
    from penstock import Engine
    from penstock.replay import Commands

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(each, stop.set)
    if bounds.seconds is not None:
        loop.call_later(bounds.seconds, stop.set)
    counts = {"events": 0, "documents": 0}
    with Engine(own) as engine:
        engine.start()
        jobs = [
            asyncio.create_task(_show(engine, Commands(config), counts, is_json)),
            asyncio.create_task(_watch(engine, stop, bounds.is_once)),
            asyncio.create_task(stop.wait()),
        ]
        try:
            done, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in jobs:
                task.cancel()
            await asyncio.gather(*jobs, return_exceptions=True)
        stats = engine.stats()
    cli.say(
        f"penstock run: dry: {stats.received:,} samples, {stats.dropped:,} dropped, "
        f"{counts['events']:,} events, {counts['documents']:,} documents shown, nothing posted"
    )


async def _show(engine: Engine, maker: Commands, counts: dict[str, int], is_json: bool) -> None:
    async for batch in engine.events():
        for event in batch.events:
            counts["events"] += 1
            for line in maker.lines(event):
                counts["documents"] += 1
                _print(line, is_json=is_json)
        batch.acknowledge()


def _print(line: dict[str, Any], *, is_json: bool) -> None:
    if is_json:
        cli.emit(line)
        return
    about = f"{line['contract']} for {line['target']}, about {line['business_object']}"
    reason = f": {line['category']}: {line['reason']}" if "reason" in line else ""
    print(f"{line['state']:6} {about}{reason}")
    if "payload" in line:
        print(f"       {cli.json_line(line['payload'])}", flush=True)


async def _watch(engine: Engine, stop: asyncio.Event, is_once: bool) -> None:
    """Ends a run that is to go once when no sample and no event came for a while."""
    quiet, before = 0, (-1, -1)
    while True:
        stats = engine.stats()
        now = (stats.received, stats.events)
        quiet = quiet + 1 if now == before else 0
        before = now
        if is_once and quiet >= QUIET_LOOKS:
            stop.set()
        await asyncio.sleep(1.0)
