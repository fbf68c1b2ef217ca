"""Recording: what a path holds: a CSV file, a capture, or a folder of captures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from penstock.captures import Capture, Span, ring_capture
from penstock.config import Config
from penstock.errors import InputError, StateError
from penstock.replay.moment import NS, short_time

RING: Final = "ring"  # in place of a path: the ring of the configuration's plant
MAGIC: Final = b"PSTKCAP1"
PATTERN: Final = "capture-*.bin"
_PAD_BYTES: Final = 16384  # a lap of the ring ends with at most so much of nothing
_SILENCE_NS: Final = 5 * NS


def is_capture(path: Path) -> bool:
    """Whether a file is a capture by its first bytes, or a folder to look for some in."""
    if path.is_dir():
        return True
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError as wrong:
        raise InputError(f"{path}: cannot be read: {wrong.strerror}") from wrong


@contextmanager
def ring_of(config: Config) -> Iterator[Path]:
    """What the plant's ring still holds, as a folder of captures that is removed afterwards."""
    with TemporaryDirectory(prefix="penstock-ring-") as folder:
        try:
            ring_capture(config, folder)
        except StateError as wrong:
            raise InputError(f"the ring cannot be read: {wrong}") from wrong
        yield Path(folder)


@dataclass(frozen=True, slots=True)
class Piece:
    """One capture file with what it holds."""

    path: Path
    span: Span


def find_captures(path: Path) -> list[Piece]:
    """A capture, or all of a folder, oldest first. InputError where there is none."""
    files = sorted(path.glob(PATTERN)) if path.is_dir() else [path]
    if not files:
        raise InputError(f"{path}: holds no {PATTERN}; penstock run --capture writes them")
    try:
        return [Piece(each, Capture(each).look()) for each in files]
    except StateError as wrong:
        raise InputError(str(wrong)) from wrong


def missing(pieces: Sequence[Piece], since_ns: int | None = None) -> Iterator[str]:
    """What a row of captures lacks, in words: a beginning, holes, ends."""
    first = pieces[0].span
    if since_ns is not None and first.first_ns > since_ns:
        yield f"nothing before {short_time(first.first_ns)} is recorded"
    for before, after in zip([None, *pieces], pieces, strict=False):
        if before is not None:
            yield from _between(before.span, after.span)
        if after.span.missed:
            yield f"{after.path.name}: {after.span.missed:,} bytes of the journal were missed"
        if after.span.is_cut:
            yield f"{after.path.name}: ends in the middle of a block, at {_end(after.span)}"


def _between(before: Span, after: Span) -> Iterator[str]:
    silence = f"from {_end(before)} to {short_time(after.first_ns)}"
    if before.journal_id != after.journal_id:
        yield f"another journal begins: nothing is recorded {silence}"
    elif after.pos - before.end > _PAD_BYTES:
        yield f"{after.pos - before.end:,} bytes of the journal are not recorded, {silence}"
    elif after.first_ns - before.last_ns > _SILENCE_NS:
        yield f"nothing came {silence}"


def _end(span: Span) -> str:
    return short_time(span.last_ns)
