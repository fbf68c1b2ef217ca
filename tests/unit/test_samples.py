"""Samples: what either layout keeps is read back bit for bit, and other bytes are refused."""

from __future__ import annotations

import random
import struct
from dataclasses import replace

import pytest

from penstock.errors import LedgerError
from penstock.events import PackedEvidence
from penstock.outbox.content import join_evidence, split_evidence
from penstock.samples import count_samples, pack_samples, unpack_samples
from penstock.testing.builders import make_event, make_evidence


def bits(values: list[float]) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


def test_deflated_columns_read_back() -> None:
    chance = random.Random(1)
    for count in (0, 1, 2, 192, 1000):
        times = [chance.randrange(-(2**62), 2**62) for _ in range(count)]
        values = [chance.choice([0.1, -0.0, 5e-324, 1e308, chance.random()]) for _ in range(count)]
        quality = [chance.randrange(65536) for _ in range(count)]
        blob = pack_samples(times, values, quality)
        read = unpack_samples(blob)
        assert (read[0], bits(read[1]), read[2]) == (times, bits(values), quality)
        assert count_samples(blob) == count


# native/engine_pack.c, by hand: two samples 1 ms apart, 20.25 and 20.5, both good
NATIVE = (
    bytes([2, 2, 0])
    + struct.pack("<q", 1000)
    + bytes([0x80, 0x89, 0x7A])  # zigzag of 1,000,000
    + bytes([2])  # scale: hundredths
    + bytes([0xD2, 0x1F, 50])  # 2025, then 25 more
    + bytes([2, 0, 0])
)


def test_what_the_engine_wrote_is_read_by_the_drawing() -> None:
    assert unpack_samples(NATIVE) == ([1000, 1_001_000], [20.25, 20.5], [0, 0])
    evidence = PackedEvidence("t", NATIVE, 2)
    assert (len(evidence), evidence.values) == (2, (20.25, 20.5))
    assert split_evidence(evidence) == (NATIVE, b"")
    assert split_evidence(PackedEvidence("t", NATIVE, 0)) == (b"", NATIVE)
    mixed = split_evidence(PackedEvidence("t", NATIVE, 1))
    assert join_evidence("t", *mixed).time_ns == evidence.time_ns
    assert evidence == PackedEvidence("t", NATIVE, 2) != PackedEvidence("t", NATIVE, 1)
    assert join_evidence("t", NATIVE, b"").values == evidence.values


def test_cut_or_changed_bytes_are_an_error_and_never_a_loop() -> None:
    whole = make_evidence(make_event(1), 20)
    deflated = pack_samples(whole.time_ns, whole.values, whole.quality)
    for blob in (NATIVE, deflated):
        for size in range(len(blob)):
            with pytest.raises(LedgerError):
                unpack_samples(blob[:size])
        with pytest.raises(LedgerError):
            unpack_samples(bytes([9]) + blob[1:])
    with pytest.raises(LedgerError):
        unpack_samples(NATIVE + b"x")
    chance = random.Random(2)
    for _ in range(3000):
        blob = bytearray(NATIVE)
        for _ in range(chance.randrange(1, 4)):
            blob[chance.randrange(3, len(blob))] = chance.randrange(256)
        try:
            read = unpack_samples(bytes(blob))
        except LedgerError:
            continue
        assert [len(each) for each in read] == [2, 2, 2]


def test_evidence_beyond_its_bounds_is_cut_as_before() -> None:
    whole = make_evidence(make_event(1), 300, 100)
    before, after = split_evidence(whole)
    assert (count_samples(before), count_samples(after)) == (192, 64)
    assert replace(join_evidence("t", before, after), tag=whole.tag).values == whole.values[108:364]
