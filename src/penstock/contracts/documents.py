"""Canonical business documents, version 1: what penstock promises to every target, whatever its
ERP calls it.

A published version is never changed in meaning; a new optional member is a minor change that
readers must ignore when they do not know it, anything else is a new version beside this one.
Nouns are those of ISA-95 and B2MML. Each member's metadata holds what the JSON Schema, the
reader, and the default mapping need; nothing of it is kept twice.
"""

# ruff: noqa: RUF009  (every default is dataclasses.field, said through _member)

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, cast

from penstock.contracts.values import Quantity, read_date, read_quantity, read_time, time_text

Kind: TypeAlias = Literal["text", "quantity", "time", "date", "boolean", "choice", "texts"]
TEXT_BYTES_MAX = 128


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a document: its name in JSON, kind, and where a mapping takes it from unless
    it says otherwise.
    """

    name: str
    kind: Kind
    help: str
    is_required: bool
    source: str = ""  # default path in the event; "" = none
    choices: tuple[str, ...] = ()


def _member(
    kind: Kind,
    help: str,
    source: str = "",
    *,
    name: str = "",
    choices: tuple[str, ...] = (),
    is_required: bool = False,
) -> Any:
    metadata = {"member": (name, kind, help, is_required, source, choices)}
    return field(metadata=metadata) if is_required else field(default=None, metadata=metadata)


def _order(is_required: bool) -> Any:
    return _member(
        "text", "Production order, as the ERP numbers it.", "context.order", is_required=is_required
    )


def _time(name: str, help: str) -> Any:
    return _member("time", help, name, name=name, is_required=True)


_START = "Start of the interval, included. UTC."
_END = "End of the interval, not included. UTC."
_POSTING_DATE = "Business date in the plant's time zone of the interval's last instant (ISO 8601)."
_OPERATION = "Operation of the order's routing."
_LOT = "Lot (batch) of the product."
_SHIFT = "Shift in which the interval ended."
_ASSET = "Asset (ISA-95 equipment) that it happened at."
_MATERIAL = "Product being made, as the ERP numbers it."
_FLAGS = "What a careful reader must know of the interval: names of penstock event flags, sorted."


def _posting_date() -> Any:
    return _member("date", _POSTING_DATE, "posting_date", is_required=True)


def _text(help: str, source: str = "", *, is_required: bool = False) -> Any:
    return _member("text", help, source, is_required=is_required)


def _flags() -> Any:
    return _member("texts", _FLAGS, "flags", is_required=True)


def _reading(which: str) -> Any:
    return _member(
        "quantity",
        f"Reading of the machine's register at the {which} of the interval.",
        f"{which}_reading",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductionConfirmation:
    """Good pieces (yield) that an order made in an interval: one lot, or one part of a shift."""

    order: str = _order(True)
    quantity: Quantity = _member("quantity", "Good quantity (yield).", "quantity", is_required=True)
    start_ns: int = _time("start", _START)
    end_ns: int = _time("end", _END)
    posting_date: date = _posting_date()
    flags: tuple[str, ...] = _flags()
    operation: str | None = _text(_OPERATION, "context.operation")
    material: str | None = _text(_MATERIAL, "context.material")
    lot: str | None = _text(_LOT, "context.lot")
    shift: str | None = _text(_SHIFT, "context.shift")
    asset: str | None = _text(_ASSET, "asset")
    is_final: bool | None = _member(
        "boolean", "The order's last confirmation: the ERP may close it.", name="final"
    )
    start_reading: Quantity | None = _reading("start")
    end_reading: Quantity | None = _reading("end")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scrap:
    """Pieces that an order made and that are not good."""

    quantity: Quantity = _member("quantity", "Scrapped quantity.", "quantity", is_required=True)
    start_ns: int = _time("start", _START)
    end_ns: int = _time("end", _END)
    posting_date: date = _posting_date()
    flags: tuple[str, ...] = _flags()
    order: str | None = _order(False)
    operation: str | None = _text(_OPERATION, "context.operation")
    material: str | None = _text("What was scrapped: product or component.", "context.material")
    lot: str | None = _text(_LOT, "context.lot")
    shift: str | None = _text(_SHIFT, "context.shift")
    asset: str | None = _text(_ASSET, "asset")
    reason: str | None = _text("Reason code, in the ERP's own coding where a map gives it.")
    disposition: str | None = _member(
        "choice", "What becomes of it.", choices=("scrap", "rework", "downgrade")
    )
    start_reading: Quantity | None = _reading("start")
    end_reading: Quantity | None = _reading("end")


@dataclass(frozen=True, slots=True, kw_only=True)
class MaterialConsumption:
    """One component that an order used up in an interval."""

    order: str = _order(True)
    component: str = _text("Material used up, as the ERP numbers it.", is_required=True)
    quantity: Quantity = _member("quantity", "Quantity used up.", "quantity", is_required=True)
    start_ns: int = _time("start", _START)
    end_ns: int = _time("end", _END)
    posting_date: date = _posting_date()
    flags: tuple[str, ...] = _flags()
    operation: str | None = _text(_OPERATION, "context.operation")
    material: str | None = _text(_MATERIAL, "context.material")
    lot: str | None = _text(_LOT, "context.lot")
    component_lot: str | None = _text("Lot (batch) of the component.")
    storage_location: str | None = _text("Where the component was taken from.")
    shift: str | None = _text(_SHIFT, "context.shift")
    asset: str | None = _text(_ASSET, "asset")
    movement: str | None = _member(
        "choice", "Issue to the order, or return from it.", choices=("issue", "return")
    )
    method: str | None = _member(
        "choice",
        "How the quantity is known.",
        choices=("metered", "weighed", "counted", "backflushed"),
    )
    start_reading: Quantity | None = _reading("start")
    end_reading: Quantity | None = _reading("end")


@dataclass(frozen=True, slots=True, kw_only=True)
class Downtime:
    """One stop of one asset, from its first to its last instant."""

    asset: str = _text(_ASSET, "asset", is_required=True)
    state: str = _text(
        "State that held (PackML name, or the machine's own text or code).",
        "state",
        is_required=True,
    )
    start_ns: int = _time("start", "When the state began. UTC.")
    end_ns: int = _time("end", "When it ended. UTC.")
    duration: Quantity = _member(
        "quantity", "Length of the stop; seconds (SEC) by default.", "duration", is_required=True
    )
    posting_date: date = _posting_date()
    flags: tuple[str, ...] = _flags()
    order: str | None = _order(False)
    operation: str | None = _text(_OPERATION, "context.operation")
    shift: str | None = _text(_SHIFT, "context.shift")
    reason: str | None = _text("Reason code, in the ERP's own coding where a map gives it.")
    category: str | None = _member(
        "choice", "Whether it was planned.", choices=("planned", "unplanned")
    )
    cause: str | None = _member(
        "choice",
        "Where the cause lay: internal (PackML held), external (suspended), "
        "or starved or blocked by a neighbour.",
        choices=("internal", "external", "starved", "blocked"),
    )
    is_micro: bool | None = _member(
        "boolean",
        "Shorter than the rule's min_duration_s: to be kept apart from stops.",
        "flags.micro",
        name="micro",
    )


Document: TypeAlias = ProductionConfirmation | Scrap | MaterialConsumption | Downtime


@dataclass(frozen=True, slots=True)
class Contract:
    """One version of one document: its members by name, and the class that holds it."""

    noun: str
    version: int
    struct: type[Document]
    subject: str  # default path of the business object: what the document is about
    members: Mapping[str, Member]
    attributes: Mapping[str, str]  # JSON name to attribute

    @property
    def name(self) -> str:
        """``noun/version``."""
        return f"{self.noun}/{self.version}"

    @property
    def event_type(self) -> str:
        """The CloudEvents ``type``."""
        return f"io.penstock.{self.noun}.v{self.version}"

    @property
    def schema_id(self) -> str:
        """``$id`` of the JSON Schema, and the CloudEvents ``dataschema``."""
        return f"urn:penstock:schema:{self.noun}:{self.version}"


def _contract(noun: str, struct: type[Document], subject: str) -> Contract:
    members: dict[str, Member] = {}
    attributes: dict[str, str] = {}
    for each in fields(struct):
        name, kind, help_text, is_required, source, choices = each.metadata["member"]
        member = Member(name or each.name, kind, help_text, is_required, source, choices)
        members[member.name] = member
        attributes[member.name] = each.name
    return Contract(
        noun, 1, struct, subject, MappingProxyType(members), MappingProxyType(attributes)
    )


_ALL = (
    _contract("production_confirmation", ProductionConfirmation, "context.order"),
    _contract("scrap", Scrap, "context.order"),
    _contract("material_consumption", MaterialConsumption, "context.order"),
    _contract("downtime", Downtime, "asset"),
)
CONTRACTS: Mapping[str, Contract] = MappingProxyType({contract.name: contract for contract in _ALL})


def to_body(document: Document) -> dict[str, object]:
    """The canonical form of a document, without what it leaves out. ValueError where a value
    breaks the contract.
    """
    contract = next(each for each in _ALL if each.struct is type(document))
    body: dict[str, object] = {}
    for name, attribute in contract.attributes.items():
        value = getattr(document, attribute)
        if value is not None:
            body[name] = _write(value, contract.members[name])
    read_body(contract, body)
    return body


def read_body(contract: Contract, body: Mapping[str, object]) -> Document:
    """A document from its canonical form; members it does not know are ignored. ValueError names
    the member at fault.
    """
    values: dict[str, object] = {}
    for name, member in contract.members.items():
        if name in body:
            try:
                values[contract.attributes[name]] = read_member(member, body[name])
            except ValueError as wrong:
                raise ValueError(f"{contract.name} {name}: {wrong}") from wrong
        elif member.is_required:
            raise ValueError(f"{contract.name} {name}: missing")
    return contract.struct(**cast(Any, values))


def _write(value: object, member: Member) -> object:
    if isinstance(value, Quantity):
        return value.to_body()
    if member.kind == "time":
        return time_text(cast(int, value))
    if isinstance(value, date):
        return value.isoformat()
    return list(cast(tuple[str, ...], value)) if member.kind == "texts" else value


def read_member(member: Member, value: object) -> object:
    """One member's Python value from its canonical form. ValueError says what is wrong with it."""
    if member.kind == "quantity":
        return read_quantity(value)
    if member.kind == "time":
        return read_time(value)
    if member.kind == "date":
        return read_date(value)
    if member.kind == "boolean":
        if not isinstance(value, bool):
            raise ValueError("must be true or false")
        return value
    if member.kind == "texts":
        if not isinstance(value, list):
            raise ValueError("must be a list of texts")
        return tuple(_read_text(each) for each in value)
    text = _read_text(value)
    if member.kind == "choice" and text not in member.choices:
        raise ValueError(f"must be one of {', '.join(member.choices)}, not {text!r}")
    return text


def _read_text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError("must be a text of at least one character")
    if len(value.encode("utf-8", "surrogatepass")) > TEXT_BYTES_MAX:
        raise ValueError(f"is longer than {TEXT_BYTES_MAX} bytes")
    if any(
        ord(letter) < 32 or ord(letter) == 127 or 0xD800 <= ord(letter) < 0xE000 for letter in value
    ):
        raise ValueError("must not contain control characters")
    return value
