"""Alarm: what limit, rate, stuck and freshness share (ISA-18.2, OPC UA Part 9): excursions that
are told once, delays, re-alarms, who may quieten them, and the bound on events of a minute.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from oracle.feed import Operate, Sample
from oracle.made import Made, Standing
from oracle.plan import Level, Rule

Number = float | int


@dataclass(frozen=True, slots=True)
class Crossing:
    """A sample that took an alarm over its line, one way or the other."""

    event_ns: int
    engine_ns: int
    value: Number
    flags: frozenset[str] = frozenset()
    since_ns: int | None = None  # where the interval began, if not with the crossing itself
    epoch: int = 0  # how often the clock had gone back

    @property
    def order(self) -> tuple[int, int]:
        """Later is greater."""
        return self.epoch, self.event_ns

    @property
    def start_ns(self) -> int:
        """Where the excursion's interval begins."""
        return self.event_ns if self.since_ns is None else self.since_ns


class Alarm:
    """One level of one tag: off, going on, on, going off.

    ``active`` is the crossing of the excursion that is on, ``waiting`` the crossing whose delay
    runs: over while the alarm is off, back while it is on.
    """

    def __init__(self, rule: AlarmRule, prefix: str, level: Level, limit: float | None) -> None:
        self._rule, self._prefix, self.level, self._limit = rule, prefix, level, limit
        self.name = prefix.partition(".")[2]  # HH, H, L or LL
        self.active: Crossing | None = None
        self.waiting: Crossing | None = None
        self._is_told = self.is_acknowledged = False
        self._re_alarms = 0  # whose time has come

    # ---- turns ----------------------------------------------------------------------------------

    def trip(self, crossing: Crossing) -> list[Made]:
        """An excursion is on; told unless somebody wants quiet."""
        self.active, self.waiting = crossing, None
        self._is_told = self.is_acknowledged = False
        self._re_alarms = 0
        return self.tell()

    def tell(self) -> list[Made]:
        """The trip, if it is untold and may be told now."""
        if self.active is None or self._is_told or self._rule.is_quiet:
            return []
        self._is_told = True
        on = self.active
        return [self._made("trip", on.event_ns, on.start_ns, None, on.value, on.flags)]

    def clear(self, back: Crossing, end_ns: int) -> list[Made]:
        """The excursion ends; what was never told is counted."""
        assert self.active is not None
        start_ns, self.active, self.waiting = self.active.start_ns, None, None
        if not self._is_told:
            self._rule.suppressed += 1
            return []
        return [self._made("clear", back.event_ns, start_ns, end_ns, back.value, back.flags)]

    def _re_alarm(self, at_ns: int) -> list[Made]:
        assert self.active is not None
        is_going_off = self.waiting is not None
        if is_going_off or self.is_acknowledged or not self._is_told or self._rule.is_quiet:
            return []
        newest = self._rule.newest
        is_behind = newest is not None and newest.order > self.active.order
        value = newest.value if newest is not None and is_behind else self.active.value
        return [self._made("realarm", at_ns, self.active.start_ns, None, value)]

    def _made(
        self,
        turn: str,
        at_ns: int,
        start_ns: int,
        end_ns: int | None,
        value: Number,
        flags: frozenset[str] = frozenset(),
    ) -> Made:
        kind = f"{self._prefix}.{turn}"
        return Made(kind, at_ns, start_ns, end_ns, value=value, limit=self._limit, flags=flags)

    # ---- deadlines ------------------------------------------------------------------------------

    def take_due(self, event_ns: int | None, engine_ns: int | None) -> list[Made]:
        """What is due, in order of its own time: by event time, or by engine time for a silent
        tag.
        """
        made: list[Made] = []
        while True:
            due = [
                (own_ns, turn)
                for own_ns, heard_ns, turn in self.deadlines()
                if (event_ns is not None and own_ns <= event_ns)
                or (engine_ns is not None and heard_ns <= engine_ns)
            ]
            if not due:
                return made
            own_ns, turn = min(due)
            if turn == "trip":
                assert self.waiting is not None
                made += self.trip(self.waiting)
            elif turn == "clear":
                assert self.waiting is not None
                made += self.clear(self.waiting, own_ns)
            else:
                self._re_alarms += 1
                made += self._re_alarm(own_ns)

    @property
    def is_open(self) -> bool:
        """Whether time alone will do something."""
        return bool(self.deadlines())

    def deadlines(self) -> list[tuple[int, int, str]]:
        """Own time, engine time at which a silent tag's is taken, and what it is."""
        found = []
        if self.active is None and self.waiting is not None:
            delay_ns = self.level.on_delay_ns
            found.append((*_after(self.waiting, delay_ns), "trip"))
        if self.active is not None and self.waiting is not None:
            found.append((*_after(self.waiting, self.level.off_delay_ns), "clear"))
        if self.active is not None and self.level.re_alarm_ns:
            times = self._re_alarms + 1
            delay_ns = self.level.on_delay_ns + times * self.level.re_alarm_ns
            found.append((*_after(self.active, delay_ns), "realarm"))
        return found

    # ---- the value ------------------------------------------------------------------------------

    def judge(self, crossing: Crossing, *, is_beyond: bool, is_inside: bool) -> list[Made]:
        """A sample beyond the line, inside the deadband's far side, or neither."""
        is_crossed = is_beyond if self.active is None else is_inside
        if not is_crossed:
            self.waiting = None
            return []
        if self.waiting is not None:
            return []
        self.waiting = crossing
        is_off = self.active is None
        delay_ns = self.level.on_delay_ns if is_off else self.level.off_delay_ns
        if delay_ns:
            return []
        return self.trip(crossing) if is_off else self.clear(crossing, crossing.event_ns)

    def cancel(self) -> None:
        """A delay that runs does not end any more."""
        self.waiting = None

    # ---- people ---------------------------------------------------------------------------------

    def acknowledge(self) -> None:
        """The excursion that is on re-alarms no more."""
        self.is_acknowledged = True

    def reset(self, at_ns: int) -> list[Made]:
        """A person ends the excursion."""
        if self.active is None:
            return []
        return self.clear(Crossing(at_ns, at_ns, self.active.value, frozenset({"operator"})), at_ns)


def _after(crossing: Crossing, delay_ns: int) -> tuple[int, int]:
    return crossing.event_ns + delay_ns, crossing.engine_ns + delay_ns


class AlarmRule(ABC):
    """All alarms of one rule on one tag. A subclass judges the samples."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.alarms: list[Alarm] = []
        self.newest: Crossing | None = None  # good value, or rate, judged
        self.is_suppressed = False
        self.epoch = 0  # how often the clock has gone back
        self.out_of_order = 0
        self.suppressed = 0  # excursions that were never told
        self.was_operated = False  # a person has had to do with it
        self._shelved_ns: tuple[int, int] | None = None  # since, until
        self._last_ns: int | None = None

    @property
    def is_quiet(self) -> bool:
        """Trips and re-alarms are not told now."""
        return self.is_suppressed or self._shelved_ns is not None

    @property
    def is_active(self) -> bool:
        """Some level is on, told or not."""
        return any(alarm.active for alarm in self.alarms)

    def sample(self, sample: Sample, event_ns: int, engine_ns: int) -> list[Made]:
        """A sample in the rule's order; one that is not newer says nothing."""
        if self._last_ns is not None and event_ns <= self._last_ns:
            self.out_of_order += 1
            return []
        self._last_ns = event_ns
        assert not isinstance(sample.value, str)
        if sample.is_bad:
            bad = frozenset({"bad_quality"})
            return self.bad(Crossing(event_ns, engine_ns, sample.value, bad, epoch=self.epoch))
        flags = frozenset({"uncertain"} if sample.is_uncertain else ())
        return self.good(Crossing(event_ns, engine_ns, sample.value, flags, epoch=self.epoch))

    def take_due(self, event_ns: int | None, engine_ns: int | None) -> list[Made]:
        """Deadlines at or before this."""
        return [made for alarm in self.alarms for made in alarm.take_due(event_ns, engine_ns)]

    @abstractmethod
    def good(self, crossing: Crossing) -> list[Made]:
        """A good sample; what is due is taken first."""

    def bad(self, crossing: Crossing) -> list[Made]:
        """``hold``: a bad sample changes nothing. ``suppress``: delays that run are off."""
        if self.rule.quality == "hold":
            return []
        made = self.take_due(crossing.event_ns, None)
        for alarm in self.alarms:
            alarm.cancel()
        return made

    @property
    def is_open(self) -> bool:
        """Whether time alone will do something."""
        return self._shelved_ns is not None or any(alarm.is_open for alarm in self.alarms)

    def tick(self, engine_ns: int) -> list[Made]:
        """Its turn at a TICK: what a silent tag has due; of a shelf what was due until its end,
        then that end, and another turn for the rest.
        """
        if self._shelved_ns is None or self._shelved_ns[1] > engine_ns:
            return [] if self.rule.is_event_order else self.take_due(None, engine_ns)
        until_ns = self._shelved_ns[1]
        made = [] if self.rule.is_event_order else self.take_due(None, until_ns)
        return made + self._unshelve(until_ns)

    def is_shelved_until(self, engine_ns: int) -> bool:
        """Whether a shelf ends by then."""
        return self._shelved_ns is not None and self._shelved_ns[1] <= engine_ns

    def next_tick_ns(self) -> int | None:
        """Engine time at which the next thing ends by it."""
        times = [] if self._shelved_ns is None else [self._shelved_ns[1]]
        if not self.rule.is_event_order:
            times += self.heard_ns()
        return min(times, default=None)

    def regress(self) -> None:
        """The clock went back: what compares event times begins anew, excursions stay."""
        for alarm in self.alarms:
            alarm.cancel()
        self._last_ns = None
        self.epoch += 1

    def goes_on_from(self, before: AlarmRule) -> None:
        """The rule changed: all begins anew but for the shelf, which is a person's."""
        self._shelved_ns, self.was_operated = before._shelved_ns, before.was_operated

    def begins_behind(self, event_ns: int | None) -> None:
        """The tag's newest stamp so far."""
        self._last_ns = None if self.rule.is_event_order else event_ns

    def heard_ns(self) -> list[int]:
        """When a silent tag's deadlines are taken."""
        return [heard for alarm in self.alarms for _, heard, _ in alarm.deadlines()]

    def next_due_ns(self) -> int | None:
        """Event time at which the next deadline ends."""
        due = [own for alarm in self.alarms for own, _, _ in alarm.deadlines()]
        return min(due, default=None)

    # ---- quiet ----------------------------------------------------------------------------------

    def suppress(self, is_suppressed: bool) -> list[Made]:
        """The machine or another rule says that nothing here matters, or that it matters again."""
        self.is_suppressed = is_suppressed
        return self._tell()

    def _tell(self) -> list[Made]:
        return [made for alarm in self.alarms for made in alarm.tell()]

    def _unshelve(self, at_ns: int) -> list[Made]:
        if self._shelved_ns is None:
            return []
        since_ns, self._shelved_ns = self._shelved_ns[0], None
        return [Made("alarm.unshelved", at_ns, since_ns, at_ns), *self._tell()]

    def operate(self, operation: Operate, now_ns: int) -> list[Made]:
        """What a person does, at engine time ``now_ns``."""
        self.was_operated = True
        made = self._ACTIONS[operation.action](self, operation, now_ns)
        for each in made:
            if each.kind.startswith("alarm.") or "operator" in each.flags:
                each.by = operation.by
        return made

    def _acknowledge(self, operation: Operate, now_ns: int) -> list[Made]:
        on = [alarm for alarm in self.alarms if alarm.active]
        for alarm in on:
            alarm.acknowledge()
        if not on:
            return []
        assert on[0].active is not None
        highest = on[0].active
        kind = "alarm.acknowledged"
        return [Made(kind, now_ns, highest.event_ns, None, value=highest.value)]

    def _shelve(self, operation: Operate, now_ns: int) -> list[Made]:
        assert operation.until_ns is not None
        self._shelved_ns = (now_ns, operation.until_ns)
        return [Made("alarm.shelved", now_ns, now_ns, operation.until_ns)]

    def _unshelve_now(self, operation: Operate, now_ns: int) -> list[Made]:
        return self._unshelve(now_ns)

    def standing(self) -> Standing | None:
        """What a person sees of it; None where there is nothing to see."""
        on = [alarm for alarm in self.alarms if alarm.active]
        if not on and not self.is_quiet:
            return None
        until_ns = None if self._shelved_ns is None else self._shelved_ns[1]
        seen = Standing(shelved_until_ns=until_ns, is_suppressed=self.is_suppressed)
        if on:
            highest = on[0]
            assert highest.active is not None
            seen.level = highest.name
            seen.since_ns, seen.value = highest.active.event_ns, highest.active.value
            seen.is_acknowledged = all(alarm.is_acknowledged for alarm in on)
        return seen

    def _reset(self, operation: Operate, now_ns: int) -> list[Made]:
        return [made for alarm in self.alarms for made in alarm.reset(now_ns)]

    _ACTIONS: ClassVar[Mapping[str, Any]] = {
        "acknowledge": _acknowledge,
        "shelve": _shelve,
        "unshelve": _unshelve_now,
        "reset": _reset,
    }


class Chatter:
    """At most so many events of one instance in a minute of event time; one stands for the rest.

    The clear of a trip that was told is told, the clear of one that was folded is folded. Minutes
    only go forward: what is told of an older one counts as of this.
    """

    MINUTE_NS = 60 * 10**9

    def __init__(self, rule: Rule) -> None:
        self._most, self._kind = rule.events_per_minute_max, f"{rule.kind}.chattering"
        self._minute: int | None = None
        self._told = self._folded = 0
        self._folded_ns = 0  # engine time of the newest one folded
        self._trips: set[str] = set()  # levels whose trip was folded
        self.folded = 0  # all of them
        self.has_told = False  # for some

    @staticmethod
    def counts(made: Made) -> bool:
        """Whether it is one of those that are bounded."""
        return made.kind.endswith((".trip", ".clear", ".realarm"))

    def passes(self, made: Made, engine_ns: int) -> bool:
        """Whether the event goes out; otherwise it is counted. ``over`` comes first."""
        level, _, turn = made.kind.rpartition(".")
        minute = made.at_ns // self.MINUTE_NS
        if self._minute is None or minute > self._minute:
            self._minute, self._told = minute, 0
        is_told = self._told < self._most
        if turn == "clear":
            is_told = level not in self._trips
            self._trips.discard(level)
        elif turn == "trip" and not is_told:
            self._trips.add(level)
        if is_told:
            self._told += 1
        else:
            self._folded, self._folded_ns = self._folded + 1, engine_ns
            self.folded += 1
        return is_told

    def over(self, event_ns: int) -> list[Made]:
        """Something of this time comes: a minute before it is told of."""
        is_later = self._minute is not None and event_ns // self.MINUTE_NS > self._minute
        return self._tell() if is_later else []

    def silent_ns(self) -> int | None:
        """Engine time at which a TICK tells of the minute."""
        return self._folded_ns + self.MINUTE_NS if self._folded else None

    def tick(self, engine_ns: int) -> list[Made]:
        """Nothing came for a minute."""
        silent_ns = self.silent_ns()
        return self._tell() if silent_ns is not None and silent_ns <= engine_ns else []

    def regress(self) -> list[Made]:
        """The clock went back: what was folded is told, and a minute of any time may follow."""
        made = self._tell()
        self._minute, self._told = None, 0
        return made

    def goes_on_from(self, before: Chatter) -> None:
        """A minute begins anew, no older one."""
        self._minute, self.has_told = before._minute, before.has_told

    def end(self) -> list[Made]:
        """The rule changes or goes: what was folded is told."""
        return self._tell()

    def _tell(self) -> list[Made]:
        if not self._folded:
            return []
        assert self._minute is not None
        start_ns = self._minute * self.MINUTE_NS
        made = Made(self._kind, start_ns, start_ns, start_ns + self.MINUTE_NS, count=self._folded)
        self._folded, self.has_told = 0, True
        return [made]
