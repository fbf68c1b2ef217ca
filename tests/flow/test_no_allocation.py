"""No native thread allocates in steady state: counted by interposition, over a real socket."""

from __future__ import annotations

import re
import struct
import subprocess
import time
from pathlib import Path

import pytest
import zmq

TAGS = 200
FIRST, LAST = 1_000_000, 11_000_000
NAMES = [f"m{i:03d}.{'count' if i % 10 == 0 else 'value'}" for i in range(TAGS)]


def message(turn: int, seq: int, time_ns: int) -> bytes:
    """One packed message with a sample of every tag; every so often a value crosses its limit."""
    head = struct.pack("<4sHBBIIQq", b"PSK1", TAGS, TAGS, 0, 1, 1, seq, time_ns)
    names = b"".join(
        struct.pack("BB", 2 if name.endswith("count") else 1, len(name)) + name.encode()
        for name in NAMES
    )
    body = bytearray()
    for i, name in enumerate(NAMES):
        if name.endswith("count"):
            body += struct.pack("<qIHH", turn * 3, 0, i, 0)
        else:
            value = 95.0 if (turn + i) % 1000 == 0 else 50.0 + (turn * 7 + i) % 30
            body += struct.pack("<dIHH", value, 0, i, 0)
    return head + names + bytes(body)


def run(
    program: Path, tmp_path: Path, ring_dir: Path, env: dict[str, str], last: int
) -> dict[str, int]:
    words = [program, tmp_path / "state", ring_dir, FIRST, last]
    process = subprocess.Popen(
        [str(word) for word in words],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    port = int(process.stdout.readline().split()[1])
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.connect(f"tcp://127.0.0.1:{port}")
        push.linger = 0
        push.sndtimeo = 1000
        turn, start = 0, time.time_ns()
        while process.poll() is None and turn * TAGS < last + 4_000_000:
            try:
                push.send(message(turn, turn * TAGS, start + turn * 1_000_000 - 60_000_000_000))
            except zmq.Again:
                continue
            turn += 1
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    found = re.search(r"allocations (\d+) samples (\d+) checkpoints (\d+) events (\d+)", out)
    assert found, out
    return dict(
        zip(
            ("allocations", "samples", "checkpoints", "events"),
            map(int, found.groups()),
            strict=True,
        )
    )


@pytest.mark.timeout(180)
def test_native_threads_allocate_nothing(
    native_build: Path, tmp_path: Path, ring_dir: Path
) -> None:
    figures = run(native_build / "tool_engine_alloc", tmp_path, ring_dir, {}, LAST)
    print(figures)
    assert figures["samples"] >= LAST - FIRST
    assert figures["checkpoints"] > 0
    assert figures["events"] > 0
    assert figures["allocations"] == 0


def test_a_planted_allocation_is_counted(
    native_build: Path, tmp_path: Path, ring_dir: Path
) -> None:
    plant = {"PENSTOCK_PLANT": "allocate"}
    figures = run(native_build / "tool_engine_alloc", tmp_path, ring_dir, plant, FIRST + 200_000)
    assert figures["allocations"] > 0
