"""A recorded shift through the whole Python side, resumed by position: what the harness kills.

    replay_process.py FOLDER RING_DIR BATCHES [--live] [--checkpoint-s S] [--plant NAME]

Engine, mapping, ledger, relay and decide are the product's; the target is the public one in memory,
whose books are a file that it appends to before it answers, so that they outlive the process. It
keeps no promise of its own: asked twice, it posts twice. Input and clock are a function of the
batch number. Prints "done" and figures as JSON; exit 0.

With --live nothing is resumed: batches go by as they would on a wire, numbered, and what a dead
process did not take is gone. --plant puts a known bug in: acknowledge-first, never-asks.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import hashlib
import json
import os
import struct
import sys
import tomllib
from array import array
from decimal import Decimal
from pathlib import Path
from typing import Any

from penstock import Engine
from penstock.config import Config, parse_config
from penstock.outbox import LEDGER_NAME, Decision, Entry, Ledger, Policy, State
from penstock.outbox.decide import NoAnswer, Outcome
from penstock.post import Document, Guarantees, Receipt, Request
from penstock.relay import NS_PER_S, Port, Relay
from penstock.run import Intake, has_history
from penstock.testing.target import Behaviour, MemoryTarget

START_NS = 1_790_000_000_000_000_000
STEP_NS = 20_000_000
INSTANTS = 25  # a batch: half a second
MACHINES = 4
TAGS = ("good", "lot", "order", "good_start", "state", "since", "pressure")
KINDS = dict.fromkeys(TAGS, "i64") | {"pressure": "f64"}
SETTLE_EVERY = 3  # batches: events lie unacknowledged across checkpoints
A_PIECE = 3  # good pieces an instant
CHECKPOINT_S = 0.02  # far more often than a plant would: every few batches meet one
BOOKS, PROGRESS, STATE = "books.jsonl", "progress", "state"

CONFIG = """
[plant]
name = "replay"
timezone = "Europe/Paris"

[engine]
state_dir = "{state}"
ring_dir = "{ring}"
ring_bytes = 1048576
tags_max = 256
event_slots = 1024

[[source]]
name = "recording"
kind = "feed"
ring_share = 1.0

[[rule]]
name = "good"
kind = "counter"
tag = "*.good"
lot = "*.lot"
order = "*.order"
start = "*.good_start"
unit = "C62"

[[rule]]
name = "stop"
kind = "state"
tag = "*.state"
since = "*.since"
since_unit = "ns"
states = [2]

[[rule]]
name = "high"
kind = "limit"
tag = "*.pressure"
high = {{ value = 8.0, deadband = 0.5, on_delay_s = 0.06 }}

[[target]]
name = "books"
kind = "tryton"
url = "http://127.0.0.1:9"
database = "none"
user = "nobody"
password = "none"

[[mapping]]
name = "confirm"
event = "counter.segment"
rule = "good"
contract = "production_confirmation/1"
target = "books"

[[mapping]]
name = "stopped"
event = "state.end"
rule = "stop"
contract = "downtime/1"
target = "books"
"""


# ---- the recording: pure, so that any process can make it again ----------------------------------


def lot_instants(machine: int) -> int:
    """A machine's lots are of equal length: 3 s and more."""
    return 150 + 10 * machine


def reading(name: str, machine: int, i: int) -> int | float:
    """What a machine's tag reads at instant i."""
    lot = i // lot_instants(machine)
    phase = (i + 37 * machine) % 200
    is_stopped = phase >= 165
    match name:
        case "good":
            return 1000 * machine + i * A_PIECE
        case "lot":
            return 5000 + lot
        case "order":
            return 70 + lot // 4
        case "good_start":
            return 1000 * machine + lot * lot_instants(machine) * A_PIECE
        case "state":
            return 2 if is_stopped else 1
        case "since":
            return START_NS + max(i - phase + 165 * is_stopped, 0) * STEP_NS
    is_high = i // 45 % 5 == machine % 5
    return (8.2 if is_high else 5.0) + (i * 7919 + machine * 104729) % 97 / 97.0


def batch_time_ns(batch: int) -> int:
    """When the last sample of a batch was received."""
    return START_NS + ((batch + 1) * INSTANTS - 1) * STEP_NS


def rows(batch: int) -> list[tuple[int, int, str, int | float]]:
    """(machine, time, tag, value) of a batch, in order of time."""
    return [
        (machine, START_NS + i * STEP_NS, name, reading(name, machine, i))
        for i in range(batch * INSTANTS, (batch + 1) * INSTANTS)
        for machine in range(MACHINES)
        for name in TAGS
    ]


def packed(batch: int) -> bytes:
    """The same as one numbered message."""
    time0 = START_NS + batch * INSTANTS * STEP_NS
    names = [f"m{machine}.{name}" for machine in range(MACHINES) for name in TAGS]
    table = b"".join(
        struct.pack("BB", 1 if name.endswith("pressure") else 2, len(name)) + name.encode()
        for name in names
    )
    body = bytearray()
    for at, (_, time_ns, name, value) in enumerate(rows(batch)):
        layout = "<dIHH" if name == "pressure" else "<qIHH"
        body += struct.pack(layout, value, time_ns - time0, at % len(names), 0)
    count = INSTANTS * len(names)
    sizes = count, len(names), 0
    head = struct.pack("<4sHBBIIQq", b"PSK1", *sizes, 1, 1, batch * count, time0)
    return head + table + bytes(body)


# ---- the world outside the process ---------------------------------------------------------------


class RecordingClock:
    """Wall time is the recording's; who waits moves it on."""

    def __init__(self, now_ns: int) -> None:
        self.time_ns = now_ns

    def now_ns(self) -> int:
        return self.time_ns

    def reach(self, time_ns: int) -> None:
        self.time_ns = max(self.time_ns, time_ns)

    async def sleep(self, seconds: float) -> None:
        self.time_ns += round(seconds * NS_PER_S)
        await asyncio.sleep(0)


class BooksTarget(MemoryTarget):
    """Its books are a file: one appended line a document, written before the answer."""

    def __init__(self, path: Path, clock: RecordingClock) -> None:
        super().__init__(
            name="books",
            guarantees=Guarantees(has_key=True, has_readback=True, checked_against="a file"),
            sleep=clock.sleep,
        )
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        for line in path.read_text(encoding="utf-8").splitlines():
            known = json.loads(line)
            receipt = Receipt("posted", known["document"], digest=known["digest"])
            self.books.setdefault(known["key"], []).append(receipt)

    def prepare(self, document: Document) -> Request:
        payload = json.dumps(dict(document.body)).encode()
        return Request(document.command_id, document.digest, document.contract, payload)

    async def send(self, request: Request) -> Receipt:
        """Now and then commits and stays silent, loses the request, or is busy: by the key's hash,
        so that it is the same in every run.
        """
        turn = hashlib.sha256(request.key.encode()).digest()[0] % 16
        known = {0: Behaviour.SILENT, 1: Behaviour.SILENT, 2: Behaviour.LOST, 3: Behaviour.BUSY}
        if turn in known and request.key not in self.sends:
            self.plan.append(known[turn])
        return await super().send(request)

    def _commit(self, request: Request) -> Receipt:
        known = self.books.setdefault(request.key, [])
        receipt = Receipt("posted", f"{request.key[:8]}/{len(known)}", digest=request.digest)
        line = {"key": request.key, "digest": request.digest, "document": receipt.document}
        line |= {"contract": request.kind, "body": json.loads(request.payload)}
        raw = json.dumps(line).encode() + b"\n"
        if os.write(self._file, raw) != len(raw):
            raise OSError("a line of the books was cut")
        known.append(receipt)
        return receipt


class AcknowledgesFirst(Intake):
    """Planted: the batch is acknowledged before the transaction, and the disk is slow."""

    async def take(self, batch: Any) -> None:
        batch.acknowledge()
        await asyncio.sleep(2 * CHECKPOINT_S)
        await super().take(batch)

    def _acknowledge(self, batch: Any) -> None:
        pass


class NeverAsks(Relay):
    """Planted: silence is taken for failure."""

    def _decide(self, served: Port, entry: Entry, outcome: Outcome) -> Decision:
        decision = super()._decide(served, entry, outcome)
        if isinstance(outcome, NoAnswer) and decision.state is State.IN_DOUBT:
            return Decision(State.READY, "", "", self._clock.now_ns())
        return decision


# ---- one process ---------------------------------------------------------------------------------


def make_config(folder: Path, ring: Path, checkpoint_s: float) -> Config:
    """The plant; checkpoints may come faster than a configuration could ask for."""
    text = CONFIG.format(state=folder / STATE, ring=ring)
    config = parse_config(tomllib.loads(text, parse_float=Decimal))
    return dataclasses.replace(
        config, engine=dataclasses.replace(config.engine, checkpoint_s=checkpoint_s)
    )


class Life:
    """One process, from opening to the end of the recording."""

    def __init__(self, folder: Path, ring: Path, *, plant: str, checkpoint_s: float) -> None:
        self.config = make_config(folder, ring, checkpoint_s)
        self.progress = os.open(folder / PROGRESS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        is_expected = has_history(folder / STATE)
        self.engine = Engine(self.config, clock="manual")
        self.tags = {
            (machine, name): self.engine.tag(f"m{machine}.{name}", KINDS[name], source="recording")
            for machine in range(MACHINES)
            for name in TAGS
        }
        self.clock = RecordingClock(max(START_NS, self.engine.stats().engine_time_ns))
        self.target = BooksTarget(folder / BOOKS, self.clock)
        self.ledger = Ledger.open(
            folder / STATE / LEDGER_NAME, now_ns=self.clock.now_ns(), is_expected=is_expected
        )
        relay_class = NeverAsks if plant == "never-asks" else Relay
        policy = Policy(attempts_max=50)
        self.relay = relay_class(self.ledger, [Port(self.target, policy, 3)], self.clock)
        self.relay.recover()
        for each in self.ledger.baselines():
            self.engine.baseline(each.rule, each.series, each.tag, each.end_reading, each.end_ns)
        intake_class = AcknowledgesFirst if plant == "acknowledge-first" else Intake
        self.intake = intake_class(
            self.engine, self.ledger, self.config, clock=self.clock, on_commit=self.relay.notify
        )

    async def work(self, batches: int, *, is_live: bool) -> None:
        """Feeds what is left of the recording; ends when every entry has."""
        self.taking = asyncio.create_task(self.intake.run())
        await self.settle()  # what a killed process had not acknowledged
        for batch in range(self.first(is_live), batches):
            os.pwrite(self.progress, b"%8d" % batch, 0)
            self.feed(batch, is_live)
            if batch % SETTLE_EVERY == SETTLE_EVERY - 1:
                await self.settle()
        self.engine.tick(batch_time_ns(batches) + 60 * NS_PER_S)
        self.clock.reach(batch_time_ns(batches) + 60 * NS_PER_S)
        await self.settle()
        while (next_ns := self.ledger.next_try_ns("books")) is not None:
            self.clock.reach(next_ns)
            await self.relay.step()
        self.taking.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.taking

    def first(self, is_live: bool) -> int:
        """The batch to go on with: behind the journal's, or the one that comes by now."""
        if is_live:
            return int(os.pread(self.progress, 8, 0) or b"-1") + 1
        position = self.engine.position("recording")
        return 0 if position is None else position + 1

    def feed(self, batch: int, is_live: bool) -> None:
        time_ns = batch_time_ns(batch)
        self.clock.reach(time_ns)
        if is_live:
            self.engine.feed_frames([packed(batch)], source="recording", recv_time_ns=time_ns)
            return
        columns = list(zip(*rows(batch), strict=True))
        ids = [self.tags[key] for key in zip(columns[0], columns[2], strict=True)]
        words = [
            struct.unpack("<Q", struct.pack("<d" if isinstance(v, float) else "<q", v))[0]
            for v in columns[3]
        ]
        self.engine.feed(
            array("I", ids),
            array("q", columns[1]),
            array("Q", words),
            source="recording",
            position=batch,
            recv_time_ns=time_ns,
        )

    async def settle(self) -> None:
        """Until every event is committed and acknowledged; then what is due is posted once."""
        while self.engine.stats().events_pending:
            if self.taking.done():
                self.taking.result()
            await asyncio.sleep(0)
        await self.relay.step()
        self.intake.fetch_evidence()

    def figures(self) -> dict[str, Any]:
        source = self.engine.stats().sources[0]
        return {
            **{name: getattr(source, name) for name in ("received", "used", "residual")},
            "lost_upstream": source.lost_upstream,
            "dropped": dict(source.dropped),
        }

    def close(self) -> None:
        self.ledger.close()
        self.engine.close()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("ring", type=Path)
    parser.add_argument("batches", type=int)
    parser.add_argument("--live", action="store_true")
    parser.add_argument("--checkpoint-s", type=float, default=CHECKPOINT_S)
    parser.add_argument("--plant", default="")
    options = parser.parse_args()
    life = Life(
        options.folder, options.ring, plant=options.plant, checkpoint_s=options.checkpoint_s
    )
    asyncio.run(life.work(options.batches, is_live=options.live))
    figures = life.figures()
    life.close()
    sys.stdout.write(json.dumps({"done": True, **figures}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
