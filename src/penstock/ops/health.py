"""Health: figures of a running plant become a verdict: alive, ready to take data, degraded.

Ready means: what arrives is accepted and kept. An ERP that does not answer makes a plant degraded,
never unready, for its documents wait in the ledger. Progress is what a watchdog is fed by: a
process that is scheduled but stands still is not alive.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from penstock.stats import Stats

STALE_S: Final = 10.0  # a plant looks at itself each second; older figures mean that it stands


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a running plant; ``mono_s`` is when, by the monotonic clock."""

    mono_s: float
    stats: Stats
    is_ledger_blocked: bool = False
    silent_targets: tuple[str, ...] = ()
    waiting_for_a_person: int = 0  # entries held or dead


@dataclass(frozen=True, slots=True)
class Verdict:
    """``reasons`` say why it is not ready, ``degraded`` what does not work although it is."""

    is_alive: bool
    is_ready: bool
    reasons: tuple[str, ...]
    degraded: tuple[str, ...]

    def record(self) -> dict[str, object]:
        """As JSON keys."""
        return {
            "alive": self.is_alive,
            "ready": self.is_ready,
            "reasons": list(self.reasons),
            "degraded": list(self.degraded),
        }


def verdict(look: Look | None, now_s: float) -> Verdict:
    """What the newest look says at ``now_s``."""
    if look is None:
        return Verdict(True, False, ("starting: sockets are not open yet",), ())
    age_s = now_s - look.mono_s
    is_alive = age_s <= STALE_S and not look.stats.is_failed
    reasons = list(_refusals(look))
    if age_s > STALE_S:
        reasons.append(f"the plant has not looked at itself for {age_s:.0f} s")
    return Verdict(is_alive, not reasons, tuple(reasons), tuple(_degradations(look)))


def has_progress(before: Look | None, now: Look) -> bool:
    """Whether the plant did all there was to do since ``before``, or at least some of it.

    A ledger that waits for room on its disk is asked again each second: that is progress, for a
    restart would not help.
    """
    stats = now.stats
    if stats.is_failed:
        return False
    if before is None or stats.judged >= stats.written or now.is_ledger_blocked:
        return True
    return stats.judged > before.stats.judged or stats.events_polled > before.stats.events_polled


def _refusals(look: Look) -> Sequence[str]:
    stats = look.stats
    found = []
    if stats.is_failed:
        found.append("the engine has failed: start again; the journal and the ledger are safe")
    if stats.is_disk_full:
        found.append("the disk journal has no room: free the disk or raise journal_bytes_max")
    if stats.is_event_ring_full:
        found.append("the event ring is full: events are not taken, judging waits")
    if look.is_ledger_blocked:
        found.append("the ledger cannot be written: free the disk of state_dir")
    return found


def _degradations(look: Look) -> Sequence[str]:
    found = [f"target {name} does not answer; its documents wait" for name in look.silent_targets]
    found += [f"source {source.name} is down" for source in look.stats.sources if not source.is_up]
    if look.waiting_for_a_person:
        found.append(f"{look.waiting_for_a_person} documents wait for a person")
    return found
