"""Structures are filled by tables that tools/pxd.py reads off penstock.h: a wrong key, a text that
does not fit or a number too wide is refused with its place, and nothing half-open stays behind.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penstock import ConfigError, _core
from penstock.config import parse_config

PLANT = {
    "plant": {"name": "graz"},
    "source": [{"name": "a", "kind": "feed"}],
    "rule": [{"name": "hot", "kind": "limit", "tag": "t", "high": 8}],
}


@pytest.fixture
def native(tmp_path: Path) -> dict[str, Any]:
    folder = {"state_dir": str(tmp_path / "state"), "ring_dir": "/dev/shm", "ring_bytes": 1 << 20}
    return parse_config({**PLANT, "engine": folder}, variables={}).options_for_core()


def opened(native: dict[str, Any]) -> Any:
    return _core.Engine(native["options"], native["sources"], native["rules"])


def test_what_is_filled_is_what_the_engine_judges_by(native: dict[str, Any]) -> None:
    engine = opened(native)
    tag = engine.tag(0, "t", "f64")
    assert engine.feed(0, _words("I", tag), _words("d", 8.0)) == (1, 0)
    ((event, _),), _ = engine.poll()
    assert (event.plant, event.rule, event.kind, event.limit) == ("graz", "hot", "limit.H.trip", 8)
    engine.close()


def _words(code: str, value: float) -> memoryview:
    from array import array

    raw = memoryview(array(code, [value])).cast("B")
    return raw.cast("Q") if code == "d" else raw.cast("I")


@pytest.mark.parametrize(
    ("where", "key", "value", "said"),
    [
        ("rules", "planted", 1, "rule[0]: penstock.h has no field planted"),
        ("rules", "name", "x" * 64, "rule[0].name"),
        ("rules", "pattern", ["t"] * 6, "rule[0].pattern: more than 5"),
        ("rules", "pattern", ["t", "y" * 96], "rule[0].pattern[1]"),
        ("sources", "host", "a\0b", "source[0].host"),
        ("rules", "kind", 1 << 16, "rule[0].kind"),
        ("rules", "emit", -1, "rule[0].emit"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_place(
    native: dict[str, Any], where: str, key: str, value: Any, said: str
) -> None:
    native[where][0][key] = value
    with pytest.raises((ConfigError, ValueError)) as refused:
        opened(native)
    assert said in str(refused.value)


def test_a_field_nobody_names_is_zero(native: dict[str, Any]) -> None:
    del native["rules"][0]["level"][1]["deadband"]
    opened(native).close()


def test_flags_are_named_by_the_header() -> None:
    from penstock.config import vocabulary as words

    assert tuple(words.FLAGS) == _core.EVENT_FLAGS
