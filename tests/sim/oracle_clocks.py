"""Clocks: a machine's clock goes back while engine time goes on, as a controller does that wakes in
1970.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from random import Random

from oracle_channel import FUTURE_MAX_S
from oracle_recordings import BASE, MS, Recording, S

from oracle import Operate, Receive, Record, Sample, Tick
from oracle.feed import Value


def with_regress(recording: Recording, draw: Random) -> Recording:
    """The clock of the machines goes back, now and then twice, while engine time goes on: so far
    that it is certain some hundred samples later.
    """
    whole = [piece for record in recording.records for piece in _in_pieces(record, draw)]
    known = _known(recording, whole)
    heard = [i for i, record in enumerate(whole) if isinstance(record, Receive) and i >= known]
    begins = sorted(
        draw.choice(heard[: len(heard) // 3 + 1]) for _ in range(draw.choice((1, 1, 2)))
    )
    steps = (len(whole) - begins[0]) * draw.choice((0.2, 0.5, 0.9))
    step_ns = max(round(12 * S / steps), MS)
    records: list[Record] = []
    back_ns = on_ns = 0
    for place, record in enumerate(whole):
        for _ in range(begins.count(place)):
            back_ns += draw.choice((3_599, 3_700, 86_400, 10 * 365 * 86_400)) * S
        on_ns += step_ns if back_ns else 0
        records.append(_set_back(record, on_ns, back_ns))
    return replace(recording, records=tuple(records))


def _known(recording: Recording, whole: list[Record]) -> int:
    """Until here each tag came once: a lot that is late for a window that is not there yet nobody
    counts.
    """
    has_cuts = any("cut_on" in rule for rule in recording.config["rule"])
    if recording.wire == "columns" or not has_cuts:
        return 0
    first: dict[str, int] = {}
    for place, record in enumerate(whole):
        for sample in record.samples if isinstance(record, Receive) else ():
            first.setdefault(sample.tag, place)
    return max(first.values())


def _in_pieces(record: Record, draw: Random) -> Iterator[Record]:
    """No more than some samples of one engine time."""
    if not isinstance(record, Receive):
        yield record
        return
    most, lost = draw.choice((1, 5, 20)), record.lost
    for begin in range(0, len(record.samples), most):
        yield replace(record, samples=record.samples[begin : begin + most], lost=lost)
        lost = 0


def _set_back(record: Record, on_ns: int, back_ns: int) -> Record:
    if isinstance(record, Tick):
        return Tick(record.now_ns + on_ns)
    if isinstance(record, Operate):
        until_ns = None if record.until_ns is None else record.until_ns + on_ns
        assert record.at_ns is not None
        return replace(record, at_ns=record.at_ns + on_ns, until_ns=until_ns)
    if not isinstance(record, Receive):
        return record
    now_ns = record.recv_time_ns
    samples = []
    for sample in record.samples:  # one without a stamp is given it by the machine, not by T
        time_ns = now_ns if sample.time_ns is None else sample.time_ns
        is_its_clock = time_ns <= now_ns + FUTURE_MAX_S * S
        time_ns = time_ns - back_ns if is_its_clock and back_ns else sample.time_ns
        samples.append(replace(sample, time_ns=time_ns, value=_since(sample, back_ns)))
    return replace(record, recv_time_ns=record.recv_time_ns + on_ns, samples=tuple(samples))


def _since(sample: Sample, back_ns: int) -> Value:
    """What a machine says of when its state began goes back as well."""
    if ".since" not in sample.tag:
        return sample.value
    assert isinstance(sample.value, int)
    return sample.value - (back_ns if sample.value > BASE // 1000 else back_ns // MS)
