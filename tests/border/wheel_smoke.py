"""The installed wheel, alone in an empty environment: import, feed, poll, results, close.

``dev.py wheel`` runs it with the environment's own Python and -I; it is no pytest. Standard library
only. Exits 1 with a sentence where something is missing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from array import array
from decimal import Decimal
from importlib import resources
from pathlib import Path

START_NS = 1_790_000_000_000_000_000
S = 1_000_000_000

CONFIG = """
[plant]
name = "smoke"
timezone = "Europe/Paris"

[engine]
state_dir = "{folder}/state"
ring_dir = "{ring}"
ring_bytes = 1048576

[[source]]
name = "line"
kind = "feed"

[[rule]]
name = "high"
kind = "limit"
tag = "*.pressure"
high = 8.0

[[rule]]
name = "second"
kind = "window"
tag = "*.pressure"
size_s = 1
"""


def say(text: str) -> None:
    sys.stdout.write(f"wheel: {text}\n")


def want(is_so: bool, text: str) -> None:
    if not is_so:
        raise SystemExit(f"wheel: {text}")


def check_import() -> None:
    before = set(sys.modules)
    import penstock

    own = ("penstock", "_cython_", "cython_runtime")  # what our extension makes in memory
    new = {name.partition(".")[0] for name in set(sys.modules) - before}
    foreign = {name for name in new - sys.stdlib_module_names if not name.startswith(own)}
    want(not foreign, f"import penstock also imported {sorted(foreign)}")
    want("numpy" not in sys.modules, "import penstock imported numpy")
    place = Path(str(penstock.__file__)).resolve()
    want(Path(sys.prefix).resolve() in place.parents, f"{place} is not the installed wheel")
    say(f"penstock {penstock.__version__} from {place.parent}")


def check_is_release() -> None:
    from penstock import _core

    want(not _core.has_crash_points(), "the wheel listens to PENSTOCK_CRASH_AT")


def check_docs() -> None:
    """Pages and cases are read from the package, offline."""
    folder = resources.files("penstock") / "docs"
    for name in ("start.md", "errors.md", "penstock.service", "cases/state-stop/config.toml"):
        want((folder / name).is_file(), f"docs/{name} is not in the wheel")


def run_engine(folder: str, ring: str) -> None:
    import tomllib

    from penstock import Engine
    from penstock.config import parse_config

    text = CONFIG.format(folder=folder, ring=ring)
    config = parse_config(tomllib.loads(text, parse_float=Decimal))
    with Engine(config, clock="manual") as engine:
        tag = engine.tag("m1.pressure", source="line")
        times = array("q", [START_NS + i * S // 10 for i in range(100)])
        values = array("d", [9.0 if 40 <= i < 60 else 5.0 for i in range(100)])
        fed = engine.feed(tag, times, values, source="line", position=0, recv_time_ns=times[-1])
        want(fed == (100, 0), f"feed used and dropped {fed}")
        engine.tick(START_NS + 60 * S)
        batch = engine.poll()
        kinds = [event.kind for event in batch.events]
        want(kinds == ["limit.H.trip", "limit.H.clear"], f"poll gave {kinds}")
        batch.acknowledge()
        means = [row["mean"] for row in engine.results().rows()]
        want(means == [5.0] * 4 + [9.0] * 2 + [5.0] * 4, f"the windows' means are {means}")
        want(engine.stats().residual == 0, "received is not used + dropped")
    with Engine(config, clock="manual") as engine:
        want(engine.position("line") == 0, "the position did not outlive close")
        want(engine.poll().events == (), "acknowledged events came again")
    say("fed 100 samples, took 2 events and 10 windows, closed and opened again")


def run_bench(folder: str) -> None:
    """Our own side of two figures, tiny: programs unpack, run, and did the sender's work."""
    from penstock import bench

    os.environ["XDG_CACHE_HOME"] = folder
    program = bench.find()
    if program is None:
        raise SystemExit("the wheel has no bench")
    lines = Path(folder) / "figures.jsonl"
    command = [
        sys.executable, str(program), "--only", "zmtp.packed64.vs_raw,feed.random1k.vs_memory",
        "--messages", "20000", "--json", str(lines),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"the bench of the wheel failed:\n{done.stdout}{done.stderr}")
    taken = [json.loads(line) for line in lines.read_text().splitlines()]
    if len(taken) != 2 or not all(each["ratio"] for each in taken):
        raise SystemExit(f"the bench of the wheel said {taken}")


def main() -> int:
    check_import()
    check_is_release()
    check_docs()
    prefix = "penstock-smoke-"
    with (
        tempfile.TemporaryDirectory(prefix=prefix) as folder,
        tempfile.TemporaryDirectory(prefix=prefix, dir="/dev/shm") as ring,
    ):
        run_engine(folder, ring)
        run_bench(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
