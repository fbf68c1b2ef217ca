"""Captures: files of journal blocks, written beside a running engine and played into another."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from penstock.errors import StateError

if TYPE_CHECKING:
    from penstock.config import Config


def ring_capture(config: Config, folder: str | os.PathLike[str]) -> None:
    """What the ring of a plant still holds, live or stopped, as captures in a folder. Not for the
    process that runs the plant. Raises StateError where there is no ring.
    """
    from penstock import _core

    state = os.path.join(config.engine.state_dir, "STATE")
    try:
        with open(state, encoding="utf-8") as file:
            lines = file.read(1024).splitlines()
    except (OSError, UnicodeDecodeError) as wrong:
        raise StateError(f"{state}: cannot be read: {wrong}") from wrong
    journal = next((each[8:] for each in lines if each.startswith("journal ")), "")
    if len(journal) != 32 or not journal.isalnum():
        raise StateError(f"{state}: names no journal")
    ring = os.path.join(config.engine.ring_dir, f"penstock-{journal}")
    options = config.options_for_core()["options"]
    _core.ring_capture(options, os.fsencode(ring), os.fsencode(folder))


@dataclass(frozen=True, slots=True)
class Span:
    """What one capture file holds; ``end`` of a file is ``pos`` of the next. Times are engine
    time, ``missed`` bytes of the journal.
    """

    plant: str
    journal_id: str
    first_ns: int
    last_ns: int
    pos: int
    end: int
    blocks: int
    samples: int
    bytes: int
    missed: int
    missed_before: int
    is_cut: bool


class Capture:
    """A capture file, for ``Engine.replay``. Raises StateError where it is none."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        from penstock import _core

        self.core = _core.Capture(os.fsencode(path))

    def look(self) -> Span:
        """What it holds, by the headers of its blocks; then it is at its beginning again."""
        native: dict[str, Any] = self.core.look()
        text = native.pop("plant").partition(b"\0")[0].decode("utf-8", "replace")
        native |= {"plant": text, "journal_id": bytes(native.pop("journal_id")).hex()}
        native["is_cut"] = bool(native["is_cut"])
        return Span(**{name: value for name, value in native.items() if name != "reserved"})


@dataclass(frozen=True, slots=True)
class Replayed:
    """What one call of ``Engine.replay`` did."""

    samples: int
    dropped: int
    skipped: int
    left: int  # bytes of the file behind it
    engine_time_ns: int
    is_done: bool
    is_cut: bool
    is_held: bool  # poll and acknowledge, then call again

    @classmethod
    def of(cls, native: Mapping[str, int]) -> Self:
        """From what the border gives."""
        return cls(
            native["samples"],
            native["dropped"],
            native["skipped"],
            native["left"],
            native["engine_time_ns"],
            bool(native["is_done"]),
            bool(native["is_cut"]),
            bool(native["is_held"]),
        )
