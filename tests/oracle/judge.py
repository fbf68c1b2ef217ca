"""Judge: records in journal order come in, events and window results go out."""

from __future__ import annotations

from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from oracle.alarm import AlarmRule
from oracle.counter import Counter
from oracle.feed import Context, Gap, Operate, Receive, Record, Reload, Restart, Sample, Tick, Value
from oracle.identity import event_id
from oracle.instance import TIMED, Instance, Told, point
from oracle.line import Line
from oracle.made import Made, Outcome, Pane
from oracle.plan import Rule, plan
from oracle.segment import Segments
from oracle.state import State
from oracle.still import ToldByTables
from oracle.timed import Counted, Session
from oracle.total import Total
from oracle.window import Window

SEGMENTS = (Counter, Total, State)


def _is_named(rule: Rule | None, instance: Instance) -> bool:
    """It is this instance's rule, changed, and judges its tag still."""
    is_same = rule is not None and rule.kind == instance.rule.kind
    return is_same and rule is not None and rule.match(instance.tag) is not None


class Judge:
    """The whole of it, for one configuration as TOML reads it.

    Every tag of a recording is known from its start, as ``Engine.tag`` makes it.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._plant, sources, self._rules = plan(config)
        self._feeds = {source.name: Line(source) for source in sources}
        self._tags: dict[str, Line] = {}
        self._engine_ns = 0
        self._clock_ns = 0  # engine time; the judge hears of it by records
        self._gone_alarms: dict[tuple[str, str, str], Instance] = {}  # whose ids are remembered
        self._gone: dict[tuple[str, str], tuple[int, int | None]] = {}  # told until, kept until
        self._waiting: dict[tuple[str, str, str], Instance] = {}  # registers whose rule is gone
        self._told: dict[tuple[str, str, str], ToldByTables] = {}
        self._reloads: tuple[int, int] = (-1, -1)  # engine time of the newest, how many before it
        self._twins: Tally[tuple[Any, ...]] = Tally()
        self.outcome = Outcome()

    def run(self, records: Iterable[Record]) -> Outcome:
        """Judges all records."""
        recording = list(records)
        self._know_tags(recording)
        for record in recording:
            match record:
                case Tick():
                    self._tick(record.now_ns)
                case Receive():
                    self._receive(record)
                case Operate():
                    self._operate(record)
                case Reload():
                    self._reload(record.config)
                case Restart():
                    self._restart()
                case Context():
                    self._context(record)
        for feed in self._feeds.values():
            for each in feed.instances:
                self._count(each)
                if isinstance(each.logic, AlarmRule) and (seen := each.logic.standing()):
                    seen.rule, seen.tag = each.rule.name, each.tag
                    self.outcome.alarms.append(seen)
        return self.outcome

    def _count(self, each: Instance) -> None:
        if each.chatter.folded:
            key = each.rule.name, each.tag
            self.outcome.folded[key] = self.outcome.folded.get(key, 0) + each.chatter.folded
        if isinstance(each.logic, AlarmRule):
            self.outcome.out_of_order += each.logic.out_of_order
            self.outcome.suppressed += each.logic.suppressed
        if isinstance(each.logic, State):
            self.outcome.micro_dropped += each.logic.micro_dropped
        self.outcome.late += each.late

    # ---- tags and rules -------------------------------------------------------------------------

    def _know_tags(self, recording: list[Record]) -> None:
        for record in recording:
            if isinstance(record, Receive):
                for sample in record.samples:
                    self._tags.setdefault(sample.tag, self._feeds[record.source])
        self._bind({})

    def _bind(self, kept: Mapping[tuple[str, str], Instance]) -> None:
        """An instance of each rule on each tag that it reads; those kept go on."""
        for feed in self._feeds.values():
            feed.clear()
        for rule in self._rules:
            for tag, feed in self._tags.items():
                star = rule.match(tag)
                if star is not None:
                    feed.add(kept.get((rule.name, tag)) or Instance(rule, tag, star))

    def _reload(self, config: Mapping[str, Any]) -> None:
        """Other rules from here on; those that did not change go on as they are."""
        self._engine_ns = max(self._engine_ns, self._clock_ns)
        newest_ns, count = self._reloads
        self._reloads = self._engine_ns, count + 1 if newest_ns == self._engine_ns else 0
        old = [each for feed in self._feeds.values() for each in feed.instances]
        _, _, self._rules = plan(config)
        rules = {rule.name: rule for rule in self._rules}
        kept = {(i.rule.name, i.tag): i for i in old if rules.get(i.rule.name) == i.rule}
        gone = [each for each in old if (each.rule.name, each.tag) not in kept]
        for each in gone:
            watermark_ns = self._tags[each.tag].watermark.now_ns
            if isinstance(each.logic, Total) and watermark_ns is not None:
                each.logic.settle(watermark_ns)
            self._count(each)
            self._emit(each, each.chatter.end() if each.is_alarm else [])
            if each.key in self._told:
                self._told[each.key].end()
        changed = [each for each in gone if _is_named(rules.get(each.rule.name), each)]
        self._restarted([each for each in changed if each.is_alarm])
        self._bind(kept)
        before = {(each.rule.name, each.tag): each for each in changed}
        for each in gone:
            if isinstance(each.logic, (Session, Counted)):
                self._close_panes(each, each.logic.close())
            elif isinstance(each.logic, Window) and each not in changed:
                self._leave(each)
            elif isinstance(each.logic, SEGMENTS) and each not in changed:
                self._waiting[each.key] = each
            elif isinstance(each.logic, AlarmRule) and each not in changed:
                is_named = each.key in self._told
                is_remembered = each.chatter.has_told or each.logic.was_operated or is_named
                self._gone_alarms |= {each.key: each} if is_remembered else {}
        for feed in self._feeds.values():
            feed.forget()
            self._forget(feed)
            for each in feed.instances:
                if (each.rule.name, each.tag) not in kept:
                    self._begin(feed, each, before.get((each.rule.name, each.tag)))
            self._settle(feed)

    def _restarted(self, changed: list[Instance]) -> None:
        """One event for each alarm that was active, at least one a rule."""
        by_rule: dict[str, list[Instance]] = defaultdict(list)
        for each in changed:
            by_rule[each.rule.name].append(each)
        for alarms in by_rule.values():
            active = [i for i in alarms if isinstance(i.logic, AlarmRule) and i.logic.is_active]
            for each in active or alarms[:1]:
                now_ns = self._engine_ns
                self._emit(each, [Made("rule.restarted", now_ns, now_ns, now_ns)])

    def _begin(self, feed: Line, each: Instance, before: Instance | None) -> None:
        """An instance of a rule that is new or another one now."""
        logic = each.logic
        if isinstance(logic, AlarmRule):
            said = feed.said_event if each.rule.is_event_order else feed.said
            each.hear_machine(said.get(each.suppress_tag))
            logic.begins_behind(feed.newest_of.get(each.tag))
            if before is not None and isinstance(before.logic, AlarmRule):
                logic.goes_on_from(before.logic)
            before = before or self._gone_alarms.pop(each.key, None)
            if before is not None:
                each.chatter.goes_on_from(before.chatter)
        elif isinstance(logic, SEGMENTS):
            waiting = self._waiting.pop(each.key, None)
            if before is None:
                logic.knows(feed.ran.get(each.asset, {}))
            if (known := before or waiting) is not None:
                since_ns = feed.watermark.now_ns
                logic.goes_on_from(known.logic, since_ns, was_gone=waiting is not None)
            if isinstance(logic, Total):
                logic.gaps = feed.gaps_of.get(each.tag, [])
        elif isinstance(logic, Window):
            if before is not None:
                logic = self._swapped(each, before)
            elif (each.rule.name, each.tag) in self._gone:
                logic = Window(each.rule, self._gone.pop((each.rule.name, each.tag))[0])
            logic.reach(feed.watermark.now_ns)
            feed.replace(each, logic)

    def _swapped(self, each: Instance, before: Instance) -> Window:
        """Windows swap at their boundary: what is open has ended by the old rule first."""
        old, left = before.logic, before.left
        assert isinstance(old, Window)
        is_late = old.is_open if left is not None else old.is_cut
        if is_late or not (each.rule.is_plain and before.rule.is_plain):
            return Window(each.rule, self._close(before))
        if left is not None:
            each.left = left
            return Window(each.rule, old.begin_ns, has_told=True)
        if not old.is_open:
            return Window(each.rule, old.told_until_ns(), has_told=old.has_told)
        each.left = before
        return Window(each.rule, old.end_ns(), has_told=True)

    def _close(self, before: Instance) -> int | None:
        """All that is open as it stands; gives until when it is told then."""
        ends = []
        for each in (before.left, before):
            if each is not None:
                assert isinstance(each.logic, Window)
                ends.append(each.logic.told_until_ns())
                self._close_panes(each, each.logic.close())
        return max((end for end in ends if end is not None), default=None)

    def _leave(self, each: Instance) -> None:
        """The rule is gone; it does not tell the same again. Of events that holds for good."""
        parts = [p.logic for p in (each.left, each) if p and isinstance(p.logic, Window)]
        until_ns = self._close(each)
        ends = [end for part in parts if (end := part.over_ns()) is not None]
        if until_ns is not None and (each.rule.is_event or ends):
            over_ns = None if each.rule.is_event else max(ends)
            self._gone[each.rule.name, each.tag] = until_ns, over_ns

    def _forget(self, feed: Line) -> None:
        """What windows told whose rule is gone, once their end has passed."""
        here = {(each.rule.name, each.tag) for each in feed.instances}
        for key, (_, over_ns) in [*self._gone.items()]:
            is_here = key in here or self._tags[key[1]] is not feed
            reached_ns = feed.watermark.now_ns
            is_over = over_ns is not None and reached_ns is not None and over_ns <= reached_ns
            if is_over and not is_here:
                del self._gone[key]

    def _restart(self) -> None:
        for feed in self._feeds.values():
            feed.watermark.again(self._engine_ns)
            for stream, newest_ns in feed.newest_ns.items():
                if stream not in feed.down:
                    feed.down[stream] = Gap(newest_ns)
                    feed.gaps[stream].append(feed.down[stream])

    # ---- what comes -----------------------------------------------------------------------------

    def _receive(self, record: Receive) -> None:
        self._clock_ns = max(self._clock_ns, record.recv_time_ns)
        self._engine_ns = max(self._engine_ns, record.recv_time_ns)
        feed = self._feeds[record.source]
        self._gap(feed, record)
        for sample in record.samples:
            event_ns = self._engine_ns if sample.time_ns is None else sample.time_ns
            if sample.is_nan:
                self.outcome.nan += 1
                continue
            if event_ns > self._engine_ns + feed.source.future_max_ns:
                self.outcome.future += 1
                continue
            self.outcome.used += 1
            self._behind_gap(feed, record.stream, event_ns)
            newest_ns = feed.regress[record.stream].sample(event_ns, self._engine_ns)
            if newest_ns is not None:
                self._regress(feed, record.stream, newest_ns)
            feed.gaps_of[sample.tag] = feed.gaps[record.stream]
            for each in feed.by_tag.get(sample.tag, ()):
                if isinstance(each.logic, Total) and sample.tag == each.tag:
                    each.logic.gaps = feed.gaps[record.stream]
            self._sample(feed, sample, event_ns)
            feed.watermark.sample(record.stream, event_ns, self._engine_ns)
            self._pass_time(feed)

    def _regress(self, feed: Line, stream: int, newest_ns: int) -> None:
        """The clock of its only stream has gone back: what waits is judged, what is open ends."""
        known_ns = feed.newest_ns[stream] + 1  # as if the watermark had come behind its newest
        until_ns = max(known_ns - 1, feed.watermark.now_ns or 0)  # what held is known
        self._judge_waiting(feed, known_ns)
        self._take_due(feed, known_ns)
        feed.newest_ns[stream] = newest_ns
        for each, logic in feed.panes:
            if not isinstance(logic, Window):
                self._close_panes(each, logic.pass_time(known_ns))
            self._close_panes(each, logic.regress(until_ns))
            each.regress()
        for each, segment in feed.segments:
            self._emit(each, segment.pass_time(known_ns))
            self._emit(each, segment.regress())
        for each, alarm in feed.alarms:
            self._emit(each, each.chatter.regress())
            alarm.regress()
        feed.newest_of.clear()
        feed.time_epoch += 1
        feed.watermark.regress(stream, newest_ns, self._engine_ns)
        for each, logic in feed.panes:
            if isinstance(logic, Window):
                anew = Window(each.rule)
                anew.reach(feed.watermark.now_ns)
                feed.replace(each, anew)

    def _gap(self, feed: Line, record: Receive) -> None:
        """Samples did not come: from the newest before to the first behind."""
        if record.lost:
            start_ns = feed.newest_ns.get(record.stream, self._engine_ns)
            _, lost = feed.lost.get(record.stream, (start_ns, 0))
            feed.lost[record.stream] = start_ns, lost + record.lost

    def _behind_gap(self, feed: Line, stream: int, event_ns: int) -> None:
        """The first sample that can be used tells of it, and ends what the source was down for."""
        if stream in feed.down:
            gap = feed.down.pop(stream)
            gap.end_ns = max(gap.start_ns, event_ns, feed.watermark.now_ns or event_ns)
        if stream in feed.lost:
            start_ns, lost = feed.lost.pop(stream)
            again = feed.lost_before[stream, start_ns]
            feed.lost_before[stream, start_ns] += 1
            for rule in self._rules:
                if rule.kind == "gap" and rule.source == feed.source.name:
                    made = Made("gap.lost", start_ns, start_ns, max(start_ns, event_ns))
                    made.value, made.count, made.occurrence = stream, lost, again
                    is_told = lost >= rule.lost_min
                    self._tell(
                        rule,
                        f"{rule.source}/{stream}",
                        rule.asset or rule.source,
                        made,
                        is_told=is_told,
                    )
        feed.newest_ns[stream] = max(feed.newest_ns.get(stream, event_ns), event_ns)

    def _sample(self, feed: Line, sample: Sample, event_ns: int) -> None:
        is_late = feed.watermark.is_past(event_ns)
        feed.hear(sample, event_ns)
        is_waited_for = False
        for each in feed.by_tag.get(sample.tag, ()):
            if isinstance(each.logic, Window):
                self._window_sample(feed, each, sample, event_ns)
            elif each.rule.is_event_order:
                each.late += is_late and sample.tag in each.roles
                is_waited_for = True
            elif isinstance(each.logic, AlarmRule):
                self._alarm_sample(feed, each, sample, event_ns)
        if is_waited_for and not is_late:
            feed.waiting.setdefault(event_ns, []).append((sample, self._engine_ns))

    def _window_sample(self, feed: Line, instance: Instance, sample: Sample, event_ns: int) -> None:
        logic = instance.logic
        assert isinstance(logic, Window)
        left = instance.left
        if left is not None and logic.begin_ns is not None and event_ns < logic.begin_ns:
            logic = left.logic
            assert isinstance(logic, Window)
        if logic.is_late(event_ns, feed.watermark.now_ns):
            instance.late += 1
        else:
            logic.sample(point(sample, event_ns))

    def _alarm_sample(self, feed: Line, each: Instance, sample: Sample, event_ns: int) -> None:
        assert isinstance(each.logic, AlarmRule)
        if sample.tag == each.suppress_tag:
            each.hear_machine(feed.said.get(sample.tag))
            self._settle(feed)
        if sample.tag in each.roles:
            self._alarm_judge(feed, each, sample, event_ns, self._engine_ns)

    def _alarm_judge(
        self, feed: Line, each: Instance, sample: Sample, event_ns: int, heard_ns: int
    ) -> None:
        assert isinstance(each.logic, AlarmRule)
        skipped = each.logic.out_of_order
        self._emit(each, each.logic.sample(sample, event_ns, heard_ns))
        if each.logic.out_of_order == skipped:
            self._emit(each, each.chatter.over(event_ns))
        self._settle(feed)

    def _settle(self, feed: Line) -> None:
        """Who is suppressed now."""
        for each in feed.followers:
            self._emit(each, each.settle(self._named(feed, each)))

    def _named(self, feed: Line, each: Instance) -> Instance | None:
        """The other rule's instance with the same capture."""
        for other in feed.instances:
            if other.rule.name == each.rule.suppress_by and other.star == each.star:
                return other
        return None

    def _context(self, context: Context) -> None:
        """What runs from its time on, or from the watermark on where that has passed it."""
        for feed in self._feeds.values():
            from_ns = self._engine_ns if context.at_ns is None else context.at_ns
            reached_ns = feed.watermark.now_ns
            is_late = reached_ns is not None and reached_ns > from_ns
            from_ns = reached_ns if is_late else from_ns
            before = tuple(sample for sample, _ in feed.waiting.get(from_ns, ()))
            feed.contexts.setdefault(from_ns, []).append(Told(context, is_late, before))

    def _operate(self, operation: Operate) -> None:
        if operation.at_ns is not None:
            self._clock_ns = max(self._clock_ns, operation.at_ns)
            self._engine_ns = max(self._engine_ns, operation.at_ns)
        feed = self._tags[operation.tag]
        for each in feed.instances:
            if (each.rule.name, each.tag) == (operation.rule, operation.tag):
                assert isinstance(each.logic, AlarmRule)
                self._emit(each, each.logic.operate(operation, self._engine_ns))
        self._settle(feed)

    # ---- time -----------------------------------------------------------------------------------

    def _tick(self, now_ns: int) -> None:
        """Engine time passed; journaled, and seen by anybody, only where something is due."""
        self._clock_ns = now_ns = max(self._clock_ns, now_ns)
        if not any(self._is_due(feed, now_ns) for feed in self._feeds.values()):
            return
        self._engine_ns = now_ns
        for feed in self._feeds.values():
            self._tick_alarms(feed)
            feed.watermark.tick(self._engine_ns)
            self._pass_time(feed)

    def _tick_alarms(self, feed: Line) -> None:
        """Alarms take turns, the one whose deadline is the first by engine time."""
        alarms = feed.alarms
        while ends := [
            (due_ns, number)
            for number, (each, logic) in enumerate(alarms)
            for due_ns in (logic.next_tick_ns(), each.chatter.silent_ns())
            if due_ns is not None and due_ns <= self._engine_ns
        ]:
            due_ns, number = min(ends)
            each, logic = alarms[number]
            is_shelved = logic.is_shelved_until(due_ns)
            self._emit(each, logic.tick(due_ns))
            if not is_shelved:
                self._emit(each, each.chatter.tick(due_ns))
            self._settle(feed)

    def _take_due(self, feed: Line, event_ns: int) -> None:
        """Delays of event order end once the watermark is there, before what happens then."""
        alarms = feed.ordered
        while ends := [
            (due_ns, number)
            for number, (_, logic) in enumerate(alarms)
            if (due_ns := logic.next_due_ns()) is not None and due_ns <= event_ns
        ]:
            due_ns, number = min(ends)
            each, logic = alarms[number]
            self._emit(each, logic.take_due(due_ns, None))
            self._settle(feed)

    @staticmethod
    def _is_due(feed: Line, engine_ns: int) -> bool:
        if feed.waiting or feed.contexts or feed.watermark.is_idle_due(engine_ns):
            return True
        alarms = {id(each) for each, _ in feed.alarms}
        reached_ns = feed.watermark.reached_by(engine_ns)
        for _, logic in feed.ordered:
            due_ns = logic.next_due_ns()
            if due_ns is not None and reached_ns is not None and due_ns <= reached_ns:
                return True
        ends = (
            due_ns
            for each, logic in feed.alarms
            for due_ns in (logic.next_tick_ns(), each.chatter.silent_ns())
            if due_ns is not None
        )
        return any(due_ns <= engine_ns for due_ns in ends) or any(
            each.is_open for each in feed.instances if id(each) not in alarms
        )

    def _pass_time(self, feed: Line) -> None:
        """Instants before the watermark are judged, oldest first; then what ends is closed."""
        now_ns = feed.watermark.now_ns
        if now_ns is None:
            return
        self._judge_waiting(feed, now_ns)
        self._take_due(feed, now_ns)
        for each, window in feed.panes:
            if each.left is not None:
                self._pass_left(each, each.left, now_ns)
            self._close_panes(each, window.pass_time(now_ns))
        for each, segment in feed.segments:
            self._emit(each, segment.pass_time(now_ns))

    def _judge_waiting(self, feed: Line, before_ns: int) -> None:
        """Instants before this."""
        for event_ns in sorted(t for t in {*feed.waiting, *feed.contexts} if t < before_ns):
            self._take_due(feed, event_ns)
            contexts = feed.contexts.pop(event_ns, [])
            self._instant(feed, event_ns, feed.waiting.pop(event_ns, []), contexts)

    def _pass_left(self, each: Instance, left: Instance, now_ns: int) -> None:
        """Windows of the rule as it was."""
        assert isinstance(left.logic, Window)
        self._close_panes(left, left.logic.pass_time(now_ns))
        if not left.logic.is_open:
            each.left = None

    def _instant(
        self,
        feed: Line,
        event_ns: int,
        samples: list[tuple[Sample, int]],
        contexts: list[Told],
    ) -> None:
        for told in contexts:
            feed.ran.setdefault(told.context.asset, {}).update(told.context.values)
        tags = {sample.tag for sample, _ in samples}
        assets = {told.context.asset for told in contexts}
        concerned = [
            each
            for each in feed.instances
            if each.rule.is_event_order
            and (each.asset in assets or not tags.isdisjoint({*each.roles, each.suppress_tag}))
        ]
        said = {s.tag: s.value for s, _ in samples if s.tag in feed.states and not s.is_bad}
        feed.said_event |= {t: value for t, value in said.items() if feed.is_waited_for(t)}
        for each in concerned:
            if each.suppress_tag in said and isinstance(each.logic, AlarmRule):
                each.hear_machine(said[each.suppress_tag])
        self._settle(feed)
        for each in concerned:
            mine = [(sample, heard) for sample, heard in samples if sample.tag in each.roles]
            if isinstance(each.logic, TIMED):
                panes = each.window_instant(event_ns, [sample for sample, _ in mine], contexts)
                self._close_panes(each, panes)
            elif isinstance(each.logic, AlarmRule):
                self._alarm_instant(feed, each, event_ns, mine)
            elif isinstance(each.logic, (Counter, Total, State)):
                if isinstance(each.logic, Segments):
                    each.logic.is_told_late = each.is_told_late(contexts)
                judged = [s for s, _ in mine if each.roles[s.tag] == "tag"]
                holds = [s for s in judged if isinstance(each.logic, Total) or not s.is_bad]
                each.logic.is_uncertain = bool(holds) and holds[-1].is_uncertain
                values: dict[str, Value] = {
                    each.roles[sample.tag]: sample.value for sample, _ in mine if not sample.is_bad
                } | each.context(contexts)
                if judged and judged[-1].is_bad and isinstance(each.logic, Total):
                    values.pop("tag", None)  # of one instant the last in the journal holds
                    self._emit(each, each.logic.pass_time(event_ns))
                    each.logic.lose(event_ns)
                if values or (mine and isinstance(each.logic, Total)):
                    self._emit(each, each.logic.instant(event_ns, values))

    def _alarm_instant(
        self, feed: Line, each: Instance, event_ns: int, samples: list[tuple[Sample, int]]
    ) -> None:
        """The last one of an instant stands for it."""
        assert isinstance(each.logic, AlarmRule)
        if samples:
            sample, heard_ns = samples[-1]
            self._alarm_judge(feed, each, sample, event_ns, heard_ns)

    # ---- what goes out --------------------------------------------------------------------------

    def _close_panes(self, instance: Instance, panes: list[Pane]) -> None:
        for pane in panes:
            instance.name_window(pane)
            if instance.rule.is_event:
                made = Made("window.close", pane.start_ns, pane.start_ns, pane.end_ns, pane=pane)
                made.count, made.revision = len(pane.terms), pane.revision
                made.lot, made.order = pane.lot, pane.order
                made.flags = pane.flags
                self._emit(instance, [made])
            else:
                self.outcome.results.append(pane)

    def _emit(self, instance: Instance, events: list[Made]) -> None:
        for made in events:
            if instance.is_alarm and instance.chatter.counts(made):
                self._emit(instance, instance.chatter.over(made.at_ns))
                if not instance.chatter.passes(made, self._engine_ns):
                    continue
            self._tell(instance.rule, instance.tag, instance.asset, made)

    def _tell(self, rule: Rule, tag: str, asset: str, made: Made, *, is_told: bool = True) -> None:
        made.rule, made.series, made.tag, made.asset = rule.name, rule.series, tag, asset
        feed = self._feeds[rule.source] if rule.kind == "gap" else self._tags[tag]
        made.time_epoch = feed.time_epoch
        twin = (made.rule, made.series, made.tag, made.kind, made.at_ns, made.time_epoch)
        if made.kind.endswith((".trip", ".clear", ".realarm")):
            told = self._told.setdefault((rule.name, rule.kind, tag), ToldByTables())
            made.occurrence = told.count(made.kind, made.at_ns, made.time_epoch)
        elif not made.revision:
            if made.kind == "rule.restarted":
                made.occurrence = self._reloads[1]
            elif made.kind != "gap.lost":  # those count by themselves
                made.occurrence = self._twins[twin]
            self._twins[twin] += 1
        made.id = event_id(
            self._plant,
            *twin[:4],
            at_ns=made.at_ns,
            time_epoch=made.time_epoch,
            occurrence=made.occurrence,
            revision=made.revision,
        )
        if is_told:
            self.outcome.events.append(made)
