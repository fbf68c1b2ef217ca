"""Web: metrics and health over real HTTP; every name is on the page, and the text parses."""

from __future__ import annotations

import asyncio
import re
import socket
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from test_ops_health import CALM, SOURCE, STATS

import penstock
from penstock.errors import ConfigError
from penstock.ops.health import Verdict, verdict
from penstock.ops.metrics import Figures
from penstock.ops.web import make_app, serve

PAGE = (Path(penstock.__file__).parent / "docs" / "operate.md").read_text(encoding="utf-8")
HOSTILE = 'a"b\\c\nd{e="1"}'


def get(url: str) -> tuple[int, str, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read().decode(), answer.headers["content-type"]
    except urllib.error.HTTPError as wrong:
        return wrong.code, wrong.read().decode(), wrong.headers["content-type"]


def served(figures: Figures | None, found: Verdict, *pages: str) -> list[tuple[int, str, str]]:
    async def go() -> list[tuple[int, str, str]]:
        app = make_app(lambda: figures, lambda: found)
        async with serve("127.0.0.1:0", app) as port:
            return [
                await asyncio.to_thread(get, f"http://127.0.0.1:{port}/{page}") for page in pages
            ]

    return asyncio.run(go())


def figures_of(**stats: Any) -> Figures:
    return Figures(
        replace(STATS, **stats), {"posted": 3, "held": 1}, {"events": 4}, verdict(CALM, 100.5)
    )


def families(text: str) -> dict[str, Any]:
    return {each.name: each for each in text_string_to_metric_families(text)}


def test_metrics_parse_and_carry_the_figures() -> None:
    source = replace(SOURCE, name=HOSTILE, received=12, dropped={"nan": 2, "future": 0})
    known = replace(SOURCE, name="n", lost_upstream=7, is_up=False)
    figures = figures_of(sources=(source, known), written=4096, is_disk_full=False)
    ((status, text, kind),) = served(figures, figures.verdict, "metrics")
    assert status == 200
    assert kind.startswith("application/openmetrics-text")
    found = families(text)
    values = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in found.values()
        for sample in family.samples
    }
    assert values["penstock_samples_received_total", ("source", HOSTILE)] == 12
    assert values["penstock_samples_dropped_total", ("reason", "nan"), ("source", HOSTILE)] == 2
    assert values["penstock_samples_lost_upstream_total", ("source", "n")] == 7
    assert ("penstock_samples_lost_upstream_total", ("source", HOSTILE)) not in values  # unknown
    assert values["penstock_source_up", ("source", "n")] == 0
    assert values["penstock_entries", ("state", "held")] == 1
    assert values["penstock_ledger_events_total",] == 4
    assert values["penstock_journal_written_bytes_total",] == 4096


def test_every_metric_is_on_the_page_and_the_page_names_no_other() -> None:
    figures = figures_of(sources=(replace(SOURCE, lost_upstream=1),))
    ((_, text, _),) = served(figures, figures.verdict, "metrics")
    names = {
        name + ("_total" if each.type == "counter" else "") for name, each in families(text).items()
    }
    assert names == set(
        re.findall(r"`(penstock_\w+)`", PAGE.split("| metric |")[1].split("\n\n")[0])
    )


def test_health_pages_answer_by_the_verdict() -> None:
    ready = verdict(CALM, 100.5)
    blocked = verdict(replace(CALM, is_ledger_blocked=True), 100.5)
    failed = verdict(replace(CALM, stats=replace(STATS, is_failed=True)), 100.5)
    codes = [
        [status for status, _, _ in served(None, found, "livez", "readyz")]
        for found in (ready, blocked, failed)
    ]
    assert codes == [[200, 200], [200, 503], [503, 503]]


def test_before_the_start_only_up_is_told() -> None:
    ((_, text, _),) = served(None, verdict(None, 0.0), "metrics")
    assert families(text).keys() == {"penstock_up"}


def test_a_taken_port_is_an_error_with_its_place() -> None:
    async def go(port: int) -> None:
        async with serve(f"127.0.0.1:{port}", make_app(lambda: None, lambda: verdict(None, 0))):
            pass

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigError, match=r"ops\.listen"):
            asyncio.run(go(taken.getsockname()[1]))


def test_the_process_keeps_its_signal_handlers() -> None:
    import signal

    handlers: list[Callable[..., Any] | int | None] = [signal.getsignal(signal.SIGTERM)]
    served(None, verdict(None, 0.0), "livez")
    handlers.append(signal.getsignal(signal.SIGTERM))
    assert handlers[0] == handlers[1]
