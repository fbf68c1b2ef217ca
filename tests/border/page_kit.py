"""Pages as their readers use them: code blocks and command lines are taken out and typed as
printed, in a fresh clone and in environments that hold nothing else.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "src" / "penstock" / "docs"
FENCE = re.compile(r"^```(\w+)?[ ]?([^\n]*)\n(.*?)^```$", re.S | re.M)
SHELL_S = 600.0


@dataclass(frozen=True)
class Block:
    """One fenced block; a name makes it a file, or says what prints it."""

    line: int
    language: str
    name: str
    text: str


def page(name: str, docs: Path = DOCS) -> str:
    return (docs / f"{name}.md").read_text(encoding="utf-8")


def blocks(text: str) -> list[Block]:
    return [
        Block(text.count("\n", 0, at.start()) + 1, at[1] or "", at[2].strip(), at[3])
        for at in FENCE.finditer(text)
    ]


def block(text: str, name: str) -> str:
    """The text of the one block of this name."""
    (found,) = [each.text for each in blocks(text) if each.name == name]
    return found


def section(text: str, heading: str) -> str:
    """What stands behind a heading, up to the next one."""
    rest = text.split(f"{heading}\n", 1)[1]
    return re.split(r"^#+ ", FENCE.sub(_without_headings, rest), maxsplit=1, flags=re.M)[0]


def _without_headings(fence: re.Match[str]) -> str:
    return re.sub(r"^#", " #", fence[0], flags=re.M)


def groups(text: str) -> list[list[str]]:
    """Command lines as they stand together: indented, or in a console block."""
    shell = re.sub(r"^```console\n(.*?)^```$", lambda at: _indented(at[1]), text, flags=re.S | re.M)
    found: list[list[str]] = [[]]
    for line in FENCE.sub("\n", shell).splitlines():
        if line.startswith("    ") and not line.startswith("     "):
            found[-1].append(line[4:])
        elif found[-1]:
            found.append([])
    return [each for each in found if each]


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())


def commands(text: str, heading: str) -> list[str]:
    """The first command lines behind a heading."""
    found = groups(section(text, heading))
    assert found, heading
    return found[0]


def lab_commands(readme: str) -> list[str]:
    """README's three lines for an environment of one's own: made, the library, the commands."""
    (found,) = [each for each in groups(readme) if each[0].startswith("python3 -m venv")]
    assert len(found) == 3
    return found


def free_port() -> int:
    """A port of this box that nobody has."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@dataclass
class Shell:
    """A stranger's terminal: a folder, a home of their own, programs found on ``path``. ``ports``:
    those of a page, and which stands for each on this box.
    """

    folder: Path
    home: Path
    path: str
    ports: tuple[tuple[int, int], ...] = ()

    def here(self, line: str) -> str:
        """As printed, but for the ports."""
        for printed, port in self.ports:
            line = line.replace(f":{printed}", f":{port}")
        return line

    def environment(self) -> dict[str, str]:
        """The outside world's, without what this repository's own environment adds."""
        ours = ("PENSTOCK", "PYTEST", "PYTHON", "VIRTUAL_ENV", "CMAKE", "SOURCE_DATE")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        cache = os.environ.get("PIP_CACHE_DIR", str(Path.home() / ".cache" / "pip"))
        return {**kept, "HOME": str(self.home), "PATH": self.path, "PIP_CACHE_DIR": cache}

    def types(self, line: str, codes: tuple[int, ...] = (0,)) -> str:
        """One line, and what it says."""
        done = subprocess.run(
            ["bash", "-c", self.here(line)], cwd=self.folder, env=self.environment(), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=SHELL_S, check=False,
        )  # fmt: skip
        assert done.returncode in codes, f"{line}\n{done.stdout}"
        return done.stdout

    def starts(self, line: str) -> subprocess.Popen[str]:
        """One line in another terminal, which goes on; ``exec``, so that a signal reaches it."""
        return subprocess.Popen(
            ["bash", "-c", f"exec {self.here(line)}"], cwd=self.folder, env=self.environment(),
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip


def outside_path() -> str:
    """PATH without this environment: what a fresh machine would find, first the Python that made it
    (a version manager's own names would look for it in the stranger's home).
    """
    given = os.environ.get("PATH", os.defpath).split(os.pathsep)
    inside = {str(ROOT / ".venv" / "bin"), str(Path(sys.prefix) / "bin")}
    base = str(Path(sys.base_prefix) / "bin")
    return os.pathsep.join([base, *(each for each in given if each not in inside)])
