"""operator.csv with bytes that nobody meant: each file is read, or refused with file and line; what
was read is done by an engine, or refused with its line.

Hypothesis draws the bytes, and files that are almost right.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from border_kit import TAGS, excursions, make_config, put
from hypothesis import example, given, settings
from hypothesis import strategies as st

from penstock import Engine
from penstock.config import Config
from penstock.errors import InputError
from penstock.replay.operator import COLUMNS, read_operations

HEAD = ",".join(COLUMNS)
TIMES = ("2026-09-21T14:13:30Z", "1790000000", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z",
         "1e400", "-1", "inf", "nan", "9" * 40)  # fmt: skip
text = st.text(max_size=12)
rows = st.tuples(
    st.sampled_from(TIMES) | text,
    st.sampled_from(("acknowledge", "shelve", "unshelve", "reset")) | text,
    st.just("high") | st.just("second") | text,
    st.just(TAGS[0]) | text,
    st.just("uid:1") | text,
    st.sampled_from(("", *TIMES)) | text,
    st.sampled_from(("", "\0", "ü" * 60, '"', "a,b")) | text,
)
files = st.builds(
    lambda head, lines: "\n".join([head, *(",".join(each) for each in lines)]).encode(),
    st.just(HEAD) | st.permutations(COLUMNS).map(",".join) | text,
    st.lists(rows, max_size=4),
)


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, Config]]:
    with tempfile.TemporaryDirectory(prefix="penstock-operator-", dir="/dev/shm") as ring:
        config = make_config(tmp_path_factory.mktemp("operator") / "state", Path(ring))
        with Engine(config, clock="manual") as engine:
            put(engine, excursions(3))
            yield engine, config


def wrong_line(path: Path, act: Callable[[], object]) -> None:
    """Nothing, or what names the file's line."""
    try:
        act()
    except InputError as wrong:
        assert str(wrong).startswith(f"{path}: line ")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=100) | files)
@example(b"\xff\xfe\n")
@example(HEAD.encode() + b"\n\xff")
@example(b"\0")
@example(HEAD.encode() + b'\n"' + b"x" * 200_000)
def test_any_file_is_read_or_refused_with_its_line(
    plant: tuple[Engine, Config], content: bytes
) -> None:
    engine, config = plant
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        path = Path(folder) / "operator.csv"
        path.write_bytes(content)
        found = []
        wrong_line(path, lambda: found.extend(read_operations(path, config)))
        for each in found:
            wrong_line(path, lambda each=each: each.tell(engine))
