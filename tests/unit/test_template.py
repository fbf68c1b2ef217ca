"""Templates: what each becomes where it stands, and what is refused and why."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.config import Secret
from penstock.contracts import CONTRACTS
from penstock.errors import ConfigError, Permanent
from penstock.post import template

KNOWN = template.known_fields()
FACTS: dict[str, Any] = {
    "key": "0190",
    "order": "MO/7 ?x=1",
    "quantity": {"value": "12.50", "unit": "C62"},
    "flags": ["bridged"],
    "final": True,
    "material": 'Schraube "M8" ß',
}


def path(text: str) -> str:
    return template.fill_path(template.parse_path(text, "p", KNOWN), FACTS)


def body(tree: object) -> str:
    return template.write_json(template.fill_json(template.parse_json(tree, "b", KNOWN), FACTS))


def test_a_path_encodes_every_value_and_leaves_its_own_text() -> None:
    assert path("/a/{order}/x?k={key}&m={material}") == (
        "/a/MO%2F7%20%3Fx%3D1/x?k=0190&m=Schraube%20%22M8%22%20%C3%9F"
    )
    assert path("/{quantity.value}/{final}") == "/12.50/true"


@given(st.text(min_size=1, max_size=40).filter(lambda each: each not in (".", "..")))
def test_no_value_leaves_its_place_in_a_path(value: str) -> None:
    if any(0xD800 <= ord(letter) < 0xE000 for letter in value):
        return
    made = template.fill_path(template.parse_path("/o/{order}/c?k={key}", "p", KNOWN), {
        "order": value, "key": value,
    })  # fmt: skip
    head, _, query = made.partition("?")
    assert head.split("/")[0:2] == ["", "o"]
    assert unquote(head.split("/")[2]) == value
    assert head.split("/")[3:] == ["c"]
    assert unquote(query.removeprefix("k=")) == value
    assert "&" not in query
    assert "#" not in made


@pytest.mark.parametrize("dots", [".", ".."])
def test_a_step_up_is_refused(dots: str) -> None:
    parsed = template.parse_path("/o/{order}/c", "p", KNOWN)
    with pytest.raises(Permanent, match="segment of dots") as caught:
        template.fill_path(parsed, {"order": dots})
    assert caught.value.category == "mapping"


def test_a_body_keeps_types_digits_and_order() -> None:
    tree = {
        "z": "{quantity.value:number}",
        "unit": "{quantity.unit}",
        "all": "{quantity}",
        "flags": "{flags}",
        "final": "{final}",
        "text": "{order} of {{{material}}}",
        "fixed": [1, Decimal("0.10"), True, "", {"deep": "{key}"}],
    }
    assert body(tree) == (
        '{"z":12.50,"unit":"C62","all":{"value":"12.50","unit":"C62"},"flags":["bridged"],'
        '"final":true,"text":"MO/7 ?x=1 of {Schraube \\"M8\\" ß}",'
        '"fixed":[1,0.10,true,"",{"deep":"0190"}]}'
    )


def test_exact_digits_that_a_float_would_lose() -> None:
    digits = "12345678901234567890.123456789"
    tree = template.parse_json("{quantity.value:number}", "b", KNOWN)
    assert template.write_json(template.fill_json(tree, {"quantity": {"value": digits}})) == digits


def test_what_holds_an_absent_optional_field_is_left_out() -> None:
    tree = {
        "lot": "{lot?}",
        "text": "lot {lot?}",
        "list": ["{lot?}", "{key}"],
        "in": {"l": "{lot?}"},
    }
    assert json.loads(body(tree)) == {"list": ["0190"], "in": {}}
    with pytest.raises(Permanent, match="the document has no lot"):
        body({"lot": "{lot}"})


def test_a_header_holds_printable_ascii_or_nothing() -> None:
    parsed = template.parse_text("{material}", "h", KNOWN)
    with pytest.raises(Permanent, match="the header X cannot hold"):
        template.fill_header(parsed, FACTS, "X")
    with pytest.raises(Permanent, match="cannot hold"):
        template.fill_header(parsed, {"material": "a\r\nX-Admin: 1"}, "X")
    assert (
        template.fill_header(template.parse_text("no {key}", "h", KNOWN), FACTS, "X") == "no 0190"
    )


@pytest.mark.parametrize(
    ("parse", "value", "reason"),
    [
        ("path", "orders", "is no path"),
        ("path", "/a b", "is no path"),
        ("path", "/ä", "is no path"),
        ("path", "/a#b", "is no path"),
        ("path", "/../admin", "segment of dots"),
        ("path", "/{lot?}", "cannot leave a field out"),
        ("path", "/{quantity}", "is a table, and this is a text; name quantity.value or quantity"),
        ("path", "/{flags}", "is a list"),
        ("path", "/{quantity.value:number}", ":number makes a JSON number"),
        ("path", "/{ordre}", "no document has the field 'ordre'; did you mean 'order'"),
        ("path", "/{order", "a lone '{'"),
        ("path", "/order}", "a lone '}'"),
        ("path", "/{order.__class__}", "is no field"),
        ("path", "/{0}", "is no field"),
        ("path", "/{order!r}", "is no field"),
        ("path", 5, "must be a text, not a whole number"),
        ("json", {"a": "n {quantity.value:number}"}, ":number stands beside other text"),
        ("json", {"a": "n {quantity}"}, "is a table"),
        ("json", {"a": Secret("x")}, "a secret may not stand here"),
        ("json", {"a": Decimal("NaN")}, "must be a text"),
        ("json", [[[[[[[[[[1]]]]]]]]]], "the body is too large"),
        ("json", [1] * 2000, "the body is too large"),
    ],
)
def test_a_wrong_template_is_refused_with_its_place(parse: str, value: object, reason: str) -> None:
    read = template.parse_path if parse == "path" else template.parse_json
    with pytest.raises(ConfigError) as caught:
        read(value, "target[x].body", KNOWN)
    assert reason in str(caught.value)
    assert caught.value.path.startswith("target[x].body")
    assert "x" * 3 not in str(caught.value)


@given(st.text(alphabet="{}abc?:.number", max_size=30))
def test_parsing_ends_in_a_template_or_a_config_error(text: str) -> None:
    try:
        parsed = template.parse_text(text, "p", KNOWN)
    except ConfigError:
        return
    assert all(field.path in KNOWN for field in parsed.fields)


def test_no_member_of_a_document_hides_a_fact() -> None:
    for contract in CONTRACTS.values():
        assert not set(contract.members) & set(template.FACTS), contract.name
