"""Limits, rates, stuck and silent tags as a caller meets them: configured from a text, fed by
columns, polled as events; the same events after a restart in between.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from typing import Any

import pytest
from border_kit import START_NS, Open, S, drain, identities

from penstock import ConfigError, Engine, Event

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


def at(second: float) -> int:
    return START_NS + int(second * S)


def heat(engine: Engine, second: float, value: float) -> None:
    tag = engine.tag("m1.temp", "f64", source="line")
    engine.tick(at(second))
    engine.feed(
        tag, array("q", [at(second)]), array("d", [value]), source="line", recv_time_ns=at(second)
    )


def test_what_a_person_does_is_listed_told_and_survives_a_restart(open_engine: Open) -> None:
    engine = open_engine(more=RULES)
    heat(engine, 0, 60)
    assert engine.alarms() == []
    heat(engine, 1, 90)
    (alarm,) = engine.alarms()
    assert (alarm.rule, alarm.tag, alarm.level) == ("hot", "m1.temp", "H")
    assert (alarm.since_ns, alarm.value, alarm.is_acknowledged) == (at(1), 90.0, False)
    who = {"rule": "hot", "tag": "m1.temp"}
    engine.operate("acknowledge", **who, by="uid:7", at_ns=at(2))
    engine.operate("shelve", **who, by="uid:8", at_ns=at(3), until_ns=at(60), note="on holiday")
    first = drain(engine)
    engine.close()

    engine = open_engine(more=RULES)
    (alarm,) = engine.alarms()
    assert alarm.is_acknowledged
    assert alarm.shelved_until_ns == at(60)
    heat(engine, 5, 60)  # told before it was shelved: its clear is told
    heat(engine, 6, 95)  # kept back
    assert engine.stats().suppressed == 0
    engine.tick(at(61))
    second = drain(engine)
    rows = [(event.kind, event.at_ns, event.by) for event in first + second]
    assert rows == [
        ("limit.H.trip", at(1), ""),
        ("alarm.acknowledged", at(2), "uid:7"),
        ("alarm.shelved", at(3), "uid:8"),
        ("limit.H.clear", at(5), ""),
        ("alarm.unshelved", at(60), ""),
        ("limit.H.trip", at(6), ""),
    ]
    known = first[1]
    assert (known.start_ns, known.value, known.unit) == (at(1), 90.0, "CEL")
    engine.operate("reset", **who, by="uid:9", at_ns=at(62))
    (cleared,) = drain(engine)
    assert (cleared.kind, cleared.by, cleared.flags) == (
        "limit.H.clear", "uid:9", frozenset({"operator"}),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("action", "given", "message"),
    [
        ("silence", {}, "action 'silence' is none of acknowledge, shelve, unshelve, reset"),
        ("reset", {"rule": "cold"}, "no alarm rule is named cold; there is: high, hot, drops,"),
        ("reset", {"tag": "m2.temp"}, "rule hot judges no tag m2.temp; it judges: m1.temp"),
        ("reset", {"by": ""}, "by is empty"),
        ("shelve", {}, "until_ns belongs to shelve"),
        ("reset", {"until_ns": at(9)}, "until_ns belongs to shelve, and reset was asked"),
        ("shelve", {"until_ns": at(0)}, "until a time ahead, at most 7 days"),
        ("shelve", {"until_ns": at(8 * 86400)}, "until a time ahead, at most 7 days"),
    ],
)
def test_an_operation_that_means_nothing_is_refused(
    open_engine: Open, action: str, given: dict[str, Any], message: str
) -> None:
    engine = open_engine(more=RULES)
    heat(engine, 1, 60)
    with pytest.raises(ValueError, match=re.escape(message)):
        engine.operate(action, **{"rule": "hot", "tag": "m1.temp", "by": "uid:1", **given})
    assert drain(engine) == []


def test_a_name_that_does_not_fit_is_refused_by_its_place(open_engine: Open) -> None:
    engine = open_engine(more=RULES)
    with pytest.raises(ConfigError, match=r"operate\[0\]\.by: .* longer than 31 bytes"):
        engine.operate("reset", rule="hot", tag="m1.temp", by="x" * 32)
    assert drain(engine) == []
