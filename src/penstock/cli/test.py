"""``penstock test``: rule tests: recorded samples, a configuration, and what must come of them.

A case is a folder; see ``penstock docs cases``.
"""

from __future__ import annotations

from pathlib import Path

from cyclopts import App

from penstock import cli
from penstock.replay.case import Verdict, find_cases, run_case, update_case

app = App(
    name="test",
    help="Play rule tests: folders of a recording, a configuration and what is expected.",
    version_flags=[],
)


@app.default
def play(folder: Path, /, *, update: bool = False, json: bool = False) -> int:
    """Play rule tests: folders of a recording, a configuration and what is expected.

    Exit codes: 0 all as expected, or written with --update; 1 something differs, or a case cannot
    be read; 2 wrong usage, or no case is there; 78 a configuration is invalid. Example: penstock
    test tests/rules

    Parameters
    ----------
    folder
        A case, or a folder of cases: ``config.toml``, ``input.csv`` or ``capture.bin``,
        ``context.csv``, ``operator.csv``, ``events.jsonl``, ``results.jsonl``, ``commands.jsonl``.
    update
        Write what came out as what is expected; look at the changes before you commit them.
    json
        One JSON object: ok, exit, cases with their differences.
    """
    cases = find_cases(folder)
    if not cases:
        cli.say(f"penstock test: {folder}: no folder in it holds a config.toml")
        return cli.EXIT_USAGE
    verdicts = []
    changed: dict[str, list[str]] = {}
    for each in cases:
        verdict = run_case(each)
        verdicts.append(verdict)
        if update and not verdict.is_ok:
            changed[verdict.name] = update_case(each, verdict)
        if not json:
            _print(verdict, changed.get(verdict.name))
    failed = [each for each in verdicts if not each.is_ok]
    code = cli.EXIT_FAILED if failed and not update else cli.EXIT_OK
    if json:
        cli.emit(
            {
                "ok": code == cli.EXIT_OK,
                "exit": code,
                "cases": [_record(each, changed.get(each.name, [])) for each in verdicts],
            }
        )
    else:
        done = f", {len(changed)} written" if update else f", {len(failed)} not as expected"
        told = f"{len(verdicts)} case{'' if len(verdicts) == 1 else 's'}"
        print(f"{told}{done if changed or failed else ', all as expected'}")
    return code


def _print(verdict: Verdict, changed: list[str] | None) -> None:
    if changed is not None:
        print(f"written  {verdict.name}: {', '.join(changed)}")
        return
    print(f"{'ok' if verdict.is_ok else 'FAILED':8} {verdict.name}: {verdict.shows}")
    for difference in verdict.differences:
        print("  " + str(difference).replace("\n", "\n  "))
    for note in () if verdict.is_ok else verdict.notes:
        print(f"  input: {note}")


def _record(verdict: Verdict, changed: list[str]) -> dict[str, object]:
    return {
        "name": verdict.name,
        "shows": verdict.shows,
        "ok": verdict.is_ok,
        "written": changed,
        "differences": [
            {
                "file": each.file,
                "what": each.what,
                "line": dict(each.line),
                "members": [
                    {"name": name, "expected": old, "found": new} for name, old, new in each.members
                ],
            }
            for each in verdict.differences
        ],
        "notes": list(verdict.notes),
    }
