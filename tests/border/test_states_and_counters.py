"""Counters and states as they are written in a file: names of codes, both ends of a state, folded
micro-stops, registers that go back.
"""

from __future__ import annotations

from array import array

from border_kit import START_NS, Open, S, drain

from penstock import Engine, Event

HOUR_NS = 3600 * S
HOUR0_NS = START_NS - START_NS % HOUR_NS
STATES = """
[[rule]]
name = "modes"
kind = "state"
tag = "*.mode"
names = "packml"
states = ["Stopped", "Held"]
on = "both"
min_duration_s = 5
micro = "fold"

[[rule]]
name = "all"
kind = "state"
tag = "*.mode"
names = { "6" = "RUN", "2" = "STOP" }
states = ["*"]
min_duration_s = 5
micro = "drop"
"""
COUNTER = """
[[rule]]
name = "scale"
kind = "counter"
tag = "*.weight"
every_s = 60
unit = "KGM"
negative = "{negative}"
"""


def feed(engine: Engine, name: str, rows: list[tuple[int, int]]) -> None:
    tag = engine.tag(name, "i64", source="line")
    for time_ns, value in rows:
        times, values = array("q", [time_ns]), array("q", [value])
        engine.feed(tag, times, values, source="line", recv_time_ns=time_ns)


def of_rule(events: list[Event], rule: str) -> list[Event]:
    return [event for event in events if event.rule == rule]


def test_states_have_their_names_and_both_ends(open_engine: Open) -> None:
    with open_engine(more=STATES) as engine:
        rows = [(0, 6), (60, 2), (62, 6), (70, 11), (100, 6), (3650, 2), (3651, 6), (3652, 6)]
        feed(engine, "m1.mode", [(HOUR0_NS + s * S, code) for s, code in rows])
        engine.tick(HOUR0_NS + 3 * HOUR_NS)
        events = drain(engine)
        found = of_rule(events, "modes")
        said = [(event.kind, event.text, (event.at_ns - HOUR0_NS) // S) for event in found]
        assert said == [
            ("state.enter", "Stopped", 60),
            ("state.enter", "Held", 70),
            ("state.end", "Held", 70),
            ("state.micro", "", 0),
            ("state.enter", "Stopped", 3650),
            ("state.micro", "", 3600),
        ]
        assert [event.value for event in found] == [2, 11, 11, 2 * S, 2, S]
        assert [event.count for event in found if event.kind == "state.micro"] == [1, 1]
        assert found[3].duration_ns == 2 * S
        assert found[3].end_ns == HOUR0_NS + HOUR_NS
        assert [event.text for event in of_rule(events, "all")] == ["RUN", "RUN", "", "RUN"]
        assert engine.stats().micro_dropped == 2


def test_a_register_that_goes_back_is_what_the_rule_says(open_engine: Open) -> None:
    readings = [(0, 100), (10, 130), (20, 120), (30, 140), (61, 140)]
    for negative, quantity, flags in (
        ("reset", 170, {"partial", "reset"}),
        ("subtract", 40, {"partial", "corrected"}),
        ("ignore", 40, {"partial"}),
    ):
        more = COUNTER.format(negative=negative)
        with open_engine(negative, more=more) as engine:
            feed(engine, "m1.weight", [(HOUR0_NS + s * S, value) for s, value in readings])
            engine.tick(HOUR0_NS + 200 * S)
            (event,) = drain(engine)
            assert (event.quantity, event.flags) == (quantity, flags)
            assert (event.start_reading, event.end_reading) == (100, 140)


def test_a_quantity_may_be_negative(open_engine: Open) -> None:
    with open_engine(more=COUNTER.format(negative="subtract")) as engine:
        feed(
            engine, "m1.weight", [(HOUR0_NS + s * S, v) for s, v in ((0, 100), (10, 93), (70, 93))]
        )
        (event,) = drain(engine)
        assert (event.quantity, event.flags) == (-7, {"partial", "corrected"})


def test_a_rule_on_a_tag_of_another_type_is_counted(open_engine: Open) -> None:
    more = STATES + COUNTER.format(negative="reset")
    with open_engine(more=more) as engine:
        engine.tag("m1.mode", "code", source="line")  # "modes" has names of codes, "all" takes any
        assert engine.stats().instances_mistyped == 1
        engine.tag("m1.weight", "code", source="line")
        engine.tag("m2.weight", "i64", source="line")
        assert engine.stats().instances_mistyped == 2
        assert engine.stats().instances_refused == 0
