"""penstock_emit.h and penstock.emit: the same bytes, everything arrives, and where the peer dies
what the sender numbered is what the engine received plus what it knows it never saw.
"""

from __future__ import annotations

import random
import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from border_kit import START_NS, Open, packed, wait_until

from penstock import Engine
from penstock.emit import NO_TIME, SAMPLES_MAX, Emitter, PushPeer

ROOT = Path(__file__).parents[2]
Sample = tuple[str, str, int, float, int]  # kind, name, time, value, quality


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one C file, built as a machine's programmer would, with nothing of ours linked."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler, "a C compiler is needed to build the package already"
    target = tmp_path_factory.mktemp("emit") / "twin"
    flags = ["-std=c99", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
    source = ROOT / "tests" / "border" / "emit_twin.c"
    build = [compiler, *flags, f"-I{ROOT / 'native'}", source, "-o", target]
    subprocess.run([str(each) for each in build], check=True)
    return target


def line(sample: Sample) -> bytes:
    kind, name, time_ns, value, quality = sample
    text = f"{value:.17g}" if kind == "d" else str(int(value))
    return f"{kind} {name} {time_ns} {text} {quality}\n".encode()


def add(emit: Emitter, sample: Sample) -> bool:
    kind, name, time_ns, value, quality = sample
    typed = value if kind == "d" else int(value) if kind == "q" else bool(value)
    return emit.add(name, time_ns, typed, quality)


def made(seed: int, count: int) -> Iterator[Sample]:
    """Many tags or few, stamps that go back, jump beyond a message's span, or are missing."""
    dice = random.Random(seed)
    names = [f"line{i}.{'x' * dice.randrange(1, 60)}" for i in range(dice.choice((2, 40, 400)))]
    now = START_NS
    for i in range(count):
        now += dice.choice((0, 1_000_000, -5_000_000, 10**9 if i % 50 == 0 else 7))
        if dice.randrange(400) == 0:
            now += 5 * 10**9
        kind = dice.choice("ddqb")
        value = {"d": dice.gauss(0, 1e3), "q": dice.getrandbits(62) - 2**61, "b": i & 1}[kind]
        stamp = NO_TIME if dice.randrange(150) == 0 else now
        name = "n" * 96 if dice.randrange(300) == 0 else dice.choice(names)
        yield kind, name, stamp, value, dice.choice((0, 0, 0x4000, 0x8000))


@pytest.mark.parametrize("seed", range(4))
def test_twins_give_the_same_bytes(seed: int, program: Path) -> None:
    rows = list(made(seed, 3000))
    messages: list[bytes] = []
    emit = Emitter(messages.append, stream=7, boot=11)
    kept = [add(emit, row) for row in rows]
    emit.flush()
    done = subprocess.run(
        [program], input=b"".join(map(line, rows)), capture_output=True, check=True
    )
    framed = b"".join(struct.pack("=I", len(message)) + message for message in messages)
    assert done.stdout == framed
    assert [int(word) for word in done.stderr.split()[:3]] == [3000, emit.sent, emit.lost]
    assert emit.lost == kept.count(False) > 0
    assert len(messages) == emit.messages > 3000 // SAMPLES_MAX


def test_a_message_is_what_native_readme_says() -> None:
    messages: list[bytes] = []
    emit = Emitter(messages.append, stream=3, boot=4)
    rows = [("a", START_NS + i, i * 0.5, 0) for i in range(40)] + [("b", START_NS, 7, 0x4000)]
    for name, time_ns, value, quality in rows:
        assert emit.add(name, time_ns, value, quality)
    emit.flush()
    assert messages == [packed(rows, stream=3, boot=4, seq=0)]
    assert repr(emit) == "<Emitter of stream 3: 41 samples sent, 0 lost, 0 waiting>"


def listening(open_engine: Open, port: int = 0, **more: str) -> Engine:
    source = f'bind = "tcp://127.0.0.1:{port}"'
    engine = open_engine(clock="system", kind="zmq_pull", source=source, **more)
    engine.start()
    return engine


def steady(count: int, first: int = 0) -> list[Sample]:
    now = time.time_ns()
    return [("d", f"m{i % 9}.flow", now + i * 1000, i / 7, 0) for i in range(first, first + count)]


def of(engine: Engine) -> tuple[int, int, int]:
    (source,) = engine.stats().sources
    assert source.residual == 0
    return source.received, source.used, source.lost_upstream or 0


def test_the_engine_receives_all_that_python_sends(open_engine: Open) -> None:
    engine = listening(open_engine)
    port = engine.port("line")
    assert port
    with Emitter(PushPeer("127.0.0.1", port), stream=7, boot=1) as emit:
        for row in steady(5000):
            assert add(emit, row)
    assert (emit.numbered, emit.sent, emit.lost) == (5000, 5000, 0)
    wait_until(lambda: of(engine) == (5000, 5000, 0), "all samples are used")


def test_the_engine_receives_all_that_c_sends(open_engine: Open, program: Path) -> None:
    engine = listening(open_engine)
    rows = b"".join(map(line, steady(5000)))
    command = [program, "127.0.0.1", str(engine.port("line"))]
    done = subprocess.run(command, input=rows, capture_output=True, check=True)
    assert done.stderr.split() == [b"5000", b"5000", b"0", b"1"]
    wait_until(lambda: of(engine) == (5000, 5000, 0), "all samples are used")


def test_counts_are_equal_when_the_peer_dies(open_engine: Open) -> None:
    engine = listening(open_engine)
    port = engine.port("line") or 0
    peer = PushPeer("127.0.0.1", port, timeout_s=0.05)
    emit = Emitter(peer, stream=7, boot=1)
    for row in steady(1000):
        add(emit, row)
    assert emit.flush()
    wait_until(lambda: of(engine)[0] == 1000, "the first thousand")
    engine.close()
    for row in steady(2000, 1000):
        add(emit, row)
    assert not emit.flush()
    assert emit.lost >= 1000
    assert emit.numbered == emit.sent + emit.lost == 3000
    again = listening(open_engine, port)

    def arrives() -> bool:
        add(emit, steady(1)[0])
        return emit.flush() and of(again)[0] > 1000

    wait_until(arrives, "the peer is back")
    wait_until(
        lambda: sum(of(again)[i] for i in (0, 2)) == emit.numbered, "every number is accounted for"
    )
    assert peer.connects == 2
    assert (
        of(again)[2] >= 1000
    )  # lost_upstream: what the sender counted, and what a dead socket took


def test_counts_are_equal_when_the_peer_of_c_dies(open_engine: Open, program: Path) -> None:
    engine = listening(open_engine)
    port = engine.port("line") or 0
    sender = subprocess.Popen(
        [program, "127.0.0.1", str(port)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert sender.stdin
    assert sender.stderr

    def send(rows: list[Sample]) -> list[int]:
        assert sender.stdin
        assert sender.stderr
        sender.stdin.write(b"".join(map(line, rows)) + b"flush\n")
        sender.stdin.flush()
        return [int(word) for word in sender.stderr.readline().split()]

    try:
        assert send(steady(1000)) == [1000, 1000, 0, 1]
        wait_until(lambda: of(engine)[0] == 1000, "the first thousand")
        engine.close()
        numbered, sent, lost, _ = send(steady(2000, 1000))
        assert numbered == sent + lost == 3000
        assert lost >= 1000
        again = listening(open_engine, port)
        wait_until(lambda: send(steady(1)) and of(again)[0] > 1000, "the peer is back")
        numbered = send([])[0]
        wait_until(lambda: of(again)[0] + of(again)[2] == numbered, "every number is accounted for")
    finally:
        sender.stdin.close()
        sender.wait()
        sender.stderr.close()


def test_a_peer_that_speaks_something_else_is_an_error_with_its_reason() -> None:
    import socket
    import threading

    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            made, _ = server.accept()
            with made:
                made.sendall(b"HTTP/1.1 400 Bad Request\r\n".ljust(64))
                made.recv(64)

        thread = threading.Thread(target=answer)
        thread.start()
        peer = PushPeer("127.0.0.1", server.getsockname()[1])
        with pytest.raises(ConnectionError, match="speaks no ZMTP 3"):
            peer(b"x")
        thread.join()
    assert repr(peer).endswith("not connected>")
