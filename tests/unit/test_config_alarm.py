"""Limit, rate, stuck and freshness rules: what is refused, where, and how it is mended; what the
core is given.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import penstock.config
from penstock.config import Config, ConfigErrors, parse_config

Table = dict[str, Any]
DOCS = Path(penstock.config.__file__).parents[1] / "docs"

LIMIT: Table = {"name": "r", "kind": "limit", "tag": "*.temp", "high": 80}
RATE: Table = {"name": "r", "kind": "rate", "tag": "*.temp", "span_s": 10, "high": 5}
STUCK: Table = {"name": "r", "kind": "stuck", "tag": "*.temp", "after_s": 60}
FRESH: Table = {"name": "r", "kind": "freshness", "tag": "*.temp", "after_s": 60}
GAP: Table = {"name": "r", "kind": "gap", "source": "s"}


def parse(*rules: Table, tags: Table | None = None, source: str = "s") -> Config:
    fed = {"name": source, "kind": "feed", "tags": tags or {}}
    raw = {"plant": {"name": "graz"}, "source": [fed], "rule": list(rules)}
    return parse_config(raw, variables={})


def refusals(*rules: Table, tags: Table | None = None) -> list[tuple[str, str, str]]:
    with pytest.raises(ConfigErrors) as caught:
        parse(*rules, tags=tags)
    return [(each.path, each.reason, each.fix) for each in caught.value.errors]


@pytest.mark.parametrize("rule", [LIMIT, RATE, STUCK, FRESH, GAP], ids=lambda rule: rule["kind"])
def test_each_kind_is_accepted_as_it_stands(rule: Table) -> None:
    assert parse(rule).rules[0].kind == rule["kind"]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (
            {**LIMIT, "high": {"value": 80, "deadband": -1}},
            ("rule[r].high.deadband", "-1 is out of bounds", "0 to 1e+300"),
        ),
        (
            {**LIMIT, "high": 80, "low": 90},
            ("rule[r].high", "80 is not above low 90", "HH > H > L > LL"),
        ),
        (
            {**RATE, "high_high": 5, "high": 5},
            ("rule[r].high_high", "5 is not above high 5", "HH > H > L > LL"),
        ),
        (
            {**LIMIT, "low": {"value": 20, "deadband": 60}},
            (
                "rule[r].low.deadband",
                "reaches high: the level could never clear",
                "make it smaller",
            ),
        ),
        (
            {**LIMIT, "high": {"value": 80, "deadband": 60}, "low": 20},
            (
                "rule[r].high.deadband",
                "reaches low: the level could never clear",
                "make it smaller",
            ),
        ),
        (
            {**LIMIT, "high": {"value": 80, "re_alarm_s": 0.5}},
            ("rule[r].high.re_alarm_s", "is shorter than a second", "1 or more; 0 = never"),
        ),
        (
            {**LIMIT, "unit": "furlong"},
            (
                "rule[r].unit",
                "'furlong' is no known UN/ECE Rec 20 code",
                "write the UN/ECE Rec 20 code of what is counted, such as C62 (pieces), KGM or LTR",
            ),
        ),
        (
            {**LIMIT, "quality": "drop"},
            ("rule[r].quality", "'drop' is not known", "known: hold, trip, suppress"),
        ),
        (
            {**RATE, "quality": "trip"},
            ("rule[r].quality", "a rate rule cannot trip by a bad sample", "hold, or suppress"),
        ),
        (
            {**STUCK, "quality": "trip"},
            ("rule[r].quality", "a stuck rule cannot trip by a bad sample", "hold, or suppress"),
        ),
        (
            {key: value for key, value in RATE.items() if key != "span_s"},
            (
                "rule[r].span_s",
                "is required for a rate rule",
                "write the span of the change in seconds",
            ),
        ),
        (
            {**RATE, "span_s": 0.0001},
            ("rule[r].span_s", "is shorter than a millisecond", "0.001 or more"),
        ),
        (
            {**RATE, "per": "day"},
            ("rule[r].per", "'day' is not known", "known: h, min, s"),
        ),
        (
            {key: value for key, value in RATE.items() if key != "high"},
            ("rule[r].high", "no level is set", "set high_high, high, low or low_low"),
        ),
        (
            {**STUCK, "band": -0.5},
            ("rule[r].band", "-0.5 is out of bounds", "0 to 1e+300"),
        ),
        (
            {key: value for key, value in STUCK.items() if key != "after_s"},
            ("rule[r].after_s", "is required for a stuck rule", "write how long, in seconds"),
        ),
        (
            {**FRESH, "order_by": "event"},
            (
                "rule[r].order_by",
                "event: silence is judged as samples arrive",
                'leave it out, or "arrival"',
            ),
        ),
        (
            {**FRESH, "quality": "hold"},
            (
                "rule[r].quality",
                "is no key of a freshness rule",
                "it belongs to limit, rate, stuck",
            ),
        ),
        (
            {**LIMIT, "span_s": 1},
            ("rule[r].span_s", "is no key of a limit rule", "it belongs to rate"),
        ),
        (
            {key: value for key, value in LIMIT.items() if key != "tag"},
            (
                "rule[r].tag",
                "is required for a limit rule",
                'write tag = "line1.temp", or a pattern: "*.temp"',
            ),
        ),
        (
            {"name": "r", "kind": "gap"},
            (
                "rule[r].source",
                "is required for a gap rule",
                "write the name of a [[source]] whose streams bear numbers",
            ),
        ),
        (
            {**GAP, "source": "line"},
            ("rule[r].source", "'line' is no [[source]]", "known: s"),
        ),
        (
            {**GAP, "tag": "*.temp"},
            (
                "rule[r].tag",
                "is no key of a gap rule",
                "it belongs to counter, total, state, limit, rate, stuck, freshness, window",
            ),
        ),
        (
            {**GAP, "events_per_minute_max": 6},
            (
                "rule[r].events_per_minute_max",
                "is no key of a gap rule",
                "it belongs to limit, rate, stuck, freshness",
            ),
        ),
        (
            {**GAP, "lost_min": 0},
            ("rule[r].lost_min", "0 is out of bounds", "1 to 1000000000"),
        ),
        (
            {**GAP, "asset": "*"},
            ("rule[r].asset", "has a '*', and tag has none", "write one name"),
        ),
        (
            {**FRESH, "source": "s"},
            ("rule[r].source", "is no key of a freshness rule", "it belongs to gap"),
        ),
    ],
)
def test_what_would_not_work_is_refused_with_path_and_fix(
    rule: Table, expected: tuple[str, str, str]
) -> None:
    assert expected in refusals(rule)


@pytest.mark.parametrize(
    ("tag", "tags"),
    [("m1.state", {"m1.state": "code"}), ("m1.state", {"*.state": "code"}),
     ("*.state", {"*.state": "code"})],
)  # fmt: skip
@pytest.mark.parametrize("rule", [LIMIT, RATE, STUCK], ids=lambda rule: rule["kind"])
def test_a_rule_on_a_tag_of_texts_is_refused(rule: Table, tag: str, tags: Table) -> None:
    found = refusals({**rule, "tag": tag}, tags=tags)
    reason = f"{tag!r} is code by source[s].tags, a {rule['kind']} rule reads f64, i64, bool here"
    assert found == [("rule[r].tag", reason, "name another tag, or correct its type")]


def test_a_text_may_fall_silent_and_a_number_may_be_judged() -> None:
    parse({**FRESH, "tag": "m1.state"}, tags={"m1.state": "code"})
    parse({**LIMIT, "tag": "m1.temp"}, tags={"m1.temp": "i64", "m1.state": "code"})


def test_the_core_is_given_times_in_ns_and_words_as_numbers() -> None:
    level = {"value": 80, "deadband": 1, "on_delay_s": 2, "off_delay_s": 3, "re_alarm_s": 600}
    rules = parse(
        {**LIMIT, "high": level, "quality": "trip"},
        {**RATE, "name": "rate", "per": "min", "quality": "suppress"},
        {**RATE, "name": "second"},
        {**STUCK, "name": "stuck", "band": 0.5},
        {**FRESH, "name": "fresh"},
        {**GAP, "name": "gap", "lost_min": 9},
    ).options_for_core()["rules"]
    assert [rule["kind"] for rule in rules] == [1, 6, 6, 7, 8, 9]
    assert [(rule["source"], rule["lost_min"]) for rule in rules[4:]] == [("", 1), ("s", 9)]
    assert rules[0]["level"][1] == {
        "is_set": 1, "value": 80.0, "deadband": 1.0, "on_delay_ns": 2 * 10**9,
        "off_delay_ns": 3 * 10**9, "re_alarm_ns": 600 * 10**9,
    }  # fmt: skip
    assert [rule["quality"] for rule in rules] == [1, 2, 0, 0, 0, 0]
    assert [rule["rate_unit_ns"] for rule in rules[1:3]] == [60 * 10**9, 10**9]
    assert rules[1]["span_ns"] == 10**10
    assert (rules[3]["after_ns"], rules[3]["band"], rules[4]["after_ns"]) == (
        6 * 10**10,
        0.5,
        6 * 10**10,
    )


@pytest.mark.parametrize("page", ["limits", "rate", "stuck", "freshness", "gap", "alarms"])
def test_the_example_of_each_page_is_valid_as_printed(page: str) -> None:
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    for example in re.findall(r"```toml\n(.*?)```", text, re.S):
        assert parse(*tomllib.loads(example)["rule"], source="line1").rules


def test_each_page_is_linked_from_the_index() -> None:
    index = (DOCS / "rules.md").read_text(encoding="utf-8")
    for page in ("limits", "rate", "stuck", "freshness", "gap", "alarms"):
        assert f"]({page}.md)" in index


ABOVE: Table = {"name": "above", "kind": "freshness", "tag": "*.volt", "after_s": 5}


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (
            ({**LIMIT, "suppress_by": "above"},),
            (
                "rule[r].suppress_by",
                "no limit, rate, stuck, freshness rule above this one is named 'above'",
                "put it above this rule",
            ),
        ),
        (
            ({**LIMIT, "suppress_by": "above"}, ABOVE),
            (
                "rule[r].suppress_by",
                "no limit, rate, stuck, freshness rule above this one is named 'above'",
                "put it above this rule",
            ),
        ),
        (
            (ABOVE, {**LIMIT, "suppress_by": "abvoe"}),
            (
                "rule[r].suppress_by",
                "no limit, rate, stuck, freshness rule above this one is named 'abvoe'",
                "did you mean 'above'?",
            ),
        ),
        (
            (ABOVE, {**LIMIT, "tag": "m1.temp", "suppress_by": "above"}),
            (
                "rule[r].suppress_by",
                "above judges '*.volt' and this rule 'm1.temp': nothing pairs them",
                "give both a '*' that matches the same, or the same tag",
            ),
        ),
        (
            ({**LIMIT, "tag": "t", "suppress_when": {"tag": "*.state", "states": ["STOP"]}},),
            (
                "rule[r].suppress_when.tag",
                "has a '*', and tag has none",
                "put the '*' into tag too",
            ),
        ),
        (
            ({**LIMIT, "suppress_when": {"tag": "*.state", "states": ["STOP", 1]}},),
            (
                "rule[r].suppress_when.states",
                "mixes texts and numbers",
                "a tag is one or the other",
            ),
        ),
        (
            ({**LIMIT, "suppress_when": {"tag": "*.state", "states": []}},),
            ("rule[r].suppress_when.states", "has 0 items", "1 to 16"),
        ),
    ],
)
def test_a_suppression_that_would_never_hold_is_refused(
    rules: tuple[Table, ...], expected: tuple[str, str, str]
) -> None:
    assert expected in refusals(*rules)


def test_suppression_reaches_the_core() -> None:
    when = {"tag": "*.state", "states": ["STOP", "IDLE"]}
    (_, rule) = parse(
        ABOVE, {**LIMIT, "suppress_when": when, "suppress_by": "above"}
    ).options_for_core()["rules"]
    assert (rule["suppress_tag"], rule["suppress_by"]) == ("*.state", "above")
    assert (rule["state_count"], rule["state_text"]) == (2, ["STOP", "IDLE"])
