"""``penstock run``: a configuration becomes a running plant, until a signal stops it.

SIGTERM and SIGINT stop intake, finish the request on its way, take a checkpoint, and end within ten
seconds with 0. SIGHUP reads the configuration again; one that is wrong is logged and the old one
stays.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from penstock import cli
from penstock.cli.bounded import Bounds, Watch, wrong_bounds
from penstock.config.forms import Size
from penstock.errors import ConfigError, LockedError, PenstockError, StateError
from penstock.ops import logs

if TYPE_CHECKING:
    from penstock.ops.service import Service

EXIT_LOCKED = 75  # EX_TEMPFAIL: another process holds the state directory

app = App(name="run", help="Run the configured plant: sources in, documents out.", version_flags=[])


@app.default
def run(
    config: Path,
    /,
    *,
    status_file: Path | None = None,
    duration: Annotated[str, Parameter(name="--for")] = "",
    once: bool = False,
    dry_run: bool = False,
    stats: Path | None = None,
    log_level: str = "info",
    log_format: str = "text",
    capture: Path | None = None,
    capture_bytes: str = "1GiB",
    json: bool = False,
) -> int:
    """Run the configured plant: sources in, documents out.

    Exit codes: 0 stopped on request; 1 failed, the journal and the ledger are safe; 2 wrong usage
    or a missing extra; 75 another process holds the state directory; 78 the configuration is
    invalid. Example: penstock run plant.toml --for 60s --stats run.json

    Parameters
    ----------
    config
        The configuration, a TOML file.
    status_file
        Append one JSON line a second with rates, losses, entries by state and the newest documents.
    duration
        Stop after this long: 60s, 5m, 2h.
    once
        Stop when nothing has moved for three seconds and nothing is left to post.
    dry_run
        Show the documents, post nothing: a state of its own, removed afterwards.
    stats
        At the end, figures of this run into this file, as one JSON object.
    log_level
        debug, info, warning or error; the log goes to stderr.
    log_format
        text, or json: one object a line.
    capture
        Keep the journal in files of this folder too, for ``penstock replay`` and ``whatif``.
    capture_bytes
        Most they may take together: 64MiB, 10GiB; the oldest are removed.
    json
        Print the status line to stdout as well.
    """
    for option, value, known in (
        ("--log-level", log_level, logs.LEVELS),
        ("--log-format", log_format, logs.FORMATS),
    ):
        if value not in known:
            cli.say(f"penstock run: {option} is one of {', '.join(known)}")
            return cli.EXIT_USAGE
    bounds = Bounds(cli.seconds_of(duration), once, stats)
    if usage := wrong_bounds(duration, bounds.seconds):
        return usage
    logs.start(log_level, log_format)
    if dry_run:
        from penstock.cli import dry

        return dry.dry_run(config, bounds, is_json=json)
    try:
        kept = _kept(capture, capture_bytes)
        asyncio.run(_run(config, status_file, json, bounds, kept))
    except LockedError as wrong:
        return cli.fail(wrong, code=EXIT_LOCKED, is_json=json)
    return cli.EXIT_OK


def _kept(folder: Path | None, size: str) -> tuple[Path, int] | None:
    """Where captures go and how much they may take; the folder is made."""
    if folder is None:
        return None
    problems: list[ConfigError] = []
    bytes_max = Size(1 << 20, 1 << 50).read(size, "--capture-bytes", problems)
    if problems:
        raise problems[0]
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as wrong:
        raise StateError(f"--capture {folder}: cannot be made: {wrong.strerror}") from wrong
    return folder, bytes_max


async def _run(
    path: Path,
    status_file: Path | None,
    is_json: bool,
    bounds: Bounds,
    kept: tuple[Path, int] | None,
) -> None:
    from penstock.config import load_config
    from penstock.engine import Engine
    from penstock.ops.service import Service
    from penstock.run import Runner, Status, StatusFile, has_history

    config = load_config(path)
    file = StatusFile(status_file) if status_file is not None else None

    def tell(status: Status) -> None:
        service.look(status)
        watch.look(status)
        if file is not None:
            file.write(status)
        if is_json:
            print(status.to_json(), flush=True)

    def reload() -> str:
        runner.reload(load_config(path))
        return f"{path}: the new configuration is in force"

    def stop() -> None:
        service.stopping()
        runner.stop()

    is_expected = has_history(Path(config.engine.state_dir))
    with Engine(config) as engine:
        if kept is not None:
            engine.capture(*kept)
        runner = Runner(config, engine, is_ledger_expected=is_expected, on_status=tell)
        service = Service(runner, engine, reload)
        watch = Watch(bounds, stop)
        loop = asyncio.get_running_loop()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, stop)
        loop.add_signal_handler(signal.SIGHUP, _reload, service)
        if bounds.seconds is not None:
            loop.call_later(bounds.seconds, stop)
        async with service.open(config):
            await runner.run()
        watch.finish(runner.status, runner.final)


def _reload(service: Service) -> None:
    log = logging.getLogger("penstock.run")
    try:
        log.info("%s", service.reload())
    except PenstockError as wrong:
        log.error("the new configuration is not taken, the old one stays: %s", wrong)
