"""Environment: what a configuration needs of this machine and its neighbours, tried now. Nothing
is changed.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from penstock.config.endpoint import Endpoint, endpoint_of
from penstock.config.model import Config

_PORTS = {"http": 80, "https": 443}
RING_BYTES_LEAST = 8 << 20  # of a ring whose size the machine decides
_MOUNTS = Path("/proc/self/mounts")
# What may lie in a state directory without STATE: as in native/ring/state.c, and a test compares.
_OURS = re.compile(
    r"lock|STATE(\.tmp)?|captures|control\.sock|lost\+found"
    r"|(image\.|journal\.|ledger\.|\.nfs).*",
    re.DOTALL,
)
_LOG = re.compile(r".+?\.log(\..*)?", re.DOTALL)
_LOGS_MAX = 8


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried. ``fix`` is "" where it is well."""

    path: str
    text: str
    is_ok: bool
    fix: str = ""


def check_environment(config: Config, *, timeout_s: float = 2.0) -> list[Finding]:
    """Directories, memory, addresses: each is tried once. No lock is taken, nothing is written or
    left behind.
    """
    return [
        *_folders(config),
        *_ops(config),
        *_sources(config, timeout_s),
        *_targets(config, timeout_s),
    ]


def foreign_file(state: Path) -> str:
    """A file that penstock did not make, in a directory without its STATE: the engine would refuse
    that as somebody else's. "" where there is none. A log of a start is none.
    """
    logs = 0
    try:
        if os.path.lexists(state / "STATE"):
            return ""
        for each in state.iterdir():
            if _OURS.fullmatch(each.name):
                continue
            logs += 1
            if logs > _LOGS_MAX or not _is_our_log(each):
                return each.name
    except OSError:
        pass
    return ""


def _is_our_log(path: Path) -> bool:
    """What a shell or a service manager made for this process's own output, or for an earlier
    attempt's.
    """
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode):
        return False
    for fd in (1, 2):
        with contextlib.suppress(OSError):
            if os.path.samestat(found, os.fstat(fd)):
                return True
    return _LOG.fullmatch(path.name) is not None


def _folders(config: Config) -> Iterator[Finding]:
    state = Path(config.engine.state_dir)
    nearest = next((each for each in (state, *state.parents) if each.exists()), Path("/"))
    if foreign := foreign_file(state):
        text = f"{state} holds {foreign!r} and no STATE of penstock"
        yield Finding("engine.state_dir", text, False, "name a directory of its own")
    elif nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        yield Finding("engine.state_dir", f"{state} can be written", True)
    else:
        fix = f"make {nearest} a directory that user {os.getuid()} may write, or name another"
        yield Finding("engine.state_dir", f"{state} cannot be written", False, fix)
    yield _ring_folder(Path(config.engine.ring_dir), config.engine.ring_bytes)


def _ring_folder(folder: Path, ring_bytes: int) -> Finding:
    path = "engine.ring_dir"
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return Finding(
            path, f"{folder} cannot be written", False, "name a tmpfs directory such as /dev/shm"
        )
    kind = _file_system(folder)
    if kind not in ("tmpfs", ""):
        return Finding(
            path,
            f"{folder} lies on {kind}, the ring needs tmpfs",
            False,
            "name a directory in /dev/shm",
        )
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    ring_bytes = ring_bytes or RING_BYTES_LEAST
    if ring_bytes * 2 > free:
        fix = f"ring_bytes of at most half of that, or a larger tmpfs at {folder}"
        return Finding(
            path,
            f"{folder} has {free >> 20} MiB free for a ring of {ring_bytes >> 20} MiB",
            False,
            fix,
        )
    return Finding(path, f"{folder} is tmpfs with {free >> 20} MiB free", True)


def _file_system(folder: Path) -> str:
    """Kind of the file system, by the longest mount point above; "" where /proc does not tell."""
    try:
        lines = _MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    best, kind = "", ""
    real = str(folder.resolve())
    for line in lines:
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        mount = fields[1].replace("\\040", " ")
        if (real == mount or real.startswith(mount.rstrip("/") + "/")) and len(mount) >= len(best):
            best, kind = mount, fields[2]
    return kind


def _sources(config: Config, timeout_s: float) -> Iterator[Finding]:
    for source in config.sources:
        endpoint = endpoint_of(source)
        if endpoint is None:
            continue
        path = f"source[{source.name}].{'bind' if endpoint.is_bind else 'connect'}"
        yield (
            _bind(path, endpoint)
            if endpoint.is_bind
            else _connect(path, endpoint.host, endpoint.port, timeout_s)
        )


def _ops(config: Config) -> Iterator[Finding]:
    host, _, port = config.ops.listen.rpartition(":")
    if port:
        yield _bind("ops.listen", Endpoint(host.strip("[]"), int(port), is_bind=True))


def _targets(config: Config, timeout_s: float) -> Iterator[Finding]:
    for target in config.targets:
        if not target.url:
            continue
        path = f"target[{target.name}].url"
        parts = urlsplit(target.url)
        try:
            port = parts.port or _PORTS.get(parts.scheme, 0)
        except ValueError:
            port = 0
        if not parts.hostname or not port:
            yield Finding(path, "names no host and port", False, 'write "https://host/path"')
        else:
            yield _connect(path, parts.hostname, port, timeout_s)


def _bind(path: str, endpoint: Endpoint) -> Finding:
    where = f"{endpoint.host}:{endpoint.port}"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as wrong:
        fix = "free the port (does penstock run already?), or name another address"
        return Finding(path, f"cannot listen on {where}: {wrong.strerror or wrong}", False, fix)
    return Finding(path, f"can listen on {where}", True)


def _connect(path: str, host: str, port: int, timeout_s: float) -> Finding:
    try:
        socket.create_connection((host, port), timeout=timeout_s).close()
    except OSError as wrong:
        return Finding(
            path,
            f"{host}:{port} does not answer: {wrong.strerror or wrong}",
            False,
            "start it, or correct the address",
        )
    return Finding(path, f"{host}:{port} answers", True)
