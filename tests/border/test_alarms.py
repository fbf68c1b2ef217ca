"""Limits, rates, stuck and silent tags as a caller meets them: configured from a text, fed by
columns, polled as events; the same events after a restart in between.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

import pytest
from border_kit import START_NS, Open, S, drain, identities

from penstock import Engine, Event

RULES = """
[[rule]]
name = "hot"
kind = "limit"
tag = "*.temp"
unit = "CEL"
quality = "trip"
high = { value = 80, deadband = 5, re_alarm_s = 10 }

[[rule]]
name = "drops"
kind = "rate"
tag = "*.level"
unit = "MTR"
span_s = 10
per = "min"
low = -6

[[rule]]
name = "frozen"
kind = "stuck"
tag = "*.flow"
unit = "LTR"
after_s = 5

[[rule]]
name = "silent"
kind = "freshness"
tag = "*.level"
after_s = 30
"""
BAD = 0x8000
NAMES = ("m1.temp", "m1.level", "m1.flow")

Row = tuple[int, str, float, int]  # second, tag, value, quality
ROWS: tuple[Row, ...] = (
    *((t, "m1.temp", 60.0 if t < 3 or t > 25 else 90.0, 0) for t in range(30)),
    (31, "m1.temp", 61.0, BAD),
    (32, "m1.temp", 62.0, 0),
    *((t, "m1.level", 3.0 if t < 15 else 0.5, 0) for t in range(26)),
    *((t, "m1.flow", 7.0 if t < 8 else 8.0 + t, 0) for t in range(12)),
    (100, "m1.level", 0.5, 0),
)


def feed(engine: Engine, rows: tuple[Row, ...]) -> Iterator[None]:
    """One row a batch, in the order of time; yields behind each."""
    for second, name, value, quality in sorted(rows, key=lambda row: row[0]):
        tag = engine.tag(name, "f64", source="line")
        now_ns = START_NS + second * S
        engine.tick(now_ns)
        engine.feed(
            tag, array("q", [now_ns]), array("d", [value]), source="line",
            quality=array("H", [quality]), recv_time_ns=now_ns,
        )  # fmt: skip
        yield


def spoken(event: Event) -> tuple[str, str, float, float, float | None, float | int, str]:
    end = None if event.end_ns is None else (event.end_ns - START_NS) / S
    at, start = (event.at_ns - START_NS) / S, (event.start_ns - START_NS) / S
    return event.rule, event.kind, at, start, end, event.value, event.unit


def test_each_family_says_what_its_page_says(open_engine: Open) -> None:
    engine = open_engine(more=RULES)
    for _ in feed(engine, ROWS):
        pass
    events = drain(engine)
    assert [spoken(event) for event in events if event.rule != "tenth"] == [
        ("hot", "limit.H.trip", 3, 3, None, 90.0, "CEL"),
        ("frozen", "stuck.trip", 0, 0, None, 7.0, "LTR"),
        ("frozen", "stuck.clear", 8, 0, 8, 16.0, "LTR"),
        ("hot", "limit.H.realarm", 13, 3, None, 90.0, "CEL"),
        ("drops", "rate.L.trip", 15, 15, None, -15.0, "MTR"),
        ("hot", "limit.H.realarm", 23, 3, None, 90.0, "CEL"),
        ("drops", "rate.L.clear", 25, 15, 25, 0.0, "MTR"),
        ("hot", "limit.H.clear", 26, 3, 26, 60.0, "CEL"),
        ("hot", "limit.H.trip", 31, 31, None, 61.0, "CEL"),
        ("hot", "limit.H.clear", 32, 31, 32, 62.0, "CEL"),
        ("silent", "freshness.trip", 55, 25, None, 0.5, ""),
        ("silent", "freshness.clear", 100, 25, 100, 0.5, ""),
    ]
    limits = {event.kind: event.limit for event in events}
    assert limits["rate.L.trip"] == -6
    assert limits["stuck.trip"] is None
    bad = [event.at_ns for event in events if "bad_quality" in event.flags]
    assert bad == [START_NS + 31 * S]


@pytest.mark.parametrize("cut", [1, 9, 17, 40, 60, len(ROWS) - 1])
def test_a_restart_in_between_changes_no_event(open_engine: Open, cut: int) -> None:
    engine = open_engine("whole", more=RULES)
    for _ in feed(engine, ROWS):
        pass
    whole = identities(drain(engine), NAMES)
    ordered = tuple(sorted(ROWS, key=lambda row: row[0]))
    found: list[Event] = []
    for part in (ordered[:cut], ordered[cut:]):
        engine = open_engine("parts", more=RULES)
        for _ in feed(engine, part):
            pass
        found += drain(engine)
        engine.close()
    assert identities(found, NAMES) == whole
