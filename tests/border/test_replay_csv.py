"""Replay of CSV files: windows equal to Polars, whatever way a file is written; what was detected
is said, what cannot be used is counted and named.
"""

from __future__ import annotations

import csv
import json
import math
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from penstock import cli
from penstock.config import parse_config
from penstock.errors import InputError
from penstock.replay import Dry, Form, Table, event_line, result_lines

polars = pytest.importorskip("polars", reason="the foreign oracle; pip install polars")

NS = 10**9
START = datetime(2026, 3, 28, 22, 0, tzinfo=UTC)  # Vienna's clocks go forward in the night
AUTUMN = datetime(2026, 10, 24, 22, 0, tzinfo=UTC)  # and back
VIENNA = ZoneInfo("Europe/Vienna")
RULES = [
    {"name": "w", "kind": "window", "tag": "*", "size_s": 60},
    {"name": "off", "kind": "window", "tag": "*", "size_s": 45, "offset_s": 7},
]
LONG_RULES = [
    {"name": "w", "kind": "window", "tag": "*", "size_s": 3600},
    {"name": "off", "kind": "window", "tag": "*", "size_s": 2700, "offset_s": 420},
]
Row = tuple[int, float]


def config_of(rules: list[dict[str, Any]], **source: Any) -> Any:
    raw = {
        "plant": {"name": "graz", "timezone": "Europe/Vienna"},
        "source": [{"name": "s", "kind": "feed", **source}],
        "rule": rules,
    }
    return parse_config(raw)


def replay(
    path: Path, form: Form, rules: list[dict[str, Any]] = RULES, **source: Any
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], Table]:
    """Events and results as lines, and the table."""
    config = config_of(rules, **source)
    events, results = [], []
    with Dry(config) as dry:
        table = Table(path, form, config.plant.timezone, dry.kinds())
        for outcome in dry.rows(table, after_s=100_000):
            events += [event_line(each) for each in outcome.events]
            for each in outcome.results:
                results += list(result_lines(each))
    return events, results, table


def made(start: datetime, seed: int, count: int = 4000) -> list[Row]:
    """Two-decimal values each second or so, with pauses."""
    draw = random.Random(seed)
    time_ns, rows = int(start.timestamp()) * NS, []
    for _ in range(count):
        time_ns += draw.choice((1, 1, 1, 2, 5, 70)) * NS
        rows.append((time_ns, draw.randrange(-2000, 9000) / 100))
    return rows


def windows_by_polars(rows: list[Row], every_s: int, offset_s: int) -> list[tuple[Any, ...]]:
    frame = polars.DataFrame(
        {"at": [t for t, _ in rows], "value": [v for _, v in rows]},
        schema={"at": polars.Datetime("ns"), "value": polars.Float64},
    ).sort("at", maintain_order=True)
    value = polars.col("value")
    grouped = frame.group_by_dynamic("at", every=f"{every_s}s", offset=f"{offset_s}s").agg(
        value.len().alias("n"), value.sum().alias("sum"), value.min().alias("min"),
        value.max().alias("max"), value.first().alias("first"), value.last().alias("last"),
    )  # fmt: skip
    return grouped.with_columns(polars.col("at").cast(polars.Int64)).rows()


def to_ns(text: str) -> int:
    return int(datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()) * NS


def check_windows(
    results: list[dict[str, Any]],
    rows: list[Row],
    tag: str,
    rules: list[dict[str, Any]] = RULES,
) -> int:
    for rule in rules:
        size, offset = rule["size_s"], rule.get("offset_s", 0)
        wanted = windows_by_polars(rows, size, offset)
        found = sorted(
            (each for each in results if (each["rule"], each["tag"]) == (rule["name"], tag)),
            key=lambda each: each["start"],
        )
        assert [to_ns(each["start"]) for each in found] == [each[0] for each in wanted]
        for each, (_, n, total, low, high, first, last) in zip(found, wanted, strict=True):
            assert (each["count"], each["min"], each["max"]) == (n, low, high)
            assert (each["first"], each["last"]) == (first, last)
            assert math.isclose(each["sum"], total, rel_tol=1e-12, abs_tol=1e-9)
    return len(wanted)


def write(path: Path, lines: list[str], encoding: str = "utf-8", end: str = "\n") -> Path:
    path.write_bytes("".join(line + end for line in lines).encode(encoding))
    return path


def local(time_ns: int, form: str = "%Y-%m-%d %H:%M:%S") -> str:
    return datetime.fromtimestamp(time_ns // NS, VIENNA).strftime(form)


def utc(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // NS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def comma(value: float) -> str:
    return f"{value:.2f}".replace(".", ",")


def test_plain(tmp_path: Path) -> None:
    rows = made(START, 1)
    path = write(tmp_path / "a.csv", ["time,temp", *(f"{utc(t)},{v}" for t, v in rows)])
    _, results, table = replay(path, Form())
    assert check_windows(results, rows, "temp") > 500
    assert table.count == len(rows)
    assert not table.rejected.counts
    assert "delimiter comma (detected)" in str(table.said)


def test_semicolon_decimal_comma_cp1252_and_local_times_when_clocks_go_forward(
    tmp_path: Path,
) -> None:
    rows = made(START, 2)
    assert any(local(t, "%z") == "+0200" for t, _ in rows), "the recording crosses the change"
    lines = ["Zeit;Ofen 1 °C;Anlage", *(f"{local(t)};{comma(v)};läuft" for t, v in rows)]
    path = write(tmp_path / "b.csv", lines, "cp1252", "\r\n")
    _, results, table = replay(path, Form())
    check_windows(results, rows, "Ofen 1 °C")
    said = dict(table.said.lines)
    assert said["encoding"] == "cp1252, for it is not UTF-8 (detected)"
    assert said["delimiter"] == "semicolon (detected)"
    assert said["decimal mark"] == ", (detected)"
    assert said["times without an offset in"] == "Europe/Vienna (the plant)"
    assert table.local_times == (len(rows), 0)


def test_local_times_when_clocks_go_back_with_a_mark_and_tabs(tmp_path: Path) -> None:
    rows = made(AUTUMN, 3)
    form = "%d.%m.%Y %H:%M:%S"
    lines = ["Zeit\ttemp", *(f"{local(t, form)}\t{v}" for t, v in rows)]
    path = write(tmp_path / "c.csv", lines, "utf-8-sig")
    _, results, table = replay(path, Form())
    check_windows(results, rows, "temp")
    twice = sum(local(t, "%d %H") == "25 02" for t, _ in rows)
    assert table.local_times == (len(rows), twice)
    assert twice > 100
    assert dict(table.said.lines)["encoding"] == "utf-8 by its mark (detected)"


def test_utf16(tmp_path: Path) -> None:
    rows = made(START, 4, 300)
    lines = ["time;temp", *(f"{utc(t)};{comma(v)}" for t, v in rows)]
    path = write(tmp_path / "d.csv", lines, "utf-16")
    check_windows(replay(path, Form())[1], rows, "temp")


def test_rows_out_of_order_within_lateness(tmp_path: Path) -> None:
    rows = made(START, 5)
    draw = random.Random(5)
    shuffled = sorted(rows, key=lambda row: row[0] + draw.randrange(300 * NS))
    assert shuffled != rows
    path = write(tmp_path / "e.csv", ["time,temp", *(f"{utc(t)},{v}" for t, v in shuffled)])
    _, results, _ = replay(path, Form(), lateness_s=300, idle_after_s=600)
    check_windows(results, rows, "temp")
    _, strict, _ = replay(path, Form())
    assert sum(each["count"] for each in strict) < sum(each["count"] for each in results)


def test_long_form_with_empty_cells_text_states_and_quality(tmp_path: Path) -> None:
    rows = made(START, 6, 600)
    lines = ["Timestamp|Name|Value|Quality"]
    for number, (t, v) in enumerate(rows):
        lines.append(f"{t // 10**6}|m1.temp|{v}|good")
        lines.append(f"{utc(t)}|m1.temp||good")
        state = "STOP" if number % 100 in range(40, 60) else "RUN"
        lines.append(f"{utc(t)}|m1.state|{state}|192")
        lines.append(f"{utc(t)}|m2.temp|{v}|{'bad' if number % 2 else ''}")
    path = write(tmp_path / "f.csv", lines)
    stop = {"name": "stop", "kind": "state", "tag": "*.state", "states": ["STOP"]}
    events, results, table = replay(path, Form(), [*RULES, stop])
    check_windows(results, rows, "m1.temp")
    check_windows(results, rows[::2], "m2.temp")
    stops = [each for each in events if each["kind"] == "state.end"]
    assert [(each["text"], each["start"]) for each in stops] == [
        ("STOP", utc(rows[at][0])) for at in range(40, 600, 100)
    ]
    assert dict(table.said.lines)["form"] == "long (detected)"


def test_numbers_of_a_long_file_tell_what_is_missing(tmp_path: Path) -> None:
    lines = ["time;tag;value;stream;number"]
    numbers = [(7, 501), (7, 502), (8, 3), (7, 505), (8, 4), (7, 506), (7, 9), (7, 10), (7, 13)]
    lines += [f"01.03.2026 06:{k:02}:00;t{s};1;{s};{n}" for k, (s, n) in enumerate(numbers, 1)]
    lines += [
        "01.03.2026 06:20:00;t7;1;7;x",
        "01.03.2026 06:21:00;t7;1;-7;14",
        "01.03.2026 06:22:00;t7;1;2147483648;14",
        "01.03.2026 06:23:00;t7;1;7;",
    ]
    gap = {"name": "lost", "kind": "gap", "source": "s"}
    rules = [gap, {"name": "w", "kind": "window", "tag": "*", "size_s": 86400}]
    events, results, table = replay(write(tmp_path / "n.csv", lines), Form(), rules)
    assert [(e["tag"], e["at"][14:16], e["end"][14:16], e["count"]) for e in events] == [
        ("s/7", "02", "04", 2),
        ("s/7", "08", "09", 2),  # 9 is not above 506: the sender began anew there
    ]
    assert table.rejected.named == [
        "line 11: 'x' is no whole number up to 4611686018427387904",
        "line 12: '-7' is no whole number up to 2147483647",
        "line 13: '2147483648' is no whole number up to 2147483647",
    ]
    assert sum(each["count"] for each in results) == 13, "every row is a sample, numbered or not"


def test_cells_that_cannot_be_used_are_counted_and_named(tmp_path: Path) -> None:
    lines = [
        "time,temp,on",
        "2026-03-01T10:00:00Z,1.5,true",
        "yesterday,2,true",
        "2026-03-01T10:00:02Z,NaN,maybe",
        "2026-03-01T10:00:03Z,broken,",
        "2026-03-01T10:00:04Z,+007.250,0",
        "2026-03-01T10:00:05Z,.5,1,9",
        "2026-03-29 02:30:00,1,",
        "",
    ]
    path = write(tmp_path / "g.csv", lines)
    _, results, table = replay(path, Form())
    assert table.rejected.named == [
        "line 3: 'yesterday' is no time",
        "line 4, temp: 'NaN' is not finite",
        "line 4, on: 'maybe' is neither true nor false",
        "line 5, temp: 'broken' is no number",
        "line 7: '9' is beyond the header",
        "line 8: '2026-03-29 02:30:00' does not exist in Europe/Vienna: "
        "the clocks went forward over it",
    ]
    minute = next(each for each in results if each["rule"] == "w")
    assert (minute["count"], minute["sum"]) == (3, 1.5 + 7.25 + 0.5)


@pytest.mark.parametrize(
    ("text", "form", "says"),
    [
        ("", Form(), "holds no row; the first one names the columns"),
        ("a\n1\n", Form(), "declare --delimiter"),
        ("a,b\n1,2\n", Form(), "no column holds times that can be read; there are 'a', 'b'"),
        ("time;x\n2026-01-01;1,5\n2026-01-02;1.5\n", Form(), "declare --decimal"),
        ("time,x\n2026-01-01,1\n", Form(time_column="t"), "no column 't'; there are 'time', 'x'"),
        ("time,x\n2026-01-01,1\n", Form(encoding="utf-99"), "'utf-99' is no encoding"),
        ("time,x\n2026-01-01,1\n", Form(shape="long"), "wants columns time, tag and value"),
        ("time,x\n2026-01-01,1\n", Form(decimal=","), "another one than the delimiter"),
        ("time,x\n2026-01-01,1\n", Form(timezone="Mars/Base"), "is no time zone"),
        ("time;x\n2026-01-01;°\n", Form(encoding="ascii"), "is not ascii near line 1"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_fix(
    tmp_path: Path, text: str, form: Form, says: str
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=says):
        replay(path, form)


def test_american_times_by_a_declared_form_and_a_renamed_column(tmp_path: Path) -> None:
    path = write(tmp_path / "h.csv", ["when,c", "03/01/2026 10:00:00.5,1", "03/01/2026 10:01:00,2"])
    with pytest.raises(InputError, match="--time-form"):
        replay(path, Form())
    form = Form(time_form="%m/%d/%Y %H:%M:%S.%f", time_column="when", names=(("c", "m.temp"),))
    _, results, table = replay(path, form)
    assert {each["tag"] for each in results} == {"m.temp"}
    assert list(table.rejected.counts.values()) == [1], "the second row has no fraction"


def test_whole_numbers_keep_every_digit_where_the_tag_is_declared(tmp_path: Path) -> None:
    path = write(tmp_path / "i.csv", ["time,m1.good", *(
        f"2026-03-01T10:00:0{i}Z,{2**60 + i * 3}" for i in range(5))])  # fmt: skip
    rule = {"name": "g", "kind": "counter", "tag": "*.good", "unit": "C62", "every_s": 2}
    events, _, _ = replay(path, Form(), [rule], tags={"*.good": "i64"})
    assert events[-1]["end_reading"] == 2**60 + 12
    assert sum(int(each["quantity"]) for each in events) == 12


def test_the_nab_series_equal_polars(corpora: Path, tmp_path: Path) -> None:
    folder = corpora / "nab" / "data"
    files = sorted(folder.rglob("*.csv")) if folder.is_dir() else []
    if not files:
        pytest.skip(f"no NAB series at {folder}; set PENSTOCK_CORPORA")
    windows = 0
    for path in files[:: 1 if len(files) < 20 else len(files) // 20]:
        with path.open(newline="") as file:
            rows = [(to_ns(r["timestamp"] + "Z"), float(r["value"])) for r in csv.DictReader(file)]
        rows.sort(key=lambda row: row[0])
        _, results, table = replay(path, Form(timezone="UTC"), LONG_RULES, lateness_s=86400)
        assert not table.rejected.counts
        windows += check_windows(results, rows, "value", LONG_RULES)
    print(f"{windows} windows of {len(files)} series")
    assert windows > 10_000


def test_the_command_writes_lines_and_says_what_it_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = made(START, 7, 200)
    path = write(tmp_path / "j.csv", ["time;temp", *(f"{local(t)};{comma(v)}" for t, v in rows)])
    toml = tmp_path / "c.toml"
    toml.write_text(
        '[plant]\nname = "graz"\ntimezone = "Europe/Vienna"\n[[source]]\nname = "line"\n'
        'kind = "zmq_pull"\nbind = "tcp://127.0.0.1:5599"\n[[rule]]\nname = "hot"\n'
        'kind = "limit"\ntag = "*"\nhigh = { value = 80, deadband = 1 }\n'
        '[[rule]]\nname = "w"\nkind = "window"\ntag = "*"\nsize_s = 60\n'
    )
    results = tmp_path / "r.jsonl"
    words = ["replay", str(path), "--config", str(toml), "--events", "-", "--results", str(results)]
    assert cli.main(words) == 0
    captured = capsys.readouterr()
    events = [json.loads(line) for line in captured.out.splitlines()]
    assert [each["kind"] for each in events[:2]] == ["limit.H.trip", "limit.H.clear"]
    assert "delimiter semicolon (detected)" in captured.err
    assert "200 rows, 200 samples of 1 tags" in captured.err
    assert len(results.read_text().splitlines()) > 10
    assert cli.main([*words[:4], "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["rows"], summary["samples"], summary["events"]) == (200, 200, len(events))
    assert cli.main([*words, "--speed", "0"]) == 2
    assert cli.main(["replay", str(tmp_path / "none.csv"), "--config", str(toml)]) == 1
