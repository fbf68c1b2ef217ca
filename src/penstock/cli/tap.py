"""``penstock tap``: what comes over a live wire, and a configuration drafted from it."""

from __future__ import annotations

import contextlib
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import urlsplit, urlunsplit

from cyclopts import App, Parameter

from penstock import cli
from penstock.cli.draft import Draft, Wire, draft_text
from penstock.cli.guess import guess, typed
from penstock.cli.listen import FORMATS, Heard, Report, listen
from penstock.cli.size import ring_home

ROWS_MAX: Final = 200
AHEAD_S: Final = 1.0  # a clock that differs by more is pointed out
KINDS: Final = ("zmq_sub", "zmq_pull", "nats")

app = App(
    name="tap",
    help="Listen to a live wire: tags, types, rates, gaps, clock offset, an example.",
    version_flags=[],
)


@app.default
def tap(
    address: str,
    /,
    *,
    duration: Annotated[str, Parameter(name="--for")] = "10s",
    kind: str = "",
    bind: bool = False,
    subject: tuple[str, ...] = (),
    format: str = "auto",
    write: Path | None = None,
    json: bool = False,
) -> int:
    """Listen to a live wire: tags, types, rates, gaps, clock offset, an example.

    Exit codes: 0 something was heard; 1 nothing came, or the file is there already; 2 wrong usage;
    78 the address is no address. Example: penstock tap tcp://127.0.0.1:5555 --for 10s

    Parameters
    ----------
    address
        ``tcp://host:port`` of ZeroMQ, or ``nats://host:4222/tel.>`` with a subject.
    duration
        How long: 10s, 5m. Ctrl-C ends it earlier, with the report.
    kind
        zmq_sub (default), or zmq_pull: it takes messages away from whoever else pulls them.
    bind
        Listen at the address instead of connecting to it: for senders that connect.
    subject
        NATS subject or ZeroMQ topic; may be repeated.
    format
        packed, json, or auto: the one that can be read.
    write
        Draft a configuration of what was heard into this file.
    json
        One JSON object: wire, seconds, received, dropped, lost_upstream, offset_s, tags.
    """
    seconds = cli.seconds_of(duration)
    wire = _wire(address, kind, bind, subject)
    wrong = _usage(wire, seconds, format)
    if wrong or wire is None or seconds is None:
        cli.say(f"penstock tap: {wrong}")
        return cli.EXIT_USAGE
    if write is not None and write.exists():
        cli.say(f"penstock tap: {write} is there already; name a new file")
        return cli.EXIT_FAILED
    cli.say(f"penstock tap: listening to {shown(wire)} for {seconds:g} s")
    report = _listened(wire, FORMATS if format == "auto" else (format,), seconds)
    if json:
        cli.emit(record(report))
    else:
        _print(report)
    if not report.tags:
        cli.say(f"penstock tap: {_why_nothing(report)}")
        return cli.EXIT_FAILED
    if write is not None:
        write.write_text(draft_text(draft_of(report)), encoding="utf-8")
        cli.say(f"penstock tap: {write} is a draft; next: penstock config check {write}")
    return cli.EXIT_OK


def _wire(address: str, kind: str, bind: bool, subjects: tuple[str, ...]) -> Wire | None:
    """The wire of an address, or None where no scheme is known."""
    parts = urlsplit(address)
    if parts.scheme == "nats":
        named = tuple(each for each in (parts.path.strip("/"),) if each)
        bare = urlunsplit((parts.scheme, parts.netloc, "", "", ""))
        return Wire("nats", bare, False, "json", (*named, *subjects) or (">",))
    if parts.scheme != "tcp":
        return None
    return Wire(kind or ("zmq_pull" if bind else "zmq_sub"), address, bind, "json", subjects)


def _usage(wire: Wire | None, seconds: float | None, format: str) -> str:
    if wire is None:
        return "the address is tcp://host:port or nats://host:port/subject"
    if seconds is None:
        return "--for is a duration such as 10s or 5m"
    if format not in (*FORMATS, "auto"):
        return f"--format is auto or one of {', '.join(FORMATS)}"
    if wire.kind not in KINDS:
        return f"--kind is one of {', '.join(KINDS)}"
    return ""


def shown(wire: Wire) -> str:
    """Kind and address without what stands before the @."""
    parts = urlsplit(wire.address)
    where = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    return f"{wire.kind} {where} {' '.join(wire.subjects)}".rstrip()


def _listened(wire: Wire, formats: tuple[str, ...], seconds: float) -> Report:
    def told(port: int) -> None:
        cli.say(f"penstock tap: senders may connect to port {port}")

    with (
        tempfile.TemporaryDirectory(prefix="penstock-tap-") as state,
        tempfile.TemporaryDirectory(prefix="penstock-tap-", dir=ring_home()) as ring,
        _interruptible() as stops,
    ):
        return listen(wire, formats, seconds, (Path(state), Path(ring)), lambda: bool(stops), told)


@contextlib.contextmanager
def _interruptible() -> Iterator[list[int]]:
    """Ctrl-C and SIGTERM are noted, so that the report is still written."""
    stops: list[int] = []
    old = {
        each: signal.signal(each, lambda number, frame: stops.append(number))
        for each in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stops
    finally:
        for each, handler in old.items():
            signal.signal(each, handler)


# ---- what was heard ------------------------------------------------------------------------------


def record(report: Report) -> dict[str, object]:
    """The report as stable JSON keys."""
    found = {**asdict(report), "wire": shown(report.wire), "format": report.wire.format}
    return {**found, "offset_s": report.offset_s}


def _print(report: Report) -> None:
    rate = report.received / max(report.seconds, 1e-9)
    tags = f"{len(report.tags):,} tag{'' if len(report.tags) == 1 else 's'}"
    print(
        f"{shown(report.wire)} {report.wire.format}: {report.received:,} samples of "
        f"{tags} in {report.seconds:g} s, {rate:,.0f}/s, "
        f"{report.frames:,} frames"
    )
    lost = "unknown, the samples are not numbered"
    print(f"  lost upstream {lost if report.lost_upstream is None else report.lost_upstream}")
    for reason, count in report.dropped.items():
        print(f"  dropped {count} {reason}")
    if report.offset_s is not None:
        far = "  <- set their clock" if abs(report.offset_s) > AHEAD_S else ""
        print(f"  clock offset {report.offset_s:+.3f} s{far}")
    if not report.tags:
        return
    width = min(60, max(len(each.name) for each in report.tags))
    print(f"{'tag':{width}}  type       rate/s  longest gap s  offset s  example")
    for each in report.tags[:ROWS_MAX]:
        print(_row(each, width))
    if len(report.tags) > ROWS_MAX:
        print(f"… and {len(report.tags) - ROWS_MAX:,} more; --json has all")


def _row(tag: Heard, width: int) -> str:
    rate = "-" if tag.rate_hz is None else f"{tag.rate_hz:,.4g}"
    silence = "-" if tag.silence_s is None else f"{tag.silence_s:.4g}"
    offset = "-" if tag.offset_s is None else f"{tag.offset_s:+.3f}"
    example = tag.example if isinstance(tag.example, str) else f"{tag.example!r}"
    return f"{tag.name:{width}}  {tag.kind:5}  {rate:>10}  {silence:>13}  {offset:>8}  {example}"


def _why_nothing(report: Report) -> str:
    if report.dropped:
        reasons = ", ".join(report.dropped)
        return f"messages came, and none could be read ({reasons}); is it packed or json at all?"
    if not report.is_up:
        if report.wire.is_bind:
            return "nobody has connected; start the sender, and look at the address it sends to"
        return "nobody is there at this address; start the sender, or try --bind"
    if report.wire.kind == "zmq_sub":
        return "connected, and nothing came; does it PUSH? try --kind zmq_pull"
    return "connected, and nothing came; is the subject right, does anybody send?"


def draft_of(report: Report) -> Draft:
    """A configuration of what was heard; a clock that is far ahead is allowed for."""
    wire = report.wire
    types = typed(report.tags) if wire.format == "json" else ()
    ahead = report.offset_s if report.offset_s is not None and report.offset_s > 50 else 0.0
    bare = urlsplit(wire.address)
    address = f"{bare.scheme}://{bare.netloc.rpartition('@')[2]}"
    given = Wire(wire.kind, address, wire.is_bind, wire.format, wire.subjects, types, 2 * ahead)
    return guess(Draft("plant", given), report.tags, is_tripping=False)
