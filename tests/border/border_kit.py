"""What the tests of the border share: a small plant, its recording, and both payload formats.

The recording is a function of the instant: two presses, 10 ms apart, whose pressure leaves its
limit now and then. Windows and limits make events, so that "nothing else is disturbed" can be
compared event by event, id and digest.
"""

from __future__ import annotations

import json
import struct
import time
import tomllib
from array import array
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from pathlib import Path

from penstock import Engine, Event
from penstock.config import Config, parse_config

START_NS = 1_790_000_000_000_000_000
STEP_NS = 10_000_000
TAGS = ("m1.pressure", "m2.pressure")
UNNUMBERED = (1 << 64) - 1
S = 1_000_000_000

Sample = tuple[str, int, float | int, int]  # name, time_ns, value, quality
Open = Callable[..., Engine]

CONFIG = """
[plant]
name = "border"
timezone = "Europe/Paris"

[engine]
state_dir = "{state_dir}"
ring_dir = "{ring_dir}"
ring_bytes = 1048576
{engine}

[[source]]
name = "line"
kind = "{kind}"
{source}

[[rule]]
name = "high"
kind = "limit"
tag = "*.pressure"
high = {{ value = 8.0, deadband = 0.5, on_delay_s = 0.03 }}

[[rule]]
name = "second"
kind = "window"
tag = "*.pressure"
size_s = 1
emit = "event"

[[rule]]
name = "tenth"
kind = "window"
tag = "*.pressure"
size_s = 0.1
{more}
"""


def make_config(
    state_dir: Path,
    ring_dir: Path,
    *,
    kind: str = "feed",
    engine: str = "",
    source: str = "",
    more: str = "",
) -> Config:
    """The small plant; the texts are lines for their sections."""
    places = {"state_dir": state_dir, "ring_dir": ring_dir, "kind": kind}
    text = CONFIG.format(**places, engine=engine, source=source, more=more)
    return parse_config(tomllib.loads(text, parse_float=Decimal))


def pressure(machine: int, instant: int) -> float:
    """Above the limit for 0.4 s of every 2.5 s, at another time on each machine."""
    is_high = (instant + 70 * machine) % 250 < 40
    return (8.2 if is_high else 5.0) + (instant * 7919 + machine) % 97 / 97.0


def samples(first: int, count: int) -> list[Sample]:
    """Both presses at ``count`` instants."""
    return [
        (name, START_NS + instant * STEP_NS, pressure(machine, instant), 0)
        for instant in range(first, first + count)
        for machine, name in enumerate(TAGS)
    ]


def packed(
    rows: Sequence[Sample], *, stream: int = 1, boot: int = 1, seq: int = UNNUMBERED
) -> bytes:
    """packed v1, as native/README.md says it."""
    time0 = min(time_ns for _, time_ns, _, _ in rows)
    names: dict[tuple[str, int], int] = {}
    table = body = b""
    for name, time_ns, value, quality in rows:
        kind = 2 if isinstance(value, int) else 1
        if (name, kind) not in names:
            names[name, kind] = len(names)
            text = name.encode()
            table += struct.pack("BB", kind, len(text)) + text
        layout = "<dIHH" if kind == 1 else "<qIHH"
        body += struct.pack(layout, value, time_ns - time0, names[name, kind], quality)
    head = struct.pack("<4sHBBIIQq", b"PSK1", len(rows), len(names), 0, stream, boot, seq, time0)
    return head + table + body


def as_json(
    rows: Sequence[Sample], *, stream: int = 1, boot: int = 1, seq: int = UNNUMBERED
) -> bytes:
    """The same as an envelope in JSON."""
    found = [{"name": n, "time": t, "value": v, "quality": q} for n, t, v, q in rows]
    numbers = {} if seq == UNNUMBERED else {"stream": stream, "boot": boot, "seq": seq}
    return json.dumps({**numbers, "samples": found}).encode()


ENCODERS = {"packed": packed, "json": as_json}


def drain(engine: Engine) -> list[Event]:
    """Every waiting event, acknowledged."""
    found: list[Event] = []
    while batch := engine.poll():
        found.extend(batch.events)
        batch.acknowledge()
    return found


def identities(
    events: Iterable[Event], tags: Sequence[str] = TAGS
) -> dict[tuple[str, str], list[tuple[str, str, str]]]:
    """Id, digest and kind by rule and tag: within those the order is promised."""
    found: dict[tuple[str, str], list[tuple[str, str, str]]] = {}
    for event in events:
        if event.tag in tags:
            row = (event.id, event.digest, event.kind)
            found.setdefault((event.rule, event.tag), []).append(row)
    return found


def put(
    engine: Engine, values: list[float], *, first: int = 0, position: int | None = None
) -> tuple[int, int]:
    """Values of one press, 10 ms apart."""
    tag = engine.tag(TAGS[0], source="line")
    times = array("q", [START_NS + (first + i) * STEP_NS for i in range(len(values))])
    return engine.feed(
        tag, times, array("d", values), source="line", position=position, recv_time_ns=times[-1]
    )


def excursions(count: int) -> list[float]:
    """``count`` times 50 ms above the limit and 50 ms below it."""
    return ([9.0] * 5 + [5.0] * 5) * count


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    """Waits for something another thread or peer does; fails by name."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"not within {timeout_s:.0f} s: {what}"
        time.sleep(0.005)
