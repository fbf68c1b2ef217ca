"""What every kind of test shares: the native build, the corpora, deep counts, and how a run is
divided where pytest-xdist runs it in several processes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDERS = (
    "flow",
    "sim",
    "border",
    "unit",
)  # what is long begins first, what is short fills the end
APART = ("test_oracle_families.py", "test_help.py")  # long, and without a fixture of the module

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


# ---- several processes ---------------------------------------------------------------------------


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """By folder; within it as collected."""
    items.sort(key=lambda item: FOLDERS.index(item.path.parent.name))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file is run by one process, so that what a module builds is built once."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            path = nodeid.split("::")[0]
            return nodeid if path.endswith(APART) else path

    config.option.loadscopereorder = False  # not by count: by folder
    return ByFile(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the examples against the oracle were; the reports come from every process."""
    reports = [r for word in ("passed", "failed") for r in terminalreporter.getreports(word)]
    told = [value for each in reports for name, value in each.user_properties if name == "oracle"]
    if not told:
        return
    terminalreporter.section("examples against the oracle")
    for line, _, _ in told:
        terminalreporter.write_line(line)
    count, seconds = sum(each[1] for each in told), sum(each[2] for each in told)
    terminalreporter.write_line(f"{count} examples, {seconds:.0f} s of two processes")
