"""pack: the bench for a wheel, as small as it goes: its Python and its programs in one archive,
text by bzip2, code by LZMA. Run by the wheel's build; penstock.bench unpacks it.

    pack.py PROGRAMS OUT.tar

Without what needs the source tree: git, pytest, a C compiler, other builds of the engine, the flows
of other tools.
"""

from __future__ import annotations

import bz2
import io
import lzma
import platform
import sys
import tarfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
LEFT_OUT = (
    "bench_instructions.py", "bench_journal.py", "compare.py", "conftest.py", "pack.py", "pairs.py",
    "rule_costs.py", "test_micro.py", "trial.py",
    "bench_peers.py", "flow_bytewax.py", "flow_pathway.py", "recv_loop.py", "run_program.py",
)  # fmt: skip
BRANCHES = {"x86_64": lzma.FILTER_X86, "armv7l": lzma.FILTER_ARM}  # jumps made absolute first


def files() -> list[Path]:
    found = [*HERE.glob("*.py"), *(HERE / "peers").glob("*.py")]
    return sorted(path for path in found if path.name not in LEFT_OUT)


def tar(files: list[tuple[str, bytes]]) -> bytes:
    """A tar whose bytes depend on the files' contents alone."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, data in files:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def pack_code(data: bytes, machine: str = platform.machine()) -> bytes:
    filters: list[dict[str, Any]] = [
        {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 3, "lp": 0, "pb": 0}
    ]
    if machine in BRANCHES:
        filters.insert(0, {"id": BRANCHES[machine]})
    return lzma.compress(data, lzma.FORMAT_XZ, filters=filters)


def pack(programs: Path) -> bytes:
    """The archive; penstock.bench knows its two names."""
    python = tar([(str(each.relative_to(HERE)), each.read_bytes()) for each in files()])
    return tar(
        [
            ("programs.xz", pack_code(programs.read_bytes())),
            ("python.tar.bz2", bz2.compress(python)),
        ]
    )


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(pack(Path(sys.argv[1])))
