"""What if: the recorded past through old and new rules, and the difference as business documents.

Documents are told apart by their ids; what is left on both sides is paired where mapping, target
and asset are the same and the intervals touch: the same thing seen otherwise. Nothing is posted.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from penstock.captures import Capture
from penstock.config import Config
from penstock.contracts import CONTRACTS
from penstock.events import Event
from penstock.mapping import Command, Fault, Hold, map_event
from penstock.replay.dry import Dry
from penstock.replay.moment import short_time
from penstock.replay.recording import Piece
from penstock.replay.table import Form, Table

STEP_BYTES: Final = 4 << 20
DOCUMENTS_MAX: Final = 2_000_000
NOUNS: Final = {
    "downtime": "downtime notices",
    "production_confirmation": "production confirmations",
    "scrap": "scrap reports",
    "material_consumption": "material consumptions",
}


@dataclass(frozen=True, slots=True)
class Document:
    """One document of one side, as far as a comparison needs it."""

    mapping: str
    contract: str
    target: str
    asset: str
    state: str  # ready, held, dead
    start_ns: int
    end_ns: int
    body: bytes  # canonical JSON; the reason where there is none

    @property
    def place(self) -> tuple[str, str, str]:
        """What must be the same for two documents to be about the same thing."""
        return self.mapping, self.target, self.asset

    def members(self) -> dict[str, Any]:
        """The members of the body, and the state."""
        found = json.loads(self.body) if self.state != "dead" else {"reason": self.body.decode()}
        return {**found, "state of the document": self.state}


Documents = dict[tuple[str, str], Document]


def needed(config: Config) -> Config:
    """Without the rules that no document can come of."""
    wanted = {each.rule for each in config.mappings}
    rules = {each.name: each for each in config.rules}
    for name in list(wanted):
        while name in rules and (other := getattr(rules[name], "suppress_by", "")):
            if other in wanted:
                break
            wanted.add(other)
            name = other
    return replace(config, rules=tuple(each for each in config.rules if each.name in wanted))


@dataclass(slots=True)
class Pass:
    """One configuration's way through the past. ``run`` belongs to one thread; who looks on reads
    the figures.
    """

    config: Config
    since_ns: int
    documents: Documents = field(default_factory=dict)
    bytes_done: int = 0
    samples: int = 0
    dropped: int = 0
    skipped: int = 0

    def captures(self, pieces: Sequence[Piece]) -> None:
        """Through captures, oldest first."""
        with Dry(needed(self.config)) as dry:
            behind = 0
            for piece in pieces:
                for outcome in dry.capture(Capture(piece.path), step=STEP_BYTES):
                    self._take(outcome.events)
                    self.bytes_done = behind + piece.span.bytes - dry.left
                    self.samples = dry.used
                behind += piece.span.bytes
            self.dropped, self.skipped = dry.dropped, dry.skipped

    def tables(self, files: Sequence[Path], form: Form, source: str) -> None:
        """Through CSV files, in the order given."""
        with Dry(needed(self.config), source=source) as dry:
            behind = 0
            for path in files:
                table = Table(path, form, self.config.plant.timezone, dry.kinds())
                for outcome in dry.rows(table):
                    self._take(outcome.events)
                    self.bytes_done = behind + int(table.share() * table.size)
                    self.samples = dry.used
                behind += table.size
            self.dropped = dry.stats().dropped

    def _take(self, events: Iterable[Event]) -> None:
        for event in events:
            end_ns = event.at_ns if event.end_ns is None else event.end_ns
            if end_ns < self.since_ns or len(self.documents) >= DOCUMENTS_MAX:
                continue
            for made in map_event(event, self.config):
                key, document = _document(made, event, end_ns)
                self.documents[key] = document


def _document(
    made: Command | Fault | Hold, event: Event, end_ns: int
) -> tuple[tuple[str, str], Document]:
    intent = made.command if isinstance(made, Hold) else made
    state = "held" if isinstance(made, Hold) else "dead" if isinstance(made, Fault) else "ready"
    body = intent.reason.encode() if isinstance(intent, Fault) else intent.body_json
    document = Document(
        intent.mapping, intent.contract, intent.target, intent.asset, state, event.start_ns,
        end_ns, body,
    )  # fmt: skip
    return (intent.command_id, intent.target), document


@dataclass(frozen=True, slots=True)
class Changed:
    """A document that is there on both sides and says something else."""

    old: Document
    new: Document
    members: tuple[tuple[str, Any, Any], ...]


@dataclass(slots=True)
class Difference:
    """What becomes of the documents of one contract for one target."""

    contract: str
    target: str
    before: int = 0
    after: int = 0
    more: list[Document] = field(default_factory=list)
    fewer: list[Document] = field(default_factory=list)
    changed: list[Changed] = field(default_factory=list)

    @property
    def count(self) -> int:
        """Documents that are not as before."""
        return len(self.more) + len(self.fewer) + len(self.changed)

    def members(self) -> dict[str, int]:
        """How many of the changed documents differ in each member."""
        found: dict[str, int] = defaultdict(int)
        for each in self.changed:
            for name in {name.partition(".")[0] for name, _, _ in each.members}:
                found[name] += 1
        return dict(sorted(found.items()))

    def quantities(self) -> dict[str, tuple[Decimal, Decimal]]:
        """By unit: the sum of the differing quantities before and after."""
        found: dict[str, list[Decimal]] = defaultdict(lambda: [Decimal(0), Decimal(0)])
        sides = [(0, each) for each in self.fewer] + [(1, each) for each in self.more]
        sides += [pair for each in self.changed for pair in ((0, each.old), (1, each.new))]
        for side, document in sides:
            quantity = document.members().get("quantity")
            if isinstance(quantity, Mapping):
                found[quantity["unit"]][side] += Decimal(quantity["value"])
        return {unit: (both[0], both[1]) for unit, both in sorted(found.items())}


def compare(old: Documents, new: Documents) -> list[Difference]:
    """The difference by contract and target, in the order of their names."""
    found: dict[tuple[str, str], Difference] = {}

    def of(document: Document) -> Difference:
        key = document.contract, document.target
        return found.setdefault(key, Difference(*key))

    for each in old.values():
        of(each).before += 1
    for each in new.values():
        of(each).after += 1
    for key in old.keys() & new.keys():
        if members := tuple(_differing(old[key], new[key])):
            of(old[key]).changed.append(Changed(old[key], new[key], members))
    left = [each for key, each in old.items() if key not in new]
    right = [each for key, each in new.items() if key not in old]
    for before, after in _pairs(left, right):
        if before is None and after is not None:
            of(after).more.append(after)
        elif after is None and before is not None:
            of(before).fewer.append(before)
        elif before is not None and after is not None:
            of(after).changed.append(Changed(before, after, tuple(_differing(before, after))))
    for difference in found.values():
        difference.more.sort(key=_order)
        difference.fewer.sort(key=_order)
        difference.changed.sort(key=lambda one: _order(one.new))
    return [found[key] for key in sorted(found)]


def _order(document: Document) -> tuple[int, str]:
    return document.start_ns, document.asset


def _pairs(
    left: Iterable[Document], right: Iterable[Document]
) -> Iterator[tuple[Document | None, Document | None]]:
    """Of each place in the order of time: what touches is a pair, what does not stands alone."""
    sides: dict[tuple[str, str, str], tuple[list[Document], list[Document]]] = {}
    for side, documents in enumerate((left, right)):
        for each in documents:
            sides.setdefault(each.place, ([], []))[side].append(each)
    for before, after in sides.values():
        before.sort(key=_order)
        after.sort(key=_order)
        i = j = 0
        while i < len(before) or j < len(after):
            one = before[i] if i < len(before) else None
            other = after[j] if j < len(after) else None
            if one is not None and other is not None and _touches(one, other):
                yield one, other
                i, j = i + 1, j + 1
            elif other is None or (one is not None and one.end_ns <= other.end_ns):
                yield one, None
                i += 1
            else:
                yield None, other
                j += 1


def _touches(one: Document, other: Document) -> bool:
    is_point = one.start_ns == one.end_ns or other.start_ns == other.end_ns
    if is_point:
        return one.start_ns <= other.end_ns and other.start_ns <= one.end_ns
    return one.start_ns < other.end_ns and other.start_ns < one.end_ns


def _differing(old: Document, new: Document) -> Iterator[tuple[str, Any, Any]]:
    before, after = old.members(), new.members()
    for name in dict.fromkeys((*before, *after)):
        if before.get(name) != after.get(name):
            yield name, before.get(name), after.get(name)


# ---- in words -----------------------------------------------------------------------------------


def sentence(found: Difference) -> str:
    """One line a planner reads: "14 more downtime notices for erp, 0 changed quantities"."""
    noun = NOUNS.get(CONTRACTS[found.contract].noun, found.contract)
    members = found.members()
    parts = [
        f"{len(found.more)} more" if found.more else "",
        f"{len(found.fewer)} fewer" if found.fewer else "",
    ]
    turn = " and ".join(each for each in parts if each) or "as many"
    words = f"{turn} {noun} for {found.target} ({found.before:,} before, {found.after:,} after)"
    words += f", {members.pop('quantity', 0)} changed quantities"
    others = ", ".join(f"{count} {name}" for name, count in members.items())
    return words + (f", other changes: {others}" if others else "")


def lines(found: Difference, most: int) -> Iterator[str]:
    """The sums of the quantities, and the first of the documents."""
    for unit, (before, after) in found.quantities().items():
        yield f"    quantities that differ: {before:f} {unit} before, {after:f} after"
    shown = [("+", each, "") for each in found.more[:most]]
    shown += [("-", each, "") for each in found.fewer[:most]]
    for one in found.changed[:most]:
        text = ", ".join(f"{name} {_plain(a)} -> {_plain(b)}" for name, a, b in one.members)
        shown.append(("~", one.new, text))
    for sign, document, text in shown:
        yield f"    {sign} {document.mapping} {document.asset} {_span(document)} {text}".rstrip()


def _span(document: Document) -> str:
    start = short_time(document.start_ns)
    same = document.start_ns == document.end_ns
    return start if same else f"{start} to {short_time(document.end_ns)}"


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{value.get('value')} {value.get('unit')}"
    return "nothing" if value is None else str(value)
