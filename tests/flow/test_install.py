"""A stranger's collector in C: the library is installed, and every file of docs/embed-c.md is built
out of tree against it, by find_package and by pkg-config, shared and static, and run.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

import penstock
from penstock.config import parse_config

ROOT = Path(__file__).parents[2]
PAGE = (Path(penstock.__file__).parent / "docs" / "embed-c.md").read_text(encoding="utf-8")
ENVIRONMENT = {**os.environ, "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"}


def block(name: str) -> str:
    (found,) = re.findall(rf"^```\w+ {re.escape(name)}\n(.*?)^```", PAGE, re.S | re.M)
    return str(found)


def run(*words: object, where: Path = ROOT, **more: str) -> str:
    done = subprocess.run(
        [str(word) for word in words],
        cwd=where,
        env={**ENVIRONMENT, **more},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    build, target = ROOT / "build" / "install", tmp_path_factory.mktemp("prefix")
    defines = ("-DPENSTOCK_TESTS=OFF", f"-DCMAKE_INSTALL_PREFIX={target}")
    run("cmake", "-S", ROOT / "native", "-B", build, "-G", "Ninja", *defines)
    run("cmake", "--build", build, "-j2")
    run("cmake", "--install", build)
    return target


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("foreign")
    for name in ("collector.c", "CMakeLists.txt", "sender.c"):
        (folder / name).write_text(block(name))
    return folder


def collects(program: Path, folder: Path, **more: str) -> None:
    assert run(program, folder / "state", where=folder, **more) == block("output")
    again = run(program, folder / "state", where=folder, **more)
    assert again == "penstock 0.1.0: 0 samples used, 4 dropped\n"


@pytest.mark.timeout(600)
def test_find_package_builds_a_foreign_collector(
    prefix: Path, foreign: Path, tmp_path: Path
) -> None:
    run("cmake", "-S", foreign, "-B", tmp_path, "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={prefix}")
    run("cmake", "--build", tmp_path)
    for kind in ("penstock", "penstock_static"):
        (tmp_path / kind).mkdir()
        collects(tmp_path / f"collector_{kind}", tmp_path / kind)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", ["shared", "static"])
def test_pkg_config_builds_a_foreign_collector(
    kind: str, prefix: Path, foreign: Path, tmp_path: Path
) -> None:
    at = {"PKG_CONFIG_PATH": str(prefix / "lib" / "pkgconfig")}
    words = run("pkg-config", "--cflags", "--libs", "--static", "penstock", **at).split()
    if kind == "static":
        words = [str(prefix / "lib" / "libpenstock.a") if w == "-lpenstock" else w for w in words]
    program = tmp_path / "collector"
    run(
        "cc",
        "-std=c11",
        "-Wall",
        "-Wextra",
        "-Werror",
        foreign / "collector.c",
        *words,
        "-o",
        program,
    )
    collects(program, tmp_path, LD_LIBRARY_PATH=str(prefix / "lib") if kind == "shared" else "")


def test_the_library_offers_nothing_but_what_its_headers_say(prefix: Path) -> None:
    exported = run("nm", "-D", "--defined-only", prefix / "lib" / "libpenstock.so").split()[2::3]
    headers = {path.name: path.read_text() for path in (prefix / "include").iterdir()}
    assert set(headers) == {path.name for path in (ROOT / "native").glob("penstock*.h")}
    text = "".join(each for name, each in headers.items() if name != "penstock_emit.h")
    assert set(exported) == set(re.findall(r"\b(pstk_\w+)\(", text))
    used = set(re.findall(r"#include [<\"]([^>\"]+)", "".join(headers.values())))
    system = {"stddef.h", "stdint.h", "string.h", "time.h", "unistd.h", "netdb.h"}
    assert used <= system | {"sys/socket.h", "sys/time.h"} | set(headers)


def test_the_collector_stays_short(foreign: Path) -> None:
    lines = (foreign / "collector.c").read_text().splitlines()
    assert len(lines) <= 50


def test_the_sender_of_the_page_reaches_an_engine(
    prefix: Path, foreign: Path, tmp_path: Path, ring_dir: Path
) -> None:
    run(
        "cc",
        "-std=gnu11",
        f"-I{prefix / 'include'}",
        foreign / "sender.c",
        "-o",
        tmp_path / "sender",
    )
    config = parse_config(
        {
            "plant": {"name": "graz"},
            "engine": {"state_dir": str(tmp_path / "state"), "ring_dir": str(ring_dir)},
            "source": [{"name": "press", "kind": "zmq_pull", "bind": "tcp://127.0.0.1:0"}],
        },
        variables={},
    )
    with penstock.Engine(config) as engine:
        engine.start()
        said = run(tmp_path / "sender", engine.port("press"))
        assert said == "numbered 1000, sent 1000, lost 0\n"
        while engine.stats().received < 1000:
            pass
        assert engine.stats().lost_upstream == 0
