"""docs/errors.md: each row is a case that is tried here; its message and outcome are as printed.

In messages DIR stands for the folder of the test. A row that nothing tries, or a case that the page
lacks, fails.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import zmq
from border_kit import packed as packed_rows
from border_kit import wait_until

import penstock
from penstock import Engine, _core
from penstock.cli import main
from penstock.config import load_config, parse_config
from penstock.outbox import Ledger

PAGE = Path(penstock.__file__).parent / "docs" / "errors.md"
NOW_NS = 1_795_000_000_000_000_000
HEAD = '[plant]\nname = "graz"\n[engine]\nstate_dir = "state"\n'
SOURCE = '[[source]]\nname = "line1"\nkind = "feed"\nformat = "json"\n'
RULE = '[[rule]]\nname = "hot"\nkind = "limit"\ntag = "*.temp"\nhigh = 80\n'
TARGET = '[[target]]\nname = "erp"\nkind = "memory"\n'
STOPS = '[[rule]]\nname = "stops"\nkind = "state"\ntag = "*.state"\nstates = ["STOP"]\n'
MAPPING = (
    '[[mapping]]\nname = "m"\nevent = "state.end"\nrule = "stops"\n'
    'contract = "downtime/1"\ntarget = "erp"\n'
)
PACKED = SOURCE.replace('"json"', '"packed"')
REGISTER = 'tags = { "m1.temp" = "i64" }'
REST = '[[target]]\nname = "api"\nkind = "rest"\nurl = "http://127.0.0.1:9"\npath = "/d"\n'


@dataclass
class Box:
    """Where a case is tried."""

    folder: Path
    capsys: pytest.CaptureFixture[str]
    ring: Path

    def file(self, text: str | bytes, name: str = "plant.toml") -> str:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    def cli(self, *words: str) -> tuple[str, str]:
        """The last line said, and the exit code."""
        self.capsys.readouterr()
        code = main(list(words))
        said = self.capsys.readouterr().err.strip().splitlines() or [""]
        return re.sub(r"^(penstock(?: \w+)?: |error +|warning +|failed +)", "", said[0]), str(code)

    def check(self, text: str | bytes) -> tuple[str, str]:
        return self.cli("config", "check", self.file(text), "--no-environment")

    @contextlib.contextmanager
    def engine(
        self, source: str = "", engine: str = "", text: str = SOURCE, clock: str = "manual"
    ) -> Iterator[Engine]:
        head = f'{HEAD}ring_dir = "{self.ring}"\nring_bytes = "1MiB"\n{engine}\n'
        path = self.file(f"{head}{text}{source}\n")
        with Engine(load_config(path), clock=clock) as opened:
            yield opened

    def drop(
        self, *payloads: bytes, source: str = "", engine: str = "", text: str = SOURCE
    ) -> tuple[str, str]:
        """What feeding the last of some payloads counts."""
        with self.engine(source, engine, text) as opened:
            for each in payloads:
                opened.feed_frames([each], source="line1", recv_time_ns=NOW_NS)
            (found,) = opened.stats().sources
            assert found.residual == 0
            return "", counted(found.dropped)


def counted(dropped: Mapping[str, int]) -> str:
    return ", ".join(f"`{reason}` {count}" for reason, count in dropped.items())


def sample(name: str = "m1.temp", value: object = 1.5, time_ns: int = NOW_NS) -> bytes:
    rows = [{"name": name, "value": value, "time": time_ns}]
    return json.dumps({"samples": rows}, ensure_ascii=False).encode()


def packed(value: float) -> bytes:
    return packed_rows([("m1.temp", NOW_NS, value, 0)])


Case = Callable[[Box], tuple[str, str]]
CASES: dict[str, Case] = {}


def case(name: str) -> Callable[[Case], Case]:
    def keep(function: Case) -> Case:
        CASES[name] = function
        return function

    return keep


def checked(name: str, text: str | bytes) -> None:
    CASES[name] = lambda box: box.check(text)


def used(name: str, *words: str) -> None:
    CASES[name] = lambda box: box.cli(*words)


# ---- a configuration -----------------------------------------------------------------------------

checked("not TOML", "plant = \n")
checked("not UTF-8", b'[plant]\nname = "S\xfcd"\n')
checked("an unknown section", HEAD + "[sorce]\n")
checked("an unknown key", HEAD + SOURCE.replace("format", "fromat"))
checked("a required key is missing", "[plant]\n")
checked("a number out of bounds", HEAD + "tags_max = 0\n")
checked("a text where a number belongs", HEAD + 'tags_max = "many"\n')
checked("a word that is none of the known", HEAD + SOURCE.replace('"feed"', '"zmq_pul"'))
checked("two of one name", HEAD + SOURCE + SOURCE)
checked("a variable that is not set", HEAD.replace('"graz"', '"${SITE}"'))
checked("a secret where it would be shown", HEAD.replace('"graz"', '"${secret:X}"'))
checked("a time zone nobody knows", HEAD.replace("[engine]", 'timezone = "Vienna"\n[engine]'))
checked("a key of another kind of rule", HEAD + SOURCE + RULE + "rollover = 10000\n")
checked("levels in the wrong order", HEAD + SOURCE + RULE + "low = 90\n")
checked("a unit that is no code", HEAD + SOURCE + RULE + 'unit = "furlong"\n')
checked("a source without its address", HEAD + SOURCE.replace('"feed"', '"zmq_sub"'))
checked("a mapping to no target", HEAD + SOURCE + STOPS + MAPPING)
checked("a mapping of no rule", HEAD + SOURCE + TARGET + MAPPING)
checked("an unknown kind of target", HEAD + TARGET.replace("memory", "sap"))
checked("an unknown key of a target", HEAD + TARGET + "concurency = 3\n")
checked("a template with a word no document has", HEAD + REST.replace('"/d"', '"/d/{ordre}"'))
checked("a look-up that could find anything", HEAD + REST + 'look_up = { path = "/d?k={key}" }\n')


@case("no such file")
def _(box: Box) -> tuple[str, str]:
    return box.cli("config", "check", str(box.folder / "none.toml"))


@case("a target that can prove nothing")
def _(box: Box) -> tuple[str, str]:
    return box.cli("config", "check", box.file(HEAD + REST), "--no-environment", "--deny-warnings")


# ---- a state directory ---------------------------------------------------------------------------


@case("another process holds the state")
def _(box: Box) -> tuple[str, str]:
    with box.engine():
        return box.cli("run", str(box.folder / "plant.toml"), "--once")


@case("a state of a newer penstock")
def _(box: Box) -> tuple[str, str]:
    with box.engine():
        pass
    state = box.folder / "state" / "STATE"
    state.write_text(state.read_text().replace("penstock-state 1", "penstock-state 9"))
    return box.cli("run", str(box.folder / "plant.toml"), "--once")


@case("a state of another plant")
def _(box: Box) -> tuple[str, str]:
    with box.engine():
        pass
    file = box.folder / "plant.toml"
    file.write_text(file.read_text().replace('"graz"', '"linz"'))
    return box.cli("run", str(file), "--once")


@case("a file where the state should be")
def _(box: Box) -> tuple[str, str]:
    box.file("x", "state")
    return box.cli("run", box.file(HEAD + SOURCE), "--once")


@case("a directory of somebody else")
def _(box: Box) -> tuple[str, str]:
    (box.folder / "state").mkdir()
    box.file("x", "state/report.xls")
    return box.cli("run", box.file(HEAD + SOURCE), "--once")


@case("a state directory that may not be written")
def _(box: Box) -> tuple[str, str]:
    """In a child, who is nobody where the test is root."""
    box.cli("run", box.file(HEAD.replace('"state"', '"other"') + SOURCE), "--once")  # all imported
    (box.folder / "state").mkdir()
    (box.folder / "state").chmod(0o555)
    box.folder.chmod(0o755)
    file, said = box.file(HEAD + SOURCE), io.FileIO(box.folder / "said", "w+")
    child = os.fork()
    if child == 0:
        os.dup2(said.fileno(), 2)
        sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), write_through=True)
        if os.getuid() == 0:
            os.setuid(65534)
        os._exit(main(["run", file, "--once"]))
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    with said:
        said.seek(0)
        return said.read().decode().strip().removeprefix("penstock: "), str(code)


@case("a ring that is not on tmpfs")
def _(box: Box) -> tuple[str, str]:
    return box.cli("run", box.file(HEAD + f'ring_dir = "{box.folder}"\n' + SOURCE), "--once")


@case("no ledger")
def _(box: Box) -> tuple[str, str]:
    return box.cli("dlq", "list", "--state-dir", str(box.folder))


@case("a ledger of a newer penstock")
def _(box: Box) -> tuple[str, str]:
    path = box.folder / "ledger.sqlite"
    Ledger.open(path, now_ns=NOW_NS).close()
    with contextlib.closing(sqlite3.connect(path)) as raw:
        raw.execute("PRAGMA user_version = 99")
    return box.cli("dlq", "list", "--state-dir", str(box.folder))


@case("a ledger that is none")
def _(box: Box) -> tuple[str, str]:
    box.file(b"x" * 4096, "ledger.sqlite")
    return box.cli("dlq", "list", "--state-dir", str(box.folder))


@case("an entry that is not there")
def _(box: Box) -> tuple[str, str]:
    Ledger.open(box.folder / "ledger.sqlite", now_ns=NOW_NS).close()
    where = ("--state-dir", str(box.folder))
    return box.cli("dlq", "retry", "#12", "--reason", "again", *where)


# ---- words ---------------------------------------------------------------------------------------

used("a duration that is none", "tap", "tcp://127.0.0.1:9", "--for", "soon")
used("an address that is none", "tap", "mqtt://127.0.0.1")
used("an unknown page", "docs", "confg")
used("an unknown category", "dlq", "list", "--category", "perod")
used("a plant in place of another", "init", ".")


# ---- a recording ---------------------------------------------------------------------------------


def replayed(name: str, recording: str | bytes) -> None:
    def play(box: Box) -> tuple[str, str]:
        config = box.file(HEAD + SOURCE + RULE)
        return box.cli("replay", box.file(recording, "day.csv"), "--config", config)

    CASES[name] = play


replayed("an empty recording", "")
replayed("a recording without times", "a,b\n1,2\n3,4\n")


# ---- samples -------------------------------------------------------------------------------------


def dropped(
    name: str, *payloads: bytes, source: str = "", engine: str = "", text: str = SOURCE
) -> None:
    CASES[name] = lambda box: box.drop(*payloads, source=source, engine=engine, text=text)


TEXTS = (sample(value="A"), sample(value="B"))
dropped("a message that is no JSON", b'{"samples": [')
dropped("a message of another format", b"PSK2" + bytes(40), text=PACKED)
dropped("a message beyond `frame_bytes_max`", b" " * 300, source="frame_bytes_max = 256")
dropped("a number that is not finite", packed(float("nan")), text=PACKED)
dropped("a number that its tag cannot hold", sample(value=10**20), source=REGISTER)
dropped("a fraction for a whole number", sample(), source=REGISTER)
dropped("a stamp beyond `future_max_s`", sample(time_ns=NOW_NS + 61 * 10**9))
dropped("a tag of another type", sample(), sample(value="RUN"))
dropped("one tag more than `tags_max`", sample(), sample("m2.temp"), engine="tags_max = 1")
dropped("a tag name of more than 95 bytes", sample("x" * 96))
dropped(
    "one text more than `codes_max`", sample(value="A"), sample(value="B"), engine="codes_max = 1"
)


dropped(
    "one stream more than `streams_max`",
    *(packed_rows([("m1.temp", NOW_NS, 1.5, 0)], stream=each, seq=0) for each in (1, 2)),
    engine="streams_max = 1",
    text=PACKED,
)


def squeezed(box: Box, share: float) -> tuple[str, str]:
    """Events that nobody takes: nothing is judged, so nothing leaves the ring. What one sample
    more counts where one more has no room.
    """
    text = PACKED.replace('"feed"', '"zmq_pull"') + 'bind = "tcp://127.0.0.1:0"\nfull = "drop"\n'
    rule = f"ring_share = {share}\n{RULE}events_per_minute_max = 1000000\n"
    with (
        box.engine(rule, engine="event_slots = 256", text=text, clock="system") as engine,
        zmq.Context() as context,
        context.socket(zmq.PUSH) as wire,
    ):
        engine.start()
        wire.connect(f"tcp://127.0.0.1:{engine.port('line1')}")
        sent, step = 0, 500
        while True:
            now_ns = time.time_ns()
            rows = [("m1.temp", now_ns + i * 1000, 60.0 + 30.0 * (i % 2), 0) for i in range(step)]
            before = engine.stats().sources[0].dropped
            wire.send(packed_rows(rows))
            sent += step
            wait_until(lambda: engine.stats().received == sent, "it is received")  # noqa: B023
            after = engine.stats().sources[0].dropped
            more = {reason: after[reason] - before.get(reason, 0) for reason in after}
            if any(more.values()) and step == 1:
                return "", counted({reason: count for reason, count in more.items() if count})
            step = 1 if any(more.values()) else step


CASES["a sample for a full ring, where the source may not wait"] = lambda box: squeezed(box, 1.0)
CASES["a sample beyond the source's `ring_share`"] = lambda box: squeezed(box, 0.25)


@case("a sample refused just before the process was killed")
def _(box: Box) -> tuple[str, str]:
    """The block that came with it is journaled, the reason of the one refused is not yet."""
    if not _core.has_crash_points():
        pytest.skip("this build has no crash points: python3 tools/dev.py setup")
    both = packed_rows([("m1.temp", NOW_NS, 1.5, 0), ("m1.temp", NOW_NS + 1, float("nan"), 0)])
    with box.engine(text=PACKED):
        pass
    done = subprocess.run(
        [sys.executable, "-c", KILLED, box.folder / "plant.toml", both.hex(), str(NOW_NS)],
        env={**os.environ, "PENSTOCK_CRASH_AT": "engine.commit.after:1"},
        check=False,
    )
    assert done.returncode == -9
    with box.engine(text=PACKED) as engine:
        (found,) = engine.stats().sources
        assert (found.used, found.residual) == (1, 0)
        return "", counted(found.dropped)


KILLED = """
import sys
from penstock import Engine
from penstock.config import load_config
with Engine(load_config(sys.argv[1]), clock="manual") as engine:
    frames = [bytes.fromhex(sys.argv[2])]
    engine.feed_frames(frames, source="line1", recv_time_ns=int(sys.argv[3]))
"""


@case("a tag that another source has")
def _(box: Box) -> tuple[str, str]:
    with box.engine(text=SOURCE + SOURCE.replace("line1", "line2")) as engine:
        for name in ("line1", "line2"):
            engine.feed_frames([sample()], source=name, recv_time_ns=NOW_NS)
        second = engine.stats().sources[1]
        return "", counted(second.dropped)


@case("a batch that was fed before")
def _(box: Box) -> tuple[str, str]:
    with box.engine() as engine:
        tag = engine.tag("m1.temp", source="line1")
        for _ in range(2):
            engine.feed(
                tag, None, array("d", [1.5]), source="line1", position=7, recv_time_ns=NOW_NS
            )
        (found,) = engine.stats().sources
        return "", counted(found.dropped)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path, for the engine's own messages cut a long one."""
    with tempfile.TemporaryDirectory(prefix="psk-") as name:
        yield Path(name)


# ---- the page ------------------------------------------------------------------------------------


def rows() -> dict[str, tuple[str, str]]:
    found = {}
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [each.strip() for each in line.replace("\\|", "\0").strip("|").split("|")]
        if (
            line.startswith("| ")
            and len(cells) in (2, 3)
            and not re.fullmatch(r"case|exit code|[0-9]+", cells[0])
        ):
            message = cells[1][1:-1].replace("\0", "|") if len(cells) == 3 else ""
            found[cells[0]] = (message, cells[-1])
    return found


def tried(name: str, box: Box) -> tuple[str, str]:
    message, outcome = CASES[name](box)
    message = message.replace(str(box.folder), "DIR").replace(str(box.ring), "RING")
    return re.sub(r"process \d+ on \S+:", "process 4711 on HOST:", message), outcome


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_case_says_and_does_what_the_page_says(
    name: str,
    folder: Path,
    ring_dir: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SITE", raising=False)
    monkeypatch.setenv("PENSTOCK_SECRET_X", "x")
    monkeypatch.chdir(folder)
    if name == "a plant in place of another":
        (folder / "plant.toml").write_text(HEAD)
    assert rows().get(name) == tried(name, Box(folder, capsys, ring_dir))


def test_every_row_is_tried_and_every_drop_reason_is_a_row() -> None:
    assert set(rows()) == set(CASES)
    counters = " ".join(outcome for _, outcome in rows().values())
    for reason in _core.DROP_REASONS:
        assert f"`{reason}`" in counters, reason


def test_an_engine_that_is_refused_tells_the_same_in_python(tmp_path: Path) -> None:
    with pytest.raises(penstock.ConfigError) as caught:
        parse_config({"plant": {}})
    assert str(caught.value) == rows()["a required key is missing"][0]
