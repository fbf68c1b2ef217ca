"""Post: a document becomes one request, and the target's answer a receipt or an error.

A target is one module of this package. It knows its ERP and nothing of the ledger: it prepares,
sends and asks; what an error means for the entry is decided elsewhere.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Protocol, runtime_checkable

from penstock import config
from penstock.config import forms
from penstock.errors import ConfigError

# Kind in the configuration to the module that serves it, which has ``open_target(target, options,
# path)``. What keys a kind has stands in penstock.post.keys.
KINDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "tryton": "penstock.post.tryton",
        "rest": "penstock.post.rest",
        "memory": "penstock.post.memory",
    }
)


@dataclass(frozen=True, slots=True)
class Guarantees:
    """What a target can prove, and what that was checked against."""

    # A second post with our key is no second document: decided in the posting transaction, and
    # before anything else about the document is judged.
    has_key: bool
    has_readback: bool  # a document can be found by our key
    checked_against: str  # "real", "sandbox", "metadata", with the version


class Document(Protocol):
    """What a target needs of an entry or a command."""

    @property
    def command_id(self) -> str:
        """Our key in full, a UUID."""

    @property
    def key16(self) -> str:
        """Our key in 16 upper-case characters, for text fields."""

    @property
    def contract(self) -> str:
        """``production_confirmation/1``."""

    @property
    def posting_date(self) -> str:
        """``YYYY-MM-DD``."""

    @property
    def digest(self) -> str:
        """SHA-256 of contract and document, hex."""

    @property
    def body(self) -> Mapping[str, Any]:
        """The canonical document."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, ready to send. Same document, same request."""

    key: str
    digest: str
    kind: str
    payload: bytes  # canonical JSON of what the target is told


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a target answered.

    ``status``: posted, duplicate (same key and digest) or conflict (same key, other digest).
    """

    status: str
    document: str  # the number a person searches for
    model: str = ""
    record: int | None = None
    digest: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Running:
    """What runs at an asset now, as the target knows it."""

    asset: str
    order: str
    material: str = ""
    lot: str = ""


@runtime_checkable
class Target(Protocol):
    """The port to one ERP."""

    @property
    def name(self) -> str:
        """The name in the configuration."""

    @property
    def guarantees(self) -> Guarantees:
        """What it can prove."""

    def prepare(self, document: Document) -> Request:
        """The request of a document.

        Pure. Raises Permanent where the target has no place for it.
        """

    async def send(self, request: Request) -> Receipt:
        """Posts once.

        Raises Transient (not accepted), Permanent (refused) or Ambiguous (sent, no answer).
        """

    async def find(self, key: str) -> Receipt | None:
        """What was posted under our key, or None: it is not there.

        Raises Transient where the target cannot be asked.
        """

    async def close(self) -> None:
        """Idempotent."""


@runtime_checkable
class ContextSource(Protocol):
    """A target that also knows what runs where."""

    async def running(self, assets: Sequence[str]) -> list[Running]:
        """What runs at these assets, at all where none is named. Raises Transient."""


@runtime_checkable
class Selective(Protocol):
    """A target that has a place for some contracts only."""

    def takes(self, contract: str) -> bool:
        """Whether documents of this contract can be sent."""


def option(form: forms.Form, help: str, default: Any) -> Any:
    """A key of a target's options: how it is read, what it means and its unit, what it is when left
    out.
    """
    return field(default=default, metadata={"form": form, "help": help, "key": ""})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Keys that every target has beside its own."""

    concurrency: int = option(forms.Integer(1, 64), "Most requests at a time.", 4)
    timeout_s: float = option(forms.Number(0.1, 600.0), "Longest wait for an answer, s.", 30.0)
    back_off_s: float = option(forms.Number(0.01, 3600.0), "First wait before a new try, s.", 1.0)
    back_off_max_s: float = option(
        forms.Number(0.01, 86400.0), "Longest wait before a new try, s.", 60.0
    )
    attempts_max: int = option(
        forms.Integer(1, 1000), "Failures of one document before it is dead.", 8
    )
    look_up_after_s: float = option(
        forms.Number(0, 3600.0),
        "Wait after a silent answer before the target is asked by our key, s.",
        1.0,
    )
    on_business: str = option(
        forms.Choice(("hold", "retry")),
        "Stock missing, order not running: hold, or try again first.",
        "hold",
    )
    allow_unproven: bool = option(
        forms.Boolean(), "Send although the target has neither key nor read-back.", False
    )
    context: bool = option(forms.Boolean(), "Read from this target what runs at the assets.", False)
    context_every_s: float = option(forms.Number(0.2, 86400.0), "How often that is read, s.", 2.0)


def read_options(target: config.Target, path: str, model: type[Options] = Options) -> Options:
    """A target's options; ConfigError with every unknown or wrong key."""
    problems: list[ConfigError] = []
    found = forms.read_table(model, target.options, path, problems)
    if problems:
        raise problems[0] if len(problems) == 1 else config.ConfigErrors(tuple(problems))
    assert isinstance(found, Options)
    return found


def open_target(target: config.Target, path: str) -> tuple[Target, Options]:
    """The port of a configured target.

    No connection is made. ``path`` is its place: ``target[erp]``.
    """
    from penstock.post.keys import KEYS, check_keys  # which imports this module

    name = KINDS.get(target.kind)
    if name is None:
        raise ConfigError(
            f"{path}.kind", f"{target.kind!r} is not known", f"one of: {', '.join(KINDS)}"
        )
    check_keys(target, path)
    options = read_options(target, path, KEYS[target.kind].options)
    module = importlib.import_module(name)
    opened = module.open_target(target, options, path)
    if not isinstance(opened, Target):
        raise TypeError(f"{name}.open_target must return a Target")
    return opened, options
