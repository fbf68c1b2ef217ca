"""pack: the bench for a wheel, as small as it goes: its Python and its programs in one archive,
text by bzip2, code by LZMA. Run by the wheel's build; penstock.bench unpacks it.

    pack.py PROGRAMS OUT.tar

Without what needs the source tree (git, pytest, a C compiler, other builds of the engine, the flows
of other tools), and without the ten minutes on one core.
"""

from __future__ import annotations

import bz2
import io
import lzma
import platform
import struct
import sys
import tarfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
LEFT_OUT = (
    "bench_edge.py", "bench_instructions.py", "bench_journal.py", "compare.py", "conftest.py",
    "pack.py", "pairs.py", "rule_costs.py", "test_micro.py", "trial.py",
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


def without_sections(elf: bytes) -> bytes:
    """What runs of a 64-bit ELF program: a linker's and debugger's table of sections does not."""
    if elf[:6] != b"\x7fELF\x02\x01":
        return elf
    first, count = struct.unpack_from("<Q", elf, 32)[0], struct.unpack_from("<H", elf, 56)[0]
    segments = [struct.unpack_from("<8xQ16xQ", elf, first + 56 * each) for each in range(count)]
    kept = bytearray(elf[: max(offset + size for offset, size in segments)])
    struct.pack_into("<Q", kept, 40, 0)  # e_shoff
    struct.pack_into("<HH", kept, 60, 0, 0)  # e_shnum, e_shstrndx
    return bytes(kept)


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
            ("programs.xz", pack_code(without_sections(programs.read_bytes()))),
            ("python.tar.bz2", bz2.compress(python)),
        ]
    )


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(pack(Path(sys.argv[1])))
