"""Mutants: the engine with one small mistake in its rules or windows, built beside the real one.

One copy of native/ is configured once; a mutant touches one file, is linked, and the file is put
back. What runs it is another process with a package of its own, so that no other engine is met.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from mutant_process import CPU_SECONDS_MAX

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).parent / "mutants" / "mutants.toml"
PROCESS = Path(__file__).parent / "mutant_process.py"
SECONDS_MAX = 600  # that its examples may take: a mistake may make an engine wait for ever
EXAMPLES = 400  # most a mutant may survive


@dataclass(frozen=True, slots=True)
class Mutant:
    """``old`` becomes ``new`` in native/``file``; ``family`` must see it."""

    name: str
    family: str
    file: str
    old: str
    new: str

    def applied(self, text: str) -> str:
        """The file with the mistake in it; it must change exactly one place."""
        places = text.count(self.old)
        if places != 1:
            raise ValueError(f"{self.name}: its old text stands {places} times in {self.file}")
        return text.replace(self.old, self.new)


def mutants() -> list[Mutant]:
    """All of the list."""
    return [Mutant(**each) for each in tomllib.loads(LIST.read_text())["mutant"]]


class Forge:
    """A copy of the sources, its build folder, and a package that holds what was built."""

    def __init__(self, folder: Path) -> None:
        self._tree, self._build = folder / "tree", folder / "build"
        self.package = folder / "package"
        shutil.copytree(ROOT / "native", self._tree / "native")
        rules = self._tree / "native" / "CMakeLists.txt"  # a mistake may leave a name unused
        rules.write_text(rules.read_text().replace("-Werror", ""))
        shutil.copytree(ROOT / "src", self._tree / "src")
        shutil.copy(ROOT / "CMakeLists.txt", self._tree)
        skipped = shutil.ignore_patterns("*.pyx", "*.pxd", "*.so", "__pycache__")
        shutil.copytree(ROOT / "src" / "penstock", self.package / "penstock", ignore=skipped)
        options = (
            "PENSTOCK_BENCH=OFF",
            "CMAKE_BUILD_TYPE=Release",
            f"Python_EXECUTABLE={sys.executable}",
        )
        defines = [f"-D{option}" for option in options]
        self._run("cmake", "-S", self._tree, "-B", self._build, "-G", "Ninja", *defines)
        self.make()

    @staticmethod
    def _run(*command: object) -> None:
        done = subprocess.run(
            [str(word) for word in command],
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, done.stdout

    def make(self) -> None:
        """The package of the tree as it stands."""
        self._run("cmake", "--build", self._build)
        for border in self._build.glob("*.so"):
            shutil.copy(border, self.package / "penstock")

    def killed(self, mutant: Mutant, seed: int) -> str | None:
        """What its family saw; None where it survived."""
        path = self._tree / "native" / mutant.file
        text = path.read_text()
        try:
            path.write_text(mutant.applied(text))
            self.make()
            return self.seen(mutant.family, seed)
        finally:
            path.write_text(text)

    def seen(self, family: str, seed: int, examples: int = EXAMPLES) -> str | None:
        """What a family sees in the package; None where nothing differs."""
        command = [sys.executable, PROCESS, self.package, family, examples, seed]
        try:
            done = subprocess.run(
                [str(word) for word in command],
                check=False,
                capture_output=True,
                text=True,
                timeout=SECONDS_MAX,
            )
        except subprocess.TimeoutExpired:
            return f"it hangs: {SECONDS_MAX} s were not enough"
        if done.returncode == -signal.SIGXCPU:
            return f"it hangs: {CPU_SECONDS_MAX} s of CPU were not enough for one example"
        return None if done.returncode == 0 else done.stdout or f"exit {done.returncode}"
