"""Envelope: CloudEvents 1.0 in structured JSON, against cases nobody here wrote where they are
present.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from penstock.contracts import check_envelope, decode_envelope, encode_envelope, source_urn

CORPUS = (
    Path(os.environ.get("PENSTOCK_CORPORA", Path(__file__).parents[3] / "shared" / "data"))
    / "cloudevents-conformance"
)
needs_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason=f"no conformance cases at {CORPUS}")
GOOD = {
    "specversion": "1.0",
    "id": "1",
    "source": "urn:penstock:graz",
    "type": "io.penstock.scrap.v1",
}


def test_same_content_gives_the_same_bytes() -> None:
    attributes = {
        "id": "1",
        "source": "urn:penstock:graz",
        "type": "t",
        "subject": "4711",
        "plant": "graz",
    }
    first = encode_envelope(attributes, {"b": "1", "a": "2"})
    assert first == encode_envelope(dict(reversed(attributes.items())), {"a": "2", "b": "1"})
    assert decode_envelope(first)["data"] == {"a": "2", "b": "1"}
    assert first.startswith(b'{"data":{"a":"2","b":"1"},"datacontenttype":"application/json"')


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": ""}, "id must be a text"),
        ({"specversion": "0.3"}, "specversion"),
        ({"source": "a b"}, "source"),
        ({"time": "2026-11-23T06:00Z"}, "time"),
        ({"time": "2026-02-30T06:00:00Z"}, "time"),
        ({"dataschema": "not-absolute"}, "dataschema"),
        ({"datacontenttype": "json"}, "datacontenttype"),
        ({"eventId": "x"}, "lower-case"),
        ({"extension": 1.5}, "extension"),
        ({"extension": None}, "extension"),
        ({"extension": 2**31}, "extension"),
        ({"data": 1, "data_base64": "AA=="}, "exclude"),
        ({"data_base64": "A"}, "data_base64"),
    ],
)
def test_what_the_specification_forbids_is_refused(change: dict[str, object], reason: str) -> None:
    check_envelope(GOOD)
    with pytest.raises(ValueError, match=reason):
        check_envelope({**GOOD, **change})


@pytest.mark.parametrize("missing", ["specversion", "id", "source", "type"])
def test_a_required_attribute_is_missed_by_name(missing: str) -> None:
    with pytest.raises(ValueError, match=f"{missing} is missing"):
        check_envelope({name: value for name, value in GOOD.items() if name != missing})


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"\xff", b'{"id": NaN}', b"[" * 100_000, b'"text"']
)
def test_bytes_that_are_no_envelope_are_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match=r"not JSON|JSON object"):
        decode_envelope(payload)


def test_base64_data_becomes_bytes() -> None:
    found = decode_envelope(json.dumps({**GOOD, "data_base64": "eyJ4Ijp7fX0="}))
    assert found["data"] == b'{"x":{}}'


def test_a_plant_with_any_name_makes_a_valid_source() -> None:
    assert source_urn("graz") == "urn:penstock:graz"
    urn = source_urn("Werk 3/Süd:A", "Müller & Co")
    assert urn == "urn:penstock:M%C3%BCller%20%26%20Co:Werk%203%2FS%C3%BCd%3AA"
    check_envelope({**GOOD, "source": urn})


def _invalid_cases() -> list[dict[str, object]]:
    file = CORPUS / "invalid-events.json"
    return json.loads(file.read_text(encoding="utf-8"))["tests"] if file.is_file() else []


@needs_corpus
def test_conformance_refuses_every_invalid_event() -> None:
    cases = _invalid_cases()
    assert len(cases) == 25
    accepted = []
    for case in cases:
        try:
            decode_envelope(json.dumps(case["event"]))
            accepted.append(case["id"])
        except ValueError:
            continue
    assert accepted == []


def _valid_cases() -> list[dict[str, object]]:
    """The yaml/v1.0 and feature files hold attribute lists; read without a YAML library, for they
    are flat.
    """
    found = []
    for name in ("yaml/v1.yaml", "yaml/v1.0/v1_minimum.yaml"):
        for part in (CORPUS / name).read_text(encoding="utf-8").split("\n---"):
            pairs = re.findall(
                r"^\s+([a-z0-9]+): (.+)$",
                part.split("Data:")[0].split("Transport")[0],
                re.MULTILINE,
            )
            event = {key: value.strip().strip('"') for key, value in pairs if value.strip() != "|"}
            if event:
                found.append(event)
    for name in ("http-protocol-binding.feature", "kafka-protocol-binding.feature"):
        text = (CORPUS / "features" / name).read_text(encoding="utf-8")
        found += [
            json.loads(body)
            for body in re.findall(r"^\s*(\{\s*\"specversion\".*?^ {8}\})", text, re.M | re.S)
        ]
    return found


@needs_corpus
def test_conformance_accepts_every_valid_event_and_keeps_it() -> None:
    cases = _valid_cases()
    assert len(cases) >= 6
    assert any("data" in case for case in cases)
    for case in cases:
        assert decode_envelope(json.dumps(case)) == case
