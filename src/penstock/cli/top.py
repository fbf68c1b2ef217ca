"""``penstock top``: figures of a running plant become a page that renews itself each second."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cyclopts import App

from penstock import cli
from penstock.errors import StateError
from penstock.ops import control

if TYPE_CHECKING:
    from rich.console import Group

app = App(
    name="top",
    help="Watch a running plant: rates, losses, sources, entries by state.",
    version_flags=[],
)
EVERY_S = 1.0


@app.default
def top(
    config: Path | None = None,
    /,
    *,
    state_dir: Path | None = None,
    once: bool = False,
    json: bool = False,
) -> int:
    """Watch a running plant: rates, losses, sources, entries by state. Ends with Ctrl-C, or with
    the plant.

    Exit codes: 0 done; 1 no plant runs there; 2 wrong usage.

    Example: penstock top plant.toml --once

    Parameters
    ----------
    config
        The plant's configuration, which names the state directory.
    state_dir
        The state directory itself; default, where none is named: /var/lib/penstock.
    once
        Print one page and end.
    json
        One JSON object each second; with --once, one.
    """
    place = cli.state_dir_of(config, state_dir)
    if json or once:
        return _print(place, is_once=once, is_json=json)
    from rich.live import Live

    answer = control.ask(place, "figures")
    with Live(_page(answer), console=cli.stdout(), auto_refresh=False) as live:
        try:
            while True:
                time.sleep(EVERY_S)
                live.update(_page(control.ask(place, "figures")), refresh=True)
        except KeyboardInterrupt:
            return cli.EXIT_OK
        except StateError as wrong:
            cli.say(f"penstock top: {wrong}")
            return cli.EXIT_OK


def _print(place: Path, *, is_once: bool, is_json: bool) -> int:
    try:
        while True:
            answer = control.ask(place, "figures")
            if is_json:
                cli.emit(answer)
            else:
                cli.stdout().print(_page(answer))
            if is_once:
                return cli.EXIT_OK
            time.sleep(EVERY_S)
    except KeyboardInterrupt:
        return cli.EXIT_OK


def _page(answer: Mapping[str, Any]) -> Group:
    from rich.console import Group
    from rich.text import Text

    parts: list[Any] = [Text(_headline(answer))]
    health = answer["health"]
    parts += [Text(f"not ready: {each}", "bold red") for each in health["reasons"]]
    parts += [Text(f"degraded: {each}", "yellow") for each in health["degraded"]]
    parts.append(_sources(answer["sources"]))
    status = answer["status"] or {}
    entries = {key: count for key, count in status.get("entries", {}).items() if count}
    parts.append(
        Text("entries  " + (", ".join(f"{n:,} {key}" for key, n in entries.items()) or "none"))
    )
    for each in status.get("documents", [])[-5:]:
        what = f"-> {each['document']}  {each['contract']} {each['business_object']}"
        parts.append(Text(what))
    return Group(*parts)


def _headline(answer: Mapping[str, Any]) -> str:
    status = answer["status"]
    if status is None:
        return "starting"
    return (
        f"{status['samples_per_s']:,.0f} samples/s  cpu {status['cpu']:.0%}  "
        f"rss {status['rss'] // 2**20} MiB  tags {status['tags']:,}  "
        f"dropped {status['dropped']:,}  "
        f"residual {status['residual']}  lost_upstream {status['lost_upstream']:,}  "
        f"events {status['events']:,}"
    )


def _sources(sources: list[Mapping[str, Any]]) -> Any:
    from rich.table import Table

    table = Table("source", "", box=None, pad_edge=False)
    for name in ("received", "used", "dropped", "lost upstream", "late", "connections"):
        table.add_column(name, justify="right")
    table.add_column("reasons")
    for each in sources:
        reasons = each["dropped"]
        lost = each["lost_upstream"]
        figures = (each["received"], each["used"], sum(reasons.values()))
        table.add_row(
            each["name"],
            "up" if each["is_up"] else "down",
            *(f"{figure:,}" for figure in figures),
            "unknown" if lost is None else f"{lost:,}",
            f"{each['late']:,}",
            f"{each['connections']:,}",
            " ".join(f"{key} {count:,}" for key, count in reasons.items()),
        )
    return table
