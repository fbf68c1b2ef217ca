"""Bounded: a run that ends by itself, and what it amounts to."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from penstock import cli
from penstock.errors import StateError

if TYPE_CHECKING:
    from penstock.run import Status
    from penstock.stats import Stats

QUIET_LOOKS: Final = 3  # nothing moved for so many looks, one a second: it is done
DOUBT_LOOKS: Final = 15  # so long where an entry is in doubt: its target may still answer


@dataclass(frozen=True, slots=True)
class Bounds:
    """When a run ends by itself, and where its figures go."""

    seconds: float | None = None
    is_once: bool = False
    stats: Path | None = None


def wrong_bounds(duration: str, seconds: float | None) -> int:
    """Exit code where ``--for`` is no duration, else 0."""
    if duration and seconds is None:
        cli.say("penstock run: --for is a duration such as 60s, 5m or 2h")
        return cli.EXIT_USAGE
    return cli.EXIT_OK


class Watch:
    """Looks at each status: ends the run when nothing moves any more, keeps its figures."""

    def __init__(self, bounds: Bounds, stop: Callable[[], None]) -> None:
        self._bounds = bounds
        self._stop = stop
        self._begin = time.monotonic()
        self._first: Status | None = None
        self._last: Status | None = None
        self._moved: tuple[Any, ...] = ()
        self._quiet = 0
        self._rss_max = 0
        self._cpu_s = -time.process_time()

    def look(self, status: Status) -> None:
        """One status, each second."""
        self._first = self._first or status
        self._last = status
        self._rss_max = max(self._rss_max, status.rss)
        moved = (status.received, status.events, status.entries)
        self._quiet = self._quiet + 1 if moved == self._moved else 0
        self._moved = moved
        if self._bounds.is_once and self._is_done(status):
            self._stop()

    def _is_done(self, status: Status) -> bool:
        if status.entries.get("ready") or status.entries.get("posting"):
            return False
        needed = DOUBT_LOOKS if status.entries.get("in_doubt") else QUIET_LOOKS
        return self._quiet >= needed

    def finish(self, status: Status | None, stats: Stats | None) -> None:
        """Says what the run amounts to; writes ``--stats``. Raises StateError where it cannot."""
        self._last = status or self._last
        if self._first is None or self._last is None:
            return
        if self._bounds.stats is not None:
            text = cli.json_line(self.record(stats))
            try:
                self._bounds.stats.write_text(text + "\n", encoding="utf-8")
            except OSError as wrong:
                reason = wrong.strerror or wrong
                raise StateError(f"{self._bounds.stats}: cannot be written: {reason}") from wrong
        if self._bounds.is_once or self._bounds.seconds is not None:
            said = [f"{count} {name}" for name, count in self._last.entries.items() if count]
            cli.say(f"penstock run: done; entries: {', '.join(said) or 'none'}")

    def record(self, stats: Stats | None) -> dict[str, Any]:
        """Figures of this run, then those since the state directory was made."""
        assert self._first is not None
        assert self._last is not None
        seconds = time.monotonic() - self._begin
        run = {
            "seconds": round(seconds, 3),
            "received": self._last.received - self._first.received,
            "events": self._last.events - self._first.events,
            "samples_per_s": round((self._last.received - self._first.received) / seconds, 1),
            "cpu": round((self._cpu_s + time.process_time()) / seconds, 4),
            "rss_max": self._rss_max,
        }
        sources = [asdict(each) for each in stats.sources] if stats is not None else []
        return {"run": run, "status": asdict(self._last), "sources": sources}
