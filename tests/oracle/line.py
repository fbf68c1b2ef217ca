"""Line: one source as the judge keeps it: watermark, what waits for it, what its tags said."""

from __future__ import annotations

from collections import Counter as Tally
from collections import defaultdict

from oracle.alarm import AlarmRule
from oracle.counter import Counter
from oracle.feed import Gap, Sample, Value
from oracle.instance import TIMED, Instance, Told
from oracle.plan import Source
from oracle.state import State
from oracle.timed import Counted, Session, TimedGrid
from oracle.total import Total
from oracle.watermark import Regress, Watermark
from oracle.window import Window


class Line:
    """One source: its watermark, and the samples that wait for it, by event time."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.watermark = Watermark(source)
        self.regress: dict[int, Regress] = defaultdict(Regress)
        self.time_epoch = 0
        self.waiting: dict[int, list[tuple[Sample, int]]] = {}
        self.contexts: dict[int, list[Told]] = {}  # by the event time from which they hold
        self.ran: dict[str, dict[str, Value]] = {}  # of those the newest, by asset
        self.instances: list[Instance] = []
        self.by_tag: dict[str, list[Instance]] = defaultdict(list)
        self.alarms: list[tuple[Instance, AlarmRule]] = []
        self.ordered: list[tuple[Instance, AlarmRule]] = []  # alarms of event order
        self.followers: list[Instance] = []  # alarms that may be suppressed
        self.panes: list[tuple[Instance, Window | TimedGrid | Session | Counted]] = []
        self.segments: list[tuple[Instance, Counter | Total | State]] = []
        self.newest_ns: dict[int, int] = {}  # event time, by stream
        self.newest_of: dict[str, int] = {}  # event time, by tag
        self.states: set[str] = set()  # tags that a rule has been suppressed by
        self.said: dict[str, Value] = {}  # by those, the newest good value in the journal
        self.said_event: dict[str, Value] = {}  # the same by instants
        self.lost_before: Tally[tuple[int, int]] = Tally()  # by stream and start
        self.lost: dict[int, tuple[int, int]] = {}  # by stream: from when, and how many
        self.down: dict[int, Gap] = {}  # by stream: until its next sample
        self.gaps: dict[int, list[Gap]] = defaultdict(list)
        self.gaps_of: dict[str, list[Gap]] = {}  # by tag: of the stream it came with last

    def hear(self, sample: Sample, event_ns: int) -> None:
        """What a tag says counts for rules that come later, too."""
        self.newest_of[sample.tag] = max(event_ns, self.newest_of.get(sample.tag, event_ns))
        if sample.tag in self.states and not sample.is_bad:
            self.said[sample.tag] = sample.value

    def forget(self) -> None:
        """States that nobody waits for any more."""
        for tag in [*self.said_event]:
            if not self.is_waited_for(tag):
                del self.said_event[tag]

    def is_waited_for(self, tag: str) -> bool:
        """A rule in force takes its samples in event order."""
        return any(each.rule.is_event_order for each in self.by_tag.get(tag, ()))

    def replace(self, instance: Instance, logic: Window) -> None:
        """It goes on from another one."""
        instance.logic = logic
        self.panes = [(i, logic if i is instance else known) for i, known in self.panes]

    def clear(self) -> None:
        """Other instances follow."""
        self.instances, self.by_tag, self.alarms, self.ordered = [], defaultdict(list), [], []
        self.panes, self.segments, self.followers = [], [], []

    def add(self, instance: Instance) -> None:
        """In the order of the configuration."""
        self.instances.append(instance)
        self.states |= {instance.suppress_tag} - {""}
        logic = instance.logic
        if isinstance(logic, AlarmRule):
            self.alarms.append((instance, logic))
            if instance.rule.is_event_order:
                self.ordered.append((instance, logic))
            if instance.suppress_tag or instance.rule.suppress_by:
                self.followers.append(instance)
        elif isinstance(logic, (Window, *TIMED)):
            self.panes.append((instance, logic))
        else:
            self.segments.append((instance, logic))
        for tag in {*instance.roles, instance.suppress_tag}:
            self.by_tag[tag].append(instance)
