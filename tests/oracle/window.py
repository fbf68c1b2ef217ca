"""Window: [start, end) of event time, from 1970 + offset; closed when the watermark is there.

Tumbling and hopping ones take their samples as they come. ``timed.py`` has those that take them in
order of event time.
"""

from __future__ import annotations

from collections import defaultdict

from oracle.made import Pane, Point
from oracle.plan import Rule


class Grid:
    """Where the windows of a rule lie: [offset + k hop, + size)."""

    def __init__(self, rule: Rule) -> None:
        self.size_ns, self.hop_ns, self.offset_ns = rule.size_ns, rule.hop_ns, rule.offset_ns

    def pane_start_ns(self, event_ns: int) -> int:
        """Start of the pane, one hop long, that a stamp falls into."""
        return self.offset_ns + (event_ns - self.offset_ns) // self.hop_ns * self.hop_ns

    def ends_ns(self, pane_start_ns: int) -> range:
        """Ends of the windows that hold a pane."""
        first_ns = pane_start_ns + self.hop_ns
        return range(first_ns, pane_start_ns + self.size_ns + 1, self.hop_ns)


class Window:
    """Tumbling and hopping windows of one tag."""

    def __init__(self, rule: Rule) -> None:
        self._rule, self._grid = rule, Grid(rule)
        self._panes: dict[int, list[Point]] = defaultdict(list)  # by start
        self._first_pane_ns: int | None = None  # of the first window closed
        self._reached_ns: int | None = None
        self._told: set[int] = set()  # ends of windows that may still be corrected
        self._changed: set[int] = set()  # of those, what changed since

    def is_late(self, event_ns: int, now_ns: int | None) -> bool:
        """Its pane is done with."""
        end_ns = self._grid.pane_start_ns(event_ns) + self._grid.hop_ns
        return now_ns is not None and end_ns + self._rule.correct_within_ns <= now_ns

    def sample(self, point: Point) -> None:
        """One that is not late."""
        start_ns = self._grid.pane_start_ns(point.event_ns)
        self._panes[start_ns].append(point)
        is_counted = point.value is not None or "quality_share" in self._rule.aggregates
        end_ns = start_ns + self._grid.hop_ns
        is_over = self._reached_ns is not None and end_ns <= self._reached_ns
        if self._rule.correct_within_ns and is_over:  # nothing came in time: its correction tells
            self._told.add(end_ns)
        if is_counted and end_ns in self._told:
            self._changed.add(end_ns)

    def pass_time(self, now_ns: int) -> list[Pane]:
        """The watermark is here: what ended, oldest first; then corrections whose time is over."""
        made: list[Pane] = []
        if self._reached_ns is None or self._is_boundary_between(self._reached_ns, now_ns):
            made += self._closed(now_ns)
        self._reached_ns = now_ns
        return made

    @property
    def is_open(self) -> bool:
        """Whether time alone will close something."""
        return bool(self._panes)

    def _is_boundary_between(self, before_ns: int, now_ns: int) -> bool:
        return self._grid.pane_start_ns(before_ns) != self._grid.pane_start_ns(now_ns) or bool(
            self._rule.correct_within_ns
        )

    def _closed(self, now_ns: int) -> list[Pane]:
        """Windows that end, and corrections whose time is over; of one moment these come first."""
        kept_ns = self._rule.correct_within_ns
        ends = {end for start in self._panes for end in self._grid.ends_ns(start)}
        ended = [(end, 1, end) for end in ends if end <= now_ns and not self._is_told(end)]
        over = [(end + kept_ns, 0, end) for end in self._told if end + kept_ns <= now_ns]
        made: list[Pane] = []
        for _, turn, end in sorted(ended + over):
            if turn:
                made += self._pane(end)
                if end + kept_ns > now_ns:
                    self._told.add(end)
            else:
                if end in self._changed:
                    made += self._pane(end, revision=1)
                self._told.discard(end)
                self._changed.discard(end)
        for start in list(self._panes):
            if start + self._grid.size_ns + kept_ns <= now_ns:
                del self._panes[start]
        return made

    def _is_told(self, end_ns: int) -> bool:
        kept_ns = self._rule.correct_within_ns
        if end_ns in self._told:
            return True
        return not kept_ns and self._reached_ns is not None and end_ns <= self._reached_ns

    def _pane(self, end_ns: int, revision: int = 0) -> list[Pane]:
        """One window; none where all its samples were bad and nobody asks how many."""
        start_ns, hop_ns = end_ns - self._grid.size_ns, self._grid.hop_ns
        points = [
            p for start in range(start_ns, end_ns, hop_ns) for p in self._panes.get(start, ())
        ]
        if self._first_pane_ns is None:
            self._first_pane_ns = self._grid.pane_start_ns(points[0].event_ns)
        if "quality_share" not in self._rule.aggregates:
            points = [point for point in points if point.value is not None]
        if not points:
            return []
        pane = Pane(start_ns, end_ns, points, plan=self._rule, revision=revision)
        pane.is_partial = start_ns <= self._first_pane_ns
        return [pane]
