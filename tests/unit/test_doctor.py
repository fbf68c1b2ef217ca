"""``penstock doctor`` on a real box made wrong: each finding has its fix, nothing is changed."""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock import Engine
from penstock.cli import diagnose as box
from penstock.cli import main
from penstock.config import load_config
from penstock.mapping import map_event
from penstock.outbox import Ledger, Mapped
from penstock.testing.builders import make_config, make_event

ROOT = Path(__file__).parents[2]
TEXT = """
[plant]
name = "graz"
[engine]
state_dir = "{state}"
ring_dir = "{ring}"
ring_bytes = "1MiB"
[[source]]
name = "a"
kind = "zmq_pull"
bind = "tcp://127.0.0.1:{port}"
[[target]]
name = "erp"
kind = "memory"
"""


@pytest.fixture
def port() -> int:
    """A port that is free."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
    return number


@pytest.fixture
def file(tmp_path: Path, ring_dir: Path, port: int) -> Path:
    path = tmp_path / "plant.toml"
    path.write_text(TEXT.format(state=tmp_path / "state", ring=ring_dir, port=port))
    return path


def findings(file: Path, capsys: pytest.CaptureFixture[str], code: int) -> dict[str, list[Any]]:
    assert main(["doctor", str(file), "--json"]) == code
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is (code == 0)
    found: dict[str, list[Any]] = {}
    for each in told["findings"]:
        assert (each["fix"] == "") == (each["level"] == "ok"), each
        assert "\n" not in each["text"] + each["fix"]
        found.setdefault(each["path"], []).append(each)
    return found


def test_a_box_without_state_is_well_and_stays_without(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = findings(file, capsys, 0)
    assert {"clock", "limit.nofile", "limit.memlock", "engine.state_dir", "engine.ring_dir"} <= set(
        found
    )
    assert "key and read-back" in found["target[erp]"][0]["text"]
    assert not (file.parent / "state").exists()
    assert main(["doctor", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(re.match(r"(ok  |warn|FAIL)  [a-z\[\]._]+: ", line) for line in lines)


def test_a_taken_port_fails_but_not_where_the_plant_itself_holds_it(
    file: Path, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        found = findings(file, capsys, 1)
        assert "free the port" in found["source[a].bind"][0]["fix"]
    with Engine(load_config(file)) as engine:
        engine.start()
        found = findings(file, capsys, 0)
        assert found["source[a].bind"][0]["text"].endswith(": the plant itself")
        texts = [each["text"] for each in found["engine.state_dir"]]
        assert f"process {os.getpid()} runs with {file.parent / 'state'}" in texts
        assert any(text.endswith("has version 1") for text in texts)


def test_a_lock_of_a_process_that_is_gone_is_nobody_s(file: Path, tmp_path: Path) -> None:
    with Engine(load_config(file)):
        assert box.running_pid(tmp_path / "state") == os.getpid()
    assert box.running_pid(tmp_path / "state") is None


@pytest.mark.parametrize(
    ("content", "level", "text"),
    [
        (b"penstock-state 9\nplant graz\n", "fail", "has version 9, this build reads up to 1"),
        (b"something else\n", "fail", "is not penstock's"),
        (b"", "fail", "cannot be read"),
        (None, "fail", "holds 'holiday.jpg' and no STATE of penstock"),
    ],
)
def test_a_foreign_or_newer_state_is_named(
    file: Path,
    tmp_path: Path,
    content: bytes | None,
    level: str,
    text: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    (state / ("holiday.jpg" if content is None else "STATE")).write_bytes(content or b"")
    found = findings(file, capsys, 1 if level == "fail" else 0)["engine.state_dir"]
    assert [(each["level"], text in each["text"]) for each in found if each["fix"]] == [
        (level, True)
    ]


def test_the_version_is_the_engine_s_own() -> None:
    source = (ROOT / "native" / "ring" / "state.c").read_text(encoding="utf-8")
    (version,) = re.findall(r"STATE_VERSION = (\d+)|#define STATE_VERSION (\d+)", source)
    assert int("".join(version).rstrip("u")) == box.STATE_VERSION


def test_a_directory_that_everybody_may_write_fails(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state").chmod(0o777)
    found = findings(file, capsys, 1)["engine.state_dir"]
    assert f"chmod o-w {tmp_path / 'state'}" in [each["fix"] for each in found]


def test_too_few_open_files_fail(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, hard))
    try:
        found = findings(file, capsys, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found["limit.nofile"][0]["fix"].startswith("LimitNOFILE=140 in the unit")


def test_a_file_limit_below_the_ring_fails(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        found = findings(file, capsys, 1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "the ring alone is 8" in found["limit.fsize"][0]["text"]


@pytest.fixture
def small_tmpfs(tmp_path: Path) -> Iterator[Path]:
    """8 MiB of tmpfs of our own."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if os.getuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this user may not mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_tmpfs_too_small_for_the_ring_fails(
    file: Path, ring_dir: Path, small_tmpfs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = file.read_text().replace(str(ring_dir), str(small_tmpfs))
    for bytes_ in ('ring_bytes = "16MiB"', "# ring_bytes by the machine"):
        file.write_text(text.replace('ring_bytes = "1MiB"', bytes_))
        (found,) = findings(file, capsys, 1)["engine.ring_dir"]
        assert "8 MiB free for a ring of" in found["text"]
        assert "or a larger tmpfs at" in found["fix"]


def test_the_port_of_the_health_pages_is_tried(
    file: Path, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(file.read_text() + f'[ops]\nlisten = "127.0.0.1:{port}"\n')
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        (found,) = findings(file, capsys, 1)["ops.listen"]
    assert "free the port" in found["fix"]


def test_an_outage_is_reckoned_from_the_ledger_s_own_growth(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "state" / "ledger.sqlite"
    now_ns = time.time_ns()
    config = make_config()
    with Ledger.open(path, now_ns=now_ns) as ledger:
        for number in range(200):
            event = make_event(number)
            batch = [Mapped(event, map_event(event, config))]
            ledger.commit_batch(batch, now_ns=now_ns - 7200 * 10**9 + number)
    (found,) = findings(file, capsys, 0)["disk.outage"]
    hours = float(re.findall(r"survives ([0-9,]+) hours", found["text"])[0].replace(",", ""))
    hourly = path.stat().st_size / 2  # all of it within the last two hours
    place = os.statvfs(tmp_path)
    assert hours == pytest.approx(place.f_bavail * place.f_frsize / hourly, rel=0.05)


def test_a_full_disk_is_a_short_outage(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Ledger.open(tmp_path / "state" / "ledger.sqlite", now_ns=time.time_ns()) as ledger:
        event = make_event(1)
        ledger.commit_batch(
            [Mapped(event, map_event(event, make_config()))], now_ns=time.time_ns() - 10**9
        )
    monkeypatch.setattr(box, "OUTAGE_H_FAIL", 10**12)
    (found,) = findings(file, capsys, 1)["disk.outage"]
    assert found["fix"].startswith("make room on the disk of ")


def test_wear_is_what_the_kernel_counted_of_the_running_plant(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(box, "UPTIME_S_MIN", 0)
    with Engine(load_config(file)) as engine:
        before = box._written(os.getpid())
        assert before is not None
        with (tmp_path / "much").open("wb") as much:
            much.write(os.urandom(4 << 20))
            os.fsync(much.fileno())
        engine.checkpoint()
        after = box._written(os.getpid())
        assert after is not None
        (found,) = findings(file, capsys, 0)["disk.wear"]
    if after[0] == before[0]:
        pytest.skip("the temporary folder is no disk")
    assert after[0] - before[0] >= 4 << 20
    day = float(re.findall(r"^([0-9.e+]+) GB/day written, by ", found["text"])[0])
    assert day == pytest.approx(after[0] / after[1] * 86400 / 1e9, rel=0.3)
    assert (found["level"] == "warn") == (day > box.WEAR_GB_DAY)


def test_checkpoints_alone_are_reckoned_where_nothing_runs(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Engine(load_config(file)):
        pass
    largest = max(each.stat().st_size for each in (tmp_path / "state").glob("image.*"))
    (found,) = findings(file, capsys, 0)["disk.wear"]
    day = float(found["text"].split()[0])
    assert day == pytest.approx(largest * 86400 / 30 / 1e9, rel=0.01)


def test_a_clock_that_is_not_set_fails(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(box.time, "time", lambda: 86_400.0)
    (found,) = findings(file, capsys, 1)["clock"]
    assert found["text"] == "it is 1970-01-02 here; nothing is posted so"


def test_what_a_target_cannot_prove_is_a_warning(
    file: Path, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    text = file.read_text() + (
        f'[[target]]\nname = "api"\nkind = "rest"\nurl = "http://127.0.0.1:{port}"\npath = "/d"\n'
    )
    file.write_text(text)
    found = findings(file, capsys, 1)
    assert found["target[api]"][0]["level"] == "warn"
    assert found["target[api].url"][0]["level"] == "fail"


def test_an_invalid_configuration_is_78(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "plant.toml"
    file.write_text('[plant]\nnme = "x"\n')
    assert main(["doctor", str(file)]) == 78
