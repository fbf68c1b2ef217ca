"""Window rules: what cannot work is refused with its place and the fix, what can reaches the core,
and each aggregate becomes a document in its own unit or not at all.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from penstock import units
from penstock.config import Config, ConfigErrors, parse_config
from penstock.config import vocabulary as words
from penstock.config.show import to_plain
from penstock.mapping import Command, map_event
from penstock.testing.builders import make_event

Table = dict[str, Any]

WINDOW = {"name": "r", "kind": "window", "tag": "*.temp"}
SECOND = {**WINDOW, "size_s": 1}
SESSION = {**WINDOW, "session_gap_s": 5}
COUNT = {**WINDOW, "count_n": 100}
CORRECTED = {**SECOND, "correct_within_s": 2}


def parse(rule: Table, lateness_s: float = 0, mapping: Table | None = None) -> Config:
    raw = {
        "plant": {"name": "graz"},
        "source": [{"name": "s", "kind": "feed", "lateness_s": lateness_s}],
        "rule": [rule],
        "target": [{"name": "erp", "kind": "tryton"}],
        "mapping": [mapping] if mapping else [],
    }
    return parse_config(raw, variables={})


def refusals(*given: Any) -> dict[str, tuple[str, str]]:
    with pytest.raises(ConfigErrors) as caught:
        parse(*given)
    return {each.path: (each.reason, each.fix) for each in caught.value.errors}


@pytest.mark.parametrize(
    ("rule", "key", "reason", "fix"),
    [
        (WINDOW, "size_s", "its length would be 0", "or session_gap_s"),
        ({**SECOND, "size_s": 0}, "size_s", "its length would be 0", "or session_gap_s"),
        ({**SECOND, "count_n": 5}, "count_n", "exclude each other", "leave one out"),
        ({**SECOND, "session_gap_s": 5}, "session_gap_s", "exclude each other", "leave one out"),
        ({**SECOND, "hop_s": 0.3}, "hop_s", "1 is no multiple of hop_s 0.3", "size_s = 0.9"),
        ({**SECOND, "hop_s": 2}, "hop_s", "is no multiple", "size_s = 2"),
        (
            {**SECOND, "size_s": 0.01, "hop_s": 0.0005},
            "hop_s",
            "shorter than a millisecond",
            "0.001",
        ),
        ({**SECOND, "hop_s": 0.01}, "hop_s", "100 windows, at most 64", "at least 0.015625"),
        ({**SESSION, "hop_s": 1}, "hop_s", "stands without size_s", "a multiple"),
        ({**COUNT, "count_n": 0}, "count_n", "out of bounds", "1 to"),
        ({**SECOND, "session_max_s": 60}, "session_max_s", "without session_gap_s", "leave it out"),
        ({**COUNT, "offset_s": 1}, "offset_s", "aligns windows", "leave it out"),
        ({**SECOND, "aggregates": ["share"]}, "share_of", "is required for share", "RUN"),
        ({**SECOND, "share_of": "RUN"}, "share_of", "which is not asked", '"share"'),
        ({**SECOND, "aggregates": ["completeness"]}, "expected_s", "is required", "expected_s = 1"),
        ({**SECOND, "expected_s": 1}, "expected_s", "which is not asked", '"completeness"'),
        ({**SECOND, "aggregates": ["varience"]}, "aggregates[0]", "not known", "'variance'?"),
        (
            {**SECOND, "aggregates": ["share"], "share_of": ["RUN", 1]},
            "share_of",
            "mixes texts and numbers",
            "one or the other",
        ),
        ({**SESSION, "order_by": "arrival"}, "order_by", "in order of time", '"event"'),
        (
            {**SECOND, "order_by": "arrival", "aggregates": ["tw_mean"]},
            "order_by",
            "in order of time",
            '"event"',
        ),
        ({**SESSION, "correct_within_s": 2}, "correct_within_s", "a session window", "lateness_s"),
        ({**COUNT, "correct_within_s": 2}, "correct_within_s", "a count window", "lateness_s"),
        ({**CORRECTED, "hop_s": 0.5}, "correct_within_s", "a hopping window", "lateness_s"),
        ({**SECOND, "cut_on": ["lot"]}, "cut_on", "the rule has no lot tag", "context.lot"),
        ({**SECOND, "lot": "*.lot", "order_by": "arrival"}, "order_by", "order of time", '"event"'),
        (
            {**CORRECTED, "cut_on": ["context.lot"]},
            "correct_within_s",
            "cut_on needs samples in order",
            "lateness_s",
        ),
        (
            {**CORRECTED, "aggregates": ["integral"]},
            "correct_within_s",
            "integral needs samples in order",
            "lateness_s",
        ),
    ],
)
def test_what_cannot_work_is_refused(rule: Table, key: str, reason: str, fix: str) -> None:
    said, help_ = refusals(rule)[f"rule[r].{key}"]
    assert reason in said
    assert fix in help_


def test_panes_are_bounded_by_hop_lateness_and_corrections() -> None:
    hopping = {**SECOND, "hop_s": 0.5}
    assert parse(hopping, 31).rules
    assert "65 panes" in refusals(hopping, 31.1)["rule[r].hop_s"][0]
    assert parse(CORRECTED, 60).rules
    assert "65 panes" in refusals(CORRECTED, 60.5)["rule[r].size_s"][0]
    assert parse(SESSION, 5000).rules


def test_what_is_written_reaches_the_core_and_comes_back_from_show() -> None:
    rule = {
        **WINDOW,
        "size_s": 60,
        "hop_s": 0.9375,
        "aggregates": ["count", "variance", "share", "completeness"],
        "share_of": "RUN",
        "expected_s": 0.5,
    }
    config = parse(rule)
    native = config.options_for_core()["rules"][0]
    assert (native["size_ns"], native["hop_ns"]) == (60 * 10**9, 937_500_000)
    assert native["aggregates"] == sum(
        words.AGGREGATES[name] for name in ("variance", "share", "completeness")
    )
    assert (native["state_count"], native["state_text"]) == (1, ["RUN"])
    assert (native["expected_ns"], native["correct_ns"]) == (500_000_000, 0)
    cut = {**COUNT, "lot": "*.lot", "cut_on": ["lot", "context.order"]}
    assert parse(cut).options_for_core()["rules"][0]["cut_on"] == 1 + 4
    assert parse({**SECOND, "lot": "*.lot"}).rules[0].cut_on == ("lot",)
    for each in (rule, SESSION, COUNT, CORRECTED, cut):
        shown = to_plain(parse(each))
        assert parse_config(shown, variables={}).rules == parse(each).rules
    session = parse(SESSION).options_for_core()["rules"][0]
    assert (session["session_gap_ns"], session["session_max_ns"]) == (5 * 10**9, 3600 * 10**9)


# ---- documents ----------------------------------------------------------------------------------

TOLD = {
    **SECOND,
    "emit": "event",
    "asset": "m1",
    "unit": "KWT",
    "aggregates": list(words.AGGREGATES),
}
TOLD |= {"share_of": "RUN", "expected_s": 1}
USED = {
    "name": "m",
    "event": "window.close",
    "rule": "r",
    "contract": "material_consumption/1",
    "target": "erp",
}


def mapping(path: str, **spec: Any) -> Table:
    fields = {"component": {"const": "POWER"}, "quantity": {"from": path, **spec}}
    return {**USED, "fields": fields}


@pytest.mark.parametrize(
    ("rule", "path", "spec", "reason"),
    [
        (TOLD, "integral", {}, "integral of KWT has no unit of its own"),
        (TOLD, "integral", {"unit": "KGM"}, "KWT*SEC of the rule 'r' cannot become KGM"),
        (TOLD, "integral", {"unit": "KWH"}, "endless decimals"),
        ({**TOLD, "unit": "CEL"}, "integral", {"unit": "CEL"}, "CEL x second, which no code names"),
        (TOLD, "rate", {"unit": "KWT"}, "KWT / second, which no code names"),
        (TOLD, "variance", {}, "square of the rule's unit"),
        ({**TOLD, "unit": "CEL"}, "range", {"unit": "FAH"}, "its zero would move"),
        (TOLD, "min_at", {}, "min_at is no quantity"),
        ({**TOLD, "aggregates": ["range"], "share_of": []}, "tw_mean", {}, "does not ask for"),
    ],
)
def test_a_quantity_without_a_unit_is_refused(
    rule: Table, path: str, spec: Table, reason: str
) -> None:
    rule = {key: value for key, value in rule.items() if value != []}
    if "share" not in rule["aggregates"]:
        rule = {key: value for key, value in rule.items() if key not in ("share_of", "expected_s")}
    said, fix = refusals(rule, 0, mapping(path, **spec))["mapping[m].fields.quantity"]
    assert reason in said
    assert fix


@pytest.mark.parametrize(
    ("unit", "path", "spec", "value", "document"),
    [
        ("KWT", "integral", {"unit": "KWH", "round": "0.001"}, 5400.0, ("1.5", "KWH")),
        ("KWT", "integral", {"unit": "KJO"}, 5400.5, ("5400.5", "KJO")),
        ("MQH", "integral", {"unit": "LTR", "round": "1"}, 3.6, ("1", "LTR")),
        ("LTR", "rate", {"unit": "G51"}, 0.25, ("0.25", "G51")),
        ("KWT", "tw_mean", {"unit": "WTT"}, 1.5, ("1500", "WTT")),
        ("CEL", "range", {}, 12.5, ("12.5", "CEL")),
        ("CEL", "share", {"unit": "C62"}, 0.125, ("0.125", "C62")),
    ],
)
def test_a_quantity_is_exact_in_its_unit(
    unit: str, path: str, spec: Table, value: float, document: tuple[str, str]
) -> None:
    config = parse({**TOLD, "unit": unit}, 0, mapping(path, **spec))
    event = replace(
        make_event(1), kind="window.close", rule="r", unit=unit, quantity=None,
        aggregates={path: value},
    )  # fmt: skip
    (command,) = map_event(event, config)
    assert isinstance(command, Command), command
    assert command.body["quantity"] == {"value": document[0], "unit": document[1]}
    (fault,) = map_event(replace(event, aggregates={path: None}), config)
    assert f"the event has no {path}" in getattr(fault, "reason", "")


def test_units_by_a_second_are_no_codes_of_a_rule() -> None:
    assert units.find("KWT*SEC") is None
    assert units.convert(Decimal(1), "AMP*SEC", "AMH") * 3600 == 1
    assert not units.is_derivable("CEL*SEC")
    assert not units.is_derivable("KWT/SEC")
    assert "no known UN/ECE" in refusals({**SECOND, "unit": "KWT*SEC"})["rule[r].unit"][0]
