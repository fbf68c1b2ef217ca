"""Watermark: how far a source's event time is certain."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

from oracle.plan import Source


@dataclass(slots=True)
class _Stream:
    event_max_ns: int
    heard_ns: int  # engine time of its last sample
    silent_ns: int  # engine time from which its silence counts
    is_idle: bool = False


class Regress:
    """Whether a clock has gone back: more than an hour behind its stream's newest, and stays."""

    BEHIND_NS, STAYS_NS, SAMPLES = 3600 * 10**9, 10 * 10**9, 100

    def __init__(self) -> None:
        self._newest_ns: int | None = None
        self._run: list[int] = []  # stamps that lie so far behind
        self._since_ns = 0  # engine time of the first of them

    def sample(self, event_ns: int, engine_ns: int) -> int | None:
        """With the sample that makes it certain: the newest stamp of the new epoch."""
        newest_ns = self._newest_ns
        if newest_ns is None or event_ns >= newest_ns - self.BEHIND_NS:
            self._newest_ns = event_ns if newest_ns is None else max(newest_ns, event_ns)
            self._run = []
            return None
        if not self._run:
            self._since_ns = engine_ns
        self._run.append(event_ns)
        if len(self._run) < self.SAMPLES or engine_ns - self._since_ns < self.STAYS_NS:
            return None
        self._newest_ns, self._run = max(self._run), []
        return self._newest_ns


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

    def regress(self, stream: int, event_ns: int, engine_ns: int) -> None:
        """The clock of the only stream has gone back: all begins anew at its newest stamp."""
        self._streams[stream] = _Stream(event_ns, engine_ns, engine_ns)
        self.now_ns = None
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

    def reached_by(self, engine_ns: int) -> int | None:
        """Where a TICK at this time would bring it."""
        then = deepcopy(self)
        then.tick(engine_ns)
        return then.now_ns

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
