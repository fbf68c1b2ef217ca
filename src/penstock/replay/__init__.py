"""Replay: recorded samples go through an engine of their own, and what it makes becomes lines.

Nothing here posts, and nothing touches a plant's state: the engine has the manual clock and a
temporary state directory. The formats are on the page ``replay``.
"""

from penstock.replay.dry import Dry, Outcome, dry_config
from penstock.replay.lines import Commands, event_line, result_lines, to_text
from penstock.replay.table import Form, Said, Table

__all__ = [
    "Commands",
    "Dry",
    "Form",
    "Outcome",
    "Said",
    "Table",
    "dry_config",
    "event_line",
    "result_lines",
    "to_text",
]
