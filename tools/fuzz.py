"""fuzz: every reader against bytes that nobody sent, under ASan and UBSan (libFuzzer).

    python3 tools/dev.py fuzz [-- --seconds 300] [--only GLOB]   two targets at a time
    python3 tools/dev.py fuzz -- --self-test                     plants a missing check each

A finding is kept in build/fuzz-findings/<target>/ and printed. Mended, it becomes a seed in
tests/fuzz/corpus, which every build replays (`ctest -R replay`). Exit 0: no finding (self-test: the
seeds alone see every plant, and the fuzzers find it without the seed made for it).
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build"
FINDINGS = BUILD / "fuzz-findings"
SEEDS = ROOT / "tests" / "fuzz" / "corpus"
PLANTED = "planted"  # the seed that shows a target's plant, where no other does
SELF_TEST_S = 60
AT_ONCE = 2
PLANTS = (
    "PSTK_PLANT_NATS",
    "PSTK_PLANT_ZMTP",
    "PSTK_PLANT_JSON",
    "PSTK_PLANT_SHAPE",
    "PSTK_PLANT_PACKED",
    "PSTK_PLANT_RING_IMAGE",
    "PSTK_PLANT_RING_RECOVER",
    "PSTK_PLANT_DISK",
    "PSTK_PLANT_CAPTURE",
)


@dataclass(frozen=True)
class Outcome:
    """What one target did."""

    target: str
    has_finding: bool
    executions: int
    edges: int
    seconds: float
    log: Path


def build(folder: Path, plants: tuple[str, ...]) -> list[str]:
    """Builds every target; returns their names."""
    configure = [
        "cmake",
        "-S",
        str(ROOT / "native"),
        "-B",
        str(folder),
        "-G",
        "Ninja",
        "-DPENSTOCK_FUZZ=ON",
        "-DPENSTOCK_TESTS=OFF",
        "-DCMAKE_C_COMPILER=clang",
        f"-DPENSTOCK_PLANT={';'.join(plants)}",
    ]
    for command in (configure, ["cmake", "--build", str(folder)]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
    return sorted(path.stem for path in (ROOT / "tests" / "fuzz").glob("fuzz_*.c"))


def do(words: list[str], log: Path, env: dict[str, str] | None = None) -> int:
    """Runs a target to its end; one that aborts leaves its folder on tmpfs, which goes here."""
    with log.open("wb") as file:
        process = subprocess.Popen(words, stdout=file, stderr=subprocess.STDOUT, env=env)
        code = process.wait()
    for left in Path("/dev/shm").glob(f"penstock-fuzz-*-{process.pid}"):
        shutil.rmtree(left, ignore_errors=True)
    return code


def do_seeds_see(folder: Path, target: str) -> bool:
    """The seeds of a target, without a fuzzer, against its plant."""
    words = [str(folder / target.replace("fuzz_", "replay_")), str(SEEDS / target)]
    is_seen = do(words, folder / f"{target}.seeds.txt") != 0
    if not is_seen:
        print(f"{target:<22} the plant passes its seeds: add one that shows it", flush=True)
    return is_seen


def run(folder: Path, target: str, seconds: int) -> Outcome:
    """One target for so long; new inputs go to a working corpus under build/."""
    work = BUILD / "fuzz-corpus" / folder.name / target
    found = FINDINGS / folder.name / target
    shutil.rmtree(found, ignore_errors=True)
    for path in (work, found):
        path.mkdir(parents=True, exist_ok=True)
    log = found / "log.txt"
    for seed in (SEEDS / target).iterdir():
        if seed.name != PLANTED:
            shutil.copy(seed, work / f"seed-{seed.name}")
    words = [
        folder / target,
        f"-max_total_time={seconds}",
        f"-artifact_prefix={found}/",
        "-timeout=10",
        "-print_final_stats=1",
        "-rss_limit_mb=2048",
        work,
    ]
    env = {**os.environ, "ASAN_OPTIONS": "abort_on_error=0", "UBSAN_OPTIONS": "print_stacktrace=1"}
    begin = time.monotonic()
    code = do([str(word) for word in words], log, env)
    text = log.read_text(errors="replace")
    executions = re.findall(r"stat::number_of_executed_units:\s*(\d+)|^#(\d+)", text, re.M)
    edges = re.findall(r"cov: (\d+)", text)
    count = max((int(a or b) for a, b in executions), default=0)
    return Outcome(
        target,
        code != 0,
        count,
        int(edges[-1]) if edges else 0,
        time.monotonic() - begin,
        log,
    )


def report(outcome: Outcome, *, wanted: bool) -> bool:
    """Prints one line; True when the outcome is the wanted one."""
    word = "finding" if outcome.has_finding else "no finding"
    print(
        f"{outcome.target:<22} {outcome.executions:>12,} executions  {outcome.edges:>5,} edges  "
        f"{outcome.seconds:5.1f} s  {word}",
        flush=True,
    )
    if outcome.has_finding and not wanted:
        print(outcome.log.read_text(errors="replace")[-3000:])
    return outcome.has_finding == wanted


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="dev.py fuzz --", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=60, help="per target")
    parser.add_argument("--only", default="*", help="targets whose name matches")
    parser.add_argument(
        "--self-test", action="store_true", help="plant a bug per target and find it"
    )
    options = parser.parse_args()
    is_planted = options.self_test
    folder = BUILD / ("fuzz-planted" if is_planted else "fuzz")
    if is_planted:
        shutil.rmtree(BUILD / "fuzz-corpus" / folder.name, ignore_errors=True)
    targets = [
        t for t in build(folder, PLANTS if is_planted else ()) if fnmatch.fnmatch(t, options.only)
    ]
    if not targets:
        sys.exit(f"no target matches {options.only}")
    is_seen = [do_seeds_see(folder, target) for target in targets] if is_planted else []
    limit = SELF_TEST_S if is_planted else options.seconds
    with ThreadPoolExecutor(AT_ONCE) as pool:
        outcomes = pool.map(lambda target: run(folder, target, limit), targets)
        results = [report(outcome, wanted=is_planted) for outcome in outcomes]
    print(f"fuzz: {sum(results)} of {len(results)} targets as they must be")
    return 0 if all(results) and all(is_seen) else 1


if __name__ == "__main__":
    sys.exit(main())
