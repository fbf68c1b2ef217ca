"""What happens at twice what the engine can take?

Rules a tag are raised until the sender is more than twice as fast as the engine; then it offers
twice the engine's rate, by planned times. A PULL source with full = block holds its sender back and
loses nothing. A PUB sender leaves out what finds no room, as libzmq's does at its high-water mark:
the samples' numbers must account for every one. Memory is that of the process without its ring.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from figure import Figure
from measure import Bench, Reading, run_wire
from steps import TAILS, Shape, compare_shape, pair, read

OVERLOAD = "overload.2x"
NAMES = (OVERLOAD,)
WIRE = "ZMTP 3.1, loopback TCP, offered by planned times, 64 B payload, 1 sample, packed"
HEAVIER = (  # a tag takes 16 rules; a window costs more than a limit, and many tags more than few
    Shape(),
    Shape(windows=4),
    Shape(windows=15),
    Shape(windows=15, tags=10_000),
)
TIMES = 2.0
RESULT_SLOTS = 16_384  # the default
MIB = 2**20


def sender_rate(bench: Bench) -> Reading:
    """How fast the sender is where nobody holds it back."""
    raw = [bench.program("recv_raw"), "OPENING", "66"]
    return run_wire(
        Shape().sender(bench), lambda port: [*raw, port],
        warm=1000, count=bench.sizes.messages // 5, is_ours=False,
    )  # fmt: skip


def heavy_shape(bench: Bench, most: float) -> tuple[Shape, float]:
    """The first of HEAVIER of which twice our rate is below ``most``; and our rate."""
    count = bench.sizes.messages
    for shape in HEAVIER:
        taken = read(bench, shape, count=count, warm=count)
        bench.say(f"  {shape.windows} windows, {shape.tags} tags: {taken.rate / 1e6:.2f} M/s")
        if TIMES * taken.rate < most:
            break
    return shape, taken.rate


def warm_up(bench: Bench, shape: Shape) -> int:
    """Samples until every slot for a closed window has been used: memory is compared after that."""
    slots = RESULT_SLOTS
    while slots < 2 * shape.tags * shape.windows:
        slots *= 2
    each_second = shape.tags * sum(1 / size_s for size_s in range(1, shape.windows + 1))
    return round(1e6 * (slots / each_second + 1)) if bench.sizes.paced_s else 1000


def offer(bench: Bench, shape: Shape, rate: float, seconds: float) -> dict[str, Any]:
    """Twice ``rate`` for so long; memory a few times a second."""
    step_ms = max(50, round(1000 * min(1.0, seconds / 20)))
    offered = round((TIMES if shape.wire == "pub" else 1.0) * rate * seconds)
    memory = []
    warm = warm_up(bench, shape)
    with pair(bench, shape) as both:
        both.send(warm)
        both.sender.tell(f"pace {round(TIMES * rate)} {offered}")
        taken = 0
        until = time.monotonic() + seconds  # by the clock: a peer silent for long is hung up on
        while time.monotonic() < until:
            taken += both.ask(f"rest {step_ms}", "measured")["count"]
            memory.append(both.ask("memory", "memory")["bytes"])
        if shape.wire == "zmtp":  # the sender waits until all are taken
            both.ask(f"take {warm + offered}", "measured")
        both.sender.expect_json("paced")
        both.send_tail()
        both.sender.tell("expected?")
        expected = both.sender.expect_json("expected")
        both.ask(f"take {expected['samples'] + TAILS * shape.tags}", "measured")
        final = settled(both.ask, shape)
    later = memory[len(memory) // 2 :]  # by then a checkpoint has had its buffers
    return {
        "growth": max(later) - later[0],
        "error": accounting_error(shape, final, expected),
        "problem": problem_of(shape, final, expected),
        "told": f"offered {offered / seconds / 1e6:.2f} M/s, taken "
        f"{taken / seconds / 1e6:.2f} M/s, dropped {final['dropped']:,}, "
        f"lost upstream {final['lost']:,}",
    }


def accounting_error(shape: Shape, final: dict[str, Any], expected: dict[str, Any]) -> int:
    """Samples that nobody accounts for: sent = received + lost, received = used + dropped."""
    sent = expected["sent"] + TAILS * shape.tags
    wrong = abs(sent - final["received"] - final["lost"])
    return int(wrong + abs(final["received"] - final["used"] - final["dropped"]))


def problem_of(shape: Shape, final: dict[str, Any], expected: dict[str, Any]) -> str:
    """All work was done on what was used; nothing is lost where the sender is held back."""
    if shape.wire == "zmtp":
        return compare_shape(shape, final, expected)
    if final["received"] != expected["samples"] + TAILS * shape.tags:
        return f"received {final['received']}, the sender put {expected['samples']} on the wire"
    if final["window_count"] != shape.windows * (final["used"] - TAILS * shape.tags):
        return f"{final['window_count']} samples in windows, {final['used']} were used"
    return "" if final["overwritten"] == 0 else f"{final['overwritten']} windows overwritten"


def settled(ask: Callable[[str, str], dict[str, Any]], shape: Shape) -> dict[str, Any]:
    """The engine's last word, once its last windows are closed."""
    final = ask("final", "final")
    for _ in range(100):
        if final["window_count"] >= shape.windows * (final["used"] - TAILS * shape.tags):
            break
        ask("rest 20", "measured")
        final = ask("final", "final")
    return final


def run(bench: Bench, name: str) -> Figure:
    """Both ways, one after the other; the worse of the two is the figure."""
    seconds = {1: 0.5, 3: 5.0}.get(bench.sizes.rounds, 60.0)
    most = sender_rate(bench).rate
    shape, rate = heavy_shape(bench, most)
    ways = {"PULL block": shape, "SUB drop": replace(shape, wire="pub")}
    taken = {}
    for way, each in ways.items():
        taken[way] = offer(bench, each, rate, seconds)
        bench.say(f"  {way}: {taken[way]['told']}; RSS grew {taken[way]['growth'] / 1024:.0f} KiB")
    problem = next((f"{way}: {each['problem']}" for way, each in taken.items() if each["problem"]),
                   "")  # fmt: skip
    if not problem and TIMES * rate > most and bench.sizes.paced_s:
        problem = f"the sender makes {most / 1e6:.2f} M/s, less than twice ours"
    growth = max(each["growth"] for each in taken.values()) / MIB
    error = sum(each["error"] for each in taken.values())
    note = "; ".join(f"{way}: {each['told']}" for way, each in taken.items())
    figure = bench.plain(
        name, "MiB", [growth], n=round(seconds), wire=WIRE, problem=problem,
        note=f"{shape.windows} windows on {shape.tags} tags, {seconds:g} s each; {note}",
    )  # fmt: skip
    return replace(figure, parts={"rss_growth_mib": growth, "accounting_error": error})
