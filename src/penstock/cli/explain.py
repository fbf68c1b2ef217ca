"""``penstock explain``: a document number or event id becomes the chain behind it.

From the ledger alone, read-only, also while the plant runs and long after the ring has wrapped.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cyclopts import App

from penstock import cli
from penstock.categories import sentence
from penstock.cli.ledger import entry_record, ledger_path, time_text
from penstock.errors import LedgerError
from penstock.events import Event, Evidence
from penstock.outbox import Entry, Reader

PLOT_COLUMNS = 72
PLOT_ROWS = 8

app = App(
    name="explain",
    help="Show the chain behind an ERP document or an event, down to its samples.",
    version_flags=[],
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """One event with everything that hangs on it."""

    event: Event
    committed_at_ns: int | None
    entries: tuple[Entry, ...]
    stories: tuple[list[dict[str, Any]], ...]
    evidence: tuple[Evidence, ...]
    conflicts: int


@app.default
def explain(
    id: str, /, *, config: Path | None = None, state_dir: Path | None = None, json: bool = False
) -> int:
    """Show the chain behind an ERP document or an event, down to its samples.

    Exit codes: 0 done; 1 nothing like this is in the ledger; 2 wrong usage. Example: penstock
    explain PC-000047 --config plant.toml

    Parameters
    ----------
    id
        Number of the ERP document, ``#12`` for entry 12, or the first 8 or more characters of an
        event id or command id.
    config
        The plant's configuration, which names the state directory.
    state_dir
        The state directory itself; default, where none is named: /var/lib/penstock.
    json
        One JSON object.
    """
    with Reader.open(ledger_path(config, state_dir)) as reader:
        found = [_read(reader, event_id) for event_id in _events(reader, id)]
    if json:
        cli.emit({"explanations": [_record(each) for each in found]})
    else:
        print("\n\n".join("\n".join(_lines(each)) for each in found))
    return cli.EXIT_OK


def _events(reader: Reader, text: str) -> list[str]:
    found = [each.event_id for each in reader.find(text)] or reader.find_events(text)
    if not found:
        raise LedgerError(f"{text!r}: no document, entry, event or key like this is in the ledger")
    return list(dict.fromkeys(found))


def _read(reader: Reader, event_id: str) -> Explanation:
    entries = tuple(reader.entries_of(event_id))
    return Explanation(
        event=reader.event(event_id),
        committed_at_ns=reader.committed_at_ns(event_id),
        entries=entries,
        stories=tuple([asdict(step) for step in reader.story(each.entry_id)] for each in entries),
        evidence=tuple(reader.evidence(event_id)),
        conflicts=len(reader.conflicts(event_id)),
    )


def _record(found: Explanation) -> dict[str, Any]:
    event = asdict(found.event)
    event["flags"] = sorted(found.event.flags)
    event["quantity"] = None if found.event.quantity is None else str(found.event.quantity)
    return {
        "event": {**event, "committed_at_ns": found.committed_at_ns},
        "conflicts": found.conflicts,
        "entries": [
            {**entry_record(entry), "body": entry.body, "receipt": entry.receipt, "story": story}
            for entry, story in zip(found.entries, found.stories, strict=True)
        ],
        "evidence": [asdict(each) for each in found.evidence],
    }


def _lines(found: Explanation) -> list[str]:
    lines: list[str] = []
    for entry in found.entries:
        lines += _entry_lines(entry)
    if not found.entries:
        lines.append("no mapping names this event: kept, and counted unmapped")
    lines += _event_lines(found)
    if not found.evidence:
        lines.append(
            "samples   none are kept: the ring had lost them, or the byte budget took them"
        )
    for each in found.evidence:
        lines += _evidence_lines(each, found.event)
    return lines


def _entry_lines(entry: Entry) -> list[str]:
    document = entry.document or "none"
    lines = [
        f"document  {document} in {entry.target}: {entry.contract} about {entry.business_object}"
    ]
    lines.append(
        f"entry     #{entry.entry_id} {entry.state}, {entry.sends} sent, {entry.lookups} look-ups"
        f"{', posted ' + time_text(entry.posted_at_ns) if entry.posted_at_ns else ''}"
    )
    if entry.category:
        lines.append(f"          {sentence(entry.category)}: {entry.reason}")
    lines.append(f"command   {entry.command_id}, key {entry.key16}, mapping {entry.mapping}")
    for name in ("quantity", "duration", "lot", "component", "state", "posting_date"):
        value = entry.body.get(name)
        if value:
            shown = f"{value['value']} {value['unit']}" if isinstance(value, dict) else value
            lines.append(f"          {name} {shown}")
    return lines


def _event_lines(found: Explanation) -> list[str]:
    event = found.event
    lines = [f"event     {event.id} {event.kind}"]
    interval = time_text(event.start_ns)
    if event.end_ns is not None:
        interval += f" to {time_text(event.end_ns)}"
    lines.append(f"          {interval}, {event.count} samples")
    if event.start_reading is not None or event.end_reading is not None:
        lines.append(
            f"          register {event.start_reading} to {event.end_reading} {event.unit}"
        )
    if event.limit is not None:
        lines.append(f"          value {event.value} at limit {event.limit}")
    if event.flags:
        lines.append(f"          flags {', '.join(sorted(event.flags))}")
    if found.conflicts:
        lines.append(
            f"          {found.conflicts} other contents came under this id; nothing posted"
        )
    context = {name: value for name, value in asdict(event.context).items() if value}
    if context:
        lines.append("          " + ", ".join(f"{name} {value}" for name, value in context.items()))
    lines.append(
        f"rule      {event.rule} series {event.series} on {event.tag} at {event.asset},"
        f" configuration {event.config_generation}"
    )
    return lines


def _evidence_lines(evidence: Evidence, event: Event) -> list[str]:
    if not evidence.time_ns:
        return []
    span_ms = (evidence.time_ns[-1] - evidence.time_ns[0]) / 1e6
    head = (
        f"samples   {evidence.tag}: {len(evidence.values)} over {span_ms:.1f} ms,"
        f" {evidence.before} before the event's block"
    )
    moment_ns = event.at_ns if event.end_ns is None else event.end_ns
    return [head, *plot(evidence, moment_ns)]


def plot(evidence: Evidence, moment_ns: int) -> list[str]:
    """Samples over time as rows of text.

    ``|`` under the axis marks the event. One sample is one ``*`` at least.
    """
    low, high = min(evidence.values), max(evidence.values)
    first_ns, last_ns = evidence.time_ns[0], evidence.time_ns[-1]
    rows = [[" "] * PLOT_COLUMNS for _ in range(PLOT_ROWS)]
    for time_ns, value in zip(evidence.time_ns, evidence.values, strict=True):
        height = (value - low) / (high - low) if high > low else 0.5
        row = PLOT_ROWS - 1 - min(int(height * PLOT_ROWS), PLOT_ROWS - 1)
        rows[row][_column(time_ns, first_ns, last_ns)] = "*"
    labels = [f"{high:.6g}", *[""] * (PLOT_ROWS - 2), f"{low:.6g}"]
    width = max(len(each) for each in labels)
    lines = [
        f"  {label:>{width}} |{''.join(row).rstrip()}"
        for label, row in zip(labels, rows, strict=True)
    ]
    lines.append(f"  {'':>{width}} +{'-' * PLOT_COLUMNS}")
    if first_ns <= moment_ns <= last_ns:
        mark = " " * _column(moment_ns, first_ns, last_ns) + "| event"
    else:
        away_ms = (moment_ns - (last_ns if moment_ns > last_ns else first_ns)) / 1e6
        mark = f"the event lies {abs(away_ms):.1f} ms {'after' if away_ms > 0 else 'before'} these"
    return [*lines, f"  {'':>{width}}  {mark}"]


def _column(time_ns: int, first_ns: int, last_ns: int) -> int:
    span_ns = last_ns - first_ns
    return (time_ns - first_ns) * (PLOT_COLUMNS - 1) // span_ns if span_ns else 0
