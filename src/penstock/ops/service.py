"""Service: a Runner becomes a service: its socket, pages and signs of life while it runs."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from penstock.config import Config
from penstock.ops import control
from penstock.ops.health import Look, Verdict, has_progress, verdict
from penstock.ops.notify import Notifier
from penstock.outbox import State
from penstock.run import Runner, Status

_log = logging.getLogger("penstock.ops")


class Operated(Protocol):
    """What a service needs of the engine besides the Runner."""

    def alarms(self) -> Sequence[Any]:
        """What is active, shelved or suppressed."""

    def operate(
        self, action: str, *, rule: str, tag: str, by: str, until_ns: int | None, note: str
    ) -> None:
        """What a person does about an alarm; journaled on return."""


class Service:
    """What is told of one running plant. ``reload`` reads its configuration again and says what
    came of it, or raises PenstockError; the old one stays then.
    """

    def __init__(
        self,
        runner: Runner,
        engine: Operated,
        reload: Callable[[], str],
        notifier: Notifier | None = None,
    ) -> None:
        self._runner = runner
        self._engine = engine
        self._reload = reload
        self._notifier = notifier or Notifier()
        self._look: Look | None = None
        self._fed: Look | None = None

    @contextlib.asynccontextmanager
    async def open(self, config: Config) -> AsyncIterator[None]:
        """Socket and pages while the block runs. Raises StateError, ConfigError."""
        async with contextlib.AsyncExitStack() as stack:
            state_dir = Path(config.engine.state_dir)
            await stack.enter_async_context(control.serve(state_dir, self._orders()))
            if config.ops.listen:
                from penstock.ops import web

                app = web.make_app(self._figures, self.verdict)
                await stack.enter_async_context(web.serve(config.ops.listen, app))
            yield

    def look(self, status: Status) -> None:
        """The plant has looked at itself: its first time it is ready, and each time with progress
        the watchdog is fed.
        """
        entries = status.entries
        look = Look(
            time.monotonic(),
            self._runner.stats(),
            is_ledger_blocked=self._runner.is_blocked,
            silent_targets=self._runner.relay.silent,
            waiting_for_a_person=entries.get(State.HELD, 0) + entries.get(State.DEAD, 0),
        )
        if self._look is None:
            self._notifier.tell(READY="1", STATUS="running")
        self._look = look
        if has_progress(self._fed, look):
            self._fed = look
            self._notifier.tell(WATCHDOG="1")

    def stopping(self) -> None:
        """Intake has been told to stop."""
        self._notifier.tell(STOPPING="1", STATUS="stopping: what is on its way ends")

    def verdict(self) -> Verdict:
        """Alive, ready, degraded; now."""
        return verdict(self._look, time.monotonic())

    def reload(self) -> str:
        """Reads the configuration again. Raises PenstockError; then the old one stays."""
        self._notifier.tell(RELOADING="1", MONOTONIC_USEC=str(time.monotonic_ns() // 1000))
        try:
            return self._reload()
        finally:
            self._notifier.tell(READY="1")

    # ---- what is asked of it ----------------------------------------------------------------

    def _orders(self) -> Mapping[str, control.Order]:
        return {
            "figures": self._tell_figures,
            "reload": self._tell_reload,
            "alarms": self._tell_alarms,
            "operate": self._take_operation,
        }

    def _tell_figures(self, _: Mapping[str, Any], __: str) -> Mapping[str, Any]:
        status = self._runner.status
        sources = [
            {**asdict(each), "dropped": {key: n for key, n in each.dropped.items() if n}}
            for each in self._runner.stats().sources
        ]
        return {
            "status": None if status is None else asdict(status),
            "sources": sources,
            "health": self.verdict().record(),
        }

    def _tell_reload(self, _: Mapping[str, Any], __: str) -> Mapping[str, Any]:
        return {"said": self.reload()}

    def _tell_alarms(self, _: Mapping[str, Any], __: str) -> Mapping[str, Any]:
        return {"alarms": [asdict(each) for each in self._engine.alarms()]}

    def _take_operation(self, request: Mapping[str, Any], who: str) -> Mapping[str, Any]:
        """Journaled when it is answered. Who did it is the peer, whatever the request says."""
        until_ns, note = request.get("until_ns"), str(request.get("note", ""))
        action, rule, tag = (str(request[name]) for name in ("action", "rule", "tag"))
        if until_ns is not None and not isinstance(until_ns, int):
            raise ValueError("until_ns is a whole number of ns since 1970 UTC")
        self._engine.operate(action, rule=rule, tag=tag, by=who, until_ns=until_ns, note=note)
        _log.info("%s: %s at %s by %s: %s", action, rule, tag, control.user_name(who), note or "-")
        return {"by": who}

    def _figures(self) -> Any:
        from penstock.ops.metrics import Figures

        if self._look is None:
            return None
        reader = self._runner.ledger.reader
        entries = {str(state): count for state, count in reader.states().items()}
        return Figures(self._runner.stats(), entries, reader.counters(), self.verdict())
