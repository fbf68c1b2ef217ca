"""The bench that comes with a wheel: one archive becomes a folder with its run.py and programs.

An engineer may read and change what lies there; another version of penstock has another folder.
"""

from __future__ import annotations

import hashlib
import io
import lzma
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
PACKED = PACKAGE / "bench.tar"
SOURCE = PACKAGE.parents[1] / "bench"  # of an editable install


def cache_folder() -> Path:
    """Where a person's unpacked benches lie."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "penstock"


def find(packed: Path = PACKED, source: Path = SOURCE) -> Path | None:
    """The bench's run.py, unpacked if need be; None in a build without it."""
    if packed.is_file():
        return unpack(packed, cache_folder()) / "run.py"
    program = source / "run.py"
    return program if program.is_file() else None


def unpack(packed: Path, cache: Path) -> Path:
    """The folder of this archive; made whole beside its place and then moved there."""
    digest = hashlib.sha256(packed.read_bytes()).hexdigest()[:12]
    folder = cache / f"bench-{digest}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix="bench-", dir=cache))
    try:
        _fill(fresh, packed)
        fresh.chmod(0o755)
        fresh.rename(folder)
    except (OSError, tarfile.TarError, lzma.LZMAError):
        shutil.rmtree(fresh, ignore_errors=True)
        if not folder.is_dir():  # else another process was first
            raise
    return folder


def _fill(folder: Path, packed: Path) -> None:
    """What bench/pack.py packed."""
    with tarfile.open(packed, "r:") as archive:
        programs, python = (_read(archive, name) for name in ("programs.xz", "python.tar.bz2"))
    (folder / "programs").write_bytes(lzma.decompress(programs))
    (folder / "programs").chmod(0o755)
    with tarfile.open(fileobj=io.BytesIO(python), mode="r:bz2") as archive:
        if hasattr(tarfile, "data_filter"):  # Python 3.11.4; the archive is our own anyway
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(folder)


def _read(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name) if name in archive.getnames() else None
    if file is None:
        raise tarfile.ReadError(f"{name} is missing in the bench's archive")
    return file.read()
