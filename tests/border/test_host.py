"""A guest in a host of any habit: another locale or time zone changes no byte of an event, and a
state directory that is none is a sentence, not the host's end.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("host_process.py")


@pytest.fixture(scope="module")
def locales(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """de_DE and tr_TR, made here where the machine has what they are made of."""
    folder = tmp_path_factory.mktemp("locales")
    for name in ("de_DE", "tr_TR"):
        command = ["localedef", "-i", name, "-f", "UTF-8", str(folder / f"{name}.UTF-8")]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except FileNotFoundError:
            pytest.skip("no localedef on this machine; apt-get install locales")
        if not (folder / f"{name}.UTF-8" / "LC_NUMERIC").exists():
            said = (done.stderr.splitlines() or ["no reason given"])[0]
            pytest.skip(f"localedef makes no {name} here ({said}); apt-get install locales")
    return folder


def host(folder: Path, ring_dir: Path, locale: str = "C", **environment: str) -> tuple[str, str]:
    command = [sys.executable, PROGRAM, folder, ring_dir, locale]
    done = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, "PYTHONPATH": str(PROGRAM.parent), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> str:
    return host(tmp_path_factory.mktemp("plain"), Path("/dev/shm"))[0]


def test_a_host_lives_with_two_engines_a_fork_and_its_own_handler(plain: str) -> None:
    *rows, foreign, theirs, file, nowhere = plain.splitlines()
    assert sum("limit.H.trip" in row for row in rows) == 40
    assert foreign.startswith("StateError: ")
    assert file.startswith("StateError: ")
    assert nowhere.startswith("StateError: ")
    assert "DIR/foreign" in foreign
    assert theirs.startswith("StateError: state directory DIR/theirs holds 'report.xls'")
    assert "DIR/file" in file
    assert "/proc/penstock" in nowhere


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "America/St_Johns"])
def test_a_time_zone_changes_no_byte(zone: str, tmp_path: Path, plain: str) -> None:
    assert host(tmp_path, Path("/dev/shm"), TZ=zone)[0] == plain


@pytest.mark.parametrize("name", ["de_DE.UTF-8", "tr_TR.UTF-8"])
def test_a_locale_changes_no_byte(name: str, locales: Path, tmp_path: Path, plain: str) -> None:
    found, said = host(
        tmp_path, Path("/dev/shm"), name, LOCPATH=str(locales), LC_ALL=name, TZ="Asia/Kolkata"
    )
    assert said.splitlines()[-1] == "decimal ,"  # numbers of the host look otherwise
    # Only what the operating system says of the sick directories is in the host's language.
    assert found.splitlines()[:-4] == plain.splitlines()[:-4]
