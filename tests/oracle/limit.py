"""Limit: a value beyond one of up to four levels, with deadband and delays."""

from __future__ import annotations

import math
from dataclasses import replace

from oracle.alarm import Alarm, AlarmRule, Crossing, Number
from oracle.made import Made
from oracle.plan import Rule


class Leveled(AlarmRule):
    """HH, H, L and LL of a value: the sample's, or one made of it."""

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule)
        self._names = list(rule.levels)
        self.alarms = [
            Alarm(self, f"{rule.kind}.{name}", level, level.value)
            for name, level in rule.levels.items()
        ]

    def judge(self, crossing: Crossing) -> list[Made]:
        """The value against each level, behind what is due of it."""
        made: list[Made] = []
        for name, alarm in zip(self._names, self.alarms, strict=True):
            value, level = crossing.value, alarm.level
            if name in ("H", "HH"):
                is_beyond, is_inside = value >= level.value, value < level.value - level.deadband
            else:
                is_beyond, is_inside = value <= level.value, value > level.value + level.deadband
            made += alarm.take_due(crossing.event_ns, None)
            made += alarm.judge(crossing, is_beyond=is_beyond, is_inside=is_inside)
        self.newest = crossing
        return made


class Limit(Leveled):
    """The sample's own value."""

    def good(self, crossing: Crossing) -> list[Made]:
        """A good value."""
        return self.judge(crossing)

    def bad(self, crossing: Crossing) -> list[Made]:
        """``trip``: as bad as beyond every level."""
        if self.rule.quality != "trip":
            return super().bad(crossing)
        made: list[Made] = []
        for alarm in self.alarms:
            made += alarm.take_due(crossing.event_ns, None)
            made += alarm.judge(crossing, is_beyond=True, is_inside=False)
        return made


class Rate(Leveled):
    """How fast a value changes, over at least ``span``; anchors are samples to compare with."""

    ANCHORS = 40

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule)
        self._anchors: list[tuple[int, Number]] = []

    def good(self, crossing: Crossing) -> list[Made]:
        """A good value; it is judged before it may become an anchor."""
        made = self._judge_rate(crossing)
        spacing_ns = self.rule.span_ns // 32
        if not self._anchors or crossing.event_ns >= self._anchors[-1][0] + spacing_ns:
            self._anchors.append((crossing.event_ns, crossing.value))
            self._anchors = self._anchors[-self.ANCHORS :]
        return made

    def _judge_rate(self, crossing: Crossing) -> list[Made]:
        span_ns, now_ns = self.rule.span_ns, crossing.event_ns
        old = [anchor for anchor in self._anchors if anchor[0] <= now_ns - span_ns]
        if not old:
            return self.take_due(now_ns, None)
        then_ns, then = old[-1]
        if now_ns - then_ns > 2 * span_ns:  # silence: nobody knows how it came here
            self._anchors = []
            return self.take_due(now_ns, None)
        change = _difference(crossing.value, then)
        rate = change * float(self.rule.per_ns) / float(now_ns - then_ns)
        if not math.isfinite(rate):
            return self.take_due(now_ns, None)
        return self.judge(replace(crossing, value=rate))

    def regress(self) -> None:
        """Nothing to compare with."""
        super().regress()
        self._anchors = []


def _difference(value: Number, then: Number) -> float:
    """Of integers exactly, as far as 64 bits go."""
    if isinstance(value, int) and isinstance(then, int):
        return float(max(-(2**63), min(2**63 - 1, value - then)))
    return float(value) - float(then)
