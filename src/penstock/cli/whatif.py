"""``penstock whatif``: new rules against the recorded past, the difference as documents.

Nothing is posted, and no state of a plant is touched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from penstock import cli
from penstock.cli.recorded import AS_FOUND, CsvOptions, Progress
from penstock.config import Config, load_config
from penstock.errors import InputError
from penstock.replay import Form
from penstock.replay.moment import NS, Clock, NoTime, short_time
from penstock.replay.recording import RING, Piece, find_captures, missing, ring_of
from penstock.replay.whatif import Difference, Document, Pass, compare, lines, sentence

SHOWN = 10
PLANT = Path("/etc/penstock/penstock.toml")
CAPTURES = "captures"  # of the state directory

app = App(
    name="whatif",
    help="Show what new rules would have made of the recorded past, as documents.",
    version_flags=[],
)


@app.default
def whatif(
    new: Path,
    /,
    *,
    config: Path = PLANT,
    since: str = "",
    capture: Path | None = None,
    csv: Annotated[tuple[Path, ...], Parameter(consume_multiple=True)] = (),
    fail_above: int | None = None,
    source: str = "",
    form: Annotated[CsvOptions, Parameter(name="*")] = AS_FOUND,
    json: bool = False,
) -> int:
    """Show what new rules would have made of the recorded past, as documents.

    Exit codes: 0 done; 1 more documents differ than --fail-above, or the past cannot be read; 2
    wrong usage; 78 a configuration is invalid. Example: penstock whatif new.toml --config
    plant.toml --csv day.csv

    Parameters
    ----------
    new
        The configuration as it would be.
    config
        The configuration as it is.
    since
        How far back: 90m, 24h, 7d before the newest that is recorded, or a time. Left out: all.
    capture
        A capture, a folder of them, or ``ring``; left out, ``captures`` in the state directory,
        and where there are none, what the plant's ring still holds.
    csv
        CSV files in place of captures, in the order of time.
    fail_above
        Exit with 1 where more documents than this differ.
    source
        With --csv: the source that the files stand for, where the configuration has several.
    json
        One JSON object.
    """
    old_config = load_config(config, is_environment_known=False)
    new_config = load_config(new, is_environment_known=False)
    if csv:
        sides = _through_tables(old_config, new_config, csv, form.form(), source)
        said = [f"{sides[0].samples:,} samples of {len(csv)} files"]
    else:
        with _past(capture, old_config) as place:
            pieces, since_ns = _span(find_captures(place), since, old_config)
            said = _said(pieces, since_ns)
            for each in () if json else said:
                cli.say(each)
            sides = _through_captures(old_config, new_config, pieces, since_ns)
    for name, side in zip(("old", "new"), sides, strict=True):
        if side.dropped or side.skipped:
            said.append(f"{name}: {side.dropped:,} samples dropped, {side.skipped:,} not known")
            cli.say(said[-1])
    found = compare(sides[0].documents, sides[1].documents)
    return _report(found, said, sides[0].samples, fail_above=fail_above, is_json=json)


# ---- the past -----------------------------------------------------------------------------------


def _past(given: Path | None, config: Config) -> AbstractContextManager[Path]:
    """Where captures lie: as named; else those of the state directory; else the ring's."""
    kept = Path(config.engine.state_dir) / CAPTURES
    if given is not None and (str(given) != RING or given.exists()):
        return nullcontext(given)
    return nullcontext(kept) if given is None and kept.is_dir() else ring_of(config)


def _span(pieces: list[Piece], since: str, config: Config) -> tuple[list[Piece], int]:
    """The captures that are needed, and from when on documents count."""
    end_ns = max(each.span.last_ns for each in pieces)
    since_ns = _since(since, end_ns, config.plant.timezone) if since else -(1 << 63)
    last_needed = [each for each in pieces if each.span.last_ns >= since_ns]
    if not last_needed:
        raise InputError(f"--since {since}: nothing is recorded after {short_time(since_ns)}")
    return last_needed, since_ns


def _since(text: str, end_ns: int, zone: str) -> int:
    from zoneinfo import ZoneInfo

    if found := re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text):
        unit_s = {"s": 1, "m": 60, "h": 3600, "d": 86400}[found[2]]
        return end_ns - int(float(found[1]) * unit_s * NS)
    try:
        return Clock(ZoneInfo(zone)).read(text)
    except NoTime as wrong:
        raise InputError(f"--since {text!r} {wrong}; write 90m, 24h, 7d or a time") from wrong


def _said(pieces: Sequence[Piece], since_ns: int) -> list[str]:
    first, last = pieces[0].span, pieces[-1].span
    samples = sum(each.span.samples for each in pieces)
    said = list(missing(pieces, since_ns if since_ns > -(1 << 63) else None))
    begin = short_time(max(first.first_ns, since_ns))
    said.append(
        f"{begin} to {short_time(last.last_ns)}, {samples:,} samples in {len(pieces)} captures"
        + (": all of it is recorded" if not said else "")
    )
    return said


def _through_captures(
    old: Config, new: Config, pieces: Sequence[Piece], since_ns: int
) -> tuple[Pass, Pass]:
    total = sum(each.span.bytes for each in pieces)
    sides = Pass(old, since_ns), Pass(new, since_ns)
    _together(sides, lambda side: side.captures(pieces), total)
    return sides


def _through_tables(
    old: Config, new: Config, files: Sequence[Path], form: Form, source: str
) -> tuple[Pass, Pass]:
    try:
        total = sum(each.stat().st_size for each in files)
    except OSError as wrong:
        raise InputError(f"{wrong.filename}: cannot be read: {wrong.strerror}") from wrong
    sides = Pass(old, -(1 << 63)), Pass(new, -(1 << 63))
    _together(sides, lambda side: side.tables(files, form, source), total)
    return sides


def _together(sides: tuple[Pass, Pass], work: Callable[[Pass], None], total: int) -> None:
    """Both at once: the engines run without the interpreter."""
    progress = Progress()
    with ThreadPoolExecutor(max_workers=2) as pool:
        waiting: set[Future[None]] = {pool.submit(work, side) for side in sides}
        while waiting:
            done, waiting = wait(waiting, timeout=0.25)
            for each in done:
                each.result()
            share = sum(side.bytes_done for side in sides) / max(1, 2 * total)
            progress.tell(share, f"{sum(side.samples for side in sides):,} samples judged")


# ---- out ----------------------------------------------------------------------------------------


def _report(
    found: Sequence[Difference],
    said: Sequence[str],
    samples: int,
    *,
    fail_above: int | None,
    is_json: bool,
) -> int:
    count = sum(each.count for each in found)
    is_above = fail_above is not None and count > fail_above
    code = cli.EXIT_FAILED if is_above else cli.EXIT_OK
    if is_json:
        cli.emit(
            {
                "ok": not is_above,
                "exit": code,
                "said": list(said),
                "samples": samples,
                "documents_that_differ": count,
                "differences": [_record(each) for each in found],
            }
        )
        return code
    _print(found, count)
    if is_above:
        cli.say(f"penstock whatif: {count} documents differ, --fail-above {fail_above}")
    return code


def _print(found: Sequence[Difference], count: int) -> None:
    for each in found:
        print(sentence(each))
        for line in lines(each, SHOWN):
            print(line)
        left = sum(max(0, len(side) - SHOWN) for side in (each.more, each.fewer, each.changed))
        if left:
            print(f"    and {left:,} more; --json has all of them")
    if not found:
        print("no documents, before or after")
    elif not count:
        print("no document differs")


def _record(found: Difference) -> dict[str, Any]:
    return {
        "contract": found.contract,
        "target": found.target,
        "says": sentence(found),
        "before": found.before,
        "after": found.after,
        "more": [_document(each) for each in found.more],
        "fewer": [_document(each) for each in found.fewer],
        "changed": [
            {
                "old": _document(each.old),
                "new": _document(each.new),
                "members": [
                    {"name": name, "before": before, "after": after}
                    for name, before, after in each.members
                ],
            }
            for each in found.changed
        ],
        "changed_members": found.members(),
        "quantities": {
            unit: {"before": str(before), "after": str(after)}
            for unit, (before, after) in found.quantities().items()
        },
    }


def _document(document: Document) -> dict[str, Any]:
    found = asdict(document)
    found["body"] = document.members()
    found["start"] = short_time(found.pop("start_ns"))
    found["end"] = short_time(found.pop("end_ns"))
    return found
