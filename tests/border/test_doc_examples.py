"""Examples in the docs run as printed: blocks of a page one after another, what they print is what
the page says. A page that goes stale fails by its line.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from page_kit import DOCS, blocks
from page_kit import page as read

RUN = ("embed-python", "walkthrough")


@pytest.mark.parametrize("page", RUN)
def test_blocks_run_in_order_and_print_what_the_page_says(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    names: dict[str, object] = {"__name__": page}
    said, checked = "", 0
    for each in blocks(read(page)):
        line, language, text = each.line, each.language, each.text
        if each.name:
            continue  # a file, or what a command prints
        if language == "python":
            assert said == "", f"{page}.md:{line}: the block before prints, and the page hides it"
            out = io.StringIO()
            code = compile("\n" * line + text, f"{page}.md", "exec")
            with contextlib.redirect_stdout(out):
                exec(code, names)
            said = out.getvalue()
        elif language == "text":
            assert said == text, f"{page}.md:{line}"
            said, checked = "", checked + 1
    assert said == "", f"{page}.md: the last block prints, and the page does not show it"
    assert checked >= 3


def test_the_picture_of_the_walkthrough_is_the_one_that_ships(tmp_path: Path) -> None:
    names: dict[str, object] = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for each in blocks(read("walkthrough")):
            if each.language == "python":
                exec(each.text, names)
    shipped = DOCS / "walkthrough.svg"
    if os.environ.get("PENSTOCK_WRITE_DOCS"):
        shipped.write_text(str(names["picture"]), encoding="utf-8")
    assert names["picture"] == shipped.read_text(encoding="utf-8")


def test_the_test_file_of_the_page_passes_as_printed(tmp_path: Path) -> None:
    (found,) = [each for each in blocks(read("testing")) if each.language == "python"]
    name, text = found.name, found.text
    (tmp_path / name).write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{text.count('def test_')} passed" in done.stdout
    planted = text.replace('"limit.H.clear"]', '"limit.H.trip"]')
    (tmp_path / name).write_text(planted)
    again = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "1 failed" in again.stdout  # the page's tests see what they say they see
