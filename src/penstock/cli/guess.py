"""Guess: tags that were heard on a wire or read in a recording become a drafted configuration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Final

from penstock.cli.draft import Draft, Wire
from penstock.cli.listen import Heard

ROWS_MAX: Final = 20_000  # of a recording that are looked at
TAGS_SAID: Final = 200
TEXTS_MAX: Final = 16  # as many states as a rule takes
_NS: Final = 1_000_000_000


def guess(draft: Draft, tags: Sequence[Heard], *, is_tripping: bool) -> Draft:
    """The draft with the first rule that fits: of a state, a register that rises, a number.

    A limit lies beyond what was seen, or with ``is_tripping`` within it, so that something trips.
    """
    heard = tuple(f"heard {each.name} ({each.kind}), {_seen(each)}" for each in tags[:TAGS_SAID])
    draft = replace(draft, heard=heard)
    state = next((each for each in tags if each.texts), None)
    if state is not None:
        texts = tuple(each for each in state.texts if each)[:TEXTS_MAX]
        return replace(draft, rule="state", tag=_pattern(state, tags), states=texts)
    register = next((each for each in tags if each.is_rising), None)
    if register is not None:
        return replace(draft, rule="counter", tag=_pattern(register, tags))
    number = next((each for each in tags if each.high is not None), None)
    if number is None or number.high is None or number.low is None:
        return replace(draft, rule="window", tag="*")
    span = number.high - number.low
    high = number.high - span / 4 if is_tripping else number.high + max(1.0, span)
    return replace(draft, rule="limit", tag=_pattern(number, tags), high=float(f"{high:.6g}"))


def typed(tags: Sequence[Heard]) -> tuple[tuple[str, str], ...]:
    """What tags should be declared where the payload does not tell: a register is whole numbers."""
    return tuple(
        (each.name.replace("${", "$${"), "i64" if each.is_rising else each.kind) for each in tags
    )


def _seen(tag: Heard) -> str:
    texts = ", ".join(tag.texts[:8])
    span = f"{tag.low:g} to {tag.high:g}" if tag.low is not None else texts or repr(tag.example)
    return span if tag.rate_hz is None else f"{span}, {tag.rate_hz:g}/s"


def _pattern(tag: Heard, tags: Sequence[Heard]) -> str:
    """The tag's last word with a '*' before it, where several tags end like this; else its name."""
    last = tag.name.rpartition(".")[2]
    alike = [each for each in tags if each.name.endswith(f".{last}")]
    return f"*.{last}" if len(alike) > 1 else tag.name


# ---- a recording ---------------------------------------------------------------------------------


@dataclass(slots=True)
class _Column:
    """One tag of a recording, so far."""

    count: int = 0
    first_ns: int = 0
    last_ns: int = 0
    silence_ns: int = 0
    low: float = float("inf")
    high: float = float("-inf")
    last: float = float("-inf")
    is_whole: bool = True
    never_fell: bool = True
    text: str = ""
    texts: set[str] = field(default_factory=set)

    def add(self, time_ns: int, kind: str, text: str) -> None:
        """One sample, as JSON."""
        if self.count:
            self.silence_ns = max(self.silence_ns, time_ns - self.last_ns)
        else:
            self.first_ns = time_ns
        self.count, self.last_ns, self.text = self.count + 1, time_ns, text
        if kind == "code" and len(self.texts) < 4 * TEXTS_MAX:
            self.texts.add(text[1:-1])
        if kind == "f64":
            value = float(text)
            self.is_whole = self.is_whole and value == int(value)
            self.never_fell = self.never_fell and value >= self.last
            self.low, self.high = min(self.low, value), max(self.high, value)
            self.last = value


def read_recording(path: Path, zone: str) -> tuple[tuple[Heard, ...], str]:
    """What the first rows of a CSV file hold, and how it was read. InputError where it cannot."""
    from penstock.replay import Form, Table

    table = Table(path, Form(), zone, {})
    columns: dict[str, _Column] = {}
    for time_ns, cells in islice(table.rows(), ROWS_MAX):
        for tag, text, _ in cells:
            if text:
                columns.setdefault(tag, _Column()).add(time_ns, table.kind(tag), text)
    found = (_heard(name, table.kind(name), each) for name, each in sorted(columns.items()))
    return tuple(found), str(table.said)


def _heard(name: str, kind: str, column: _Column) -> Heard:
    span_ns = column.last_ns - column.first_ns
    is_number = kind == "f64"
    return Heard(
        name=name,
        kind=kind,
        samples=column.count,
        rate_hz=round((column.count - 1) * _NS / span_ns, 3) if span_ns > 0 else None,
        silence_s=column.silence_ns / _NS if span_ns else None,
        offset_s=None,
        example=column.text.strip('"'),
        low=column.low if is_number else None,
        high=column.high if is_number else None,
        is_rising=is_number and column.is_whole and column.never_fell and column.high > column.low,
        texts=tuple(sorted(column.texts)),
    )


def first_rows(path: Path, bytes_max: int) -> Iterator[bytes]:
    """Whole lines of a file, as many as fit."""
    with path.open("rb") as file:
        for line in file:
            bytes_max -= len(line)
            if bytes_max < 0:
                return
            yield line


def wire_of(tags: Sequence[Heard]) -> Wire:
    """A source that is fed what a recording holds."""
    return Wire(types=typed(tags))
