"""Model: a configuration as typed, immutable objects. Every key of a file is one field here, with
its form and help.

Durations are seconds (``_s``), sizes bytes. Defaults stand here and nowhere else; the JSON Schema
is made from these classes (``penstock.config.schema``).
"""

# ruff: noqa: RUF009  (every default is dataclasses.field, said through _key)

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from penstock import units
from penstock.config import vocabulary as words
from penstock.config.forms import (
    Boolean,
    Choice,
    Constant,
    Form,
    Hidden,
    Integer,
    Listed,
    Named,
    Number,
    OneOf,
    Size,
    Table,
    TagPattern,
    Text,
    suggest,
)
from penstock.config.secret import Secret
from penstock.errors import ConfigError

_YEAR_S = 366 * 86400.0
_SECONDS = Number(0, _YEAR_S)
_WORD = Text(
    63,
    r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
    "letters, digits, '_', '.' and '-', starting with a letter or digit",
)


@dataclass(frozen=True, slots=True)
class _ZoneForm:
    """An IANA time zone that this machine knows."""

    def read(self, value: object, path: str, problems: list[ConfigError]) -> str:
        name = Text(63).read(value, path, problems)
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            zones = sorted(available_timezones())
            fix = suggest(name, zones) or "write an IANA name such as Europe/Vienna"
            if not zones:
                fix = "install the system's tzdata, or: pip install tzdata"
            raise ConfigError(path, f"{name!r} is not known on this machine", fix) from None
        return name

    def schema(self) -> dict[str, Any]:
        return Text(63).schema()


def _key(form: Form, help: str, default: Any = MISSING, *, name: str = "") -> Any:
    metadata = {"form": form, "help": help, "key": name}
    return (
        field(metadata=metadata)
        if default is MISSING
        else field(default=default, metadata=metadata)
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """Whose telemetry this is. The name is part of every event's identity and fixed for a state
    directory's life.
    """

    name: str = _key(_WORD, "Name of the plant; part of every event's identity.")
    timezone: str = _key(_ZoneForm(), "IANA time zone of the plant's business day.", "UTC")
    enterprise: str = _key(Text(63), "Name of the enterprise, for the CloudEvents source.", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """Where the engine keeps its state, and how much of everything it may hold."""

    state_dir: str = _key(
        Text(words.PATH_BYTES), "Directory of its own for the state.", "/var/lib/penstock"
    )
    ring_dir: str = _key(
        Text(words.PATH_BYTES),
        "tmpfs directory of the ring; default $RUNTIME_DIRECTORY, else /dev/shm.",
        "",
    )
    ring_bytes: int = _key(
        Size(words.RING_BYTES_MIN, words.RING_BYTES_MAX, True),
        "Size of the ring, a power of two; left out: by the machine, 8 to 256 MiB.",
        0,
    )
    tags_max: int = _key(Integer(1, 1 << 20), "Most tags; one beyond is dropped{tag_limit}.", 4096)
    instances_max: int = _key(Integer(1, 1 << 22), "Most pairs of a rule and a tag.", 16384)
    streams_max: int = _key(Integer(1, 65535), "Most streams (clocks) of all sources.", 1024)
    assets_max: int = _key(Integer(1, 1 << 16), "Most assets.", 1024)
    event_slots: int = _key(Integer(256, 1 << 20, True), "Events that may wait to be taken.", 4096)
    result_slots: int = _key(
        Integer(256, 1 << 22, True), "Results kept until they are overwritten.", 16384
    )
    reorder_slots: int = _key(
        Integer(256, 1 << 24), "Samples that may wait for the watermark.", 65536
    )
    codes_max: int = _key(Integer(1, 4096), "Most different texts of one tag.", 256)
    checkpoint_s: float = _key(Number(0.1, 3600.0), "Time between checkpoints on disk.", 30.0)
    durability: str = _key(
        Choice(tuple(words.DURABILITIES)),
        "What survives: process = a kill; power = a power cut too, every block goes to disk.",
        "process",
    )
    sync_every_s: float = _key(
        Number(0.001, 3600.0), "power: longest time between two syncs of the disk journal.", 1.0
    )
    journal_bytes_max: int = _key(
        Size(words.JOURNAL_BYTES_MIN, words.JOURNAL_BYTES_MAX),
        "power: most the disk journal may take in state_dir; full is like a full ring.",
        1 << 30,
    )


@dataclass(frozen=True, slots=True)
class _ListenForm:
    """``HOST:PORT``, an IPv6 host in brackets."""

    def read(self, value: object, path: str, problems: list[ConfigError]) -> str:
        text = Text(300).read(value, path, problems)
        host, _, port = text.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise ConfigError(path, f"{text!r} is no HOST:PORT", 'write "127.0.0.1:9464"')
        return text

    def schema(self) -> dict[str, Any]:
        return Text(300).schema()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ops:
    """How a running plant is watched."""

    listen: str = _key(
        _ListenForm(),
        "HOST:PORT that serves /metrics, /livez and /readyz over HTTP; left out: none.",
        "",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One place that telemetry comes from."""

    name: str = _key(_WORD, "Name of the source.")
    kind: str = _key(
        Choice(tuple(words.SOURCE_KINDS)),
        "Wire: zmq_pull, zmq_sub, nats, replay (of a recording), or feed (by API).",
    )
    bind: str = _key(Text(300), 'Address to listen on, "tcp://127.0.0.1:5555". ZeroMQ only.', "")
    connect: str = _key(
        Text(600),
        'Address to connect to, "tcp://host:5555" or "nats://user:pass@host:4222";'
        ' "file:///recording" of a replay.',
        "",
    )
    user: str = _key(Text(words.USER_BYTES), "NATS user.", "")
    password: Secret = _key(Hidden(words.PASSWORD_BYTES), "NATS password.", Secret(""))
    token: Secret = _key(Hidden(words.TOKEN_BYTES), "NATS token.", Secret(""))
    subjects: tuple[str, ...] = _key(
        Listed(Text(words.SUBJECT_BYTES), words.SUBJECTS_MAX),
        "NATS subjects (wildcards), or topics of zmq_sub.",
        (),
    )
    format: str = _key(Choice(tuple(words.FORMATS)), "Format of the payload.", "packed")
    full: str = _key(
        Choice(tuple(words.FULL)),
        "When the ring is full: block the sender (lossless wires), or drop and count.",
        "",
    )
    lateness_s: float = _key(
        Number(0, 86400.0), "How late a sample may come and still take part.", 0.0
    )
    idle_after_s: float = _key(
        Number(0.001, 86400.0), "Silence after which a stream holds nobody up.", 2.0
    )
    future_max_s: float = _key(
        Number(0.001, _YEAR_S), "A stamp further ahead of the clock is dropped.", 60.0
    )
    heartbeat_s: float = _key(
        Number(0, 3600.0), "Ping after this silence, close at three times; 0 = off.", 5.0
    )
    handshake_s: float = _key(
        Number(0.01, 3600.0), "A peer that has not greeted by then is closed.", 5.0
    )
    reconnect_min_s: float = _key(Number(0.001, 3600.0), "First back-off.", 0.1)
    reconnect_max_s: float = _key(Number(0.001, 3600.0), "Longest back-off.", 5.0)
    coalesce_s: float = _key(
        Number(0, 1.0), "Longest wait to gather more in one read; 0 = adaptive.", 0.0
    )
    frame_bytes_max: int = _key(Size(256, 64 << 20), "Largest message.", 1 << 20)
    connections_max: int = _key(Integer(1, 65535), "Most connections at a time.", 64)
    ring_share: float = _key(
        Number(0, 1, True), "Most of the ring this source may hold unjudged.", 0.5
    )
    tags: tuple[tuple[str, str], ...] = _key(
        Named(TagPattern(words.NAME_BYTES), Choice(tuple(words.TYPES)), 65536),
        "Types of tags by name or pattern, where the payload does not tell.",
        (),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One level of a limit, in the words of ISA-18.2."""

    value: float = _key(Number(), "Trips at or beyond this value.")
    deadband: float = _key(Number(0), "Clears this far inside the value.", 0.0)
    on_delay_s: float = _key(_SECONDS, "Trips after being beyond for this long.", 0.0)
    off_delay_s: float = _key(_SECONDS, "Clears after being inside for this long.", 0.0)
    re_alarm_s: float = _key(
        _SECONDS, "While active and not acknowledged, says so again each this long; 0 = never.", 0.0
    )


@dataclass(frozen=True, slots=True)
class _LevelForm:
    """A level: a table, or its value alone."""

    def read(self, value: object, path: str, problems: list[ConfigError]) -> object:
        if isinstance(value, dict):
            return Table(Level).read(value, path, problems)
        return Level(value=Number().read(value, path, problems))

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [Number().schema(), Table(Level).schema()]}


@dataclass(frozen=True, slots=True, kw_only=True)
class SuppressWhen:
    """A tag that says a machine's state, and the states in which trips are kept back."""

    tag: str = _key(TagPattern(words.NAME_BYTES), "Tag of the state; '*' as in the rule's tag.")
    states: tuple[str | int, ...] = _key(
        Listed(
            OneOf(Text(words.STATE_BYTES), Integer(-(2**63), 2**63 - 1), int), words.STATES_MAX, 1
        ),
        "Texts, or whole numbers of an i64 or bool tag.",
    )


_LEVEL = _LevelForm()
_ROLE = TagPattern(words.NAME_BYTES)
_STATE = OneOf(Text(words.STATE_BYTES), Integer(-(2**63), 2**63 - 1), int)


@dataclass(frozen=True, slots=True)
class _StatesForm:
    """Several states, or one alone."""

    def read(self, value: object, path: str, problems: list[ConfigError]) -> object:
        if isinstance(value, list):
            return Listed(_STATE, words.STATES_MAX, 1).read(value, path, problems)
        return (_STATE.read(value, path, problems),)

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [_STATE.schema(), Listed(_STATE, words.STATES_MAX, 1).schema()]}


_STATES = _StatesForm()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What makes events or results out of the samples of one tag or of all tags of a pattern."""

    name: str = _key(_WORD, "Name of the rule; part of every event's identity.")
    kind: str = _key(
        Choice(tuple(words.RULE_KINDS)),
        "What the rule does with the samples; a page of the docs for each.",
    )
    series: str = _key(Text(words.SERIES_BYTES), "Change it to start a new series of ids.", "1")
    tag: str = _key(_ROLE, "Tag or pattern; what '*' matches names the instance.", "")
    source: str = _key(_WORD, "gap: the source whose numbered streams it watches.", "")
    lot: str = _key(_ROLE, "Tag of the lot number; a change cuts.", "")
    order: str = _key(
        _ROLE, "Tag of the order number; a change cuts counters, totals and windows.", ""
    )
    start: str = _key(
        _ROLE, "counter: tag of the register's reading where the present lot began.", ""
    )
    since: str = _key(_ROLE, "state: tag that says since when the state holds.", "")
    asset: str = _key(_ROLE, "Asset whose context the events carry; default: what '*' matched.", "")
    unit: str = _key(
        Text(words.UNIT_BYTES), "Unit of the value, UN/ECE Rec 20 (C62 pieces, KGM, LTR).", ""
    )
    order_by: str = _key(
        Choice(tuple(words.ORDERS)), "Judge samples as they arrive, or by event time.", ""
    )
    # counter and total
    cut_on: tuple[str, ...] = _key(
        Listed(Choice(tuple(words.CUTS)), 4),
        "What splits the quantity; default: lot and order where given.",
        (),
    )
    emits_zero: bool = _key(Boolean(), "An event also where the quantity is 0.", False)
    every_s: float = _key(_SECONDS, "Also cut each this long of event time; 0 = only at cuts.", 0.0)
    rollover: float = _key(
        Number(0, 2.0**63), "First value that never appears (10000 for 0..9999); 0 = none.", 0.0
    )
    negative: str = _key(
        Choice(tuple(words.NEGATIVES)),
        "counter: a reading below the last one, and no rollover: the register was reset, "
        "corrected itself (subtract), or the reading is a mistake (ignore).",
        "reset",
    )
    per: str = _key(
        Choice(tuple(words.PER_NS)),
        "total: the flow is per hour, minute or second. rate: so are its levels; default s.",
        "",
    )
    # state
    since_unit: str = _key(
        Choice(tuple(words.SINCE_UNITS_NS)), "state: unit of the since tag, UTC.", "ms"
    )
    states: tuple[str | int, ...] = _key(
        Listed(_STATE, words.STATES_MAX, 1),
        'state: the states that make an event, by text, code or name; ["*"] = every state.',
        (),
    )
    names: str | tuple[tuple[str, str], ...] = _key(
        OneOf(
            Choice(tuple(words.STATE_NAMES)),
            Named(
                Text(20, r"^(0|-?[1-9][0-9]*)$", "the code as a whole number in quotes"),
                Text(words.STATE_BYTES),
                256,
            ),
            dict,
        ),
        'state: names of an i64 tag\'s codes: "packml", or { "1" = "RUN", ... }.',
        (),
    )
    on: str = _key(
        Choice(tuple(words.STATE_ONS)), "state: an event when one ends, begins, or both.", "end"
    )
    min_duration_s: float = _key(_SECONDS, "state: a shorter one is a micro-stop.", 0.0)
    micro: str = _key(
        Choice(tuple(words.MICROS)),
        "state: micro-stops are flagged, dropped (counted), or folded into one event each "
        "micro_every_s.",
        "flag",
    )
    micro_every_s: float = _key(
        Number(0.001, _YEAR_S),
        "state: how often folded micro-stops are told, since 1970.",
        words.MICRO_EVERY_S,
    )
    # limit, rate, stuck, freshness
    high_high: Level | None = _key(_LEVEL, "limit, rate: HH level.", None)
    high: Level | None = _key(_LEVEL, "limit, rate: H level.", None)
    low: Level | None = _key(_LEVEL, "limit, rate: L level.", None)
    low_low: Level | None = _key(_LEVEL, "limit, rate: LL level.", None)
    span_s: float = _key(_SECONDS, "rate: the change over this long.", 0.0)
    after_s: float = _key(_SECONDS, "stuck: unmoved for this long; freshness: silent.", 0.0)
    band: float = _key(Number(0), "stuck: a change of more than this is a move.", 0.0)
    quality: str = _key(
        Choice(tuple(words.QUALITIES)),
        "limit, rate, stuck: what a sample of bad quality means: hold (nothing), trip, suppress.",
        "hold",
    )
    suppress_when: SuppressWhen | None = _key(
        Table(SuppressWhen), "alarms: kept back while a tag is in one of these states.", None
    )
    suppress_by: str = _key(_WORD, "alarms: kept back while this other rule is active.", "")
    events_per_minute_max: int = _key(
        Integer(1, 1_000_000),
        "limit, rate, stuck, freshness: beyond it one chattering event stands for the rest.",
        60,
    )
    # gap
    lost_min: int = _key(
        Integer(1, words.LOST_MIN_MAX), "gap: a gap of fewer samples makes no event.", 1
    )
    # window
    size_s: float = _key(_SECONDS, "window: its length.", 0.0)
    hop_s: float = _key(_SECONDS, "window: one begins this often; size_s is a multiple.", 0.0)
    session_gap_s: float = _key(_SECONDS, "window: silence this long ends it.", 0.0)
    session_max_s: float = _key(
        Number(0, _YEAR_S, True), "window: a session is never longer.", words.SESSION_MAX_S
    )
    count_n: int = _key(Integer(1, 10**9), "window: ends with every n-th good sample.", 0)
    aggregates: tuple[str, ...] = _key(
        Listed(Choice((*words.AGGREGATES_FREE, *words.AGGREGATES)), 17),
        "window: what it tells beyond count, sum, mean, min, max, first and last.",
        (),
    )
    share_of: tuple[str | int, ...] = _key(_STATES, "window: the states that share counts.", ())
    expected_s: float = _key(_SECONDS, "window: completeness expects a sample each this long.", 0.0)
    correct_within_s: float = _key(
        _SECONDS, "window: late samples correct it once, this long after its end; 0 = never.", 0.0
    )
    offset_s: float = _key(_SECONDS, "Alignment: start = offset + k * size, since 1970 UTC.", 0.0)
    emit: str = _key(Choice(tuple(words.OUTPUTS)), "window: event, or result (the default).", "")

    def state_names(self) -> dict[int, str]:
        """Names of the codes, or none."""
        if isinstance(self.names, str):
            return dict(words.STATE_NAMES[self.names])
        return {int(code): name for code, name in self.names}

    def is_any_state(self) -> bool:
        """Whether every state makes an event."""
        return self.states == (words.ANY_STATE,)

    def levels(self) -> dict[str, Level]:
        """The levels that are set, HH first."""
        found = {name: getattr(self, name) for name in words.LEVELS}
        return {name: level for name, level in found.items() if level is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One system that documents are posted to. ``options`` are the kind's own keys, checked by
    its module.
    """

    name: str = _key(_WORD, "Name of the target.")
    kind: str = _key(
        Text(31, r"^[a-z][a-z0-9_]*$", "lower-case letters, digits and '_'"),
        "Which kind: tryton, rest or memory.",
    )
    url: str = _key(Text(511), "Address, without user and password.", "")
    database: str = _key(Text(127), "Database or tenant.", "")
    user: str = _key(Text(127), "User.", "")
    password: Secret = _key(Hidden(1023), 'Password: "${secret:NAME}".', Secret(""))
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _StepForm:
    """A rounding step, written as text so that it is exact."""

    def read(self, value: object, path: str, problems: list[ConfigError]) -> Decimal:
        step = units.read_step(str(value)) if isinstance(value, (str, int, Decimal)) else None
        if step is None or isinstance(value, bool):
            raise ConfigError(
                path, "is no rounding step", 'write a decimal above 0 as text: "0.001"'
            )
        return step

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, {"type": "number", "exclusiveMinimum": 0}]}


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldMap:
    """Where one member of a document comes from: an event's path, or a constant."""

    source: str = _key(Choice(tuple(words.EVENT_PATHS)), "Path in the event.", "", name="from")
    const: str | int | Decimal | bool | None = _key(
        Constant(), "The same value in every document.", None
    )
    unit: str = _key(
        Text(3), "Unit of the document's quantity, UN/ECE Rec 20; default: the rule's.", ""
    )
    round: Decimal | None = _key(_StepForm(), 'Step to round a quantity to: "0.001".', None)
    rounding: str = _key(Choice(units.ROUNDINGS), "How halves are rounded.", "half_even")
    map: tuple[tuple[str, object], ...] = _key(
        Named(Text(128, bytes_min=0), Constant(), 4096),
        "Value to document's value; a value not listed is an error.",
        (),
    )
    is_optional: bool = _key(
        Boolean(), "Leave the member out where the event has none.", False, name="optional"
    )


@dataclass(frozen=True, slots=True)
class _FieldForm:
    """A field: a table, or its path alone."""

    def read(self, value: object, path: str, problems: list[ConfigError]) -> object:
        if isinstance(value, dict):
            return Table(FieldMap).read(value, path, problems)
        return FieldMap(source=Choice(tuple(words.EVENT_PATHS)).read(value, path, problems))

    def schema(self) -> dict[str, Any]:
        return {"anyOf": [Choice(tuple(words.EVENT_PATHS)).schema(), Table(FieldMap).schema()]}


@dataclass(frozen=True, slots=True, kw_only=True)
class DocumentMapping:
    """Which document one kind of event becomes, and for whom. A mapping makes exactly one
    document of an event.
    """

    name: str = _key(_WORD, "Name of the mapping; part of every document's identity.")
    event: str = _key(Choice(words.EVENT_KINDS), "Kind of event.")
    rule: str = _key(Text(words.RULE_NAME_BYTES), "Rule that makes the event.")
    asset: str = _key(TagPattern(words.NAME_BYTES), "Only events of these assets.", "")
    contract: str = _key(Text(63), "Document and version: production_confirmation/1.")
    target: str = _key(Text(63), "Target of the document.", "")
    targets: tuple[str, ...] = _key(
        Listed(Text(63), 16, 1), "Several targets; instead of target.", ()
    )
    business_object: str = _key(
        Choice(tuple(path for path, (kind, _) in words.EVENT_PATHS.items() if kind == "text")),
        "Path of what the document is about; its documents are posted one at a time. "
        "Default: the contract's.",
        "",
    )
    fields: tuple[tuple[str, FieldMap], ...] = _key(
        Named(Text(63), _FieldForm(), 64),
        "Members of the document that differ from the contract's defaults.",
        (),
    )
    hold_if_flags: tuple[str, ...] = _key(
        Listed(Choice(tuple(words.FLAGS)), len(words.FLAGS)),
        "An event with one of these waits for a person.",
        words.HOLD_DEFAULT,
    )  # fmt: skip

    def target_names(self) -> tuple[str, ...]:
        """Every target, in the order written."""
        return self.targets or ((self.target,) if self.target else ())


@dataclass(frozen=True, slots=True)
class Notice:
    """A warning: legal, and probably not meant."""

    path: str
    text: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.text}" + (f"; {self.fix}" if self.fix else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A whole configuration that has passed every check that needs no other machine."""

    plant: Plant
    engine: EngineOptions
    ops: Ops = field(default_factory=Ops)
    sources: tuple[Source, ...] = ()
    rules: tuple[Rule, ...] = ()
    targets: tuple[Target, ...] = ()
    mappings: tuple[DocumentMapping, ...] = ()
    notices: tuple[Notice, ...] = ()
    files: tuple[str, ...] = ()

    def rule(self, name: str) -> Rule | None:
        """The rule of a name."""
        return next((each for each in self.rules if each.name == name), None)

    def target(self, name: str) -> Target | None:
        """The target of a name."""
        return next((each for each in self.targets if each.name == name), None)

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Config:
        """The configuration of a TOML file and the ``conf.d`` beside it; see
        ``penstock.config.load_config``.
        """
        from penstock.config.load import load_config

        return load_config(path)

    def options_for_core(self) -> dict[str, Any]:
        """What the native engine is opened with; see ``penstock.config.core.options_for_core``
        for the exact shape.
        """
        from penstock.config.core import options_for_core

        return options_for_core(self)


class ConfigErrors(ConfigError):
    """Everything that is wrong with a configuration, together. ``errors`` holds them one by one."""

    def __init__(self, errors: tuple[ConfigError, ...]) -> None:
        first = errors[0]
        super().__init__(first.path, first.reason, first.fix)
        self.errors = errors

    def __str__(self) -> str:
        return "\n".join(str(each) for each in self.errors)
