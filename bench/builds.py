"""builds: where the bench's programs come from: a compiler and the source tree, or, in an installed
wheel, the one file that has all of them.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path

from machine import HERE, ROOT

PROGRAMS = HERE / "programs"  # of an unpacked wheel: all of them in one file
IS_INSTALLED = PROGRAMS.exists()
BUILD = HERE / "build" if IS_INSTALLED else ROOT / "build" / "bench"


def build(folder: Path = BUILD, *defines: str) -> None:
    """Senders, baselines and receivers: Release, without crash points."""
    if IS_INSTALLED:
        link(PROGRAMS, folder)
        return
    if not shutil.which("cmake"):
        raise SystemExit("run.py: cmake is missing; start it by: python3 tools/dev.py bench")
    told = configure_and_build(HERE, folder, *defines)
    if told:
        raise SystemExit(f"{told}\nrun.py: the benches do not build")


def configure_and_build(source: Path, folder: Path, *defines: str) -> str:
    """ "" when it is built, else what the compiler said."""
    generator = ["-G", "Ninja"] if shutil.which("ninja") else []
    configure = ["cmake", "-S", str(source), "-B", str(folder), *generator, *defines]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one at a time: tests run in several processes
        for command in (configure, ["cmake", "--build", str(folder)]):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                return f"{done.stdout}{done.stderr}\n{' '.join(command)} failed"
    return ""


def link(programs: Path, folder: Path) -> None:
    """Each program under its name: the one file knows by which it was called."""
    folder.mkdir(parents=True, exist_ok=True)
    listed = subprocess.run([str(programs)], capture_output=True, text=True, check=True)
    for name in listed.stdout.split():
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(programs)
