"""``penstock version``: which build this is, and what it runs on."""

from __future__ import annotations

import platform
import sys
from importlib import metadata

from cyclopts import App

from penstock import cli

app = App(name="version", help="Print the version.", version_flags=[])


@app.default
def version(*, json: bool = False) -> int:
    """Print the version.

    Exit codes: 0 done; 2 wrong usage. Example: penstock version --json

    Parameters
    ----------
    json
        One JSON object: version, python, platform, native (version of the native engine, null
        where there is none).
    """
    found = {
        "version": _installed(),
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "platform": f"{platform.system().lower()}-{platform.machine()}",
        "native": _native(),
    }
    if json:
        cli.emit(found)
    else:
        native = found["native"] or "none on this machine"
        where = f"Python {found['python']}, {found['platform']}"
        print(f"penstock {found['version']} (native {native}, {where})")
    return cli.EXIT_OK


def _installed() -> str:
    try:
        return metadata.version("penstock")
    except metadata.PackageNotFoundError:
        return "0+source"


def _native() -> str | None:
    try:
        from penstock import _core  # type: ignore[attr-defined, unused-ignore]
    except ImportError:
        return None
    answer = getattr(_core, "native_version", None)
    return str(answer()) if callable(answer) else None
