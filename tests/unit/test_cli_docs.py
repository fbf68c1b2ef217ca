"""``penstock docs``: every page that ships is listed with one line, and readable offline."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

import penstock
from penstock.cli import main

FOLDER = Path(penstock.__file__).parent / "docs"
TOPICS = sorted(each.stem for each in FOLDER.glob("*.md"))


def test_the_list_has_every_page_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == TOPICS
    for line in lines:
        assert len(line) <= 120
        assert len(line.split(maxsplit=1)[1]) > 20, line
    assert main(["docs", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["topics"]
    assert [each["topic"] for each in found] == TOPICS
    assert all(each["title"] and each["line"] for each in found)


@pytest.mark.parametrize("topic", TOPICS)
def test_a_page_is_printed_as_it_is(topic: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = (FOLDER / f"{topic}.md").read_text(encoding="utf-8")
    assert main(["docs", topic]) == 0
    assert capsys.readouterr().out == text
    assert main(["docs", f"{topic}.md", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == text


def test_a_file_beside_the_pages_is_printed_by_its_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["docs", "penstock.service"]) == 0
    assert capsys.readouterr().out == (FOLDER / "penstock.service").read_text(encoding="utf-8")
    assert main(["docs", "../__init__.py"]) == 2


def test_an_unknown_topic_is_2_with_a_suggestion(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["docs", "confg"]) == 2
    assert "there is no page 'confg'; did you mean 'config'?" in capsys.readouterr().err


def test_on_a_terminal_a_page_goes_to_the_pager(tmp_path: Path) -> None:
    """A real terminal, and a pager that says it was asked."""
    pager = tmp_path / "pager"
    pager.write_text("#!/bin/sh\necho PAGED; cat\n")
    pager.chmod(0o755)
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "penstock", "docs", "size"]
    env = {**os.environ, "PAGER": str(pager), "TERM": "xterm"}
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=env) as done:
        os.close(theirs)
        told = b""
        while b"wrong usage" not in told:
            told += os.read(ours, 65536)
        done.wait(timeout=30)
    os.close(ours)
    assert done.returncode == 0
    assert told.startswith(b"PAGED")
