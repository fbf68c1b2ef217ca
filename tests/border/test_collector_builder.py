"""A collector builder plays the pages ``embed-c`` and ``embed-python``: the library is installed
from a fresh clone and used by programs of their own, commands and files exactly as printed.

Deep, for it builds the library three times. A free port stands for the page's (5555).
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from page_kit import (
    Block,
    Shell,
    block,
    blocks,
    commands,
    free_port,
    groups,
    lab_commands,
    page,
    section,
)

pytestmark = [pytest.mark.deep, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def prefix(stranger: Shell, docs: Path) -> Path:
    for line in commands(page("embed-c", docs), "## Build and install"):
        stranger.types(line)
    return stranger.home / "penstock"


@pytest.fixture
def collector(stranger: Shell, docs: Path, prefix: Path, tmp_path: Path) -> Shell:
    """A folder of one's own with the page's files."""
    text = page("embed-c", docs)
    for each in blocks(text):
        if each.language in ("c", "cmake"):
            (tmp_path / each.name).write_text(each.text)
    return dataclasses.replace(stranger, folder=tmp_path)


def test_a_foreign_collector_prints_what_the_page_says(collector: Shell, docs: Path) -> None:
    text = page("embed-c", docs)
    told = block(text, "output")
    cmake, pkg_config = groups(section(text, "## A collector in forty lines"))
    *build, run = cmake
    for line in build:
        collector.types(line)
    assert collector.types(run) == told
    again = collector.types(run)
    assert f"`{again.strip()}`" in text
    shared, run_shared, static, run_static = pkg_config
    for make, use in ((shared, run_shared), (static, run_static)):
        collector.types(make)
        assert collector.types(use) == told


def test_a_sender_reaches_an_engine_elsewhere(
    collector: Shell, docs: Path, lab: Shell, stranger: Shell, readme: str
) -> None:
    port = free_port()
    text = page("embed-c", docs)
    stranger.types(lab_commands(readme)[2])
    (listen,), (make, send) = groups(section(text, "## Only sending: penstock_emit.h"))
    collector.types(make)
    with dataclasses.replace(lab, ports=((5555, port),)).starts(listen) as listening:
        assert listening.stdout is not None
        for line in listening.stdout:
            if "senders may connect" in line:
                break
        assert collector.types(f"{send} {port}") == block(text, "sent")
        heard = listening.stdout.read()
    assert listening.returncode == 0
    assert "1,000 samples of 1 tag " in heard
    assert "press.temp" in heard
    assert "lost upstream 0" in heard


def test_the_python_page_in_an_environment_of_its_own(lab: Shell, docs: Path) -> None:
    text = page("embed-python", docs)
    needs = groups(text)[0]
    found = [each for each in blocks(text) if not each.name]
    line = text[: text.index(needs[0])].count("\n")
    bare = [each for each in found if each.line < line]
    assert len(bare) > 4
    assert plays(lab, bare) == printed(bare), "ten lines, events: with nothing else installed"
    for each in needs:
        lab.types(each)
    assert plays(lab, found) == printed(found)


def plays(lab: Shell, found: list[Block]) -> str:
    """The blocks pasted into one file."""
    code = "".join(each.text for each in found if each.language == "python")
    (lab.folder / "page.py").write_text(code)
    return lab.types("python page.py")


def printed(found: list[Block]) -> str:
    return "".join(each.text for each in found if each.language == "text")
