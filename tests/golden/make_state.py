"""What one version leaves behind, for every later one to open: a state directory as an archive.

    git worktree add /tmp/then REVISION && cd /tmp/then
    pip install --no-build-isolation --no-deps --target /tmp/site .
    PYTHONPATH=/tmp/site python .../tests/golden/make_state.py NAME.tar.xz

``first.tar.xz`` is of b4cf9f4, the first version that landed. Twice the same plant: ``closed`` in
an orderly way, its memory gone as after a reboot; ``killed``, with the ring that was left. In each:
tags of three types, a counter segment in the ledger as a posted document and one that is held,
events that nobody has acknowledged, an excursion that goes on, a segment that is open.
"""

from __future__ import annotations

import io
import json
import os
import signal
import struct
import sys
import tarfile
import tempfile
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

START_NS = 1_790_000_000_000_000_000
S = 1_000_000_000
UNNUMBERED = (1 << 64) - 1
END = 44  # seconds that this version has seen

CONFIG = """
[plant]
name = "golden"
timezone = "Europe/Paris"

[engine]
state_dir = "{state}"
ring_dir = "{ring}"
ring_bytes = 1048576

[[source]]
name = "line"
kind = "feed"

[[rule]]
name = "good"
kind = "counter"
tag = "*.good"
asset = "*"
unit = "C62"
lot = "*.lot"
cut_on = ["lot"]

[[rule]]
name = "stops"
kind = "state"
tag = "*.state"
asset = "*"
states = [1]

[[rule]]
name = "high"
kind = "limit"
tag = "*.pressure"
asset = "*"
high = {{ value = 8.0, deadband = 0.5 }}

[[target]]
name = "erp"
kind = "tryton"
url = "http://127.0.0.1:9"
database = "plant"
user = "penstock"
password = "x"

[[mapping]]
name = "confirm"
event = "counter.segment"
rule = "good"
contract = "production_confirmation/1"
target = "erp"
"""


def config_of(folder: Path) -> Any:
    """The plant; ``folder`` holds ``state`` and ``ring``."""
    from penstock.config import parse_config

    text = CONFIG.format(state=folder / "state", ring=folder / "ring")
    return parse_config(tomllib.loads(text, parse_float=Decimal))


def message(second: int) -> bytes:
    """What two machines send in that second: a lot of ten seconds makes 7 pieces each second."""
    rows: list[tuple[str, int, float | int]] = []
    for m in (1, 2):
        is_high = second % 10 in (3, 4) or second >= END - 2
        rows += [
            (f"m{m}.good", 2, 1000 * m + 7 * second),
            (f"m{m}.lot", 2, 500 + (second + m) // 10),
            (f"m{m}.state", 2, int(second % 10 in (6, 7))),
            (f"m{m}.pressure", 1, 9.0 + second / 64 if is_high else 5.0),
        ]
    table = b"".join(struct.pack("BB", kind, len(name)) + name.encode() for name, kind, _ in rows)
    body = b"".join(
        struct.pack("<dIHH" if kind == 1 else "<qIHH", value, 0, i, 0)
        for i, (_, kind, value) in enumerate(rows)
    )
    time_ns = START_NS + second * S
    return (
        struct.pack("<4sHBBIIQq", b"PSK1", len(rows), len(rows), 0, 1, 1, UNNUMBERED, time_ns)
        + table
        + body
    )


def feed(engine: Any, first: int, end: int) -> None:
    """Seconds [first, end); a second is a position."""
    for second in range(first, end):
        engine.feed_frames(
            [message(second)],
            source="line",
            position=second,
            recv_time_ns=START_NS + second * S,
        )


def reading(machine: int, second: int) -> int:
    return 1000 * machine + 7 * second


def post_first(ledger: Any, events: list[Any], config: Any) -> dict[str, str]:
    """Documents of the first lots: those whose beginning nobody saw are held, the others posted."""
    from penstock.mapping import map_event
    from penstock.outbox import Decision, Mapped, State

    ledger.commit_batch([Mapped(e, map_event(e, config)) for e in events], now_ns=START_NS)
    for number, entry in enumerate(ledger.due("erp", now_ns=START_NS + S, limit=10)):
        sent = ledger.mark_posting(entry, now_ns=START_NS + S)
        posted = Decision(State.POSTED, document=f"PC-{number + 1:06d}")
        ledger.record(sent, posted, now_ns=START_NS + 2 * S)
    return rows_of(ledger)


def rows_of(ledger: Any) -> dict[str, str]:
    """Each entry: state, document, why."""
    return {
        str(each.entry_id): f"{each.state} {each.document} {each.category}"
        for each in ledger.reader.entries()
    }


def live(folder: Path, is_killed: bool) -> None:
    """One life of the plant: half of it in the ledger, half waiting."""
    from penstock import Engine
    from penstock.outbox import Ledger

    config = config_of(folder)
    (folder / "ring").mkdir(mode=0o700, parents=True)
    engine = Engine(config, clock="manual")
    with Ledger.open(folder / "state" / "ledger.sqlite", now_ns=START_NS) as ledger:
        for machine in ("m1", "m2"):
            engine.context(machine, order="MO-1", operation="10", material="P1", at_ns=START_NS - S)
        feed(engine, 0, 28)
        batch = engine.poll()
        states = post_first(ledger, list(batch.events), config)
        batch.acknowledge()
    feed(engine, 28, 36)
    engine.checkpoint()
    feed(engine, 36, END)
    waiting = engine.poll()
    said = {
        "entries": states,
        "committed": {e.id: str(e.quantity) for e in batch.events},
        "pending": {e.id: str(e.quantity) for e in waiting.events},
        "position": engine.position("line"),
    }
    (folder / "said.json").write_text(json.dumps(said, indent=1))
    if is_killed:
        os.kill(os.getpid(), signal.SIGKILL)
    engine.close()


def pack(folder: Path, target: Path) -> None:
    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        info.uid = info.gid = info.mtime = 0
        info.uname = info.gname = ""
        return None if Path(info.name).name == "lock" else info

    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:xz", preset=9) as archive:
        for name in ("closed", "killed"):
            archive.add(folder / name / "said.json", f"{name}/said.json", filter=plain)
            archive.add(folder / name / "state", f"{name}/state", filter=plain)
        archive.add(folder / "killed" / "ring", "killed/ring", filter=plain)
    target.write_bytes(held.getvalue())


def main(target: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        for name in ("closed", "killed"):
            child = os.fork()
            if child == 0:
                live(Path(place) / name, name == "killed")
                os._exit(0)
            _, status = os.waitpid(child, 0)
            wanted = signal.SIGKILL if name == "killed" else 0
            if status != wanted:
                raise SystemExit(f"{name}: ended with status {status}, not {wanted}")
        pack(Path(place), target)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
