"""State: when a machine enters and leaves each state that matters, and for how long it held."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from oracle.feed import Value
from oracle.made import Made
from oracle.plan import Rule


@dataclass(slots=True)
class _Stops:
    """Micro stops of one interval."""

    end_ns: int
    durations_ns: list[int] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)


class State:
    """One machine. With a SINCE tag the machine itself says when the state began."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._role: dict[str, Value] = {}
        self._state: Value | None = None
        self._start_ns = 0
        self._order = ""
        self._is_start_told = False  # by the machine
        self._is_listed = False  # as the rule said when it began
        self._is_partial = False
        self._micro: dict[int, _Stops] = {}  # folded, by the start of their interval
        self._told_ns: int | None = None  # end of the newest interval told
        self.micro_dropped = 0
        self.is_uncertain = False  # the state of the instant that is judged
        self._flags: set[str] = set()  # of the open state
        self._newest_ns = 0  # instant at which a state was told

    def goes_on_from(self, before: Any, since_ns: int | None, *, was_gone: bool) -> None:
        """The rule changed, or is back: the state that holds goes on, listed or not as it was."""
        rule = self._rule
        vars(self).update(vars(before))
        self._rule, self.micro_dropped = rule, 0

    def knows(self, context: Mapping[str, Value]) -> None:
        """A state runs by its own order."""

    def instant(self, event_ns: int, values: Mapping[str, Value]) -> list[Made]:
        """Every role takes its value, then one transition.

        The same state with a later beginning is another interval: what lay between was not seen.
        With an earlier one, or the first that the machine tells, it is the same, better known. No
        interval ends before it began.
        """
        made = self.pass_time(event_ns + 1)  # what ends here, too
        self._role.update(values)
        if not self._order:  # the first order ever told is the one that ran already
            self._order = str(self._role.get("order", ""))
        state = values.get("tag")
        if state is None:
            return made
        self._newest_ns = event_ns
        since = values.get("since")
        assert since is None or isinstance(since, int)
        start_ns = event_ns if since is None else since * self._rule.since_unit_ns
        is_same_start = since is None or start_ns == self._start_ns
        uncertain = {"uncertain"} if self.is_uncertain else set[str]()
        if state == self._state and is_same_start:
            self._flags |= uncertain
            return made
        is_better_known = state == self._state and (
            start_ns < self._start_ns or not self._is_start_told
        )
        if self._is_listed and not is_better_known:
            made += self._end(max(start_ns, self._start_ns), event_ns)
        self._is_partial = self._state is None and since is None
        self._state, self._start_ns, self._is_start_told = state, start_ns, since is not None
        self._order = str(self._role.get("order", ""))
        self._flags = uncertain | (self._flags if is_better_known else set())
        if not is_better_known:
            self._is_listed = self._rule.is_listed(state)
        is_entered = self._is_listed and not is_better_known
        if self._rule.on in ("enter", "both") and is_entered:
            partial = {"partial"} if self._is_partial else set[str]()
            made.append(self._made("state.enter", None, self._flags | partial))
        return made

    def _end(self, end_ns: int, event_ns: int) -> list[Made]:
        flags = self._flags | ({"partial"} if self._is_partial else set())
        if end_ns - self._start_ns < self._rule.min_duration_ns:
            if self._rule.micro == "drop":
                self.micro_dropped += 1
                return []
            flags.add("micro")
            if self._rule.micro == "fold":
                self._fold(end_ns, event_ns, flags)
                return []
        if self._rule.on == "enter":
            return []
        return [self._made("state.end", end_ns, flags)]

    def _made(self, kind: str, end_ns: int | None, flags: set[str]) -> Made:
        return Made(
            kind,
            self._start_ns,
            self._start_ns,
            end_ns,
            value=self._state,
            flags=frozenset(flags),
            order=self._order if "order" in self._rule.patterns else "",
            text=self._rule.text(self._state),
        )

    def regress(self) -> list[Made]:
        """The clock went back: nobody knows how long the open state held, so it is no micro stop.
        Micro stops are told, and intervals begin anew.
        """
        made = []
        flags = self._flags | {"clock_regress"}
        flags |= {"partial"} if self._is_partial else set[str]()
        if self._is_listed and self._rule.on != "enter":
            made.append(self._made("state.end", max(self._newest_ns, self._start_ns), flags))
        for stops in self._micro.values():
            stops.flags.add("clock_regress")
        made += self.pass_time(2**63)
        self._state, self._told_ns, self._is_listed = None, None, False
        return made

    # ---- micro stops, folded --------------------------------------------------------------------

    def _fold(self, end_ns: int, event_ns: int, flags: set[str]) -> None:
        """A stop belongs to the interval that its end lies in; told already, to that of now. One
        of the rule as it was takes what follows until its end; the next one begins there.
        """
        every_ns, at_ns = self._rule.micro_every_ns, end_ns
        over = [] if self._told_ns is None else [self._told_ns]
        if any(end_ns < told_ns for told_ns in over):
            at_ns = max(event_ns, *over)
        over += [stops.end_ns for stops in self._micro.values() if stops.end_ns <= at_ns]
        start_ns = max([at_ns // every_ns * every_ns, *over])
        until_ns = start_ns // every_ns * every_ns + every_ns
        open_ = [s for s, stops in self._micro.items() if s <= at_ns < stops.end_ns]
        start_ns = open_[0] if open_ else start_ns
        stops = self._micro.setdefault(start_ns, _Stops(until_ns))
        stops.durations_ns.append(end_ns - self._start_ns)
        stops.flags |= flags

    @property
    def is_open(self) -> bool:
        """Whether time alone will tell something."""
        return bool(self._micro)

    def pass_time(self, event_ns: int) -> list[Made]:
        """All before this is judged: micro stops of intervals that ended before are told."""
        made = []
        for start_ns in sorted(self._micro):
            end_ns = self._micro[start_ns].end_ns
            if end_ns < event_ns:
                stops, self._told_ns = self._micro.pop(start_ns), end_ns
                one = Made("state.micro", start_ns, start_ns, end_ns, flags=frozenset(stops.flags))
                one.value, one.count = sum(stops.durations_ns), len(stops.durations_ns)
                made.append(one)
        return made
