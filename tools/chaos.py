"""chaos: what goes wrong in the demo, drawn from one printed seed: SIGKILLs, an ERP that is away,
answers cut off.
"""

from __future__ import annotations

import contextlib
import json
import random
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from demo import Demo

POST = "penstock.posting.post"  # look-ups pass, or nothing in doubt could be resolved
ERP_DOWN_S = 11.0
CUTS = 5


class ProxyControl:
    """Steers a fault proxy process by JSON lines on its standard input."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        assert process.stdout is not None
        self.url: str = json.loads(process.stdout.readline())["url"]
        self.send(match=POST)

    def send(self, **line: object) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(line).encode() + b"\n")
            self._process.stdin.flush()

    def counts(self) -> dict[str, int]:
        """How many requests met each fault."""
        self.send(counts=True)
        assert self._process.stdout is not None
        found: dict[str, int] = json.loads(self._process.stdout.readline())["counts"]
        return found


class Chaos:
    """Carries its plan out in a thread of its own; ``finish`` waits for the rest and counts."""

    def __init__(self, demo: Demo, dice: random.Random) -> None:
        self._demo, self._dice = demo, dice
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None
        self._is_done = threading.Event()
        self._release = (
            threading.Event()
        )  # children die with the thread that started them: it stays to the end
        self.kills_while_posting = 0
        self.erp_down_s = 0.0
        self.cuts = 0

    def start(self, duration_s: float) -> None:
        steps: list[tuple[float, Callable[[], None]]] = []
        for part in (0.14, 0.40, 0.74):
            steps.append((part, self._demo.kill_collector))
        steps += [(0.28, self.kill_while_posting), (0.50, self.stop_erp)]
        for index in range(CUTS):
            mode = "cut_answer" if index != 1 else "cut_request"
            steps.append((0.10 + 0.16 * index, partial(self.cut, mode)))
        jittered = [
            (max(0.05, at + self._dice.uniform(-0.03, 0.03)) * duration_s, do) for at, do in steps
        ]
        self._thread = threading.Thread(
            target=self._run, args=(sorted(jittered, key=lambda s: s[0]),), daemon=True
        )
        self._thread.start()

    def _run(self, steps: list[tuple[float, Callable[[], None]]]) -> None:
        begin = time.monotonic()
        try:
            for at, do in steps:
                time.sleep(max(0.0, begin + at - time.monotonic()))
                do()
        except BaseException as error:  # noqa: BLE001 - handed to the main thread by finish()
            self._failure = error
        self._is_done.set()
        self._release.wait()

    def is_done(self) -> bool:
        return self._is_done.is_set()

    def release(self) -> None:
        """The run is over; what this thread started may end."""
        self._release.set()

    def finish(self) -> None:
        self._is_done.wait()
        if self._failure is not None:
            raise self._failure
        assert self._demo.proxy is not None
        self.cuts = self._demo.proxy.counts().get("cut_answer", 0)

    # ---- steps -----------------------------------------------------------------------------------

    def cut(self, mode: str) -> None:
        """The next posting's answer is lost after the ERP's commit (or, once, the request before
        it).
        """
        assert self._demo.proxy is not None
        self._demo.proxy.send(plan=mode, count=1)

    def stop_erp(self) -> None:
        """The ERP is gone for a while: connections are refused."""
        assert self._demo.erp is not None
        begin = time.monotonic()
        self._demo.erp.stop()
        time.sleep(ERP_DOWN_S)
        self._demo.erp.start()
        self.erp_down_s = time.monotonic() - begin

    def kill_while_posting(self) -> None:
        """SIGKILL at a moment when the ledger says that an entry is on its way."""
        assert self._demo.proxy is not None
        self._demo.proxy.send(plan="delay", delay_s=1.0, count=1)
        ledger = self._demo.folder / "state" / "ledger.sqlite"
        until = time.monotonic() + 10
        while time.monotonic() < until:
            if self._is_posting(f"file:{ledger}?mode=ro"):
                self.kills_while_posting += 1
                break
            time.sleep(0.01)
        self._demo.kill_collector()

    @staticmethod
    def _is_posting(uri: str) -> bool:
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(uri, uri=True, timeout=1)) as db,
        ):
            rows: list[Any] = db.execute(
                "SELECT 1 FROM entry WHERE state = 'posting' LIMIT 1"
            ).fetchall()
            return bool(rows)
        return False
