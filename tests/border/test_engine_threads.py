"""The Engine among tasks and threads: one consumer that may be cancelled, any number of feeders,
and a close that ends them all by name.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from array import array

import pytest
from border_kit import (
    START_NS,
    STEP_NS,
    Open,
    S,
    drain,
    excursions,
    identities,
    put,
    samples,
    wait_until,
)

from penstock import Engine, EngineError, Event

# ---- tasks ---------------------------------------------------------------------------------------


async def take(engine: Engine, *, batches: int = 1, acknowledge: bool) -> list[Event]:
    found: list[Event] = []
    async with contextlib.aclosing(engine.events()) as iterator:
        async for batch in iterator:
            found += batch.events
            if acknowledge:
                batch.acknowledge()
            batches -= 1
            if batches == 0:
                break
    return found


def test_events_given_up_come_again_in_the_next_iteration(open_engine: Open) -> None:
    engine = open_engine()

    async def work() -> None:
        put(engine, excursions(2))
        first = await take(engine, acknowledge=False)
        assert first
        second = await take(engine, acknowledge=True)
        assert [e.id for e in second] == [e.id for e in first]
        put(engine, excursions(1), first=1000)
        third = await take(engine, acknowledge=True)
        assert third
        assert not {e.id for e in third} & {e.id for e in first}

    asyncio.run(asyncio.wait_for(work(), 20))


def test_a_cancelled_iteration_lets_the_next_one_begin(open_engine: Open) -> None:
    engine = open_engine()

    async def work() -> None:
        waiting = asyncio.create_task(take(engine, acknowledge=True))
        await asyncio.sleep(0.05)
        with pytest.raises(EngineError, match="is being iterated already"):
            await take(engine, acknowledge=True)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        put(engine, excursions(1))
        assert await take(engine, acknowledge=True)

    asyncio.run(asyncio.wait_for(work(), 20))


def test_events_wake_a_waiting_task_from_another_thread(open_engine: Open) -> None:
    engine = open_engine()

    async def work() -> list[Event]:
        thread = threading.Timer(0.1, lambda: put(engine, excursions(1)))
        thread.start()
        try:
            return await take(engine, acknowledge=True)
        finally:
            thread.join()

    found = asyncio.run(asyncio.wait_for(work(), 20))
    assert found[0].kind == "limit.H.trip"


@pytest.mark.parametrize("from_thread", [False, True])
def test_close_ends_an_iteration(from_thread: bool, open_engine: Open) -> None:
    engine = open_engine()

    async def work() -> list[Event]:
        waiting = asyncio.create_task(take(engine, acknowledge=True))
        await asyncio.sleep(0.05)
        if from_thread:
            await asyncio.to_thread(engine.close)
        else:
            engine.close()
        return await waiting

    assert asyncio.run(asyncio.wait_for(work(), 20)) == []


# ---- threads -------------------------------------------------------------------------------------


def test_two_threads_feed_while_a_third_takes_events(open_engine: Open) -> None:
    """Two sources, one thread each; every sample is used, each tag's events are those of its own
    recording fed alone.
    """
    more = '[[source]]\nname = "side"\nkind = "feed"'
    engine = open_engine(more=more)
    sides = {"line": "m1.pressure", "side": "m2.pressure"}
    events: list[Event] = []
    errors: list[BaseException] = []
    is_done = threading.Event()

    def feed(target: Engine, source: str, name: str) -> None:
        try:
            tag = target.tag(name, source=source)
            rows = [row for row in samples(0, 20_000) if row[0] == name]
            for at in range(0, len(rows), 50):
                part = rows[at : at + 50]
                times = array("q", [row[1] for row in part])
                values = array("d", [float(row[2]) for row in part])
                target.feed(tag, times, values, source=source, recv_time_ns=times[-1])
        except BaseException as error:  # noqa: BLE001 - shown by the test's own thread
            errors.append(error)

    def consume() -> None:
        while not is_done.is_set() or engine.stats().events_pending:
            events.extend(drain(engine))
            engine.results()
            engine.stats()

    threads = [threading.Thread(target=feed, args=(engine, *each)) for each in sides.items()]
    consumer = threading.Thread(target=consume)
    consumer.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    engine.tick(START_NS + 1000 * S)
    is_done.set()
    consumer.join(60)
    assert errors == []
    stats = engine.stats()
    assert [source.used for source in stats.sources] == [20_000, 20_000]
    assert stats.residual == 0
    alone = open_engine("alone", more=more)
    expected: list[Event] = []
    for source, name in sides.items():
        feed(alone, source, name)
        expected += drain(alone)
    alone.tick(START_NS + 1000 * S)
    expected += drain(alone)
    kinds = {e.kind for e in expected}
    assert {"limit.H.trip", "limit.H.clear", "window.close"} <= kinds
    assert identities(events) == identities(expected)


def test_two_threads_feed_one_source(open_engine: Open) -> None:
    engine = open_engine()
    names = [f"m{i}.pressure" for i in range(8)]
    tags = [engine.tag(name, source="line") for name in names]

    def feed(own: list[int]) -> None:
        for i in range(500):
            times = array("q", [START_NS + i * STEP_NS] * len(own))
            values = array("d", [float(i)] * len(own))
            engine.feed(array("I", own), times, values, source="line", recv_time_ns=times[0])

    threads = [threading.Thread(target=feed, args=(tags[i::2],)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    source = engine.stats().sources[0]
    assert (source.received, source.used, source.residual) == (4000, 4000, 0)


def test_close_while_other_threads_feed_ends_them_by_name(open_engine: Open) -> None:
    for turn in range(10):
        engine = open_engine(f"state{turn}")
        ended: list[str] = []
        fed = [0, 0]

        def feed(number: int) -> None:
            try:
                while True:
                    put(engine, [5.0] * 20, first=fed[number])  # noqa: B023 - joined below
                    fed[number] += 20  # noqa: B023
            except EngineError as wrong:
                ended.append(type(wrong).__name__)  # noqa: B023

        threads = [threading.Thread(target=feed, args=(i,)) for i in range(2)]
        for thread in threads:
            thread.start()
        wait_until(lambda: min(fed) > 100, "both threads feed")  # noqa: B023
        engine.close()
        for thread in threads:
            thread.join(20)
        assert ended == ["EngineClosed", "EngineClosed"]
