"""Bad input at every door: a clear error, or a drop with a reason, and nothing else is disturbed.

Between the frames of a good recording comes one bad frame again and again. The good tags' events
must equal those of a run that never saw it, id and digest; every sample is accounted for; and the
numbered stream has lost nothing.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from border_kit import (
    ENCODERS,
    START_NS,
    STEP_NS,
    TAGS,
    Open,
    S,
    Sample,
    drain,
    identities,
    packed,
    samples,
)

from penstock import Engine, Event, RingFull, SourceStats

INSTANTS = 1000  # ten seconds
A_FRAME = 20
BAD_EVERY = 5  # frames
Y1970 = 1_000_000_000
Y2200 = 7_258_118_400 * S
TEN_MB = 10_000_000


@dataclass(frozen=True)
class Bad:
    """A bad frame: ``make(now_ns)`` gives it; what must become of it, per frame."""

    name: str
    format: str
    make: Callable[[int], bytes]
    dropped: dict[str, int]
    lines: dict[str, str] = field(default_factory=dict)


def header(count: int, names: int, now_ns: int) -> bytes:
    return struct.pack("<4sHBBIIQq", b"PSK1", count, names, 0, 9, 1, (1 << 64) - 1, now_ns)


def value_of(bits: bytes) -> Callable[[int], bytes]:
    """One packed f64 sample of a good tag with these eight bytes."""

    def make(now_ns: int) -> bytes:
        good = packed([(TAGS[0], now_ns, 1.0, 0)])
        return good[:-16] + bits + good[-8:]

    return make


def put(at: int, raw: bytes) -> Callable[[bytes], bytes]:
    return lambda frame: frame[:at] + raw + frame[at + len(raw) :]


def lying(change: Callable[[bytes], bytes]) -> Callable[[int], bytes]:
    """A good frame of two samples with some bytes changed."""
    return lambda now_ns: change(packed([(TAGS[0], now_ns, 1.0, 0), (TAGS[1], now_ns, 2.0, 0)]))


def sample_at(time_ns: int, name: str = TAGS[0]) -> Callable[[int], bytes]:
    return lambda now_ns: packed([(name, time_ns, 99.0, 0)])


def text(document: str) -> Callable[[int], bytes]:
    return lambda now_ns: document.encode()


def one(value: str, time: str = "", name: str = TAGS[0]) -> Callable[[int], bytes]:
    """One JSON sample; ``time`` empty: now."""
    return lambda now_ns: (
        f'{{"name": "{name}", "value": {value}, "time": {time or now_ns}}}'.encode()
    )


BIG_FRAMES = {"source": "frame_bytes_max = 33554432"}
BAD = [
    Bad("no frame at all", "packed", text("GET / HTTP/1.1\r\n\r\n"), {"malformed": 1}),
    Bad("empty", "packed", text(""), {"malformed": 1}),
    Bad("half a header", "packed", lambda now: header(1, 1, now)[:20], {"malformed": 1}),
    Bad("another version", "packed", lying(put(3, b"2")), {"malformed": 1}),
    Bad("count too high", "packed", lying(put(4, b"\xe8\x03")), {"malformed": 1000}),
    Bad("count too low", "packed", lying(put(4, b"\x01\x00")), {"malformed": 1}),
    Bad("names that reach out", "packed", lying(put(6, b"\xff")), {"malformed": 2}),
    Bad("a name that reaches out", "packed", lying(put(33, b"\xff")), {"malformed": 2}),
    Bad("no such name", "packed", lambda now: value_of(bytes(8))(now)[:-4] + b"\x07\x00\x00\x00",
        {"malformed": 1}),
    Bad("no such type", "packed", lambda now: put(32, b"\x09")(sample_at(START_NS)(now)),
        {"malformed": 1}),
    Bad("NaN", "packed", value_of(struct.pack("<d", math.nan)), {"nan": 1}),
    Bad("infinite", "packed", value_of(struct.pack("<d", -math.inf)), {"nan": 1}),
    Bad("a name of 10 MB", "packed", lambda now: header(1, 255, now) + b"\x01\xff" + b"n" * TEN_MB,
        {"oversize": 1}),
    Bad("a name of 10 MB that fits", "packed",
        lambda now: header(1, 255, now) + b"\x01\xff" + b"n" * TEN_MB, {"malformed": 1},
        lines=BIG_FRAMES),
    Bad("a name with control characters", "packed", sample_at(START_NS, "m3\n.pressure"),
        {"tag_name": 1}),
    Bad("a stamp in 2200", "packed", sample_at(Y2200), {"future": 1}),
    Bad("another type", "packed", lambda now: put(32, b"\x03")(value_of(bytes(8))(now)),
        {"type": 1}),
    Bad("no JSON", "json", text("{'name': 'x'}"), {"malformed": 1}),
    Bad("cut JSON", "json", lambda now: one("1.5")(now)[:-1], {"malformed": 1}),
    Bad("no UTF-8", "json", lambda now: b'{"name": "\xff\xfe", "value": 1}', {"malformed": 1}),
    Bad("arrays 10,000 deep", "json", text("[" * 10_000 + "]" * 10_000), {"malformed": 1}),
    Bad("objects 10,000 deep", "json", text('{"a":' * 10_000 + "1" + "}" * 10_000),
        {"malformed": 1}),
    Bad("open 10,000 deep", "json", text("[" * 10_000), {"malformed": 1}),
    Bad("NaN in JSON", "json", one("NaN"), {"malformed": 1}),
    Bad("infinite in JSON", "json", one("-Infinity"), {"malformed": 1}),
    Bad("a number beyond double", "json", one("1e999"), {"range": 1}),
    Bad("a name of 10 MB in JSON", "json", one("1", name="n" * TEN_MB), {"oversize": 1}),
    Bad("a name of 10 MB in JSON that fits", "json", one("1", name="n" * TEN_MB), {"tag_name": 1},
        lines=BIG_FRAMES),
    Bad("2200 in JSON", "json", one("99.0", '"2200-01-01T00:00:00Z"'), {"future": 1}),
    Bad("no date in JSON", "json", one("99.0", '"yesterday"'), {"malformed": 1}),
    Bad("a text for a number", "json", one('"warm"'), {"type": 1}),
]  # fmt: skip


@dataclass
class Seen:
    """What one run gave."""

    events: list[Event]
    source: SourceStats
    bad: int


def replay(
    engine: Engine,
    encoding: str,
    bad: Bad | None = None,
    extra: Callable[[int], list[Sample]] = lambda first: [],
) -> Seen:
    """The recording through ``feed_frames``, a bad frame before every fifth good one.

    ``extra(first)`` gives samples that the good stream itself sends before a frame.
    """
    encode, events, count, seq = ENCODERS[encoding], [], 0, 0
    for first in range(0, INSTANTS, A_FRAME):
        now_ns = START_NS + (first + A_FRAME) * STEP_NS
        if bad is not None and first // A_FRAME % BAD_EVERY == 2:
            given = engine.feed_frames([bad.make(now_ns)], source="line", recv_time_ns=now_ns)
            assert given == (0, sum(bad.dropped.values()))
            count += 1
        for rows in filter(None, (extra(first), samples(first, A_FRAME))):
            given = engine.feed_frames([encode(rows, seq=seq)], source="line", recv_time_ns=now_ns)
            assert given == (len(rows), 0)
            seq += len(rows)
        events += drain(engine)
    engine.tick(START_NS + INSTANTS * STEP_NS + 60 * S)
    return Seen(events + drain(engine), engine.stats().sources[0], count)


@pytest.fixture(scope="module")
def known() -> dict[str, Seen]:
    """The runs without bad input, made once for each format."""
    return {}


@pytest.fixture
def good_run(open_engine: Open, known: dict[str, Seen]) -> Callable[[str], Seen]:
    """The run without bad input, in a format."""

    def run(encoding: str) -> Seen:
        if encoding not in known:
            engine = open_engine("good", source=f'format = "{encoding}"')
            known[encoding] = replay(engine, encoding)
            assert len(identities(known[encoding].events)) == 2 * len(TAGS)
        return known[encoding]

    return run


def check_books(source: SourceStats, sent: int) -> None:
    """Every sample of the good stream arrived once, every lost one has a reason."""
    assert source.residual == 0
    assert source.received == source.used + sum(source.dropped.values())
    assert source.lost_upstream == 0
    assert source.sent_upstream == sent


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: f"{bad.format}: {bad.name}")
def test_a_bad_frame_has_its_reason_and_disturbs_nothing(
    bad: Bad, open_engine: Open, good_run: Callable[[str], Seen]
) -> None:
    source = "\n".join([f'format = "{bad.format}"', bad.lines.get("source", "")])
    seen = replay(open_engine(source=source), bad.format, bad)
    assert seen.bad == INSTANTS // A_FRAME // BAD_EVERY
    assert seen.source.dropped == {each: n * seen.bad for each, n in bad.dropped.items()}
    assert seen.source.used == INSTANTS * len(TAGS)
    check_books(seen.source, INSTANTS * len(TAGS))
    assert identities(seen.events) == identities(good_run(bad.format).events)


@pytest.mark.parametrize("encoding", ENCODERS)
def test_a_stamp_in_1970_is_counted_late_and_disturbs_nothing(
    encoding: str, open_engine: Open, good_run: Callable[[str], Seen]
) -> None:
    """Late is not a drop: the sample is journaled, and takes part in nothing."""
    engine = open_engine(source=f'format = "{encoding}"')
    seen = replay(engine, encoding, extra=lambda at: [(TAGS[0], Y1970, 99.0, 0)] if at else [])
    frames = INSTANTS // A_FRAME - 1
    assert seen.source.used == INSTANTS * len(TAGS) + frames
    assert seen.source.dropped == {}
    assert seen.source.late == 2 * frames  # by each of its two windows
    assert seen.source.out_of_order == frames  # by its limit
    check_books(seen.source, INSTANTS * len(TAGS) + frames)
    assert identities(seen.events) == identities(good_run(encoding).events)


def test_a_controller_that_wakes_in_1970_holds_nobody_up(
    open_engine: Open, good_run: Callable[[str], Seen]
) -> None:
    """It sends on, by a clock of its own; the other streams of its source close their windows."""
    engine, events, seq = open_engine(), [], 0
    for first in range(0, INSTANTS, A_FRAME):
        now_ns = START_NS + (first + A_FRAME) * STEP_NS
        rows = samples(first, A_FRAME)
        lost = [("m3.pressure", Y1970 + row[1] - START_NS, 1.0, 0) for row in rows[::2]]
        frames = [packed(rows, seq=seq), packed(lost, stream=2, seq=seq // 2)]
        engine.feed_frames(frames, source="line", recv_time_ns=now_ns)
        seq += len(rows)
        events += drain(engine)
    assert engine.stats().reorder_overflow == 0
    engine.tick(START_NS + INSTANTS * STEP_NS + 60 * S)
    assert identities(events + drain(engine)) == identities(good_run("packed").events)


def test_the_good_stream_stays_accountable_over_its_own_bad_frames(open_engine: Open) -> None:
    """A packed header is enough to know how many samples a broken message had: no gap follows."""
    engine, seq = open_engine(), 0
    for first in range(0, 200, A_FRAME):
        rows = samples(first, A_FRAME)
        frame = packed(rows, seq=seq)
        if first == 100:
            frame = frame[:-1]
        used, dropped = engine.feed_frames([frame], source="line", recv_time_ns=rows[-1][1])
        assert (used, dropped) == ((0, len(rows)) if first == 100 else (len(rows), 0))
        seq += len(rows)
    source = engine.stats().sources[0]
    assert source.dropped == {"malformed": A_FRAME * len(TAGS)}
    check_books(source, 200 * len(TAGS))


def test_a_bad_payload_in_the_middle_of_a_list_costs_only_itself(open_engine: Open) -> None:
    engine = open_engine()
    good = [packed([(TAGS[0], START_NS + i * STEP_NS, 5.0, 0)]) for i in range(4)]
    payloads = [*good[:2], b"\0" * (2 << 20), b"", *good[2:]]
    given = engine.feed_frames(payloads, source="line", position=0, recv_time_ns=START_NS + S)
    assert given == (4, 2)
    assert engine.position("line") == 5
    assert engine.stats().sources[0].dropped == {"oversize": 1, "malformed": 1}
    assert engine.stats().residual == 0


# ---- tables that are full ------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ENCODERS)
def test_a_tag_beyond_tags_max_is_dropped_and_the_known_ones_go_on(
    encoding: str, open_engine: Open
) -> None:
    engine = open_engine(engine="tags_max = 4", source=f'format = "{encoding}"')
    encode, dropped = ENCODERS[encoding], 0
    for first in range(0, 200, A_FRAME):
        rows = samples(first, A_FRAME)
        new = [(f"x{first}.n{k}", rows[0][1], 1.0, 0) for k in range(5)]
        given = engine.feed_frames([encode(rows + new)], source="line", recv_time_ns=rows[-1][1])
        room = 2 if first == 0 else 0  # two names are left beside the good ones
        assert given == (len(rows) + room, 5 - room)
        dropped += 5 - room
    stats = engine.stats()
    assert (stats.tags, stats.residual) == (4, 0)
    assert stats.sources[0].dropped == {"tag_limit": dropped}
    assert stats.sources[0].used == 200 * len(TAGS) + 2
    with pytest.raises(RingFull, match=r"x9\.new.*tag_limit"):
        engine.tag("x9.new", source="line")
    assert engine.tag(TAGS[0], source="line") == engine.tag(TAGS[0], source="line")


def test_a_stream_beyond_streams_max_is_dropped_and_the_known_ones_go_on(
    open_engine: Open,
) -> None:
    engine = open_engine(engine="streams_max = 2")
    for number in range(5):
        rows = samples(number, 1)
        frames = [packed(rows, stream=1, seq=2 * number)]
        frames.append(packed(rows, stream=10 + number, seq=0))
        engine.feed_frames(frames, source="line", recv_time_ns=rows[-1][1])
    source = engine.stats().sources[0]
    assert source.dropped == {"stream_limit": 8}
    assert (source.used, source.residual, source.lost_upstream) == (12, 0, 0)


# ---- columns -------------------------------------------------------------------------------------


def test_bad_rows_of_a_column_are_dropped_one_by_one(open_engine: Open) -> None:
    good = open_engine("good")
    engine = open_engine(more='[[source]]\nname = "other"\nkind = "feed"')
    foreign = engine.tag("other.tag", "f64", source="other")
    seen: list[list[Event]] = []
    for each, bad_rows in ((good, False), (engine, True)):
        ids = [each.tag(name, "f64", source="line") for name in TAGS]
        flag = each.tag("m1.on", "bool", source="line")
        events: list[Event] = []
        for first in range(0, INSTANTS, A_FRAME):
            now_ns = START_NS + (first + A_FRAME) * STEP_NS
            rows = [(ids[TAGS.index(n)], t, bits(v)) for n, t, v, _ in samples(first, A_FRAME)]
            if bad_rows:
                rows[5:5] = [
                    (ids[0], now_ns, bits(math.nan)),
                    (ids[0], now_ns, bits(math.inf)),
                    (ids[0], Y2200, bits(1.0)),
                    (foreign, now_ns, bits(1.0)),
                    (4_000_000, now_ns, bits(1.0)),
                    (flag, now_ns, 7),
                ]
            columns = list(zip(*rows, strict=True))
            used, dropped = each.feed(
                array("I", columns[0]),
                array("q", columns[1]),
                array("Q", columns[2]),
                source="line",
                recv_time_ns=now_ns,
            )
            assert (used, dropped) == (A_FRAME * len(TAGS), 6 * bad_rows)
            events += drain(each)
        each.tick(START_NS + INSTANTS * STEP_NS + 60 * S)
        seen.append(events + drain(each))
        assert each.stats().residual == 0
    assert identities(seen[0]) == identities(seen[1])
    assert len(identities(seen[1])) == 2 * len(TAGS)
    frames = INSTANTS // A_FRAME
    assert engine.stats().sources[0].dropped == {
        "nan": 2 * frames,
        "future": frames,
        "source": frames,
        "tag_name": frames,
        "range": frames,
    }


def bits(value: float) -> int:
    """The eight bytes of a double as an integer."""
    return int(struct.unpack("<Q", struct.pack("<d", value))[0])
