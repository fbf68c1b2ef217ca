"""Table: a CSV file as people and historians write them becomes rows of samples.

What is not declared is detected, and what was detected is said. Two forms: wide (a time column and
a column for each tag) and long (time, tag, value and perhaps quality, number and stream). A cell
that cannot be used is counted by reason and the first of them are named; an empty one is no sample.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from json.encoder import encode_basestring
from pathlib import Path
from typing import IO, Final
from zoneinfo import ZoneInfo

from penstock.errors import InputError
from penstock.replay.moment import Clock, NoTime, is_time

DELIMITERS: Final = {";": "semicolon", ",": "comma", "\t": "tab", "|": "bar"}
NAMED_MAX: Final = 10  # cells named one by one
COLUMNS_MAX: Final = 65536
CELL_CHARS_MAX: Final = 1 << 20
_LOOK_BYTES: Final = 256 * 1024
_LOOK_ROWS: Final = 200
_LOOK_CELLS: Final = 20
_CHUNK: Final = 1 << 20
_BOMS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Column names that make a file long, lower case.
_TIMES: Final = ("time", "timestamp", "datetime", "date", "ts", "t", "zeit", "zeitstempel", "datum")
_TAGS: Final = ("tag", "tagname", "tag_name", "name", "variable", "signal", "item")
_VALUES: Final = ("value", "val", "v", "wert")
_QUALITIES: Final = ("quality", "q", "status", "qualität")
_NUMBERS: Final = ("number", "seq", "sequence", "nummer")
_STREAMS: Final = ("stream",)
_NUMBER_MAX: Final = 1 << 62
_STREAM_MAX: Final = (1 << 31) - 1
_QUALITY_WORDS: Final = {"good": 0, "ok": 0, "uncertain": 0x4000, "bad": 0x8000}

_JSON_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_NUMBER: Final = re.compile(r"([+-]?)(\d*)(?:\.(\d*))?([eE][+-]?\d+)?", re.ASCII)
_NOT_FINITE: Final = frozenset({"nan", "inf", "-inf", "+inf", "infinity", "-infinity"})
_BOOLEANS: Final = {"true": "true", "false": "false"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How a file is written; "" is detected. ``names`` renames columns to tags."""

    delimiter: str = ""
    decimal: str = ""
    encoding: str = ""
    timezone: str = ""
    shape: str = ""  # wide or long
    time_column: str = ""
    time_form: str = ""  # strptime; "" = ISO 8601, day.month.year, or epoch
    names: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """What was declared or detected, for the person: ``delimiter`` → ``semicolon (detected)``."""

    lines: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self.lines)


Cell = tuple[str, str, int]  # tag, JSON text of the value, quality


@dataclass(slots=True)
class Rejected:
    """Cells and rows that could not be used, by reason; the first ones by place."""

    counts: Counter[str] = field(default_factory=Counter)
    named: list[str] = field(default_factory=list)

    def add(self, reason: str, place: str, text: str) -> None:
        """Counts one, and names it while few were named."""
        self.counts[reason] += 1
        if len(self.named) < NAMED_MAX:
            shown = text if len(text) <= 40 else text[:39] + "…"
            self.named.append(f"{place}: {shown!r} {reason}")


class Table:
    """One CSV file, opened and understood. ``rows`` gives it once, in its order."""

    def __init__(self, path: Path, form: Form, zone: str, kinds: Mapping[str, str]) -> None:
        """``zone`` is the plant's, for local times; ``kinds`` the declared types of tags, by name
        or pattern. Raises InputError where the file cannot be understood.
        """
        self.path = path
        self.rejected = Rejected()
        self.count = 0  # rows read
        self.number: tuple[int, int] | None = None  # stream and number of the row given last
        self._kinds = kinds
        self._names = dict(form.names)
        self._tag_kinds: dict[str, str] = {}
        self._file: IO[bytes] | None = None
        try:
            self.size = path.stat().st_size
            look = _Look(path, form)
        except OSError as wrong:
            raise InputError(f"{path}: cannot be read: {wrong.strerror}") from wrong
        self._look = look
        zone = form.timezone or zone
        try:
            self._clock = Clock(ZoneInfo(zone), form.time_form)
        except (KeyError, ValueError, OSError):
            raise InputError(
                f"{zone!r} is no time zone of this machine; write an IANA name: Europe/Vienna"
            ) from None
        zone_said = f"{zone} ({'declared' if form.timezone else 'the plant'})"
        self.said = Said((*look.said, ("times without an offset in", zone_said)))

    @property
    def local_times(self) -> tuple[int, int]:
        """Times read that had no offset, and of these such as came twice in autumn."""
        return self._clock.locals, self._clock.twice

    def kind(self, tag: str) -> str:
        """Type of a tag that ``rows`` gave."""
        return self._tag_kinds[tag]

    def share(self) -> float:
        """How much of the file has been read, for progress."""
        return self._file.tell() / max(1, self.size) if self._file is not None else 0.0

    def rows(self) -> Iterator[tuple[int, list[Cell]]]:
        """Time and samples of each row, in the file's order; rows without a sample are left out."""
        look = self._look
        tags = [self._names.get(each, each) for each in look.columns]
        with self.path.open("rb") as raw:
            self._file = raw
            text = io.TextIOWrapper(raw, look.encoding, newline="")
            reader = csv.reader(_lines(text, self.path, look.encoding), delimiter=look.delimiter)
            next(reader, None)
            make = self._long if look.shape == "long" else self._wide
            try:
                for cells in reader:
                    self.count += 1
                    if not any(cells):
                        continue
                    found = make(cells, tags, reader.line_num)
                    if found is not None and found[1]:
                        yield found
            except csv.Error as wrong:
                place = f"{self.path}: line {reader.line_num}"
                raise InputError(f"{place}: {wrong}; is the delimiter right?") from wrong
            self._file = None

    def _wide(
        self, cells: Sequence[str], tags: Sequence[str], line: int
    ) -> tuple[int, list[Cell]] | None:
        if len(cells) > len(tags):
            self.rejected.add("is beyond the header", f"line {line}", cells[len(tags)])
        time_ns = self._time(cells, line)
        if time_ns is None:
            return None
        at = self._look.time_at
        found: list[Cell] = []
        for column, cell in enumerate(cells[: len(tags)]):
            if column != at and cell and (text := cell.strip()):
                value = self._value(tags[column], text, line)
                if value:
                    found.append((tags[column], value, 0))
        return time_ns, found

    def _long(
        self, cells: Sequence[str], tags: Sequence[str], line: int
    ) -> tuple[int, list[Cell]] | None:
        look = self._look
        if len(cells) <= max(look.time_at, look.tag_at, look.value_at):
            self.rejected.add("has too few cells", f"line {line}", ",".join(cells))
            return None
        time_ns = self._time(cells, line)
        if time_ns is None or not (text := cells[look.value_at].strip()):
            return None
        tag = cells[look.tag_at].strip()
        tag = self._names.get(tag, tag)
        value = self._value(tag, text, line)
        quality = 0
        if 0 <= look.quality_at < len(cells):
            quality = self._quality(cells[look.quality_at].strip(), line)
        self.number = self._numbered(cells, line) if look.number_at >= 0 else None
        return (time_ns, [(tag, value, quality)]) if value else None

    def _time(self, cells: Sequence[str], line: int) -> int | None:
        text = cells[self._look.time_at] if self._look.time_at < len(cells) else ""
        try:
            return self._clock.read(text)
        except NoTime as wrong:
            self.rejected.add(str(wrong), f"line {line}", text)
            return None

    def _quality(self, text: str, line: int) -> int:
        if not text:
            return 0
        if (word := _QUALITY_WORDS.get(text.lower())) is not None:
            return word
        try:
            number = int(text, 0)
        except ValueError:
            number = -1
        if not 0 <= number < 1 << 32:
            self.rejected.add("is no quality, taken as bad", f"line {line}", text)
            return 0x8000
        return number if number < 1 << 16 else number >> 16

    def _numbered(self, cells: Sequence[str], line: int) -> tuple[int, int] | None:
        """Stream and number of a row; a cell that is none is counted, and the row bears none."""
        found = []
        for at, most in ((self._look.stream_at, _STREAM_MAX), (self._look.number_at, _NUMBER_MAX)):
            text = cells[at].strip() if 0 <= at < len(cells) else ""
            if not text and at == self._look.number_at:
                return None
            number = int(text or "0") if re.fullmatch(r"\d{0,20}", text, re.ASCII) else most + 1
            if number > most:
                self.rejected.add(f"is no whole number up to {most}", f"line {line}", text)
                return None
            found.append(number)
        return found[0], found[1]

    def _value(self, tag: str, text: str, line: int) -> str:
        """The cell as JSON; "" where it cannot be used, which is counted."""
        kind = self._tag_kinds.get(tag)
        number = _number(text, self._look.decimal)
        if kind is None:
            kind = self._tag_kinds[tag] = self._kind_of(tag, text, number)
        if kind == "code":
            return encode_basestring(text)
        if kind == "bool":
            value = _BOOLEANS.get(text.lower()) or {"0": "false", "1": "true"}.get(text, "")
            if not value:
                self.rejected.add("is neither true nor false", f"line {line}, {tag}", text)
            return value
        if not number:
            why = "is not finite" if text.lower() in _NOT_FINITE else "is no number"
            self.rejected.add(why, f"line {line}, {tag}", text)
        return number

    def _kind_of(self, tag: str, text: str, number: str) -> str:
        """Declared, else by the first cell."""
        declared = self._kinds.get(tag)
        for pattern, kind in () if declared else self._kinds.items():
            head, star, tail = pattern.partition("*")
            is_long = len(tag) >= len(head) + len(tail)
            if star and is_long and tag.startswith(head) and tag.endswith(tail):
                declared = kind
                break
        if declared:
            return declared
        if number or text.lower() in _NOT_FINITE:
            return "f64"
        return "bool" if text.lower() in _BOOLEANS else "code"


class _Look:
    """The beginning of a file, and what it says about the rest."""

    def __init__(self, path: Path, form: Form) -> None:
        self.form = form
        self.said: list[tuple[str, str]] = []
        self.path = path
        self.encoding = self._find_encoding()
        rows = self._first_rows()
        self.columns = [each.strip() for each in rows[0]]
        if len(self.columns) > COLUMNS_MAX:
            raise InputError(f"{path}: more than {COLUMNS_MAX} columns")
        self.tag_at = self.value_at = self.quality_at = self.number_at = self.stream_at = -1
        self.time_at = self._find_time(rows)
        self.shape = self._find_shape()
        self.decimal = self._find_decimal(rows[1:])

    def _say(self, name: str, value: str, *, is_declared: object) -> None:
        self.said.append((name, f"{value} ({'declared' if is_declared else 'detected'})"))

    def _find_encoding(self) -> str:
        declared = self.form.encoding
        if declared:
            try:
                found = codecs.lookup(declared).name
            except LookupError:
                raise InputError(f"{declared!r} is no encoding; write utf-8 or cp1252") from None
            self._say("encoding", found, is_declared=True)
            return "utf-8-sig" if found == "utf-8" else found
        with self.path.open("rb") as file:
            start = file.read(4)
        for mark, name in _BOMS:
            if start.startswith(mark):
                self._say("encoding", f"{name.removesuffix('-sig')} by its mark", is_declared=False)
                return name
        found = "utf-8" if _is_utf8(self.path) else "cp1252"
        why = "" if found == "utf-8" else ", for it is not UTF-8"
        self._say("encoding", found + why, is_declared=False)
        return found

    def _first_rows(self) -> list[list[str]]:
        with self.path.open("rb") as file:
            raw = file.read(_LOOK_BYTES)
            is_whole = not file.read(1)
        text = codecs.getincrementaldecoder(self.encoding)("replace").decode(raw)
        lines = list(io.StringIO(text, newline=""))
        lines = lines if is_whole else lines[:-1]
        lines = [each for each in lines[: _LOOK_ROWS + 1] if each.strip()]
        if not lines:
            raise InputError(f"{self.path}: holds no row; the first one names the columns")
        delimiter = self.form.delimiter
        if delimiter in ("\\t", "tab"):
            delimiter = "\t"
        if delimiter and (len(delimiter) != 1 or delimiter in '"\r\n'):
            raise InputError(f"{delimiter!r} is no delimiter; write one character, or tab")
        self.delimiter = delimiter or _best_delimiter(lines)
        if not self.delimiter:
            raise InputError(
                f"{self.path}: no delimiter splits the first rows into two columns or more; "
                "declare --delimiter"
            )
        shown = DELIMITERS.get(self.delimiter, repr(self.delimiter))
        self._say("delimiter", shown, is_declared=self.form.delimiter)
        return list(csv.reader(lines, delimiter=self.delimiter))

    def _find_time(self, rows: Sequence[Sequence[str]]) -> int:
        wanted = self.form.time_column
        if wanted:
            if wanted not in self.columns:
                raise InputError(
                    f"{self.path}: no column {wanted!r}; there are {_listed(self.columns)}"
                )
            at = self.columns.index(wanted)
        else:
            at = self._time_like(rows)
        self._say("time", repr(self.columns[at]), is_declared=wanted)
        return at

    def _time_like(self, rows: Sequence[Sequence[str]]) -> int:
        clock = Clock(ZoneInfo("UTC"), self.form.time_form)
        for at in sorted(
            range(len(self.columns)), key=lambda i: self.columns[i].lower() not in _TIMES
        ):
            cells = [row[at].strip() for row in rows[1:] if at < len(row) and row[at].strip()]
            good = sum(is_time(each, clock.read) for each in cells[:_LOOK_CELLS])
            if good * 2 > len(cells[:_LOOK_CELLS]):
                return at
        raise InputError(
            f"{self.path}: no column holds times that can be read; there are "
            f"{_listed(self.columns)}; declare --time-column, or --time-form as of strptime"
        )

    def _find_shape(self) -> str:
        lower = [each.lower() for each in self.columns]
        places = [
            next((lower.index(each) for each in words if each in lower), -1)
            for words in (_TAGS, _VALUES, _QUALITIES, _NUMBERS, _STREAMS)
        ]
        is_long = places[0] >= 0 and places[1] >= 0 and self.time_at not in places[:2]
        shape = self.form.shape or ("long" if is_long else "wide")
        if shape == "long":
            if not is_long:
                raise InputError(f"{self.path}: the long form wants columns time, tag and value")
            self.tag_at, self.value_at, self.quality_at, self.number_at, self.stream_at = places
        self._say("form", shape, is_declared=self.form.shape)
        return shape

    def _find_decimal(self, rows: Sequence[Sequence[str]]) -> str:
        declared = self.form.decimal
        if declared:
            if declared not in (".", ",") or declared == self.delimiter:
                raise InputError(
                    f"decimal mark {declared!r}: write . or , and another one than the delimiter"
                )
            self._say("decimal mark", declared, is_declared=True)
            return declared
        if self.delimiter == ",":
            return "."
        cells = [c for row in rows for i, c in enumerate(row) if i != self.time_at]
        commas = sum(bool(re.fullmatch(r"\s*[+-]?\d+,\d+\s*", each)) for each in cells)
        points = sum(bool(re.fullmatch(r"\s*[+-]?\d+\.\d+\s*", each)) for each in cells)
        if commas and points:
            raise InputError(
                f"{self.path}: numbers with a decimal comma ({commas}) and with a point "
                f"({points}); declare --decimal"
            )
        found = "," if commas else "."
        self._say("decimal mark", found, is_declared=False)
        return found


def _lines(text: io.TextIOWrapper, path: Path, encoding: str) -> Iterator[str]:
    """The lines of a file; InputError where it is not written in the encoding."""
    number = 0
    try:
        for number, line in enumerate(text, 1):
            if len(line) > CELL_CHARS_MAX:
                raise InputError(
                    f"{path}: line {number} is longer than {CELL_CHARS_MAX} characters"
                )
            yield line.replace("\0", "")
    except UnicodeError as wrong:
        raise InputError(
            f"{path}: is not {encoding} near line {number + 1} ({wrong}); declare --encoding"
        ) from wrong


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                decoder.decode(chunk)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _best_delimiter(lines: Sequence[str]) -> str:
    """The one that splits most rows as the header; of these the one with most columns."""
    best, best_rank = "", (0.0, 0)
    for each in DELIMITERS:
        counts = [len(row) for row in csv.reader(lines, delimiter=each)]
        if counts[0] < 2:
            continue
        same = sum(count == counts[0] for count in counts) / len(counts)
        if (same, counts[0]) > best_rank:
            best, best_rank = each, (same, counts[0])
    return best


def _number(text: str, decimal: str) -> str:
    """The text as a JSON number; "" where it is none."""
    if decimal == ",":
        if "." in text:
            return ""
        text = text.replace(",", ".")
    if _JSON_NUMBER.fullmatch(text):
        return text
    found = _NUMBER.fullmatch(text)
    if not found or not (found[2] or found[3]):
        return ""
    whole = found[2].lstrip("0") or "0"
    part = f".{found[3]}" if found[3] else ""
    return f"{'-' if found[1] == '-' else ''}{whole}{part}{found[4] or ''}"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(each) for each in names[:12])
    return shown + (f" and {len(names) - 12} more" if len(names) > 12 else "")
