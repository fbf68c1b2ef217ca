"""pack: the bench for a wheel, as small as it goes: its Python and its programs in one archive. Run
by the wheel's build; penstock.bench unpacks it.

    pack.py PROGRAMS OUT.tar.xz

Without what needs the source tree: git, pytest, a C compiler, other builds of the engine, the flows
of other tools.
"""

from __future__ import annotations

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


def archive(programs: Path) -> bytes:
    """A tar whose bytes depend on the files' contents alone."""
    out = io.BytesIO()
    named = [(programs, "programs"), *((each, str(each.relative_to(HERE))) for each in files())]
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for path, name in named:
            data = path.read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755 if path == programs else 0o644
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def pack(data: bytes, machine: str = platform.machine()) -> bytes:
    filters: list[dict[str, Any]] = [
        {"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 3, "lp": 0, "pb": 0}
    ]
    if machine in BRANCHES:
        filters.insert(0, {"id": BRANCHES[machine]})
    return lzma.compress(data, lzma.FORMAT_XZ, filters=filters)


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(pack(archive(Path(sys.argv[1]))))
