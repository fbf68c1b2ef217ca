"""Totals, engine against oracle: examples that once differed."""

from __future__ import annotations

from random import Random

import oracle_recordings as rec
from oracle_drive import Way, differences
from oracle_lives import play_lives
from oracle_recordings import BASE, MS, Recording
from test_oracle import at, check, tick

from oracle import Judge, Reload, Restart

FLOW = {"name": "r", "kind": "total", "unit": "LTR", "per": "s", "tag": "*.flow"}
TYPES = {"m.p": "f64", "m.flow": "f64"}


def test_a_rule_that_comes_over_a_restart_does_not_know_what_flowed_meanwhile() -> None:
    """The flow of 5 ms waits for the watermark; the other rule judges it, ere the tag is heard."""
    config = rec.config_of([{**FLOW, "every_s": 0.01}])
    other = {**config, "rule": [{**FLOW, "name": "other", "every_s": 0.01}]}
    records = [at(0, flow=1.0), at(5, flow=2.0), Restart(), Reload(other)]
    records += [at(35, p=1.0), at(38, flow=1.0), at(60, p=1.0), at(61, p=1.0)]
    recording = Recording(config, tuple(records), TYPES)
    run = play_lives(recording, Way(), Random(0))
    assert not differences(Judge(config).run(records), run)
    told = [(event.start_ns - BASE) // MS for event in run.events]
    assert told == [30, 40, 50]
    assert ["incomplete" in event.flags for event in run.events] == [True, False, False]


def test_a_tick_behind_more_events_than_their_ring_holds_is_heard() -> None:
    """10 s of a flow in intervals of 1 ms, then a tick by which the stream is idle."""
    config = rec.config_of([{**FLOW, "every_s": 0.001}], idle_after_s=0.05)
    records = [at(0, flow=1.0), at(10_000, p=1.0), tick(10_300), at(10_100, 10_300, flow=5.0)]
    outcome, run = check(Recording(config, tuple(records), TYPES))
    assert len(run.events) > 4096
    assert outcome.late == 1
