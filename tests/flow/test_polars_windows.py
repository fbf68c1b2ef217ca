"""Tumbling and hopping windows equal Polars' group_by_dynamic, a foreign oracle: same windows, same
counts and extremes, sums and variance within rounding. Samples come shuffled within lateness, in
batches of any size, and the first windows of each tag are there too.
"""

from __future__ import annotations

import math
import random
import sys
from array import array
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "sim"))

from oracle_drive import engine_of

pl = pytest.importorskip("polars", reason="the foreign oracle; pip install polars")

MS, S = 10**6, 10**9
START_NS = 1_700_000_000 * S + 123 * MS
LATENESS_S = 0.5
MORE = ["min_at", "max_at", "range", "variance", "rate"]
Rows = list[tuple[int, str, float]]

KINDS = [(1.0, 0.0, 0.0), (2.5, 0.0, 0.25), (2.0, 0.5, 0.0), (3.0, 1.0, 0.75), (0.64, 0.01, 0.0)]


def rows_of(chance: random.Random) -> Rows:
    """Three tags, bursts and silences, values around a great mean with ties."""
    rows: Rows = []
    time_ns = START_NS
    for _ in range(8000):
        time_ns += chance.choice((0, 1, 3, 7)) * MS
        if chance.random() < 0.002:
            time_ns += chance.randrange(1, 9) * S
        value = 1e6 + round(chance.gauss(0, 2), chance.choice((0, 1, 6)))
        rows.append((time_ns, f"m{chance.randrange(3)}.temp", value))
    return rows


def shuffled(rows: Rows, chance: random.Random) -> Rows:
    """In the order of arrival: no row later than lateness allows."""
    late_ns = int(LATENESS_S * S) - 1
    return sorted(rows, key=lambda row: row[0] + chance.randrange(late_ns))


def ours(rows: Rows, size_s: float, hop_s: float, offset_s: float) -> list[dict[str, Any]]:
    rule = {
        "name": "w", "kind": "window", "tag": "*.temp", "size_s": size_s, "offset_s": offset_s,
        "aggregates": MORE,
    }  # fmt: skip
    if hop_s:
        rule["hop_s"] = hop_s
    source = {"name": "s", "kind": "feed", "lateness_s": LATENESS_S, "idle_after_s": 3600}
    config = {"plant": {"name": "graz"}, "source": [source], "rule": [rule]}
    found: list[dict[str, Any]] = []
    with engine_of(config, clock="manual") as engine:
        tags = {name: engine.tag(name, source="s") for name in sorted({row[1] for row in rows})}
        at, now_ns = 0, START_NS
        while at < len(rows):
            part = rows[at : at + 1 + at % 97]
            now_ns = max(now_ns, *(row[0] for row in part))
            engine.feed(
                array("I", [tags[row[1]] for row in part]),
                array("q", [row[0] for row in part]),
                array("d", [row[2] for row in part]),
                source="s",
                recv_time_ns=now_ns,
            )
            at += len(part)
            found += engine.results().rows()
        last_ns = now_ns + 100 * S
        for _ in range(3):  # silence: idle, then all is closed
            last_ns += 4000 * S
            engine.tick(last_ns)
        found += engine.results().rows()
        assert engine.stats().late == 0
    return found


def theirs(rows: Rows, size_s: float, hop_s: float, offset_s: float) -> dict[Any, dict[str, Any]]:
    frame = pl.DataFrame(
        {
            "at": pl.Series([row[0] for row in rows]).cast(pl.Datetime("ns")),
            "tag": [row[1] for row in rows],
            "x": [row[2] for row in rows],
        }
    ).sort("at", maintain_order=True)
    windows = frame.group_by_dynamic(
        "at",
        every=f"{round((hop_s or size_s) * 1000)}ms",
        period=f"{round(size_s * 1000)}ms",
        offset=f"{round(offset_s * 1000)}ms",
        group_by="tag",
        closed="left",
        label="left",
    ).agg(
        count=pl.len(),
        min=pl.col("x").min(),
        max=pl.col("x").max(),
        first=pl.col("x").first(),
        last=pl.col("x").last(),
        sum=pl.col("x").sum(),
        mean=pl.col("x").mean(),
        variance=pl.col("x").var(),
        min_ns=pl.col("at").get(pl.col("x").arg_min()).cast(pl.Int64),
        max_ns=pl.col("at").get(pl.col("x").arg_max()).cast(pl.Int64),
        first_ns=pl.col("at").first().cast(pl.Int64),
        last_ns=pl.col("at").last().cast(pl.Int64),
        exact=pl.col("x"),
    )
    starts = windows["at"].cast(pl.Int64).to_list()
    return {(row["tag"], start): row for start, row in zip(starts, windows.to_dicts(), strict=True)}


def is_near(one: float, other: float, relative: float) -> bool:
    return math.isclose(one, other, rel_tol=relative, abs_tol=1e-300)


@pytest.mark.parametrize(("size_s", "hop_s", "offset_s"), KINDS)
def test_windows_equal_polars(size_s: float, hop_s: float, offset_s: float) -> None:
    chance = random.Random(f"{size_s} {hop_s}")
    rows = rows_of(chance)
    arrived = shuffled(rows, chance)
    found = ours(arrived, size_s, hop_s, offset_s)
    # Of equal stamps the order of arrival decides what is first and last: theirs sees it too.
    wanted = theirs(sorted(arrived, key=lambda row: row[0]), size_s, hop_s, offset_s)
    # Theirs begin at the grid's last point before the data, ours reach back over all overlaps.
    first_ns = {tag: min(start for name, start in wanted if name == tag) for tag, _ in wanted}
    early = [row for row in found if row["start_ns"] < first_ns[row["tag"]]]
    hops = round(size_s / (hop_s or size_s))
    assert len(early) == (hops - 1) * len(first_ns)
    assert all(row["flags"] & 1 for row in early), "partial"
    found = [row for row in found if row not in early]
    assert {(row["tag"], row["start_ns"]) for row in found} == set(wanted)
    assert len(found) == len(wanted) > 80
    for row in found:
        other = wanted[row["tag"], row["start_ns"]]
        assert row["end_ns"] - row["start_ns"] == round(size_s * S)
        for name in ("count", "min", "max", "first", "last", "min_ns", "max_ns"):
            assert row[name] == other[name], (name, row, other)
        assert row["range"] == other["max"] - other["min"]
        total = math.fsum(other["exact"])
        assert abs(row["sum"] - total) <= math.ulp(total)
        assert abs(row["mean"] - total / other["count"]) <= 3 * math.ulp(row["mean"])
        assert is_near(row["mean"], other["mean"], 1e-13)  # its sums are plain ones
        if other["count"] > 1:
            mean = total / other["count"]
            exact = math.fsum((x - mean) ** 2 for x in other["exact"]) / (other["count"] - 1)
            assert is_near(row["variance"], exact, 1e-9) or abs(row["variance"] - exact) < 1e-12
            assert is_near(row["variance"], other["variance"], 1e-6) or exact < 1e-6
        held_ns = other["last_ns"] - other["first_ns"]
        if held_ns:
            assert is_near(row["rate"], (other["last"] - other["first"]) / held_ns * S, 1e-12)
        else:
            assert math.isnan(row["rate"])
