"""What does a rule of each family cost beside one limit? Instructions a sample of the whole path.

Packed messages of 64 samples, 1,000 tags in order, 0.1 s between two samples of a tag, through
``Engine.feed_frames``: parsing, names, journal, judge. callgrind counts inside the engine's own
entry, so a busy machine does not matter. Values cross their limit once in a thousand samples, a
state changes as often; registers grow, and are cut each half minute. Of a gap each 17th message
is missing.

    rule_costs.py            the table for docs/rules.md; exit 1 where a ratio is above 3
    rule_costs.py FAMILY FILE     one of them, as JSON: what runs under callgrind

The extension is that of build/dev: the installed one has no symbols.
"""

from __future__ import annotations

import importlib.util
import json
import pickle
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CORE = Path(__file__).resolve().parents[1] / "build" / "dev" / "_core.abi3.so"
ENTRY = "pstk_engine_feed_frame"
TAGS, BATCH, ROUNDS = 1000, 64, 300
STEP_NS = 100_000_000
START_NS = 1_790_000_000_000_000_000
RATIO_MAX = 3.0
RULES: dict[str, dict[str, Any]] = {
    "limit": {"kind": "limit", "high": {"value": 80, "deadband": 2}},
    "limit, event order": {"kind": "limit", "high": 80, "order_by": "event"},
    "rate": {"kind": "rate", "span_s": 1, "high": 1e9},
    "stuck": {"kind": "stuck", "after_s": 3600, "band": 0.5},
    "freshness": {"kind": "freshness", "after_s": 60},
    "gap": {"kind": "gap", "source": "line"},
    "counter": {"kind": "counter", "unit": "C62", "every_s": 30},
    "total": {"kind": "total", "unit": "LTR", "per": "s", "every_s": 30},
    "state": {"kind": "state", "states": [1], "on": "both"},
    "window": {"kind": "window", "size_s": 1},
    "window, hopping": {"kind": "window", "size_s": 1, "hop_s": 0.5},
    "window, variance": {"kind": "window", "size_s": 1, "aggregates": ["variance"]},
    "window, integral": {"kind": "window", "size_s": 1, "aggregates": ["integral"]},
    "window, session": {"kind": "window", "session_gap_s": 5},
    "window, count": {"kind": "window", "count_n": 100},
}
INTEGER = ("counter", "state")
LOSES_AFTER = 16  # messages, of the gap family: one is missing each so often


def value_of(family: str, number: int, tag: int) -> float | int:
    """Of a tag's sample with that number."""
    is_rare = (7 * number + tag) % 1000 == 0
    if family == "counter":
        return 3 * number + tag
    if family == "state":
        return int(is_rare)
    return 95.0 if is_rare else 20.0 + number % 7


def messages(family: str) -> list[tuple[int, bytes]]:
    """Payloads with the time of their newest sample."""
    kind, layout = (2, "<qIHH") if family in INTEGER else (1, "<dIHH")
    rows = [(number, tag) for number in range(ROUNDS) for tag in range(TAGS)]
    found = []
    for at in range(0, len(rows), BATCH):
        piece = rows[at : at + BATCH]
        times = [START_NS + number * STEP_NS + tag for number, tag in piece]
        names = [f"line1.m{tag:03}.temp".encode() for _, tag in piece]
        lost = BATCH * (at // BATCH // LOSES_AFTER) if family == "gap" else 0
        head = (b"PSK1", len(piece), len(piece), 0, 1, 1, at + lost, times[0])
        table = b"".join(bytes([kind, len(name)]) + name for name in names)
        body = b"".join(
            struct.pack(layout, value_of(family, *row), time_ns - times[0], i, 0)
            for i, (row, time_ns) in enumerate(zip(piece, times, strict=True))
        )
        found.append((times[-1], struct.pack("<4sHBBIIQq", *head) + table + body))
    return found


def load_core() -> None:
    """The extension with its symbols."""
    spec = importlib.util.spec_from_file_location("penstock._core", CORE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["penstock._core"] = module
    spec.loader.exec_module(module)


def play(family: str, payloads: Path) -> dict[str, int]:
    """Feeds it; what the engine used and made."""
    load_core()
    from penstock import Engine
    from penstock.config import parse_config

    folder = tempfile.mkdtemp(prefix="penstock-rules-", dir="/dev/shm")
    rule = {"name": "r", **RULES[family]}
    if family != "gap":
        rule["tag"] = "line1.*.temp"
    raw = {
        "plant": {"name": "bench"},
        "engine": {"state_dir": f"{folder}/state", "ring_dir": folder, "ring_bytes": 1 << 26},
        "source": [{"name": "line", "kind": "feed"}],
        "rule": [rule],
    }
    try:
        with Engine(parse_config(raw), clock="manual") as engine:
            made = 0
            for now_ns, payload in pickle.loads(payloads.read_bytes()):
                engine.feed_frames([payload], source="line", recv_time_ns=now_ns)
                if len(batch := engine.poll()):
                    made += len(batch)
                    batch.acknowledge()
            stats, used = engine.stats(), engine.stats().sources[0].used
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert used == ROUNDS * TAGS, stats
    assert (stats.dropped, stats.late, stats.out_of_order, stats.instances_refused) == (0, 0, 0, 0)
    return {"used": used, "events": made + stats.events_pending, "results": stats.results}


def count(family: str) -> tuple[float, dict[str, int]]:
    """Instructions a sample, and what was made."""
    with tempfile.TemporaryDirectory(prefix="penstock-callgrind-") as folder:
        out, payloads = Path(folder) / "out", Path(folder) / "payloads"
        payloads.write_bytes(pickle.dumps(messages(family)))
        command = ["valgrind", "--tool=callgrind", f"--log-file={out}.log",
                   f"--callgrind-out-file={out}", f"--toggle-collect={ENTRY}", sys.executable,
                   __file__, family, str(payloads)]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found = re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.MULTILINE)
    made = json.loads(done.stdout)
    assert found is not None
    return int(found[1]) / made["used"], made


def main() -> int:
    base, is_right = 0.0, True
    print(
        "| family | instructions a sample | of one limit | events and results |\n|---|---|---|---|"
    )
    for family in RULES:
        value, made = count(family)
        base = base or value
        is_right &= value <= RATIO_MAX * base
        print(
            f"| {family} | {value:,.0f} | {value / base:.2f} |"
            f" {made['events'] + made['results']:,} |",
            flush=True,
        )
    return 0 if is_right else 1


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(play(sys.argv[1], Path(sys.argv[2]))))
    else:
        sys.exit(main())
