"""``penstock alarm``: a person's acknowledgement, shelving or reset becomes a record of a running
plant.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from penstock import cli
from penstock.cli.ledger import time_text
from penstock.ops import control

app = App(
    name="alarm",
    help="List alarms of a running plant; acknowledge, shelve or reset one.",
    version_flags=[],
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What every order has beside the alarm it is about.

    Parameters
    ----------
    note
        Why, in a few words; kept in the log.
    config
        The plant's configuration, which names the state directory.
    state_dir
        The state directory itself; default, where none is named: /var/lib/penstock.
    json
        One JSON object.
    """

    note: str = ""
    config: Path | None = None
    state_dir: Path | None = None
    json: bool = False


_PLAIN = Order()


@app.command(name="list")
def list_alarms(
    config: Path | None = None, /, *, state_dir: Path | None = None, json: bool = False
) -> int:
    """List what is active, shelved or suppressed now.

    Exit codes: 0 done; 1 no plant runs there; 2 wrong usage.

    Example: penstock alarm list plant.toml

    Parameters
    ----------
    config
        The plant's configuration, which names the state directory.
    state_dir
        The state directory itself; default, where none is named: /var/lib/penstock.
    json
        One JSON object.
    """
    answer = control.ask(cli.state_dir_of(config, state_dir), "alarms")
    if json:
        cli.emit(answer)
        return cli.EXIT_OK
    for each in answer["alarms"]:
        print(_row(each))
    count = len(answer["alarms"])
    print(f"{count} alarm{'' if count == 1 else 's'}" if count else "no alarms")
    return cli.EXIT_OK


@app.command
def ack(
    rule: str,
    tag: str,
    /,
    *,
    order: Annotated[Order, Parameter(name="*")] = _PLAIN,
) -> int:
    """Acknowledge an active alarm: somebody has seen it, and it re-alarms no more.

    Exit codes: 0 recorded; 1 no plant runs there, or it knows no such rule at this tag; 2 wrong
    usage.

    Example: penstock alarm ack hot line1.m01.temp --config plant.toml

    Parameters
    ----------
    rule
        Name of the rule.
    tag
        The tag.
    """
    return _operate("acknowledge", rule, tag, order)


@app.command
def shelve(
    rule: str,
    tag: str,
    /,
    *,
    until: str,
    order: Annotated[Order, Parameter(name="*")] = _PLAIN,
) -> int:
    """Shelve an alarm for a time: it is judged, and told at the end where it is active then.

    Exit codes: 0 recorded; 1 no plant runs there, or it knows no such rule at this tag; 2 wrong
    usage.

    Example: penstock alarm shelve hot line1.m01.temp --until 8h --config plant.toml

    Parameters
    ----------
    rule
        Name of the rule.
    tag
        The tag.
    until
        How long from now: 30min, 8h, 2d; at most 7d.
    """
    span_s = cli.seconds_of(until)
    if span_s is None:
        cli.say("penstock alarm shelve: --until is a duration such as 30min, 8h or 2d")
        return cli.EXIT_USAGE
    until_ns = time.time_ns() + int(span_s * 1e9)
    return _operate("shelve", rule, tag, order, until_ns=until_ns)


@app.command
def unshelve(
    rule: str,
    tag: str,
    /,
    *,
    order: Annotated[Order, Parameter(name="*")] = _PLAIN,
) -> int:
    """End a shelving before its time.

    Exit codes: 0 recorded; 1 no plant runs there, or it knows no such rule at this tag; 2 wrong
    usage.

    Example: penstock alarm unshelve hot line1.m01.temp --config plant.toml

    Parameters
    ----------
    rule
        Name of the rule.
    tag
        The tag.
    """
    return _operate("unshelve", rule, tag, order)


@app.command
def reset(
    rule: str,
    tag: str,
    /,
    *,
    order: Annotated[Order, Parameter(name="*")] = _PLAIN,
) -> int:
    """End an active alarm by hand; it trips again at the next sample beyond its level.

    Exit codes: 0 recorded; 1 no plant runs there, or it knows no such rule at this tag; 2 wrong
    usage.

    Example: penstock alarm reset hot line1.m01.temp --config plant.toml

    Parameters
    ----------
    rule
        Name of the rule.
    tag
        The tag.
    """
    return _operate("reset", rule, tag, order)


def _operate(action: str, rule: str, tag: str, order: Order, **more: Any) -> int:
    words = {"action": action, "rule": rule, "tag": tag, "note": order.note, **more}
    place = cli.state_dir_of(order.config, order.state_dir)
    answer = control.ask(place, "operate", **words)
    if order.json:
        cli.emit({"ok": True, **answer})
    else:
        print(f"{action}: {rule} at {tag}, by {control.user_name(answer['by'])}")
    return cli.EXIT_OK


def _row(alarm: Mapping[str, Any]) -> str:
    words = [f"{alarm['rule']:24} {alarm['tag']:32} {alarm['level'] or '-':4}"]
    if alarm["since_ns"] is not None:
        words.append(f"since {time_text(alarm['since_ns'])} value {alarm['value']}")
    if alarm["is_acknowledged"]:
        words.append("acknowledged")
    if alarm["shelved_until_ns"] is not None:
        words.append(f"shelved until {time_text(alarm['shelved_until_ns'])}")
    if alarm["is_suppressed"]:
        words.append("suppressed")
    return "  ".join(words)
