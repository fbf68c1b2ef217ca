"""What a window costs a sample, in instructions, against one limit: counted by callgrind over the
whole path from the frame on. The table in docs/rules.md has a row for each.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import penstock

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "build" / "native" / "tool_engine_rules"
PAGE = Path(penstock.__file__).parent / "docs" / "rules.md"
MESSAGES = 600
# Most a kind may cost against a limit. What waits for the watermark is above the three times that
# were aimed at; it must not become more.
AS_THEY_COME = 3.0
IN_ORDER = 8.0
KINDS = {
    "tumbling": (AS_THEY_COME, "tumbling, plain figures"),
    "tumbling.extremes": (AS_THEY_COME, "tumbling, `min_at`"),
    "tumbling.variance": (AS_THEY_COME, "tumbling, `variance`"),
    "tumbling.shares": (AS_THEY_COME, "tumbling, `rate`"),
    "tumbling.corrected": (AS_THEY_COME, "tumbling, `correct_within_s`"),
    "hopping": (AS_THEY_COME, "hopping"),
    "count": (IN_ORDER, "count"),
    "session": (IN_ORDER, "session"),
    "tumbling.cut": (IN_ORDER, "tumbling, `cut_on`"),
    "tumbling.weighted": (IN_ORDER, "tumbling, `tw_mean`"),
    "tumbling.share": (IN_ORDER, "tumbling, `share`"),
}

pytestmark = [
    pytest.mark.skipif(not shutil.which("valgrind"), reason="apt-get install -y valgrind"),
    pytest.mark.skipif(not PROGRAM.exists(), reason=f"no {PROGRAM}; dev.py test builds it"),
]


def instructions(rule: str, folder: Path, ring: Path) -> float:
    """A sample's, with one rule."""
    state = folder / rule
    state.mkdir()
    out = folder / f"{rule}.out"
    command = [
        "valgrind", "--tool=callgrind", f"--log-file={out}.log", f"--callgrind-out-file={out}",
        "--toggle-collect=pstk_engine_feed_frame", PROGRAM, state, ring, rule, MESSAGES,
    ]  # fmt: skip
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    used = re.fullmatch(r"used (\d+) results (\d+)\n", done.stdout)
    assert used is not None, done.stdout
    assert int(used[1]) == 64 * MESSAGES
    assert (int(used[2]) > 0) == (rule != "limit"), "windows close meanwhile"
    total = re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.MULTILINE)
    assert total is not None
    return int(total[1]) / int(used[1])


@pytest.fixture(scope="module")
def limit(tmp_path_factory: pytest.TempPathFactory) -> float:
    """What one limit costs."""
    folder = tmp_path_factory.mktemp("limit")
    ring = Path("/dev/shm") / f"penstock-rules-{os.getpid()}-limit"
    ring.mkdir(exist_ok=True)
    try:
        return instructions("limit", folder, ring)
    finally:
        shutil.rmtree(ring, ignore_errors=True)


@pytest.mark.parametrize("rule", KINDS)
def test_a_window_costs_no_more_than_is_said(rule: str, limit: float, tmp_path: Path) -> None:
    most, row = KINDS[rule]
    ring = Path("/dev/shm") / f"penstock-rules-{os.getpid()}-{tmp_path.name}"
    ring.mkdir(exist_ok=True)
    try:
        value = instructions(rule, tmp_path, ring)
    finally:
        shutil.rmtree(ring, ignore_errors=True)
    print(f"{rule}: {value:.0f} instructions a sample, {value / limit:.1f} times a limit")
    assert value / limit <= most
    assert f"| window, {row}" in PAGE.read_text(encoding="utf-8")
