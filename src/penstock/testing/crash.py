"""Crash points: named places where a test build dies as if by SIGKILL.

``PENSTOCK_CRASH_AT=NAME`` dies at the first pass, ``NAME:3`` at the third. Only a build whose
native part has crash points listens to it; in every other build a point is one comparison.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

POINTS: Final = (
    "ledger.commit.before",
    "ledger.commit.after",
    "ack.before",
    "ack.after",
    "posting.marked",
    "post.sent",
    "post.answered",
    "receipt.before",
    "receipt.after",
)


def point(name: str) -> None:
    """Dies here if it is this point's turn."""
    if _listener is not None:
        _listener(name)


@contextmanager
def listen(listener: Callable[[str], None]) -> Iterator[None]:
    """Calls ``listener`` at each point meanwhile: a simulation raises there."""
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before


def _killer(wanted: str) -> Callable[[str], None]:
    name, _, turn = wanted.partition(":")
    left = int(turn) if turn.isdecimal() else 1

    def pass_by(here: str) -> None:
        nonlocal left
        if here == name:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    return pass_by


def _has_crash_points() -> bool:
    try:
        from penstock import _core  # type: ignore[attr-defined, unused-ignore]
    except ImportError:
        return False
    answer = getattr(_core, "has_crash_points", None)
    return bool(answer()) if callable(answer) else False


_wanted = os.environ.get("PENSTOCK_CRASH_AT", "")
_listener: Callable[[str], None] | None = (
    _killer(_wanted) if _wanted and _has_crash_points() else None
)
