"""``penstock docs``: the pages that ship with the package, readable without a network."""

from __future__ import annotations

import pydoc
import re
import sys
from dataclasses import dataclass
from importlib import resources
from textwrap import shorten
from typing import Final

from cyclopts import App

from penstock import cli
from penstock.config.forms import suggest

app = App(name="docs", help="Read the pages that ship with penstock.", version_flags=[])


LINE_CHARS_MIN: Final = 25
LINE_CHARS: Final = 100


@dataclass(frozen=True, slots=True)
class Page:
    """One page: its topic is its file's name."""

    topic: str
    title: str
    line: str  # its first sentence, without marks
    text: str


@app.default
def docs(topic: str = "", /, *, json: bool = False) -> int:
    """Read the pages that ship with penstock; without a topic, list them.

    Exit codes: 0 done; 2 there is no such page. Example: penstock docs config

    Parameters
    ----------
    topic
        Name of a page, as in the list. On a terminal it opens in the pager.
    json
        One JSON object: topics, or topic, title and text.
    """
    found = pages()
    if not topic:
        _list(found, is_json=json)
        return cli.EXIT_OK
    page = next((each for each in found if each.topic == topic.removesuffix(".md")), None)
    page = page or attached(topic)
    if page is None:
        hint = suggest(topic, [each.topic for each in found])
        cli.say(f"penstock docs: there is no page {topic!r}; {hint}")
        return cli.EXIT_USAGE
    if json:
        cli.emit({"topic": page.topic, "title": page.title, "text": page.text})
    elif sys.stdout.isatty():
        pydoc.pager(page.text)
    else:
        print(page.text, end="")
    return cli.EXIT_OK


def attached(name: str) -> Page | None:
    """A file that lies beside the pages and is none of them, such as ``penstock.service``."""
    for each in (resources.files("penstock") / "docs").iterdir():
        if each.name == name and each.is_file() and not name.endswith(".md"):
            return Page(name, name, "", each.read_text(encoding="utf-8"))
    return None


def pages() -> list[Page]:
    """Every page of the package, by topic."""
    folder = resources.files("penstock") / "docs"
    texts = {
        each.name.removesuffix(".md"): each.read_text(encoding="utf-8")
        for each in folder.iterdir()
        if each.name.endswith(".md")
    }
    return [_page(topic, texts[topic]) for topic in sorted(texts)]


def _page(topic: str, text: str) -> Page:
    title, _, rest = text.partition("\n")
    paragraph = next((each for each in rest.split("\n\n") if _is_prose(each)), "")
    sentence = re.split(r"(?<=[.?])\s(?=[A-Z])", " ".join(paragraph.split()), maxsplit=1)[0]
    if len(sentence) < LINE_CHARS_MIN:  # "A case is a folder." tells less than its title
        sentence = title.lstrip("# ")
    line = re.sub(r"[*`]{1,2}(?=\S)|(?<=\S)[*`]{1,2}", "", sentence)
    return Page(
        topic, title.lstrip("# ").strip(), shorten(line, LINE_CHARS, placeholder=" …"), text
    )


def _is_prose(paragraph: str) -> bool:
    stripped = paragraph.strip()
    return bool(stripped) and not paragraph.lstrip("\n").startswith(("    ", "#", "|", "```", "- "))


def _list(found: list[Page], *, is_json: bool) -> None:
    if is_json:
        topics = [{"topic": each.topic, "title": each.title, "line": each.line} for each in found]
        cli.emit({"topics": topics})
        return
    width = max(len(each.topic) for each in found)
    for each in found:
        print(f"{each.topic:{width}}  {each.line}")
