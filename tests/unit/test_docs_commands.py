"""Every command that a page or the README prints is one: its words are understood as printed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import CycloptsError

import penstock
from penstock.cli import COMMANDS, root_app

ROOT = Path(penstock.__file__).parents[2]
PAGES = sorted((Path(penstock.__file__).parent / "docs").glob("*.md"))
README = ROOT / "README.md"
# Lines that describe a command's form, and are not typed like this.
FORMS = re.compile(r" \| |\[--|\bID\b|\bTEXT\b|…|<|/var/lib")


def printed(page: Path) -> Iterator[str]:
    """Command lines of code blocks, indented or fenced, without their comments."""
    is_fenced = False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            is_fenced = not is_fenced
        command = line.strip()
        is_code = is_fenced or line.startswith("    ")
        if is_code and re.match(r"penstock [a-z]+( |$)", command) and not FORMS.search(command):
            yield re.split(r"\s{2,}|\s+[#>]\s", command)[0]


LINES = [(page.name, line) for page in [*PAGES, README] if page.is_file() for line in printed(page)]


@pytest.mark.parametrize(("page", "line"), LINES)
def test_a_printed_command_is_one(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)[1:]
    assert words[0] in dict(COMMANDS), f"{page}: no such command"
    try:
        _, _, ignored = root_app(words[0]).parse_args(words, exit_on_error=False, print_error=False)
    except CycloptsError as wrong:
        pytest.fail(f"{page}: {line}: {wrong}")
    assert not ignored


def test_most_commands_are_on_some_page() -> None:
    found = {line.split()[1] for _, line in LINES}
    assert set(dict(COMMANDS)) - found <= {"version", "docs", "explain", "bench", "ledger", "size"}
    assert len(LINES) > 25
