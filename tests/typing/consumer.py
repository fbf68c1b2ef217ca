"""A consumer with types, as a stranger would write it: clean under mypy --strict."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import penstock
from penstock.config import Config, parse_config
from penstock.emit import Emitter, PushPeer
from penstock.plot import svg
from penstock.run import Runner
from penstock.testing import Clock, FakeSource


def quantities(engine: penstock.Engine) -> Iterator[tuple[str, Decimal, int]]:
    """Each counted quantity, once it is safe here."""
    batch: penstock.Batch = engine.poll()
    for event in batch:
        if event.quantity is not None:
            yield event.context.lot, event.quantity, event.at_ns + 1
    batch.acknowledge()


def collect(path: Path) -> dict[str, float]:
    """Means by tag."""
    config: Config = parse_config({"plant": {"name": "graz"}})
    clock = Clock()
    means: dict[str, float] = {}
    with penstock.Engine(config, clock=clock) as engine, penstock.Engine.from_file(path) as other:
        tag: int = engine.tag("m1.temp", source="press")
        used, dropped = engine.feed(
            tag, array("q", [clock.now_ns]), array("d", [1.5]), source="press", position=1
        )
        assert used + dropped == 1
        FakeSource(engine, "press", clock).send({"m1.good": 7, "m1.on": True})
        clock.advance(60.0)
        results: penstock.Results = engine.results()
        for row in results.rows():
            means[str(row["tag"])] = float(row["mean"])
        path.with_suffix(".svg").write_text(svg(results, limit=80.0))
        residual: int = other.stats().residual
        means["residual"] = float(residual)
    return means


async def work(runner: Runner, engine: penstock.Engine) -> int:
    """How many events there were."""
    count = 0
    async for batch in engine.events():
        count += len(batch)
        if count > 100:
            runner.stop()
    return count


def send() -> int:
    """Samples that were lost."""
    with Emitter(PushPeer("127.0.0.1", 5555), stream=7, boot=1) as emit:
        emit.add("m1.temp", 1_790_000_000_000_000_000, 21.5)
    return emit.lost
