"""Clock: engine time in the hands of a test; moves only when told, and its engines with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.engine import Engine

START_NS = 1_790_000_000_000_000_000  # 2026-09-21, on a whole second, minute and ten minutes
_NS_PER_S = 1_000_000_000


class Clock:
    """A clock to open engines with: ``Engine(config, clock=Clock())``.

    ``now_ns`` is ns since 1970 UTC. What an engine is fed bears it as receive time. ``advance``
    moves it and tells every engine, so that delays run out, windows close and silent streams are
    noticed; the same steps give the same events, byte for byte.
    """

    def __init__(self, start_ns: int = START_NS) -> None:
        self.now_ns = start_ns
        self._engines: list[Engine] = []

    def __repr__(self) -> str:
        count = len(self._engines)
        return f"<Clock at {self.now_ns} ns, moving {count} engine{'s' if count != 1 else ''}>"

    def attach(self, engine: Engine) -> None:
        """The engine follows from here on; ``Engine(config, clock=...)`` does it."""
        self._engines.append(engine)
        engine.tick(self.now_ns)

    def advance(self, seconds: float) -> int:
        """Time passes, for all engines at once; returns ``now_ns``. A closed engine is let go."""
        if seconds < 0:
            raise ValueError("a clock goes forward only; engine time never decreases")
        self.now_ns += round(seconds * _NS_PER_S)
        self._engines = [engine for engine in self._engines if not engine.is_closed]
        for engine in self._engines:
            engine.tick(self.now_ns)
        return self.now_ns
