"""``penstock ledger``: the entries of the posting ledger become lists.

A person's decision becomes an entry's state.
"""

from __future__ import annotations

import getpass
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cyclopts import App

from penstock import cli
from penstock.categories import sentence
from penstock.errors import LedgerError
from penstock.outbox import LEDGER_NAME, Entry, Ledger, Reader, State

app = App(name="ledger", help="List and show the entries of the posting ledger.", version_flags=[])


def ledger_path(config: Path | None, state_dir: Path | None) -> Path:
    """The ledger file: of ``--state-dir``, else of the configuration, else of the default."""
    return cli.state_dir_of(config, state_dir) / LEDGER_NAME


@app.command(name="list")
def list_entries(
    *,
    state: str = "",
    target: str = "",
    limit: int = 50,
    config: Path | None = None,
    state_dir: Path | None = None,
    json: bool = False,
) -> int:
    """List the newest entries.

    Exit codes: 0 done; 1 there is no ledger; 2 wrong usage. Example: penstock ledger list --config
    plant.toml

    Parameters
    ----------
    state
        Only of this state: ready, posting, retry, in_doubt, posted, held, dead or discarded.
    target
        Only for this target.
    limit
        Most entries shown.
    config
        The plant's configuration, which names the state directory.
    state_dir
        The state directory itself; default, where none is named: /var/lib/penstock.
    json
        One JSON object: counts by state, ledger counters, entries.
    """
    if state and state not in set(State):
        cli.say(f"penstock ledger: --state is one of {', '.join(State)}")
        return cli.EXIT_USAGE
    with Reader.open(ledger_path(config, state_dir)) as reader:
        entries = reader.entries(state=state, target=target, limit=limit)
        states, counters = reader.states(), reader.counters()
    if json:
        cli.emit(
            {"states": states, "counters": counters, "entries": [entry_record(e) for e in entries]}
        )
        return cli.EXIT_OK
    for each in entries:
        _print_row(each)
    print(", ".join(f"{count} {name}" for name, count in states.items() if count) or "no entries")
    return cli.EXIT_OK


@app.command
def show(
    id: str, /, *, config: Path | None = None, state_dir: Path | None = None, json: bool = False
) -> int:
    """Show one entry: its document, its story, what the target answered.

    Exit codes: 0 done; 1 nothing like this is in the ledger; 2 wrong usage. Example: penstock
    ledger show PC-000047 --config plant.toml

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
        found = reader.find(id)
        stories = [[asdict(step) for step in reader.story(each.entry_id)] for each in found]
    if not found:
        raise LedgerError(f"{id!r}: no document, entry, event or key like this is in the ledger")
    records = [
        {**entry_record(entry), "body": entry.body, "receipt": entry.receipt, "story": story}
        for entry, story in zip(found, stories, strict=True)
    ]
    if json:
        cli.emit({"entries": records})
        return cli.EXIT_OK
    for entry, story in zip(found, stories, strict=True):
        _print_entry(entry, story)
    return cli.EXIT_OK


@app.command
def verify(*, config: Path | None = None, state_dir: Path | None = None, json: bool = False) -> int:
    """Check the audit chain against the rows.

    Exit codes: 0 every byte is as it was; 1 one was changed or cut; 2 wrong usage. Example:
    penstock ledger verify --config plant.toml

    Parameters
    ----------
    config
        The plant's configuration, which names the state directory.
    state_dir
        The state directory itself; default, where none is named: /var/lib/penstock.
    json
        One JSON object.
    """
    with Reader.open(ledger_path(config, state_dir)) as reader:
        verdict = reader.verify()
    if json:
        cli.emit({"ok": not verdict.problems, **asdict(verdict)})
    elif verdict.problems:
        for problem in verdict.problems:
            print(problem)
    else:
        print(f"ok: {verdict.events} events, {verdict.entries} entries, {verdict.links} links")
    return cli.EXIT_FAILED if verdict.problems else cli.EXIT_OK


@app.command
def resolve(
    id: str,
    /,
    *,
    reason: str,
    retry: bool = False,
    discard: bool = False,
    by: str = "",
    config: Path | None = None,
    state_dir: Path | None = None,
    json: bool = False,
) -> int:
    """Decide about an entry that waits: send it again, or give it up. A running plant notices.

    Exit codes: 0 done; 1 the entry does not allow it, and says why; 2 wrong usage. Example:
    penstock ledger resolve "#12" --retry --reason "counted by hand" --config plant.toml

    Parameters
    ----------
    id
        As for ``show``; it must name one entry.
    reason
        Why; kept in the audit chain.
    retry
        The document goes again, looked up by its key first if it was ever sent. A mapping fault is
        mapped again with the configuration, which must be given.
    discard
        The document must never be posted.
    by
        Who; default the user of this process.
    config
        The plant's configuration, which names the state directory.
    state_dir
        The state directory itself; default, where none is named: /var/lib/penstock.
    json
        One JSON object.
    """
    if retry == discard:
        cli.say("penstock ledger resolve: say --retry or --discard")
        return cli.EXIT_USAGE
    path = ledger_path(config, state_dir)
    with Reader.open(path) as reader:
        entry = one_entry(reader, id)
    who, now_ns = by or getpass.getuser(), time.time_ns()
    with Ledger.open(path, now_ns=now_ns) as ledger:
        if discard:
            entry = ledger.discard(entry.entry_id, by=who, reason=reason, now_ns=now_ns)
        elif entry.category == "mapping" and config is not None:
            entry = map_again(ledger, entry, config, who, reason)
        else:
            entry = ledger.retry(entry.entry_id, by=who, reason=reason, now_ns=now_ns)
    if json:
        cli.emit(entry_record(entry))
    else:
        print(f"entry #{entry.entry_id} is {entry.state}")
    return cli.EXIT_OK


def entry_record(entry: Entry) -> dict[str, Any]:
    """An entry as stable JSON keys, without its document."""
    record = asdict(entry)
    for name in ("body_json", "receipt_json"):
        del record[name]
    return {**record, "state": str(entry.state), "meaning": sentence(entry.category)}


def time_text(time_ns: int | None) -> str:
    """Date and time in UTC to the millisecond."""
    if time_ns is None:
        return ""
    moment = datetime.fromtimestamp(time_ns // 1_000_000_000, UTC)
    return f"{moment:%Y-%m-%d %H:%M:%S}.{time_ns // 1_000_000 % 1000:03d}Z"


def one_entry(reader: Reader, text: str) -> Entry:
    """The one entry that a text names. LedgerError where it names none or several."""
    found = reader.find(text)
    if len(found) != 1:
        names = ", ".join(f"#{each.entry_id}" for each in found)
        how = f"names several entries ({names}); use one of these" if found else "is not there"
        raise LedgerError(f"{text!r} {how}")
    return found[0]


def map_again(ledger: Ledger, entry: Entry, config: Path, who: str, reason: str) -> Entry:
    """A mapping fault, mapped anew by the configuration. LedgerError where it still is one."""
    from penstock.config import load_config
    from penstock.mapping import Command, Fault, Hold, map_event

    event = ledger.reader.event(entry.event_id)
    for output in map_event(event, load_config(config, is_environment_known=False)):
        made = output.command if isinstance(output, Hold) else output
        if (made.command_id, made.target) != (entry.command_id, entry.target):
            continue
        if isinstance(made, Command):
            now_ns = time.time_ns()
            return ledger.remap(entry.entry_id, made, by=who, reason=reason, now_ns=now_ns)
        assert isinstance(made, Fault)
        raise LedgerError(f"entry #{entry.entry_id} still cannot be mapped: {made.reason}")
    raise LedgerError(f"no mapping {entry.mapping!r} for {entry.target!r} is in {config} any more")


def _print_row(entry: Entry) -> None:
    number, contract = f"#{entry.entry_id}", entry.contract or "-"
    what = f"{contract:26} {entry.document or '-':12} about {entry.business_object or '-'}"
    print(f"{number:>7} {entry.state:9} {what} for {entry.target or '-'}")
    if entry.category:
        print(f"        {sentence(entry.category)}: {entry.reason}")


def _print_entry(entry: Entry, story: list[dict[str, Any]]) -> None:
    print(f"entry #{entry.entry_id}  {entry.state}  {entry.document}")
    print(f"  {entry.contract} for {entry.target}, about {entry.business_object}")
    print(f"  event {entry.event_id}, mapping {entry.mapping}")
    print(f"  command {entry.command_id}, key {entry.key16}, posting date {entry.posting_date}")
    if entry.category:
        print(f"  {sentence(entry.category)}: {entry.reason}")
    for name, value in entry.body.items():
        shown = f"{value['value']} {value['unit']}" if isinstance(value, dict) else value
        print(f"    {name}: {shown}")
    for step in story:
        change = f"{step['from_state'] or '(new)'} -> {step['to_state']}"
        reason = f"  {step['reason']}" if step["reason"] else ""
        print(f"  {time_text(step['at_ns'])}  {change}  by {step['by']}{reason}")
