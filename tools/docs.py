"""docs: what of the documentation is made by the engine from the shipped cases.

Usage: python tools/docs.py [--check]. Writes the table of cases; with --check it only compares, and
exits 1 where a file is not what the engine makes. Standard library and penstock only.
"""

from __future__ import annotations

import sys
from pathlib import Path

from penstock.replay.case import find_cases, shows

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "src" / "penstock" / "docs"
BEGIN, END = "<!-- cases: begin -->", "<!-- cases: end -->"


def cases_page() -> str:
    """The page of the cases with its table made anew."""
    page = (DOCS / "cases.md").read_text(encoding="utf-8")
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    rows = [f"| `{each.name}` | {shows(each)} |" for each in find_cases(DOCS / "cases")]
    table = "\n".join(["| case | shows |", "|---|---|", *rows])
    return f"{head}{BEGIN}\n{table}\n{END}{tail}"


def made() -> dict[Path, str]:
    """Every file that is made, with its text."""
    return {DOCS / "cases.md": cases_page()}


def main(words: list[str]) -> int:
    """Writes, or compares with --check; returns the exit code."""
    is_check = "--check" in words
    changed = [
        path
        for path, text in made().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    for path in changed:
        name = path.relative_to(ROOT)
        if is_check:
            print(f"{name}: not what the engine makes; run: python3 tools/dev.py docs")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(made()[path], encoding="utf-8")
            print(f"{name}: written")
    return 1 if is_check and changed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
