"""measure: how every figure is made: pinned processes, contestants in turns, work checked.

One round runs each contestant once; rounds alternate their order, so that a slow minute of the
machine falls on all. CPU is user + system time of the receiving process, from its getrusage,
over exactly the messages that count: the sender waits between the warm-up and these.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import selectors
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from builds import BUILD, IS_INSTALLED
from figure import Figure, figure_of, rounded
from machine import ROOT as ROOT
from machine import BusyTime, default_ring_bytes

PATIENCE_S = 150.0
NOT_OURS = ("send_", "recv_raw", "recv_libzmq", "recv_natsc", "read_", "write_")
LOADED = {"libzmq3-dev": "libzmq.so.5"}  # not linked, but loaded when the program runs
ROUNDS_MIN = 2
CPU_RECEIVER = 0
CPU_SENDER = 1 if (os.cpu_count() or 1) > 1 else 0


class Skip(Exception):
    """A figure cannot be taken here; the text says what is missing and how to install it."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much a run sends. ``warm`` passes the ring once, so that its pages have been touched."""

    messages: int = 5_000_000
    warm: int = 11_500_000
    slow: int = 300_000  # messages for a peer that takes microseconds each
    rows: int = 12_000_000
    rounds: int = 5
    turns_s: float = 30.0  # for all rounds of a figure: thirty-odd figures in twenty minutes
    paced_s: float = 2.5  # of a paced sender, for delays; 0: as long as ``messages`` take

    @classmethod
    def quick(cls) -> Self:
        return cls(messages=2_000_000, warm=2_000_000, slow=100_000, rows=2_000_000, rounds=3,
                   turns_s=6.0, paced_s=0.8)  # fmt: skip

    @classmethod
    def short(cls) -> Self:
        """For --compare: many short readings say more than few long ones."""
        return cls(messages=300_000, warm=100_000, slow=20_000, rows=500_000, rounds=1, paced_s=0.3)

    @classmethod
    def exactly(cls, messages: int) -> Self:
        """For the test suite: the work is checked, the figures say nothing."""
        rows = max(messages, 1000)
        return cls(messages=messages, warm=1000, slow=min(messages, 5000), rows=rows, rounds=1,
                   paced_s=0)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reading:
    """One run of one contestant. ``problem`` is "" where its work was what the sender planned."""

    cpu_ns: float  # per message, sample or row
    rate: float  # per second
    problem: str = ""
    busy_ns: float | None = None  # the whole machine's, less the sender's CPU


@dataclass(slots=True)
class Bench:
    """What a run is: sizes, and where a contestant's files go."""

    sizes: Sizes
    box: Mapping[str, Any]
    say: Callable[[str], None]
    ring_bytes: int = field(default_factory=default_ring_bytes)
    build: Path = BUILD  # where its programs are; looked up at each reading, see compare.py
    is_alone: bool = False  # only our own side of each figure
    is_used: bool = False  # a program with our engine was asked for

    def program(self, name: str, package: str = "") -> str:
        """A program of the build; ``package``: what it needs of the system."""
        path = self.build / name
        self.is_used = self.is_used or not name.startswith(NOT_OURS)
        if package and not (path.exists() and has_library(LOADED.get(package, ""))):
            raise Skip(f"{name} needs a library: {how_to_get(package)}")
        if IS_INSTALLED and not path.exists():
            raise Skip(f"{name} is built in the source tree only")
        return str(path)

    def take_turns(
        self, contestants: Mapping[str, Callable[[], Reading]], rounds: int = 0
    ) -> dict[str, list[Reading]]:
        """Every contestant once a round; "penstock" is ours. ``rounds`` 0: what the sizes say."""
        if self.is_alone:
            contestants = {"penstock": contestants["penstock"]}
        wanted = rounds or self.sizes.rounds
        return take_turns(contestants, wanted, self.say, self.sizes.turns_s)

    def figure(
        self,
        name: str,
        ours: Sequence[Reading],
        theirs: Mapping[str, Sequence[Reading]],
        *,
        wire: str,
        unit: str = "ns CPU/msg",
        is_limit: bool = False,
    ) -> Figure:
        """Ours against the best baseline, by medians."""
        best = min(theirs, key=lambda key: median_ns(theirs[key]), default="")
        beside = theirs[best] if best else ()
        problems = [each.problem for each in (*ours, *beside) if each.problem]
        note = f"ours at {median_rate(ours) / 1e6:.2f} M/s"
        if beside:
            low, high = (min(r.cpu_ns for r in beside), max(r.cpu_ns for r in beside))
            note = f"{best}: {low:.1f} to {high:.1f}; {note}"
        found = figure_of(
            name,
            unit,
            [each.cpu_ns for each in ours],
            [each.cpu_ns for each in beside],
            n=self.sizes.messages if unit.endswith("msg") else self.sizes.rows,
            wire=wire,
            box=self.box,
            note=("limit " if is_limit else "") + note,
            problem=problems[0] if problems else "",
        )
        busy = [each.busy_ns for each in ours if each.busy_ns is not None]
        return replace(found, machine_busy=rounded(statistics.median(busy)) if busy else None)

    def plain(
        self,
        name: str,
        unit: str,
        ours: Sequence[float],
        theirs: Sequence[float] = (),
        *,
        n: int,
        wire: str,
        note: str = "",
        problem: str = "",
    ) -> Figure:
        """Any other figure, in its own unit: see ``figure_of``."""
        return figure_of(
            name, unit, ours, theirs, n=n, wire=wire, box=self.box, note=note, problem=problem
        )

    def skipped(self, name: str, why: str) -> Figure:
        return Figure(
            name, "", None, None, None, 0, None, None, None, "", self.box, f"skipped: {why}"
        )


def has_library(name: str) -> bool:
    """Whether the loader finds it; "" is linked, or nothing."""
    try:
        ctypes.CDLL(name or None)
    except OSError:
        return False
    return True


def how_to_get(package: str) -> str:
    if package not in LOADED and IS_INSTALLED:
        return f"{package}, and the source tree, whose build links it"
    return f"apt-get install -y {package}"


def median_ns(readings: Sequence[Reading]) -> float:
    return statistics.median(each.cpu_ns for each in readings)


def median_rate(readings: Sequence[Reading]) -> float:
    return statistics.median(each.rate for each in readings)


def take_turns(
    contestants: Mapping[str, Callable[[], Reading]],
    rounds: int,
    say: Callable[[str], None],
    turns_s: float = math.inf,
) -> dict[str, list[Reading]]:
    """Runs every contestant once a round, the order turned round each time. A slow box takes fewer
    rounds, two at least: a new one begins only if it is likely to end within ``turns_s``.
    """
    taken: dict[str, list[Reading]] = {name: [] for name in contestants}
    begin = time.monotonic()
    for turn in range(rounds):
        spent = time.monotonic() - begin
        if turn >= ROUNDS_MIN and spent + spent / turn > turns_s:
            say(f"  {turn} of {rounds} rounds: {turns_s:.0f} s are what a figure may take")
            break
        names = list(contestants)
        for name in names if turn % 2 == 0 else reversed(names):
            reading = contestants[name]()
            taken[name].append(reading)
            problem = f"  PROBLEM {reading.problem}" if reading.problem else ""
            say(
                f"  round {turn + 1}/{rounds} {name:<22} {reading.cpu_ns:9.2f} ns"
                f" {reading.rate / 1e6:8.2f} M/s{problem}"
            )
    return taken


# ---- processes ---------------------------------------------------------------------------------


class Child:
    """A bench program: pinned to one CPU, spoken to in lines. See native/child.h."""

    def __init__(self, cpu: int | str, command: Sequence[str]) -> None:
        pinned = ["taskset", "-c", str(cpu), *command]
        self.name = Path(command[0]).name
        self._process = subprocess.Popen(
            pinned, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
        )
        self._rest = b""

    @property
    def pid(self) -> int:
        return self._process.pid

    def expect(self, word: str) -> str:
        """The rest of the next line, which must start with ``word``."""
        line = self._line()
        if line.split(" ", 1)[0] != word:
            raise RuntimeError(f"{self.name}: {line!r} where {word!r} was due")
        return line.removeprefix(word).strip()

    def expect_json(self, word: str) -> dict[str, Any]:
        found = json.loads(self.expect(word))
        assert isinstance(found, dict)
        return found

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")

    def finish_input(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()

    def kill(self) -> None:
        """One that never ends by itself."""
        self._process.kill()

    def wait(self) -> None:
        """Until it has ended by itself, with all that it writes then."""
        self._process.wait(timeout=PATIENCE_S)

    def _line(self) -> str:
        assert self._process.stdout is not None
        until = time.monotonic() + PATIENCE_S
        with selectors.DefaultSelector() as waiting:
            waiting.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._rest:
                if not waiting.select(max(0.0, until - time.monotonic())):
                    raise RuntimeError(f"{self.name}: silent for {PATIENCE_S:.0f} s")
                more = os.read(self._process.stdout.fileno(), 65536)
                if not more:
                    raise RuntimeError(f"{self.name}: ended with {self._process.wait()}")
                self._rest += more
        line, self._rest = self._rest.split(b"\n", 1)
        return line.decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves no process behind: what has not ended by itself by now is not needed."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def engine_folders() -> Iterator[tuple[str, str]]:
    """A fresh state directory on disk and a fresh ring directory on tmpfs, as in production."""
    BUILD.mkdir(parents=True, exist_ok=True)
    state = tempfile.mkdtemp(prefix="state-", dir=BUILD)
    ring = tempfile.mkdtemp(prefix="penstock-bench-", dir="/dev/shm")
    try:
        yield state, ring
    finally:
        shutil.rmtree(state, ignore_errors=True)
        shutil.rmtree(ring, ignore_errors=True)


def run_wire(sender: Sequence[str], receiver: Callable[[str], Sequence[str]], *, warm: int,
             count: int, is_ours: bool) -> Reading:  # fmt: skip
    """One sender, one receiver, ``count`` messages that count; ours is compared with the plan."""
    with Child(CPU_SENDER, sender) as source:
        port, _, opening = source.expect("port").split()
        command = [part.replace("OPENING", opening) for part in receiver(port)]
        with Child(CPU_RECEIVER, [*command, str(warm), str(count)]) as target:
            source.tell(f"send {warm}")
            target.expect("warm")
            busy = BusyTime(source.pid)
            source.tell(f"send {count}")
            measured = target.expect_json("measured")
            busy_ns = busy.so_far_ns() / count
            final = {}
            if is_ours:
                source.tell("tail")
                final = target.expect_json("final")
        source.finish_input()
        expected = source.expect_json("expected")
    problem = "" if measured["count"] == count else f"counted {measured['count']} of {count}"
    if is_ours:
        problem = compare(final, expected, tail=1000)
    return Reading(measured["cpu_ns"] / count, count / measured["wall_ns"] * 1e9, problem, busy_ns)


def compare(final: Mapping[str, Any], expected: Mapping[str, Any], *, tail: int) -> str:
    """What our engine says it did against the sender's plan; "" where all of it agrees."""
    samples = expected["samples"]
    wanted = {
        "received": samples + tail,
        "used": samples + tail,
        "dropped": 0,
        "lost": 0,
        "late": 0,
        "out_of_order": 0,
        "overwritten": 0,
        "window_count": samples,
        "window_sum": expected["sum"],
        "clears": final["trips"],  # the tail ends every excursion
    }
    for name, value in wanted.items():
        if final[name] != value:
            return f"{name} is {final[name]}, the plan says {value}"
    told = final["trips"] + final["clears"] + final["folded"]
    if told != 2 * expected["trips"]:
        return f"{told} crossings told or folded, the plan has {2 * expected['trips']}"
    return ""
