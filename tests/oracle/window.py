"""Window: [start, end) of event time, from 1970 + offset; closed when the watermark is there.

Tumbling and hopping ones take their samples as they come. ``timed.py`` has those that take them in
order of event time.
"""

from __future__ import annotations

from collections import defaultdict

from oracle.made import Pane, Point
from oracle.plan import Rule

_NEVER_NS = 2**63


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

    def __init__(self, rule: Rule, begin_ns: int | None = None, *, has_told: bool = False) -> None:
        self._rule, self._grid = rule, Grid(rule)
        self.begin_ns = begin_ns  # the rule was another one before; what came is not ours
        self._has_told = has_told  # that one
        self._closed_ns = begin_ns  # end of the newest one told
        self._newest_ns: int | None = None  # behind all its samples
        self._panes: dict[int, list[Point]] = defaultdict(list)  # by start
        self._first_pane_ns: int | None = None  # of the first window closed
        self._reached_ns: int | None = None
        self._told: set[int] = set()  # ends of windows that may still be corrected
        self._changed: set[int] = set()  # of those, what changed since

    def reach(self, now_ns: int | None) -> None:
        """It begins while the watermark is there already."""
        self._reached_ns = now_ns

    def is_late(self, event_ns: int, now_ns: int | None) -> bool:
        """Its pane is done with."""
        if self.begin_ns is not None and event_ns < self.begin_ns:
            return True
        end_ns = self._grid.pane_start_ns(event_ns) + self._grid.hop_ns
        return now_ns is not None and end_ns + self._rule.correct_within_ns <= now_ns

    def sample(self, point: Point) -> None:
        """One that is not late."""
        start_ns = self._grid.pane_start_ns(point.event_ns)
        self._newest_ns = max(point.event_ns + 1, self._newest_ns or 0)
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
        self._closed_ns = max(end_ns, end_ns if self._closed_ns is None else self._closed_ns)
        if "quality_share" not in self._rule.aggregates:
            points = [point for point in points if point.value is not None]
        if not points:
            return []
        begin_ns = start_ns if self.begin_ns is None else max(start_ns, self.begin_ns)
        pane = Pane(begin_ns, end_ns, points, plan=self._rule, revision=revision)
        is_first = start_ns <= self._first_pane_ns and not self._has_told
        pane.is_partial = is_first or begin_ns > start_ns
        return [pane]

    # ---- another rule follows -------------------------------------------------------------------

    @property
    def has_told(self) -> bool:
        """One has ended: the next is not the tag's first."""
        return self._has_told or self._first_pane_ns is not None

    @property
    def is_cut(self) -> bool:
        """The first one of this rule, not whole, is open."""
        return any(self.begin_ns is not None and start < self.begin_ns for start in self._panes)

    def end_ns(self) -> int:
        """Of the last one open."""
        return max(self._panes) + self._grid.size_ns

    def told_until_ns(self) -> int | None:
        """Where the next rule's windows begin once this one's are closed: behind the newest sample;
        where it only tumbles, behind the newest good one that is open and what has ended.
        """
        ends = [self.begin_ns, self._newest_ns]
        if self._rule.is_plain:
            good = [p for points in self._panes.values() for p in points if p.value is not None]
            ends = [self.begin_ns, self._closed_ns, *(point.event_ns + 1 for point in good)]
        return max((end for end in ends if end is not None), default=None)

    def over_ns(self) -> int | None:
        """Closed: once the watermark is there, nothing comes that it told of."""
        if self._rule.is_plain or self._newest_ns is None:
            return self._closed_ns if self._rule.is_plain else None
        return self._grid.pane_start_ns(self._newest_ns - 1) + self._grid.size_ns

    def regress(self, until_ns: int) -> list[Pane]:
        """The clock went back: what is open is told as it stands; another one follows."""
        made = self._closed(_NEVER_NS)
        for pane in made:
            pane.is_clock_regress = True
        return made

    def close(self) -> list[Pane]:
        """What is open is told as it stands."""
        made = self._closed(_NEVER_NS)
        for pane in made:
            pane.is_partial = True
        self._panes.clear()
        return made
