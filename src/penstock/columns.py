"""Columns: what ``feed`` takes and what results and events give, as buffers and by Arrow.

Nothing here copies a value: ``feed`` hands on the caller's memory, results are the batch's own. The
one copy there is makes a table of events. pyarrow, Polars and NumPy are met, never imported.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from typing import Any, get_type_hints

with suppress(ImportError):  # no native engine here: Engine says so, and nobody comes this far
    from penstock._columns import Columns, event_layout

TIMES = "ql"
WORDS = "dqQlL"


# ---- in ------------------------------------------------------------------------------------------


def opened(column: Any, formats: str, itemsize: int, what: str) -> list[memoryview]:
    """The chunks of a column in place: one of a buffer or an Arrow array, several of a stream."""
    try:
        chunks = [memoryview(column)]
    except (TypeError, ValueError):
        chunks = _foreign(column)
    for view in chunks:
        if not view.c_contiguous or view.itemsize != itemsize or view.format not in tuple(formats):
            raise ValueError(f"feed: {what}")
    return chunks


def _foreign(column: Any) -> list[memoryview]:
    """What is no buffer: Arrow, or NumPy's times, which are 64-bit integers in the same memory."""
    if hasattr(column, "__arrow_c_array__"):
        held = Columns.of_array(*column.__arrow_c_array__())
    elif hasattr(column, "__arrow_c_stream__"):
        held = Columns.of_stream(column.__arrow_c_stream__())
    elif str(getattr(column, "dtype", "")) == "datetime64[ns]":
        return [memoryview(column.view("int64"))]
    else:
        raise TypeError(
            f"feed: {type(column).__name__} is neither a buffer nor Arrow; "
            "give an ndarray, array, memoryview, Arrow array or Series"
        )
    return [view for _, view, _ in held.views()]


def words(values: Any) -> list[memoryview]:
    """Eight-byte values (f64 or i64) as chunks of what the caller holds."""
    what = "values must be a contiguous buffer of float64 or int64 (native byte order)"
    return opened(values, WORDS, 8, what)


def integers(column: Any, formats: str, itemsize: int, name: str) -> list[memoryview]:
    """Whole numbers of one width, as chunks of what the caller holds."""
    what = f"{name} must be a contiguous buffer of {itemsize}-byte integers"
    return opened(column, formats, itemsize, what)


def pieces(columns: Mapping[str, list[memoryview]]) -> Iterable[dict[str, memoryview]]:
    """Rows of all columns together, cut where any of them begins a new chunk."""
    count = len(columns["values"][0]) if columns["values"] else 0
    for chunks in columns.values():
        if len(chunks) != 1 or len(chunks[0]) != count:
            return _cut(columns)
    return [{name: chunks[0] for name, chunks in columns.items()}]


def _cut(columns: Mapping[str, list[memoryview]]) -> Iterator[dict[str, memoryview]]:
    sizes = {name: sum(map(len, chunks)) for name, chunks in columns.items()}
    if len(set(sizes.values())) > 1:
        said = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise ValueError(f"feed: tags, time_ns, values and quality differ in length ({said})")
    waiting = {name: [each for each in chunks if len(each)] for name, chunks in columns.items()}
    if not any(waiting.values()):
        yield {name: chunks[0] if chunks else memoryview(b"") for name, chunks in columns.items()}
    while any(waiting.values()):
        count = min(len(chunks[0]) for chunks in waiting.values())
        yield {name: chunks[0][:count] for name, chunks in waiting.items()}
        for chunks in waiting.values():
            chunks[:1] = [chunks[0][count:]] if len(chunks[0]) > count else []


# ---- out -----------------------------------------------------------------------------------------


TIME_NONE = -(2**63)  # in a column of times: there is none


class Results:
    """Closed windows in columns, which are the batch's own memory.

    ``pa.table(results)`` and ``pl.DataFrame(results)`` take them without copying a number; each of
    ``columns`` is a typed read-only memoryview, which NumPy reads in place. ``rule`` and ``tag``
    are places in ``rule_names`` and ``tag_names``. What a rule does not ask for, and what has no
    value, is NaN; of ``min_ns`` and ``max_ns`` -2^63. ``revision`` 1 is a correction. The memory
    outlives the engine. Results are not durable: unread ones are overwritten, counted in
    ``Stats.results_overwritten``.
    """

    __slots__ = ("_held", "columns", "rule_names", "tag_names")

    def __init__(self, batch: object) -> None:
        self._held = Columns(batch)
        views = self._held.views()
        self.columns: Mapping[str, memoryview] = {name: view for name, view, _ in views}
        texts = {name: names for name, _, names in views if names is not None}
        self.rule_names: tuple[str, ...] = texts["rule"]
        self.tag_names: tuple[str, ...] = texts["tag"]

    def __len__(self) -> int:
        return len(self._held)

    def __repr__(self) -> str:
        count = len(self)
        if not count:
            return "<Results: no window has closed>"
        return (
            f"<Results: {count:,} closed window{'s' if count > 1 else ''} of "
            f"{len(self.tag_names):,} tag{'s' if len(self.tag_names) > 1 else ''} "
            f"by {', '.join(self.rule_names[:3])}{' ...' if len(self.rule_names) > 3 else ''}>"
        )

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Arrow C stream interface: one record batch, no number copied."""
        return self._held.arrow_stream()

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        """Arrow C data interface: a struct array, no number copied."""
        return self._held.arrow_array()

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary a window, names in place of indices; for tests and small amounts."""
        rows: list[dict[str, Any]] = [
            {
                name: math.nan if value != value else value  # one NaN: equal rows are equal
                for name, value in zip(self.columns, row, strict=True)
            }
            for row in zip(*self.columns.values(), strict=True)
        ]
        for row in rows:
            row["rule"] = self.rule_names[row["rule"]]
            row["tag"] = self.tag_names[row["tag"]]
            for name in ("min_ns", "max_ns"):
                row[name] = None if row[name] == TIME_NONE else row[name]
        return rows


Made = tuple[str, str, int, bytes | None, Any, Any]


def table(rows: Sequence[Any], kind: type) -> Columns:
    """Dataclass instances as columns, by the fields of their class; copied once.

    Numbers that may be whole or not become two columns: float64, and int64 with ``_i64`` behind its
    name where the value is exact. Decimals are texts, sets are texts joined by commas, a dataclass
    within gives its own fields.
    """
    return Columns.make(list(_columns_of(rows, kind)), len(rows))


def _columns_of(rows: Sequence[Any], kind: type) -> Iterator[Made]:
    hints = get_type_hints(kind)
    for field in fields(kind):
        values = [getattr(row, field.name) for row in rows]
        # Annotations are texts in our modules; what is not known becomes JSON.
        declared = str(field.type).replace(" | None", "")
        if declared == "int | float":
            yield _numbers(field.name, "g", "d", values)
            whole = [value if isinstance(value, int) else None for value in values]
            yield _numbers(f"{field.name}_i64", "l", "q", whole)
        elif declared in ("int", "float"):
            is_whole = declared == "int"
            yield _numbers(field.name, "l" if is_whole else "g", "q" if is_whole else "d", values)
        elif is_dataclass(inner := hints[field.name]) and isinstance(inner, type):
            yield from _columns_of(values, inner)
        else:
            yield _texts(field.name, [_text(value) for value in values])


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, frozenset | set):
        return ",".join(sorted(value))
    if isinstance(value, Mapping):
        import json

        return json.dumps(dict(value), default=str)
    return str(value)


def _validity(values: Sequence[Any]) -> tuple[int, bytes | None]:
    nulls = sum(value is None for value in values)
    if not nulls:
        return 0, None
    bits = bytearray((len(values) + 7) // 8)
    for i, value in enumerate(values):
        if value is not None:
            bits[i // 8] |= 1 << i % 8
    return nulls, bytes(bits)


def _numbers(name: str, format: str, code: str, values: Sequence[Any]) -> Made:
    nulls, validity = _validity(values)
    return name, format, nulls, validity, array(code, [value or 0 for value in values]), None


def _texts(name: str, values: Sequence[str | None]) -> Made:
    nulls, validity = _validity(values)
    raw, offsets = bytearray(), array("i", [0])
    for value in values:
        raw += (value or "").encode()
        offsets.append(len(raw))
    return name, "u", nulls, validity, bytes(raw), offsets


def records(raw: bytes) -> Any:
    """The bytes of pstk_event as a NumPy structured array over the same memory."""
    import numpy

    layout: Any = event_layout()
    return numpy.frombuffer(raw, numpy.dtype(layout))
