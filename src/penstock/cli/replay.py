"""``penstock replay``: a recording goes through the rules of a configuration, as if it came now.

The engine is one of its own, with a temporary state; nothing is posted.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Annotated, Any

from cyclopts import App, Parameter

from penstock import cli
from penstock.captures import Capture
from penstock.cli.recorded import AS_FOUND, CsvOptions, Progress
from penstock.config import load_config
from penstock.errors import InputError
from penstock.replay import Commands, Dry, Form, Outcome, Table, event_line, result_lines, to_text
from penstock.replay.recording import RING, find_captures, is_capture, missing, ring_of

app = App(
    name="replay",
    help="Run recorded samples through the rules: events, results, documents.",
    version_flags=[],
)

Output = Annotated[Path | None, Parameter(allow_leading_hyphen=True)]


@app.default
def replay(
    recording: Path,
    /,
    *,
    config: Path,
    events: Output = None,
    results: Output = None,
    commands: Output = None,
    speed: str = "max",
    after: float | None = None,
    source: str = "",
    csv: Annotated[CsvOptions, Parameter(name="*")] = AS_FOUND,
    json: bool = False,
) -> int:
    """Run recorded samples through the rules: events, results, documents. Nothing is posted.

    Exit codes: 0 done; 1 the recording cannot be read; 2 wrong usage; 78 the configuration is
    invalid. Example: penstock replay day.csv --config plant.toml --events - --results r.jsonl

    Parameters
    ----------
    recording
        A CSV file, a capture, a folder of captures, or the word ``ring``: what the ring of the
        plant still holds. ``penstock docs replay`` says more.
    config
        The configuration whose rules and mappings judge it.
    events
        File for one JSON line an event; ``-`` is stdout.
    results
        The same for closed windows.
    commands
        The same for documents, down to what each target would be told.
    speed
        ``max``, or how many times as fast as it was recorded: 1, 10.
    after
        Seconds that engine time goes on behind the last sample; left out, lateness_s and
        idle_after_s of the source and a minute.
    source
        The source of the configuration that the recording stands for; needed where it has several.
    json
        The summary as one JSON object.
    """
    pace = _pace(speed)
    if pace is None:
        cli.say("penstock replay: --speed is max or a number above 0")
        return cli.EXIT_USAGE
    loaded = load_config(config, is_environment_known=False)
    with contextlib.ExitStack() as stack:
        sink = _Sink(stack, events, results, commands)
        maker = Commands(loaded) if commands is not None else None
        if str(recording) == RING and not recording.exists():
            recording = stack.enter_context(ring_of(loaded))
        dry = stack.enter_context(Dry(loaded, source=source))
        play = _captures if is_capture(recording) else _table
        made, summarize = play(recording, dry, csv.form(), after)
        for outcome in made:
            sink.write(outcome, maker)
            pace(dry)
        summary = {"recording": str(recording), **summarize(), **_figures(dry), **sink.counts}
    _report(summary, is_json=json, is_on_stderr="-" in map(str, (events, results, commands)))
    return cli.EXIT_OK


def _pace(speed: str) -> Callable[[Dry], None] | None:
    """What waits until the recording's time has come; None where ``speed`` is no speed."""
    if speed == "max":
        return lambda dry: None
    try:
        factor = float(speed)
    except ValueError:
        return None
    if not 0 < factor < float("inf"):
        return None
    start = time.monotonic()

    def wait(dry: Dry) -> None:
        if dry.now_ns is not None and dry.first_ns is not None:
            due = start + (dry.now_ns - dry.first_ns) / 1e9 / factor
            time.sleep(max(0.0, due - time.monotonic()))

    return wait


class _Sink:
    """The files that lines go to."""

    def __init__(
        self,
        stack: contextlib.ExitStack,
        events: Path | None,
        results: Path | None,
        commands: Path | None,
    ) -> None:
        self.counts = {"events": 0, "results": 0, "commands": 0}
        self._files: dict[str, IO[str] | None] = {
            name: self._open(stack, path)
            for name, path in (("events", events), ("results", results), ("commands", commands))
        }

    @staticmethod
    def _open(stack: contextlib.ExitStack, path: Path | None) -> IO[str] | None:
        if path is None:
            return None
        if str(path) == "-":
            return sys.stdout
        try:
            return stack.enter_context(path.open("w", encoding="utf-8"))
        except OSError as wrong:
            raise InputError(f"{path}: cannot be written: {wrong.strerror}") from wrong

    def write(self, outcome: Outcome, maker: Commands | None) -> None:
        """All lines of what was made."""
        for event in outcome.events:
            self._put("events", event_line(event))
            for line in maker.lines(event) if maker is not None else ():
                self._put("commands", line)
        for results in outcome.results:
            if self._files["results"] is None:
                self.counts["results"] += len(results)
                continue
            for line in result_lines(results):
                self._put("results", line)

    def _put(self, name: str, line: dict[str, Any]) -> None:
        self.counts[name] += 1
        file = self._files[name]
        if file is not None:
            file.write(to_text(line) + "\n")


Play = tuple[Iterator[Outcome], Callable[[], dict[str, Any]]]


def _table(path: Path, dry: Dry, form: Form, after: float | None) -> Play:
    """A CSV file: what comes of it, and what is said of it at the end."""
    table = Table(path, form, dry.config.plant.timezone, dry.kinds())
    cli.say(f"{path}: {table.said}")
    progress = Progress()

    def made() -> Iterator[Outcome]:
        for outcome in dry.rows(table, after_s=after):
            progress.tell(table.share(), f"{table.count:,} rows, {dry.used:,} samples")
            yield outcome

    def summary() -> dict[str, Any]:
        locals_, twice = table.local_times
        return {
            "read": dict(table.said.lines),
            "rows": table.count,
            "refused": dict(table.rejected.counts),
            "refused_first": list(table.rejected.named),
            "local_times": locals_,
            "local_times_twice": twice,
        }

    return made(), summary


def _captures(path: Path, dry: Dry, _: Form, after: float | None) -> Play:
    """Captures; engine time is the recorded one and goes on behind it only where asked."""
    pieces = find_captures(path)
    lacks = list(missing(pieces))
    for each in lacks:
        cli.say(f"{path}: {each}")
    total = sum(each.span.bytes for each in pieces)
    progress = Progress()

    def made() -> Iterator[Outcome]:
        behind = 0
        for piece in pieces:
            for outcome in dry.capture(Capture(piece.path)):
                share = (behind + piece.span.bytes - dry.left) / max(1, total)
                progress.tell(share, f"{dry.used:,} samples")
                yield outcome
            behind += piece.span.bytes
        yield from dry.finish(after or 0.0)

    return made(), lambda: {"captures": len(pieces), "missing": lacks, "skipped": dry.skipped}


def _figures(dry: Dry) -> dict[str, Any]:
    stats = dry.stats()
    dropped: dict[str, int] = {}
    for each in stats.sources:
        for reason, count in each.dropped.items():
            dropped[reason] = dropped.get(reason, 0) + count
    return {
        "samples": dry.used,
        "dropped": dropped,
        "late": stats.late,
        "out_of_order": stats.out_of_order,
        "tags": stats.tags,
        "results_overwritten": stats.results_overwritten,
    }


def _report(summary: dict[str, Any], *, is_json: bool, is_on_stderr: bool) -> None:
    if is_json and not is_on_stderr:
        cli.emit(summary)
        return
    if is_json:
        cli.say(to_text(summary))
        return
    for line in _lines(summary):
        cli.say(line)


def _lines(summary: dict[str, Any]) -> Iterator[str]:
    rows = f"{summary['rows']:,} rows, " if "rows" in summary else ""
    yield (
        f"{rows}{summary['samples']:,} samples of {summary['tags']:,} tags: "
        f"{summary['events']:,} events, {summary['results']:,} results"
        + (f", {summary['commands']:,} documents" if summary["commands"] else "")
    )
    for each in summary.get("refused_first", ()):
        yield f"  {each}"
    if summary.get("refused"):
        counts = ", ".join(f"{count:,} {why}" for why, count in summary["refused"].items())
        yield f"not used: {counts}"
    if summary["dropped"]:
        counts = ", ".join(f"{count:,} {why}" for why, count in summary["dropped"].items())
        yield f"dropped by the engine: {counts}"
    if summary["late"]:
        yield f"{summary['late']:,} late: raise the source's lateness_s if they should take part"
    if summary.get("skipped"):
        yield f"{summary['skipped']:,} samples are of sources that the configuration does not have"
    if summary.get("local_times_twice"):
        yield (
            f"{summary['local_times_twice']:,} local times came twice (the clocks went back); "
            "each was taken as the one nearer to the row before"
        )
    if summary["results_overwritten"]:
        yield f"{summary['results_overwritten']:,} results were overwritten before they were read"
