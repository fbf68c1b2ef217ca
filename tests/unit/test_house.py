"""The house rules hold, and the tools that say so see what they are for: every kind of finding is
planted once in a copy of the tree.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
Plant = Callable[[Path], None]


def tool(root: Path, name: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, root / "tools" / name, *words],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )


def said(done: subprocess.CompletedProcess[str]) -> str:
    return f"exit {done.returncode}\n{done.stdout}{done.stderr}"


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A copy of what the tools look at, in a repository of its own."""
    root = tmp_path / "house"
    root.mkdir()
    for folder in ("native", "src/penstock"):
        ignore = shutil.ignore_patterns("__pycache__", "*.so")
        shutil.copytree(ROOT / folder, root / folder, ignore=ignore)
    (root / "tools").mkdir()
    for name in ("tidy.py", "pxd.py"):
        shutil.copy(ROOT / "tools" / name, root / "tools" / name)
    subprocess.run(["git", "init", "-q", root], check=True)
    return root


def append(path: str, text: str) -> Plant:
    def plant(root: Path) -> None:
        file = root / path
        file.write_text(file.read_text() + text)

    return plant


def new(path: str, text: str) -> Plant:
    def plant(root: Path) -> None:
        (root / path).write_text(text)

    return plant


LONG_C = "static int planted(int x) {\n" + "    x++;\n" * 80 + "    return x;\n}\n"
LONG_PYTHON = "\n\ndef planted() -> None:\n" + "    x = 1\n" * 80

PLANTS: dict[str, tuple[Plant, str]] = {
    "a stage includes another": (
        append("native/parse/packed.c", '#include "../ring/ring.h"\n'),
        "native/parse/packed.c: parse includes ring",
    ),
    "a C function is too long": (append("native/ring/image.c", LONG_C), ":planted: 83 lines"),
    "a C file is too long": (
        append("native/base/hash.c", "/* . */\n" * 600),
        "lines, more than 600",
    ),
    "C prints": (
        append("native/ring/image.c", 'void planted(void) { printf("x"); }\n'),
        "a guest prints and ends nothing",
    ),
    "C takes an unbounded copy": (
        append("native/ring/image.c", "void planted(char *x) { strcpy(x, x); }\n"),
        "unbounded or unsafe",
    ),
    "a line is too wide": (
        append("native/ring/image.c", f"/* {'x' * 100} */\n"),
        "columns, more than 100",
    ),
    "a Python room imports upward": (
        append("src/penstock/events.py", "\nfrom penstock.relay import Relay\n"),
        "src/penstock/events.py: events imports relay, against the flow",
    ),
    "a Python room is not on the plan": (
        new("src/penstock/attic.py", '"""Attic."""\n'),
        "room attic is not on the plan",
    ),
    "a Python function is too long": (
        append("src/penstock/events.py", LONG_PYTHON),
        ":planted: 81 lines",
    ),
    "the library prints": (
        append("src/penstock/events.py", '\nprint("x")\n'),
        "never prints",
    ),
    "the border grows": (
        append("src/penstock/_core.pyx", "# x\n" * 500),
        "the border is under 500 lines",
    ),
}


def test_the_tree_is_tidy() -> None:
    done = tool(ROOT, "tidy.py")
    assert done.returncode == 0, said(done)


def test_the_border_sees_the_header_of_today() -> None:
    done = tool(ROOT, "pxd.py", "--check")
    assert done.returncode == 0, said(done)


def test_a_copy_of_the_tree_is_tidy(house: Path) -> None:
    done = tool(house, "tidy.py")
    assert (done.returncode, done.stdout) == (0, ""), said(done)


@pytest.mark.parametrize("name", PLANTS)
def test_tidy_finds(name: str, house: Path) -> None:
    plant, finding = PLANTS[name]
    plant(house)
    done = tool(house, "tidy.py")
    assert done.returncode == 1, said(done)
    assert [line for line in done.stdout.splitlines() if finding in line], said(done)


def test_pxd_finds_a_header_that_went_ahead(house: Path) -> None:
    header = house / "native" / "penstock.h"
    text = header.read_text()
    assert text.count("uint64_t redelivered;") == 1
    header.write_text(text.replace("uint64_t redelivered;", "uint64_t redelivered, planted;"))
    done = tool(house, "pxd.py", "--check")
    assert done.returncode == 1, said(done)
    assert "is older than the header; run python tools/pxd.py" in done.stderr
    assert tool(house, "pxd.py").returncode == 0
    assert "planted" in (house / "src" / "penstock" / "_native.pxd").read_text()
    assert tool(house, "pxd.py", "--check").returncode == 0
