#!/usr/bin/env python3
"""A real Tryton for the demo and the tests: installs it, seeds a plant, runs it in a folder.

Standard library only. Tryton lives in a virtual environment of its own and in its own process.

    erp.py setup [--machines A,B]          install, make and seed the database template (cached)
    erp.py start --dir DIR [--port N]      copy the template to DIR if empty, run the server,
                                           print one JSON line
    erp.py seed  --dir DIR --machines C,D  start one more production order a machine on a server
    erp.py stop  --dir DIR                 stop the server that runs in DIR

`start` stays in the foreground: the server lives as long as it does, and it as long as its parent.
Cached under $PENSTOCK_CACHE, else .penstock/erp: the first time takes about 30 s, later ones one.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import hashlib
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tryton_plant import SERVICE_USER, PlantError, seed_master, seed_orders
from tryton_rpc import Rpc, RpcError

REPO = Path(__file__).resolve().parent.parent
ADDON = REPO / "tools" / "tryton_penstock"
SERIES = ">=8.0,<8.1"
PACKAGES = tuple(f"{n}{SERIES}" for n in ("trytond", "trytond-production", "trytond-stock-lot"))
MODULES = ("company", "production", "stock_lot", "penstock")
DATABASE = "plant"
SEEDED_KEPT = 4  # cached machine lists; about 4 MB each
START_S_MAX = 60.0
STOP_S_MAX = 10.0
PR_SET_PDEATHSIG = 1

Say = Callable[[str], None]


class ErpError(Exception):
    """The ERP could not be installed, started or reached; the message says what to do."""


def say_to_stderr(line: str) -> None:
    """A progress line that leaves standard output to results."""
    print(line, file=sys.stderr, flush=True)


# ---- installing ------------------------------------------------------------------------------


def default_cache() -> Path:
    """Folder of the installed server and the seeded templates."""
    given = os.environ.get("PENSTOCK_CACHE")
    return Path(given).resolve() if given else REPO / ".penstock" / "erp"


def _addon_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(p for p in ADDON.rglob("*") if p.suffix in {".py", ".xml", ".cfg", ".toml"}):
        if "build" not in path.relative_to(ADDON).parts:
            digest.update(f"{path.relative_to(ADDON)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


@contextlib.contextmanager
def _locked(cache: Path) -> Iterator[None]:
    """One installer at a time; another process that wants the same waits and finds it done."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(command: list[str], what: str, env: dict[str, str] | None = None) -> None:
    done = subprocess.run(
        command, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode:
        tail = done.stdout.decode(errors="replace")[-2000:]
        raise ErpError(f"{what} failed ({done.returncode}): {' '.join(command)}\n{tail}")


def _ensure_venv(cache: Path, say: Say) -> Path:
    """The server's virtual environment, with our add-on as it is now."""
    venv = cache / "venv"
    marker = venv / "penstock.json"
    want = {"python": sys.version.split()[0], "packages": list(PACKAGES), "addon": _addon_digest()}
    have = json.loads(marker.read_text()) if marker.exists() else {}
    if have == want:
        return venv
    pip = [
        str(venv / "bin" / "python"),
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        "-q",
    ]
    if {**have, "addon": ""} != {**want, "addon": ""}:
        say("erp: installing Tryton 8.0 (about 12 s)")
        shutil.rmtree(venv, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(venv)], "python3 -m venv (Debian: python3-venv)")
        _run([*pip, *PACKAGES], "pip install")
    say("erp: installing the penstock add-on")
    with tempfile.TemporaryDirectory() as scratch:  # pip builds in the tree it is given
        copy = shutil.copytree(ADDON, Path(scratch) / "addon")
        _run([*pip, "--no-deps", "--force-reinstall", str(copy)], "pip install of the add-on")
    marker.write_text(json.dumps(want))
    return venv


def _ensure_template(cache: Path, say: Say) -> Path:
    """A database with the modules activated and the plant's master data, no orders."""
    venv = _ensure_venv(cache, say)
    recipe = Path(__file__).with_name("tryton_plant.py").read_bytes()
    ours = hashlib.sha256(recipe + (venv / "penstock.json").read_bytes())
    template = cache / "template" / ours.hexdigest()[:16]
    if template.exists():
        return template
    for old in (cache / "template", cache / "seeded", *cache.glob("new-*")):
        shutil.rmtree(old, ignore_errors=True)
    work = Path(tempfile.mkdtemp(dir=cache, prefix="new-"))
    say("erp: making the database (about 13 s)")
    admin_password, password = secrets.token_urlsafe(18), secrets.token_urlsafe(18)
    _write_conf(work, 0)
    (work / f"{DATABASE}.sqlite").touch()
    password_file = work / "pw"
    password_file.write_text(admin_password)
    env = {**_clean_env(), "TRYTONPASSFILE": str(password_file)}
    admin = [str(venv / "bin" / "trytond-admin"), "-c", str(work / "trytond.conf"), "-d", DATABASE]
    _run([*admin, "--all", "--email", "admin@example.org", "-l", "en"], "trytond-admin --all", env)
    _run([*admin, "-m", "-u", *MODULES, "--activate-dependencies"], "trytond-admin -u", env)
    password_file.unlink()
    (work / "seed.json").write_text(
        json.dumps({"password": password, "admin_password": admin_password, "orders": []})
    )
    (work / "seed.json").chmod(0o600)
    say("erp: seeding master data")
    with Server(work, venv, 0) as server:
        rpc = server.rpc("admin")
        seed_master(rpc, password)
    return _publish(work, template)


def _ensure_seeded(cache: Path, machines: tuple[str, ...], say: Say) -> Path:
    """The template with one running order a machine."""
    template = _ensure_template(cache, say)
    if not machines:
        return template
    name = hashlib.sha256("\0".join(machines).encode()).hexdigest()[:16]
    seeded = cache / "seeded" / f"{template.name}-{name}"
    if seeded.exists():
        os.utime(seeded)
        return seeded
    say(f"erp: starting {len(machines)} production orders")
    work = Path(tempfile.mkdtemp(dir=cache, prefix="new-"))
    _copy_database(template, work)
    seed = json.loads((work / "seed.json").read_text())
    with Server(work, cache / "venv", 0) as server:
        seed["orders"] = seed_orders(server.rpc("admin"), machines)
    (work / "seed.json").write_text(json.dumps(seed))
    _publish(work, seeded)
    by_age = sorted(seeded.parent.iterdir(), key=lambda p: p.stat().st_mtime, reverse=True)
    for old in by_age[SEEDED_KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
    return seeded


def _publish(work: Path, place: Path) -> Path:
    """Keep database and seed.json of a finished work folder under their final name, at once."""
    clean = Path(tempfile.mkdtemp(dir=work.parent, prefix="new-"))
    _copy_database(work, clean)
    place.parent.mkdir(exist_ok=True)
    clean.rename(place)
    shutil.rmtree(work)
    return place


def _copy_database(source: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    with (
        contextlib.closing(sqlite3.connect(source / f"{DATABASE}.sqlite")) as old,
        contextlib.closing(sqlite3.connect(target / f"{DATABASE}.sqlite")) as new,
    ):
        old.backup(new)  # a plain copy would miss what still lies in the write-ahead log
    shutil.copy(source / "seed.json", target / "seed.json")


def setup(
    directory: Path, machines: tuple[str, ...] = (), *, cache: Path | None = None, say: Say = print
) -> None:
    """Put a seeded database into `directory` unless one is there already."""
    cache = cache or default_cache()
    with _locked(cache):
        seeded = _ensure_seeded(cache, machines, say)
        if not (directory / f"{DATABASE}.sqlite").exists():
            _copy_database(seeded, directory)


# ---- the server ------------------------------------------------------------------------------


def _clean_env() -> dict[str, str]:
    kept = ("PATH", "HOME", "TMPDIR", "LANG", "LC_ALL", "TZ")
    return {name: os.environ[name] for name in kept if name in os.environ}


def _write_conf(directory: Path, port: int) -> None:
    (directory / "trytond.conf").write_text(
        f"[database]\nuri = sqlite://\npath = {directory.resolve()}\n"
        f"[web]\nlisten = 127.0.0.1:{port}\n[session]\ntimeout = 86400\n"
    )


def _free_port(wanted: int = 0) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", wanted))
        return int(probe.getsockname()[1])


def _die_with_parent(parent: int, signal_number: int) -> None:
    """Linux: the kernel signals this process when the thread that started it ends, however."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit("erp: the parent is gone")


@dataclass(frozen=True)
class Access:
    """How to reach a running server; what erp.json holds."""

    url: str
    database: str
    user: str
    password: str
    admin_password: str
    pid: int
    database_file: str
    orders: list[dict[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        return dict(self.__dict__)


class Server:
    """A Tryton server over the database in `directory`.

    It ends with the thread that started it at the latest.
    """

    def __init__(self, directory: Path, venv: Path, port: int = 0) -> None:
        self.directory, self._venv, self._port_wanted = directory, venv, port
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Access:
        """Start, wait for an answer, write erp.json. Without a wanted port: the last one."""
        if self._process is not None:
            raise ErpError(f"the server in {self.directory} is running")
        for attempt in range(3):
            self.port = self._choose_port(attempt)
            self._spawn()
            if self._answers():
                return self._write_access()
            self.stop()
        tail = (self.directory / "trytond.log").read_text(errors="replace")[-2000:]
        raise ErpError(f"trytond did not start in {self.directory}:\n{tail}")

    def _choose_port(self, attempt: int) -> int:
        if self._port_wanted:
            return self._port_wanted
        place = self.directory / "erp.json"
        if attempt == 0 and place.exists():
            last = int(json.loads(place.read_text())["url"].rpartition(":")[2])
            with contextlib.suppress(OSError):
                return _free_port(last)
        return _free_port()

    def _spawn(self) -> None:
        _write_conf(self.directory, self.port)
        code = (
            "import ctypes, os, sys;"
            f"ctypes.CDLL(None).prctl({PR_SET_PDEATHSIG}, 15, 0, 0, 0);"
            f"os.getppid() == {os.getpid()} or sys.exit('parent gone');"
            "os.execv(sys.argv[1], sys.argv[1:])"
        )
        server = [str(self._venv / "bin" / "python"), str(self._venv / "bin" / "trytond")]
        conf = ["-c", str(self.directory.resolve() / "trytond.conf"), "-d", DATABASE]
        with (self.directory / "trytond.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", code, *server, *conf],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_clean_env(),
            )

    def _answers(self) -> bool:
        assert self._process is not None
        body = json.dumps({"id": 1, "method": "common.server.version", "params": []})
        deadline = time.monotonic() + START_S_MAX
        while time.monotonic() < deadline and self._process.poll() is None:
            link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            try:
                link.request("POST", "/rpc/", body, {"Content-Type": "application/json"})
                if link.getresponse().status == 200:
                    return self._process.poll() is None
            except OSError:
                time.sleep(0.05)
            finally:
                link.close()
        return False

    def _write_access(self) -> Access:
        seed = json.loads((self.directory / "seed.json").read_text())
        access = Access(
            url=f"http://127.0.0.1:{self.port}",
            database=DATABASE,
            user=SERVICE_USER,
            password=seed["password"],
            admin_password=seed["admin_password"],
            pid=self.pid,
            database_file=str(self.directory.resolve() / f"{DATABASE}.sqlite"),
            orders=seed["orders"],
        )
        place = self.directory / "erp.json"
        new = place.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(json.dumps(access.as_dict()))
        new.rename(place)
        self.access = access
        return access

    @property
    def pid(self) -> int:
        if self._process is None:
            raise ErpError(f"no server runs in {self.directory}")
        return self._process.pid

    def rpc(self, user: str = SERVICE_USER) -> Rpc:
        """A session as `user`: the service user, or "admin"."""
        admin = user == "admin"
        password = self.access.admin_password if admin else self.access.password
        return Rpc(self.access.url, DATABASE, user, password)

    def wait(self) -> int:
        """Wait until the server ends by itself; its exit status."""
        assert self._process is not None
        return self._process.wait()

    def stop(self) -> None:
        """SIGTERM, and SIGKILL after STOP_S_MAX. Idempotent."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_S_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def kill(self) -> None:
        """SIGKILL: what a power cut of the ERP's machine looks like to a client."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def start(
    directory: Path,
    machines: tuple[str, ...] = (),
    *,
    port: int = 0,
    cache: Path | None = None,
    say: Say = print,
) -> Server:
    """Set up `directory` where needed and start its server; `.access` says how to reach it."""
    cache = cache or default_cache()
    setup(directory, machines, cache=cache, say=say)
    server = Server(directory, cache / "venv", port)
    server.start()
    return server


def running_pid(directory: Path) -> int | None:
    """The process that erp.json names, if it lives and serves this folder."""
    try:
        pid = int(json.loads((directory / "erp.json").read_text())["pid"])
        command = Path(f"/proc/{pid}/cmdline").read_bytes()  # empty for a dead, unreaped process
    except (FileNotFoundError, ProcessLookupError):
        return None
    return pid if str(directory.resolve() / "trytond.conf").encode() in command else None


def stop(directory: Path) -> bool:
    """Stop the server of this folder, if one runs; says whether there was one."""
    pid = running_pid(directory)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_S_MAX
    while running_pid(directory) is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    return True


# ---- command line ----------------------------------------------------------------------------


def _serve(directory: Path, machines: tuple[str, ...], port: int, cache: Path | None) -> int:
    _die_with_parent(os.getppid(), signal.SIGTERM)
    server = start(directory, machines, port=port, cache=cache, say=say_to_stderr)

    def leave(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, leave)
    print(json.dumps(server.access.as_dict()), flush=True)
    try:
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        server.stop()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("command", choices=("setup", "start", "seed", "stop"))
    parser.add_argument("--dir", type=Path, help="folder of the database, erp.json and the log")
    parser.add_argument("--port", type=int, default=0, help="0: the last one, else a free one")
    parser.add_argument("--machines", default="", help="codes, separated by commas")
    parser.add_argument("--cache", type=Path, help="default: $PENSTOCK_CACHE, else .penstock/erp")
    parser.add_argument("--json", action="store_true", help="one JSON line on standard output")
    args = parser.parse_args(argv)
    machines = tuple(m for m in args.machines.split(",") if m)
    if args.dir is None and args.command != "setup":
        parser.error(f"{args.command} needs --dir")
    try:
        if args.command == "start":
            return _serve(args.dir, machines, args.port, args.cache)
        result = _command(args, machines)
    except (ErpError, PlantError, RpcError, OSError) as error:
        say_to_stderr(f"erp: {error}")
        return 1
    print(json.dumps(result) if args.json else f"erp: {args.command} done: {result}")
    return 0


def _command(args: argparse.Namespace, machines: tuple[str, ...]) -> dict[str, Any]:
    started = time.monotonic()
    if args.command == "setup":
        cache = args.cache or default_cache()
        if args.dir is None:
            with _locked(cache):
                _ensure_seeded(cache, machines, say_to_stderr)
        else:
            setup(args.dir, machines, cache=cache, say=say_to_stderr)
        return {"cache": str(cache), "seconds": round(time.monotonic() - started, 1)}
    if args.command == "stop":
        return {"stopped": stop(args.dir)}
    if not (args.dir / "erp.json").exists():
        raise ErpError(f"no erp.json in {args.dir}: start the server first")
    access = json.loads((args.dir / "erp.json").read_text())
    rpc = Rpc(access["url"], access["database"], "admin", access["admin_password"])
    return {"orders": seed_orders(rpc, machines)}


if __name__ == "__main__":
    sys.exit(main())
