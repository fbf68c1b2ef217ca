"""Recorded: what commands that read a recording have in common: CSV options, progress."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter

from penstock import cli
from penstock.errors import InputError
from penstock.replay import Form

PROGRESS_AFTER_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvOptions:
    """How a CSV file is written; what is left out is detected, and said.

    Parameters
    ----------
    delimiter
        One character, or ``tab``.
    decimal
        ``.`` or ``,``.
    encoding
        utf-8, cp1252, ...
    timezone
        IANA zone of times without an offset; left out, the plant's.
    shape
        ``wide`` (a column for each tag) or ``long`` (columns time, tag, value).
    time_column
        The column of the times.
    time_form
        Their form as of strptime, where it is none of the usual.
    name
        Renames a column to a tag: ``--name value=hall.temperature``; may be repeated.
    """

    delimiter: str = ""
    decimal: str = ""
    encoding: str = ""
    timezone: str = ""
    shape: str = ""
    time_column: str = ""
    time_form: str = ""
    name: Annotated[tuple[str, ...], Parameter(consume_multiple=False)] = ()

    def form(self) -> Form:
        """The same for a Table. InputError where a word is none of those allowed."""
        if self.shape not in ("", "wide", "long"):
            raise InputError(f"--shape {self.shape!r}: write wide or long")
        return Form(
            delimiter=self.delimiter,
            decimal=self.decimal,
            encoding=self.encoding,
            timezone=self.timezone,
            shape=self.shape,
            time_column=self.time_column,
            time_form=self.time_form,
            names=tuple(_pair(each) for each in self.name),
        )


AS_FOUND = CsvOptions()


def _pair(text: str) -> tuple[str, str]:
    column, equals, tag = text.partition("=")
    if not equals or not tag:
        raise InputError(f"--name {text!r}: write --name COLUMN=TAG")
    return column, tag


class Progress:
    """A line on stderr each second of long work."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._next = self._start + PROGRESS_AFTER_S

    def tell(self, share: float, text: str) -> None:
        """Says how far it is, when a second has passed."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + 1.0
        share = min(1.0, share)
        left = f", {(now - self._start) * (1 - share) / share:.0f} s left" if share else ""
        cli.say(f"{share:4.0%}  {text}{left}")
