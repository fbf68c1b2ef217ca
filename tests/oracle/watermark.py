"""Watermark: how far a source's event time is certain."""

from __future__ import annotations

from dataclasses import dataclass

from oracle.plan import Source


@dataclass(slots=True)
class _Stream:
    event_max_ns: int
    heard_ns: int  # engine time of its last sample
    silent_ns: int  # engine time from which its silence counts
    is_idle: bool = False


class Watermark:
    """min over the streams that are not idle of their latest event time, minus lateness.

    Never goes back.

    A stream silent for ``idle_after`` is idle from the TICK on that sees it, until its next sample.
    When all are, their clocks are taken to go on at the pace of engine time, none ahead of it, and
    the slowest counts.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._streams: dict[int, _Stream] = {}
        self.now_ns: int | None = None  # None: nothing came yet, nothing is late

    def sample(self, stream: int, event_ns: int, engine_ns: int) -> None:
        """A sample of a stream; its own stamp counts."""
        known = self._streams.setdefault(stream, _Stream(event_ns, engine_ns, engine_ns))
        known.event_max_ns = max(known.event_max_ns, event_ns)
        known.heard_ns = known.silent_ns = engine_ns
        known.is_idle = False
        self._advance(engine_ns)

    def tick(self, engine_ns: int) -> None:
        """Engine time passed."""
        for each in self._streams.values():
            if engine_ns - each.silent_ns >= self._source.idle_after_ns:
                each.is_idle = True
        self._advance(engine_ns)

    def again(self, engine_ns: int) -> None:
        """Another process goes on: who is silent is seen anew."""
        for each in self._streams.values():
            each.silent_ns, each.is_idle = engine_ns, False

    def is_idle_due(self, engine_ns: int) -> bool:
        """Whether a TICK at this time would find a stream silent for too long."""
        idle_after_ns = self._source.idle_after_ns
        return any(
            not each.is_idle and engine_ns - each.silent_ns >= idle_after_ns
            for each in self._streams.values()
        )

    def is_past(self, event_ns: int) -> bool:
        """A sample of this stamp is older than what is certain."""
        return self.now_ns is not None and event_ns < self.now_ns

    def _advance(self, engine_ns: int) -> None:
        if not self._streams:
            return
        streams = self._streams.values()
        busy = [each.event_max_ns for each in streams if not each.is_idle]
        if busy:
            reached = min(busy)
        else:
            going_on = min(each.event_max_ns + engine_ns - each.heard_ns for each in streams)
            reached = min(going_on, engine_ns)
        reached -= self._source.lateness_ns
        self.now_ns = reached if self.now_ns is None else max(self.now_ns, reached)
