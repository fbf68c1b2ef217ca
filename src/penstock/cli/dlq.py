"""``penstock dlq``: what waits for a person: held and dead entries, and those in doubt.

An entry in doubt was sent and its answer did not come: it is asked for again, never sent again.
"""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter

from penstock import cli
from penstock.categories import CATEGORIES, sentence
from penstock.cli.ledger import entry_record, ledger_path, map_again, one_entry, show, time_text
from penstock.config.forms import suggest
from penstock.errors import LedgerError
from penstock.outbox import Entry, Ledger, Reader, State

ENTRIES_MAX: Final = 10_000  # of one decision

app = App(
    name="dlq",
    help="List, show, retry or discard what waits for a person.",
    version_flags=[],
)


@app.command(name="show")
def show_one(
    id: str, /, *, config: Path | None = None, state_dir: Path | None = None, json: bool = False
) -> int:
    """Show one entry: its document, its story, what the target answered.

    Exit codes: 0 done; 1 nothing like this is in the ledger; 2 wrong usage. Example: penstock dlq
    show "#12" --config plant.toml

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
    return show(id, config=config, state_dir=state_dir, json=json)


@app.command(name="list")
def list_waiting(
    *,
    target: str = "",
    category: str = "",
    limit: int = 50,
    config: Path | None = None,
    state_dir: Path | None = None,
    json: bool = False,
) -> int:
    """List what waits: held, dead and in doubt, the oldest first.

    Exit codes: 0 done; 1 there is no ledger; 2 wrong usage. Example: penstock dlq list --config
    plant.toml

    Parameters
    ----------
    target
        Only for this target.
    category
        Only of this category, such as period or master_data.
    limit
        Most entries shown.
    config
        The plant's configuration, which names the state directory.
    state_dir
        The state directory itself; default, where none is named: /var/lib/penstock.
    json
        One JSON object: counts by state and category, entries.
    """
    if wrong := _wrong_category(category):
        return wrong
    with Reader.open(ledger_path(config, state_dir)) as reader:
        found = reader.waiting(target=target, category=category, limit=ENTRIES_MAX)
    counts: dict[str, int] = {}
    for each in found:
        name = f"{each.state} {each.category}"
        counts[name] = counts.get(name, 0) + 1
    if json:
        cli.emit({"counts": counts, "entries": [entry_record(each) for each in found[:limit]]})
        return cli.EXIT_OK
    for each in found[:limit]:
        _print(each)
    for name, count in sorted(counts.items()):
        print(f"{count:6} {name}: {sentence(name.partition(' ')[2])}")
    print(f"{len(found)} wait" if found else "nothing waits")
    return cli.EXIT_OK


@app.command
def retry(
    ids: Annotated[tuple[str, ...], Parameter(show_default=False)] = (),
    /,
    *,
    reason: str,
    every: Annotated[bool, Parameter(name="--all")] = False,
    target: str = "",
    category: str = "",
    by: str = "",
    config: Path | None = None,
    state_dir: Path | None = None,
    json: bool = False,
) -> int:
    """Let held and dead entries go again, and ask for those in doubt. A running plant notices.

    An entry that was ever sent is looked up by its key first; one in doubt is only looked up.

    Exit codes: 0 done; 1 an entry cannot go again, and says why; 2 wrong usage. Example: penstock
    dlq retry "#12" --reason "period is open again" --config plant.toml

    Parameters
    ----------
    ids
        As for ``penstock dlq show``; each must name one entry.
    reason
        Why; kept in the audit chain.
    every
        All that wait, of --target and --category where given, in place of ids.
    target
        With --all: only for this target.
    category
        With --all: only of this category.
    by
        Who; default the user of this process.
    config
        The plant's configuration; a mapping fault is mapped again with it.
    state_dir
        The state directory itself; default, where none is named: /var/lib/penstock.
    json
        One JSON object: entries, refused.
    """

    def change(ledger: Ledger, entry: Entry, who: str, now_ns: int) -> Entry:
        if entry.state is State.IN_DOUBT:
            return ledger.ask_again(entry.entry_id, by=who, reason=reason, now_ns=now_ns)
        if entry.category == "mapping" and config is not None:
            return map_again(ledger, entry, config, who, reason)
        return ledger.retry(entry.entry_id, by=who, reason=reason, now_ns=now_ns)

    chosen = _Chosen(ids, every, target, category)
    return _decide(chosen, change, ledger_path(config, state_dir), by, is_json=json)


@app.command
def discard(
    ids: Annotated[tuple[str, ...], Parameter(show_default=False)] = (),
    /,
    *,
    reason: str,
    by: str,
    config: Path | None = None,
    state_dir: Path | None = None,
    json: bool = False,
) -> int:
    """Give entries up: they must never become a document.

    Exit codes: 0 done; 1 an entry cannot be discarded, and says why; 2 wrong usage. Example:
    penstock dlq discard "#12" --reason "booked by hand" --by ann --config plant.toml

    Parameters
    ----------
    ids
        As for ``penstock dlq show``; each must name one entry.
    reason
        Why; kept in the audit chain.
    by
        Who answers for it; kept in the audit chain.
    config
        The plant's configuration, which names the state directory.
    state_dir
        The state directory itself; default, where none is named: /var/lib/penstock.
    json
        One JSON object: entries, refused.
    """

    def change(ledger: Ledger, entry: Entry, who: str, now_ns: int) -> Entry:
        return ledger.discard(entry.entry_id, by=who, reason=reason, now_ns=now_ns)

    return _decide(_Chosen(ids), change, ledger_path(config, state_dir), by, is_json=json)


class _Chosen:
    """Which entries a decision is about."""

    def __init__(
        self, ids: tuple[str, ...], every: bool = False, target: str = "", category: str = ""
    ) -> None:
        self.ids, self.every, self.target, self.category = ids, every, target, category

    def usage(self) -> str:
        """What is wrong with the words, or ""."""
        if bool(self.ids) == self.every:
            return "name entries, or say --all"
        if self.ids and (self.target or self.category):
            return "--target and --category narrow --all; leave them out, or the ids"
        return ""

    def read(self, reader: Reader) -> list[Entry]:
        """The entries. LedgerError where an id names none or several."""
        if self.every:
            return reader.waiting(target=self.target, category=self.category, limit=ENTRIES_MAX)
        return [one_entry(reader, each) for each in self.ids]


def _decide(
    chosen: _Chosen,
    change: Callable[[Ledger, Entry, str, int], Entry],
    path: Path,
    by: str,
    *,
    is_json: bool,
) -> int:
    """Each entry on its own: what one refuses does not stop the others."""
    if wrong := chosen.usage():
        cli.say(f"penstock dlq: {wrong}")
        return cli.EXIT_USAGE
    if wrong_code := _wrong_category(chosen.category):
        return wrong_code
    with Reader.open(path) as reader:
        entries = chosen.read(reader)
    changed: list[Entry] = []
    refused: list[str] = []
    who = by or getpass.getuser()
    with Ledger.open(path, now_ns=time.time_ns()) as ledger:
        for each in entries:
            try:
                changed.append(change(ledger, each, who, time.time_ns()))
            except LedgerError as wrong_entry:
                refused.append(str(wrong_entry))
    if is_json:
        cli.emit({"entries": [entry_record(each) for each in changed], "refused": refused})
    else:
        for each in changed:
            how = "asked for again" if each.state is State.IN_DOUBT else str(each.state)
            print(f"entry #{each.entry_id} is {how}")
        for text in refused:
            cli.say(f"penstock dlq: {text}")
    return cli.EXIT_FAILED if refused else cli.EXIT_OK


def _wrong_category(category: str) -> int:
    if category and category not in CATEGORIES:
        cli.say(f"penstock dlq: --category {category!r}; {suggest(category, CATEGORIES)}")
        return cli.EXIT_USAGE
    return cli.EXIT_OK


def _print(entry: Entry) -> None:
    document = f" {entry.document}" if entry.document else ""
    print(
        f"{f'#{entry.entry_id}':>7} {entry.state:8} {entry.contract or '-'}{document} about "
        f"{entry.business_object or '-'} for {entry.target or '-'}, since "
        f"{time_text(entry.created_at_ns)}"
    )
    print(f"        {sentence(entry.category)}: {entry.reason}")
