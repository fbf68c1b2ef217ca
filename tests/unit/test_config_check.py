"""Topology: what would never work, or would work wrongly, is refused before anything starts."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.config import Config, ConfigErrors, parse_config

Table = dict[str, Any]

COUNTER = {"name": "r", "kind": "counter", "tag": "*.good", "lot": "*.lot", "unit": "C62"}
TOTAL = {"name": "r", "kind": "total", "tag": "*.flow", "every_s": 60, "unit": "LTR", "per": "h"}
STATE = {"name": "r", "kind": "state", "tag": "*.state", "states": ["STOP"]}
LIMIT = {"name": "r", "kind": "limit", "tag": "*.temp", "high": 80}
WINDOW = {"name": "r", "kind": "window", "tag": "*.temp", "size_s": 1}
FEED = {"name": "s", "kind": "feed"}
REPLAY = {"name": "s", "kind": "replay", "connect": "file:///rec/line1.zmtp"}
NATS = {"name": "s", "kind": "nats", "connect": "nats://h", "subjects": ["a.>"]}
PULL = {"name": "s", "kind": "zmq_pull", "connect": "tcp://h:1"}
CONFIRM = {
    "name": "m",
    "event": "counter.segment",
    "rule": "r",
    "contract": "production_confirmation/1",
    "target": "erp",
}
STOP = {"name": "m", "event": "state.end", "rule": "r", "contract": "downtime/1", "target": "erp"}
ERP = {"name": "erp", "kind": "tryton"}


def fields(**given: Any) -> Table:
    return {"fields": given}


def parse(
    *, source: Any = (), rule: Any = (), mapping: Any = (), target: Any = (ERP,), **more: Any
) -> Config:
    raw = {
        "plant": {"name": "graz"},
        "source": list(source),
        "rule": list(rule),
        "mapping": list(mapping),
        "target": list(target),
        **more,
    }
    return parse_config(raw, variables={})


def refused(path: str, reason: str, **sections: Any) -> None:
    with pytest.raises(ConfigErrors) as caught:
        parse(**sections)
    found = [(each.path, each.reason) for each in caught.value.errors]
    assert any(place == path and reason in why for place, why in found), found
    assert all(
        each.fix or "must be" in each.reason or "is not one of" in each.reason
        for each in caught.value.errors
    )


@pytest.mark.parametrize(
    "rule", [COUNTER, TOTAL, STATE, LIMIT, WINDOW], ids=lambda rule: rule["kind"]
)
def test_each_kind_of_rule_is_accepted_as_it_stands(rule: Table) -> None:
    assert parse(rule=[rule]).rules[0].kind == rule["kind"]


@pytest.mark.parametrize(
    ("rule", "key", "reason"),
    [
        ({**COUNTER, "unit": ""}, "unit", "must not be empty"),
        (
            {key: value for key, value in COUNTER.items() if key != "unit"},
            "unit",
            "is required for a counter rule",
        ),
        ({**COUNTER, "unit": "PCE"}, "unit", "no known UN/ECE Rec 20 code"),
        ({**COUNTER, "high": 8}, "high", "is no key of a counter rule"),
        ({**COUNTER, "tag": "*.*"}, "tag", "more than one '*'"),
        ({**COUNTER, "tag": "m1.good"}, "lot", "has a '*', and tag has none"),
        ({**COUNTER, "lot": "*.good"}, "tag", "two roles read the same tag"),
        ({**COUNTER, "cut_on": ["order"]}, "cut_on", "the rule has no order tag"),
        ({**COUNTER, "cut_on": []}, "cut_on", "nothing ever cuts"),
        ({**COUNTER, "cut_on": ["lot", "lot"]}, "cut_on[1]", "there twice"),
        ({**COUNTER, "offset_s": 5}, "offset_s", "no meaning without every_s"),
        ({**COUNTER, "rollover": -1}, "rollover", "out of bounds"),
        ({**COUNTER, "lot": "", "every_s": 5}, "lot", "must not be empty"),
        (
            {"name": "r", "kind": "counter", "tag": "a", "start": "b", "every_s": 5, "unit": "C62"},
            "start",
            "no lot tag",
        ),
        ({key: value for key, value in TOTAL.items() if key != "per"}, "per", "is required"),
        ({**TOTAL, "per": "d"}, "per", "'d' is not known"),
        ({**STATE, "states": []}, "states", "has 0 items"),
        ({**STATE, "states": ["a", 2]}, "states", "mixes texts and numbers"),
        ({**STATE, "states": ["x" * 32]}, "states[0]", "too long"),
        ({**STATE, "states": [str(n) for n in range(17)]}, "states", "has 17 items"),
        ({**STATE, "states": ["*", "STOP"]}, "states", "'*' is every state already"),
        ({**STATE, "names": "isa88"}, "names", "'isa88' is not known"),
        ({**STATE, "names": "packml"}, "states[0]", "'STOP' is no name of a code"),
        ({**STATE, "names": {"01": "STOP"}}, "names.01", "'01' is not valid"),
        ({**STATE, "names": {"1": "STOP", "2": "STOP"}}, "names", "two codes have one name"),
        ({**STATE, "names": {"1": "STOP"}, "states": ["STOP", 1]}, "states", "code and its name"),
        ({**STATE, "on": "leave"}, "on", "'leave' is not known"),
        ({**STATE, "micro": "drop"}, "micro", "no meaning without min_duration_s"),
        (
            {**STATE, "on": "enter", "min_duration_s": 2, "micro": "fold"},
            "micro",
            "decided when a state ends",
        ),
        ({**STATE, "micro_every_s": 60}, "micro_every_s", 'without micro = "fold"'),
        ({**COUNTER, "negative": "minus"}, "negative", "'minus' is not known"),
        ({**STATE, "negative": "ignore"}, "negative", "is no key of a state rule"),
        ({"name": "r", "kind": "limit", "tag": "t"}, "high", "no level is set"),
        ({**LIMIT, "low": 80}, "high", "80 is not above low 80"),
        ({**LIMIT, "high_high": 70}, "high_high", "70 is not above high 80"),
        ({**LIMIT, "low": {"value": 10, "deadband": 70}}, "low.deadband", "could never clear"),
        ({**LIMIT, "high": {"value": 8, "dedband": 1}}, "high.dedband", "is not a known key"),
        ({**LIMIT, "high": {"deadband": 1}}, "high.value", "is required"),
        ({**LIMIT, "high": "8"}, "high", "must be a number"),
        ({"name": "r", "kind": "window", "tag": "t"}, "size_s", "is required"),
        ({**WINDOW, "size_s": 0.0001}, "size_s", "shorter than a millisecond"),
        ({**WINDOW, "kind": "windw"}, "kind", "'windw' is not known"),
        ({**WINDOW, "tag": "x" * 96}, "tag", "96 bytes of UTF-8 are too long"),
        ({**WINDOW, "series": "x" * 16}, "series", "too long"),
    ],
)
def test_a_rule_that_cannot_work_is_refused(rule: Table, key: str, reason: str) -> None:
    refused(f"rule[r].{key}", reason, rule=[rule])


WRONG: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "negative deadband": (
        {"rule": [{**LIMIT, "high": {"value": 8, "deadband": -0.5}}]},
        "rule[r].high.deadband",
        "-0.5 is out of bounds",
        "0 to 1e+300",
    ),
    "empty window": (
        {"rule": [{**WINDOW, "size_s": 0}]},
        "rule[r].size_s",
        "is required for a window rule",
        "write the window's length in seconds",
    ),
    "lateness beyond the reorder slots": (
        {"source": [{**FEED, "lateness_s": 70_000}], "rule": [COUNTER]},
        "source[s].lateness_s",
        "more than engine.reorder_slots = 65536 samples",
        "more engine.reorder_slots",
    ),
    "lateness beyond the ring": (
        {"source": [{**FEED, "lateness_s": 30_000}], "engine": {"ring_bytes": "1MiB"}},
        "source[s].lateness_s",
        "more than half of the ring of 1024 KiB",
        "a larger engine.ring_bytes",
    ),
    "unknown unit": (
        {"rule": [{**COUNTER, "unit": "pieces"}]},
        "rule[r].unit",
        "'pieces' is no known UN/ECE Rec 20 code",
        "such as C62 (pieces), KGM or LTR",
    ),
    "panes beyond the bound": (
        {"source": [{**FEED, "lateness_s": 600}], "rule": [WINDOW]},
        "rule[r].size_s",
        "602 panes would be open, at most 64 are kept",
        "size_s of at least 9.67742, or a smaller lateness_s",
    ),
    "limits that overlap": (
        {"rule": [{**LIMIT, "low": {"value": 10, "deadband": 70}}]},
        "rule[r].low.deadband",
        "reaches high: the level could never clear",
        "make it smaller",
    ),
    "limits in the wrong order": (
        {"rule": [{**LIMIT, "high_high": 80}]},
        "rule[r].high_high",
        "80 is not above high 80",
        "HH > H > L > LL",
    ),
    "a limit on a text": (
        {"source": [{**FEED, "tags": {"m1.mode": "code"}}], "rule": [{**LIMIT, "tag": "m1.mode"}]},
        "rule[r].tag",
        "'m1.mode' is code by source[s].tags, a limit rule reads f64, i64, bool here",
        "correct its type",
    ),
    "a counter on texts of a pattern": (
        {"source": [{**FEED, "tags": {"*.good": "code"}}], "rule": [COUNTER]},
        "rule[r].tag",
        "'*.good' is code by source[s].tags, a counter rule reads f64, i64 here",
        "correct its type",
    ),
    "texts of states on a number": (
        {"source": [{**FEED, "tags": {"*.state": "i64"}}], "rule": [STATE]},
        "rule[r].tag",
        "'*.state' is i64 by source[s].tags, a state rule reads code here",
        "correct its type",
    ),
    "names of codes on a text": (
        {
            "source": [{**FEED, "tags": {"m1.state": "code", "*": "i64"}}],
            "rule": [{**STATE, "tag": "m1.state", "names": "packml", "states": ["Held"]}],
        },
        "rule[r].tag",
        "'m1.state' is code by source[s].tags, a state rule reads f64, i64, bool here",
        "correct its type",
    ),
    "arrival order for a counter": (
        {"rule": [{**COUNTER, "order_by": "arrival"}]},
        "rule[r].order_by",
        "a counter rule is always judged by event time",
        "leave it out",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_refused_with_its_path_and_the_fix(name: str) -> None:
    sections, path, reason, fix = WRONG[name]
    with pytest.raises(ConfigErrors) as caught:
        parse(**sections)
    found = {each.path: each for each in caught.value.errors}
    assert path in found, found
    assert reason in found[path].reason
    assert fix in found[path].fix
    assert str(found[path]).startswith(path)


def test_a_pattern_may_reach_beyond_what_is_declared() -> None:
    tags = {"m1.mode": "code", "*.good": "i64"}
    assert parse(
        source=[{**FEED, "tags": tags}], rule=[{**LIMIT, "tag": "*"}, {**COUNTER, "name": "c"}]
    )
    assert parse(source=[{**FEED, "tags": tags}], rule=[{**LIMIT, "tag": "m1.*"}]).rules


def test_windows_may_hold_at_most_64_panes_open() -> None:
    assert parse(source=[{**FEED, "lateness_s": 62}], rule=[WINDOW]).rules
    refused(
        "rule[r].size_s",
        "65 panes would be open",
        source=[{**FEED, "lateness_s": 62.5}],
        rule=[WINDOW],
    )


@pytest.mark.parametrize(
    ("source", "key", "reason"),
    [
        ({**FEED, "bind": "tcp://h:1"}, "kind", "a feed has no address"),
        ({**FEED, "subjects": ["a"]}, "subjects", "feed has no subjects"),
        ({"name": "s", "kind": "zmq_pull"}, "connect", "is required"),
        ({**PULL, "bind": "tcp://h:2"}, "connect", "exclude each other"),
        ({**PULL, "connect": "tcp://h"}, "connect", "has no port"),
        ({**PULL, "connect": "tcp://h:70000"}, "connect", "has no port"),
        ({**PULL, "connect": "tcp://h:0"}, "connect", "has no port"),
        ({**PULL, "connect": "tcp://*:1"}, "connect", "no host to connect to"),
        ({**PULL, "connect": "ipc:///tmp/x"}, "connect", "is no address of this kind"),
        ({**PULL, "connect": "tcp://u:p@h:1"}, "connect", "ZeroMQ has no user"),
        ({**PULL, "password": "x"}, "user", "takes no credentials"),
        ({**PULL, "ring_share": 0}, "ring_share", "out of bounds"),
        ({**PULL, "reconnect_min_s": 9}, "reconnect_min_s", "is above reconnect_max_s"),
        ({**NATS, "connect": "tcp://h:1"}, "connect", "is no address of this kind"),
        (
            {"name": "s", "kind": "nats", "bind": "nats://h", "subjects": ["a"]},
            "bind",
            "it connects",
        ),
        (
            {**NATS, "connect": "nats://u:p@h", "user": "u"},
            "connect",
            "in the address and beside it",
        ),
        ({**NATS, "full": "block"}, "full", "its sender does not wait"),
        ({"name": "s", "kind": "nats", "connect": "nats://h"}, "subjects", "is required for nats"),
        ({**NATS, "subjects": ["a..b"]}, "subjects[0]", "is no NATS subject"),
        ({**NATS, "subjects": ["a.>.b"]}, "subjects[0]", "is no NATS subject"),
        ({**NATS, "subjects": ["a b"]}, "subjects[0]", "is no NATS subject"),
        ({**NATS, "token": "x", "user": "u"}, "token", "exclude each other"),
        ({**NATS, "password": "x"}, "password", "stands without user"),
        ({**NATS, "subjects": [f"s{n}" for n in range(17)]}, "subjects", "has 17 items"),
        ({"name": "s", "kind": "replay"}, "connect", "is required"),
        ({**REPLAY, "connect": "/rec/line1.zmtp"}, "connect", "is no address of this kind"),
        ({**REPLAY, "connect": "file://host/rec"}, "connect", "is no address of this kind"),
        ({**REPLAY, "connect": "file:///" + "x" * 255}, "connect", "too long"),
        (
            {"name": "s", "kind": "replay", "bind": "file:///rec"},
            "bind",
            "is no address of this kind",
        ),
        ({**REPLAY, "subjects": ["a"]}, "subjects", "replay has no subjects"),
        ({**REPLAY, "password": "x"}, "user", "takes no credentials"),
        ({**FEED, "tags": {"a.*.*": "i64"}}, "tags.a.*.*", "more than one '*'"),
        ({**FEED, "tags": {"a": "int"}}, "tags.a", "'int' is not known"),
        ({**FEED, "name": "my source"}, "name", "is not valid"),
    ],
)
def test_a_source_that_cannot_work_is_refused(source: Table, key: str, reason: str) -> None:
    where = "s" if source["name"] == "s" else source["name"]
    refused(f"source[{where}].{key}", reason, source=[source])


def test_addresses_of_every_form_reach_the_core() -> None:
    sources = [
        {"name": "a", "kind": "zmq_pull", "bind": "tcp://*:0"},
        {"name": "b", "kind": "zmq_sub", "connect": "tcp://[::1]:5556"},
        {
            "name": "c",
            "kind": "nats",
            "connect": "nats://t%2Fk@host.example:4333",
            "subjects": ["*"],
        },
        {"name": "d", "kind": "replay", "connect": "file:///rec/line%201.nats"},
    ]
    found = parse(source=sources).options_for_core()["sources"]
    assert [(each["host"], each["port"], each["is_bind"], each["token"]) for each in found] == [
        ("0.0.0.0", 0, 1, ""),
        ("::1", 5556, 0, ""),
        ("host.example", 4333, 0, "t/k"),
        ("/rec/line 1.nats", 0, 0, ""),
    ]
    assert (found[3]["kind"], found[3]["full"]) == (4, 0)


def test_names_and_addresses_are_taken_once() -> None:
    two = [{**PULL, "connect": "", "bind": "tcp://h:1", "name": name} for name in ("s", "t")]
    for each in two:
        del each["connect"]
    refused("source[t].bind", "tcp://h:1 is taken by source[s]", source=two)
    refused("source[1].name", "'s' is taken by source[0]", source=[FEED, FEED])
    refused("rule[1].name", "'r' is taken", rule=[LIMIT, WINDOW])
    refused("mapping[1].name", "'m' is taken", rule=[COUNTER], mapping=[CONFIRM, CONFIRM])
    refused("target[1].name", "'erp' is taken", target=[ERP, ERP])


@pytest.mark.parametrize(
    ("rule", "base", "change", "key", "reason"),
    [
        (COUNTER, CONFIRM, {"rule": "q"}, "rule", "there is no rule 'q'"),
        (COUNTER, CONFIRM, {"target": "sap"}, "target", "there is no target 'sap'"),
        (COUNTER, CONFIRM, {"targets": ["erp"]}, "targets", "exclude each other"),
        (COUNTER, CONFIRM, {"target": None}, "target", "is required"),
        (COUNTER, CONFIRM, {"contract": "scrap"}, "contract", "'scrap' is not known"),
        (COUNTER, CONFIRM, {"event": "state.end"}, "event", "makes no state.end"),
        ({**STATE, "on": "enter"}, STOP, {}, "event", "makes no state.end as it is"),
        (STATE, STOP, {"event": "state.micro"}, "event", "makes no state.micro as it is"),
        (
            LIMIT,
            CONFIRM,
            {"event": "limit.L.trip", "contract": "scrap/1"},
            "event",
            "has no L level",
        ),
        (WINDOW, CONFIRM, {"event": "window.close"}, "event", "emits results"),
        (
            COUNTER,
            CONFIRM,
            {"contract": "material_consumption/1"},
            "fields.component",
            "is required by",
        ),
        (
            COUNTER,
            CONFIRM,
            {"contract": "downtime/1"},
            "fields.state",
            "counter.segment has no state",
        ),
        (STATE, STOP, {"contract": "scrap/1"}, "fields.quantity", "state.end has no quantity"),
        (
            COUNTER,
            CONFIRM,
            {"business_object": "quantity"},
            "business_object",
            "'quantity' is not known",
        ),
        (COUNTER, CONFIRM, {"business_object": "state"}, "business_object", "has no state"),
        (COUNTER, CONFIRM, {"hold_if_flags": ["incomplet"]}, "hold_if_flags[0]", "is not known"),
        (COUNTER, CONFIRM, fields(odrer="context.order"), "fields.odrer", "is no member"),
        (COUNTER, CONFIRM, fields(order="context.ordr"), "fields.order", "is not known"),
        (COUNTER, CONFIRM, fields(order={}), "fields.order", "exactly one of from and const"),
        (
            COUNTER,
            CONFIRM,
            fields(order={"from": "tag", "const": 1}),
            "fields.order",
            "exactly one",
        ),
        (
            COUNTER,
            CONFIRM,
            fields(order={"from": "tag", "optional": True}),
            "fields.order",
            "is required",
        ),
        (
            COUNTER,
            CONFIRM,
            fields(order={"from": "quantity"}),
            "fields.order",
            "quantity is a number",
        ),
        (
            COUNTER,
            CONFIRM,
            fields(order={"from": "tag", "unit": "C62"}),
            "fields.order",
            "for quantities",
        ),
        (COUNTER, CONFIRM, fields(order={"const": True}), "fields.order", "must be a text"),
        (COUNTER, CONFIRM, fields(final={"const": "yes"}), "fields.final", "must be true or false"),
        (COUNTER, CONFIRM, fields(start={"from": "posting_date"}), "fields.start", "needs a time"),
        (COUNTER, CONFIRM, fields(start={"const": "2026"}), "fields.start", "never a constant"),
        (
            COUNTER,
            CONFIRM,
            fields(quantity={"from": "tag"}),
            "fields.quantity",
            "tag is no quantity",
        ),
        (
            COUNTER,
            CONFIRM,
            fields(quantity={"from": "quantity", "unit": "KGM"}),
            "fields.quantity",
            "C62 of the rule 'r' cannot become KGM",
        ),
        (
            COUNTER,
            CONFIRM,
            fields(quantity={"from": "quantity", "unit": "GRO"}),
            "fields.quantity",
            "endless decimals",
        ),
        (
            COUNTER,
            CONFIRM,
            fields(quantity={"from": "quantity", "round": "0"}),
            "fields.quantity.round",
            "is no rounding step",
        ),
        (
            COUNTER,
            CONFIRM,
            fields(quantity={"from": "quantity", "map": {"1": 2}}),
            "fields.quantity",
            "never mapped",
        ),
        (COUNTER, CONFIRM, fields(quantity={"const": 5}), "fields.quantity", "needs its unit"),
        (
            COUNTER,
            CONFIRM,
            fields(quantity={"const": "5", "unit": "C62"}),
            "fields.quantity",
            "is a number",
        ),
        (
            STATE,
            STOP,
            fields(duration={"from": "duration", "unit": "HUR"}),
            "fields.duration",
            "endless decimals",
        ),
        (
            STATE,
            STOP,
            fields(category={"from": "state", "map": {"STOP": "planed"}}),
            "fields.category",
            "is not one of",
        ),
        (STATE, STOP, fields(category={"const": "x"}), "fields.category", "is not one of"),
        (
            {**LIMIT, "name": "r"},
            CONFIRM,
            {
                "event": "limit.H.trip",
                "contract": "scrap/1",
                "fields": {"quantity": {"from": "value"}},
            },
            "fields.quantity",
            "has no unit",
        ),
    ],
)
def test_a_mapping_that_cannot_work_is_refused(
    rule: Table, base: Table, change: Table, key: str, reason: str
) -> None:
    mapping = {name: value for name, value in {**base, **change}.items() if value is not None}
    refused(f"mapping[m].{key}", reason, rule=[rule], mapping=[mapping])


def test_a_standard_case_needs_five_lines() -> None:
    for rule, mapping in (
        (COUNTER, CONFIRM),
        (STATE, STOP),
        (COUNTER, {**CONFIRM, "contract": "scrap/1"}),
    ):
        config = parse(rule=[rule], mapping=[mapping])
        assert config.mappings[0].fields == ()
        assert config.notices == ()


def test_what_is_probably_not_meant_is_a_notice() -> None:
    unmapped = parse(rule=[COUNTER]).notices
    assert [(each.path, each.text) for each in unmapped] == [
        ("rule[r]", "its events become no document")
    ]
    unheld = parse(rule=[COUNTER], mapping=[{**CONFIRM, "hold_if_flags": []}]).notices
    assert [each.path for each in unheld] == ["mapping[m].hold_if_flags"]
    total = parse(rule=[TOTAL], mapping=[{**CONFIRM, "event": "total.segment"}]).notices
    assert [each.path for each in total] == ["mapping[m].fields.quantity"]
    twice = parse(rule=[COUNTER], mapping=[CONFIRM, {**CONFIRM, "name": "n"}]).notices
    assert [each.path for each in twice] == ["mapping[n]"]
    assert "second production_confirmation/1" in twice[0].text
    alone = {"name": "r", "kind": "counter", "tag": "good", "lot": "lot", "unit": "C62"}
    contextless = parse(rule=[alone], mapping=[CONFIRM]).notices
    assert [each.path for each in contextless] == ["mapping[m].rule"]
