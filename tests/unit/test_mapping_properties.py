"""Mapping properties: exact, deterministic, and the same in every locale, time zone and hash
seed.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import units
from penstock.config import parse_config
from penstock.contracts import canonical_json
from penstock.events import Context, Event
from penstock.mapping import Command, Fault, Hold, map_event

TEXT = st.text(st.characters(blacklist_categories=("Cc", "Cs")), max_size=12)
FLAGS = st.frozensets(
    st.sampled_from(["partial", "incomplete", "bridged", "rollover", "unknown_lot", "micro"])
)
TIMES = st.integers(0, 4 * 10**18)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
DOUBLES = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def segments(draw: st.DrawFn) -> Event:
    start_ns = draw(TIMES)
    number = draw(INTEGERS | DOUBLES)
    return Event(
        id=draw(st.uuids(version=4).map(str)),
        digest="0" * 32, seq=draw(st.integers(0, 10)), pos=draw(st.integers(0, 10)),
        kind="counter.segment", plant="graz", rule="r", series="1",
        tag=draw(TEXT), asset=draw(TEXT),
        at_ns=start_ns, start_ns=start_ns, end_ns=start_ns + draw(st.integers(0, 10**15)),
        value=number, unit="KGM", quantity=Decimal(repr(number)),
        start_reading=draw(INTEGERS | DOUBLES), end_reading=draw(INTEGERS | DOUBLES),
        flags=draw(FLAGS), context=Context(order=draw(TEXT), lot=draw(TEXT), shift=draw(TEXT)),
        engine_time_ns=draw(TIMES),
    )  # fmt: skip


def config(**quantity: str) -> Any:
    mapping: dict[str, Any] = {
        "name": "m",
        "event": "counter.segment",
        "rule": "r",
        "contract": "production_confirmation/1",
        "target": "erp",
    }
    if quantity:
        mapping["fields"] = {"quantity": {"from": "quantity", **quantity}}
    return parse_config(
        {
            "plant": {"name": "graz", "timezone": "Europe/Vienna"},
            "rule": [{"name": "r", "kind": "counter", "tag": "*.g", "lot": "*.l", "unit": "KGM"}],
            "target": [{"name": "erp", "kind": "tryton"}],
            "mapping": [mapping],
        },
        variables={},
    )


PLAIN = config()


def document(found: Command | Fault | Hold) -> Command | None:
    if isinstance(found, Hold):
        return found.command
    return found if isinstance(found, Command) else None


@given(segments())
def test_same_event_same_bytes_whatever_run_saw_it(event: Event) -> None:
    """seq, pos and engine time differ between runs; nothing of them may reach a document or its
    identity.
    """
    from dataclasses import replace

    other = replace(
        event, seq=event.seq + 1, pos=event.pos + 64, engine_time_ns=event.engine_time_ns + 1
    )
    assert map_event(event, PLAIN) == map_event(other, config())


@given(segments())
def test_every_event_ends_as_command_hold_or_fault_and_no_float_is_in_it(event: Event) -> None:
    (found,) = map_event(event, PLAIN)
    written = document(found)
    if written is None:
        assert isinstance(found, Fault)
        assert found.field in ("business_object", "order")
        assert event.context.order == "" or len(event.context.order.encode()) > 128
        return
    assert written.body_json == canonical_json(written.body)
    assert json.loads(written.body_json) == written.body
    json.loads(written.body_json, parse_float=lambda text: pytest.fail(f"a float {text}"))
    assert isinstance(found, Hold) == bool(event.flags & {"partial", "incomplete", "unknown_lot"})


@given(segments())
def test_an_unrounded_quantity_is_the_very_number(event: Event) -> None:
    written = document(map_event(event, PLAIN)[0])
    if written is not None:
        quantity = written.body["quantity"]
        assert isinstance(quantity, dict)
        assert Decimal(quantity["value"]) == event.quantity
        reading = written.body["end_reading"]
        assert isinstance(reading, dict)
        kind = float if isinstance(event.end_reading, float) else int
        assert kind(reading["value"]) == event.end_reading


@given(segments(), st.sampled_from(["GRM", "TNE", "LBR"]), st.sampled_from(["1", "0.001", "0.25"]))
def test_a_converted_quantity_is_within_half_a_step_of_the_exact_one(
    event: Event, unit: str, step: str
) -> None:
    written = document(map_event(event, config(unit=unit, round=step))[0])
    if written is not None:
        quantity = written.body["quantity"]
        assert isinstance(quantity, dict)
        assert event.quantity is not None
        exact = units.convert(event.quantity, "KGM", unit)
        found = Fraction(quantity["value"])
        assert abs(found - exact) <= Fraction(step) / 2
        assert (found / Fraction(step)).denominator == 1


_PROGRAM = """
import hashlib, locale, sys
try:
    locale.setlocale(locale.LC_ALL, "")
except locale.Error:
    pass
sys.path[:0] = {path!r}
from decimal import Decimal, getcontext
getcontext().prec = 3
from test_mapping_properties import fixed_documents
print(hashlib.sha256(fixed_documents()).hexdigest())
"""


def fixed_documents() -> bytes:
    """Documents of a fixed set of events, joined; run in strange environments below."""
    parts = []
    for number in (0, 1, -7, 2**62, 0.1, 1e-7, 1234567.891, 1e22):
        event = Event(
            id="0190c8a0-0000-8000-8000-000000000001", digest="", seq=0, pos=0,
            kind="counter.segment", plant="graz", rule="r", series="1",
            tag="İstanbul.g", asset="ıi.ß", at_ns=1774742400_000000000,
            start_ns=1774742400_000000000, end_ns=1774746000_123456789, value=number, unit="KGM",
            quantity=Decimal(repr(number)), start_reading=number, end_reading=number,
            flags=frozenset({"rollover", "bridged", "baseline", "micro"}),
            context=Context(order="4711/ä", lot="I-ı", shift="früh"),
        )  # fmt: skip
        for settings in (PLAIN, config(unit="LBR", round="0.001")):
            (found,) = map_event(event, settings)
            assert isinstance(found, Command)
            parts += [found.command_id.encode(), found.key16.encode(), found.envelope()]
    return b"\n".join(parts)


@pytest.mark.parametrize(
    "environment",
    [
        {"LC_ALL": "de_DE.UTF-8", "LANG": "de_DE.UTF-8"},
        {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"TZ": "Pacific/Kiritimati", "PYTHONHASHSEED": "1"},
        {"TZ": "America/St_Johns", "PYTHONHASHSEED": "4242"},
    ],
    ids=lambda each: ",".join(f"{key}={value}" for key, value in each.items()),
)
def test_documents_do_not_depend_on_locale_time_zone_or_hash_seed(
    environment: dict[str, str],
) -> None:
    """In a process of its own, also with a decimal context of three digits. A locale that is not
    installed still sets the variables that careless code would read.
    """
    expected = hashlib.sha256(fixed_documents()).hexdigest()
    here = Path(__file__).parent
    paths = [str(here), str(here.parents[1] / "src")]
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("LC_", "LANG"))}
    answer = subprocess.run(
        [sys.executable, "-c", _PROGRAM.format(path=paths)],
        env={**clean, **environment},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert answer.stdout.strip() == expected
