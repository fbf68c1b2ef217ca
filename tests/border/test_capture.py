"""Captures from Python: written beside an engine, played by replay, rule tests and whatif; what is
missing is said; a running plant writes them.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from array import array
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from penstock import Engine, StateError, cli
from penstock.captures import Capture
from penstock.config import parse_config
from penstock.replay import event_line
from penstock.replay.case import run_case
from penstock.replay.recording import find_captures, missing

NS = 10**9
T0 = 1_795_000_000 * NS
CONFIG = """
[plant]
name = "graz"
timezone = "Europe/Vienna"
[[source]]
name = "line1"
kind = "feed"
format = "json"
[[rule]]
name = "hot"
kind = "limit"
tag = "*.temp"
events_per_minute_max = 100000
high = {high}
[[rule]]
name = "ten"
kind = "window"
tag = "*.temp"
size_s = 10
[[target]]
name = "erp"
kind = "tryton"
url = "http://erp:8000"
database = "plant"
user = "penstock"
password = "x"
[[mapping]]
name = "heated"
event = "limit.H.clear"
rule = "hot"
contract = "downtime/1"
target = "erp"
fields = {{ state = {{ const = "HEAT" }} }}
"""


def config(tmp_path: Path, ring_dir: Path, high: float = 80) -> Any:
    import tomllib

    raw = tomllib.loads(CONFIG.format(high=high))
    raw["engine"] = {
        "state_dir": str(tmp_path / "state"), "ring_dir": str(ring_dir), "ring_bytes": 1 << 22,
    }  # fmt: skip
    return parse_config(raw)


def value(step: int, machine: int) -> int:
    """A wave of 20 s around 75, and steps on it."""
    return (90 if step // 100 % 2 else 60) + machine + step % 7


def cleared(high: int, last: int) -> int:
    """Excursions that ended, counted by hand."""
    found = 0
    for machine in (1, 2):
        above = [value(step, machine) >= high for step in range(last)]
        found += sum(a and not b for a, b in pairwise(above))
    return found


def record(engine: Engine, first: int, last: int) -> list[dict[str, Any]]:
    """Two machines, one value each 100 ms; its events as lines."""
    found = []
    for step in range(first, last):
        time_ns = T0 + step * NS // 10
        engine.tick(time_ns)
        samples = [{"name": f"m{m}.temp", "value": value(step, m), "time": time_ns} for m in (1, 2)]
        engine.feed_frames(
            [json.dumps({"samples": samples}).encode()], source="line1", recv_time_ns=time_ns
        )
        if step % 50 == 0:
            batch = engine.poll()
            found += [event_line(each) for each in batch]
            batch.acknowledge()
    found += [event_line(each) for each in engine.poll()]
    return found


@pytest.fixture
def captured(tmp_path: Path, ring_dir: Path) -> tuple[Path, list[dict[str, Any]]]:
    """A folder of captures, and the events that the plant made meanwhile."""
    folder = tmp_path / "captures"
    folder.mkdir()
    with Engine(config(tmp_path, ring_dir), clock="manual") as engine:
        engine.capture(folder, 64 << 20)
        with pytest.raises(ValueError, match="captured already"):
            engine.capture(folder, 64 << 20)
        events = record(engine, 0, 3000)
    for name, high in (("old", 80), ("new", 95)):
        (tmp_path / f"{name}.toml").write_text(CONFIG.format(high=high))
    return folder, events


def test_a_capture_says_what_it_holds_and_gives_the_plants_own_events(
    captured: tuple[Path, list[dict[str, Any]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, events = captured
    (piece,) = find_captures(folder)
    assert (piece.span.plant, piece.span.samples) == ("graz", 6000)
    assert piece.span.last_ns == T0 + 2999 * NS // 10
    assert list(missing([piece])) == []
    results = tmp_path / "r.jsonl"
    words = ["replay", str(folder), "--config", str(tmp_path / "old.toml")]
    assert cli.main([*words, "--events", "-", "--results", str(results)]) == 0
    out = capsys.readouterr().out
    assert [json.loads(line) for line in out.splitlines()] == events
    assert len(events) == 58
    assert len(results.read_text().splitlines()) == 58


def test_whatif_says_what_differs_and_gates_it(
    captured: tuple[Path, list[dict[str, Any]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, events = captured
    old, new = str(tmp_path / "old.toml"), str(tmp_path / "new.toml")
    words = ["--config", old, "--capture", str(folder)]
    assert cli.main(["whatif", old, *words]) == 0
    captured_text = capsys.readouterr()
    assert "no document differs" in captured_text.out
    assert "6,000 samples in 1 captures: all of it is recorded" in captured_text.err
    before, after = cleared(80, 3000), cleared(95, 3000)
    assert before == sum(each["kind"] == "limit.H.clear" for each in events)
    assert cli.main(["whatif", new, *words, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["differences"]
    assert (found["before"], found["after"]) == (before, after)
    assert len(found["more"]) + found["before"] - len(found["fewer"]) == after > 300
    assert cli.main(["whatif", new, *words, "--since", "60s", "--fail-above", "5"]) == 1
    assert "--fail-above 5" in capsys.readouterr().err
    assert cli.main(["whatif", new, *words, "--since", "tomorrow"]) == 1
    assert "write 90m, 24h, 7d or a time" in capsys.readouterr().err
    assert cli.main(["whatif", new, "--config", old, "--capture", str(tmp_path)]) == 1
    assert "penstock run --capture writes them" in capsys.readouterr().err


def test_a_case_may_hold_a_capture(
    captured: tuple[Path, list[dict[str, Any]]], tmp_path: Path
) -> None:
    folder, events = captured
    case = tmp_path / "case"
    case.mkdir()
    (case / "config.toml").write_text(CONFIG.format(high=80))
    (case / "capture.bin").write_bytes(next(folder.iterdir()).read_bytes())
    assert run_case(case).made["events"] == events


def test_what_is_missing_between_captures_is_said(tmp_path: Path, ring_dir: Path) -> None:
    folder = tmp_path / "captures"
    folder.mkdir()
    for first, last in ((0, 300), (400, 700)):
        with Engine(config(tmp_path, ring_dir), clock="manual") as engine:
            engine.capture(folder, 64 << 20)
            record(engine, first, last)
    pieces = find_captures(folder)
    assert len(pieces) == 2
    (silence,) = missing(pieces)
    assert "from 2026-11-18T11:07:09.9Z to 2026-11-18T11:07:20Z" in silence
    last = pieces[-1].path
    last.write_bytes(last.read_bytes()[:-100])
    assert "ends in the middle of a block" in list(missing(find_captures(folder)))[-1]


def test_what_is_no_capture_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(b"PSTKCAP1" + bytes(200))
    with pytest.raises(StateError, match="header is damaged"):
        Capture(path)
    path.write_bytes(b"something else")
    with pytest.raises(StateError, match="is no capture"):
        Capture(path)


def test_a_running_plant_writes_captures(tmp_path: Path, ring_dir: Path) -> None:
    zmq = pytest.importorskip("zmq", reason="pyzmq plays the sender; pip install pyzmq")
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    text = CONFIG.format(high=80)
    text = text.replace('kind = "feed"', f'kind = "zmq_pull"\nbind = "{address}"')
    text += f'\n[engine]\nstate_dir = "{tmp_path / "state"}"\nring_dir = "{ring_dir}"\n'
    (tmp_path / "plant.toml").write_text(text)
    folder = tmp_path / "kept" / "captures"
    command = [sys.executable, "-m", "penstock", "run", str(tmp_path / "plant.toml")]
    with (
        subprocess.Popen([*command, "--capture", str(folder), "--capture-bytes", "8MiB"]) as plant,
        zmq.Context() as context,
        context.socket(zmq.PUSH) as sender,
    ):
        sender.linger = 0
        sender.connect(address)
        sender.send(b'{"m1.temp": 91.5}')
        end = time.monotonic() + 60
        while not list(folder.glob("capture-*.bin")) and time.monotonic() < end:
            assert plant.poll() is None
            time.sleep(0.05)
        plant.send_signal(signal.SIGTERM)
        assert plant.wait(30) == 0
    (piece,) = find_captures(folder)
    assert (piece.span.plant, piece.span.samples) == ("graz", 1)
    done = subprocess.run(
        [*command, "--capture", str(folder), "--capture-bytes", "many"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 78
    assert "--capture-bytes" in done.stderr


def test_feed_of_columns_is_captured_too(tmp_path: Path, ring_dir: Path) -> None:
    folder = tmp_path / "captures"
    folder.mkdir()
    with Engine(config(tmp_path, ring_dir), clock="manual") as engine:
        engine.capture(folder, 1 << 20)
        tag = engine.tag("m1.temp", source="line1")
        times = array("q", range(T0, T0 + 500 * NS, NS))
        engine.feed(tag, times, array("d", [70.0] * 500), source="line1", recv_time_ns=times[-1])
    (piece,) = find_captures(folder)
    assert piece.span.samples == 500


RING_READER = """
import sys
from pathlib import Path
from penstock.captures import ring_capture
from penstock.config import load_config
ring_capture(load_config(Path(sys.argv[1])), sys.argv[2])
"""


def test_the_ring_of_a_plant_is_read_from_outside_while_it_lives(
    tmp_path: Path, ring_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = CONFIG.format(high=80)
    text += f'\n[engine]\nstate_dir = "{tmp_path / "state"}"\nring_dir = "{ring_dir}"\n'
    text += "ring_bytes = 1048576\n"
    (tmp_path / "plant.toml").write_text(text)
    command = [sys.executable, "-c", RING_READER, str(tmp_path / "plant.toml")]
    live = config(tmp_path, ring_dir)
    events = []
    with Engine(live, clock="manual") as engine:
        events += record(engine, 0, 2000)
        engine.checkpoint(to_disk=False)
        events += record(engine, 2000, 3000)
        folder = tmp_path / "live"
        folder.mkdir()
        subprocess.run([*command, str(folder)], check=True)
    (piece,) = find_captures(folder)
    assert piece.span.samples == 6000, "nothing of it had been overwritten"
    assert (piece.span.plant, piece.span.missed) == ("graz", 0)
    words = ["replay", "ring", "--config", str(tmp_path / "plant.toml"), "--events", "-"]
    assert cli.main(words) == 0
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == events
    words = ["whatif", str(tmp_path / "plant.toml"), "--config", str(tmp_path / "plant.toml")]
    assert cli.main(words) == 0
    captured = capsys.readouterr()
    assert "6,000 samples in 1 captures: all of it is recorded" in captured.err
    assert "no document differs" in captured.out


def test_a_ring_that_is_not_there_is_said(
    tmp_path: Path, ring_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = CONFIG.format(high=80)
    text += f'\n[engine]\nstate_dir = "{tmp_path / "state"}"\nring_dir = "{ring_dir}"\n'
    (tmp_path / "plant.toml").write_text(text)
    words = ["replay", "ring", "--config", str(tmp_path / "plant.toml")]
    assert cli.main(words) == 1
    assert "STATE: cannot be read" in capsys.readouterr().err
    with Engine(config(tmp_path, ring_dir), clock="manual"):
        pass
    (ring,) = ring_dir.glob("penstock-*/ring")
    ring.write_bytes(b"no ring" * 1000)
    assert cli.main(words) == 1
    assert "holds no ring of this version" in capsys.readouterr().err
