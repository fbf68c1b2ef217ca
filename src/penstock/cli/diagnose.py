"""Diagnose: a configuration and this box become findings, each with one fix. Nothing is changed."""

from __future__ import annotations

import ctypes
import os
import resource
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from penstock.config import Config
from penstock.config.environment import check_environment
from penstock.errors import ConfigError, PenstockError
from penstock.outbox import LEDGER_NAME, Reader

STATE_NAME: Final = "STATE"
STATE_VERSION: Final = 1  # native/ring/state.c; a test keeps them equal
CLOCK_FLOOR_S: Final = 1_767_225_600  # 2026-01-01: a clock before it is not set
CLOCK_ERROR_S_MAX: Final = 1.0
DAY_S: Final = 86_400
HOUR_S: Final = 3600
UPTIME_S_MIN: Final = 60  # of a process whose writing is measured
WEAR_GB_DAY: Final = 50  # a cheap SSD of 100 TB endurance lasts five years and a half at this
OUTAGE_H_WARN, OUTAGE_H_FAIL = 72, 8
FILES_OWN: Final = 64  # descriptors of a plant beside its connections
GB: Final = 1e9
_STA_UNSYNC: Final = 0x0040  # sys/timex.h
_NS: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Advice:
    """One thing that was looked at. ``level``: ok, warn or fail; ``fix`` is "" where it is ok."""

    path: str
    level: str
    text: str
    fix: str = ""


def diagnose(config: Config) -> list[Advice]:
    """Everything, in the order a person would mend it."""
    state = Path(config.engine.state_dir)
    pid = running_pid(state)
    return [
        *_clock(),
        *_limits(config),
        *_state_dir(state, pid),
        *_environment(config, pid),
        *_targets(config),
        *_wear(config, state, pid),
        *_outage(state),
    ]


# ---- clock ---------------------------------------------------------------------------------------


class _Timex(ctypes.Structure):
    """The first members of struct timex (adjtimex(2)); the rest is room."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("room", ctypes.c_char * 256),
    )


def _clock() -> Iterator[Advice]:
    now_s = time.time()
    if now_s < CLOCK_FLOOR_S:
        text = f"it is {time.strftime('%Y-%m-%d', time.gmtime(now_s))} here; nothing is posted so"
        yield Advice("clock", "fail", text, "set the clock, then start an NTP client")
        return
    found = _Timex()
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(found))
    except (OSError, AttributeError):
        state = -1
    if state < 0:
        yield Advice(
            "clock", "warn", "the kernel does not tell if it is kept", "look at: chronyc tracking"
        )
    elif found.status & _STA_UNSYNC:
        text = "nothing keeps it in time: stamps and posting dates drift"
        yield Advice("clock", "warn", text, "start chrony or systemd-timesyncd")
    elif found.maxerror / 1e6 > CLOCK_ERROR_S_MAX:
        text = f"it may be {found.maxerror / 1e6:.1f} s wrong"
        yield Advice("clock", "warn", text, "let the NTP client reach a server")
    else:
        yield Advice("clock", "ok", f"kept in time, at most {found.maxerror / 1e3:.0f} ms wrong")


# ---- limits --------------------------------------------------------------------------------------


def _limits(config: Config) -> Iterator[Advice]:
    connections = sum(each.connections_max for each in config.sources if each.bind)
    needed = FILES_OWN + connections + 4 * len(config.sources) + 8 * len(config.targets)
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < needed:
        text = f"{soft} open files are allowed, {needed} may be needed"
        yield Advice(
            "limit.nofile", "fail", text, f"LimitNOFILE={needed} in the unit, or ulimit -n"
        )
    else:
        yield Advice("limit.nofile", "ok", f"{_said(soft)} open files, {needed} may be needed")
    ring = max(config.engine.ring_bytes, 1 << 23)
    soft, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if soft != resource.RLIM_INFINITY and soft < 4 * ring:
        text = f"a file may be {soft >> 20} MiB, the ring alone is {ring >> 20}"
        yield Advice("limit.fsize", "fail", text, "LimitFSIZE=infinity in the unit, or ulimit -f")
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY and soft < 4 * ring + (256 << 20):
        text = f"{soft >> 20} MiB of address space is little"
        yield Advice("limit.as", "warn", text, "LimitAS=infinity in the unit, or ulimit -v")
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    yield Advice("limit.memlock", "ok", f"{_said(soft)} bytes may be locked; penstock locks none")


def _said(limit: int) -> str:
    return "unlimited" if limit == resource.RLIM_INFINITY else f"{limit:,}"


# ---- the state directory -------------------------------------------------------------------------


def running_pid(state: Path) -> int | None:
    """The process that holds the state directory, as its lock file tells."""
    try:
        pid = int((state / "lock").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError, IndexError):
        return None
    return pid if _holds(pid, state / "lock") else None


def _holds(pid: int, lock: Path) -> bool:
    """Whether that process has the lock file open: its number may be another's by now."""
    folder = Path(f"/proc/{pid}/fd")
    try:
        inode = lock.stat().st_ino
        return any(_inode(each) == inode for each in folder.iterdir())
    except OSError:
        return Path(f"/proc/{pid}").exists() and not os.access(folder, os.R_OK)


def _inode(path: Path) -> int:
    try:
        return path.stat().st_ino
    except OSError:
        return 0


def _state_dir(state: Path, pid: int | None) -> Iterator[Advice]:
    path = "engine.state_dir"
    if not state.exists():
        yield Advice(path, "ok", f"{state} will be made at the first start")
        return
    found = state.stat()
    if found.st_uid != os.getuid():
        fix = f"run this as user {found.st_uid}, or: chown -R {os.getuid()} {state}"
        yield Advice(
            path, "fail", f"{state} belongs to user {found.st_uid}, not {os.getuid()}", fix
        )
    if found.st_mode & stat.S_IWOTH:
        yield Advice(path, "fail", f"everybody may write to {state}", f"chmod o-w {state}")
    yield from _versions(state)
    if pid is not None:
        yield Advice(path, "ok", f"process {pid} runs with {state}")


def _versions(state: Path) -> Iterator[Advice]:
    path = "engine.state_dir"
    try:
        with (state / STATE_NAME).open("rb") as file:
            words = file.readline(64).split()
        version = int(words[1]) if words[0] == b"penstock-state" else 0
        if version > STATE_VERSION:
            text = f"{state} has version {version}, this build reads up to {STATE_VERSION}"
            yield Advice(path, "fail", text, "start the newer penstock, or name another state_dir")
        elif version:
            yield Advice(path, "ok", f"{state} has version {version}")
        else:
            text = f"{state / STATE_NAME} is not penstock's"
            yield Advice(path, "fail", text, "name another state_dir")
    except FileNotFoundError:
        return  # one that holds other files is found by what the engine needs of this machine
    except (OSError, ValueError, IndexError) as wrong:
        yield Advice(path, "fail", f"{state / STATE_NAME} cannot be read: {wrong}", "look into it")


# ---- this machine and its neighbours -------------------------------------------------------------


def _environment(config: Config, pid: int | None) -> Iterator[Advice]:
    for each in check_environment(config):
        is_own_port = pid is not None and each.path.endswith((".bind", "ops.listen"))
        if is_own_port and not each.is_ok:
            yield Advice(each.path, "ok", f"{each.text.removeprefix('cannot ')}: the plant itself")
        else:
            yield Advice(each.path, "ok" if each.is_ok else "fail", each.text, each.fix)


def _targets(config: Config) -> Iterator[Advice]:
    from penstock import post

    for target in config.targets:
        path = f"target[{target.name}]"
        try:
            opened, _ = post.open_target(target, path)
        except ConfigError as wrong:
            yield Advice(path, "fail", wrong.reason, wrong.fix or "penstock config check has more")
            continue
        except ModuleNotFoundError as missing:
            fix = "pip install 'penstock[post]'"
            yield Advice(path, "fail", f"needs {missing.name}, which is not installed", fix)
            continue
        proof = opened.guarantees
        if proof.has_key and proof.has_readback:
            yield Advice(path, "ok", f"key and read-back; checked against {proof.checked_against}")
        else:
            lacking = "no key" if proof.has_readback else "no read-back"
            text = f"{lacking}: what is in doubt may have to be held"
            yield Advice(path, "warn", text, "penstock docs target-rest: idempotent, look_up")


# ---- what the disk takes -------------------------------------------------------------------------


def _wear(config: Config, state: Path, pid: int | None) -> Iterator[Advice]:
    measured = None if pid is None else _written(pid)
    if measured is not None:
        bytes_, seconds = measured
        day = bytes_ / seconds * DAY_S / GB
        text = f"{day:.3g} GB/day written, by {seconds / HOUR_S:.3g} h of process {pid}"
        fix = "durability process, or a longer checkpoint_s, or a disk made for it"
        is_much = day > WEAR_GB_DAY
        yield Advice("disk.wear", "warn" if is_much else "ok", text, fix if is_much else "")
        return
    images = [each.stat().st_size for each in state.glob("image.*")] if state.is_dir() else []
    if images:
        day = max(images) * DAY_S / config.engine.checkpoint_s / GB
        text = f"{day:.3g} GB/day by checkpoints; the rest is measured while the plant runs"
        yield Advice("disk.wear", "ok", text)
    else:
        text = "nothing was written yet; penstock size says what to expect"
        yield Advice("disk.wear", "ok", text)


def _written(pid: int) -> tuple[int, float] | None:
    """Bytes a process has sent to its disk, and over how many seconds; None where too short."""
    try:
        lines = Path(f"/proc/{pid}/io").read_text(encoding="ascii").splitlines()
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        uptime_s = float(Path("/proc/uptime").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError):
        return None
    seconds = uptime_s - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    found = {name: int(value) for name, _, value in (line.partition(": ") for line in lines)}
    return (found["write_bytes"], seconds) if seconds >= UPTIME_S_MIN else None


def _outage(state: Path) -> Iterator[Advice]:
    """How long the ledger can take events while nothing is posted."""
    ledger = state / LEDGER_NAME
    path = "disk.outage"
    if not ledger.is_file():
        yield Advice(path, "ok", "no ledger yet: how long an outage may last is not known")
        return
    now_ns = time.time_ns()
    try:
        with Reader.open(ledger) as reader:
            count, first_ns, total = reader.recent(now_ns - DAY_S * _NS)
    except PenstockError as wrong:
        yield Advice(path, "fail", str(wrong), "penstock ledger verify says more")
        return
    if not count or first_ns is None:
        yield Advice(path, "ok", "no event in the last day: an outage costs no disk")
        return
    found = os.statvfs(state)
    free = found.f_bavail * found.f_frsize
    span_s = max((now_ns - first_ns) / _NS, float(HOUR_S))
    hourly = ledger.stat().st_size / total * count / span_s * HOUR_S
    hours = free / hourly
    level = "fail" if hours < OUTAGE_H_FAIL else "warn" if hours < OUTAGE_H_WARN else "ok"
    fix = "" if level == "ok" else f"make room on the disk of {state}"
    text = (
        f"survives {hours:,.0f} hours of ERP outage: {free / GB:.3g} GB free, "
        f"{hourly / 1e6:.3g} MB of ledger an hour"
    )
    yield Advice(path, level, text, fix)
