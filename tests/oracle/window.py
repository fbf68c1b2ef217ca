"""Window: [start, end) of event time, from 1970 + offset; closed when the watermark is there."""

from __future__ import annotations

from oracle.made import Pane
from oracle.plan import Rule


class Window:
    """The open panes of one tag."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._panes: dict[int, Pane] = {}
        self._has_closed = False

    def end_ns(self, event_ns: int) -> int:
        """End of the window that a stamp falls into."""
        ordinal = (event_ns - self._rule.offset_ns) // self._rule.size_ns
        return self._rule.offset_ns + (ordinal + 1) * self._rule.size_ns

    def sample(self, event_ns: int, value: float | int) -> None:
        """A value; first and last go by event time, and by coming where stamps are equal."""
        end_ns = self.end_ns(event_ns)
        number = float(value) + 0.0  # -0.0 is 0.0
        pane = self._panes.get(end_ns)
        if pane is None:
            start_ns = end_ns - self._rule.size_ns
            pane = Pane(start_ns, end_ns, [], number, number, event_ns, event_ns)
            self._panes[end_ns] = pane
        pane.terms.append(number)
        if event_ns < pane.first_ns:
            pane.first, pane.first_ns = number, event_ns
        if event_ns >= pane.last_ns:
            pane.last, pane.last_ns = number, event_ns

    def pass_time(self, event_ns: int) -> list[Pane]:
        """The watermark is here: what ended, oldest first."""
        ended = [self._panes.pop(end_ns) for end_ns in sorted(self._panes) if end_ns <= event_ns]
        if ended and not self._has_closed:
            ended[0].is_partial = self._has_closed = True
        return ended
