"""Mapping: which document an event becomes, exactly, and what happens where it becomes none."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import jsonschema
import pytest

from penstock.config import Config, parse_config
from penstock.contracts import CONTRACTS, decode_envelope, read_body
from penstock.contracts.publish import document_schema
from penstock.events import Context, Event
from penstock.mapping import (
    Command,
    Fault,
    Hold,
    command_id,
    command_key16,
    map_event,
    matches,
    posting_date,
)

NOON_NS = 1795435200_000000000  # 2026-11-23T12:00:00Z
SEGMENT = Event(
    id="0190c8a0-0000-8000-8000-000000000001",
    digest="0" * 32,
    seq=1,
    pos=64,
    kind="counter.segment",
    plant="graz",
    rule="good-count",
    series="1",
    tag="line1.m1.good",
    asset="line1.m1",
    at_ns=NOON_NS,
    start_ns=NOON_NS,
    end_ns=NOON_NS + 6_500_000_001,
    value=42,
    unit="C62",
    quantity=Decimal(42),
    start_reading=100,
    end_reading=142,
    context=Context(order="4711", lot="L-9"),
)
STOP = replace(
    SEGMENT,
    id="0190c8a0-0000-8000-8000-000000000002",
    kind="state.end",
    rule="stops",
    tag="line1.m1.state",
    value=2,
    text="STOP",
    unit="",
    quantity=None,
    start_reading=None,
    end_reading=None,
)
RULES: list[dict[str, Any]] = [
    {"name": "good-count", "kind": "counter", "tag": "*.good", "lot": "*.lot", "unit": "C62"},
    {"name": "stops", "kind": "state", "tag": "*.state", "states": ["STOP"]},
    {"name": "flow", "kind": "total", "tag": "*.flow", "every_s": 60, "unit": "LTR", "per": "h"},
    {"name": "hot", "kind": "limit", "tag": "*.temp", "unit": "CEL", "high": 80},
]
CONFIRM = {
    "name": "confirm",
    "event": "counter.segment",
    "rule": "good-count",
    "contract": "production_confirmation/1",
    "target": "erp",
}
DOWNTIME = {
    "name": "stop",
    "event": "state.end",
    "rule": "stops",
    "contract": "downtime/1",
    "target": "erp",
}
CONSUME = {**CONFIRM, "name": "consume", "contract": "material_consumption/1"}


def config(*mappings: dict[str, Any], timezone: str = "Europe/Vienna") -> Config:
    return parse_config(
        {
            "plant": {"name": "graz", "enterprise": "acme", "timezone": timezone},
            "rule": RULES,
            "target": [{"name": "erp", "kind": "tryton"}, {"name": "lake", "kind": "tryton"}],
            "mapping": list(mappings),
        },
        variables={},
    )


def only(event: Event, mapping: dict[str, Any]) -> Command | Fault | Hold:
    found = map_event(event, config(mapping))
    assert len(found) == 1
    return found[0]


def command(event: Event, mapping: dict[str, Any]) -> Command:
    found = only(event, mapping)
    assert isinstance(found, Command), found
    return found


def test_a_lot_becomes_one_confirmation_without_a_line_of_mapping() -> None:
    found = command(SEGMENT, CONFIRM)
    assert json.loads(found.body_json) == {
        "asset": "line1.m1",
        "end": "2026-11-23T12:00:06.500000001Z",
        "end_reading": {"unit": "C62", "value": "142"},
        "flags": [],
        "lot": "L-9",
        "order": "4711",
        "posting_date": "2026-11-23",
        "quantity": {"unit": "C62", "value": "42"},
        "start": "2026-11-23T12:00:00.000000000Z",
        "start_reading": {"unit": "C62", "value": "100"},
    }
    assert found.body_json.startswith(b'{"asset":"line1.m1","end":"2026-')
    assert (found.business_object, found.contract, found.target) == (
        "4711",
        "production_confirmation/1",
        "erp",
    )
    assert (found.rule, found.series, found.tag, found.asset) == (
        "good-count",
        "1",
        "line1.m1.good",
        "line1.m1",
    )
    assert (found.occurred_at_ns, found.posting_date) == (SEGMENT.end_ns, "2026-11-23")


def test_a_stop_becomes_one_downtime_with_its_duration() -> None:
    found = command(replace(STOP, flags=frozenset({"micro"})), DOWNTIME)
    assert found.body == {
        "asset": "line1.m1",
        "state": "STOP",
        "start": "2026-11-23T12:00:00.000000000Z",
        "end": "2026-11-23T12:00:06.500000001Z",
        "duration": {"unit": "SEC", "value": "6.500000001"},
        "posting_date": "2026-11-23",
        "flags": ["micro"],
        "order": "4711",
        "micro": True,
    }
    assert found.business_object == "line1.m1"


@pytest.mark.parametrize(
    ("event", "mapping"),
    [
        (SEGMENT, CONFIRM),
        (STOP, DOWNTIME),
        (SEGMENT, {**CONFIRM, "contract": "scrap/1", "fields": {"reason": {"const": "R1"}}}),
        (
            SEGMENT,
            {
                **CONSUME,
                "fields": {"component": {"const": "GRANULATE"}, "method": {"const": "counted"}},
            },
        ),
    ],
)
def test_every_body_fits_its_published_schema_and_its_struct(
    event: Event, mapping: dict[str, Any]
) -> None:
    found = command(event, mapping)
    contract = CONTRACTS[found.contract]
    jsonschema.Draft202012Validator(document_schema(contract)).validate(json.loads(found.body_json))
    assert read_body(contract, found.body)


def test_fields_are_mapped_as_declared() -> None:
    fields = {
        "quantity": {"from": "quantity", "unit": "DZN", "round": "0.1"},
        "reason": {"from": "asset", "map": {"line1.m1": "CUT", "line1.m2": "JAM"}},
        "material": {"const": 815},
        "order": "context.lot",
        "operation": {"from": "context.operation", "optional": True},
    }
    found = command(SEGMENT, {**CONFIRM, "contract": "scrap/1", "fields": fields})
    assert found.body["quantity"] == {"unit": "DZN", "value": "3.5"}
    assert (found.body["reason"], found.body["material"], found.body["order"]) == (
        "CUT",
        "815",
        "L-9",
    )
    assert "operation" not in found.body


@pytest.mark.parametrize(
    ("quantity", "rounding", "expected"),
    [
        (42, "half_even", "4"),
        (30, "half_even", "2"),
        (30, "half_up", "3"),
        (42, "down", "3"),
        (37, "up", "4"),
        (37, None, "3"),
    ],
)
def test_rounding_is_the_one_declared(quantity: int, rounding: str | None, expected: str) -> None:
    spec = {"from": "quantity", "unit": "DZN", "round": "1"}
    spec |= {"rounding": rounding} if rounding else {}
    event = replace(SEGMENT, quantity=Decimal(quantity))
    found = command(event, {**CONFIRM, "fields": {"quantity": spec}})
    assert found.body["quantity"] == {"unit": "DZN", "value": expected}


def test_state_codes_are_mapped_by_their_text() -> None:
    fields = {"category": {"from": "value", "map": {"2": "unplanned"}}, "state": {"from": "value"}}
    numbered = replace(STOP, text="")
    assert command(numbered, {**DOWNTIME, "fields": fields}).body["category"] == "unplanned"
    assert command(numbered, {**DOWNTIME, "fields": fields}).body["state"] == "2"
    assert command(numbered, DOWNTIME).body["state"] == "2"


def test_a_double_enters_as_its_shortest_text() -> None:
    event = replace(SEGMENT, kind="total.segment", rule="flow", unit="LTR", quantity=None)
    mapping = {**CONFIRM, "event": "total.segment", "rule": "flow"}
    exact = replace(event, quantity=Decimal(repr(0.1 + 0.2)))
    assert command(exact, mapping).body["quantity"] == {
        "unit": "LTR",
        "value": "0.30000000000000004",
    }
    rounded = {**mapping, "fields": {"quantity": {"from": "quantity", "unit": "MLT", "round": "1"}}}
    assert command(exact, rounded).body["quantity"] == {"unit": "MLT", "value": "300"}


def test_a_limit_carries_its_rule_s_unit_and_the_crossing_time() -> None:
    event = replace(
        SEGMENT, kind="limit.H.trip", rule="hot", unit="", quantity=None, value=81.25, limit=80.0,
        end_ns=None,
        at_ns=NOON_NS + 5,
    )  # fmt: skip
    mapping = {
        **CONFIRM,
        "event": "limit.H.trip",
        "rule": "hot",
        "contract": "scrap/1",
        "fields": {"quantity": {"from": "value", "unit": "KEL"}, "end": "at"},
    }
    found = command(event, mapping)
    assert found.body["quantity"] == {"unit": "KEL", "value": "354.4"}
    assert found.occurred_at_ns == NOON_NS + 5


# ---- several, none, other ------------------------------------------------------------------------


def test_an_event_that_no_mapping_names_becomes_nothing() -> None:
    assert map_event(SEGMENT, config()) == []
    assert map_event(replace(SEGMENT, rule="other"), config(CONFIRM)) == []
    assert map_event(replace(SEGMENT, kind="rule.restarted"), config(CONFIRM)) == []
    assert map_event(SEGMENT, config({**CONFIRM, "asset": "line2.*"})) == []


def test_each_target_gets_its_own_command_with_the_same_id() -> None:
    targets = {key: value for key, value in CONFIRM.items() if key != "target"} | {
        "targets": ["erp", "lake"]
    }
    first, second = map_event(SEGMENT, config(targets))
    assert isinstance(first, Command)
    assert isinstance(second, Command)
    assert (first.target, second.target) == ("erp", "lake")
    assert first == replace(second, target="erp")


def test_a_mapping_that_fails_disturbs_no_other() -> None:
    bare = replace(SEGMENT, context=Context())
    scrap = {**CONFIRM, "name": "scrap", "contract": "scrap/1", "business_object": "asset"}
    fault, fine = map_event(bare, config(CONFIRM, scrap))
    assert isinstance(fault, Fault)
    assert isinstance(fine, Command)
    assert "order" not in fine.body


@pytest.mark.parametrize(
    ("pattern", "name", "is_match"),
    [
        ("", "anything", True),
        ("line1.m1", "line1.m1", True),
        ("line1.m1", "line1.m12", False),
        ("line1.*", "line1.m1", True),
        ("line1.*", "line1.", True),
        ("*.m1", "line1.m1", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("*", "", True),
    ],
)
def test_asset_patterns(pattern: str, name: str, is_match: bool) -> None:
    assert matches(pattern, name) is is_match


# ---- faults and holds ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "fields", "field", "reason"),
    [
        (
            {"context": Context()},
            {},
            "business_object",
            "counter.segment business_object: the event has no context.order",
        ),
        ({"quantity": None}, {}, "quantity", "counter.segment quantity: the event has no quantity"),
        ({"quantity": Decimal("NaN")}, {}, "quantity", "quantity is not a finite number"),
        ({"quantity": Decimal("Infinity")}, {}, "quantity", "quantity is not a finite number"),
        (
            {"unit": "KGM"},
            {"quantity": {"from": "quantity", "unit": "C62"}},
            "quantity",
            "KGM cannot be converted to C62",
        ),
        (
            {},
            {"lot": {"from": "context.lot", "map": {"L-1": "x"}}},
            "lot",
            "'L-9', which the mapping's map does not list",
        ),
        (
            {},
            {"operation": {"from": "context.operation"}},
            "operation",
            "the event has no context.operation",
        ),
        ({"context": Context(order="a\nb")}, {}, "order", "control characters"),
        ({"end_ns": None}, {}, "end", "the event has no end"),
        (
            {"start_reading": float("inf")},
            {},
            "start_reading",
            "start_reading is not a finite number",
        ),
    ],
)
def test_a_document_that_cannot_be_written_is_a_fault_that_names_the_field(
    change: dict[str, Any], fields: dict[str, Any], field: str, reason: str
) -> None:
    found = only(replace(SEGMENT, **change), {**CONFIRM, "fields": fields})
    assert isinstance(found, Fault)
    assert (found.field, found.event_kind, found.category) == (field, "counter.segment", "mapping")
    assert found.reason.startswith(f"counter.segment {field}: ")
    assert reason in found.reason
    good = command(SEGMENT, CONFIRM)
    assert (found.command_id, found.key16, found.event_id) == (
        good.command_id,
        good.key16,
        good.event_id,
    )


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        ({"incomplete"}, "quantity incomplete: part of the interval was not seen"),
        ({"unknown_lot", "bridged"}, "which lot made this quantity is not known"),
        (
            {"partial", "incomplete"},
            "quantity incomplete: part of the interval was not seen; "
            "quantity incomplete: the interval began before penstock saw it",
        ),
    ],
)
def test_a_flag_that_makes_a_quantity_doubtful_holds_it_in_plain_words(
    flags: set[str], reason: str
) -> None:
    found = only(replace(SEGMENT, flags=frozenset(flags)), CONFIRM)
    assert isinstance(found, Hold)
    assert found.reason == reason
    assert found.flags == tuple(sorted(flags - {"bridged"}))
    assert found.command.body["flags"] == sorted(flags)
    assert found.category == "held"


def test_a_bridged_counter_is_posted_and_says_so() -> None:
    found = command(replace(SEGMENT, flags=frozenset({"bridged", "rollover"})), CONFIRM)
    assert found.body["flags"] == ["bridged", "rollover"]


def test_what_holds_is_the_mapping_s_choice() -> None:
    event = replace(SEGMENT, flags=frozenset({"incomplete"}))
    assert isinstance(only(event, {**CONFIRM, "hold_if_flags": []}), Command)
    assert isinstance(only(event, {**CONFIRM, "hold_if_flags": ["reset"]}), Command)
    assert isinstance(
        only(replace(SEGMENT, flags=frozenset({"reset"})), {**CONFIRM, "hold_if_flags": ["reset"]}),
        Hold,
    )


# ---- identity, dates, envelope -------------------------------------------------------------------


def test_identity_is_stable_for_ever() -> None:
    """These literals are the contract with every ledger already written: they must never change.
    They were made with sha256sum and base32, not with this package.
    """
    assert command_id(SEGMENT.id, "confirm") == "b8ca4760-aa68-8a87-8a79-38fec69d359a"
    assert command_key16(SEGMENT.id, "confirm") == "XDFEOYFKNB5IPCTZ"
    found = command(SEGMENT, CONFIRM)
    assert (found.command_id, found.key16) == (
        "b8ca4760-aa68-8a87-8a79-38fec69d359a",
        "XDFEOYFKNB5IPCTZ",
    )
    assert command_id(SEGMENT.id, "confirm", 1) != found.command_id


def test_documents_of_one_order_are_correlated() -> None:
    lot, stop = command(SEGMENT, CONFIRM), command(STOP, DOWNTIME)
    other = command(replace(SEGMENT, context=Context(order="4712")), CONFIRM)
    assert lot.correlation_id == stop.correlation_id != other.correlation_id


def test_the_envelope_is_a_cloud_event_with_our_ids() -> None:
    found = command(SEGMENT, CONFIRM)
    event = decode_envelope(found.envelope())
    assert event == {
        "specversion": "1.0",
        "id": found.command_id,
        "source": "urn:penstock:acme:graz",
        "type": "io.penstock.production_confirmation.v1",
        "subject": "4711",
        "time": "2026-11-23T12:00:06.500000001Z",
        "datacontenttype": "application/json",
        "dataschema": "urn:penstock:schema:production_confirmation:1",
        "eventid": SEGMENT.id,
        "correlationid": found.correlation_id,
        "plant": "graz",
        "data": found.body,
    }


@pytest.mark.parametrize(
    ("end", "timezone", "expected"),
    [
        # Vienna, last Sunday of March 2026: 02:00 becomes 03:00.
        ("2026-03-28T22:59:59.999999999", "Europe/Vienna", "2026-03-28"),
        ("2026-03-28T23:00:00.000000001", "Europe/Vienna", "2026-03-29"),
        ("2026-03-29T21:59:59.999999999", "Europe/Vienna", "2026-03-29"),
        ("2026-03-29T22:00:00.000000001", "Europe/Vienna", "2026-03-30"),
        # Last Sunday of October: 03:00 becomes 02:00, the day has 25 hours.
        ("2026-10-24T22:00:00.000000001", "Europe/Vienna", "2026-10-25"),
        ("2026-10-25T22:30:00.000000000", "Europe/Vienna", "2026-10-25"),
        ("2026-10-25T23:00:00.000000001", "Europe/Vienna", "2026-10-26"),
        # Intervals are [start, end): one that ends at midnight belongs to the day before.
        ("2026-10-25T23:00:00.000000000", "Europe/Vienna", "2026-10-25"),
        ("2026-11-23T00:00:00.000000000", "UTC", "2026-11-22"),
        ("2026-11-23T05:30:00.000000000", "America/New_York", "2026-11-23"),
        ("2026-11-23T04:30:00.000000000", "America/New_York", "2026-11-22"),
        ("2026-11-22T18:15:00.000000001", "Asia/Kathmandu", "2026-11-23"),
        ("1969-12-31T23:30:00.000000001", "Europe/Vienna", "1970-01-01"),
    ],
)
def test_posting_date_is_the_plant_s_own_day(end: str, timezone: str, expected: str) -> None:
    whole, fraction = end.split(".")
    seconds = datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()
    end_ns = int(seconds) * 1_000_000_000 + int(fraction)
    event = replace(SEGMENT, start_ns=end_ns - 60_000_000_000, end_ns=end_ns)
    assert posting_date(event, timezone) == expected
    found = map_event(event, config(CONFIRM, timezone=timezone))[0]
    assert isinstance(found, Command)
    assert found.body["posting_date"] == found.posting_date == expected


def test_every_hour_around_the_clock_change_agrees_with_the_calendar() -> None:
    """The same question asked of ``datetime`` in local time, over the 25-hour day."""
    zone = ZoneInfo("Europe/Vienna")
    start = datetime(2026, 10, 24, 12, tzinfo=UTC).timestamp()
    for quarter in range(4 * 48):
        at_s = int(start) + quarter * 900
        event = replace(SEGMENT, start_ns=0, end_ns=at_s * 1_000_000_000 + 1)
        assert (
            posting_date(event, "Europe/Vienna")
            == datetime.fromtimestamp(at_s, zone).date().isoformat()
        )


def test_an_empty_interval_and_an_open_one_have_a_date() -> None:
    assert posting_date(replace(SEGMENT, start_ns=NOON_NS, end_ns=NOON_NS), "UTC") == "2026-11-23"
    assert posting_date(replace(SEGMENT, end_ns=None), "UTC") == "2026-11-23"
