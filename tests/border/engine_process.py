"""An engine in a process of its own, for tests that kill it, fork it or take its rights away.

    engine_process.py hold STATE_DIR RING_DIR      open, say "open", wait for a line, close
    engine_process.py fork STATE_DIR RING_DIR      the same, with a forked child that lives on
    engine_process.py nobody STATE_DIR RING_DIR    open without root's rights

Says what went wrong as "ErrorType: text" and exits 1.
"""

from __future__ import annotations

import os
import sys
from array import array
from pathlib import Path

from border_kit import START_NS, make_config

from penstock import Engine, PenstockError

NOBODY = 65534


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def try_in_child(engine: Engine, tag: int) -> None:
    """Everything a child may try with its parent's engine is refused, each by name."""
    calls = {
        "feed": lambda: engine.feed(tag, None, array("d", [1.0]), source="line"),
        "poll": engine.poll,
        "tick": lambda: engine.tick(START_NS),
        "stats": engine.stats,
        "results": engine.results,
        "checkpoint": engine.checkpoint,
        "context": lambda: engine.context("m1", order="O1"),
        "position": lambda: engine.position("line"),
        "start": engine.start,
    }
    for name, call in calls.items():
        try:
            call()
            say(f"child {name}: went through")
        except PenstockError as refused:
            say(f"child {name}: {type(refused).__name__}: {refused}")
    engine.close()
    say("child closed")


def main(mode: str, state_dir: str, ring_dir: str) -> int:
    config = make_config(Path(state_dir), Path(ring_dir))
    if mode == "nobody" and os.geteuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    try:
        engine = Engine(config, clock="manual")
    except PenstockError as wrong:
        say(f"{type(wrong).__name__}: {wrong}")
        return 1
    tag = engine.tag("m1.pressure", source="line")
    engine.feed(tag, None, array("d", [5.0]), source="line", recv_time_ns=START_NS, position=0)
    if mode == "fork":
        ready, is_ready = os.pipe()
        child = os.fork()
        if child == 0:
            try_in_child(engine, tag)
            os.write(is_ready, b"!")
            sys.stdin.readline()  # it outlives its parent
            os._exit(0)
        os.read(ready, 1)
        say(f"forked {child}")
    say("open")
    sys.stdin.readline()
    used, _ = engine.feed(
        tag, None, array("d", [5.5]), source="line", recv_time_ns=START_NS + 1, position=1
    )
    engine.close()
    say(f"closed after {used}")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
