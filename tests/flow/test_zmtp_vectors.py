"""The ZMTP vectors against our reader, whole, octet by octet and cut once at every position.

``tool_intake vectors`` (tests/native) does the cutting and counts the cuts that ended differently.
Where libzmq is lenient (``agrees: false``) the stricter result is wanted.
"""

from __future__ import annotations

import functools
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

CORPORA = Path(
    os.environ.get("PENSTOCK_CORPORA", Path(__file__).resolve().parents[3] / "shared" / "data")
)
VECTORS = CORPORA / "zmtp-vectors" / "vectors.json"
NAMES = (
    [case["id"] for case in json.loads(VECTORS.read_text("utf-8"))["frames"]]
    if VECTORS.is_file()
    else []
)

OPEN, CLOSE, OVERSIZE = 0, 1, 2  # pstk_take
# What we chose where the vectors leave it open.
CHOICE = {
    "ready-missing-socket-type": "reject",
    "ping-context-17": "reject",
    "unknown-command": "ignore",
}


@functools.cache
def cases() -> dict[str, dict[str, Any]]:
    return {case["id"]: case for case in json.loads(VECTORS.read_text("utf-8"))["frames"]}


def run(tool: Path, kind: str, stream: str, *subjects: str) -> dict[str, Any]:
    done = subprocess.run(
        [str(tool), "vectors", kind, *subjects],
        input=stream + "\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    assert result["cuts"] == len(stream) // 2, "every cut was made"
    assert result["different"] == 0, "a cut changed the outcome"
    return result


def frames_of(messages: list[list[str]]) -> list[list[str | None]]:
    """Our frames of ZeroMQ messages: the first of several parts is the subject."""
    return [
        [parts[0].encode().hex() if len(parts) > 1 else None, parts[-1].encode().hex()]
        for parts in messages
    ]


@pytest.fixture(scope="module")
def tool(native_build: Path) -> Path:
    if not NAMES:
        pytest.skip(f"no {VECTORS}; set PENSTOCK_CORPORA")
    return native_build / "tool_intake"


def test_corpus_is_there(tool: Path) -> None:
    assert len(cases()) == len(NAMES) >= 41


@pytest.mark.parametrize("name", NAMES)
def test_vector_ends_the_same_in_every_cut(tool: Path, name: str) -> None:
    case = cases()[name]
    if case.get("require") == "CURVE":
        pytest.skip("CURVE is not available yet: its place is the mechanism table of zmtp.c")
    result = run(tool, "pull", "".join(case["stages"]))
    expected = case["expect"].removesuffix("-or-legacy")
    expected = CHOICE[name] if expected == "reject-or-ignore" else expected
    if case.get("role") == "PUB":
        expected = (
            "reject"  # we are never a PUB; what a PUB would read is checked below, from our side
        )
    if expected == "reject":
        assert result["result"] in (CLOSE, OVERSIZE)
        assert result["frames"] == []
        assert result["text"]
        return
    assert result["result"] == OPEN, result["text"]
    if expected == "incomplete":
        assert result["frames"] == []
        assert result["kept"] > 0
        return
    assert result["kept"] == 0
    assert result["is_ready"] == (len(case["stages"]) > 1)
    if "messages_len" in case:
        assert [[len(f[1]) // 2] for f in result["frames"]] == case["messages_len"]
    else:
        assert result["frames"] == frames_of(case.get("messages", []))
    assert result["sent"].endswith(case.get("reply_hex", ""))


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("frame-size")])
def test_hostile_sizes_close_at_the_header(tool: Path, name: str) -> None:
    result = run(tool, "pull", "".join(cases()[name]["stages"]))  # no octet of a body follows
    assert result["result"] == (OVERSIZE if name == "frame-size-huge-no-body" else CLOSE)


def test_null_only_socket_refuses_curve_and_plain_peers(tool: Path) -> None:
    for name in ("greeting-mech-curve", "greeting-mech-mismatch"):
        result = run(tool, "pull", "".join(cases()[name]["stages"]))
        assert result["result"] == CLOSE
        assert "mechanism" in result["text"]


@pytest.mark.parametrize(("name", "minor"), [("subscribe-cmd", 1), ("subscribe-msg", 0)])
def test_our_subscription_is_the_one_a_pub_reads(tool: Path, name: str, minor: int) -> None:
    greeting = cases()["greeting-3.1-null" if minor else "greeting-3.0-null"]["stages"][0]
    ready = "0419" + "05" + b"READY".hex() + "0b" + b"Socket-Type".hex() + "00000003" + b"PUB".hex()
    result = run(tool, "sub", greeting + ready, "plant.")
    assert result["result"] == OPEN
    assert result["is_ready"]
    assert result["sent"].endswith(cases()[name]["stages"][2])


def test_subscriptions_from_a_push_peer_are_not_messages(tool: Path) -> None:
    session = cases()["session-null-push"]["stages"]
    result = run(tool, "pull", session[0] + session[1] + cases()["subscribe-cmd"]["stages"][2])
    assert result["result"] == OPEN
    assert result["frames"] == []
