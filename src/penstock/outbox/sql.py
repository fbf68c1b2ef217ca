"""SQL texts: files of named statements and numbered migrations become what the store runs."""

from __future__ import annotations

import sqlite3
from functools import cache
from importlib import resources

_NAME = "-- name: "


@cache
def statements() -> dict[str, str]:
    """Every statement of ``queries.sql`` by its name."""
    text = resources.files("penstock.outbox").joinpath("queries.sql").read_text(encoding="utf-8")
    found: dict[str, str] = {}
    for part in text.split(_NAME)[1:]:
        name, _, body = part.partition("\n")
        lines = [line for line in body.splitlines() if not line.startswith("--")]
        found[name.strip()] = "\n".join(lines).strip().rstrip(";")
    return found


@cache
def migrations() -> tuple[tuple[int, str], ...]:
    """The migrations in order: number, script. Numbers run 1, 2, 3 … and only forward."""
    folder = resources.files("penstock.outbox").joinpath("migrations")
    names = sorted(each.name for each in folder.iterdir() if each.name.endswith(".sql"))
    found = tuple(
        (int(name[:4]), folder.joinpath(name).read_text(encoding="utf-8")) for name in names
    )
    if [number for number, _ in found] != list(range(1, len(found) + 1)):
        raise ValueError(f"migrations must be numbered 0001, 0002, ... without a gap: {names}")
    return found


def split(script: str) -> list[str]:
    """The single statements of a script, so that each runs inside the caller's transaction."""
    found: list[str] = []
    part = ""
    for line in script.splitlines(keepends=True):
        part += line
        if sqlite3.complete_statement(part):
            found.append(part.strip())
            part = ""
    if any(line.strip() and not line.lstrip().startswith("--") for line in part.splitlines()):
        raise ValueError(f"unfinished statement: {part.strip()[:60]}")
    return found
