"""Vocabulary: the words a configuration may use, with the sizes and numbers that penstock.h gives
them.

The core must not import the engine's border, so these stand here;
tests/unit/test_config_header.py reads penstock.h and fails where the two differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

# Bytes of text that fit, without the terminating zero.
PLANT_BYTES: Final = 63
PATH_BYTES: Final = 511
NAME_BYTES: Final = 95
RULE_NAME_BYTES: Final = 63
SERIES_BYTES: Final = 15
UNIT_BYTES: Final = 15
STATE_BYTES: Final = 31
SOURCE_NAME_BYTES: Final = 63
SUBJECT_BYTES: Final = 127
HOST_BYTES: Final = 255
USER_BYTES: Final = 127
PASSWORD_BYTES: Final = 255
TOKEN_BYTES: Final = 255

SUBJECTS_MAX: Final = 16
SOURCES_MAX: Final = 256
RULES_MAX: Final = 4096
STATES_MAX: Final = 16
RING_BYTES_MIN: Final = 1 << 20
RING_BYTES_MAX: Final = 1 << 30
JOURNAL_BYTES_MIN: Final = 1 << 20
JOURNAL_BYTES_MAX: Final = 1 << 40
PANES_MAX: Final = 64
HOPS_MAX: Final = 64
SESSION_MAX_S: Final = 3600.0
LOST_MIN_MAX: Final = 1_000_000_000

SOURCE_KINDS: Final[Mapping[str, int]] = MappingProxyType(
    {"feed": 0, "zmq_pull": 1, "zmq_sub": 2, "nats": 3, "replay": 4}
)
DURABILITIES: Final[Mapping[str, int]] = MappingProxyType({"process": 0, "power": 1})
FORMATS: Final[Mapping[str, int]] = MappingProxyType({"packed": 0, "json": 1})
FULL: Final[Mapping[str, int]] = MappingProxyType({"block": 0, "drop": 1})
TYPES: Final[Mapping[str, int]] = MappingProxyType({"f64": 1, "i64": 2, "bool": 3, "code": 4})
RULE_KINDS: Final[Mapping[str, int]] = MappingProxyType(
    {
        "limit": 1, "counter": 2, "total": 3, "state": 4, "window": 5, "rate": 6, "stuck": 7,
        "freshness": 8, "gap": 9,
    }
)  # fmt: skip
ALARM_KINDS: Final = ("limit", "rate", "stuck", "freshness")  # suppressed, shelved, acknowledged
ROLES: Final = ("tag", "lot", "order", "start", "since")  # PSTK_ROLE_*, in its order
LEVELS: Final[Mapping[str, str]] = MappingProxyType(
    {"high_high": "HH", "high": "H", "low": "L", "low_low": "LL"}
)
ORDERS: Final[Mapping[str, int]] = MappingProxyType({"arrival": 1, "event": 2})
EVENT_ORDER: Final = ("counter", "total", "state")  # kinds that know no other order
QUALITIES: Final[Mapping[str, int]] = MappingProxyType({"hold": 0, "trip": 1, "suppress": 2})
OUTPUTS: Final[Mapping[str, int]] = MappingProxyType({"event": 0, "result": 1})
CUTS: Final[Mapping[str, int]] = MappingProxyType(
    {"lot": 1, "order": 2, "context.order": 4, "context.lot": 8}
)
NEGATIVES: Final[Mapping[str, int]] = MappingProxyType({"reset": 0, "subtract": 1, "ignore": 2})
STATE_ONS: Final[Mapping[str, int]] = MappingProxyType({"end": 0, "enter": 1, "both": 2})
MICROS: Final[Mapping[str, int]] = MappingProxyType({"flag": 0, "drop": 1, "fold": 2})
MICRO_EVERY_S: Final = 3600.0
ANY_STATE: Final = "*"
PACKML: Final[Mapping[int, str]] = MappingProxyType(  # ISA-TR88.00.02, state numbers
    dict(
        enumerate(
            (
                "Clearing", "Stopped", "Starting", "Idle", "Suspended", "Execute", "Stopping",
                "Aborting", "Aborted", "Holding", "Held", "Unholding", "Suspending",
                "Unsuspending", "Resetting", "Completing", "Complete",
            ),
            start=1,
        )
    )
)  # fmt: skip
STATE_NAMES: Final[Mapping[str, Mapping[int, str]]] = MappingProxyType({"packml": PACKML})
# What a window may ask for beyond what it always tells.
AGGREGATES: Final[Mapping[str, int]] = MappingProxyType(
    {
        "min_at": 1 << 0,
        "max_at": 1 << 1,
        "range": 1 << 2,
        "variance": 1 << 3,
        "tw_mean": 1 << 4,
        "integral": 1 << 5,
        "rate": 1 << 6,
        "share": 1 << 7,
        "completeness": 1 << 8,
        "quality_share": 1 << 9,
    }
)
AGGREGATES_FREE: Final = ("count", "sum", "mean", "min", "max", "first", "last")
AGGREGATES_WEIGHTED: Final = frozenset(("tw_mean", "integral", "share"))  # by the time a value held
SINCE_UNITS_NS: Final[Mapping[str, int]] = MappingProxyType({"ns": 1, "ms": 1_000_000})
PER_NS: Final[Mapping[str, int]] = MappingProxyType(
    {"h": 3_600_000_000_000, "min": 60_000_000_000, "s": 1_000_000_000}
)

EVENT_KINDS: Final = (
    *(f"limit.{level}.{turn}" for level in LEVELS.values() for turn in ("trip", "clear")),
    "limit.chattering",
    "counter.segment",
    "total.segment",
    "state.end",
    "window.close",
    "rule.restarted",
    "state.enter",
    "state.micro",
    *(f"limit.{level}.realarm" for level in LEVELS.values()),
    *(f"rate.{level}.{turn}" for level in LEVELS.values() for turn in ("trip", "clear")),
    *(f"rate.{level}.realarm" for level in LEVELS.values()),
    "rate.chattering",
    *(
        f"{kind}.{turn}"
        for kind in ("stuck", "freshness")
        for turn in ("trip", "clear", "chattering")
    ),
    "alarm.acknowledged",
    "alarm.shelved",
    "alarm.unshelved",
    "gap.lost",
)

# Each flag of an event with the sentence a planner reads when a document waits because of it.
FLAGS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "partial": "quantity incomplete: the interval began before penstock saw it",
        "incomplete": "quantity incomplete: part of the interval was not seen",
        "bridged": "part of the interval was not seen; the register gives the quantity across it",
        "rollover": "the machine's register rolled over in the interval",
        "reset": "the register was reset; what it counted just before the reset is unknown",
        "micro": "a stop shorter than the rule's shortest",
        "cut_late": "the change of lot or order was told too late to split the quantity exactly",
        "clock_regress": "the machine's clock went back; the interval was closed early",
        "baseline": "the interval starts where the last document ended",
        "unknown_lot": "which lot made this quantity is not known",
        "uncertain": "a value of uncertain quality took part",
        "corrected": "the register went back in the interval, and the quantity with it",
        "bad_quality": "the value was of bad quality, and the rule trips by that",
        "operator": "a person ended it",
    }
)
HOLD_DEFAULT: Final = ("incomplete", "partial", "unknown_lot")

# What a mapping may take from an event: path to (kind of value, events that have it; "" = all).
# "number" takes the rule's unit, "difference" too; "duration" is a quantity in seconds, "ratio" one
# of 1; "integral" is in the rule's unit x second, "per second" in the rule's unit / second, and
# "square" has no unit that a document could bear.
_ANY = ("",)
_INTERVAL = (
    "counter.segment",
    "total.segment",
    "state.end",
    "state.micro",
    "window.close",
    *(kind for kind in EVENT_KINDS if kind.endswith(".clear")),
    "alarm.shelved",
    "alarm.unshelved",
    "gap.lost",
)
_LIMIT = tuple(kind for kind in EVENT_KINDS if kind.startswith(("limit.", "rate.")))
_BY = tuple(kind for kind in EVENT_KINDS if kind.startswith("alarm.") or kind.endswith(".clear"))
_ALARM = tuple(
    kind
    for kind in EVENT_KINDS
    if kind.startswith(("limit.", "rate.", "stuck.", "freshness.", "alarm.ack"))
)
_WINDOW = ("window.close",)
EVENT_PATHS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = MappingProxyType(
    {
        **dict.fromkeys(
            ("id", "kind", "plant", "rule", "series", "tag", "asset", "unit"), ("text", _ANY)
        ),
        **{
            f"context.{part}": ("text", _ANY)
            for part in ("order", "operation", "material", "lot", "shift")
        },
        "state": ("text", ("state.end", "state.enter")),
        "at": ("time", _ANY),
        "start": ("time", _ANY),
        "end": ("time", _INTERVAL),
        "posting_date": ("date", _ANY),
        "duration": ("duration", _INTERVAL),
        "quantity": ("number", ("counter.segment", "total.segment")),
        "start_reading": ("number", ("counter.segment",)),
        "end_reading": ("number", ("counter.segment",)),
        "limit": ("number", _LIMIT),
        "by": ("text", _BY),
        "value": ("number", (*_ALARM, "state.end", "state.enter", *_WINDOW)),
        **dict.fromkeys(("sum", "min", "max", "first", "last", "tw_mean"), ("number", _WINDOW)),
        **dict.fromkeys(("min_at", "max_at"), ("time", _WINDOW)),
        **dict.fromkeys(("share", "completeness", "quality_share"), ("ratio", _WINDOW)),
        "range": ("difference", _WINDOW),
        "integral": ("integral", _WINDOW),
        "rate": ("per second", _WINDOW),
        "variance": ("square", _WINDOW),
        "flags": ("texts", _ANY),
        **{f"flags.{flag}": ("boolean", _ANY) for flag in FLAGS},
    }
)

# Kinds of paths that are quantities, and their units where these are not the rule's.
UNIT_OF_KIND: Final[Mapping[str, str]] = MappingProxyType({"duration": "SEC", "ratio": "C62"})
BY_SECOND: Final[Mapping[str, str]] = MappingProxyType({"integral": "*SEC", "per second": "/SEC"})
QUANTITY_KINDS: Final = frozenset(("number", "difference", *UNIT_OF_KIND, *BY_SECOND))


def kinds_of_rule(kind: str) -> tuple[str, ...]:
    """The event kinds a rule of this kind can make."""
    own = (f"{kind}.", "alarm.") if kind in ALARM_KINDS else (f"{kind}.",)
    return tuple(each for each in EVENT_KINDS if each.startswith(own) or each == "rule.restarted")


def has_path(path: str, event_kind: str) -> bool:
    """Whether events of this kind carry this path."""
    found = EVENT_PATHS.get(path)
    return found is not None and (found[1] == _ANY or event_kind in found[1])
