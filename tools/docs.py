"""docs: what of the documentation is made by the engine from the shipped cases.

Usage: python tools/docs.py [--check]. Writes the table of cases and a drawing for each page of a
family; with --check it only compares, and exits 1 where a file is not what the engine makes.
Standard library and penstock only.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from drawing import Drawing
from penstock.replay.case import find_cases, shows

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "src" / "penstock" / "docs"
# Page of a family: the case that draws it, its tag, and what a reader sees.
DRAWINGS = {
    "limits": ("limit-once", "oven1.temp", "a temperature, its level and deadband, two excursions"),
    "rate": ("rate-falling", "tank1.level", "a level that falls faster than its limit allows"),
    "stuck": ("stuck-sensor", "line1.flow", "a flow that stops moving and moves again"),
    "freshness": ("freshness-silent", "press1.beat", "a heartbeat that falls silent"),
    "gap": ("gap-lost", "press1.temp", "a temperature, and where six samples of it are missing"),
    "alarms": ("alarm-shelve", "oven1.temp", "a temperature, its trips, and two shelvings"),
    "counters": ("counter-lot", "m1.good", "a register, and what is posted for each lot"),
    "states": ("state-stop", "m1.state", "states of a machine, and the stops that end"),
    "windows": ("window-tumbling", "oven1.temp", "a temperature and its ten-second windows"),
}
TOLD = {"gap": "line1/7"}  # what the events are of, where it is not the tag that is drawn
BEGIN, END = "<!-- cases: begin -->", "<!-- cases: end -->"


def cases_page() -> str:
    """The page of the cases with its table made anew."""
    page = (DOCS / "cases.md").read_text(encoding="utf-8")
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    rows = [f"| `{each.name}` | {shows(each)} |" for each in find_cases(DOCS / "cases")]
    table = "\n".join(["| case | shows |", "|---|---|", *rows])
    return f"{head}{BEGIN}\n{table}\n{END}{tail}"


def drawn() -> Iterator[tuple[Path, str]]:
    """A drawing for each page that is there, and the page that shows it below its title."""
    for page, (case, tag, says) in DRAWINGS.items():
        path = DOCS / f"{page}.md"
        if not path.is_file():
            continue
        drawing = Drawing(DOCS / "cases" / case, tag, TOLD.get(page, tag))
        yield DOCS / "drawings" / f"{page}.svg", drawing.svg()
        image = f"![{says}](drawings/{page}.svg)"
        title, _, rest = path.read_text(encoding="utf-8").partition("\n")
        lines = [line for line in rest.split("\n") if not line.startswith("![")]
        text = "\n".join(lines).strip("\n")
        at = text.find("\n\n")  # behind the first paragraph
        yield path, f"{title}\n\n{text[:at]}\n\n{image}\n\n{text[at:].strip()}\n"


def made() -> dict[Path, str]:
    """Every file that is made, with its text."""
    return {DOCS / "cases.md": cases_page(), **dict(drawn())}


def main(words: list[str]) -> int:
    """Writes, or compares with --check; returns the exit code."""
    is_check = "--check" in words
    files = made()
    changed = [
        path
        for path, text in files.items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    for path in changed:
        name = path.relative_to(ROOT)
        if is_check:
            print(f"{name}: not what the engine makes; run: python3 tools/dev.py docs")
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(files[path], encoding="utf-8")
            print(f"{name}: written")
    return 1 if is_check and changed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
