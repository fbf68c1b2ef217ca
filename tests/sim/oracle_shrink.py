"""Shrink: the smallest recording that still fails, found by leaving out samples."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from oracle_recordings import Recording

from oracle import Receive, Record

Piece = Record  # a record that is no receive, or a receive of one sample


def shrunk(
    recording: Recording, is_failing: Callable[[Recording], bool], seconds: float = 20
) -> Recording:
    """Leaves out halves, quarters and single samples while what is left still fails."""
    ends = time.monotonic() + seconds
    pieces = _pieces(recording)
    if not is_failing(_joined(recording, pieces)):
        return recording  # it needs its receives as they were
    size = len(pieces) // 2
    while size and time.monotonic() < ends:
        start, is_smaller = 0, False
        while start < len(pieces) and time.monotonic() < ends:
            rest = pieces[:start] + pieces[start + size :]
            if rest and is_failing(_joined(recording, rest)):
                pieces, is_smaller = rest, True
            else:
                start += size
        size = size // 2 if not is_smaller or size > 1 else size
    return _joined(recording, pieces)


def _pieces(recording: Recording) -> list[Piece]:
    pieces: list[Piece] = []
    for record in recording.records:
        if isinstance(record, Receive):
            pieces += [replace(record, samples=(sample,)) for sample in record.samples]
        else:
            pieces.append(record)
    return pieces


def _joined(recording: Recording, pieces: list[Piece]) -> Recording:
    return replace(recording, records=tuple(pieces))
