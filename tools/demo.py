"""demo: the whole path on this machine, from simulated machines to documents in a real ERP, and a
bookkeeper's verdict.

    python3 tools/dev.py demo                       60 s, then drain and compare
    python3 tools/dev.py demo -- --for 60s --chaos  kills the collector, stops the ERP, cuts answers
    after the commit
    … --keep DIR                                    keeps logs, ledger and books

Separate processes: three lines of the plant (libzmq, nats-server), the collector (`penstock run`),
Tryton, a fault proxy between the two. The last line is the verdict of tools/books.py, which imports
nothing of penstock. Exit codes: 0 the books are right, 1 they are not (each difference is named), 2
usage, 3 a part did not start.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import books
import erp
from chaos import Chaos, ProxyControl

TOOLS = Path(__file__).resolve().parent
LINES = 3
PLANT_END_S_MAX = 25.0  # a lot and a state last at least 6 s
DRAIN_S_MAX = 90.0
COLLECTOR_BACK_S = (
    1.0  # a killed collector is started again after this long (it must be back within 4 s)
)
WIRES = {"line1": ("zmq-push", "packed"), "line2": ("nats", "json"), "line3": ("zmq-pub", "packed")}


class DemoError(Exception):
    """A part of the demo did not start; the text says which and shows its last words."""


def die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)


def spawn(
    name: str,
    words: list[object],
    folder: Path,
    *,
    env: dict[str, str] | None = None,
    stdin: Any = None,
) -> subprocess.Popen[bytes]:
    """A child whose output goes to folder/name.log and which dies with this process."""
    log = (folder / f"{name}.log").open("ab")
    return subprocess.Popen(
        [str(word) for word in words],
        stdout=log,
        stderr=subprocess.STDOUT,
        stdin=stdin,
        env={**os.environ, **(env or {})},
        preexec_fn=die_with_parent,
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(what: str, check: Any, seconds: float, log: Path) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if check():
            return
        time.sleep(0.05)
    tail = log.read_text(errors="replace")[-1500:] if log.exists() else ""
    raise DemoError(f"{what} did not come up within {seconds:.0f} s\n{tail}")


def answers(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Demo:
    """All processes of one run, in the folder that holds what they leave behind."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder, self.options = folder, options
        self.logs = folder / "logs"
        self.logs.mkdir(parents=True, exist_ok=True)
        self.status_file = folder / "status.jsonl"
        self.stop_file = folder / "stop"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.plants: dict[str, subprocess.Popen[bytes]] = {}
        self.machines = tuple(
            f"line{line}.m{k}"
            for line in range(1, LINES + 1)
            for k in range(1, options.machines + 1)
        )
        self.erp: erp.Server | None = None
        self.proxy: ProxyControl | None = None
        self.collector_lock = threading.Lock()
        self.is_ending = False
        self.kills = 0
        self.env: dict[str, str] = {}

    # ---- parts -----------------------------------------------------------------------------------

    def start_erp(self) -> None:
        say("Tryton on SQLite (the first time installs it, about half a minute)")
        self.erp = erp.start(self.folder / "erp", self.machines, say=say)

    def start_nats(self) -> None:
        port, password = free_port(), secrets.token_urlsafe(12)
        config = self.folder / "nats.conf"
        config.write_text(
            f'listen: "127.0.0.1:{port}"\n'
            f'authorization {{ user: penstock, password: "{password}" }}\n'
        )
        config.chmod(0o600)
        server = shutil.which("nats-server") or str(Path(sys.executable).parent / "nats-server")
        self.processes["nats"] = spawn("nats", [server, "-c", config], self.folder)
        wait_for("nats-server", lambda: answers(port), 10, self.folder / "nats.log")
        self.env |= {"DEMO_NATS_PORT": str(port), "PENSTOCK_SECRET_NATS_PASSWORD": password}

    def start_proxy(self) -> None:
        assert self.erp is not None
        access = self.erp.access
        words = [
            sys.executable,
            "-m",
            "penstock.testing.fault_proxy",
            "--listen",
            "127.0.0.1:0",
            "--upstream",
            access.url,
            "--control",
            "-",
        ]
        process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(self.folder / "proxy.log").open("ab"),
            preexec_fn=die_with_parent,
        )
        self.processes["proxy"] = process
        self.proxy = ProxyControl(process)
        self.env |= {
            "DEMO_ERP_URL": self.proxy.url,
            "DEMO_ERP_DATABASE": access.database,
            "DEMO_ERP_USER": access.user,
            "PENSTOCK_SECRET_ERP_PASSWORD": access.password,
        }

    def start_collector(self) -> None:
        words = [
            sys.executable,
            "-m",
            "penstock",
            "run",
            TOOLS / "demo_plant.toml",
            "--status-file",
            self.status_file,
        ]
        self.processes["collector"] = spawn("collector", words, self.folder, env=self.env)

    def start_plants(self) -> None:
        assert self.erp is not None
        orders = {row["asset"]: int(row["order"]) for row in self.erp.access.orders}
        (self.folder / "orders.json").write_text(json.dumps(orders))
        for index, (line, (wire, form)) in enumerate(WIRES.items()):
            words: list[object] = [
                sys.executable,
                TOOLS / "plant.py",
                "--line",
                line,
                "--wire",
                wire,
                "--format",
                form,
                "--tags",
                200,
                "--rate",
                self.options.rate,
                "--machines",
                self.options.machines,
                "--seed",
                self.options.seed + index,
                "--log-dir",
                self.logs,
                "--orders",
                self.folder / "orders.json",
                "--until",
                self.stop_file,
                "--lot-base",
                1_000_000 * (index + 1),
                "--stream",
                index + 1,
            ]
            words += self.plant_endpoint(line, wire)
            self.plants[line] = spawn(line, words, self.folder, env=self.env)

    def plant_endpoint(self, line: str, wire: str) -> list[object]:
        if wire == "zmq-push":
            return ["--connect", f"tcp://127.0.0.1:{self.env['DEMO_LINE1_PORT']}"]
        if wire == "zmq-pub":
            return ["--bind", f"tcp://127.0.0.1:{self.env['DEMO_LINE3_PORT']}"]
        password = self.env["PENSTOCK_SECRET_NATS_PASSWORD"]
        url = f"nats://penstock:{password}@127.0.0.1:{self.env['DEMO_NATS_PORT']}"
        return ["--connect", url, "--subject", f"tel.{line}.all"]

    def start(self) -> None:
        self.env |= {
            "DEMO_STATE": str(self.folder / "state"),
            "DEMO_LINE1_PORT": str(free_port()),
            "DEMO_LINE3_PORT": str(free_port()),
        }
        self.start_erp()
        self.start_nats()
        self.start_proxy()
        say("collector: penstock run tools/demo_plant.toml")
        self.start_collector()
        log = self.folder / "collector.log"
        wait_for("the collector", lambda: bool(self.status()), 15, log)
        say(
            f"plant: {LINES} lines x {self.options.machines} machines, "
            f"200 tags a line at {self.options.rate} Hz"
        )
        self.start_plants()

    # ---- watching --------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """The collector's newest status line, or an empty dictionary."""
        try:
            with self.status_file.open("rb") as file:
                file.seek(max(0, self.status_file.stat().st_size - 16384))
                lines = file.read().splitlines()
        except OSError:
            return {}
        for line in reversed(lines):
            with contextlib.suppress(ValueError):
                found: dict[str, Any] = json.loads(line)
                return found
        return {}

    def kill_collector(self) -> None:
        """SIGKILL, then back within a second or two."""
        with self.collector_lock:
            if self.is_ending:
                return
            process = self.processes["collector"]
            process.send_signal(signal.SIGKILL)
            process.wait()
            self.kills += 1
            time.sleep(COLLECTOR_BACK_S)
            self.start_collector()

    def check_alive(self) -> None:
        with self.collector_lock:
            for name, process in {**self.processes, **self.plants}.items():
                if process.poll() not in (None, 0):
                    tail = (self.folder / f"{name}.log").read_text(errors="replace")[-1500:]
                    raise DemoError(f"{name} ended with {process.returncode}\n{tail}")

    # ---- end -------------------------------------------------------------------------------------

    def end_plants(self, view: View) -> list[dict[str, Any]]:
        """Lets every machine finish its lot and its log; returns what each line says it sent."""
        self.stop_file.touch()
        until = time.monotonic() + PLANT_END_S_MAX
        while any(process.poll() is None for process in self.plants.values()):
            if time.monotonic() > until:
                raise DemoError(f"a line did not end within {PLANT_END_S_MAX:.0f} s")
            time.sleep(1)
            view.show()
        return [
            json.loads((self.logs / f"{line}.summary.json").read_text()) for line in self.plants
        ]

    def drain(self, view: View) -> None:
        """Waits until nothing is on its way to the ERP any more."""
        until, calm = time.monotonic() + DRAIN_S_MAX, 0
        while time.monotonic() < until and calm < 3:
            time.sleep(1)
            view.show()
            states = self.status().get("entries", {})
            open_entries = sum(
                states.get(name, 0) for name in ("ready", "posting", "retry", "in_doubt")
            )
            calm = calm + 1 if open_entries == 0 else 0

    def end_collector(self) -> None:
        with self.collector_lock:
            self.is_ending = True
            process = self.processes["collector"]
            process.terminate()
            try:
                code = process.wait(10)
            except subprocess.TimeoutExpired:
                raise DemoError("the collector did not end within 10 s of SIGTERM") from None
            if code != 0:
                raise DemoError(f"the collector ended with {code} after SIGTERM")

    def stop(self) -> None:
        self.is_ending = True
        for process in {**self.plants, **self.processes}.values():
            if process.poll() is None:
                process.terminate()
        for process in {**self.plants, **self.processes}.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            if process.poll() is None:
                process.kill()
        if self.erp is not None:
            self.erp.stop()


class View:
    """One line a second; on a terminal the same lines, and each document as it appears."""

    def __init__(self, demo: Demo) -> None:
        self.demo = demo
        self.begin = time.monotonic()
        self.newest_ns = 0
        self.cpu: list[float] = []  # of the collector, while the plant runs

    def show(self) -> None:
        status = self.demo.status()
        if status.get("samples_per_s", 0) > 0:
            self.cpu.append(status["cpu"])
        states = status.get("entries", {})
        print(
            f"{time.monotonic() - self.begin:5.0f} s"
            f"  {status.get('samples_per_s', 0):>9,.0f} samples/s"
            f"  cpu {100 * status.get('cpu', 0):3.0f} %  rss {status.get('rss', 0) / 1e6:4.0f} MB"
            f"  dropped {status.get('dropped', 0)}  residual {status.get('residual', 0)}"
            f"  lost_upstream {status.get('lost_upstream', 0):,}  events {status.get('events', 0)}"
            f"  posted {states.get('posted', 0)}  waiting {self.waiting(states)}",
            flush=True,
        )
        fresh = [row for row in status.get("documents", []) if row["posted_at_ns"] > self.newest_ns]
        for row in fresh:
            self.newest_ns = max(self.newest_ns, row["posted_at_ns"])
            print(
                f"         -> {row['document']:<10} {row['contract']:<25} {row['business_object']}"
            )

    @staticmethod
    def waiting(states: dict[str, int]) -> str:
        shown = [
            f"{name} {states[name]}"
            for name in ("ready", "posting", "retry", "in_doubt", "held", "dead")
            if states.get(name)
        ]
        return ", ".join(shown) or "0"


def say(text: str) -> None:
    print(f"demo: {text}", flush=True)


def seconds(text: str) -> float:
    factor = {"s": 1, "m": 60}.get(text[-1:], 0)
    return float(text[:-1]) * factor if factor else float(text)


def report(demo: Demo, view: View, chaos: Chaos | None, summaries: list[dict[str, Any]]) -> int:
    """Prints what happened and the verdict; returns the exit code."""
    status = demo.status()
    verdict = books.check(demo.logs, demo.folder / "erp" / "erp.json")
    for difference in verdict.differences:
        print(f"books: {difference}")
    sent = sum(row["samples"] for row in summaries)
    elapsed = max(row["elapsed_s"] for row in summaries)
    wanted = LINES * 200 * demo.options.rate
    print(
        f"offered      {sent / elapsed:,.0f} samples/s of {wanted:,.0f}; plant CPU "
        + ", ".join(f"{100 * row['cpu_s'] / row['elapsed_s']:.0f} %" for row in summaries)
    )
    share = sum(view.cpu) / max(len(view.cpu), 1)
    print(f"collector    {100 * share:.0f} % of one core, {status.get('rss', 0) / 1e6:.0f} MB")
    for line in verdict.by_kind():
        print(f"             {line}")
    if chaos is not None:
        found, absent = status.get("in_doubt_found", 0), status.get("in_doubt_absent", 0)
        print(
            f"chaos        kills {demo.kills} ({chaos.kills_while_posting} while posting), "
            f"ERP down "
            f"{chaos.erp_down_s:.0f} s, answers cut {chaos.cuts}, seed {demo.options.seed}"
        )
        print(f"in_doubt     resolved {found + absent} (found {found} / not found {absent})")
    print(f"lost_upstream {status.get('lost_upstream', 0):,}   dropped {status.get('dropped', 0)}")
    print(
        f"compression  {status.get('received', 0) - status.get('dropped', 0):,} samples : "
        f"{status.get('events', 0):,} events : "
        f"{verdict.documents:,} documents"
    )
    residual = int(status.get("residual", -1))
    print(verdict.line(residual))
    return 0 if verdict.ok and residual == 0 else 1


def run(demo: Demo) -> int:
    options = demo.options
    demo.start()
    view = View(demo)
    chaos = Chaos(demo, random.Random(options.seed)) if options.chaos else None
    if chaos is not None:
        say(f"chaos with seed {options.seed}")
        chaos.start(options.duration)
    until = time.monotonic() + options.duration
    while time.monotonic() < until or (chaos is not None and not chaos.is_done()):
        time.sleep(1)
        demo.check_alive()
        view.show()
    if chaos is not None:
        chaos.finish()
    say("machines finish their lots; the collector drains")
    summaries = demo.end_plants(view)
    demo.drain(view)
    demo.end_collector()
    return report(demo, view, chaos, summaries)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="dev.py demo --", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--for", dest="duration", type=seconds, default=60.0, help="60s or 2m; default 60s"
    )
    parser.add_argument("--chaos", action="store_true", help="kill, stop and cut while it runs")
    parser.add_argument("--seed", type=int, default=None, help="of plant and chaos; printed")
    parser.add_argument("--keep", type=Path, help="folder to keep logs, ledger and books in")
    parser.add_argument("--rate", type=int, default=1000, help="messages a second of each line")
    parser.add_argument("--machines", type=int, default=5, help="machines of each line")
    options = parser.parse_args()
    options.seed = (
        random.SystemRandom().randrange(1, 100_000) if options.seed is None else options.seed
    )
    folder = options.keep or Path(tempfile.mkdtemp(prefix="penstock-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    demo = Demo(folder.resolve(), options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return run(demo)
    except (DemoError, erp.ErpError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 130
    finally:
        demo.stop()
        if options.keep is None:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            say(f"kept in {folder}")


if __name__ == "__main__":
    sys.exit(main())
