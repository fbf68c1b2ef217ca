"""``penstock reload``: an order to a running plant to read its configuration again."""

from __future__ import annotations

from pathlib import Path

from cyclopts import App

from penstock import cli
from penstock.ops import control

app = App(
    name="reload", help="Make a running plant read its configuration again.", version_flags=[]
)


@app.default
def reload(
    config: Path | None = None, /, *, state_dir: Path | None = None, json: bool = False
) -> int:
    """Make a running plant read its configuration again: rules and mappings; the rest wants a
    restart.

    Exit codes: 0 in force; 1 no plant runs there, or it refused and the old configuration stays;
    2 wrong usage.

    Example: penstock reload plant.toml

    Parameters
    ----------
    config
        The plant's configuration, which names the state directory. The plant reads the file that it
        was started with.
    state_dir
        The state directory itself; default, where none is named: /var/lib/penstock.
    json
        One JSON object.
    """
    answer = control.ask(cli.state_dir_of(config, state_dir), "reload")
    if json:
        cli.emit({"ok": True, "said": answer["said"]})
    else:
        print(answer["said"])
    return cli.EXIT_OK
