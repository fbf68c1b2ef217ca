"""A host with ways of its own: a locale, a SIGTERM handler, two engines, a fork, state directories
that are none. Prints what an engine saw; whatever an engine says, the host lives and exits 0.

    host_process.py STATE_DIR RING_DIR LOCALE
"""

from __future__ import annotations

import locale
import os
import signal
import sys
import threading
from array import array
from pathlib import Path

from border_kit import START_NS, STEP_NS, excursions, make_config

from penstock import Engine, EngineClosed, StateError


def work(engine: Engine) -> list[str]:
    """Numbers through JSON, which a locale could bend, and through columns."""
    values = excursions(20)
    for i, value in enumerate(values):
        at = START_NS + i * STEP_NS
        payload = f'{{"name": "m2.pressure", "time": {at}, "value": {value + 0.25}}}'.encode()
        engine.feed_frames([payload], source="line", recv_time_ns=at)
    tag = engine.tag("m1.pressure", source="line")
    times = array("q", [START_NS + 10**10 + i * STEP_NS for i in range(len(values))])
    engine.feed(tag, times, array("d", values), source="line", recv_time_ns=times[-1])
    engine.tick(times[-1] + 60 * 10**9)
    batch = engine.poll()
    batch.acknowledge()
    return [f"{event.id} {event.digest} {event.kind} {event.value!r}" for event in batch]


def sick(folder: Path, ring_dir: Path) -> list[str]:
    """Sentences an engine gives where it cannot have its state."""
    foreign = folder / "foreign"
    foreign.mkdir(parents=True)
    (foreign / "STATE").write_bytes(b"another program's" * 64)
    theirs = folder / "theirs"
    theirs.mkdir()
    (theirs / "report.xls").write_text("")
    file = folder / "file"
    file.write_text("")
    said = []
    for place in (foreign, theirs, file, Path("/proc/penstock")):
        try:
            Engine(make_config(place, ring_dir), clock="manual").close()
            said.append("opened")
        except (StateError, OSError) as wrong:
            said.append(f"{type(wrong).__name__}: {wrong}".replace(str(folder), "DIR"))
    return said


def main() -> int:
    folder, ring_dir, wanted = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    if wanted != "C":
        locale.setlocale(locale.LC_ALL, wanted)
    heard: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: heard.append(number))
    threads = threading.active_count()
    source = 'format = "json"'
    with (
        Engine(make_config(folder / "a", ring_dir, source=source), clock="manual") as one,
        Engine(make_config(folder / "b", ring_dir, source=source), clock="manual") as two,
    ):
        one.start()
        rows = work(one)
        assert rows == work(two)
        pid = os.fork()
        if pid == 0:  # the child's copy refuses; the child is no host of an engine
            try:
                one.poll()
            except EngineClosed:
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
        os.kill(os.getpid(), signal.SIGTERM)  # reaches the host's handler, not an engine's thread
        assert heard == [signal.SIGTERM]
        assert one.stats().residual == two.stats().residual == 0
        one.poll()
    assert threading.active_count() == threads
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    if wanted != "C":
        assert locale.setlocale(locale.LC_ALL) != "C"  # still the host's
        print(f"decimal {locale.localeconv()['decimal_point']}", file=sys.stderr)
    print("\n".join([*rows, *sick(folder / "sick", ring_dir)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
