"""Engines that are closed when their test ends."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from border_kit import Open, make_config

from penstock import Engine


@pytest.fixture
def open_engine(tmp_path: Path, ring_dir: Path) -> Iterator[Open]:
    """Opens the small plant, by default on a manual clock in ``tmp_path / "state"``."""
    with contextlib.ExitStack() as stack:

        def make(name: str = "state", *, clock: str = "manual", **lines: Any) -> Engine:
            return stack.enter_context(
                Engine(make_config(tmp_path / name, ring_dir, **lines), clock=clock)
            )

        yield make
