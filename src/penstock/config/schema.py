"""Schema: the model classes become one JSON Schema 2020-12, for editors and other tools.

``penstock.post.schema`` adds the keys of each kind of target and publishes
``penstock.schema.json`` beside this module.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from penstock.config.check import RULE_KEYS, RULE_REQUIRED
from penstock.config.check_window import KINDS
from penstock.config.forms import known_fields, table_schema
from penstock.config.model import (
    DocumentMapping,
    EngineOptions,
    Ops,
    Plant,
    Rule,
    Source,
    Target,
)

SCHEMA_FILE = Path(__file__).with_name("penstock.schema.json")


def build_schema() -> dict[str, Any]:
    """JSON Schema of a configuration file, its targets open."""
    rule = table_schema(Rule)
    rule["allOf"] = [_rule_kind(kind) for kind in RULE_KEYS]
    lists = {
        "source": ("Where telemetry comes from.", table_schema(Source)),
        "rule": ("What makes events and results.", rule),
        "target": ("Where documents are posted.", table_schema(Target, is_open=True)),
        "mapping": ("Which event becomes which document.", table_schema(DocumentMapping)),
    }
    properties: dict[str, Any] = {
        "plant": {"description": (Plant.__doc__ or "").strip(), **table_schema(Plant)},
        "engine": {
            "description": (EngineOptions.__doc__ or "").strip(),
            **table_schema(EngineOptions),
        },
        "ops": {"description": (Ops.__doc__ or "").strip(), **table_schema(Ops)},
    }
    for section, (text, items) in lists.items():
        properties[section] = {"description": text, "type": "array", "items": items}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:penstock:schema:configuration:1",
        "title": "penstock configuration",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "required": ["plant"],
    }


def _rule_kind(kind: str) -> dict[str, Any]:
    refused = sorted(set(known_fields(Rule)) - RULE_KEYS[kind])
    then: dict[str, Any] = {"properties": dict.fromkeys(refused, False)}
    if RULE_REQUIRED[kind]:
        then["required"] = list(RULE_REQUIRED[kind])
    if kind == "window":
        then["oneOf"] = [{"required": [key]} for key in KINDS]
    return {"if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]}, "then": then}
