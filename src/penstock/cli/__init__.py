"""Command line: words become one call into the library; its answer becomes text or JSON.

Data goes to stdout, messages to stderr; ``NO_COLOR`` is respected; every command has ``--json``.
Exit codes: 0 done, 1 a check of the environment failed, 2 wrong usage or a missing extra, 78
(EX_CONFIG) the configuration is invalid.

A command is a module of this package that has ``app``, a ``cyclopts.App``. It is imported only
when its command is used, so a command whose extra is missing disturbs no other.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.errors import ConfigError, PenstockError

if TYPE_CHECKING:
    from cyclopts import App
    from rich.console import Console

STATE_DIR = Path("/var/lib/penstock")
EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CONFIG = 78

_DURATIONS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}

# Which extra brings a module; every other third-party module comes with its target's extra, post.
EXTRAS = {
    "cyclopts": "cli",
    "rich": "cli",
    "prometheus_client": "ops",
    "starlette": "ops",
    "uvicorn": "ops",
}

COMMANDS: tuple[tuple[str, str], ...] = (
    ("init", "Begin a plant: a commented configuration and one rule test."),
    ("run", "Run the configured plant: sources in, documents out."),
    ("replay", "Run recorded samples through the rules: events, results, documents."),
    ("top", "Watch a running plant: rates, losses, sources, entries by state."),
    ("alarm", "List alarms of a running plant; acknowledge, shelve or reset one."),
    ("reload", "Make a running plant read its configuration again."),
    ("whatif", "Show what new rules would have made of the recorded past, as documents."),
    ("test", "Play rule tests: folders of a recording, a configuration and what is expected."),
    ("tap", "Listen to a live wire: tags, types, rates, gaps, clock offset, an example."),
    ("explain", "Show the chain behind an ERP document or an event, down to its samples."),
    ("dlq", "List, show, retry or discard what waits for a person."),
    ("ledger", "List and show the entries of the posting ledger."),
    ("doctor", "Say what on this box stands in the plant's way: one finding, one fix."),
    ("config", "Check, show or compare configurations, or print their JSON Schema."),
    ("size", "Say which cores, RAM, disk and ERP calls a plant takes, measured on this box."),
    ("bench", "Measure this box: each figure beside its limit or its peer."),
    ("docs", "Read the pages that ship with penstock."),
    ("version", "Print the version."),
)


def main(words: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code."""
    tokens = list(sys.argv[1:] if words is None else words)
    try:
        return _dispatch(tokens)
    except ModuleNotFoundError as missing:
        if not _is_ours(missing.name):
            return say_missing(missing.name or "a module")
        say(f"penstock {tokens[0]}: not part of this build (no module {missing.name})")
        return EXIT_USAGE
    except ConfigError as wrong:
        return fail(wrong, code=EXIT_CONFIG, is_json="--json" in tokens)
    except PenstockError as wrong:
        return fail(wrong, code=EXIT_FAILED, is_json="--json" in tokens)
    except BrokenPipeError:  # `penstock ... | head`: the reader has what it wanted
        sys.stderr.close()
        return EXIT_OK


def state_dir_of(config: Path | None, state_dir: Path | None) -> Path:
    """``--state-dir``, else the configuration's, else the default."""
    if state_dir is None and config is not None:
        from penstock.config import load_config

        state_dir = Path(load_config(config, is_environment_known=False).engine.state_dir)
    return state_dir or STATE_DIR


def say(text: str) -> None:
    """A message to the person: one line on stderr."""
    print(text, file=sys.stderr)


def say_missing(module: str) -> int:
    """Names what is not installed and the line that installs it; returns the exit code."""
    extra = EXTRAS.get(module.partition(".")[0], "post")
    say(f"penstock: this command needs {module}, which is not installed. Install it with:")
    say(f"  pip install 'penstock[{extra}]'")
    return EXIT_USAGE


def fail(error: PenstockError, *, code: int, is_json: bool) -> int:
    """Reports an error on stderr, or with ``--json`` as one object on stdout; returns ``code``."""
    if is_json:
        emit(
            {
                "ok": False,
                "exit": code,
                "errors": [error_record(each) for each in each_error(error)],
            }
        )
    else:
        for each in each_error(error):
            say(f"penstock: {each}")
    return code


def each_error(error: PenstockError) -> tuple[PenstockError, ...]:
    """The single errors of a collection, or the error itself."""
    found = getattr(error, "errors", None)
    return tuple(found) if found else (error,)


def error_record(error: PenstockError) -> dict[str, str]:
    """One error as stable JSON keys: kind, text and, for a configuration, path, reason and fix."""
    record = {"kind": type(error).__name__, "text": str(error)}
    if isinstance(error, ConfigError):
        record |= {"path": error.path, "reason": error.reason, "fix": error.fix}
    return record


def emit(value: Mapping[str, object]) -> None:
    """One JSON object on one line of stdout."""
    print(json_line(value), flush=True)


def json_line(value: Mapping[str, object]) -> str:
    """One JSON object on one line."""
    return json.dumps(value, ensure_ascii=False, default=str)


def seconds_of(text: str) -> float | None:
    """A duration such as ``60s``, ``1.5m``, ``2h`` or ``250ms`` in seconds; None where it is none.

    A bare number is seconds.
    """
    found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|min|h|d)?", text.strip(), re.ASCII)
    if found is None or float(found[1]) <= 0:
        return None
    return float(found[1]) * _DURATIONS_S[found[2] or "s"]


def stdout() -> Console:
    """A rich console for data; plain where stdout is no terminal or ``NO_COLOR`` is set."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


def root_app(chosen: str) -> App:
    """The whole command line; only the chosen command's module is imported."""
    from cyclopts import App, Parameter

    root = App(
        name="penstock",
        help=_help(),
        version_flags=[],
        help_format="markdown",  # a docstring's line ends are not the terminal's
        default_parameter=Parameter(negative="", show_default=_shown_default),
    )
    for name, text in COMMANDS:
        if name == chosen:
            root.command(_load(name), name=name)
        else:
            root.command(App(name=name, help=text, version_flags=[]), name=name)
    return root


def _shown_default(value: object) -> Any:
    """What a help page says of a default: None where it tells a reader nothing."""
    return None if value in (None, "", ()) or value is False else str(value)


def _dispatch(tokens: list[str]) -> int:
    from cyclopts import CycloptsError
    from rich.console import Console

    root = root_app(tokens[0] if tokens else "")
    if not tokens:
        root.help_print([], console=Console(stderr=True, highlight=False))
        return EXIT_USAGE
    try:
        answer = root(
            tokens,
            exit_on_error=False,
            print_error=True,
            error_console=Console(stderr=True, highlight=False),
            result_action="return_value",
        )
    except CycloptsError:
        return EXIT_USAGE
    return answer if isinstance(answer, int) else EXIT_OK


def _load(name: str) -> App:
    from cyclopts import App

    app = importlib.import_module(f"penstock.cli.{name}").app
    if not isinstance(app, App):
        raise TypeError(f"penstock.cli.{name}.app must be a cyclopts.App")
    if app.default_command is not None:
        app.help = None  # its own docstring, which has exit codes and an example
    return app


def _is_ours(module: str | None) -> bool:
    return module is not None and (module == "penstock" or module.startswith("penstock."))


def _help() -> str:
    return "Machine telemetry in, one document each in the ERP, with the proof kept."
