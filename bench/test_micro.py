"""How long do the smallest pieces take? pytest-benchmark over C loops; `pytest bench` runs it.

Seconds a round are those of TIMES calls. What a piece computes is checked beside it.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable
from typing import Any

import pytest

from builds import BUILD

TIMES = 2000
PIECES = {  # name: bytes it is given
    "sha256": b"x" * 120,  # an event's identity
    "crc32c": b"x" * 16384,  # a block
    "hash": b"line7.m42.t742",  # a name
    "number": b"47.015625,",
}


@pytest.fixture(scope="module")
def micro() -> ctypes.CDLL:
    return ctypes.CDLL(str(BUILD / "libmicro.so"))


def call(micro: ctypes.CDLL, name: str, times: int) -> int:
    function = micro[f"micro_{name}"]
    function.restype = ctypes.c_uint64
    function.argtypes = [ctypes.c_uint64, ctypes.c_char_p, ctypes.c_size_t]
    return int(function(times, PIECES[name], len(PIECES[name])))


@pytest.mark.parametrize("name", PIECES)
def test_piece(benchmark: Callable[..., Any], micro: ctypes.CDLL, name: str) -> None:
    benchmark(call, micro, name, TIMES)


def test_the_pieces_compute_what_they_say(micro: ctypes.CDLL) -> None:
    assert call(micro, "sha256", 1) == hashlib.sha256(bytes(32) + PIECES["sha256"]).digest()[0]
    assert call(micro, "number", 3) == 3 * 47015625
    assert call(micro, "hash", 2) != call(micro, "hash", 1) != 0
