"""lines: what the peers in Python say to the harness: see native/child.h."""

from __future__ import annotations

import json
import resource
import time


def cpu_ns() -> int:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return round((used.ru_utime + used.ru_stime) * 1e9)


def say(word: str, figures: dict[str, object] | None = None) -> None:
    print(word if figures is None else f"{word} {json.dumps(figures)}", flush=True)


class Span:
    """CPU and wall time from the end of the warm-up to the last message that counts."""

    def __init__(self, warm: int, count: int) -> None:
        self.warm = warm
        self.last = warm + count
        self._begin = (cpu_ns(), time.monotonic_ns())

    def is_over(self, received: int) -> bool:
        """To be called once for each number received."""
        if received == self.warm:
            self._begin = (cpu_ns(), time.monotonic_ns())
            say("warm")
        if received < self.last:
            return False
        self.end(received - self.warm)
        return True

    def end(self, count: int) -> None:
        cpu, wall = cpu_ns() - self._begin[0], time.monotonic_ns() - self._begin[1]
        say("measured", {"count": count, "cpu_ns": cpu, "wall_ns": wall})
