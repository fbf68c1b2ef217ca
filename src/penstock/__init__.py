"""penstock: millisecond machine telemetry in, one business document in the right ERP out, with
proof.

``import penstock`` needs the standard library and our extension. On platforms without the native
engine contracts, client and testing import all the same; ``Engine`` says why it does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock.engine import Batch, Engine, Results
from penstock.errors import (
    Ambiguous,
    ConfigError,
    EngineClosed,
    EngineError,
    EngineFailed,
    LedgerError,
    LockedError,
    MappingError,
    PenstockError,
    Permanent,
    PostError,
    RingFull,
    StateError,
    Transient,
    UnsupportedPlatform,
)
from penstock.events import Context, Event, Evidence

if TYPE_CHECKING:
    from penstock.stats import Alarm, SourceStats, Stats

__version__ = "0.1.0"

__all__ = [
    "Alarm",
    "Ambiguous",
    "Batch",
    "ConfigError",
    "Context",
    "Engine",
    "EngineClosed",
    "EngineError",
    "EngineFailed",
    "Event",
    "Evidence",
    "LedgerError",
    "LockedError",
    "MappingError",
    "PenstockError",
    "Permanent",
    "PostError",
    "Results",
    "RingFull",
    "SourceStats",
    "StateError",
    "Stats",
    "Transient",
    "UnsupportedPlatform",
    "__version__",
]


def __getattr__(name: str) -> Any:
    """What describes an engine is imported when it is first asked for."""
    if name not in ("Alarm", "SourceStats", "Stats"):
        raise AttributeError(f"module 'penstock' has no attribute {name!r}")
    from penstock import stats

    return getattr(stats, name)
