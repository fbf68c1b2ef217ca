"""What a stranger meets: every public name has a docstring, every public class a repr that reads
like a sentence, a typed consumer passes mypy --strict, and the border's stubs are true.
"""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import penstock
from penstock import testing
from penstock.testing.builders import make_event

ROOT = Path(__file__).parents[2]
MODULES = (
    *("penstock", "penstock.emit", "penstock.plot", "penstock.testing", "penstock.testing.plugin"),
    *("penstock.testing.clock", "penstock.testing.source", "penstock.testing.target"),
    *("penstock.testing.fault_proxy", "penstock.config", "penstock.run", "penstock.engine"),
    *("penstock.columns", "penstock.stats", "penstock.events", "penstock.errors"),
)


def public(module: str) -> list[tuple[str, Any]]:
    """What a module defines and does not hide, with the members of its classes."""
    loaded = importlib.import_module(module)
    named = getattr(loaded, "__all__", None) or [
        name
        for name, value in vars(loaded).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module
    ]
    found: list[tuple[str, Any]] = [(module, loaded)]
    for name in named:
        value = getattr(loaded, name)
        if inspect.isclass(value) or inspect.isfunction(value):
            found.append((f"{module}.{name}", value))
        if inspect.isclass(value):
            found += [
                (f"{module}.{name}.{member}", each)
                for member, each in vars(value).items()
                if not member.startswith("_")
                and (inspect.isfunction(each) or isinstance(each, property | classmethod))
            ]
    return found


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_has_a_docstring(module: str) -> None:
    found = public(module)
    assert found
    assert [name for name, value in found if not inspect.getdoc(value)] == []


def test_a_missing_docstring_would_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(penstock.Engine.tick, "__doc__", None)
    assert [n for n, v in public("penstock") if not inspect.getdoc(v)] == ["penstock.Engine.tick"]


def test_every_public_class_has_a_repr_of_its_own() -> None:
    for name in penstock.__all__:
        found = getattr(penstock, name)
        if inspect.isclass(found) and not issubclass(found, BaseException):
            made = vars(found).get("__repr__")
            assert made, name
            # A dataclass's own repr has no place in a file of ours.
            assert made.__code__.co_filename.startswith(str(Path(penstock.__file__).parent)), name


def test_reprs_read_like_a_sentence() -> None:
    event, evidence = make_event(), penstock.Evidence("m1.temp", (1, 2), (1.0, 2.0), (0, 0), 1)
    assert repr(event) == (
        "<Event counter.segment of M1.good at 2026-11-18T11:06:50.000Z: 12 C62 "
        "by rule good, lot L1>"
    )
    assert repr(event.context) == "<Context: order O1, material FG-1, lot L1>"
    assert repr(evidence) == "<Evidence: 2 samples of m1.temp, 1 before the event>"
    assert repr(penstock.Context()) == "<Context: nothing is known>"
    assert " at 2262-04-11T23:47:16.854Z:" in repr(replace(event, at_ns=2**63 - 1))
    assert " at 1677-09-21T00:12:43.145Z:" in repr(replace(event, at_ns=-(2**63)))
    assert repr(testing.Clock(5)) == "<Clock at 5 ns, moving 0 engines>"


def test_a_typed_consumer_is_clean_under_strict_mypy(tmp_path: Path) -> None:
    consumer = ROOT / "tests" / "typing" / "consumer.py"
    done = mypy(consumer, tmp_path)
    assert done.returncode == 0, done.stdout
    planted = tmp_path / "planted.py"
    planted.write_text(consumer.read_text().replace("event.at_ns + 1", 'event.at_ns + ""'))
    again = mypy(planted, tmp_path)
    assert 'Unsupported operand types for + ("int" and "str")' in again.stdout  # types do tell


def mypy(file: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    words = ["--strict", "--config-file", "/dev/null", "--cache-dir", str(cache / "mypy")]
    return subprocess.run(
        [sys.executable, "-m", "mypy", *words, str(file)],
        cwd=cache,
        env={"MYPYPATH": str(ROOT / "src"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_stubs_of_the_border_are_true(tmp_path: Path) -> None:
    words = ["-m", "mypy.stubtest", "penstock._core", "penstock._columns", "--allowlist"]
    allowed = tmp_path / "allowed"
    allowed.write_text(
        "penstock\\._columns\\.Column\\.__buffer__\n"
        "penstock\\._(core|columns)\\..*(__test__|__pyx_capi__|__reduce.*__|__setstate.*__)\n"
    )
    done = subprocess.run(
        [sys.executable, *words, str(allowed), "--ignore-unused-allowlist"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_lazy_parts_of_testing_are_what_all_names() -> None:
    for name in testing.__all__:
        assert getattr(testing, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Clok'"):
        testing.Clok  # noqa: B018
