"""run: figures with their limits, from one run.

    python3 tools/dev.py bench [--only GLOB] [--quick] [--json FILE] [--write-readme]
    python3 tools/dev.py bench --compare REV|FILE [--only GLOB]

Prints a table; with --json one line a figure. A figure whose work was not what the sender planned
has no value, and the run exits 1. What cannot run here is skipped by name.

--compare REV builds that git revision beside this tree and runs both in turns: each figure is
"slower", "faster" or "no difference", and the run exits 1 if one is slower. --compare FILE takes
the figures and prints them beside an earlier --json; it judges nothing.
"""

from __future__ import annotations

import argparse
import fnmatch
import importlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import report
import table
from builds import BUILD, IS_INSTALLED, build
from figure import Figure
from machine import describe_box
from measure import Bench, Sizes, Skip
from targets import in_order, judged

HERE = Path(__file__).resolve().parent
REPORT = BUILD / "report.html" if IS_INSTALLED else HERE / "out" / "report.html"
BUDGET_S = {False: 20 * 60, True: 5 * 60}  # by --quick: the whole run, on two cores
GUESS_S = {False: 30.0, True: 7.0}  # a figure that was never timed here
Pairs = Sequence[tuple[ModuleType, str]]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# ---- which figures -----------------------------------------------------------------------------


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
    """What matches, globs separated by commas; without a pattern everything that is not apart."""
    globs = pattern.split(",") if pattern else []
    return [
        (module, name)
        for name, (module, is_apart) in every_name().items()
        if (any(fnmatch.fnmatch(name, each) for each in globs) if globs else not is_apart)
    ]


# ---- take --------------------------------------------------------------------------------------


class Progress:
    """How far a run is, on stderr; how long each figure takes is remembered beside the build."""

    def __init__(self, names: Sequence[str], is_quick: bool) -> None:
        self._names, self._is_quick = names, is_quick
        self._path = BUILD / f"took{'-quick' if is_quick else ''}.json"
        self._known: dict[str, float] = self._read()
        self._begin = time.monotonic()

    def _read(self) -> dict[str, float]:
        try:
            found = json.loads(self._path.read_text())
        except (OSError, ValueError):
            return {}
        return {str(name): float(took) for name, took in found.items()}

    def begin(self, at: int) -> None:
        spent = time.monotonic() - self._begin
        left = sum(self._known.get(name, GUESS_S[self._is_quick]) for name in self._names[at:])
        say(f"[{at + 1}/{len(self._names)}, {clock(spent)} gone, about {clock(left)} left]"
            f" {self._names[at]}")  # fmt: skip

    def end(self, name: str, took_s: float) -> None:
        self._known[name] = round(took_s, 1)

    def finish(self) -> None:
        spent = time.monotonic() - self._begin
        said = f"{len(self._names)} figures in {clock(spent)}"
        if spent > BUDGET_S[self._is_quick]:
            said += f", more than the {clock(BUDGET_S[self._is_quick])} that a run may take"
        say(said)
        if BUILD.is_dir():
            self._path.write_text(json.dumps(self._known, indent=1))


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def take(bench: Bench, pairs: Pairs, progress: Progress) -> Iterator[Figure]:
    for at, (module, name) in enumerate(pairs):
        progress.begin(at)
        begin = time.monotonic()
        take_one: Callable[[Bench, str], Figure] = module.run
        try:
            figure = take_one(bench, name)
        except Skip as missing:
            say(f"  skipped: {missing}")
            figure = bench.skipped(name, str(missing))
        except RuntimeError as broken:  # a program of this figure died: the others are still taken
            say(f"  PROBLEM: {broken}")
            figure = replace(bench.skipped(name, ""), note=f"not taken: {broken}")
        took_s = time.monotonic() - begin
        progress.end(name, took_s)
        yield judged(replace(figure, took_s=round(took_s, 1)))


# ---- command line ------------------------------------------------------------------------------


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", metavar="GLOB",
                        help="figures whose name matches; several globs by commas")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="fewer messages and rounds")
    parser.add_argument("--messages", type=int, metavar="N",
                        help="one round of N: checks the work, figures say nothing")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="one JSON line a figure")
    parser.add_argument("--compare", metavar="REV|FILE",
                        help="against a git revision, built here; or beside a file")  # fmt: skip
    parser.add_argument("--seconds", type=float, default=7.5, metavar="S",
                        help="of pairs a figure, with --compare REV")  # fmt: skip
    parser.add_argument("--list", action="store_true", help="the figures' names")
    parser.add_argument("--report", type=Path, metavar="FILE", default=REPORT,
                        help=f"the page with plots ({REPORT})")  # fmt: skip
    parser.add_argument("--write-readme", action="store_true",
                        help="puts this run into bench/README.md and README.md")  # fmt: skip
    options = parser.parse_args(given)
    if IS_INSTALLED and options.write_readme:
        parser.error("--write-readme wants the source tree")
    if options.compare and not Path(options.compare).is_file() and IS_INSTALLED:
        parser.error(f"--compare {options.compare}: no such file; and a revision is built from the"
                     " source tree, which an installed wheel has not")  # fmt: skip
    if options.messages is not None and options.messages < 1000:
        parser.error("--messages: 1000 or more")
    if not chosen(options.only):
        parser.error(f"--only {options.only}: no figure matches; --list shows them")
    if options.write_readme and (options.quick or options.messages or options.only):
        parser.error("--write-readme wants the full run")
    return options


def sizes_of(options: argparse.Namespace) -> Sizes:
    if options.messages:
        return Sizes.exactly(options.messages)
    return Sizes.quick() if options.quick else Sizes()


def write_json(path: Path | None, figures: Sequence[Figure]) -> None:
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(figure.as_json() + "\n" for figure in figures))


def compare_with_revision(options: argparse.Namespace, box: Mapping[str, object]) -> int:
    import compare  # not in a wheel

    bench = compare.bench_for(box)
    try:
        base = compare.build_revision(options.compare, say)
        found = compare.compare_builds(bench, chosen(options.only), base, say, options.seconds)
    except compare.Refused as refused:
        say(f"run.py: {refused}")
        return 2
    print(table.aligned([compare.HEAD, *(each.cells() for each in found)]))
    write_json(options.json, [each.figure(bench, options.compare) for each in found])
    return 1 if compare.is_slower(found) else 0


def main(given: Sequence[str] | None = None) -> int:
    options = arguments(given)
    if options.list:
        for name, (_, is_apart) in every_name().items():
            print(f"{name}{'  (apart: only by --only)' if is_apart else ''}")
        return 0
    build()
    box = describe_box()
    if options.compare and not Path(options.compare).is_file():
        return compare_with_revision(options, box)
    pairs = chosen(options.only)
    progress = Progress([name for _, name in pairs], options.quick)
    figures = list(take(Bench(sizes_of(options), box, say), pairs, progress))
    print(table.plain(figures))
    if options.compare:
        print("\n" + table.aligned(table.beside_file(figures, Path(options.compare))))
    write_json(options.json, figures)
    report.write(figures, options.report)
    say(f"plots: {options.report}")
    if options.write_readme:
        table.write_readme(figures)
    progress.finish()
    say(table.summary(figures))
    return 1 if any(each.value is None and not each.is_skipped for each in figures) else 0


if __name__ == "__main__":
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:  # `... --list | head`: the reader has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        status = 0
    sys.exit(status)
