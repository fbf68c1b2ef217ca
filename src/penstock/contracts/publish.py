"""Publishes the contracts: the document classes become JSON Schema 2020-12 files and one AsyncAPI
3 file.

``python -m penstock.contracts.publish`` rewrites the files beside this module; a test keeps them
equal to the classes.
"""

from __future__ import annotations

import json
from pathlib import Path

from penstock.contracts.documents import CONTRACTS, TEXT_BYTES_MAX, Contract, Member
from penstock.contracts.values import DECIMAL_PATTERN, TIME_PATTERN, UNIT_PATTERN

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_TEXT = {
    "type": "string",
    "minLength": 1,
    "maxLength": TEXT_BYTES_MAX,
    "pattern": r"^[^\u0000-\u001f\u007f]+$",
}
_QUANTITY = {
    "type": "object",
    "description": "An exact number with its unit.",
    "required": ["unit", "value"],
    "additionalProperties": False,
    "properties": {
        "unit": {
            "type": "string",
            "pattern": UNIT_PATTERN,
            "description": "UN/ECE Recommendation 20 code.",
        },
        "value": {
            "type": "string",
            "pattern": DECIMAL_PATTERN,
            "description": "Exact decimal as text: no exponent, no trailing zeros.",
        },
    },
}


def document_schema(contract: Contract) -> dict[str, object]:
    """JSON Schema 2020-12 of one document. Unknown members are allowed: a later minor version may
    add some.
    """
    return {
        "$schema": _DIALECT,
        "$id": contract.schema_id,
        "title": contract.name,
        "description": (contract.struct.__doc__ or "").strip(),
        "type": "object",
        "required": [name for name, member in contract.members.items() if member.is_required],
        "properties": {name: _member_schema(member) for name, member in contract.members.items()},
        "$defs": {"quantity": _QUANTITY},
    }


def envelope_schema(contract: Contract) -> dict[str, object]:
    """JSON Schema of the CloudEvent that carries the document."""
    attributes = {
        "specversion": {"const": "1.0"},
        "id": {
            "type": "string",
            "format": "uuid",
            "description": "command_id: the same document has the same id.",
        },
        "source": {"type": "string", "format": "uri", "description": "The plant, urn:penstock:…"},
        "type": {"const": contract.event_type},
        "subject": {
            "type": "string",
            "minLength": 1,
            "description": "Business object, as the ERP numbers it.",
        },
        "time": {
            "type": "string",
            "format": "date-time",
            "description": "When it happened, nanoseconds, UTC.",
        },
        "datacontenttype": {"const": "application/json"},
        "dataschema": {"const": contract.schema_id},
        "eventid": {
            "type": "string",
            "format": "uuid",
            "description": "The event that made this document.",
        },
        "correlationid": {
            "type": "string",
            "format": "uuid",
            "description": "All documents of one order run.",
        },
        "plant": {"type": "string", "minLength": 1},
        "data": {"$ref": f"./{file_name(contract)}"},
    }
    return {"type": "object", "required": sorted(attributes), "properties": attributes}


def asyncapi() -> dict[str, object]:
    """AsyncAPI 3: one channel a document, all CloudEvents in structured JSON."""
    channels: dict[str, object] = {}
    operations: dict[str, object] = {}
    messages: dict[str, object] = {}
    for contract in CONTRACTS.values():
        key = f"{contract.noun}.v{contract.version}"
        channels[key] = {
            "address": f"penstock.{{plant}}.{contract.noun}.v{contract.version}",
            "description": (contract.struct.__doc__ or "").strip(),
            "parameters": {"plant": {"description": "Name of the plant."}},
            "messages": {key: {"$ref": f"#/components/messages/{key}"}},
        }
        operations[f"send.{key}"] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{key}"},
            "messages": [{"$ref": f"#/channels/{key}/messages/{key}"}],
        }
        messages[key] = {
            "name": contract.event_type,
            "contentType": "application/cloudevents+json",
            "correlationId": {"location": "$message.payload#/correlationid"},
            "payload": {
                "schemaFormat": "application/schema+json;version=draft-2020-12",
                "schema": envelope_schema(contract),
            },
        }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "penstock documents",
            "version": "1.0.0",
            "description": "Business documents made from machine telemetry, as CloudEvents 1.0.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }


def file_name(contract: Contract) -> str:
    """File of a contract's JSON Schema."""
    return f"{contract.noun}.v{contract.version}.schema.json"


def published() -> dict[str, str]:
    """Every published file: name to text."""
    files: dict[str, object] = {
        file_name(each): document_schema(each) for each in CONTRACTS.values()
    }
    files["asyncapi.json"] = asyncapi()
    return {
        name: json.dumps(value, indent=2, ensure_ascii=False) + "\n"
        for name, value in files.items()
    }


def _member_schema(member: Member) -> dict[str, object]:
    shape: dict[str, object]
    if member.kind == "quantity":
        shape = {"$ref": "#/$defs/quantity"}
    elif member.kind == "time":
        shape = {"type": "string", "format": "date-time", "pattern": TIME_PATTERN}
    elif member.kind == "date":
        shape = {"type": "string", "format": "date", "pattern": r"^\d{4}-\d{2}-\d{2}$"}
    elif member.kind == "boolean":
        shape = {"type": "boolean"}
    elif member.kind == "choice":
        shape = {"enum": list(member.choices)}
    elif member.kind == "texts":
        shape = {"type": "array", "items": dict(_TEXT)}
    else:
        shape = dict(_TEXT)
    return {"description": member.help, **shape}


def main() -> None:
    """Rewrites the published files."""
    for name, text in published().items():
        (Path(__file__).parent / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
