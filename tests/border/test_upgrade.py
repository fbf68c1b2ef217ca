"""A state directory of the first version opens in this one, and one of a later version does not.

tests/golden/first.tar.xz is what that version left (make_state.py says how). The image's layout has
changed since and will again: names, places and events that wait are taken over, the rest begins
anew, and the ledger's last readings bridge it. What must hold is about quantities and rows, so it
holds for every layout.
"""

from __future__ import annotations

import itertools
import json
import sqlite3
import struct
import sys
import tarfile
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from penstock import Engine, Event
from penstock.errors import StateError
from penstock.mapping import map_event
from penstock.outbox import Ledger, Mapped

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
sys.path.insert(0, str(GOLDEN))

import make_state as golden  # noqa: E402  it stands beside what it made

LAYOUT_AT, CRC_AT = 12, 124  # in an image's header
MORE = 30  # seconds that follow under this version: three lots


@pytest.fixture(params=["closed", "killed"])
def left(request: pytest.FixtureRequest, tmp_path: Path, ring_dir: Path) -> Path:
    """``state`` and ``ring`` as the first version left them, the ring on tmpfs."""
    with tarfile.open(GOLDEN / "first.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    folder = tmp_path / str(request.param)
    if (folder / "ring").exists():
        for place in (folder / "ring").iterdir():
            (ring_dir / place.name).mkdir(mode=0o700)
            for file in place.iterdir():
                (ring_dir / place.name / file.name).write_bytes(file.read_bytes())
            for file in place.iterdir():
                file.unlink()
            place.rmdir()
        (folder / "ring").rmdir()
    (folder / "ring").symlink_to(ring_dir)
    return folder


def said(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "said.json").read_text())
    return found


def open_ledger(folder: Path) -> Ledger:
    return Ledger.open(folder / "state" / "ledger.sqlite", now_ns=time.time_ns(), is_expected=True)


def take(engine: Engine, ledger: Ledger, config: Any) -> list[Event]:
    """What waits goes into the ledger, as the run does it."""
    found: list[Event] = []
    while batch := engine.poll():
        mapped = [Mapped(event, map_event(event, config)) for event in batch.events]
        ledger.commit_batch(mapped, now_ns=time.time_ns())
        batch.acknowledge()
        found += batch.events
    return found


def tell_baselines(engine: Engine, ledger: Ledger) -> None:
    for each in ledger.baselines():
        engine.baseline(each.rule, each.series, each.tag, each.end_reading, each.end_ns)


def test_ledger_of_the_first_version_shows_its_rows(left: Path) -> None:
    with open_ledger(left) as ledger:
        assert golden.rows_of(ledger) == said(left)["entries"]
        states = Counter(row.split(" ")[0] for row in said(left)["entries"].values())
        assert states == {"posted": 1, "ready": 1, "held": 2}
        for event_id, quantity in said(left)["committed"].items():
            assert str(ledger.reader.event(event_id).quantity) == quantity
        assert not ledger.reader.verify().problems


def test_no_quantity_is_lost_or_repeated_over_the_upgrade(left: Path) -> None:
    config, then = golden.config_of(left), said(left)
    with open_ledger(left) as ledger, Engine(config, clock="manual") as engine:
        tell_baselines(engine, ledger)
        waited = take(engine, ledger, config)
        at = engine.position("line")
        assert at is not None
        golden.feed(engine, at + 1, golden.END + MORE)
        events = waited + take(engine, ledger, config)
        ids = [event.id for event in events]
        assert set(then["pending"]) <= set(ids), "what waited then is given now"
        assert len(ids) == len(set(ids)), "each once"
        assert not set(ids) & set(then["committed"]), "what the ledger had does not come again"
        for machine in (1, 2):
            tag = f"m{machine}.good"
            parts = [e for e in events if e.kind == "counter.segment" and e.tag == tag]
            before = [
                event
                for event in map(ledger.reader.event, then["committed"])
                if event.kind == "counter.segment" and event.tag == tag
            ]
            whole = sorted(before + parts, key=lambda event: event.at_ns)
            for one, after in itertools.pairwise(whole):
                assert after.start_reading == one.end_reading, "each begins where the last ended"
            posted = sum((Decimal(e.quantity or 0) for e in whole), Decimal(0))
            assert posted == whole[-1].end_reading - whole[0].start_reading
            assert whole[-1].end_reading > golden.reading(machine, golden.END + MORE - 11)
        assert not ledger.reader.verify().problems


def test_upgraded_state_goes_on_as_any_other(left: Path) -> None:
    """The second open is no upgrade any more: nothing is said, nothing comes again."""
    config = golden.config_of(left)
    with Engine(config, clock="manual") as engine:
        is_cold = engine.stats().is_cold_start
        first = [event.id for event in engine.poll().events]
        position = engine.position("line")
        waiting = set(said(left)["pending"])
        assert first
        # Killed: what came after its last image is made again where the upstream goes on from
        # ``position``.
        assert set(first) == waiting if left.name == "closed" else set(first) < waiting
    with Engine(config, clock="manual") as engine:
        assert [event.id for event in engine.poll().events] == first
        assert engine.position("line") == position
        assert not engine.stats().is_cold_start
        engine.tag("m1.good", "i64", source="line")
    assert is_cold, "its layout is older: the cold start is said"


def test_upgrade_says_what_it_does(left: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Engine(golden.config_of(left), clock="manual"):
        pass
    assert "earlier version (layout 1" in caplog.text
    assert "cold start" in caplog.text


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def test_image_of_a_later_version_is_refused_with_a_sentence(left: Path) -> None:
    for path in (left / "state").glob("image.*"):
        image = bytearray(path.read_bytes())
        image[LAYOUT_AT : LAYOUT_AT + 4] = struct.pack("<I", 4_000_000_000)
        image[CRC_AT : CRC_AT + 4] = struct.pack("<I", crc32c(bytes(image[:CRC_AT])))
        path.write_bytes(image)
    before = {path.name: path.read_bytes() for path in (left / "state").glob("image.*")}
    with pytest.raises(StateError, match=r"layout 4000000000, this build reads up to .* newer"):
        Engine(golden.config_of(left), clock="manual")
    after = {path.name: path.read_bytes() for path in (left / "state").glob("image.*")}
    assert after == before


def test_state_header_of_a_later_version_is_refused_with_a_sentence(left: Path) -> None:
    path = left / "state" / "STATE"
    text = path.read_text().replace("penstock-state 1", "penstock-state 99")
    path.write_text(text)
    with pytest.raises(StateError, match="has version 99, this build reads up to 1: start the new"):
        Engine(golden.config_of(left), clock="manual")
    assert path.read_text() == text


def test_ledger_of_a_later_version_is_refused_with_a_sentence(left: Path) -> None:
    path = left / "state" / "ledger.sqlite"
    with sqlite3.connect(path) as ledger:
        ledger.execute("PRAGMA user_version = 99")
    ledger.close()
    with pytest.raises(StateError, match="schema 99 is newer than this build's"):
        open_ledger(left)
