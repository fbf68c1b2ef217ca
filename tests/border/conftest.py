"""Engines that are closed when their test ends; a stranger's clone of this repository."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from border_kit import Open, make_config
from page_kit import ROOT, Shell, lab_commands, outside_path

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


@pytest.fixture(scope="module")
def stranger() -> Iterator[Shell]:
    """A terminal in a fresh clone of what is committed, with a home of its own; all of it goes."""
    missing = [each for each in ("git", "cc", "make", "cmake") if shutil.which(each) is None]
    if missing or not (ROOT / ".git").exists():
        pytest.skip(f"needs a git repository and {missing or 'git'}; apt-get install them")
    with tempfile.TemporaryDirectory(prefix="psk-", ignore_cleanup_errors=True) as name:
        home = Path(name)
        clone = ["git", "clone", "-q", str(ROOT), str(home / "clone")]
        subprocess.run(clone, check=True)
        yield Shell(home / "clone", home, outside_path())


@pytest.fixture(scope="module")
def readme(stranger: Shell) -> str:
    """As it lies in the clone."""
    return (stranger.folder / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def docs(stranger: Shell) -> Path:
    """The pages as they lie in the clone."""
    return stranger.folder / "src" / "penstock" / "docs"


@pytest.fixture(scope="module")
def lab(stranger: Shell, readme: str) -> Shell:
    """README's environment with the library alone, its programs found by name, used elsewhere."""
    make, library, _ = lab_commands(readme)
    stranger.types(make)
    stranger.types(library)
    folder = stranger.home / "elsewhere"
    folder.mkdir()
    path = f"{stranger.folder / 'lab' / 'bin'}:{stranger.path}"
    return dataclasses.replace(stranger, folder=folder, path=path)
