"""Instance: one rule on one tag, and what it reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from oracle.alarm import AlarmRule, Chatter
from oracle.counter import Counter
from oracle.feed import Context, Sample, Value
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


@dataclass(frozen=True, slots=True)
class Told:
    """A context, and whether the watermark had passed its time when it came."""

    context: Context
    is_late: bool
    before: tuple[Sample, ...]  # of the same instant, and in the journal before it


class Instance:
    """One rule on one value tag."""

    def __init__(self, rule: Rule, tag: str, star: str) -> None:
        self.rule, self.tag, self.star = rule, tag, star
        self.roles = rule.role_tags(star)
        self.asset = rule.asset.replace("*", star) if rule.asset else star
        self.logic = _logic(rule)
        self.left: Instance | None = None  # the rule as it was, until its windows have ended
        self.chatter = Chatter(rule)
        self.late = 0
        self.is_alarm = rule.kind in ALARMS
        self._cut_values: dict[str, Value] = {}  # window: lot and order, newest
        self._history: dict[str, list[tuple[int, str]]] = {"lot": [], "order": []}  # of windows
        self.suppress_tag = rule.suppress_tag.replace("*", star)
        self._machine_state: Value | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """What names it, whatever its rule says."""
        return self.rule.name, self.rule.kind, self.tag

    @property
    def is_open(self) -> bool:
        """Whether time alone will do something."""
        return self.logic.is_open or (self.left is not None and self.left.logic.is_open)

    # ---- alarms ---------------------------------------------------------------------------------

    def hear_machine(self, state: Value | None) -> None:
        """The state that may suppress it."""
        self._machine_state = state

    def settle(self, other: Instance | None) -> list[Made]:
        """Whether it is suppressed now, by the machine's state or by another rule."""
        assert isinstance(self.logic, AlarmRule)
        by_rule = other is not None and isinstance(other.logic, AlarmRule) and other.logic.is_active
        is_suppressed = by_rule or self._machine_state in self.rule.suppress_states
        if is_suppressed == self.logic.is_suppressed:
            return []
        return self.logic.suppress(is_suppressed)

    # ---- what runs ------------------------------------------------------------------------------

    def context(self, contexts: list[Told]) -> dict[str, Value]:
        """What this instance's asset is told, by role."""
        return {
            f"context.{name}": value
            for each in contexts
            if each.context.asset == self.asset
            for name, value in each.context.values.items()
        }

    def is_told_late(self, contexts: list[Told]) -> bool:
        """Whether it should have heard of it before."""
        return any(
            each.is_late and each.context.asset == self.asset
            for each in contexts
            if any(f"context.{name}" in self.rule.cut_on for name in each.context.values)
        )

    # ---- windows in order of event time ---------------------------------------------------------

    def window_instant(
        self, event_ns: int, samples: list[Sample], contexts: list[Told]
    ) -> list[Pane]:
        """All samples of one stamp, in the order they came."""
        assert isinstance(self.logic, TIMED)
        made = self.logic.pass_time(event_ns)
        before = dict(self._cut_values)
        for sample in samples:
            role = self.roles[sample.tag]
            if role in ("lot", "order") and not sample.is_bad:
                self._cut_values[role] = sample.value
        self._cut_values |= self.context(contexts)
        cuts = {
            role
            for role in self.rule.cut_on
            if role in before and before[role] != self._cut_values[role]
        }
        if cuts:
            pieces = self.logic.cut(event_ns)
            heard = {s.tag for told in contexts for s in told.before}
            is_by_tag = any(role in cuts and tag in heard for tag, role in self.roles.items())
            is_by_context = any(role.startswith("context.") for role in cuts)
            is_late = is_by_context and not is_by_tag and self.is_told_late(contexts)
            for piece in pieces:
                piece.is_cut_late = is_late
            made += pieces
        for role in ("lot", "order"):
            name, history = self.rule.ran(self._cut_values, role), self._history[role]
            if name and (not history or history[-1][1] != name):
                history.append((event_ns, name))
        for sample in samples:
            if sample.tag == self.tag:
                made += self.logic.sample(point(sample, event_ns))
        return made

    def regress(self) -> None:
        """The clock went back: what ran last is known, whatever its stamp was."""
        for history in self._history.values():
            history[:] = [(-(2**63), name) for _, name in history[-1:]]

    def name_window(self, pane: Pane) -> None:
        """What ran when it began."""
        pane.rule, pane.tag = self.rule.name, self.tag
        pane.lot, pane.order = (self._ran(role, pane) for role in ("lot", "order"))

    def _ran(self, role: str, pane: Pane) -> str:
        """What is known for the first time holds for the window that is open then."""
        ran = ""
        # a count's end is its own, but not where a cut ends it
        is_whole = bool(self.rule.count_n) and pane.points[-1].event_ns == pane.end_ns
        for event_ns, name in self._history[role]:
            is_open = event_ns < pane.end_ns + is_whole
            if event_ns <= pane.start_ns or (not ran and is_open):
                ran = name
        return ran


def point(sample: Sample, event_ns: int) -> Point:
    """A sample as a window sees it."""
    raw = sample.value
    number = 0.0 if isinstance(raw, str) else float(raw) + 0.0  # -0.0 is 0.0
    return Point(event_ns, None if sample.is_bad else number, raw, sample.is_uncertain)
