"""A Python developer plays README and the pages ``walkthrough``, ``embed-python``, ``testing``: an
empty environment on a laptop, every command and every block exactly as printed.

Deep, for it builds the package and fetches others.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from page_kit import Shell, block, blocks, commands, groups, lab_commands, page, section

pytestmark = [pytest.mark.deep, pytest.mark.timeout(1200)]


def program(shell: Shell, name: str, text: str) -> str:
    (shell.folder / name).write_text(text)
    return shell.types(f"python {name}")


def test_nothing_comes_with_the_library(lab: Shell) -> None:
    found = json.loads(lab.types("pip list --format json"))
    assert {each["name"].lower() for each in found} <= {"pip", "setuptools", "wheel", "penstock"}


def test_ten_lines_and_a_document(lab: Shell, docs: Path) -> None:
    found = blocks(section(page("embed-python", docs), "## Ten lines: samples in, a document out"))
    *code, told = found
    assert [each.language for each in code] == ["python", "python"]
    assert len(code[1].text.splitlines()) <= 14
    assert program(lab, "ten.py", "".join(each.text for each in code)) == told.text


def test_the_walk_prints_and_draws_what_the_page_shows(lab: Shell, docs: Path) -> None:
    found = blocks(page("walkthrough", docs))
    code = "".join(each.text for each in found if each.language == "python")
    keep = "\nimport pathlib; pathlib.Path('m1.svg').write_text(picture)\n"
    told = "".join(each.text for each in found if each.language == "text")
    assert program(lab, "walk.py", code + keep) == told
    shown = (docs / "walkthrough.svg").read_text(encoding="utf-8")
    assert (lab.folder / "m1.svg").read_text(encoding="utf-8") == shown


def test_an_error_says_where_and_what_to_do(lab: Shell, docs: Path) -> None:
    text = page("embed-python", docs)
    first = next(each.text for each in blocks(text) if each.language == "python")
    code, told = blocks(section(text, "## Errors"))
    assert program(lab, "wrong.py", f"{first}import penstock\n{code.text}") == told.text


def test_a_consumer_with_types(lab: Shell, docs: Path) -> None:
    text = page("embed-python", docs)
    (lines,) = groups(section(text, "## With types"))
    (lab.folder / "quantities.py").write_text(block(text, "quantities.py"))
    need, check = lines
    lab.types(need)
    assert lab.types(check) == block(text, "mypy")
    wrong = block(text, "quantities.py").replace("event.context.lot", "event.context.lott")
    (lab.folder / "quantities.py").write_text(wrong)
    assert 'has no attribute "lott"' in lab.types(check, (1,))


def test_the_page_s_own_tests(lab: Shell, docs: Path) -> None:
    text = page("testing", docs)
    (lab.folder / "test_press.py").write_text(block(text, "test_press.py"))
    need, run = commands(text, "# Testing what you build")
    lab.types(need)
    assert "5 passed" in lab.types(run)


def test_the_readme_s_loop_over_a_plant_begun_by_a_command(
    lab: Shell, stranger: Shell, readme: str
) -> None:
    """Its last lines: the command penstock, a plant, and five lines of Python over it."""
    stranger.types(lab_commands(readme)[2])
    lab.types("penstock init graz")
    (code,) = [each.text for each in blocks(readme) if each.language == "python"]
    inside = dataclasses.replace(lab, folder=lab.folder / "graz")
    assert program(inside, "loop.py", code) == ""
    assert "walkthrough" in lab.types("penstock docs")
    assert lab.types("penstock docs walkthrough").startswith("# A walk through one shift")
