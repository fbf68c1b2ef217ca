"""Judge: records in journal order come in, events and window results go out."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from oracle.counter import Counter
from oracle.feed import Receive, Record, Sample, Tick, Value
from oracle.identity import event_id
from oracle.limit import Chatter, Limit
from oracle.made import Made, Pane
from oracle.plan import Rule, Source, plan
from oracle.state import State
from oracle.total import Total
from oracle.watermark import Watermark
from oracle.window import Window

Logic = Limit | Counter | Total | State | Window
_LOGIC: dict[str, Any] = {
    "limit": Limit,
    "counter": Counter,
    "total": Total,
    "state": State,
    "window": Window,
}


@dataclass(slots=True)
class Outcome:
    """What a recording gives. ``folded``: what chattering events stand for, by (rule, tag)."""

    events: list[Made] = field(default_factory=list)
    results: list[Pane] = field(default_factory=list)
    used: int = 0
    future: int = 0
    late: int = 0
    out_of_order: int = 0
    folded: dict[tuple[str, str], int] = field(default_factory=dict)


class _Instance:
    """One rule on one value tag."""

    def __init__(self, rule: Rule, tag: str, star: str) -> None:
        self.rule, self.tag = rule, tag
        self.roles = rule.role_tags(star)
        self.asset = rule.asset.replace("*", star) if rule.asset else star
        self.logic: Logic = _LOGIC[rule.kind](rule)
        self.chatter = Chatter(rule)
        self.late = 0


class _Feed:
    """One source: its watermark, and the samples that wait for it, by event time."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.watermark = Watermark(source)
        self.waiting: dict[int, list[tuple[Sample, int]]] = {}
        self.instances: list[_Instance] = []


class Judge:
    """The whole of it, for one configuration as TOML reads it.

    Every tag of a recording is known from its start, as ``Engine.tag`` makes it.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._plant, sources, self._rules = plan(config)
        self._feeds = {source.name: _Feed(source) for source in sources}
        self._tags: set[str] = set()
        self._engine_ns = 0
        self._twins: Tally[tuple[Any, ...]] = Tally()
        self.outcome = Outcome()

    def run(self, records: Iterable[Record]) -> Outcome:
        """Judges all records."""
        recording = list(records)
        for record in recording:
            if isinstance(record, Receive):
                for sample in record.samples:
                    self._know(self._feeds[record.source], sample.tag)
        for record in recording:
            if isinstance(record, Tick):
                self._tick(record.now_ns)
            else:
                self._receive(record)
        instances = [each for feed in self._feeds.values() for each in feed.instances]
        for each in instances:
            crossings = sum(count for _, count in each.chatter.folded)
            if crossings:
                self.outcome.folded[each.rule.name, each.tag] = crossings
            if isinstance(each.logic, Limit):
                self.outcome.out_of_order += each.logic.out_of_order
            self.outcome.late += each.late
        return self.outcome

    def _receive(self, record: Receive) -> None:
        self._engine_ns = max(self._engine_ns, record.recv_time_ns)
        feed = self._feeds[record.source]
        for sample in record.samples:
            event_ns = self._engine_ns if sample.time_ns is None else sample.time_ns
            if event_ns > self._engine_ns + feed.source.future_max_ns:
                self.outcome.future += 1
                continue
            self.outcome.used += 1
            self._sample(feed, sample, event_ns)
            feed.watermark.sample(record.stream, event_ns, self._engine_ns)
            self._pass_time(feed)

    def _know(self, feed: _Feed, tag: str) -> None:
        if tag in self._tags:
            return
        self._tags.add(tag)
        for rule in self._rules:
            star = rule.match(tag)
            if star is not None:
                feed.instances.append(_Instance(rule, tag, star))

    def _sample(self, feed: _Feed, sample: Sample, event_ns: int) -> None:
        is_late = feed.watermark.is_past(event_ns)
        is_waited_for = False
        for each in feed.instances:
            if sample.tag not in each.roles:
                continue
            if isinstance(each.logic, Window):
                self._window_sample(feed, each, sample, event_ns)
            elif each.rule.is_event_order:
                each.late += is_late
                is_waited_for = True
            elif isinstance(each.logic, Limit):
                self._emit(each, each.logic.sample(sample, event_ns, self._engine_ns))
        if is_waited_for and not is_late:
            feed.waiting.setdefault(event_ns, []).append((sample, self._engine_ns))

    @staticmethod
    def _window_sample(feed: _Feed, instance: _Instance, sample: Sample, event_ns: int) -> None:
        logic, now_ns = instance.logic, feed.watermark.now_ns
        assert isinstance(logic, Window)
        if now_ns is not None and logic.end_ns(event_ns) <= now_ns:
            instance.late += 1
        elif not sample.is_bad:
            assert not isinstance(sample.value, str)
            logic.sample(event_ns, sample.value)

    def _tick(self, now_ns: int) -> None:
        self._engine_ns = max(self._engine_ns, now_ns)
        for feed in self._feeds.values():
            feed.watermark.tick(self._engine_ns)
            self._pass_time(feed)
            for each in feed.instances:
                if isinstance(each.logic, Limit):
                    self._emit(each, each.logic.tick(self._engine_ns))

    def _pass_time(self, feed: _Feed) -> None:
        """Instants before the watermark are judged, oldest first; then what ends is closed."""
        now_ns = feed.watermark.now_ns
        if now_ns is None:
            return
        for event_ns in sorted(each for each in feed.waiting if each < now_ns):
            self._instant(feed, event_ns, feed.waiting.pop(event_ns))
        for each in feed.instances:
            if isinstance(each.logic, Window):
                self._close_panes(each, each.logic.pass_time(now_ns))
            elif isinstance(each.logic, (Counter, Total)):
                self._emit(each, each.logic.pass_time(now_ns))

    def _instant(self, feed: _Feed, event_ns: int, samples: list[tuple[Sample, int]]) -> None:
        for each in feed.instances:
            if not each.rule.is_event_order or isinstance(each.logic, Window):
                continue
            values: dict[str, Value] = {}
            for sample, heard_ns in samples:
                if sample.tag in each.roles and not sample.is_bad:
                    values[each.roles[sample.tag]] = sample.value
                    last = (sample, heard_ns)
            if not values:
                continue
            if isinstance(each.logic, Limit):
                self._emit(each, each.logic.sample(last[0], event_ns, last[1]))
            else:
                self._emit(each, each.logic.instant(event_ns, values))

    def _close_panes(self, instance: _Instance, panes: list[Pane]) -> None:
        for pane in panes:
            pane.rule, pane.tag = instance.rule.name, instance.tag
            if instance.rule.is_event:
                made = Made("window.close", pane.start_ns, pane.start_ns, pane.end_ns, pane=pane)
                made.count = len(pane.terms)
                made.flags = frozenset({"partial"} if pane.is_partial else ())
                self._emit(instance, [made])
            else:
                self.outcome.results.append(pane)

    def _emit(self, instance: _Instance, events: list[Made]) -> None:
        for made in events:
            if isinstance(instance.logic, Limit) and not instance.chatter.passes(made):
                continue
            made.rule, made.series = instance.rule.name, instance.rule.series
            made.tag, made.asset = instance.tag, instance.asset
            twin = (made.rule, made.series, made.tag, made.kind, made.at_ns)
            made.occurrence = self._twins[twin]
            self._twins[twin] += 1
            made.id = event_id(self._plant, *twin[:4], at_ns=made.at_ns, occurrence=made.occurrence)
            self.outcome.events.append(made)
