"""Still: alarms about a value that does not move (stuck) or does not come (freshness)."""

from __future__ import annotations

from collections import Counter as Tally

from oracle.alarm import Alarm, AlarmRule, Crossing, Number
from oracle.made import Made
from oracle.plan import Level, Rule


class Stuck(AlarmRule):
    """The value lies in a band around a reference; silence is not stuck."""

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule)
        self._alarm = Alarm(self, "stuck", Level(0.0), None)
        self.alarms = [self._alarm]
        self._reference: Crossing | None = None

    def good(self, crossing: Crossing) -> list[Made]:
        """A good value."""
        if self._reference is None:
            self._reference = crossing
            return []
        if self._has_moved(crossing.value):
            self._reference = crossing
            return self._alarm.clear(crossing, crossing.event_ns) if self.is_active else []
        is_long = crossing.event_ns - self._reference.event_ns >= self.rule.after_ns
        return self._alarm.trip(self._reference) if is_long and not self.is_active else []

    def bad(self, crossing: Crossing) -> list[Made]:
        """``suppress``: what came before says nothing any more."""
        if self.rule.quality == "suppress" and not self.is_active:
            self._reference = None
        return []

    def regress(self) -> None:
        """What a value that has not moved was held against is of another time."""
        super().regress()
        if not self.is_active:
            self._reference = None

    def _has_moved(self, value: Number) -> bool:
        assert self._reference is not None
        if isinstance(value, int):
            return abs(value - self._reference.value) > int(self.rule.band)
        return abs(value - self._reference.value) > self.rule.band


class Freshness(AlarmRule):
    """The tag fell silent."""

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule)
        self._alarm = Alarm(self, "freshness", Level(0.0), None)
        self.alarms = [self._alarm]
        self._newest: Crossing | None = None
        self._has_tripped = False  # since the newest good sample
        self._trip_ns = 0
        self._is_back = False  # the clock has gone back since

    def regress(self) -> None:
        """Only engine time says for how long it has been silent."""
        super().regress()
        self._is_back = True

    def good(self, crossing: Crossing) -> list[Made]:
        """It spoke."""
        made = self.take_due(crossing.event_ns, None)
        self._newest, self._has_tripped, self._is_back = crossing, False, False
        if not self.is_active:
            return made
        at_ns = max(crossing.event_ns, self._trip_ns)
        return made + self._alarm.clear(Crossing(at_ns, 0, crossing.value, crossing.flags), at_ns)

    def bad(self, crossing: Crossing) -> list[Made]:
        """A bad sample refreshes nothing."""
        return []

    @property
    def is_open(self) -> bool:
        """Silence will make an alarm."""
        return (self._newest is not None and not self._has_tripped) or super().is_open

    def heard_ns(self) -> list[int]:
        """When silence is certain."""
        if self._newest is None or self._has_tripped:
            return []
        return [self._newest.engine_ns + self.rule.after_ns]

    def take_due(self, event_ns: int | None, engine_ns: int | None) -> list[Made]:
        """Silent for so long, by event time or by engine time."""
        if self._newest is None or self._has_tripped:
            return []
        last, after_ns = self._newest, self.rule.after_ns
        is_known = event_ns is not None and not self._is_back
        is_due = is_known and event_ns is not None and last.event_ns + after_ns <= event_ns
        is_due = is_due or (engine_ns is not None and last.engine_ns + after_ns <= engine_ns)
        if not is_due:
            return []
        self._has_tripped, self._trip_ns = True, last.event_ns + after_ns
        silence = Crossing(self._trip_ns, 0, last.value, last.flags, last.event_ns)
        return self._alarm.trip(silence)


class ToldByTables:
    """How often one alarm told a stamp before, under this table. A silent tag is told ahead of its
    stamps, and a sample may wait while tables change: where those before told as new ones, each
    counts on from the highest of theirs.
    """

    def __init__(self) -> None:
        self._told: Tally[tuple[str, int, int]] = Tally()
        self._newest_ns: int | None = None
        self._highest = -1
        self._before: tuple[int, int] | None = None  # newest stamp, and what counts from there

    def count(self, kind: str, at_ns: int, epoch: int) -> int:
        """The occurrence of one that is told."""
        occurrence = self._told[kind, at_ns, epoch]
        self._told[kind, at_ns, epoch] += 1
        if self._before is not None and at_ns <= self._before[0]:
            occurrence += self._before[1]
        self._newest_ns = at_ns if self._newest_ns is None else max(self._newest_ns, at_ns)
        self._highest = max(self._highest, occurrence)
        return occurrence

    def end(self) -> None:
        """Another table follows."""
        if self._newest_ns is None:
            return
        newest_ns, base = self._before or (self._newest_ns, 0)
        self._before = max(newest_ns, self._newest_ns), max(base, self._highest + 1)
        self._told, self._newest_ns, self._highest = Tally(), None, -1
