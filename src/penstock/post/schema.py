"""Schema: the configuration's JSON Schema, with the keys of each kind of target.

``python -m penstock.post.schema`` rewrites ``penstock.schema.json`` beside penstock.config; a test
keeps them equal.
"""

from __future__ import annotations

import json

from penstock.config import schema
from penstock.config.forms import Schema, table_schema
from penstock.post.keys import KEYS


def build_schema() -> Schema:
    """JSON Schema of a configuration file. It says less than the checks: references between
    tables are not in it, nor what a template may name.
    """
    found = schema.build_schema()
    targets = found["properties"]["target"]
    targets["items"] = _target(targets["items"])
    return found


def schema_text() -> str:
    """The published text."""
    return json.dumps(build_schema(), indent=2, ensure_ascii=False) + "\n"


def _target(items: Schema) -> Schema:
    """Every key of every kind, and for each kind those that it has not."""
    own: Schema = {}
    for keys in KEYS.values():
        for key, node in table_schema(keys.options)["properties"].items():
            assert own.setdefault(key, node) == node, f"{key} means one thing in one kind only"
    shared = {**items["properties"], **own}
    kind = {"description": shared["kind"]["description"], "enum": list(KEYS)}
    return {
        **items,
        "additionalProperties": False,
        "properties": {**shared, "kind": kind},
        "allOf": [_kind(name, own) for name in KEYS],
    }


def _kind(name: str, own: Schema) -> Schema:
    keys = KEYS[name]
    others = sorted(set(own) - set(table_schema(keys.options)["properties"]))
    then: Schema = {"properties": dict.fromkeys([*keys.refused, *others], False)}
    if keys.required:
        then["required"] = list(keys.required)
    return {"if": {"properties": {"kind": {"const": name}}, "required": ["kind"]}, "then": then}


def main() -> None:
    """Rewrites the published file."""
    schema.SCHEMA_FILE.write_text(schema_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
