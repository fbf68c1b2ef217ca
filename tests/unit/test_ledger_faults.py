"""Ledger under failing system calls: what was reported as committed is there after reopening.

``strace`` makes the n-th call fail, in a process of its own, for n from 1 until a run meets no
fault any more.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.outbox import Ledger
from penstock.testing.builders import BASE_NS, make_event

SOURCE = Path(__file__).parents[2] / "src"
COMMITS = 4
CHILD = f"""
import sys
from pathlib import Path
from penstock.errors import PenstockError
from penstock.mapping import map_event
from penstock.outbox import Ledger, LedgerBlocked, Mapped
from penstock.testing.builders import BASE_NS, make_config, make_event
config = make_config()
batches = [[Mapped(event, map_event(event, config))] for event in map(make_event, range({COMMITS}))]
print("ready", flush=True)
try:
    with Ledger.open(Path(sys.argv[1]), now_ns=BASE_NS) as ledger:
        for batch in batches:
            try:
                ledger.commit_batch(batch, now_ns=BASE_NS)
            except LedgerBlocked:
                print("blocked", flush=True)
                ledger.commit_batch(batch, now_ns=BASE_NS)  # may be repeated, so it says
            print(batch[0].event.id, flush=True)
except PenstockError as wrong:
    print("refused", type(wrong).__name__, flush=True)
"""


def can_trace() -> bool:
    if shutil.which("strace") is None:
        return False
    tried = subprocess.run(["strace", "-qq", "true"], capture_output=True, check=False)
    return tried.returncode == 0


pytestmark = pytest.mark.skipif(not can_trace(), reason="strace is not installed or may not trace")


def sweep(folder: Path, calls: str, error: str, *, step: int, more: str = "") -> list[str]:
    """Runs the child with the n-th call failing; returns what each run said last."""
    said: list[str] = []
    for turn in range(1, 2000, step):
        path = folder / f"{turn}{more.strip('+')}" / "ledger.sqlite"
        path.parent.mkdir()
        trace = path.parent / "trace"
        inject = f"inject={calls}:error={error}:when={turn}{more}"
        command = ["strace", "-f", "-qq", "-o", str(trace), "-P", str(path)]
        for each in ("-wal", "-shm", "-journal"):
            command += ["-P", f"{path}{each}"]
        command += ["-P", str(path.parent), "-e", f"trace={calls}", "-e", inject]
        done = subprocess.run(
            [*command, sys.executable, "-c", CHILD, str(path)],
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
            capture_output=True,
            text=True,
            check=False,
        )
        lines = done.stdout.split("\n")[:-1]
        assert lines, done.stderr
        assert lines[0] == "ready", done.stderr
        check(path, lines, done.stderr)
        said.append(lines[-1])
        if "INJECTED" not in trace.read_text():
            return said
    raise AssertionError("the sweep did not come to its end")


def check(path: Path, lines: list[str], stderr: str) -> None:
    """All that was reported is there; what is there beyond is at most the one in progress."""
    reported = [line for line in lines if "-" in line]
    assert len(reported) == COMMITS or lines[-1].startswith("refused"), (lines, stderr)
    with Ledger.open(path, now_ns=BASE_NS) as ledger:
        kept = [
            event.id
            for event in map(make_event, range(COMMITS))
            if ledger.reader.find_events(event.id)
        ]
        assert kept[: len(reported)] == reported
        assert len(kept) <= len(reported) + 1
        assert ledger.reader.verify().problems == ()


@pytest.mark.parametrize("more", ["", "+"], ids=["once", "for ever"])
def test_a_failing_sync_is_never_reported_as_a_commit(tmp_path: Path, more: str) -> None:
    said = sweep(tmp_path, "fdatasync,fsync", "EIO", step=1, more=more)
    assert sum(each.startswith("refused") for each in said) >= 3


def test_a_full_disk_at_any_write_is_refused_or_repeated(tmp_path: Path) -> None:
    said = sweep(tmp_path, "pwrite64", "ENOSPC", step=23)
    assert len(said) > 3
