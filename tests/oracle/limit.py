"""Limit: ISA-18.2 levels with deadband and delays; one trip and one clear for each excursion."""

from __future__ import annotations

from oracle.feed import Sample
from oracle.made import Made
from oracle.plan import Level, Rule


class _Alarm:
    """One level of one tag.

    ``since`` is the crossing that waits for its delay: over while the alarm is off, back while it
    is on.
    """

    def __init__(self, name: str, level: Level) -> None:
        self.name, self.level = name, level
        self.is_high = name in ("H", "HH")
        self.trip_ns: int | None = None  # crossing time of the alarm that is on
        self.since: tuple[int, int, float | int] | None = None  # event time, engine time, value

    def _is_beyond(self, value: float | int) -> bool:
        return value >= self.level.value if self.is_high else value <= self.level.value

    def _is_inside(self, value: float | int) -> bool:
        if self.is_high:
            return value < self.level.value - self.level.deadband
        return value > self.level.value + self.level.deadband

    def _delay_ns(self) -> int:
        return self.level.on_delay_ns if self.trip_ns is None else self.level.off_delay_ns

    def take_due(self, event_ns: int | None, engine_ns: int | None = None) -> list[Made]:
        """The waiting crossing, once its delay is over: by event time, or by engine time for a
        silent tag.
        """
        if self.since is None:
            return []
        crossing_ns, heard_ns, value = self.since
        delay_ns = self._delay_ns()
        is_due = event_ns is not None and crossing_ns + delay_ns <= event_ns
        is_due = is_due or (engine_ns is not None and heard_ns + delay_ns <= engine_ns)
        if not is_due:
            return []
        self.since = None
        turn, start_ns, end_ns = "trip", crossing_ns, None
        if self.trip_ns is not None:
            turn, start_ns, end_ns = "clear", self.trip_ns, crossing_ns + delay_ns
        self.trip_ns = crossing_ns if self.trip_ns is None else None
        kind = f"limit.{self.name}.{turn}"
        level = self.level.value
        return [Made(kind, crossing_ns, start_ns, end_ns, value=value, limit=level)]

    def sample(self, event_ns: int, engine_ns: int, value: float | int) -> list[Made]:
        """A new value; what waited has been taken."""
        made = self.take_due(event_ns)
        is_crossed = self._is_beyond(value) if self.trip_ns is None else self._is_inside(value)
        if not is_crossed:
            self.since = None
        elif self.since is None:
            self.since = (event_ns, engine_ns, value)
            if self._delay_ns() == 0:
                made += self.take_due(event_ns)
        return made


class Limit:
    """All levels of one tag."""

    def __init__(self, rule: Rule) -> None:
        self._alarms = [_Alarm(name, level) for name, level in rule.levels.items()]
        self._last_ns: int | None = None
        self.out_of_order = 0

    def sample(self, sample: Sample, event_ns: int, engine_ns: int) -> list[Made]:
        """A sample in the rule's order; one that is not newer, or bad, says nothing."""
        if self._last_ns is not None and event_ns <= self._last_ns:
            self.out_of_order += 1
            return []
        self._last_ns = event_ns
        if sample.is_bad:
            return []
        assert not isinstance(sample.value, str)
        value = sample.value
        return [made for alarm in self._alarms for made in alarm.sample(event_ns, engine_ns, value)]

    def tick(self, engine_ns: int) -> list[Made]:
        """Engine time passed: a silent tag's delays end."""
        return [made for alarm in self._alarms for made in alarm.take_due(None, engine_ns)]


class Chatter:
    """At most so many events of one instance in a minute of event time; the rest is counted."""

    def __init__(self, rule: Rule) -> None:
        self._most = rule.events_per_minute_max
        self._minute: int | None = None
        self._events = 0
        self.folded: list[tuple[int, int]] = []  # minute, crossings folded in it

    def passes(self, made: Made) -> bool:
        """Whether the event goes out; otherwise it is counted."""
        minute = made.at_ns // (60 * 10**9)
        if minute != self._minute:
            self._minute, self._events = minute, 0
        self._events += 1
        if self._events <= self._most:
            return True
        if self.folded and self.folded[-1][0] == minute:
            self.folded[-1] = (minute, self.folded[-1][1] + 1)
        else:
            self.folded.append((minute, 1))
        return False
