"""run: figures with their limits, from one run.

    python3 tools/dev.py bench [--only GLOB] [--quick] [--json FILE] [--write-readme]

Prints a table; with --json one line a figure. A figure whose work was not what the sender planned
has no value, and the run exits 1. What cannot run here is skipped by name.
"""

from __future__ import annotations

import argparse
import fnmatch
import importlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import table
from figure import Figure
from machine import ROOT, describe_box
from measure import BUILD, Bench, Sizes, Skip
from targets import in_order, judged

HERE = Path(__file__).resolve().parent


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def build() -> None:
    """Senders, baselines and receivers: Release, without crash points, in build/bench."""
    if not shutil.which("cmake"):
        raise SystemExit("run.py: cmake is missing; start it by: python3 tools/dev.py bench")
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    configure = ["cmake", "-S", str(ROOT / "bench"), "-B", str(BUILD), *generator]
    for command in (configure, ["cmake", "--build", str(BUILD)]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{done.stdout}{done.stderr}\nrun.py: {' '.join(command)} failed")


def modules() -> list[ModuleType]:
    """Every bench_*.py beside this file: NAMES, run(bench, name) and, where it has some, APART:
    names that a run takes only when asked by --only, because they last or bring peers of their own.
    """
    return [importlib.import_module(path.stem) for path in sorted(HERE.glob("bench_*.py"))]


def every_name() -> dict[str, tuple[ModuleType, bool]]:
    """Name → its module, and whether it is apart; in the order of the table."""
    found = {}
    for module in modules():
        apart = getattr(module, "APART", ())
        found |= {name: (module, name in apart) for name in (*module.NAMES, *apart)}
    return {name: found[name] for name in in_order(list(found))}


def chosen(pattern: str | None) -> list[tuple[ModuleType, str]]:
    """What matches; without a pattern everything that is not apart."""
    return [
        (module, name)
        for name, (module, is_apart) in every_name().items()
        if (fnmatch.fnmatch(name, pattern) if pattern else not is_apart)
    ]


def take(bench: Bench, pairs: Sequence[tuple[ModuleType, str]]) -> Iterator[Figure]:
    for module, name in pairs:
        say(name)
        take_one: Callable[[Bench, str], Figure] = module.run
        try:
            yield judged(take_one(bench, name))
        except Skip as missing:
            say(f"  skipped: {missing}")
            yield judged(bench.skipped(name, str(missing)))


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", metavar="GLOB", help="figures whose name matches")
    parser.add_argument("--quick", action="store_true", help="fewer messages and rounds")
    parser.add_argument("--messages", type=int, metavar="N",
                        help="one round of N: checks the work, figures say nothing")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="one JSON line a figure")
    parser.add_argument("--list", action="store_true", help="the figures' names")
    parser.add_argument("--write-readme", action="store_true",
                        help="puts this run's table into bench/README.md")  # fmt: skip
    options = parser.parse_args(given)
    if options.messages is not None and options.messages < 1000:
        parser.error("--messages: 1000 or more")
    if not chosen(options.only):
        parser.error(f"--only {options.only}: no figure matches; --list shows them")
    if options.write_readme and (options.quick or options.messages or options.only):
        parser.error("--write-readme wants the full run")
    return options


def main(given: Sequence[str] | None = None) -> int:
    options = arguments(given)
    pairs = chosen(options.only)
    if options.list:
        for name, (_, is_apart) in every_name().items():
            print(f"{name}{'  (apart: only by --only)' if is_apart else ''}")
        return 0
    begin = time.monotonic()
    build()
    sizes = Sizes.quick() if options.quick else Sizes()
    if options.messages:
        sizes = Sizes.exactly(options.messages)
    bench = Bench(sizes, describe_box(), say)
    figures = list(take(bench, pairs))
    print(table.plain(figures))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text("".join(figure.as_json() + "\n" for figure in figures))
    if options.write_readme:
        table.write_readme(figures)
    say(f"{len(figures)} figures in {time.monotonic() - begin:.0f} s")
    say(table.summary(figures))
    return 1 if any(each.value is None and not each.is_skipped for each in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
