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
words = st.text(max_size=12)
rows = st.tuples(
    st.sampled_from(TIMES) | words,
    st.sampled_from(("acknowledge", "shelve", "unshelve", "reset")) | words,
    st.just("high") | st.just("second") | words,
    st.just(TAGS[0]) | words,
    st.just("uid:1") | words,
    st.sampled_from(("", *TIMES)) | words,
    st.sampled_from(("", "\0", "ü" * 60, '"', "a,b")) | words,
)
files = st.builds(
    lambda head, lines: "\n".join([head, *(",".join(each) for each in lines)]).encode(),
    st.just(HEAD) | st.permutations(COLUMNS).map(",".join) | words,
    st.lists(rows, max_size=4),
)


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Engine, Config]]:
    with tempfile.TemporaryDirectory(prefix="penstock-operator-", dir="/dev/shm") as ring:
        config = make_config(tmp_path_factory.mktemp("operator") / "state", Path(ring))
        with Engine(config, clock="manual") as engine:
            put(engine, excursions(3))
            yield engine, config


def refusal(act: Callable[[], object]) -> str:
    """Of what was not taken; "" where it was."""
    try:
        act()
    except InputError as wrong:
        return str(wrong)
    return ""


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
        said = [refusal(lambda: found.extend(read_operations(path, config)))]
        said += [refusal(lambda each=each: each.tell(engine)) for each in found]
        for text in filter(None, said):
            assert text.startswith(f"{path}: line ")
