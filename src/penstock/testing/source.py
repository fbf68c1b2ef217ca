"""Fake source: a machine program in a test. Its samples are real `packed` messages, numbered, into
a ``feed`` source, so that what the engine counts is what a wire would make it count.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from penstock.emit import Emitter

if TYPE_CHECKING:
    from penstock.engine import Engine
    from penstock.testing.clock import Clock


class FakeSource:
    """Sends at the clock's time to one source of an engine, whose format is ``packed``."""

    def __init__(
        self, engine: Engine, source: str, clock: Clock, *, stream: int = 1, boot: int = 1
    ) -> None:
        self._engine, self.source, self._clock = engine, source, clock
        self._is_lossy = False
        self._emit = Emitter(self._hand_over, stream=stream, boot=boot)

    def __repr__(self) -> str:
        return f"<FakeSource {self.source}: {self.sent:,} samples sent, {self.lost:,} lost>"

    @property
    def sent(self) -> int:
        """Samples the engine was given."""
        return self._emit.sent

    @property
    def lost(self) -> int:
        """Samples that went missing on the way; the engine must find the same."""
        return self._emit.lost

    def _hand_over(self, message: bytes) -> None:
        if self._is_lossy:
            raise ConnectionError("lost on purpose")
        self._engine.feed_frames([message], source=self.source, recv_time_ns=self._clock.now_ns)

    def send(self, values: dict[str, float | int | bool], quality: int = 0) -> None:
        """One sample a tag, stamped now: float is f64, int i64, bool bool."""
        for name, value in values.items():
            self._emit.add(name, self._clock.now_ns, value, quality)
        self._emit.flush()

    def play(self, tag: str, values: Iterable[float | int | bool], every_s: float) -> None:
        """A value, then ``every_s`` passes, and so on."""
        for value in values:
            self.send({tag: value})
            self._clock.advance(every_s)

    def lose(self, values: dict[str, float | int | bool]) -> None:
        """As ``send``, but it never arrives: the next message shows the gap."""
        self._is_lossy = True
        self.send(values)
        self._is_lossy = False
