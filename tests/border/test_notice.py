"""What open goes on in spite of is told in the log, once, and a sound start says nothing."""

from __future__ import annotations

import logging
import shutil
from array import array
from pathlib import Path

import pytest
from border_kit import START_NS, Open


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the logger "penstock" itself has warned of."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "penstock" and record.levelno == logging.WARNING
    ]


def test_a_sound_start_says_nothing(open_engine: Open, caplog: pytest.LogCaptureFixture) -> None:
    open_engine().close()
    open_engine().close()
    assert warnings(caplog) == []


def test_a_lost_ring_and_a_damaged_checkpoint_are_warned_of(
    open_engine: Open, tmp_path: Path, ring_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = open_engine()
    tag = engine.tag("m1.pressure", source="line")
    engine.feed(tag, None, array("d", [5.0]), source="line", recv_time_ns=START_NS, position=0)
    engine.checkpoint()
    engine.close()
    images = sorted((tmp_path / "state").glob("image.*"), key=lambda path: path.stat().st_mtime_ns)
    assert len(images) == 2
    images[0].write_bytes(b"")  # the older one
    for folder in ring_dir.iterdir():
        shutil.rmtree(folder)
    engine = open_engine()
    assert warnings(caplog) == [
        f"{tmp_path / 'state'}: 1 of the checkpoint images is damaged and passed over; "
        "the ring is gone: the last checkpoint goes on in a new journal"
    ]
    assert engine.tag("m1.pressure", source="line") == tag
    assert engine.position("line") == 0
    engine.close()
    caplog.clear()
    open_engine()
    assert warnings(caplog) == []  # told once: it is whole again
