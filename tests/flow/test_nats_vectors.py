"""The NATS wire against the recorded protocol cases: whole, cut at every position, byte by byte."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORPORA = Path(os.environ.get("PENSTOCK_CORPORA", ROOT.parent / "shared" / "data"))
VECTORS = CORPORA / "nats-protocol-vectors" / "vectors.json"
TAKE_OK, TAKE_CLOSE, TAKE_OVERSIZE = 0, 1, 2

Case = dict[str, Any]


def _cases() -> list[Case]:
    if not VECTORS.exists():
        return []
    cases: list[Case] = json.loads(VECTORS.read_text(encoding="utf-8"))["cases"]
    return cases


CASES = _cases()


@pytest.fixture(scope="module")
def results(native_build: Path) -> dict[str, Case]:
    lines = [
        f"{case['id']} {case['input'].encode('latin-1').hex()}\n"
        for case in CASES
        if case["side"] == "client"
    ]
    done = subprocess.run(
        [str(native_build / "tool_intake_nats"), "vectors"],
        input="".join(lines),
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
        # In a build with sanitizers: fresh pages for each run took most of the time.
        env={**os.environ, "ASAN_OPTIONS": "quarantine_size_mb=1"},
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return {case["id"]: case for case in found}


def _text(hex_digits: str | None) -> str | None:
    return None if hex_digits is None else bytes.fromhex(hex_digits).decode("latin-1")


def _check_message(event: Case, expected: Case) -> None:
    known = {
        "subject": _text(event["subject"]),
        "sid": event["sid"],
        "reply": _text(event["reply"]),
        "reply_len": len(_text(event["reply"]) or ""),
        "headers_len": len(event["headers"]) // 2,
        "payload": _text(event["payload"]),
        "payload_len": len(event["payload"]) // 2,
        "total_len": (len(event["headers"]) + len(event["payload"])) // 2,
    }
    first_line = (_text(event["headers"]) or "").partition("\r\n")[0].split(" ")
    known["status"] = int(first_line[1]) if len(first_line) > 1 else None
    assert {name: known[name] for name in expected} == expected


def _check_event(event: Case, expected: list[Any]) -> None:
    assert event["event"] == expected[0]
    if expected[0] == "msg":
        _check_message(event, expected[1])
    elif expected[0] == "err":
        assert _text(event["text"]) == expected[1]
    elif expected[0] == "info":
        known = {name: event[name] for name in ("server_id_len", "max_payload")}
        known["server_id"] = _text(event["server_id"])
        assert {name: known[name] for name in expected[1]} == expected[1]
    else:
        assert len(expected) == 1


@pytest.mark.skipif(not CASES, reason=f"no protocol cases at {VECTORS}")
def test_corpus_is_whole() -> None:
    sides = [case["side"] for case in CASES]
    assert (sides.count("client"), sides.count("server")) == (69, 28)


@pytest.mark.skipif(not CASES, reason=f"no protocol cases at {VECTORS}")
@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["id"]))
def test_nats_vector(case: Case, results: dict[str, Case]) -> None:
    if case["side"] == "server":
        pytest.skip("a server's parser (PUB, SUB, CONNECT); penstock is a client")
    result = results[case["id"]]
    assert result["runs"] == len(case["input"]) + 3
    assert (result["differs"], result["broken"]) == (0, 0)
    if case["expect"] == "reject":
        # Refused at the first byte that cannot be, or at the latest at the line's end.
        assert result["status"] in (TAKE_CLOSE, TAKE_OVERSIZE)
        assert result["frames"] == 0
        return
    assert result["status"] == TAKE_OK
    assert (result["malformed"], result["oversize"]) == (0, 0)
    if case["expect"] == "incomplete":
        expected = case["events"][0][1]
        assert result["events"] == []
        assert result["rest"] == len(case["input"])
        assert result["wanted"] == len(case["input"]) + expected["total_len"] + 2
        return
    assert len(result["events"]) == len(case["events"])
    for event, expected in zip(result["events"], case["events"], strict=True):
        _check_event(event, expected)
    assert result["frames"] == sum(event[0] == "msg" for event in case["events"])
    assert result["rest"] == 0
