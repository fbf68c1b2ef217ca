"""Fixtures that every kind of test shares: the native build, the corpora, deep counts."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def native_build() -> Path:
    """Folder of a test build of native/ (with crash points); made here when dev.py has not."""
    given = os.environ.get("PENSTOCK_NATIVE_BUILD")
    if given:
        return Path(given)
    folder = ROOT / "build" / "native"
    configure = [
        "cmake",
        "-S",
        str(ROOT / "native"),
        "-B",
        str(folder),
        "-G",
        "Ninja",
        "-DPENSTOCK_CRASH_POINTS=ON",
    ]
    subprocess.run(configure, check=True, capture_output=True)
    subprocess.run(["cmake", "--build", str(folder)], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def is_deep() -> bool:
    """True under `dev.py test --deep`: the counts an issue names; otherwise a tenth of them."""
    return bool(os.environ.get("PENSTOCK_DEEP"))


@pytest.fixture(scope="session")
def corpora() -> Path:
    """Folder of public test data that is never committed; tests with it skip where it is absent."""
    folder = Path(os.environ.get("PENSTOCK_CORPORA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no corpora at {folder}; set PENSTOCK_CORPORA")
    return folder


@pytest.fixture
def ring_dir(tmp_path: Path) -> Iterator[Path]:
    """A folder on tmpfs for the ring; removed afterwards."""
    folder = Path("/dev/shm") / f"penstock-test-{os.getpid()}-{tmp_path.name}"
    folder.mkdir(mode=0o700, exist_ok=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
