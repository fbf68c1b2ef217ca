"""Oracle: what rules and windows mean, said a second time, slowly, in plain Python.

A recording (records in journal order) comes in; the events and window results that an engine must
make go out. Nothing of the engine is used: sums are exact fractions, state lies in lists and
dictionaries, and every rule reads like the page of the design it follows.
"""

from oracle.feed import Context, Operate, Receive, Record, Reload, Restart, Sample, Tick
from oracle.figures import Figure, figures, times
from oracle.identity import event_id
from oracle.judge import Judge
from oracle.made import Made, Outcome, Pane
from oracle.plan import Rule, Source, plan

__all__ = [
    "Context",
    "Figure",
    "Judge",
    "Made",
    "Operate",
    "Outcome",
    "Pane",
    "Receive",
    "Record",
    "Reload",
    "Restart",
    "Rule",
    "Sample",
    "Source",
    "Tick",
    "event_id",
    "figures",
    "plan",
    "times",
]
