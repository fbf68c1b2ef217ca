"""``penstock size``: tags, rate and rules become cores, RAM, disk and ERP calls on this box.

An engine and a ledger really run, in a folder of their own, for about ten seconds.
"""

from __future__ import annotations

import itertools
import math
import os
import random
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cyclopts import App

from penstock import cli
from penstock.cli.sizing import CHECKPOINT_EVERY_S, Answer, Costs, Plant, size, up
from penstock.config import Config, parse_config
from penstock.errors import StateError

if TYPE_CHECKING:
    from penstock import Engine
    from penstock.events import Event, Evidence

TAGS_MAX: Final = 10_000_000
RULES_MAX: Final = 64
CALIBRATED_TAGS_MAX: Final = 100_000
CALIBRATED_PAIRS_MAX: Final = 1_000_000
MESSAGE_SAMPLES: Final = 128
MESSAGES_MAX: Final = 2048
TIME_AT: Final = 24  # of time0 in a packed message
START_NS: Final = 1_795_000_000_000_000_000
BATCH: Final = 100
EVIDENCE: Final = 192

app = App(
    name="size",
    help="Say which cores, RAM, disk and ERP calls a plant takes, measured on this box.",
    version_flags=[],
)


@app.default
def size_command(
    *,
    tags: int,
    rate: float,
    rules: int,
    events: float = 0.1,
    headroom: float = 2.0,
    seconds: float = 10.0,
    folder: Path | None = None,
    json: bool = False,
) -> int:
    """Say which cores, RAM, disk and ERP calls a plant takes, measured on this box.

    Exit codes: 0 done; 1 the box does not let it measure; 2 wrong usage.

    Example: penstock size --tags 5000 --rate 10 --rules 2

    Parameters
    ----------
    tags
        How many tags there are.
    rate
        Samples a second of each tag.
    rules
        Rules on each tag: limits and one-second windows by turns.
    events
        Events a tag and hour that become a document, on average.
    headroom
        By how much a burst may exceed what is asked for.
    seconds
        How long to measure; two thirds the engine, one third the ledger.
    folder
        Where to measure the disk; best where state_dir will be. Default: the temporary folder.
    json
        One JSON object: asked, answer, measured, assumed.
    """
    plant = Plant(tags, rate, rules, events, headroom)
    if wrong := usage_of(plant, seconds):
        cli.say(f"penstock size: {wrong}")
        return cli.EXIT_USAGE
    costs, engine_tags = calibrate(plant, seconds, folder)
    answer = size(plant, costs)
    assumed = assumptions(plant, engine_tags)
    if json:
        cli.emit(
            {
                "asked": asdict(plant),
                "answer": asdict(answer),
                "measured": {**asdict(costs), "tags": engine_tags, "seconds": seconds},
                "assumed": assumed,
            }
        )
        return cli.EXIT_OK
    print_answer(plant, costs, answer)
    for each in assumed:
        print(f"  assumed: {each}")
    return cli.EXIT_OK


def usage_of(plant: Plant, seconds: float) -> str:
    """What is wrong with the words, or ""."""
    bounds = (
        ("--tags", plant.tags, 1, TAGS_MAX),
        ("--rate", plant.rate_hz, 1e-6, 1e6),
        ("--rules", plant.rules, 1, RULES_MAX),
        ("--events", plant.events_per_tag_hour, 0, 1e6),
        ("--headroom", plant.headroom, 1, 100),
        ("--seconds", seconds, 0.3, 600),
    )
    for name, value, low, high in bounds:
        if not low <= value <= high:  # also where it is not a number
            return f"{name} is {value:g}; {low:g} to {high:,}"
    return ""


def assumptions(plant: Plant, engine_tags: int) -> list[str]:
    """What the answer rests on, in words."""
    found = [
        f"{plant.events_per_tag_hour:g} events a tag and hour, one document and one call each, "
        "no retries",
        f"{MESSAGE_SAMPLES} samples a message, tags in random order, by name; a message with one "
        "sample costs more, see bench/README.md",
        f"samples by feed_frames; a socket adds the kernel's part, head-room {plant.headroom:g} "
        "is there for it and for bursts",
        f"a checkpoint to disk every {CHECKPOINT_EVERY_S} s; {EVIDENCE} samples kept with an event",
        "GB are 10^9 bytes written by the process; the file system adds its own",
    ]
    if engine_tags < plant.tags:
        found.append(f"costs of a tag and a sample as with the {engine_tags:,} tags measured")
    return found


def print_answer(plant: Plant, costs: Costs, answer: Answer) -> None:
    """The answer first, then what was measured."""
    print(
        f"{plant.tags:,} tags at {plant.rate_hz:g} Hz, {plant.rules} rules each: "
        f"{plant.samples_per_s:,.0f} samples/s, {plant.events_per_s * 3600:,.0f} events/h"
    )
    print(f"  cores         {answer.cores} ({up(answer.cores_used):g} used without head-room)")
    print(f"  RAM           {answer.ram_mib:,} MiB (of it {answer.ring_mib} MiB ring per engine)")
    print(
        f"  disk written  {answer.disk_gb_per_day_process:,g} GB/day with durability process, "
        f"{answer.disk_gb_per_day_power:,g} with power"
    )
    print(f"  ERP calls     {answer.erp_calls_per_day:,} a day")
    for each in answer.limits:
        print(f"  note: {each}")
    print(
        f"  measured: {costs.cpu_ns_per_sample:.0f} ns CPU and "
        f"{costs.journal_bytes_per_sample:.1f} B a sample; {costs.ram_bytes_per_tag:,.0f} B RAM "
        f"and {costs.checkpoint_bytes_per_tag:,.0f} B checkpoint a tag; ledger "
        f"{costs.entries_per_s:,.0f} entries/s, {costs.disk_bytes_per_entry:,.0f} B each"
    )


# ---- calibration -------------------------------------------------------------------------------


def calibrate(plant: Plant, seconds: float, folder: Path | None) -> tuple[Costs, int]:
    """Runs an engine, then a ledger. Returns the costs, and with how many tags."""
    tags = min(plant.tags, CALIBRATED_TAGS_MAX, CALIBRATED_PAIRS_MAX // plant.rules)
    # The ring stays with its journal, so it gets a folder that goes with the journal.
    with scratch(folder) as place, scratch(ring_home()) as ring:
        cli.say(f"penstock size: measuring an engine with {tags:,} tags in {place}")
        engine = measure_engine((place / "state", ring), plant, tags, seconds * 2 / 3)
        cli.say(f"penstock size: {engine.cpu_ns_per_sample:.0f} ns a sample; now the ledger")
        ledger = measure_ledger(place / "ledger", seconds / 3)
        cli.say(f"penstock size: {ledger.entries_per_s:,.0f} entries/s")
    return Costs(**asdict(engine), **asdict(ledger)), tags


@dataclass(frozen=True, slots=True)
class EngineCosts:
    """See ``Costs``."""

    cpu_ns_per_sample: float
    journal_bytes_per_sample: float
    ram_bytes_base: float
    ram_bytes_per_tag: float
    checkpoint_bytes_per_tag: float


@dataclass(frozen=True, slots=True)
class LedgerCosts:
    """See ``Costs``."""

    entries_per_s: float
    cpu_ns_per_entry: float
    disk_bytes_per_entry: float


@contextmanager
def scratch(folder: Path | None) -> Iterator[Path]:
    """A folder of our own, removed afterwards."""
    try:
        with tempfile.TemporaryDirectory(prefix="penstock-size-", dir=folder) as name:
            yield Path(name)
    except OSError as wrong:
        raise StateError(f"{wrong.filename or folder}: {wrong.strerror or wrong}") from wrong


def ring_home() -> Path:
    """Where rings lie by default."""
    return Path(os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0] or "/dev/shm")


def measure_engine(
    folders: tuple[Path, Path], plant: Plant, tags: int, seconds: float
) -> EngineCosts:
    """Every tag is seen once, then messages go in until the time is over."""
    from penstock import Engine

    messages = make_messages(tags, step_ns(plant, tags))
    before = anonymous_bytes()
    with Engine(engine_config(folders, plant, tags), clock="manual") as engine:
        stamps = itertools.count(START_NS, max(1, round(MESSAGE_SAMPLES * step_ns(plant, tags))))
        send(engine, messages, stamps)
        ram_bytes = anonymous_bytes() - before
        engine.checkpoint()
        checkpoint_bytes = largest_file(folders[0])
        begin, cpu = time.monotonic(), time.process_time_ns()
        old = engine.stats()
        while True:
            send(engine, messages, stamps)
            if time.monotonic() - begin > seconds:
                break
        cpu, now = time.process_time_ns() - cpu, engine.stats()
    samples = now.received - old.received
    if now.dropped or samples <= 0:
        raise StateError(f"the calibration dropped {now.dropped} samples; this is a bug")
    return EngineCosts(
        cpu / samples, (now.written - old.written) / samples, before, max(0, ram_bytes) / tags,
        checkpoint_bytes / tags,
    )  # fmt: skip


def send(engine: Engine, messages: list[bytearray], stamps: Iterator[int]) -> None:
    """Each message once, with the next stamp; whatever it led to is taken."""
    step = min(256, len(messages))
    for start in range(0, len(messages), step):
        part = messages[start : start + step]
        for message, stamp in zip(part, stamps, strict=False):
            struct.pack_into("<q", message, TIME_AT, stamp)
        engine.feed_frames(part, source="line", recv_time_ns=stamp)
        engine.poll().acknowledge()


def step_ns(plant: Plant, tags: int) -> float:
    """Event time between two samples; a message's offsets have 32 bits."""
    return min(1e9 / (tags * plant.rate_hz), (1 << 32) / MESSAGE_SAMPLES - 1)


def make_messages(tags: int, step: float) -> list[bytearray]:
    """Packed messages that name every tag at least once, in random order."""
    chance = random.Random(1)
    order = list(range(tags))
    chance.shuffle(order)
    count = max(math.ceil(tags / MESSAGE_SAMPLES), min(MESSAGES_MAX, 256))
    order += chance.choices(range(tags), k=count * MESSAGE_SAMPLES - tags)
    made = []
    for start in range(0, len(order), MESSAGE_SAMPLES):
        part = order[start : start + MESSAGE_SAMPLES]
        places = {tag: place for place, tag in enumerate(dict.fromkeys(part))}
        names = [f"plant.m{tag:07d}".encode() for tag in places]
        table = b"".join(struct.pack("BB", 1, len(name)) + name for name in names)
        body = b"".join(
            struct.pack("<dIHH", 20 + tag % 50, int(at * step), places[tag], 0)
            for at, tag in enumerate(part)
        )
        head = struct.pack(
            "<4sHBBIIQq", b"PSK1", len(part), len(places), 0, 1, 1, (1 << 64) - 1, START_NS
        )
        made.append(bytearray(head + table + body))
    return made


def engine_config(folders: tuple[Path, Path], plant: Plant, tags: int) -> Config:
    """A feed source and the rules, all else as it is by default."""
    rules: list[dict[str, Any]] = []
    for number in range(plant.rules):
        kind = {"kind": "window", "size_s": 1} if number % 2 else {"kind": "limit", "high": 90}
        rules.append({"name": f"rule{number}", "tag": "plant.*", **kind})
    engine = {
        "state_dir": str(folders[0]),
        "ring_dir": str(folders[1]),
        "tags_max": tags + 16,
        "instances_max": tags * plant.rules + 16,
    }
    return parse_config(
        {
            "plant": {"name": "size"},
            "engine": engine,
            "source": [{"name": "line", "kind": "feed", "future_max_s": 3600}],
            "rule": rules,
        }
    )


def measure_ledger(folder: Path, seconds: float) -> LedgerCosts:
    """Batches of a hundred events, each with a document and samples, until the time is over.

    CPU is that of mapping and commit, entries/s is that of the commit alone, which is the disk's.
    """
    from penstock.mapping import map_event
    from penstock.outbox import LEDGER_NAME, Ledger, Mapped
    from penstock.testing.builders import make_config

    config = make_config()
    entries = elapsed = cpu = 0
    begin, old = time.monotonic(), written_bytes()
    with Ledger.open(folder / LEDGER_NAME, now_ns=START_NS) as ledger:
        while time.monotonic() - begin < seconds or not entries:
            given = make_events(entries)
            cpu_begin = time.process_time_ns()
            batch = [Mapped(event, map_event(event, config), samples) for event, samples in given]
            commit_begin = time.perf_counter_ns()
            ledger.commit_batch(batch, now_ns=START_NS + entries)
            elapsed += time.perf_counter_ns() - commit_begin
            cpu += time.process_time_ns() - cpu_begin
            entries += len(batch)
        bytes_ = written_bytes() - old
    return LedgerCosts(entries / elapsed * 1e9, cpu / entries, bytes_ / entries)


def make_events(first: int) -> list[tuple[Event, Evidence]]:
    """A hundred counter segments with samples that have two decimals and noise."""
    from penstock.testing.builders import make_event, make_evidence

    chance, made = random.Random(first), []
    for number in range(first, first + BATCH):
        event = make_event(number, order=f"O{number % 50}", asset=f"M{number % 20}")
        noise = tuple(round(20 + chance.gauss(0, 1), 2) for _ in range(EVIDENCE))
        made.append((event, replace(make_evidence(event, EVIDENCE), values=noise)))
    return made


def anonymous_bytes() -> int:
    """Memory of this process that no file stands behind; so without the ring."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise StateError("/proc/self/status has no RssAnon; sizing needs Linux 4.5 or later")


def written_bytes() -> int:
    """What this process has passed to write calls so far."""
    for line in Path("/proc/self/io").read_text(encoding="ascii").splitlines():
        if line.startswith("wchar:"):
            return int(line.split()[1])
    raise StateError("/proc/self/io has no wchar; sizing needs a kernel with task I/O accounting")


def largest_file(folder: Path) -> int:
    """The image of a checkpoint is the largest file beside no ledger."""
    sizes = [
        Path(base, name).stat().st_size for base, _, names in os.walk(folder) for name in names
    ]
    return max(sizes, default=0)
