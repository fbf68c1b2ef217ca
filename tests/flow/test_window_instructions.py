"""What a rule costs a sample, in instructions, against one limit: counted by callgrind over the
whole path from the frame on. The table in docs/rules.md has a row for each.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

import penstock

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "build" / "native" / "tool_engine_rules"
PAGE = Path(penstock.__file__).parent / "docs" / "rules.md"
MESSAGES = 600  # 38 samples a tag, some four windows
REGISTERS = 4688  # 300 samples a tag: one segment, as with every_s = 30
MOST = 3.0  # times one limit
KINDS = {
    "tumbling": (MESSAGES, "window, tumbling, plain figures"),
    "tumbling.extremes": (MESSAGES, "window, tumbling, `min_at`"),
    "tumbling.variance": (MESSAGES, "window, tumbling, `variance`"),
    "tumbling.shares": (MESSAGES, "window, tumbling, `rate`"),
    "tumbling.corrected": (MESSAGES, "window, tumbling, `correct_within_s`"),
    "hopping": (MESSAGES, "window, hopping"),
    "count": (MESSAGES, "window, count"),
    "session": (MESSAGES, "window, session"),
    "tumbling.cut": (MESSAGES, "window, tumbling, `cut_on`"),
    "tumbling.weighted": (MESSAGES, "window, tumbling, `tw_mean`"),
    "tumbling.share": (MESSAGES, "window, tumbling, `share`"),
    "limit.ordered": (MESSAGES, "limit, `order_by"),
    "state": (REGISTERS, "state"),
    "counter": (REGISTERS, "counter"),
    "total": (REGISTERS, "total"),
}

pytestmark = [
    pytest.mark.skipif(not shutil.which("valgrind"), reason="apt-get install -y valgrind"),
    pytest.mark.skipif(not PROGRAM.exists(), reason=f"no {PROGRAM}; dev.py test builds it"),
]


def instructions(rule: str, messages: int, folder: Path) -> float:
    """A sample's, with one rule."""
    state, out = folder / rule, folder / f"{rule}.out"
    state.mkdir()
    ring = Path(tempfile.mkdtemp(prefix="penstock-rules-", dir="/dev/shm"))
    command = [
        "valgrind", "--tool=callgrind", f"--log-file={out}.log", f"--callgrind-out-file={out}",
        "--toggle-collect=pstk_engine_feed_frame", PROGRAM, state, ring, rule, messages,
    ]  # fmt: skip
    words = [str(word) for word in command]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=True)
    finally:
        shutil.rmtree(ring, ignore_errors=True)
    told = re.fullmatch(r"used (\d+) results (\d+) events (\d+)\n", done.stdout)
    assert told is not None, done.stdout
    used, results, events = (int(number) for number in told.groups())
    assert used == 64 * messages
    is_window = KINDS.get(rule, (0, ""))[1].startswith("window")
    assert (results > 0) == is_window, "windows close meanwhile"
    assert (events > 0) == (rule in ("state", "counter", "total")), "segments and states end"
    total = re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.MULTILINE)
    assert total is not None
    return int(total[1]) / used


@pytest.fixture(scope="module")
def limits(tmp_path_factory: pytest.TempPathFactory) -> dict[int, float]:
    """What one limit costs in so many messages; the start counts for less in many."""
    folder = tmp_path_factory.mktemp("limit")
    found = {}
    for messages in (MESSAGES, REGISTERS):
        (folder / str(messages)).mkdir()
        found[messages] = instructions("limit", messages, folder / str(messages))
    return found


@pytest.mark.parametrize("rule", KINDS)
def test_a_rule_costs_no_more_than_is_said(
    rule: str, limits: dict[int, float], tmp_path: Path
) -> None:
    messages, row = KINDS[rule]
    value, limit = instructions(rule, messages, tmp_path), limits[messages]
    print(f"{rule}: {value:.0f} instructions a sample, {value / limit:.2f} times {limit:.0f}")
    assert value / limit <= MOST
    assert f"| {row}" in PAGE.read_text(encoding="utf-8")
