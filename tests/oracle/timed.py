"""Timed: windows whose samples are taken in order of event time, once the watermark passed them.

Those of values that hold until the next one; those that a cut ends; sessions; every n samples.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right

from oracle.made import Held, Pane, Point
from oracle.plan import HELD, Rule
from oracle.window import Grid

EMPTY_MOST = 64  # windows without a sample in a row


def _event_ns(point: Point) -> int:
    return point.event_ns


class TimedGrid:
    """Tumbling and hopping windows, in order of time, with what is known between the samples."""

    def __init__(self, rule: Rule) -> None:
        self._rule, self._grid = rule, Grid(rule)
        self._is_held = bool(rule.aggregates & HELD)
        self._points: list[Point] = []
        self._cuts: list[int] = []
        self._first_ns: int | None = None  # start of the first sample's pane, or part of one
        self._reached_ns: int | None = None
        self._empties = 0
        self._open_ns: int | None = None  # end of the last window over a sample
        self._known_ns: int | None = None  # nobody knows what held from here on

    def sample(self, point: Point) -> list[Pane]:
        """The next one by event time."""
        if self._first_ns is None:
            pane_ns = self._grid.pane_start_ns(point.event_ns)
            self._first_ns = max(pane_ns, *(cut for cut in self._cuts if cut <= point.event_ns), 0)
        if self._reached_ns is None:
            self._reached_ns = self._grid.pane_start_ns(point.event_ns)
        if self._empties >= EMPTY_MOST:  # windows come again from this one's on
            self._reached_ns = max(self._reached_ns, self._grid.pane_start_ns(point.event_ns))
        self._open_ns = self._grid.pane_start_ns(point.event_ns) + self._grid.size_ns
        counts = point.value is not None or self._is_held
        if counts or "quality_share" in self._rule.aggregates:
            self._points.append(point)
        return []

    def cut(self, event_ns: int) -> list[Pane]:
        """What is open ends here, and goes on anew; samples before this have been taken."""
        self._cuts.append(event_ns)
        self._open_ns = None
        made: list[Pane] = []
        for start_ns in self._starts(event_ns, is_cut=True):
            empties = self._empties
            made += self._close(start_ns, event_ns)
            self._empties = min(self._empties, empties)  # a piece without a sample does not count
        return made

    @property
    def is_open(self) -> bool:
        """Whether time alone may close something."""
        if self._open_ns is not None and self._open_ns > (self._reached_ns or 0):
            return True
        is_known = bool(self._points) and self._points[-1].value is not None
        return self._is_held and is_known and self._empties < EMPTY_MOST

    def pass_time(self, now_ns: int) -> list[Pane]:
        """All before this has been taken: what ended, oldest first."""
        made: list[Pane] = []
        while (end_ns := self._next_end(now_ns)) is not None:
            for start_ns in self._starts(end_ns):
                made += self._close(start_ns, end_ns)
            self._reached_ns = end_ns
        if self._reached_ns is not None:
            self._reached_ns = max(self._reached_ns, now_ns)
            self._forget(self._reached_ns - self._grid.size_ns)
        return made

    def regress(self, until_ns: int) -> list[Pane]:
        """The clock went back from here: what is open is told as it stands, and all begins anew."""
        self._known_ns = until_ns
        made = self.pass_time(self._grid.pane_start_ns(until_ns) + self._grid.size_ns)
        self._points, self._cuts, self._empties = [], [], 0
        self._first_ns = self._reached_ns = self._open_ns = self._known_ns = None
        return broken(made)

    # ---- where windows end ----------------------------------------------------------------------

    def _next_end(self, now_ns: int) -> int | None:
        """The next boundary or cut at which something may close."""
        after_ns = self._reached_ns
        if after_ns is None:
            return None
        if not self._is_held or self._empties >= EMPTY_MOST:  # only samples make windows
            oldest_ns = after_ns - self._grid.size_ns
            near = bisect_left(self._points, oldest_ns, key=_event_ns)
            if near == len(self._points):
                return None
            after_ns = max(after_ns, self._points[near].event_ns)
        boundary_ns = self._grid.pane_start_ns(after_ns) + self._grid.hop_ns
        ends = [boundary_ns, *(cut for cut in self._cuts if cut > after_ns)]
        return min(ends) if min(ends) <= now_ns else None

    def _starts(self, end_ns: int, *, is_cut: bool = False) -> list[int]:
        """Where the windows, or their pieces, began that end here: by the grid, or by a cut."""
        starts = []
        last_ns = self._grid.pane_start_ns(end_ns - 1)
        first_ns = last_ns + self._grid.hop_ns - self._grid.size_ns
        for start_ns in range(first_ns, last_ns + 1, self._grid.hop_ns):
            is_whole = start_ns + self._grid.size_ns == end_ns
            if is_whole != is_cut:
                inside = [cut for cut in self._cuts if start_ns < cut < end_ns]
                starts.append(max([start_ns, *inside]))
        return starts

    # ---- what is in them ------------------------------------------------------------------------

    def _close(self, start_ns: int, end_ns: int) -> list[Pane]:
        first = bisect_left(self._points, start_ns, key=_event_ns)
        points = self._points[first : bisect_left(self._points, end_ns, key=_event_ns)]
        held = self._known(start_ns, end_ns) if self._is_held else []
        if not points and (not held or self._empties >= EMPTY_MOST):
            return []
        if not self._is_held and not points:
            return []
        if "quality_share" not in self._rule.aggregates:
            points = [point for point in points if point.value is not None]
        self._empties = 0 if points else self._empties + 1
        pane = Pane(start_ns, end_ns, points, held, plan=self._rule)
        pane.is_partial = self._first_ns is not None and start_ns <= self._first_ns
        if self._is_held:  # a good value at its very start is known, whatever else has that stamp
            is_known = bool(held) and held[0].start_ns <= start_ns
            at_once = any(p.event_ns == start_ns and p.value is not None for p in points)
            pane.is_partial = not is_known and not at_once
        return [pane] if points or held else []

    def _known(self, start_ns: int, end_ns: int) -> list[Held]:
        """Stretches of known value, apart at each pane's boundary and each cut."""
        here = bisect_right(self._points, start_ns, key=_event_ns)
        before = self._points[max(here - 1, 0) : here]
        inside = self._points[here : bisect_left(self._points, end_ns, key=_event_ns)]
        grid = range(self._grid.pane_start_ns(start_ns), end_ns, self._grid.hop_ns)
        breaks = sorted({*grid, *self._cuts, *(p.event_ns for p in inside), start_ns, end_ns})
        breaks = [each for each in breaks if start_ns <= each <= end_ns]
        known = [*before, *inside]
        held = []
        for begin_ns, finish_ns in itertools.pairwise(breaks):
            if self._known_ns is not None:
                finish_ns = min(finish_ns, self._known_ns)
            now = [point for point in known if point.event_ns <= begin_ns]
            if now and now[-1].value is not None and begin_ns < finish_ns:
                held.append(Held(begin_ns, finish_ns, now[-1].value, now[-1].raw))
        return held

    def _forget(self, oldest_ns: int) -> None:
        """What no window will ask for; the last value before goes on holding."""
        while len(self._points) > 1 and self._points[1].event_ns <= oldest_ns:
            del self._points[0]
        self._cuts = [cut for cut in self._cuts if cut > oldest_ns]


def held_between(points: list[Point], end_ns: int) -> list[Held]:
    """What was known from the first of these on; a bad one ends the holding."""
    stamps = [*(point.event_ns for point in points[1:]), end_ns]
    return [
        Held(point.event_ns, until_ns, point.value, point.raw)
        for point, until_ns in zip(points, stamps, strict=True)
        if point.value is not None and until_ns > point.event_ns
    ]


def closed(rule: Rule, points: list[Point], end_ns: int) -> Pane:
    """A window from its first sample on."""
    held = held_between(points, end_ns) if rule.aggregates & HELD else []
    if "quality_share" not in rule.aggregates:
        points = [point for point in points if point.value is not None]
    return Pane(points[0].event_ns, end_ns, points, held, plan=rule)


def broken(panes: list[Pane]) -> list[Pane]:
    """By a clock that went back."""
    for pane in panes:
        pane.is_clock_regress = True
    return panes


class Session:
    """Samples that follow one another within a gap."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._points: list[Point] = []
        self._has_closed = False

    def sample(self, point: Point) -> list[Pane]:
        """The next one by event time; one of bad quality opens and prolongs nothing."""
        made: list[Pane] = []
        if point.value is None:
            if self._points:
                self._points.append(point)
            return made
        if self._points and point.event_ns - self._last_ns() >= self._rule.session_gap_ns:
            made += self._close(self._last_ns() + self._rule.session_gap_ns)
        elif self._points and point.event_ns - self._first_ns() >= self._rule.session_max_ns:
            made += self._close(point.event_ns)
        self._points.append(point)
        return made

    def cut(self, event_ns: int) -> list[Pane]:
        """What is open ends here; the next sample begins anew."""
        return self._close(event_ns) if self._points and self._first_ns() < event_ns else []

    @property
    def is_open(self) -> bool:
        """Whether time alone will close something."""
        return bool(self._points)

    def pass_time(self, now_ns: int) -> list[Pane]:
        """All before this has been taken."""
        if not self._points or now_ns < self._last_ns() + self._rule.session_gap_ns:
            return []
        return self._close(self._last_ns() + self._rule.session_gap_ns)

    def close(self) -> list[Pane]:
        """The rule changes or goes: what is open is told up to its newest sample."""
        if not self._points:
            return []
        end_ns = self._points[-1].event_ns
        pane = closed(self._rule, self._points, end_ns)  # nothing holds any longer
        pane.end_ns, pane.is_partial = end_ns + 1, True
        self._points = []
        return [pane]

    def regress(self, until_ns: int) -> list[Pane]:
        """The clock went back: told up to its newest sample; the next is the first."""
        is_partial = not self._has_closed
        made = self.close()
        for pane in made:
            pane.is_partial = is_partial
        self._has_closed = False
        return broken(made)

    def _first_ns(self) -> int:
        return self._points[0].event_ns

    def _last_ns(self) -> int:
        return max(point.event_ns for point in self._points if point.value is not None)

    def _close(self, end_ns: int) -> list[Pane]:
        pane = closed(self._rule, self._points, end_ns)
        pane.is_partial, self._has_closed = not self._has_closed, True
        self._points = []
        return [pane]


class Counted:
    """Every n good samples."""

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._points: list[Point] = []
        self._first_ns: int | None = None  # start of the first one closed

    def sample(self, point: Point) -> list[Pane]:
        """The next one by event time."""
        if point.value is None:
            if self._points:
                self._points.append(point)
            return []
        self._points.append(point)
        good = sum(each.value is not None for each in self._points)
        return self._close(point.event_ns) if good == self._rule.count_n else []

    def cut(self, event_ns: int) -> list[Pane]:
        """Fewer than n, because something else runs from here on."""
        is_open = self._points and self._points[0].event_ns < event_ns
        return self._close(event_ns) if is_open else []

    def close(self) -> list[Pane]:
        """The rule changes or goes."""
        made = self._close(self._points[-1].event_ns) if self._points else []
        for pane in made:
            pane.is_partial = True
        return made

    def regress(self, until_ns: int) -> list[Pane]:
        """The clock went back: fewer than n; the next is the first."""
        made = self._close(self._points[-1].event_ns) if self._points else []
        self._first_ns = None
        return broken(made)

    is_open = False  # time closes nothing

    def pass_time(self, now_ns: int) -> list[Pane]:
        """Time closes nothing."""
        return []

    def _close(self, end_ns: int) -> list[Pane]:
        pane = closed(self._rule, self._points, end_ns)
        self._first_ns = pane.start_ns if self._first_ns is None else self._first_ns
        pane.is_partial = pane.start_ns <= self._first_ns
        self._points = []
        return [pane]
