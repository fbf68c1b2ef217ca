"""``penstock doctor``: what on this box stands in the plant's way, one fix a line."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Final

from cyclopts import App

from penstock import cli
from penstock.cli.diagnose import diagnose
from penstock.config import load_config, parse_config

app = App(
    name="doctor",
    help="Say what on this box stands in the plant's way: one finding, one fix.",
    version_flags=[],
)

_MARKS: Final = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


@app.default
def doctor(config: Path | None = None, /, *, json: bool = False) -> int:
    """Say what on this box stands in the plant's way: one finding, one fix.

    Looks at the clock, limits, the state directory, tmpfs, ports, neighbours, what the targets can
    prove, disk wear and how long an ERP outage may last. Changes nothing; works while the plant
    runs.

    Exit codes: 0 nothing fails; 1 something does; 2 wrong usage; 78 the configuration is invalid.
    Example: penstock doctor plant.toml

    Parameters
    ----------
    config
        The plant's configuration; without one, the defaults.
    json
        One JSON object: ok, exit, findings.
    """
    plant = {"plant": {"name": "doctor"}}
    found = diagnose(load_config(config) if config is not None else parse_config(plant))
    code = cli.EXIT_FAILED if any(each.level == "fail" for each in found) else cli.EXIT_OK
    if json:
        findings = [asdict(each) for each in found]
        cli.emit({"ok": code == cli.EXIT_OK, "exit": code, "findings": findings})
        return code
    for each in found:
        fix = f"; {each.fix}" if each.fix else ""
        print(f"{_MARKS[each.level]}  {each.path}: {each.text}{fix}")
    return code
