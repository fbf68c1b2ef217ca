"""The state directory: one engine at a time, ours or refused with the way out, and a full disk that
ends the engine without ending what was journaled.
"""

from __future__ import annotations

import dataclasses
import os
import re
import signal
import subprocess
import sys
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from border_kit import (
    START_NS,
    Open,
    S,
    drain,
    excursions,
    identities,
    make_config,
    put,
    wait_until,
)

from penstock import Engine, EngineClosed, EngineFailed, Event, LockedError, StateError
from penstock.config.environment import foreign_file

PROGRAM = Path(__file__).with_name("engine_process.py")
WAIT_S = 20.0
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start(tmp_path: Path, ring_dir: Path) -> Iterator[Start]:
    """Starts engine_process on the same directories as ``open_engine``."""
    running: list[subprocess.Popen[str]] = []

    def begin(mode: str, state: str = "state") -> subprocess.Popen[str]:
        command = [sys.executable, PROGRAM, mode, tmp_path / state, ring_dir]
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate(timeout=WAIT_S)


def lines_until(process: subprocess.Popen[str], wanted: str) -> list[str]:
    """What the process says until the line that begins like this, which is the last."""
    assert process.stdout is not None
    found: list[str] = []
    for line in process.stdout:
        found.append(line.rstrip("\n"))
        if line.startswith(wanted):
            return found
    raise AssertionError(f"{wanted!r} was never said, only {found}")


# ---- whose ---------------------------------------------------------------------------------------

OURS = (
    *("lock", "STATE.tmp", "captures", "control.sock", "lost+found", "image.A", "image.tmp"),
    *("journal.00000001.0000000000000000", "ledger.sqlite", "ledger.sqlite-wal", "ledger.id"),
    ".nfs0000000a",
)
FOREIGN = (
    *("report.xls", ".bashrc", "state", "my-image.A", "STATE.bak", "a\x1b[2Jb"),
    *(".log", "run.logs", "catalog", "log"),
)


@pytest.mark.parametrize("name", FOREIGN)
def test_a_directory_of_somebody_else_is_refused_and_left_alone(
    name: str, tmp_path: Path, open_engine: Open
) -> None:
    place = tmp_path / "theirs"
    place.mkdir()
    (place / name).write_text("ours")
    shown = name.replace("\x1b", "?")
    with pytest.raises(StateError) as caught:
        open_engine("theirs")
    assert str(caught.value) == (
        f"state directory {place} holds '{shown}' and no STATE of penstock: "
        "set state_dir to a directory of its own"
    )
    assert [each.name for each in place.iterdir()] == [name]
    assert foreign_file(place) == name, "config check and doctor say the same beforehand"


@pytest.mark.parametrize("name", ["", *OURS])
def test_a_directory_with_what_we_may_have_left_is_ours(
    name: str, tmp_path: Path, open_engine: Open
) -> None:
    """systemd makes an empty one; a mount has lost+found; a start may end before its header."""
    place = tmp_path / "ours"
    place.mkdir()
    if name in ("captures", "lost+found"):
        (place / name).mkdir()
    elif name:
        (place / name).write_text("")
    assert foreign_file(place) == ""
    assert put(open_engine("ours"), excursions(1)) == (10, 0)


@pytest.mark.parametrize("names", [("run.log",), ("run.log", "run.log.1", "old.2026.log")])
def test_logs_of_a_first_start_stop_nothing(
    names: tuple[str, ...], tmp_path: Path, open_engine: Open
) -> None:
    place = tmp_path / "ours"
    place.mkdir()
    for name in names:
        (place / name).write_text("penstock run: state_dir ...\n")
    assert foreign_file(place) == ""
    assert put(open_engine("ours"), excursions(1)) == (10, 0)


@pytest.mark.parametrize("count", [8, 9])
def test_many_logs_are_another_program_s(count: int, tmp_path: Path, open_engine: Open) -> None:
    place = tmp_path / "theirs"
    place.mkdir()
    for number in range(count):
        (place / f"{number}.log").write_text("GET /")
    if count == 8:
        assert foreign_file(place) == ""
        open_engine("theirs").close()
        return
    with pytest.raises(StateError, match=r"holds '\d.log' and no STATE of penstock: set state_dir"):
        open_engine("theirs")
    assert foreign_file(place)
    assert len(list(place.iterdir())) == count


def test_what_a_person_lays_into_a_state_directory_stops_nothing(
    tmp_path: Path, open_engine: Open
) -> None:
    open_engine("ours").close()
    (tmp_path / "ours" / "notes.txt").write_text("called the electrician")
    assert foreign_file(tmp_path / "ours") == ""
    assert put(open_engine("ours"), excursions(1)) == (10, 0)


# ---- one at a time -------------------------------------------------------------------------------


def test_a_second_process_is_refused_by_the_name_of_the_first(
    start: Start, open_engine: Open
) -> None:
    holder = start("hold")
    lines_until(holder, "open")
    with pytest.raises(LockedError, match=rf"in use by process {holder.pid} on "):
        open_engine()
    said, _ = holder.communicate("go on\n", timeout=WAIT_S)
    assert said == "closed after 1\n"  # it was not disturbed
    assert open_engine().position("line") == 1


def test_a_second_engine_of_one_process_is_refused_too(open_engine: Open) -> None:
    first = open_engine()
    with pytest.raises(LockedError, match=str(os.getpid())):
        open_engine()
    assert first.stats().is_failed is False


def test_the_lock_is_free_after_close_and_after_a_kill(start: Start, open_engine: Open) -> None:
    open_engine().close()
    holder = start("hold")
    lines_until(holder, "open")
    holder.kill()
    holder.wait(WAIT_S)
    assert open_engine().position("line") == 0


def test_a_forked_child_is_refused_and_keeps_no_lock(start: Start, open_engine: Open) -> None:
    """Every call of the child is refused; the parent goes on; when it dies the lock is free,
    although its child lives.
    """
    parent = start("fork")
    said = lines_until(parent, "open")
    refused = [line for line in said if re.match(r"child \w+: ", line)]
    assert len(refused) == 9
    assert all(": EngineClosed: " in line for line in refused), refused
    assert "belongs to the parent process" in refused[0]
    assert "child closed" in said
    child = int(said[-2].removeprefix("forked "))
    with pytest.raises(LockedError, match=f"process {parent.pid} "):
        open_engine()
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait(WAIT_S)
    assert Path(f"/proc/{child}").exists()
    engine = open_engine()
    assert engine.position("line") == 0
    os.kill(child, signal.SIGKILL)
    assert engine.stats().is_failed is False


def test_the_parent_goes_on_after_a_fork(open_engine: Open) -> None:
    engine = open_engine()
    tag = engine.tag("m1.pressure", source="line")
    for turn in range(3):
        child = os.fork()
        if child == 0:
            try:
                engine.poll()
            except EngineClosed:
                engine.close()
                os._exit(0)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        used, _ = engine.feed(
            tag, None, array("d", [1.0]), source="line", recv_time_ns=START_NS + turn
        )
        assert used == 1
    engine.checkpoint()
    assert engine.stats().sources[0].used == 3


# ---- ours, or refused with the way out -----------------------------------------------------------


def test_a_newer_state_is_refused_and_left_as_it_is(open_engine: Open, tmp_path: Path) -> None:
    open_engine().close()
    header = tmp_path / "state" / "STATE"
    newer = header.read_text().replace("penstock-state 1", "penstock-state 7")
    header.write_text(newer)
    with pytest.raises(StateError, match=r"version 7, this build reads up to 1: start the newer"):
        open_engine()
    assert header.read_text() == newer


def test_a_damaged_header_is_refused_and_left_as_it_is(open_engine: Open, tmp_path: Path) -> None:
    open_engine().close()
    header = tmp_path / "state" / "STATE"
    damaged = header.read_text().replace("plant border", "plant bordel")
    header.write_text(damaged)
    with pytest.raises(StateError, match="damaged or not ours"):
        open_engine()
    assert header.read_text() == damaged


def test_another_plants_state_is_refused(tmp_path: Path, ring_dir: Path) -> None:
    ours = make_config(tmp_path / "state", ring_dir)
    with Engine(ours):
        pass
    theirs = dataclasses.replace(ours, plant=dataclasses.replace(ours.plant, name="graz"))
    with pytest.raises(StateError, match=r"belongs to plant border, not graz"):
        Engine(theirs)


def test_a_read_only_state_directory_is_refused(start: Start, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:3]:
        if os.geteuid() == 0 and not parent.stat().st_mode & 0o001:
            parent.chmod(0o711)  # so that a user without rights can reach it
    state = tmp_path / "state"
    state.mkdir(mode=0o555)
    state.chmod(0o555)
    process = start("nobody")
    said, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 1
    assert said.startswith(f"StateError: {state}/lock cannot be written; give the user that runs")
    assert list(state.iterdir()) == []


def test_a_state_directory_that_cannot_be_made_is_refused(start: Start, tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    process = start("nobody", "no/such/place")
    said, _ = process.communicate(timeout=WAIT_S)
    tmp_path.chmod(0o700)
    assert process.returncode == 1
    assert "cannot be made; give the user that runs penstock the right to write there" in said


def test_a_file_in_the_place_of_the_directory_is_refused(open_engine: Open, tmp_path: Path) -> None:
    (tmp_path / "state").write_text("not a folder")
    with pytest.raises(StateError, match="cannot be made"):
        open_engine()


# ---- a full disk ---------------------------------------------------------------------------------

DISK_BYTES = 24 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few MB, which needs root."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)]
    if os.geteuid() != 0:
        pytest.skip("a full disk is made of a small tmpfs: run as root")
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"a small tmpfs cannot be mounted here: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Takes every free byte."""
    filler = disk / "filler"
    block = bytes(1 << 16)
    with filler.open("ab", buffering=0) as file:
        while True:
            try:
                if not file.write(block):
                    return filler
            except OSError:
                if len(block) == 1:
                    return filler
                block = block[: len(block) // 16] or b"\0"


def press(engine: Engine, first: int, count: int, position: int) -> None:
    """A pressure that crosses its limit every second instant."""
    tag = engine.tag("m1.pressure", source="line")
    times = array("q", [START_NS + i * S for i in range(first, first + count)])
    values = array("d", [9.0 if i % 2 else 5.0 for i in range(first, first + count)])
    engine.feed(tag, times, values, source="line", position=position, recv_time_ns=times[-1])


def test_a_full_disk_fails_the_engine_for_good_and_loses_nothing(
    small_disk: Path, ring_dir: Path
) -> None:
    config = make_config(small_disk / "state", ring_dir, engine="checkpoint_s = 0.1")
    with Engine(config, clock="manual") as engine:
        press(engine, 0, 20, 0)
        wait_until(lambda: engine.stats().saved > 0, "the first checkpoint on disk")
        filler = fill(small_disk)
        press(engine, 20, 20, 1)
        wait_until(lambda: engine.stats().is_failed, "the keeper meets the full disk")
        for call in (
            engine.poll,
            engine.results,
            engine.checkpoint,
            lambda: press(engine, 40, 1, 2),
        ):
            with pytest.raises(EngineFailed, match=r"the engine has failed: .*No space left"):
                call()
        filler.unlink()
        with pytest.raises(EngineFailed):  # sticky: room alone does not bring it back
            engine.poll()
        assert engine.stats().residual == 0
    with Engine(config, clock="manual") as engine:
        assert engine.position("line") == 1
        events = drain(engine)
    expected = undisturbed(small_disk / "other", ring_dir)
    assert identities(events, ["m1.pressure"]) == identities(expected, ["m1.pressure"])


def undisturbed(state_dir: Path, ring_dir: Path) -> list[Event]:
    with Engine(make_config(state_dir, ring_dir), clock="manual") as engine:
        press(engine, 0, 20, 0)
        press(engine, 20, 20, 1)
        return drain(engine)


def test_a_full_disk_at_open_is_a_clear_error(small_disk: Path, ring_dir: Path) -> None:
    filler = fill(small_disk)
    config = make_config(small_disk / "state", ring_dir)
    with pytest.raises(StateError, match=r"state.*(cannot be made|cannot be written).*No space"):
        Engine(config)
    filler.unlink()
    with Engine(config, clock="manual") as engine:
        press(engine, 0, 20, 0)
        assert engine.stats().sources[0].used == 20


def test_a_full_ring_dir_at_open_is_a_clear_error(
    small_disk: Path, tmp_path: Path, ring_dir: Path
) -> None:
    """The ring is reserved whole at open, so that it cannot run out later."""
    fill(small_disk)
    config = make_config(tmp_path / "state", small_disk)
    with pytest.raises(StateError, match=r"ring"):
        Engine(config)
    with Engine(make_config(tmp_path / "state", ring_dir)) as engine:
        assert engine.stats().is_failed is False
