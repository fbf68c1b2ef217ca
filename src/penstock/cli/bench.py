"""``penstock bench``: the figures of this box, each beside its limit, from the installed wheel.

The bench is a program of its own that comes with the package; this starts it in its own process.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from cyclopts import App

from penstock import cli
from penstock.bench import find

app = App(
    name="bench",
    help="Measure this box: each figure beside its limit or its peer.",
    version_flags=[],
)


@app.default
def bench(
    *,
    only: str | None = None,
    quick: bool = False,
    json: Path | None = None,
    compare: str | None = None,
    list: bool = False,
) -> int:
    """Measure this box: each figure beside its limit or its peer, all from one run.

    What needs a library or a package that is not here is skipped by name.

    Exit codes: 0 done; 1 a figure could not be measured; 2 wrong usage, or the build came without
    the bench. Example: penstock bench --list

    Parameters
    ----------
    only
        Globs of figures, separated by commas.
    quick
        Fewer messages and rounds: minutes, not twenty.
    json
        A file for one JSON line a figure.
    compare
        An earlier ``--json``, printed beside this run. A git revision is compared from the source
        tree only, because it is built there: ``python3 tools/dev.py bench --compare REV``.
    list
        Only the figures' names.
    """
    program = find()
    if program is None:
        cli.say("penstock bench: this build came without it; install a released wheel, or run")
        cli.say("  python3 tools/dev.py bench        in the source tree")
        return cli.EXIT_USAGE
    words = [sys.executable, str(program)]
    words += ["--only", only] if only else []
    words += ["--quick"] if quick else []
    words += ["--json", str(json)] if json else []
    words += ["--compare", compare] if compare else []
    words += ["--list"] if list else []
    return subprocess.run(words, check=False).returncode
