"""One recording, whatever way it comes: live at its own pace, ten times as fast, as fast as the
socket takes it, out of order within lateness, or by ``feed`` with a kill in the middle. The same
event ids each time, and windows equal to those of Polars.

Two series of the Numenta Anomaly Benchmark, row k at t0 + k ms. Limits of event order and windows
that make events; digests are equal too wherever the samples come in one order.
"""

from __future__ import annotations

import json
import math
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "sim"))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from oracle_drive import Run, engine_of, take
from test_nab import MS, S, config_of, packed, rules_of, series, wait, zmq

from oracle import Sample

polars = pytest.importorskip("polars", reason="the foreign oracle; pip install polars")

FOLDER = Path(__file__).resolve().parent
__all__ = ["series"]  # the fixture
Ids = dict[str, str]  # event id to digest
LATENESS_MS = 50
MESSAGE_MS = 10
ROWS = 4000  # of each series, so that its own pace takes four seconds; deep: all 18,050
SPEEDS = {"its own pace": 1.0, "ten times as fast": 10.0, "flat out": math.inf}


class Recording:
    """Rows, rules and what they make."""

    def __init__(self, series: dict[str, list[float]], count: int) -> None:
        self.series = {tag: values[:count] for tag, values in series.items()}
        self.t0_ns = (time.time_ns() - 120 * S) // S * S
        rows = [
            Sample(tag, self.t0_ns + k * MS, value)
            for tag, values in self.series.items()
            for k, value in enumerate(values)
        ]
        rows.sort(key=lambda row: row.time_ns or 0)
        self.end_ns = rows[-1].time_ns or 0
        closing = [
            Sample(tag, self.end_ns + 2 * S, values[-1]) for tag, values in self.series.items()
        ]
        self.rows = rows + closing
        rules = rules_of(self.series)
        self.rules = [r | {"order_by": "event"} if r["kind"] == "limit" else r for r in rules]

    def config(self, **source: Any) -> dict[str, Any]:
        return config_of(self.rules, "packed", lateness_s=LATENESS_MS / 1000, **source)

    def messages(self, rows: list[Sample]) -> Iterator[tuple[int, bytes]]:
        """Payloads of up to 10 ms, each with the stamp it is due at."""
        first = 0
        while first < len(rows):
            due_ns = (rows[first].time_ns or 0) + MESSAGE_MS * MS
            last = first + 1
            while last < len(rows) and (rows[last].time_ns or 0) < due_ns and last - first < 200:
                last += 1
            yield due_ns, packed(rows[first:last], first)
            first = last

    def live(self, rows: list[Sample], speed: float) -> Run:
        """Through a ZeroMQ socket, paced."""
        run = Run()
        place = {"kind": "zmq_pull", "bind": "tcp://127.0.0.1:0"}
        with engine_of(self.config(**place), clock="system") as engine:
            engine.start()
            with zmq.Context() as context, context.socket(zmq.PUSH) as sender:
                sender.linger = 60_000
                sender.connect(f"tcp://127.0.0.1:{engine.port('s')}")
                began = time.monotonic()
                for due_ns, payload in self.messages(rows):
                    ahead_s = (min(due_ns, self.end_ns) - self.t0_ns) / S / speed
                    time.sleep(max(0.0, ahead_s - (time.monotonic() - began)))
                    sender.send(payload)
                    take(engine, run)

            def is_used() -> bool:
                take(engine, run)
                return engine.stats().received >= len(rows)

            wait("samples", is_used)
            take(engine, run)
            run.stats = engine.stats()
        assert (run.stats.dropped, run.stats.residual, run.stats.late) == (0, 0, 0)
        return run


@pytest.fixture(scope="module")
def recording(series: dict[str, list[float]], is_deep: bool) -> Recording:
    return Recording(series, 20_000 if is_deep else ROWS)


@pytest.fixture(scope="module")
def flat_out(recording: Recording) -> Run:
    return recording.live(recording.rows, math.inf)


def ids(run: Run) -> Ids:
    found = {event.id: event.digest for event in run.events}
    assert len(found) == len(run.events), "an id came twice"
    return found


@pytest.mark.parametrize("pace", SPEEDS)
def test_the_same_events_at_any_pace(recording: Recording, flat_out: Run, pace: str) -> None:
    run = recording.live(recording.rows, SPEEDS[pace])
    assert ids(run) == ids(flat_out)
    kinds = {event.kind for event in run.events}
    assert len(kinds) == 9, "each level of both series, and windows"
    assert len(run.events) > 50


def shuffled(rows: list[Sample], seed: int) -> list[Sample]:
    """Each row up to just under the lateness later than it should come."""
    dice = random.Random(seed)
    spread_ns = LATENESS_MS * MS - 1
    return sorted(rows, key=lambda row: (row.time_ns or 0) + dice.randint(0, spread_ns))


def test_the_same_events_shuffled_within_lateness(recording: Recording, flat_out: Run) -> None:
    for seed in (1, 2, 3):
        rows = shuffled(recording.rows, seed)
        assert rows != recording.rows
        assert set(ids(recording.live(rows, math.inf))) == set(ids(flat_out))


def test_a_shuffle_beyond_lateness_is_seen(recording: Recording, flat_out: Run) -> None:
    """The comparison has teeth: three times the lateness loses samples, and ids differ."""
    dice = random.Random(4)
    spread_ns = 3 * LATENESS_MS * MS
    rows = sorted(recording.rows, key=lambda row: (row.time_ns or 0) + dice.randint(0, spread_ns))
    with pytest.raises(AssertionError):
        recording.live(rows, math.inf)


@pytest.mark.parametrize("kills", [(), (0.5,), (0.2, 0.4, 0.7)], ids=["whole", "once", "thrice"])
def test_the_same_events_by_feed_and_over_a_kill(
    recording: Recording, flat_out: Run, kills: tuple[float, ...], tmp_path: Path, ring_dir: Path
) -> None:
    config = recording.config(kind="feed")
    config["engine"] = {
        "state_dir": str(tmp_path / "state"),
        "ring_dir": str(ring_dir),
        "ring_bytes": 1 << 20,
    }
    rows = [(row.tag, row.time_ns, row.value) for row in recording.rows]
    story, out = tmp_path / "story.json", tmp_path / "events"
    story.write_text(json.dumps({"config": config, "rows": rows}))
    command = [sys.executable, str(FOLDER / "nab_feed.py"), str(story), str(out)]
    for place in kills:
        batch = int(place * len(rows) / 250)
        died = subprocess.run([*command, str(batch)], check=False, timeout=60)
        assert died.returncode == -signal.SIGKILL
    done = subprocess.run(command, check=False, timeout=60, capture_output=True, text=True)
    assert done.stdout == "done\n", done.stderr
    lines = [line.split() for line in out.read_text().splitlines()]
    assert dict(lines) == ids(flat_out)  # type: ignore[arg-type]
    shutil.rmtree(tmp_path / "state")


def test_windows_equal_polars(recording: Recording, flat_out: Run) -> None:
    rows = [(row.tag, row.time_ns, float(row.value)) for row in recording.rows]
    frame = polars.DataFrame(rows, schema=["tag", "at", "value"], orient="row").with_columns(
        polars.col("at").cast(polars.Datetime("ns"))
    )
    value = polars.col("value")
    found = frame.sort("at").group_by_dynamic("at", every="1s", group_by="tag").agg(
        value.count().alias("count"), value.min().alias("min"), value.max().alias("max"),
        value.first().alias("first"), value.last().alias("last"), value.sum().alias("sum"),
    )  # fmt: skip
    wanted = {
        (row["tag"], row["start"]): row
        for row in found.with_columns(polars.col("at").cast(polars.Int64).alias("start")).to_dicts()
        if row["start"] + S <= self_end(recording)
    }
    assert {(row["tag"], row["start_ns"]) for row in flat_out.results} == set(wanted)
    for row in flat_out.results:
        other = wanted[row["tag"], row["start_ns"]]
        for name in ("count", "min", "max", "first", "last"):
            assert row[name] == other[name], name
        assert math.isclose(row["sum"], other["sum"], rel_tol=1e-12)
        assert math.isclose(row["mean"], other["sum"] / other["count"], rel_tol=1e-12)


def self_end(recording: Recording) -> int:
    """The watermark in the end."""
    return recording.end_ns + 2 * S - LATENESS_MS * MS
