"""Fixtures for pytest: a clock, engines on it, a fake source, a target that fails on purpose, a
proxy that cuts answers. ``pytest_plugins = ["penstock.testing.plugin"]`` in a conftest.py.
"""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from penstock.config import parse_config
from penstock.engine import Engine
from penstock.testing.clock import Clock
from penstock.testing.fault_proxy import FaultProxy
from penstock.testing.source import FakeSource
from penstock.testing.target import MemoryTarget

OpenEngine = Callable[..., Engine]


@pytest.fixture
def penstock_clock() -> Clock:
    """A clock that moves when the test says so."""
    return Clock()


@pytest.fixture
def penstock_engine(tmp_path: Path, penstock_clock: Clock) -> Iterator[OpenEngine]:
    """Opens an engine on ``penstock_clock``: of TOML text, of a dictionary, or of a Path.

    State and ring lie in ``tmp_path``; ``state`` names one of several, so that the same state can
    be opened again. Engines are closed when the test ends.
    """
    with contextlib.ExitStack() as stack:

        def make(config: str | Path | Mapping[str, Any], *, state: str = "state") -> Engine:
            if isinstance(config, Path):
                config = config.read_text(encoding="utf-8")
            if isinstance(config, str):
                config = tomllib.loads(config, parse_float=Decimal)
            table = dict(config)
            table["engine"] = {
                **table.get("engine", {}),
                "state_dir": str(tmp_path / state),
                "ring_bytes": 1 << 20,
            }
            engine = Engine(parse_config(table), clock=penstock_clock)
            return stack.enter_context(engine)

        yield make


@pytest.fixture
def penstock_source(penstock_clock: Clock) -> Callable[[Engine, str], FakeSource]:
    """Makes the machine behind a source: ``penstock_source(engine, "press")``."""

    def make(engine: Engine, source: str) -> FakeSource:
        return FakeSource(engine, source, penstock_clock)

    return make


@pytest.fixture
def penstock_target() -> MemoryTarget:
    """A target whose ``plan`` says how it fails; ``books`` shows every document."""
    return MemoryTarget()


@pytest.fixture
def penstock_fault_proxy() -> Iterator[Callable[..., FaultProxy]]:
    """Opens proxies before an HTTP target: ``penstock_fault_proxy("http://127.0.0.1:8000")``."""
    with contextlib.ExitStack() as stack:
        yield lambda *words, **more: stack.enter_context(FaultProxy(*words, **more))
