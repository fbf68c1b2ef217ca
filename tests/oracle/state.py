"""State: how long a machine was in each state that matters."""

from __future__ import annotations

from collections.abc import Mapping

from oracle.feed import Value
from oracle.made import Made
from oracle.plan import Rule


class State:
    """One machine. With a SINCE tag the machine itself says when the state began."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._role: dict[str, Value] = {}
        self._state: Value | None = None
        self._start_ns = 0
        self._order = ""
        self._is_partial = False

    def instant(self, event_ns: int, values: Mapping[str, Value]) -> list[Made]:
        """Every role takes its value, then one transition.

        The same state with another beginning is another interval: what lay between was not seen.
        """
        self._role.update(values)
        state = values.get("tag")
        if state is None:
            return []
        since = values.get("since")
        assert since is None or isinstance(since, int)
        start_ns = event_ns if since is None else since * self._rule.since_unit_ns
        is_same_start = since is None or start_ns == self._start_ns
        if state == self._state and is_same_start:
            return []
        made = [] if self._state not in self._rule.states else [self._end(start_ns)]
        self._is_partial = self._state is None and since is None
        self._state, self._start_ns = state, start_ns
        self._order = str(self._role.get("order", ""))
        return made

    def _end(self, end_ns: int) -> Made:
        flags = set()
        if end_ns - self._start_ns < self._rule.min_duration_ns:
            flags.add("micro")
        if self._is_partial:
            flags.add("partial")
        return Made(
            "state.end",
            self._start_ns,
            self._start_ns,
            end_ns,
            value=self._state,
            flags=frozenset(flags),
            order=self._order,
            text=self._state if isinstance(self._state, str) else "",
        )
