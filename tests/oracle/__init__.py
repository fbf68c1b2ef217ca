"""Oracle: what rules and windows mean, said a second time, slowly, in plain Python.

A recording (records in journal order) comes in; the events and window results that an engine must
make go out. Nothing of the engine is used: sums are exact fractions, state lies in lists and
dictionaries, and every rule reads like the page of the design it follows.
"""

from oracle.feed import Receive, Record, Sample, Tick
from oracle.identity import event_id
from oracle.judge import Judge, Outcome
from oracle.made import Made, Pane
from oracle.plan import Rule, Source, plan

__all__ = [
    "Judge",
    "Made",
    "Outcome",
    "Pane",
    "Receive",
    "Record",
    "Rule",
    "Sample",
    "Source",
    "Tick",
    "event_id",
    "plan",
]
