"""Contracts: documents survive the canonical form, published files equal the classes, and JSON
Schema agrees with us.
"""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

import penstock.contracts
from penstock.contracts import (
    CONTRACTS,
    Downtime,
    MaterialConsumption,
    ProductionConfirmation,
    Quantity,
    Scrap,
    canonical_json,
    publish,
    read_body,
    read_quantity,
    read_time,
    time_text,
    to_body,
)

FOLDER = Path(penstock.contracts.__file__).parent
TIMES = st.integers(-(2**63) + 1, 2**63 - 1)
TEXTS = st.text(st.characters(blacklist_categories=("Cc", "Cs")), min_size=1, max_size=24)
QUANTITIES = st.builds(
    Quantity,
    value=st.decimals(
        allow_nan=False, allow_infinity=False, places=4, min_value=-(10**12), max_value=10**12
    ),
    unit=st.sampled_from(["C62", "KGM", "LTR", "SEC"]),
)
FLAGS = st.lists(st.sampled_from(["bridged", "rollover"]), unique=True).map(
    lambda found: tuple(sorted(found))
)
DATES = st.dates(date(1970, 1, 1), date(2200, 1, 1))
MAYBE = st.none() | TEXTS
CONFIRMATIONS = st.builds(
    ProductionConfirmation,
    order=TEXTS,
    quantity=QUANTITIES,
    start_ns=TIMES,
    end_ns=TIMES,
    posting_date=DATES,
    flags=FLAGS,
    operation=MAYBE,
    lot=MAYBE,
    asset=MAYBE,
    is_final=st.none() | st.booleans(),
    end_reading=st.none() | QUANTITIES,
)
STOPS = st.builds(
    Downtime,
    asset=TEXTS,
    state=TEXTS,
    start_ns=TIMES,
    end_ns=TIMES,
    duration=QUANTITIES,
    posting_date=DATES,
    flags=FLAGS,
    order=MAYBE,
    reason=MAYBE,
    category=st.none() | st.sampled_from(["planned", "unplanned"]),
    is_micro=st.none() | st.booleans(),
)


@given(CONFIRMATIONS | STOPS)
def test_a_document_survives_its_canonical_form_and_its_schema_accepts_it(
    document: ProductionConfirmation | Downtime,
) -> None:
    contract = next(each for each in CONTRACTS.values() if each.struct is type(document))
    body = to_body(document)
    assert read_body(contract, json.loads(canonical_json(body))) == document
    jsonschema.Draft202012Validator(publish.document_schema(contract)).validate(body)
    assert canonical_json(body) == canonical_json(dict(reversed(body.items())))


def test_published_files_equal_the_classes() -> None:
    for name, text in publish.published().items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, (
            f"{name} is stale: python -m penstock.contracts.publish"
        )


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=str)
def test_each_schema_is_valid_2020_12_and_describes_every_member(
    contract: penstock.contracts.Contract,
) -> None:
    schema = json.loads((FOLDER / publish.file_name(contract)).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert set(schema["properties"]) == set(contract.members)
    assert all(each["description"] for each in schema["properties"].values())
    assert schema["$id"] == contract.schema_id


def test_asyncapi_lists_the_four_channels_and_every_reference_resolves() -> None:
    found = json.loads((FOLDER / "asyncapi.json").read_text(encoding="utf-8"))
    assert found["asyncapi"] == "3.0.0"
    assert sorted(each["address"] for each in found["channels"].values()) == [
        "penstock.{plant}.downtime.v1",
        "penstock.{plant}.material_consumption.v1",
        "penstock.{plant}.production_confirmation.v1",
        "penstock.{plant}.scrap.v1",
    ]
    for reference in _references(found):
        if reference.startswith("#/"):
            node = found
            for part in reference[2:].split("/"):
                node = node[part]
        else:
            assert (FOLDER / reference).is_file(), reference


def _references(node: object) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if "$ref" in node else []
        return own + [each for value in node.values() for each in _references(value)]
    if isinstance(node, list):
        return [each for value in node for each in _references(value)]
    return []


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("quantity", {"unit": "C62", "value": 5}),
        ("quantity", {"unit": "C62", "value": "5.0"}),
        ("quantity", {"unit": "C62", "value": "1e3"}),
        ("quantity", {"unit": "C62", "value": "-0"}),
        ("quantity", {"unit": "C62", "value": "5", "extra": 1}),
        ("quantity", {"unit": "pcs", "value": "5"}),
        ("quantity", "5"),
        ("start", "2026-11-23T06:00:00Z"),
        ("start", "2026-11-23T06:00:00.000000000+00:00"),
        ("start", "2026-13-23T06:00:00.000000000Z"),
        ("posting_date", "23.11.2026"),
        ("posting_date", "2026-02-30"),
        ("order", ""),
        ("order", 4711),
        ("order", "a\nb"),
        ("order", "x" * 129),
        ("final", "yes"),
        ("flags", "bridged"),
        ("flags", [1]),
    ],
)
def test_a_wrong_member_is_refused_by_name(member: str, value: object) -> None:
    good = to_body(
        ProductionConfirmation(
            order="4711",
            quantity=Quantity(Decimal(5), "C62"),
            start_ns=0,
            end_ns=1,
            posting_date=date(1970, 1, 1),
            flags=(),
        )
    )
    contract = CONTRACTS["production_confirmation/1"]
    assert read_body(contract, good).order == "4711"
    with pytest.raises(ValueError, match=f"production_confirmation/1 {member}:"):
        read_body(contract, {**good, member: value})


def test_a_choice_outside_its_list_is_refused_when_written() -> None:
    with pytest.raises(ValueError, match="disposition: must be one of scrap, rework, downgrade"):
        to_body(
            Scrap(
                quantity=Quantity(Decimal(1), "C62"),
                start_ns=0,
                end_ns=1,
                posting_date=date(2026, 1, 1),
                flags=(),
                disposition="burn",
            )
        )


def test_unknown_members_of_a_later_minor_version_are_ignored() -> None:
    document = MaterialConsumption(
        order="1",
        component="GRANULATE",
        quantity=Quantity(Decimal("12.5"), "KGM"),
        start_ns=0,
        end_ns=5,
        posting_date=date(2026, 11, 23),
        flags=(),
    )
    body = {**to_body(document), "a_later_member": 1}
    assert read_body(CONTRACTS["material_consumption/1"], body) == document


@given(TIMES)
def test_times_keep_every_nanosecond(time_ns: int) -> None:
    assert read_time(time_text(time_ns)) == time_ns


def test_time_before_1970_is_written_as_people_write_it() -> None:
    assert time_text(-1) == "1969-12-31T23:59:59.999999999Z"
    assert time_text(1795392000123456789) == "2026-11-23T00:00:00.123456789Z"


def test_floats_never_enter_canonical_json() -> None:
    for value in (0.1, {"a": [1, {"b": 2.0}]}):
        with pytest.raises(TypeError, match="binary float"):
            canonical_json(value)
    assert (
        canonical_json({"b": "ü", "a": [1, True, None]}) == '{"a":[1,true,null],"b":"ü"}'.encode()
    )


def test_a_quantity_equals_itself_however_it_was_written() -> None:
    assert Quantity(Decimal("5.00"), "C62").to_body() == Quantity(Decimal("5E+0"), "C62").to_body()
    assert read_quantity({"unit": "KGM", "value": "-0.5"}) == Quantity(Decimal("-0.5"), "KGM")
