"""tidy: the house rules that a compiler does not know: arrows between rooms, sizes, banned calls.
Run as a test.

Usage: python tools/tidy.py. Prints one line a finding and exits 1. EXCEPTIONS may only shrink.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILE_LINES = 600
FUNCTION_LINES = 70
LINE_COLUMNS = 100
STAGES = ("base", "intake", "parse", "ring", "rule", "window")

# Flow order of src/penstock: a module imports only from a lower room (or its own).
ROOMS = {
    "errors": 0,
    "bench": 0,
    "emit": 0,
    "units": 0,
    "categories": 0,
    "samples": 1,
    "events": 2,
    "_columns": 1,
    "columns": 2,
    "stats": 2,
    "_core": 2,
    "config": 2,
    "contracts": 1,
    "captures": 3,
    "engine": 4,
    "plot": 4,
    "mapping": 4,
    "outbox": 5,
    "post": 5,
    "relay": 6,
    "replay": 7,
    "run": 7,
    "ops": 8,
    "cli": 9,
    "__main__": 10,
}
FREE_ROOMS = {
    "testing",
    "__init__",
}  # testing may use any; the package's face names the public ones

BANNED_C = {
    r"\b(printf|puts|abort|exit|signal|sigaction|atexit)\s*\(": "a guest prints and ends nothing",
    r"\b(strcpy|strcat|sprintf|gets|strtok|alloca)\s*\(": "unbounded or unsafe",
    r"\b(setlocale|rand|system|popen)\s*\(": "touches the host",
}
BANNED_PYTHON = {
    r"^\s*print\(": "the library logs to `penstock`, never prints",
    r"\bsignal\.signal\(": "the library installs no handler (run.py, through asyncio, excepted)",
    r"\btime\.sleep\(": "waits belong to asyncio or the engine",
}

# file or file:function -> why it may stay. May only shrink.
EXCEPTIONS: dict[str, str] = {}


def tracked(*patterns: str) -> list[Path]:
    done = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [ROOT / line for line in done.stdout.splitlines() if (ROOT / line).is_file()]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def check_sizes(path: Path, lines: list[str]) -> Iterator[str]:
    is_generated = "Generated" in (lines[0] if lines else "") or "generated" in " ".join(lines[:3])
    if is_generated:
        return
    if len(lines) > FILE_LINES:
        yield f"{name_of(path)}: {len(lines)} lines, more than {FILE_LINES}"
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_COLUMNS:
            yield f"{name_of(path)}:{number}: {len(line)} columns, more than {LINE_COLUMNS}"


def c_functions(lines: list[str]) -> Iterator[tuple[str, int]]:
    """Name and length of each function: a body opens at a line that starts in column 0 and ends
    with '{'.
    """
    start, name = 0, ""
    for number, line in enumerate(lines):
        if not name and line.endswith("{") and line[:1] not in (" ", "\t", "}", "#"):
            found = re.search(r"(\w+)\(", line) or re.search(r"(\w+)\(", lines[number - 1])
            name, start = (found[1] if found else ""), number
        elif name and line.startswith("}"):
            yield name, number - start + 1
            name = ""


def check_c(path: Path) -> Iterator[str]:
    lines = path.read_text().splitlines()
    yield from check_sizes(path, lines)
    for name, size in c_functions(lines):
        if size > FUNCTION_LINES:
            yield f"{name_of(path)}:{name}: {size} lines, more than {FUNCTION_LINES}"
    relative = path.relative_to(ROOT)
    if relative.parts[0] != "native":
        return
    stage = relative.parts[1] if len(relative.parts) > 2 else ""
    for line in lines:
        found = re.match(r'#include "(?:\.\./)?(\w+)/', line)
        if stage in STAGES and found and found[1] not in (stage, "base"):
            yield f"{name_of(path)}: {stage} includes {found[1]}; only the engine knows two stages"
    if path.suffix == ".c":
        yield from check_banned(path, lines, BANNED_C)


def check_banned(path: Path, lines: list[str], banned: dict[str, str]) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        for pattern, why in banned.items():
            if re.search(pattern, line.split("/*")[0].split("# ")[0]):
                yield f"{name_of(path)}:{number}: {line.strip()[:50]}: {why}"


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT / "src" / "penstock").parts
    return parts[0].removesuffix(".py")


def imported_rooms(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("penstock"):
            words = node.module.split(".")
            yield from [words[1]] if len(words) > 1 else [alias.name for alias in node.names]
        elif isinstance(node, ast.Import):
            yield from [a.name.split(".")[1] for a in node.names if a.name.startswith("penstock.")]


def check_arrows(path: Path, tree: ast.Module) -> Iterator[str]:
    room = room_of(path)
    if room in FREE_ROOMS:
        return
    if room not in ROOMS:
        yield f"{name_of(path)}: room {room} is not on the plan (ROOMS in tools/tidy.py)"
        return
    for other in imported_rooms(tree):
        if other in ROOMS and other != room and ROOMS[other] >= ROOMS[room]:
            yield f"{name_of(path)}: {room} imports {other}, against the flow"


def check_python(path: Path) -> Iterator[str]:
    text = path.read_text()
    lines = text.splitlines()
    yield from check_sizes(path, lines)
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            if size > FUNCTION_LINES:
                yield f"{name_of(path)}:{node.name}: {size} lines, more than {FUNCTION_LINES}"
    if path.is_relative_to(ROOT / "src" / "penstock"):
        yield from check_arrows(path, tree)
        is_talking = (
            "/cli/" in path.as_posix()
            or "/testing/" in path.as_posix()
            or path.name == "__main__.py"
        )
        if not is_talking:
            yield from check_banned(path, lines, BANNED_PYTHON)


def findings() -> list[str]:
    found: list[str] = []
    for path in tracked("*.c", "*.h"):
        found += check_c(path)
    for path in tracked("*.py"):
        found += check_python(path)
    for core in tracked("src/penstock/*.pyx"):
        if len(core.read_text().splitlines()) > 500:
            found.append(f"{name_of(core)}: the border is under 500 lines")
    return [line for line in found if not any(line.startswith(known + ":") for known in EXCEPTIONS)]


def main() -> int:
    found = findings()
    for line in found:
        print(line)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
