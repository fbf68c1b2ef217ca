"""Lives: a recording is fed to one engine after another over the same state: closed and opened, or
killed by SIGKILL, at a drawn record; what all of them made together is compared.

A life that will be killed runs in a forked process. It tells what it took by a file, written before
the signal; what it made and nobody took must come again.
"""

from __future__ import annotations

import itertools
import os
import pickle
import signal
import traceback
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from oracle_drive import Life, Run, Way, folder_in_memory, placed
from oracle_recordings import Recording

from oracle import Operate, Receive, Record, Reload, Restart
from oracle.plan import plan
from penstock import Engine
from penstock.config import Config
from penstock.events import Event

_TAKEN = "taken.pickle"
REGISTERS = ("counter", "total", "state")
STAYS = {"names", "cut_on"}  # names are those of now; what an asset ran meanwhile is not said
SAID = ("start", "since", "since_unit", "names", "states", "lot", "order", "cut_on")


def play_lives(recording: Recording, way: Way, draw: Random) -> Run:
    """All records; each life but the last ends as the ``Restart`` record behind it says."""
    ends = [i for i, record in enumerate(recording.records) if isinstance(record, Restart)]
    bounds = [0, *(end + 1 for end in ends), len(recording.records)]
    whole, lives = Run(), list[list[dict[str, Any]]]()
    with folder_in_memory() as folder:
        for begin, finish in itertools.pairwise(bounds):
            last = recording.records[finish - 1] if finish > begin else None
            one = _OneLife(recording, way, draw, folder, begin, finish)
            is_killed = isinstance(last, Restart) and last.how == "kill"
            run = one.killed() if is_killed else one.closed(is_last=finish == bounds[-1])
            whole.events += run.events
            lives.append(run.results)
            whole.used, whole.dropped = whole.used + run.used, whole.dropped + run.dropped
            whole.stats, whole.alarms = run.stats, run.alarms
    return replace(whole, events=_once(whole.events), results=_once_each(lives))


def with_restarts(recording: Recording, draw: Random, how: str) -> Recording:
    """One or two ends of a process, somewhere."""
    records = list(recording.records)
    for _ in range(draw.choice((1, 1, 2))):
        records.insert(draw.randint(0, len(records)), Restart(how))
    return replace(recording, records=tuple(records))


def with_changes(recording: Recording, draw: Random, others: list[dict[str, Any]]) -> Recording:
    """Rules change while it runs, or are gone, and come back as they were, somewhere behind the
    first sample of each tag.
    """
    more = _changed(recording, draw, others)
    records = list(recording.records)
    first = _all_heard(records)
    places = sorted(draw.randint(first, len(records)) for _ in range(draw.choice((1, 2, 3))))
    for count, place in enumerate(places):
        records.insert(place + count, Reload(recording.config if count % 2 else more))
    return replace(recording, records=tuple(_possible(recording.config, records)))


def with_all(recording: Recording, draw: Random, others: list[dict[str, Any]]) -> Recording:
    """Rules change while it runs or while it is down, and processes end."""
    configs = (_changed(recording, draw, others), recording.config)
    records, made, changes = list(recording.records), list[Record](), 0
    first, how = _all_heard(records), draw.choice(("close", "kill"))
    share = 3 / len(records)
    for place, record in enumerate(records):
        made.append(record)
        turn = draw.random() / share
        if turn < 0.3:
            made.append(Restart(how))
        # behind a tick that nothing heard of, a life that was killed does not know the time
        if place + 1 >= first and isinstance(record, Receive) and (turn < 0.2 or 0.3 < turn < 0.7):
            made.append(Reload(configs[changes % 2]))
            changes += 1
    return replace(recording, records=tuple(_possible(recording.config, made)))


def _changed(recording: Recording, draw: Random, others: list[dict[str, Any]]) -> dict[str, Any]:
    rules = recording.config["rule"]
    as_it_is = {rule["name"]: rule for rule in rules}
    changed = {rule["name"]: _of_same_machine(rule, as_it_is) for rule in others}
    stays = [draw.random() < 0.9 or bool(STAYS & rule.keys()) for rule in rules]
    more = [
        changed.get(rule["name"], rule) for rule, here in zip(rules, stays, strict=True) if here
    ]
    more = more or [{**rules[0], "name": "another"}]
    names = {rule["name"] for rule in more}
    more = [
        {key: value for key, value in rule.items() if key != "suppress_by" or value in names}
        for rule in more
    ]
    return {**recording.config, "rule": more}


def _of_same_machine(rule: dict[str, Any], as_it_is: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What the machine itself says of its lots and states it says under any rule."""
    before = as_it_is.get(rule["name"])
    if before is None or rule["kind"] != before["kind"] or rule["kind"] not in REGISTERS:
        return rule
    kept = {key: value for key, value in rule.items() if key not in SAID}
    kept |= {key: before[key] for key in SAID if key in before}
    if "start" in kept:
        kept = {key: value for key, value in kept.items() if key != "negative"}
    if kept["kind"] != "state" and not {"lot", "order", "cut_on"} & kept.keys():
        kept.setdefault("every_s", 0.01)
    return kept


def _possible(config: Mapping[str, Any], records: list[Record]) -> Iterator[Record]:
    """Nobody acts on a rule that is not there."""
    for record in records:
        config = record.config if isinstance(record, Reload) else config
        if isinstance(record, Operate):
            judged = [r for r in plan(config)[2] if r.name == record.rule]
            if not judged or judged[0].match(record.tag) is None:
                continue
        yield record


def _all_heard(records: list[Record]) -> int:
    """Behind the first sample of each tag."""
    first: dict[str, int] = {}
    for place, record in enumerate(records):
        for sample in record.samples if isinstance(record, Receive) else ():
            first.setdefault(sample.tag, place + 1)
    return max(first.values())


def with_reloads(recording: Recording, draw: Random) -> Recording:
    """Another rule comes, and goes again, somewhere; the others must not notice."""
    bystander = {"name": "bystander", "kind": "limit", "tag": "*.nobody", "high": 1}
    more = {**recording.config, "rule": [*recording.config["rule"], bystander]}
    records = list(recording.records)
    places = sorted(draw.randint(0, len(records)) for _ in range(draw.choice((1, 2, 3))))
    for count, place in enumerate(places):
        config = recording.config if count % 2 else more
        records.insert(place + count, Reload(config))
    return replace(recording, records=tuple(records))


class _OneLife:
    """Records ``begin`` to ``finish`` of a recording."""

    def __init__(
        self, recording: Recording, way: Way, draw: Random, folder: Path, begin: int, finish: int
    ) -> None:
        self._recording, self._way, self._draw, self._folder = recording, way, draw, folder
        self._begin, self._finish = begin, finish

    def closed(self, *, is_last: bool) -> Run:
        """Ends in order."""
        run = Run()
        with Engine(self._config(), clock="manual") as engine:
            life = self._live(engine, run)
            if is_last or self._draw.random() < 0.5:  # else its events come again
                life.take()
            while len(results := engine.results()):
                run.results += results.rows()
            run.stats, run.alarms = engine.stats(), engine.alarms()
        return run

    def killed(self) -> Run:
        """Ends by SIGKILL, with what it made since nobody took it."""
        told = self._folder / _TAKEN
        child = os.fork()
        if child == 0:
            self._die(told)
        _, status = os.waitpid(child, 0)
        run = pickle.loads(told.read_bytes())
        assert isinstance(run, Run), run
        assert os.WIFSIGNALED(status)
        assert os.WTERMSIG(status) == signal.SIGKILL
        return run

    def _die(self, told: Path) -> None:
        try:
            run = Run()
            engine = Engine(self._config(), clock="manual")
            self._live(engine, run)
            told.write_bytes(pickle.dumps(run))
        except BaseException:  # noqa: BLE001 - the parent reads it
            told.write_bytes(pickle.dumps(traceback.format_exc()))
        os.kill(os.getpid(), signal.SIGKILL)

    def _config(self) -> Config:
        """In force at its beginning; another one may have come while nobody lived."""
        config = self._recording.config
        for record in self._recording.records[: self._begin + 1]:
            config = record.config if isinstance(record, Reload) else config
        return placed(config, self._folder)

    def _live(self, engine: Engine, run: Run) -> Life:
        life = Life(engine, self._recording, run, self._way)
        for record in self._recording.records[: self._begin]:
            life.skip(record)
        begin = self._begin
        if begin < self._finish and isinstance(self._recording.records[begin], Reload):
            begin += 1
        for record in self._recording.records[begin : self._finish]:
            life.feed(record)
            turn = self._draw.random()
            if turn < 0.7:
                life.take()
            if turn < 0.1:  # all results made until now are taken: an image holds none
                engine.checkpoint(to_disk=turn < 0.05)
        return life


def _once(events: list[Event]) -> list[Event]:
    """Only ids decide what is a repeat; a repeat says the same."""
    known: dict[str, Event] = {}
    for event in events:
        first = known.setdefault(event.id, event)
        assert first.digest == event.digest, f"told otherwise: {first} {event}"
    return list(known.values())


def _once_each(lives: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """A window told again after a kill is the same window; within a life none is told twice."""
    told: list[dict[str, Any]] = []
    for rows in lives:
        earlier = Counter(map(repr, told))
        for row in rows:
            if earlier[repr(row)]:
                earlier[repr(row)] -= 1
            else:
                told.append(row)
    return told
