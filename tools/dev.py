"""dev: the one task runner. Standard library only; every task does its own set-up and is quick the
second time.

    python3 tools/dev.py demo [-- --for 60s --chaos]   the whole path, with a real ERP
    python3 tools/dev.py test [--deep] [-- ARGS]       native tests, then pytest
    python3 tools/dev.py setup | check | asan | tsan | fuzz | bench | docs [--check] | wheel

Exit codes: 0 done, 1 a task's check failed, 2 usage, 3 the machine lacks something (the line to run
is printed).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
BUILD = ROOT / "build"
PYTHON = VENV / "bin" / "python"
STAMPS = VENV / "penstock-stamps.json"
GROUPS = ("test", "lint")
WORKERS = 3  # processes of a plain test run: more than cores, for many tests wait
EXTRAS = ("cli", "post", "ops")
BENCH_BYTES_MAX = 200_000


class Missing(Exception):
    """The machine lacks something; the text is the line to run."""


class Failed(Exception):
    """A command failed; the text names it."""


def say(text: str) -> None:
    print(f"[dev {time.strftime('%H:%M:%S')}] {text}", flush=True)


def run(*command: object, quiet: bool = False, env: dict[str, str] | None = None) -> None:
    """Runs a command from the root; on failure shows what it printed."""
    words = [str(word) for word in command]
    full = {**os.environ, **(env or {})}
    pipe = subprocess.PIPE if quiet else None
    done = subprocess.run(
        words,
        cwd=ROOT,
        env=full,
        check=False,
        text=True,
        stdout=pipe,
        stderr=subprocess.STDOUT if quiet else None,
    )
    if done.returncode != 0:
        if quiet:
            print(done.stdout, flush=True)
        raise Failed(f"exit {done.returncode}: {' '.join(words)}")


# ---- what the machine must have ------------------------------------------------------------------


def need_packages(*packages: str) -> None:
    """Installs system packages when root on a Debian-like machine; else says the exact line."""
    line = f"apt-get install -y {' '.join(packages)}"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Missing(
            f"sudo {line}" if shutil.which("apt-get") else f"install: {' '.join(packages)}"
        )
    say(f"system packages: {' '.join(packages)}")
    quiet_env = {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        run(*line.split(), quiet=True, env=quiet_env)
    except Failed:
        run("apt-get", "update", quiet=True)
        run(*line.split(), quiet=True, env=quiet_env)


def check_machine() -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - said in words
        raise Missing("Python 3.11 or later is needed, this is " + sys.version.split()[0])
    wanted = []
    if not (shutil.which("cc") or shutil.which("gcc")):
        wanted += ["gcc", "libc6-dev"]
    if not (Path(sysconfig.get_paths()["include"]) / "Python.h").exists():
        wanted.append("python3-dev")
    try:
        import ensurepip  # noqa: F401
    except ImportError:
        wanted.append("python3-venv")
    if wanted:
        need_packages(*wanted)


# ---- environment and build: each stamped by what it depends on -----------------------------------


def digest(*patterns: str) -> str:
    """One hash over the files that match; what a stamp compares."""
    sha = hashlib.sha256()
    for pattern in patterns:
        for path in sorted(ROOT.glob(pattern)):
            if path.is_file():
                sha.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return sha.hexdigest()


def stamps() -> dict[str, str]:
    try:
        found = json.loads(STAMPS.read_text())
    except (OSError, ValueError):
        return {}
    return {str(key): str(value) for key, value in found.items()}


def is_fresh(name: str, value: str) -> bool:
    return stamps().get(name) == value


def stamp(name: str, value: str) -> None:
    STAMPS.write_text(json.dumps({**stamps(), name: value}, indent=1))


def install_group(group: str, what: str) -> None:
    """A dependency group, once for each pyproject.toml and Python."""
    wanted = digest("pyproject.toml") + sys.version
    if not is_fresh(group, wanted):
        say(what)
        run(PYTHON, "-m", "pip", "install", "-q", "--group", group, quiet=True)
        stamp(group, wanted)


def make_build_environment() -> None:
    """A virtual environment that builds native/: some seconds."""
    if not PYTHON.exists():
        say("virtual environment .venv")
        run(sys.executable, "-m", "venv", VENV)
    if not is_fresh("build", digest("pyproject.toml") + sys.version):
        run(PYTHON, "-m", "pip", "install", "-q", "--upgrade", "pip", quiet=True)
        install_group("build", "cmake, ninja, Cython")


def make_environment() -> None:
    make_build_environment()
    wanted = digest("pyproject.toml") + sys.version
    if is_fresh("environment", wanted):
        return
    say("Python packages (about a minute the first time)")
    groups = [word for group in GROUPS for word in ("--group", group)]
    run(PYTHON, "-m", "pip", "install", "-q", *groups, *extra_requirements(), quiet=True)
    stamp("environment", wanted)


def extra_requirements() -> list[str]:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [line for extra in EXTRAS for line in project["optional-dependencies"][extra]]


NATIVE_FILES = (
    "CMakeLists.txt",
    "native/**/*.c",
    "native/**/*.h",
    "native/CMakeLists.txt",
    "src/penstock/*.pyx",
    "src/penstock/*.pxd",
)


def build_extension() -> None:
    """Installs the package in editable mode, with crash points; the wheel has none."""
    wanted = digest("pyproject.toml", *NATIVE_FILES)
    if is_fresh("extension", wanted):
        return
    say("native engine and its Python extension")
    run(
        PYTHON,
        "-m",
        "pip",
        "install",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-e",
        ".",
        "-C",
        "cmake.define.PENSTOCK_CRASH_POINTS=ON",
        "-C",
        "cmake.define.PENSTOCK_BENCH=OFF",
        "-C",
        "build-dir=build/dev",
        quiet=True,
        env=tool_path(),
    )
    stamp("extension", wanted)


def full_path() -> dict[str, str]:
    return {**os.environ, **tool_path()}


def tool_path() -> dict[str, str]:
    """cmake and ninja come from the virtual environment, so that a bare machine needs only a C
    compiler.
    """
    return {"PATH": f"{VENV / 'bin'}{os.pathsep}{os.environ['PATH']}"}


def build_native(name: str, *defines: str, env: dict[str, str] | None = None) -> Path:
    """A build of native/ alone with its tests, in build/<name>."""
    folder = BUILD / name
    full = {**tool_path(), **(env or {})}
    run("cmake", "-S", "native", "-B", folder, "-G", "Ninja", *defines, quiet=True, env=full)
    say(f"building native/ ({name})")
    run("cmake", "--build", folder, quiet=True, env=full)
    return folder


def setup() -> None:
    check_machine()
    make_environment()
    build_extension()


# ---- tasks ---------------------------------------------------------------------------------------


def task_setup(_: argparse.Namespace, __: list[str]) -> None:
    setup()
    say("ready: .venv/bin/penstock --help")


def task_demo(_: argparse.Namespace, rest: list[str]) -> None:
    setup()
    os.execve(
        PYTHON, [str(PYTHON), str(ROOT / "tools" / "demo.py"), *rest], {**os.environ, **tool_path()}
    )


def want_packages(what: str, *packages: str) -> None:
    """Installs them where it can; else says what is skipped without them."""
    try:
        need_packages(*packages)
    except (Missing, Failed) as missing:
        say(f"{what} is skipped by name; to have it: {missing}")


def test_native() -> Path:
    folder = build_native("native", "-DPENSTOCK_CRASH_POINTS=ON")
    run("ctest", "--test-dir", folder, "--output-on-failure", "-j", "2", env=tool_path())
    return folder


def fetch() -> None:
    """What the Python tests need; without Tryton those with it say why."""
    make_environment()
    try:
        run(PYTHON, "tools/erp.py", "setup", quiet=True)
    except Failed as failed:
        say(f"no Tryton: {failed}")


def task_test(options: argparse.Namespace, rest: list[str]) -> None:
    """Packages are fetched while native/ is built and tested: it needs none of them."""
    check_machine()
    make_build_environment()
    with ThreadPoolExecutor(1) as pool:
        fetched = pool.submit(fetch)
        folder = test_native()
        fetched.result()
    build_extension()
    if not shutil.which("valgrind"):
        want_packages("the budget of instructions", "valgrind")
    # Deep tests measure what the whole machine does: one process. Others share it.
    selected = [] if options.deep else ["-m", "not deep", "-n", str(WORKERS)]
    if options.part:
        selected += ["-k", options.part]
    env = {
        **tool_path(),
        "PENSTOCK_NATIVE_BUILD": str(folder),
        "PENSTOCK_DEEP": "1" if options.deep else "",
    }
    run(PYTHON, "-m", "pytest", *selected, *rest, env=env)


def sources(*patterns: str) -> list[Path]:
    found = subprocess.run(
        ["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / line for line in found.stdout.splitlines()]


def task_check(_: argparse.Namespace, __: list[str]) -> None:
    setup()
    run(PYTHON, "-m", "ruff", "check", ".")
    run(PYTHON, "-m", "ruff", "format", "--check", ".")
    run(PYTHON, "-m", "mypy")
    run(VENV / "bin" / "clang-format", "--dry-run", "-Werror", *sources("*.c", "*.h"))
    run(PYTHON, "tools/pxd.py", "--check")
    run(PYTHON, "tools/tidy.py")
    say("check: clean")


def task_asan(_: argparse.Namespace, __: list[str]) -> None:
    setup()
    folder = build_native(
        "asan", "-DPENSTOCK_SANITIZE=address,undefined", "-DPENSTOCK_CRASH_POINTS=ON"
    )
    run("ctest", "--test-dir", folder, "--output-on-failure", env=tool_path())


def task_tsan(_: argparse.Namespace, __: list[str]) -> None:
    setup()
    folder = build_native("tsan", "-DPENSTOCK_SANITIZE=thread", "-DPENSTOCK_CRASH_POINTS=ON")
    run(
        "ctest",
        "--test-dir",
        folder,
        "--output-on-failure",
        "-R",
        "ring|engine|intake",
        env=tool_path(),
    )


def task_fuzz(_: argparse.Namespace, rest: list[str]) -> None:
    setup()
    if not shutil.which("clang"):
        need_packages("clang", "libclang-rt-14-dev")
    run(PYTHON, "tools/fuzz.py", *rest, env=tool_path())


def task_bench(_: argparse.Namespace, rest: list[str]) -> None:
    setup_bench()
    run(PYTHON, "bench/run.py", *rest, env=tool_path())


def task_bench_trial(_: argparse.Namespace, rest: list[str]) -> None:
    setup_bench()
    run(PYTHON, "bench/trial.py", *rest, env=tool_path())


def setup_bench() -> None:
    setup()
    headers = [Path("/usr/include") / name for name in ("zmq.h", "nats/nats.h")]
    if not all(path.exists() for path in headers):
        want_packages("what stands beside peers in C", "libzmq3-dev", "libnats-dev")
    install_group("bench", "Python packages of the benches' peers")


def old_glibc_compiler() -> Path:
    """A C compiler that links against glibc 2.28 wherever it runs: zig's, from PyPI."""
    machine = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    script = BUILD / "cc-glibc-2.28"
    target = f"{machine}-linux-gnu.2.28"
    BUILD.mkdir(exist_ok=True)
    script.write_text(f'#!/bin/sh\nexec "{PYTHON}" -m ziglang cc -target {target} "$@"\n')
    script.chmod(0o755)
    return script


def tag_wheel(wheel: Path) -> Path:
    """The wheel under the oldest platform tag that its symbols allow, as auditwheel reads them."""
    words = [str(PYTHON), "-m", "auditwheel", "show", str(wheel)]
    shown = subprocess.run(words, capture_output=True, text=True, check=False, env=full_path())
    found = re.search(r'platform tag:\s*"(manylinux_2_28_\w+)"', shown.stdout)
    if not found:
        raise Failed(f"the wheel wants more than glibc 2.28:\n{shown.stdout}{shown.stderr}")
    run(PYTHON, "-m", "wheel", "tags", "--remove", "--platform-tag", found[1], wheel, quiet=True)
    return next((ROOT / "dist").glob("*.whl"))


def bench_bytes(wheel: Path) -> int:
    """What `penstock bench` takes of the wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return archive.getinfo("penstock/bench.tar").compress_size


def commit_date() -> dict[str, str]:
    """The date that a build of these sources bears: its commit's; outside of git, CMake's own."""
    git = ("git", "-C", str(ROOT), "log", "-1", "--format=%ct")
    found = subprocess.run(git, capture_output=True, text=True, check=False)
    if found.returncode or "SOURCE_DATE_EPOCH" in os.environ:
        return {}
    return {"SOURCE_DATE_EPOCH": found.stdout.strip()}


def task_wheel(_: argparse.Namespace, __: list[str]) -> None:
    setup()
    install_group("wheel", "zig and what audits a wheel")
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    say("wheel (glibc 2.28)")
    env = {**tool_path(), **commit_date(), "CC": str(old_glibc_compiler())}
    options = ("--wheel", "--no-isolation", "-C", "build-dir=build/wheel")
    run(PYTHON, "-m", "build", *options, quiet=True, env=env)
    wheel = tag_wheel(next((ROOT / "dist").glob("*.whl")))
    run(PYTHON, "-m", "abi3audit", "--strict", wheel)
    empty = BUILD / "empty"
    shutil.rmtree(empty, ignore_errors=True)
    run(sys.executable, "-m", "venv", empty)
    run(empty / "bin" / "python", "-m", "pip", "install", "-q", "--no-deps", wheel)
    run(empty / "bin" / "python", "-I", ROOT / "tests" / "border" / "wheel_smoke.py")
    bench = bench_bytes(wheel)
    if bench > BENCH_BYTES_MAX:
        raise Failed(f"the bench takes {bench:,} bytes of the wheel, {BENCH_BYTES_MAX:,} at most")
    say(f"{wheel.name}: {wheel.stat().st_size:,} bytes, of them {bench:,} the bench")


def task_docs(_: argparse.Namespace, rest: list[str]) -> None:
    setup()
    run(PYTHON, ROOT / "tools" / "docs.py", *rest)


TASKS = {
    "setup": (task_setup, "virtual environment, packages, build"),
    "demo": (task_demo, "the whole path; arguments after -- go to tools/demo.py"),
    "test": (task_test, "native tests and pytest; arguments after -- go to pytest"),
    "check": (task_check, "ruff, mypy, clang-format, tidy"),
    "asan": (task_asan, "native tests under ASan and UBSan"),
    "tsan": (task_tsan, "ring, intake and engine tests under TSan"),
    "fuzz": (task_fuzz, "fuzz targets; see tools/fuzz.py --help"),
    "bench": (task_bench, "figures with their limits; see bench/run.py --help"),
    "bench-trial": (
        task_bench_trial,
        "is bench --compare right? 20 runs of a twin, 20 slowed",
    ),
    "docs": (task_docs, "tables and drawings of the pages, by the engine; --check compares"),
    "wheel": (task_wheel, "one abi3 wheel, audited, installed into an empty environment and tried"),
}


def main(arguments: list[str]) -> int:
    rest: list[str] = []
    if "--" in arguments:
        at = arguments.index("--")
        arguments, rest = arguments[:at], arguments[at + 1 :]
    parser = argparse.ArgumentParser(
        prog="dev.py", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="task", required=True)
    for name, (_, help_text) in TASKS.items():
        command = commands.add_parser(name, help=help_text)
        if name == "test":
            command.add_argument(
                "--deep", action="store_true", help="the counts of the issues (up to two hours)"
            )
            command.add_argument("--part", help="only tests whose name matches")
    options, unknown = parser.parse_known_args(arguments)
    begin = time.monotonic()
    try:
        TASKS[options.task][0](options, [*unknown, *rest])
    except Missing as missing:
        print(f"this machine lacks something; run:\n    {missing}", file=sys.stderr)
        return 3
    except Failed as failed:
        print(f"dev.py {options.task}: {failed}", file=sys.stderr)
        return 1
    say(f"{options.task}: done in {time.monotonic() - begin:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
