"""--compare: a revision is built once, apart, and measured beside this tree; the verdicts are those
of the builds. The counts here are tiny and the planted slow-down large, so that a busy machine sees
it too; `dev.py bench-trial` holds 20 runs of a twin against 20 with 10 %, on a calm one.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BENCH = ROOT / "bench"
COLUMNS = "feed.random1k.vs_memory"  # needs nothing but a compiler

sys.path.append(str(BENCH))
import builds  # noqa: E402
import compare  # noqa: E402
import trial  # noqa: E402
from builds import BUILD  # noqa: E402
from measure import Sizes  # noqa: E402
from pairs import SAME, SLOWER  # noqa: E402

needs_git = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="a tree without git")
TINY = Sizes(messages=50_000, warm=10_000, slow=1000, rows=100_000, rounds=1, paced_s=0)


def one_run(side: trial.Side, seconds: float = 6.0) -> list[str]:
    """What trial.py does, by columns alone and in some seconds."""
    trial.one_run(BUILD, side, COLUMNS, seconds, TINY)
    return side.words[-1]


@pytest.mark.timeout(300)
def test_a_build_that_burns_as_much_again_is_slower() -> None:
    builds.build()
    slow = ROOT / "build" / "bench-slow"
    builds.build(slow, "-DBENCH_PLANT_SLOW=100")
    said = []
    for seconds in (6.0, 18.0, 54.0):  # on a busy machine the first pairs are too few to tell
        said = one_run(trial.Side("slow", slow), seconds)
        if said != [SAME]:
            break
    assert said == [SLOWER]


@pytest.mark.timeout(300)
def test_a_twin_is_no_different(tmp_path: Path) -> None:
    builds.build()
    twin = tmp_path / "twin"
    twin.symlink_to(BUILD)
    assert one_run(trial.Side("twin", twin)) == [SAME]


def test_the_trial_wants_nineteen_in_twenty() -> None:
    twin, slow = trial.Side("twin", BUILD), trial.Side("10 % slower", BUILD)
    twin.words = [[SAME, SAME]] * 19 + [[SAME, SLOWER]]
    slow.words = [[SAME, SLOWER]] * 19 + [[SAME, SAME]]
    text, passes = trial.summary(twin, slow)
    assert passes
    assert "1 false alarms in 20 runs" in text
    assert "caught in 19 of 20" in text
    slow.words[0] = ["faster", SLOWER]
    assert not trial.summary(twin, slow)[1]
    slow.words[0], twin.words[0] = [SLOWER], ["faster"]
    assert not trial.summary(twin, slow)[1]


@needs_git
def test_a_revision_is_built_once_and_leaves_no_work_tree(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    built: list[str] = []

    def build(source: Path, folder: Path, *defines: str) -> str:
        native = Path(defines[0].removeprefix("-DBENCH_NATIVE="))
        assert (native / "penstock.h").exists()  # the revision's own engine
        assert source == BENCH  # this tree's programs over it
        folder.mkdir(parents=True)
        built.append(str(native))
        return ""

    monkeypatch.setattr(compare, "configure_and_build", build)
    monkeypatch.setattr(compare, "AT", tmp_path)
    first = compare.build_revision("HEAD", lambda _: None)
    assert compare.build_revision("HEAD", lambda _: None) == first
    assert len(built) == 1
    assert not Path(built[0]).exists()
    assert built[0] not in compare.git("worktree", "list")


@needs_git
def test_what_is_neither_revision_nor_file_is_refused() -> None:
    command = [
        sys.executable,
        str(BENCH / "run.py"),
        "--compare",
        "no-such-thing",
        "--only",
        COLUMNS,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ)
    assert done.returncode == 2
    assert "no-such-thing" in done.stderr


def test_a_file_from_before_is_only_printed(tmp_path: Path) -> None:
    before = tmp_path / "before.jsonl"
    command = [sys.executable, str(BENCH / "run.py"), "--messages", "20000", "--only", COLUMNS,
               "--report", str(tmp_path / "report.html")]  # fmt: skip
    subprocess.run([*command, "--json", str(before)], check=True, capture_output=True)
    line = json.loads(before.read_text())
    before.write_text(json.dumps({**line, "value": line["value"] / 1000}) + "\n")
    done = subprocess.run(
        [*command, "--compare", str(before)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert "better by" in done.stdout
    assert "slower" not in done.stdout


@pytest.mark.deep
@pytest.mark.skipif(not os.environ.get("PENSTOCK_DEEP"), reason="twenty minutes of a calm machine")
@pytest.mark.timeout(2400)
def test_twenty_runs_of_a_twin_and_twenty_of_a_slowed_build() -> None:
    done = subprocess.run([sys.executable, str(BENCH / "trial.py")], check=False, text=True,
                          stdout=subprocess.PIPE)  # fmt: skip
    assert done.returncode == 0, done.stdout
