"""The bench of an installed wheel: what is packed comes back and runs; the command finds it."""

from __future__ import annotations

import lzma
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from penstock import bench, cli
from penstock.cli import bench as command

BENCH = Path(__file__).resolve().parents[2] / "bench"
sys.path.append(str(BENCH))
import pack  # noqa: E402

PROGRAMS = """#!/bin/sh
case "$(basename "$0")" in programs) echo one; echo two;; *) basename "$0";; esac
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run.py that a wheel's archive becomes."""
    programs = tmp_path / "all"
    programs.write_text(PROGRAMS)
    packed = tmp_path / "bench.tar"
    packed.write_bytes(pack.pack(programs))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    found = bench.find(packed)
    assert found is not None
    assert bench.find(packed) == found
    assert [each.name for each in (tmp_path / "cache/penstock").iterdir()] == [found.parent.name]
    return found


@pytest.mark.parametrize("machine", ["x86_64", "aarch64", "armv7l"])
def test_what_is_packed_comes_back(machine: str) -> None:
    data = Path(sys.executable).read_bytes()[:200_000]
    assert lzma.decompress(pack.pack_code(data, machine)) == data


def test_a_program_runs_without_its_sections(tmp_path: Path) -> None:
    whole = Path("/bin/true").resolve().read_bytes()
    kept = pack.without_sections(whole)
    assert len(kept) < len(whole)
    program = tmp_path / "true"
    program.write_bytes(kept)
    program.chmod(0o755)
    assert subprocess.run([program], check=False).returncode == 0
    assert pack.without_sections(PROGRAMS.encode()) == PROGRAMS.encode()


def test_the_archive_depends_on_contents_alone(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(PROGRAMS)
    assert pack.pack(tmp_path / "a") == pack.pack(tmp_path / "b")


def test_one_file_is_every_program_by_name(installed: Path, tmp_path: Path) -> None:
    code = "import builds; builds.build()"
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], check=True, cwd=installed.parent)
    for name in ("one", "two"):
        program = installed.parent / "build" / name
        said = subprocess.run([program], capture_output=True, text=True, check=True)
        assert said.stdout.strip() == name


def test_an_unpacked_bench_lists_its_figures(installed: Path) -> None:
    listed = subprocess.run(
        [sys.executable, installed, "--list"], capture_output=True, text=True, check=True
    )
    assert "zmtp.packed64.vs_raw" in listed.stdout


def test_an_unpacked_bench_says_why_it_builds_no_revision(installed: Path) -> None:
    done = subprocess.run(
        [sys.executable, installed, "--compare", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "source tree" in done.stderr


def test_a_broken_archive_leaves_nothing_half(tmp_path: Path) -> None:
    packed = tmp_path / "bench.tar"
    programs = tmp_path / "all"
    programs.write_text(PROGRAMS)
    whole = pack.pack(programs)
    for half in (b"no tar at all" * 100, whole[:700], whole[: len(whole) // 2], pack.tar([])):
        packed.write_bytes(half)
        with pytest.raises((tarfile.TarError, lzma.LZMAError)):
            bench.unpack(packed, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_the_command_runs_the_bench_of_the_source_tree(capfd: pytest.CaptureFixture[str]) -> None:
    assert bench.find() == BENCH / "run.py"
    assert cli.main(["bench", "--list", "--only", "zmtp.*"]) == 0
    assert "zmtp.packed64.vs_raw" in capfd.readouterr().out


def test_the_command_without_a_bench_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert bench.find(tmp_path / "none", tmp_path) is None
    monkeypatch.setattr(command, "find", lambda: None)
    assert cli.main(["bench"]) == cli.EXIT_USAGE
    assert "source tree" in capsys.readouterr().err
