"""The published JSON Schema: equal to the model, and it never refuses what the loader accepts."""

from __future__ import annotations

import json
import tomllib
from dataclasses import fields
from typing import Any

import jsonschema
import pytest

from penstock.config import (
    DocumentMapping,
    EngineOptions,
    FieldMap,
    Level,
    Plant,
    Rule,
    Source,
    Target,
)
from penstock.config.check import RULE_KEYS
from penstock.config.forms import known_fields
from penstock.config.schema import SCHEMA_FILE
from penstock.post.keys import KEYS
from penstock.post.schema import build_schema, schema_text

SCHEMA: dict[str, Any] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)

EVERY_KEY = """
[plant]
name = "graz"
timezone = "Europe/Vienna"
enterprise = "acme"
[engine]
state_dir = "/s"
ring_bytes = "64MiB"
tags_max = "${TAGS:-5}"
checkpoint_s = 30
[[source]]
name = "a"
kind = "zmq_pull"
bind = "tcp://*:1"
tags = { "a.*" = "i64" }
frame_bytes_max = 1000
ring_share = 0.25
[[rule]]
name = "c"
kind = "counter"
tag = "*.good"
lot = "*.lot"
unit = "C62"
cut_on = ["lot", "context.order"]
emits_zero = true
rollover = 10000
[[rule]]
name = "l"
kind = "limit"
tag = "t"
high = 8.0
low = { value = 2, deadband = 0.1 }
suppress_when = { tag = "t.state", states = [1] }
[[rule]]
name = "s"
kind = "state"
tag = "t"
states = [2, 3]
[[rule]]
name = "t"
kind = "total"
tag = "f"
unit = "LTR"
per = "h"
every_s = 60
[[rule]]
name = "w"
kind = "window"
tag = "t"
size_s = 1
[[rule]]
name = "r"
kind = "rate"
tag = "t"
span_s = 10
per = "min"
quality = "suppress"
low_low = -3
high = { value = 5, re_alarm_s = 600 }
[[rule]]
name = "k"
kind = "stuck"
tag = "t"
after_s = 60
band = 0.5
events_per_minute_max = 6
[[rule]]
name = "f"
kind = "freshness"
tag = "t"
after_s = 60
[[rule]]
name = "g"
kind = "gap"
source = "a"
lost_min = 5
[[target]]
name = "erp"
kind = "tryton"
url = "http://erp:8000"
database = "plant"
user = "penstock"
password = "${secret:ERP}"
concurrency = 2
context = true
[[target]]
name = "mes"
kind = "rest"
url = "https://mes/api"
headers = { Authorization = "Bearer ${secret:MES}" }
body = { reference = "{key}", lines = ["{quantity.value:number}"] }
contracts = { "downtime/1" = { path = "/stops", method = "PUT" } }
look_up = { path = "/documents?key={key}", key = "reference" }
statuses = { "409" = "order_state" }
timeout_s = "${TIMEOUT:-5}"
[[target]]
name = "books"
kind = "memory"
documents_max = 5
[[mapping]]
name = "m"
event = "counter.segment"
rule = "c"
contract = "production_confirmation/1"
targets = ["erp"]
hold_if_flags = []
[mapping.fields]
order = "context.order"
quantity = { from = "quantity", unit = "DZN", round = "0.01", rounding = "up" }
lot = { from = "context.lot", map = { A = "B" }, optional = true }
final = { const = true }
"""


def test_the_published_file_is_what_the_classes_say() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text(), (
        "python -m penstock.post.schema"
    )
    jsonschema.Draft202012Validator.check_schema(build_schema())


@pytest.mark.parametrize(
    ("model", "place", "renamed"),
    [
        (Plant, ["plant"], {}),
        (EngineOptions, ["engine"], {}),
        (Source, ["source", "items"], {}),
        (Rule, ["rule", "items"], {}),
        (Target, ["target", "items"], {"options": None}),
        (DocumentMapping, ["mapping", "items"], {}),
        (Level, ["rule", "items", "properties", "high", "anyOf", 1], {}),
        (
            FieldMap,
            ["mapping", "items", "properties", "fields", "additionalProperties", "anyOf", 1],
            {"source": "from", "is_optional": "optional"},
        ),
    ],
)
def test_schema_and_classes_have_the_same_keys(
    model: type[Any], place: list[str | int], renamed: dict[str, str | None]
) -> None:
    node: Any = SCHEMA["properties"]
    for part in place:
        node = node[part]
    expected = {renamed.get(each.name, each.name) for each in fields(model)} - {None}
    if model is Target:
        expected |= {key for keys in KEYS.values() for key in known_fields(keys.options)}
    assert set(node["properties"]) == expected
    assert all(each["description"] for each in node["properties"].values())
    assert node["additionalProperties"] is False


def test_a_file_with_every_kind_of_key_is_valid() -> None:
    from penstock.config import parse_config

    raw = tomllib.loads(EVERY_KEY)
    VALIDATOR.validate(raw)
    secrets = {"PENSTOCK_SECRET_ERP": "a", "PENSTOCK_SECRET_MES": "b"}
    assert len(parse_config(raw, variables=secrets).rules) == len(RULE_KEYS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('name = "graz"', 'nme = "graz"'),
        ('kind = "zmq_pull"', 'kind = "zmq"'),
        ("rollover = 10000", "per = 'h'"),
        ('per = "h"\n', ""),
        ("states = [2, 3]\n", ""),
        ("states = [2, 3]", "states = [2.5]"),
        ("deadband = 0.1", "dedband = 0.1"),
        ("ring_share = 0.25", "ring_share = 2"),
        ("[plant]", "[plants]"),
        ('tag = "*.good"', 'tag = "*.*"'),
        ('event = "counter.segment"', 'event = "counter"'),
        ('order = "context.order"', 'order = "context.orders"'),
        ('rounding = "up"', 'rounding = "upp"'),
        ('kind = "rest"', 'kind = "rset"'),
        ("concurrency = 2", "concurency = 2"),
        ("concurrency = 2", "concurrency = 65"),
        ("concurrency = 2", "documents_max = 2"),
        ("documents_max = 5", 'path = "/d"'),
        ("documents_max = 5", 'url = "http://x"'),
        ('database = "plant"\n', ""),
        ('"409" = "order_state"', '"409" = "odd"'),
        ('method = "PUT"', 'method = "GET"'),
        ('method = "PUT"', 'methud = "PUT"'),
        ('key = "reference"', 'kee = "reference"'),
    ],
)
def test_an_editor_sees_the_typo(old: str, new: str) -> None:
    assert old in EVERY_KEY
    raw = tomllib.loads(EVERY_KEY.replace(old, new, 1))
    assert not VALIDATOR.is_valid(raw)
