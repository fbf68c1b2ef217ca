"""How many instructions does one sample take? Counted, so that a busy machine does not matter.

valgrind's callgrind counts what runs inside the engine's own entry: ``pstk_reactor_read`` for a
wire (framing to judging, without the kernel), ``pstk_engine_feed`` for columns. The baseline is
budget.json, committed by compiler version: tests/flow/test_instructions.py holds it to 2 %.
``bench_instructions.py --write`` takes the budget of this compiler anew.
"""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from measure import CPU_SENDER, Bench, Child, Figure, Skip, compare, engine_folders

BUDGET = Path(__file__).resolve().parent / "budget.json"
SLACK = 0.02
COUNT = 100_000  # and half as many before, which are counted too
BATCH_ROWS = 65_536
RING_BYTES = 1 << 26
WIRE = "pstk_reactor_read"
FEED = "pstk_engine_feed"


@dataclass(frozen=True, slots=True)
class Workload:
    wire: str
    form: str
    options: tuple[str, ...] = ()


WORKLOADS = {
    "instructions.zmtp.packed64": Workload("zmtp", "packed"),
    "instructions.zmtp.packed64_cyclic": Workload("zmtp", "packed", ("cyclic=1",)),
    "instructions.zmtp.block64": Workload("zmtp", "packed", ("samples=64",)),
    "instructions.zmtp.json64": Workload("zmtp", "json"),
    "instructions.nats.packed64": Workload("nats", "packed"),
}
COLUMNS = "instructions.feed"
NAMES = (*WORKLOADS, COLUMNS)


def compiler() -> str:
    """Another compiler makes other instructions: the budget is by its name and version."""
    asked = subprocess.run(
        ["cc", "-dumpfullversion", "-dumpversion"], capture_output=True, text=True, check=True
    )
    words = subprocess.run(["cc", "--version"], capture_output=True, text=True, check=True)
    kind = "clang" if "clang" in words.stdout else "gcc"
    return f"{kind} {asked.stdout.split()[0]} {platform.machine()}"


def budget() -> dict[str, float]:
    """This compiler's; empty where none is committed."""
    found = json.loads(BUDGET.read_text()).get(compiler(), {})
    assert isinstance(found, dict)
    return found


def callgrind(out: Path, function: str, command: Sequence[str]) -> list[str]:
    if not shutil.which("valgrind"):
        raise Skip("valgrind is missing: apt-get install -y valgrind")
    return ["valgrind", "--tool=callgrind", f"--log-file={out}.log", f"--callgrind-out-file={out}",
            f"--toggle-collect={function}", *command]  # fmt: skip


def total(out: Path) -> int:
    found = re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.MULTILINE)
    if not found:
        raise RuntimeError(f"{out} has no total")
    return int(found[1])


def of_wire(bench: Bench, work: Workload, out: Path, samples: int) -> tuple[float, str]:
    """Instructions a sample of a recorded stream, and what was wrong with the work."""
    sender = [bench.program("send_stream"), work.wire, work.form, *work.options]
    with engine_folders() as (state, ring), Child(CPU_SENDER, sender) as source:
        port = source.expect("port").split()[0]
        receiver = [bench.program("recv_engine"), work.wire, work.form, port, state, ring,
                    str(RING_BYTES), str(samples // 2), str(samples)]  # fmt: skip
        with Child(0, callgrind(out, WIRE, receiver)) as target:
            source.tell(f"send {samples // 2}")
            target.expect("warm")
            source.tell(f"send {samples}")
            target.expect_json("measured")
            source.tell("tail")
            final = target.expect_json("final")
            target.wait()
        source.finish_input()
        expected = source.expect_json("expected")
    return total(out) / final["used"], compare(final, expected, tail=1000)


def of_feed(bench: Bench, out: Path, samples: int) -> tuple[float, str]:
    columns = tempfile.mkdtemp(prefix="penstock-columns-", dir="/dev/shm")
    try:
        write = [bench.program("write_columns"), columns, str(samples)]
        subprocess.run(write, check=True, stdout=subprocess.DEVNULL)
        with engine_folders() as (state, ring):
            command = [bench.program("feed_engine"), columns, str(samples), str(BATCH_ROWS), state,
                       ring, str(RING_BYTES)]  # fmt: skip
            with Child(0, callgrind(out, FEED, command)) as child:
                child.expect_json("measured")
                final = child.expect_json("final")
                expected = child.expect_json("expected")
                child.wait()
    finally:
        shutil.rmtree(columns, ignore_errors=True)
    return total(out) / final["used"], compare(final, expected, tail=1000)


def count(bench: Bench, name: str, samples: int = COUNT) -> tuple[float, str]:
    with tempfile.TemporaryDirectory(prefix="penstock-callgrind-") as folder:
        out = Path(folder) / "out"
        if name == COLUMNS:
            return of_feed(bench, out, samples)
        return of_wire(bench, WORKLOADS[name], out, samples)


def run(bench: Bench, name: str) -> Figure:
    """One figure, beside its budget."""
    samples = min(COUNT, bench.sizes.messages)
    value, problem = count(bench, name, samples)
    known = budget().get(name) if samples == COUNT else None
    work = WORKLOADS.get(name)
    wire = f"{work.wire} recorded, {work.form} {' '.join(work.options)}" if work else "columns"
    return bench.plain(
        name, "instructions/sample", [value], [known] if known else [], n=samples,
        wire=wire.strip(), note=f"{'' if known else 'no '}budget of {compiler()}", problem=problem,
    )  # fmt: skip


def write() -> int:
    from measure import Sizes
    from run import build

    build()
    bench = Bench(Sizes.quick(), {}, lambda text: print(text, file=sys.stderr))
    taken = {}
    for name in NAMES:
        value, problem = count(bench, name)
        if problem:
            print(f"{name}: {problem}", file=sys.stderr)
            return 1
        taken[name] = round(value, 1)
        print(f"{name} {value:.1f}", flush=True)
    known = json.loads(BUDGET.read_text()) if BUDGET.exists() else {}
    BUDGET.write_text(json.dumps({**known, compiler(): taken}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        raise SystemExit("usage: bench_instructions.py --write")
    raise SystemExit(write())
