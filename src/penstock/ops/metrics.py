"""Metrics: figures of a running plant become samples for Prometheus, read when they are asked for.

Names follow the practice of Prometheus: base units, ``_total`` for what only grows. Each is said
once, in the tables here; the page ``penstock docs operate`` is tested against them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from penstock.ops.health import Verdict
from penstock.stats import SourceStats, Stats


@dataclass(frozen=True, slots=True)
class Figures:
    """What one scrape reads."""

    stats: Stats
    entries: dict[str, int]  # of the ledger, by state
    counters: dict[str, int]  # of the ledger, since it was made
    verdict: Verdict


# Of a source: name without penstock_, field, help.
SOURCE_COUNTERS: Final = (
    ("samples_received", "received", "Samples received."),
    ("samples_used", "used", "Samples journaled."),
    ("samples_late", "late", "Samples that came behind the watermark; journaled all the same."),
    ("samples_out_of_order", "out_of_order", "Samples not newer than their tag's last."),
    ("frames", "frames", "Messages received."),
    ("bytes", "bytes", "Bytes received."),
    ("reconnects", "reconnects", "Connections made again."),
    ("protocol_errors", "protocol_errors", "Connections closed for what the peer sent."),
)
# Of the engine.
ENGINE_COUNTERS: Final = (
    ("journal_written_bytes", "written", "Bytes written to the journal."),
    ("journal_judged_bytes", "judged", "Bytes of the journal that are judged."),
    ("disk_written_bytes", "disk_written", "Bytes given to the disk for the journal (power)."),
    ("events_made", "events", "Events the judge has made."),
    ("results_overwritten", "results_overwritten", "Window results overwritten unread."),
    ("reorder_overflow", "reorder_overflow", "Samples judged early: the reorder heap was full."),
    ("chattering", "chattering", "Events folded into chattering ones."),
    ("checkpoints", "checkpoints", "Checkpoints taken."),
)
ENGINE_GAUGES: Final = (
    ("residual_samples", "residual", "received - used - dropped: anything but 0 is a bug."),
    ("ring_bytes", "ring_bytes", "Size of the ring."),
    ("tags", "tags", "Tags known."),
    ("rule_instances", "instances", "Pairs of a rule and a tag."),
    ("rule_instances_refused", "instances_refused", "Pairs without room, which are not judged."),
    ("events_pending", "events_pending", "Events not yet acknowledged."),
)
# Of the ledger: name, counter of the ledger, help.
LEDGER_COUNTERS: Final = (
    ("ledger_events", "events", "Events kept in the ledger."),
    ("ledger_redelivered", "redelivered", "Events that came again and were skipped."),
    ("ledger_unmapped", "unmapped", "Events that no mapping names."),
    ("ledger_conflicts", "conflicts", "Events that came again with other content."),
    ("lookups_found", "lookups_found", "Entries in doubt that the target had."),
    ("lookups_absent", "lookups_absent", "Entries in doubt that the target did not have."),
)


class PlantCollector(Collector):
    """Reads the plant at each scrape; between two nothing is computed."""

    def __init__(self, read: Callable[[], Figures | None]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """The families, in a stable order."""
        figures = self._read()
        yield _gauge("up", "1 while the plant runs.", 1 if figures is not None else 0)
        if figures is None:
            return
        yield _gauge("ready", "1 if it can accept and keep data.", int(figures.verdict.is_ready))
        yield _gauge("degraded", "Things that do not work.", len(figures.verdict.degraded))
        yield from _sources(figures.stats.sources)
        for name, attribute, text in ENGINE_COUNTERS:
            yield _counter(name, text, getattr(figures.stats, attribute))
        for name, attribute, text in ENGINE_GAUGES:
            yield _gauge(name, text, getattr(figures.stats, attribute))
        for name, key, text in LEDGER_COUNTERS:
            yield _counter(name, text, figures.counters.get(key, 0))
        entries = GaugeMetricFamily("penstock_entries", "Entries by state.", labels=["state"])
        for state, count in figures.entries.items():
            entries.add_metric([state], count)
        yield entries


def _sources(sources: tuple[SourceStats, ...]) -> Iterator[Metric]:
    for name, attribute, text in SOURCE_COUNTERS:
        family = CounterMetricFamily(f"penstock_{name}", text, labels=["source"])
        for each in sources:
            family.add_metric([each.name], getattr(each, attribute))
        yield family
    dropped = CounterMetricFamily(
        "penstock_samples_dropped", "Samples lost here, by reason.", labels=["source", "reason"]
    )
    lost = CounterMetricFamily(
        "penstock_samples_lost_upstream",
        "Samples sent and never received, of numbered sources.",
        labels=["source"],
    )
    up = GaugeMetricFamily("penstock_source_up", "1 while connected.", labels=["source"])
    for each in sources:
        for reason, count in each.dropped.items():
            dropped.add_metric([each.name, reason], count)
        if each.lost_upstream is not None:
            lost.add_metric([each.name], each.lost_upstream)
        up.add_metric([each.name], int(each.is_up))
    yield from (dropped, lost, up)


def _counter(name: str, text: str, value: Any) -> Metric:
    return CounterMetricFamily(f"penstock_{name}", text, value=value)


def _gauge(name: str, text: str, value: Any) -> Metric:
    return GaugeMetricFamily(f"penstock_{name}", text, value=value)
