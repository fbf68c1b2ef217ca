"""Watermark: how far a source's event time is certain."""

from __future__ import annotations

from dataclasses import dataclass

from oracle.plan import Source


@dataclass(slots=True)
class _Stream:
    event_max_ns: int
    heard_ns: int  # engine time of its last sample


class Watermark:
    """min over the streams that are not idle of their latest event time, minus lateness.

    Never goes back.

    A stream silent for ``idle_after`` is idle. When all are, their clocks are taken to go on at the
    pace of engine time, none ahead of it, and the slowest counts.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._streams: dict[int, _Stream] = {}
        self.now_ns: int | None = None  # None: nothing came yet, nothing is late

    def sample(self, stream: int, event_ns: int, engine_ns: int) -> None:
        """A sample of a stream; its own stamp counts."""
        known = self._streams.setdefault(stream, _Stream(event_ns, engine_ns))
        known.event_max_ns = max(known.event_max_ns, event_ns)
        known.heard_ns = engine_ns
        self._advance(engine_ns)

    def tick(self, engine_ns: int) -> None:
        """Engine time passed."""
        self._advance(engine_ns)

    def is_past(self, event_ns: int) -> bool:
        """A sample of this stamp is older than what is certain."""
        return self.now_ns is not None and event_ns < self.now_ns

    def _advance(self, engine_ns: int) -> None:
        if not self._streams:
            return
        idle_after_ns = self._source.idle_after_ns
        streams = self._streams.values()
        busy = [each.event_max_ns for each in streams if engine_ns - each.heard_ns < idle_after_ns]
        if busy:
            reached = min(busy)
        else:
            going_on = min(each.event_max_ns + engine_ns - each.heard_ns for each in streams)
            reached = min(going_on, engine_ns)
        reached -= self._source.lateness_ns
        self.now_ns = reached if self.now_ns is None else max(self.now_ns, reached)
