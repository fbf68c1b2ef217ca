"""One line of a simulated packaging plant, in its own process: telemetry out, machine logs on disk.

    python tools/plant.py --line line1 --wire zmq-push --connect tcp://127.0.0.1:5555 \\
        --format packed --orders orders.json --log-dir logs --until stop-file

One message each 1/rate s holds all tags of the line. It repeats what documents rest on: state and
since when, order, lot, cumulative good, scrap and used with their readings at the lot's start.
``seq`` counts the samples made so far in this boot, whether the wire took them or not, so a
receiver can count what it missed.

The line ends on SIGTERM, SIGINT, after ``--for`` seconds, when the file of ``--until`` appears, or
when whoever was to make that file is gone. Each machine then ends its lot and any stop at one
instant, as soon as both have lasted their shortest time (6 s, some 14 s at worst), and the line
goes on sending for ``--linger`` seconds, idle and under the next lot number, so that the cut is
seen. The last line of standard output, also LOG_DIR/LINE.summary.json, says what was sent.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from plant_line import (
    FIELDS,
    GOOD,
    IDLE,
    INT_FIELDS,
    MILLI_FIELDS,
    SCRAP,
    USED,
    Machine,
    MachineLog,
    Noise,
    Pace,
    noise_names,
)
from plant_wire import ENCODERS, NatsSender, Sender, WireError, ZmqSender

WAKE_S = 0.004  # messages keep their own stamps; waking for each would cost twice the CPU
ATTEND_S = 0.1
BLOCK_TICKS = 100
NS_PER_S = 1_000_000_000


def parse(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="one line of a simulated packaging plant")
    parser.add_argument(
        "--line", required=True, help="name of the line; machines are LINE.m1, LINE.m2, ..."
    )
    parser.add_argument("--wire", required=True, choices=("zmq-push", "zmq-pub", "nats"))
    parser.add_argument(
        "--connect", default="", help="tcp://host:port or nats://[user:password@]host:port"
    )
    parser.add_argument("--bind", default="", help="tcp://host:port (ZeroMQ only)")
    parser.add_argument(
        "--subject", default="", help="NATS subject, or first part of a ZeroMQ message"
    )
    parser.add_argument("--format", default="packed", choices=tuple(ENCODERS))
    parser.add_argument("--tags", type=int, default=200)
    parser.add_argument("--rate", type=int, default=1000, help="messages a second")
    parser.add_argument("--machines", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log-dir", type=Path, required=True)
    parser.add_argument(
        "--orders", type=Path, required=True, help="JSON object: machine to order number"
    )
    parser.add_argument(
        "--stream", type=int, help="default: the number at the end of the line's name"
    )
    parser.add_argument(
        "--lot-base", type=int, help="added to the lot numbers; default stream x 10,000,000"
    )
    parser.add_argument("--until", type=Path, help="end when this file appears")
    parser.add_argument("--for", dest="for_s", type=float, help="end after so many seconds")
    parser.add_argument(
        "--linger", type=float, default=1.5, help="seconds of idle messages at the end"
    )
    parser.add_argument(
        "--crossings", type=float, default=1 / 3, help="pressure limits crossed a second"
    )
    parser.add_argument(
        "--pace", type=float, default=1.0, help="lots and stops so many times shorter"
    )
    options = parser.parse_args(words)
    if bool(options.connect) == bool(options.bind) or (options.bind and options.wire == "nats"):
        parser.error("give --connect or, with ZeroMQ, --bind")
    if not options.machines * len(FIELDS) < options.tags <= 200 or options.rate < 1:
        parser.error(f"--tags: more than {len(FIELDS)} a machine, at most 200 a line")
    if options.stream is None:
        number = re.search(r"\d+$", options.line)
        options.stream = int(number.group()) if number else 1
    if options.lot_base is None:
        options.lot_base = options.stream * 10_000_000
    return options


def sender(options: argparse.Namespace) -> Sender:
    if options.wire == "nats":
        return NatsSender(options.connect, options.subject)
    return ZmqSender(options.wire == "zmq-push", options.bind, options.connect, options.subject)


@dataclass
class Counts:
    messages: int = 0
    not_accepted: int = 0
    elapsed_s: float = 0.0


@dataclass
class Line:
    """The machines of a line, the message they share, and the wire it goes out on."""

    options: argparse.Namespace
    sender: Sender
    start_ns: int  # stamp of the first message, a whole millisecond
    counts: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        options = self.options
        rng = random.Random(options.seed)
        orders: dict[str, int] = json.loads(options.orders.read_text(encoding="utf-8"))
        options.log_dir.mkdir(parents=True, exist_ok=True)
        self.machines = []
        for k in range(1, options.machines + 1):
            name = f"{options.line}.m{k}"
            if name not in orders:
                raise WireError(f"{options.orders} names no order for {name}")
            log = MachineLog(options.log_dir / f"{name}.jsonl")
            lot = options.lot_base + k * 100_000 + 1
            pace = Pace(speed=options.pace)
            self.machines.append(
                Machine(name, int(orders[name]), lot, rng, log, options.rate, pace)
            )
        names = noise_names(options.line, options.machines, options.tags)
        self.noise = Noise(names, options.rate, options.crossings, rng)
        self.boot = self.start_ns // NS_PER_S
        self.encoder = ENCODERS[options.format](
            [f"{m.name}.{what}" for m in self.machines for what in INT_FIELDS],
            [f"{m.name}.{what}" for m in self.machines for what in MILLI_FIELDS],
            names,
            options.stream,
            self.boot,
        )
        for index, machine in enumerate(self.machines):
            machine.begin(self.start_ns)
            self._put(index, machine)

    def _put(self, index: int, machine: Machine) -> None:
        ints = len(INT_FIELDS)
        for at, value in enumerate(machine.fields()):
            if at < ints:
                self.encoder.put_int(index * ints + at, value)
            else:
                self.encoder.put_milli(index * len(MILLI_FIELDS) + at - ints, value)

    def tick(self, tick: int) -> None:
        """Makes and sends one message."""
        options, encoder = self.options, self.encoder
        now_ns = self.start_ns + tick * NS_PER_S // options.rate
        if tick % BLOCK_TICKS == 0:
            self._rows = encoder.rows(self.noise.block(tick, BLOCK_TICKS))
        ints, millis = len(INT_FIELDS), len(MILLI_FIELDS)
        for index, machine in enumerate(self.machines):
            changed = machine.step(tick, now_ns)
            if changed == 3:
                self._put(index, machine)
            elif changed:
                encoder.put_milli(index * millis + USED - ints, machine.used_g)
                if changed == 2:
                    encoder.put_int(index * ints + GOOD, machine.good)
                    encoder.put_int(index * ints + SCRAP, machine.scrap)
        encoder.put_noise(self._rows[tick % BLOCK_TICKS])
        encoder.stamp(self.counts.messages * options.tags, now_ns)
        self.counts.messages += 1
        if not self.sender.send(encoder.buffer):
            self.counts.not_accepted += 1

    def close(self) -> None:
        for machine in self.machines:
            machine.close()

    def is_idle(self) -> bool:
        return all(machine.state == IDLE for machine in self.machines)

    def summary(self) -> dict[str, Any]:
        options, counts = self.options, self.counts
        samples = counts.messages * options.tags
        return {
            "line": options.line,
            "wire": options.wire,
            "format": options.format,
            "stream": options.stream,
            "boot": self.boot,
            "samples": samples,
            "messages": counts.messages,
            "not_accepted": counts.not_accepted,
            "elapsed_s": round(counts.elapsed_s, 3),
            "rate": round(samples / max(counts.elapsed_s, 1e-9), 1),
            "cpu_s": round(time.process_time(), 3),
            "lots": sum(machine.lots for machine in self.machines),
            "stops": sum(machine.stops for machine in self.machines),
            "crossings": self.noise.crossings,
        }


class Ending:
    """Whether somebody wants the line to end."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._parent = os.getppid()
        self._is_asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._is_asked:
            raise SystemExit(1)  # the second time: at once
        self._is_asked = True

    def is_due(self, elapsed_s: float) -> bool:
        until, for_s = self._options.until, self._options.for_s
        is_orphan = until is not None and os.getppid() != self._parent
        is_over = for_s is not None and elapsed_s >= for_s
        return self._is_asked or is_orphan or is_over or (until is not None and until.exists())


def run(line: Line, ending: Ending) -> None:
    """Keeps to the first message's schedule: late ticks are made up for, with their own stamps."""
    rate, tick, end_tick = line.options.rate, 0, -1
    start = time.monotonic_ns()
    attend_at = 0.0
    while tick != end_tick:
        elapsed_ns = time.monotonic_ns() - start
        due = elapsed_ns * rate // NS_PER_S + 1
        while tick < due and tick != end_tick:
            line.tick(tick)
            tick += 1
        elapsed_s = elapsed_ns / NS_PER_S
        if elapsed_s >= attend_at:
            attend_at = elapsed_s + ATTEND_S
            line.sender.attend()
            if ending.is_due(elapsed_s):
                line.close()
            if end_tick < 0 and line.is_idle():
                end_tick = tick + int(line.options.linger * rate)
        time.sleep(WAKE_S)
    line.counts.elapsed_s = (time.monotonic_ns() - start) / NS_PER_S


def main(words: list[str]) -> int:
    options = parse(words)
    try:
        ending = Ending(options)
        wire = sender(options)
        start_ns = time.time_ns() // 1_000_000 * 1_000_000
        line = Line(options, wire, start_ns)
        run(line, ending)
        wire.close()
    except (WireError, OSError, ValueError) as error:
        print(f"plant: {error}", file=sys.stderr)
        return 1
    text = json.dumps(line.summary())
    (options.log_dir / f"{options.line}.summary.json").write_text(text + "\n", encoding="utf-8")
    print(text, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
