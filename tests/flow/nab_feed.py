"""A recording through ``Engine.feed``, resumed by position: what a test kills in the middle.

    nab_feed.py STORY OUT [KILL_AT]

STORY is a JSON file with the configuration and the rows; each event is appended to OUT as "id
digest" before it is acknowledged. With KILL_AT the process dies by SIGKILL behind that batch, its
events not yet taken. Prints "done".
"""

from __future__ import annotations

import json
import os
import signal
import sys
from array import array
from pathlib import Path
from typing import Any, TextIO

from penstock import Engine
from penstock.config import parse_config

BATCH = 250


def take(engine: Engine, out: TextIO) -> None:
    while batch := engine.poll():
        out.writelines(f"{event.id} {event.digest}\n" for event in batch.events)
        out.flush()
        batch.acknowledge()


def main(story: dict[str, Any], out: TextIO, kill_at: int) -> None:
    rows = story["rows"]
    with Engine(parse_config(story["config"]), clock="system") as engine:
        tags = {name: engine.tag(name, "f64", source="s") for name, _, _ in rows}
        done = engine.position("s")
        for number in range(0 if done is None else done + 1, -(-len(rows) // BATCH)):
            piece = rows[BATCH * number : BATCH * (number + 1)]
            engine.feed(
                array("I", [tags[name] for name, _, _ in piece]),
                array("q", [time_ns for _, time_ns, _ in piece]),
                array("d", [value for _, _, value in piece]),
                source="s",
                position=number,
            )
            if number == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            take(engine, out)
        take(engine, out)


if __name__ == "__main__":
    with Path(sys.argv[2]).open("a", encoding="ascii") as file:
        place = int(sys.argv[3]) if len(sys.argv) > 3 else -1
        main(json.loads(Path(sys.argv[1]).read_text()), file, place)
    print("done")
