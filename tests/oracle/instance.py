"""Instance: one rule on one tag, and what it reads."""

from __future__ import annotations

from typing import Any

from oracle.alarm import AlarmRule, Chatter
from oracle.counter import Counter
from oracle.feed import Sample, Value
from oracle.limit import Limit, Rate
from oracle.made import Made, Pane, Point
from oracle.plan import ALARMS, Rule
from oracle.state import State
from oracle.still import Freshness, Stuck
from oracle.timed import Counted, Session, TimedGrid
from oracle.total import Total
from oracle.window import Window

Logic = AlarmRule | Counter | Total | State | Window | TimedGrid | Session | Counted
TIMED = (TimedGrid, Session, Counted)
_LOGIC: dict[str, Any] = {
    "limit": Limit,
    "rate": Rate,
    "stuck": Stuck,
    "freshness": Freshness,
    "counter": Counter,
    "total": Total,
    "state": State,
}


def _logic(rule: Rule) -> Logic:
    if rule.kind != "window":
        made: Logic = _LOGIC[rule.kind](rule)
        return made
    if rule.session_gap_ns:
        return Session(rule)
    if rule.count_n:
        return Counted(rule)
    return TimedGrid(rule) if rule.is_event_order else Window(rule)


class Instance:
    """One rule on one value tag."""

    def __init__(self, rule: Rule, tag: str, star: str) -> None:
        self.rule, self.tag, self.star = rule, tag, star
        self.roles = rule.role_tags(star)
        self.asset = rule.asset.replace("*", star) if rule.asset else star
        self.logic = _logic(rule)
        self.chatter = Chatter(rule)
        self.late = 0
        self._cut_values: dict[str, Value] = {}  # window: lot and order, newest
        self._history: list[tuple[int, str, str]] = []  # window: from when which lot and order
        self.suppress_tag = rule.suppress_tag.replace("*", star)
        self._machine_state: Value | None = None

    # ---- alarms ---------------------------------------------------------------------------------

    @property
    def is_alarm(self) -> bool:
        """Whether a person may act on it."""
        return self.rule.kind in ALARMS

    def hear_machine(self, sample: Sample) -> None:
        """The state that may suppress it."""
        if not sample.is_bad:
            self._machine_state = sample.value

    def settle(self, other: Instance | None) -> list[Made]:
        """Whether it is suppressed now, by the machine's state or by another rule."""
        assert isinstance(self.logic, AlarmRule)
        by_rule = other is not None and isinstance(other.logic, AlarmRule) and other.logic.is_active
        is_suppressed = by_rule or self._machine_state in self.rule.suppress_states
        if is_suppressed == self.logic.is_suppressed:
            return []
        return self.logic.suppress(is_suppressed)

    # ---- windows in order of event time ---------------------------------------------------------

    def window_instant(self, event_ns: int, samples: list[Sample]) -> list[Pane]:
        """All samples of one stamp, in the order they came."""
        assert isinstance(self.logic, TIMED)
        made = self.logic.pass_time(event_ns)
        before = dict(self._cut_values)
        for sample in samples:
            role = self.roles[sample.tag]
            if role in ("lot", "order") and not sample.is_bad:
                self._cut_values[role] = sample.value
        is_cut = any(
            role in before and before[role] != self._cut_values[role]
            for role in self.rule.cut_on
            if role in self._cut_values
        )
        if is_cut:
            made += self.logic.cut(event_ns)
        lot, order = (str(self._cut_values.get(role, "")) for role in ("lot", "order"))
        if self._cut_values != before:
            self._history.append((event_ns, lot, order))
        for sample in samples:
            if sample.tag == self.tag:
                made += self.logic.sample(point(sample, event_ns))
        return made

    def name_window(self, pane: Pane) -> None:
        """What ran when it began."""
        pane.rule, pane.tag = self.rule.name, self.tag
        for event_ns, lot, order in self._history:
            if event_ns <= pane.start_ns:
                pane.lot, pane.order = lot, order


def point(sample: Sample, event_ns: int) -> Point:
    """A sample as a window sees it."""
    raw = sample.value
    number = 0.0 if isinstance(raw, str) else float(raw) + 0.0  # -0.0 is 0.0
    return Point(event_ns, None if sample.is_bad else number, raw, sample.is_uncertain)
