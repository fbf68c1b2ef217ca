"""Memory: documents become items of a list in this process, for tests, examples and dry runs.

A second send with our key is answered with the first document, and a key can be looked up; both as
long as the process lives, for its books end with it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from penstock import config
from penstock.config import forms
from penstock.contracts import canonical_json
from penstock.errors import Transient
from penstock.post import Document, Guarantees, Options, Receipt, Request, option

DOCUMENTS_MAX: Final = 10_000
_FULL: Final = Guarantees(has_key=True, has_readback=True, checked_against="real: this process")


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryOptions(Options):
    """How much it holds."""

    documents_max: int = option(
        forms.Integer(1, 1_000_000), "Most documents held; then it asks for a pause.", DOCUMENTS_MAX
    )


@dataclass(frozen=True, slots=True)
class Kept:
    """One document as it was sent."""

    number: str  # M000001, M000002, …
    key: str
    digest: str
    contract: str
    body: Mapping[str, Any]


@dataclass(slots=True)
class MemoryTarget:
    """Keeps what is sent, each key once. ``documents`` is the list, oldest first.

    Bound: ``documents_max``. Full: it is throttled, so that nothing is lost; ``clear`` makes room.
    One event loop.
    """

    name: str = "memory"
    documents_max: int = DOCUMENTS_MAX
    documents: list[Kept] = field(default_factory=list)
    _by_key: dict[str, Kept] = field(default_factory=dict, repr=False)
    _count: int = 0

    @property
    def guarantees(self) -> Guarantees:
        """A key and a read-back, for the life of the process."""
        return _FULL

    def prepare(self, document: Document) -> Request:
        """The document as it is."""
        payload = canonical_json(dict(document.body))
        return Request(document.command_id, document.digest, document.contract, payload)

    async def send(self, request: Request) -> Receipt:
        """Keeps the document, or answers with the one it has under this key."""
        known = self._by_key.get(request.key)
        if known is not None:
            status = "duplicate" if known.digest == request.digest else "conflict"
            return Receipt(status, known.number, digest=known.digest)
        if len(self.documents) >= self.documents_max:
            raise Transient(
                f"the memory target {self.name!r} holds {len(self.documents)} documents; "
                "clear() it, or raise documents_max",
                category="throttled",
            )
        self._count += 1
        body = MappingProxyType(json.loads(request.payload))
        kept = Kept(f"M{self._count:06d}", request.key, request.digest, request.kind, body)
        self.documents.append(kept)
        self._by_key[kept.key] = kept
        return Receipt("posted", kept.number, digest=kept.digest)

    async def find(self, key: str) -> Receipt | None:
        """The document under our key, or None."""
        known = self._by_key.get(key)
        return Receipt("posted", known.number, digest=known.digest) if known else None

    def clear(self) -> list[Kept]:
        """Takes all documents out and returns them; their keys are forgotten too."""
        taken, self.documents = self.documents, []
        self._by_key.clear()
        return taken

    async def close(self) -> None:
        """Nothing to close; what was kept stays readable."""


def open_target(target: config.Target, options: Options, path: str) -> MemoryTarget:
    """The target of a configuration."""
    assert isinstance(options, MemoryOptions)
    return MemoryTarget(target.name, options.documents_max)
