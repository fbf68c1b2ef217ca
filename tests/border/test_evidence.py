"""Evidence over the border: what the engine packs is what went in, bit for bit, of every type."""

from __future__ import annotations

import random
import struct
import tomllib
from array import array
from decimal import Decimal
from pathlib import Path

import pytest

from penstock import Engine
from penstock.config import parse_config

START_NS = 1_790_000_000_000_000_000
CONFIG = """
[plant]
name = "border"
[engine]
state_dir = "{state}"
ring_dir = "/dev/shm"
ring_bytes = 1048576
[[source]]
name = "line"
kind = "feed"
[[rule]]
name = "high"
kind = "limit"
tag = "*"
high = 1e300
"""


def readings(kind: str, chance: random.Random, count: int) -> list[float]:
    """Values of a sort that sensors or their converters give."""
    places = chance.randrange(10)
    made = {
        "decimals": lambda: round(chance.gauss(20, 5), places),
        "integers": lambda: float(chance.randrange(-(2**53), 2**53)),
        "single": lambda: struct.unpack("<f", struct.pack("<f", chance.gauss(20, 5)))[0],
        "double": lambda: chance.gauss(20, 5),
        "constant": lambda: 7.25,
        "odd": lambda: chance.choice([0.0, -0.0, 5e-324, -1e299, 2.0**53, 0.1, 1e-9, 1 / 3]),
    }[kind]
    return [made() + 0.0 for _ in range(count)]  # -0.0 is stored as 0.0: native/README.md


@pytest.fixture
def engine(tmp_path: Path):  # type: ignore[no-untyped-def]
    text = CONFIG.format(state=tmp_path)
    with Engine(parse_config(tomllib.loads(text, parse_float=Decimal)), clock="manual") as opened:
        yield opened


KINDS = ("decimals", "integers", "single", "double", "constant", "odd")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", KINDS)
def test_samples_come_back_bit_for_bit(engine: Engine, kind: str, seed: int) -> None:
    chance = random.Random(f"{kind}{seed}")
    count = chance.choice([1, 2, 64, 192])
    step = chance.choice([1, 1000, 1_000_000_000])
    stamps = [START_NS]
    for _ in range(count - 1):
        stamps.append(stamps[-1] + chance.choice([step, step, step + 1, 2 * step]))
    values = readings(kind, chance, count)
    quality = [chance.choice([0, 0, 0, 0x4000, 0x8000, 65535]) for _ in range(count)]
    tag = engine.tag("t", "f64", source="line")
    used = engine.feed(
        array("I", [tag]) * count, array("q", stamps), array("d", values), source="line",
        quality=array("H", quality), recv_time_ns=stamps[-1],
    )  # fmt: skip
    assert used == (count, 0)
    found = engine.evidence(tag, 2**63, 192, 0)
    assert (len(found), found.before, found.tag) == (count, count, "t")
    assert found.time_ns == tuple(stamps)
    assert struct.pack(f"{count}d", *found.values) == struct.pack(f"{count}d", *values)
    assert found.quality == tuple(quality)


def test_whole_numbers_come_as_floats_as_before(engine: Engine) -> None:
    tag = engine.tag("n", "i64", source="line")
    values = [0, -1, 2**53 + 1, 2**63 - 1, -(2**63)]
    stamps = array("q", range(START_NS, START_NS + len(values)))
    engine.feed(tag, stamps, array("q", values), source="line", recv_time_ns=START_NS + 9)
    found = engine.evidence(tag, 2**63, 192, 0)
    assert found.values == tuple(float(each) for each in values)


def test_a_reading_with_two_places_takes_three_bytes(engine: Engine) -> None:
    chance = random.Random(4)
    tag = engine.tag("t", "f64", source="line")
    values = array("d", [round(chance.gauss(20, 1), 2) for _ in range(192)])
    stamps = array("q", range(START_NS, START_NS + 192_000_000, 1_000_000))
    engine.feed(tag, stamps, values, source="line", recv_time_ns=stamps[-1])
    assert len(engine.evidence(tag, 2**63, 192, 0).packed) < 192 * 3 + 40
