"""The parser against what others wrote: JSON corpora, Python's reader, and the README's examples.

Doubles are compared bit for bit with ``float()``. The corpora lie in ``PENSTOCK_CORPORA`` (default
``<repo>/../shared/data``) and are skipped where absent. ``tool_parse_json`` is built here with ASan
and UBSan, or taken from ``PENSTOCK_TOOL_PARSE_JSON``.
"""

from __future__ import annotations

import json
import math
import os
import random
import re
import runpy
import shutil
import struct
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
CORPORA = Path(os.environ.get("PENSTOCK_CORPORA", ROOT.parent / "shared" / "data"))
SEED = 20261123


@dataclass
class Sample:
    """One line of the tool: bits are of the value, text is of a code."""

    kind: str
    bits: int
    text: str
    time_ns: int | None
    quality: int
    name: str


@dataclass
class Document:
    """What the parser said of one payload."""

    is_accepted: bool
    count: int
    header: list[int] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)


def _read_sample(line: str) -> Sample:
    kind, value, time_ns, quality, name = line.split(" ", 4)
    return Sample(
        kind=kind,
        bits=0 if kind == "code" else int(value, 16),
        text=bytes.fromhex(value).decode() if kind == "code" else "",
        time_ns=None if time_ns == "-" else int(time_ns),
        quality=int(quality),
        name=name,
    )


def _read_output(text: str) -> list[Document]:
    documents: list[Document] = []
    for line in text.removesuffix("\n").split("\n"):  # names may hold other line ends
        words = line.split(" ")
        if words[0] in ("accept", "reject"):
            is_accepted = words[0] == "accept"
            header = [int(word) for word in words[2:]] if is_accepted else []
            documents.append(Document(is_accepted, int(words[1]), header))
        elif words[0] == "dropped":
            documents[-1].dropped[words[1]] = int(words[2])
        else:
            documents[-1].samples.append(_read_sample(line))
    for document in documents:
        if document.is_accepted:
            assert document.count == len(document.samples) + sum(document.dropped.values())
    return documents


Run = Callable[..., list[Document]]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Gives payloads to one tool_parse_json and returns a Document for each."""
    tool = os.environ.get("PENSTOCK_TOOL_PARSE_JSON", "")
    if not tool:
        tool = str(tmp_path_factory.mktemp("tool") / "tool_parse_json")
        native = ROOT / "native"
        sources = [*native.glob("base/*.c"), *native.glob("parse/*.c")]
        flags = ["-std=gnu11", "-O1", "-g", "-D_GNU_SOURCE", "-ffp-contract=off"]
        flags += ["-fno-strict-aliasing"]
        flags += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", f"-I{native}"]
        compiler = os.environ.get("CC", "cc").split()
        files = [str(path) for path in [*sources, ROOT / "tests" / "native" / "tool_parse_json.c"]]
        subprocess.run([*compiler, *flags, *files, "-o", tool], check=True)

    def call(
        payloads: Sequence[bytes], *options: str, env: dict[str, str] | None = None
    ) -> list[Document]:
        done = subprocess.run(
            [tool, "--sized", *options],
            input=b"".join(struct.pack("<I", len(payload)) + payload for payload in payloads),
            capture_output=True,
            env={**os.environ, **(env or {})},
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        documents = _read_output(done.stdout.decode())
        assert len(documents) == len(payloads)
        return documents

    return call


def corpus(name: str) -> Path:
    """A folder of the corpora, or a skip that says which one is missing."""
    folder = CORPORA / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    return folder


def bits(value: float) -> int:
    """The bits as they are stored: one zero only."""
    return int(struct.unpack("<Q", struct.pack("<d", value + 0.0 if value else 0.0))[0])


def check_numbers(run: Run, texts: list[str]) -> None:
    """Each text is JSON, and its double is that of ``float()``; infinite ones are counted range."""
    documents = run([f'{{"name":"n","value":{text}}}'.encode() for text in texts])
    wrong = []
    for text, document in zip(texts, documents, strict=True):
        expected = float(text)
        if math.isinf(expected):
            is_right = document.dropped == {"range": 1}
        else:
            is_right = [s.bits for s in document.samples] == [bits(expected)]
        if not is_right:
            wrong.append((text, document))
    assert not wrong


def check_refused(run: Run, texts: list[str]) -> None:
    """No text is a JSON value."""
    documents = run([f'{{"name":"n","value":{text}}}'.encode() for text in texts])
    accepted = [
        text for text, document in zip(texts, documents, strict=True) if document.is_accepted
    ]
    assert not accepted


# ---- corpora ---------------------------------------------------------------------------------


def test_json_test_suite_is_accepted_and_refused_as_it_says(run: Run) -> None:
    paths = sorted((corpus("json-test-suite") / "test_parsing").glob("*.json"))
    documents = run([path.read_bytes() for path in paths])
    # Free cases: every number is JSON; text that is not UTF-8 and depth above 32 is not taken.
    wanted = [path.name.startswith(("y_", "i_number")) for path in paths]
    found = zip(paths, documents, wanted, strict=True)
    assert not [path.name for path, document, want in found if document.is_accepted != want]
    kinds = Counter(path.name[0] for path in paths)
    assert kinds == {"y": 95, "n": 188, "i": 35}


def test_json_test_suite_numbers_are_those_of_python(run: Run) -> None:
    folder = corpus("json-test-suite") / "test_transform"
    texts = [
        path.read_text().strip()[1:-1].strip() for path in sorted(folder.glob("number_*.json"))
    ]
    assert len(texts) >= 9
    check_numbers(run, texts)


def test_yyjson_documents_are_accepted_and_refused_as_their_names_say(run: Run) -> None:
    folder = corpus("yyjson-vectors") / "test" / "data" / "json"
    paths = sorted(folder.glob("test_*/*.json"))
    documents = run([path.read_bytes() for path in paths])
    wrong = []
    for path, document in zip(paths, documents, strict=True):
        # In brackets stands an extension of JSON that the case needs, or "fail".
        wanted = not set(re.findall(r"\((\w+)\)", path.name)) - {"bignum"}
        if path.parent.name == "test_encoding":
            wanted = path.name == "utf8.json"
        if document.is_accepted != wanted:
            wrong.append(path.name)
    assert not wrong
    assert len(paths) > 200


def _number_lines(name: str) -> list[str]:
    lines = (corpus("yyjson-vectors") / "test" / "data" / "num" / name).read_text().splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


@pytest.mark.parametrize(
    "name",
    [
        "int.txt",
        "int(big).txt",
        "int(inf).txt",
        "real_1.txt",
        "real_2.txt",
        "real_5.txt",
        "real_6.txt",
        "real(inf).txt",
    ],
)
def test_yyjson_numbers_are_those_of_python(run: Run, name: str) -> None:
    check_numbers(run, _number_lines(name))


@pytest.mark.parametrize(
    "name",
    [
        "int(ext).txt",
        "int(fail).txt",
        "real(ext).txt",
        "real(fail).txt",
        "real(inf)(ext).txt",
        "hex(ext).txt",
        "hex(ext)(big).txt",
        "hex(fail).txt",
        "literal.txt",
        "literal(ext).txt",
        "literal(fail).txt",
    ],
)
def test_yyjson_numbers_that_are_not_json_are_refused(run: Run, name: str) -> None:
    check_refused(run, _number_lines(name))


# ---- against Python --------------------------------------------------------------------------


def random_number(rng: random.Random) -> str:
    """A number as somebody might write it: shortest, cut, fixed, long, or an integer."""
    value = struct.unpack("<d", rng.randbytes(8))[0]
    shape = rng.randrange(6)
    if shape == 0 and math.isfinite(value):
        return repr(value)
    if shape == 1 and math.isfinite(value):
        return f"{value:.{rng.randrange(40)}e}"
    if shape == 2:
        return f"{rng.uniform(-1e5, 1e5):.{rng.randrange(9)}f}"
    if shape == 3:
        return str(rng.randrange(-(1 << rng.randrange(1, 90)), 1 << rng.randrange(1, 90)))
    if shape == 4:
        return f"{rng.randrange(10**19)}.{rng.randrange(10**25)}E{rng.randrange(-350, 320):+d}"
    # Halfway between two doubles, and just beside it: only exact arithmetic tells.
    tie = (2 * rng.randrange(1 << 52, 1 << 53) + 1) << rng.randrange(60)
    return str(tie) + rng.choice(["", ".0", ".0000000000000000000000001"])


def test_random_doubles_are_those_of_python(run: Run) -> None:
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    check_numbers(run, [random_number(rng) for _ in range(20_000)])


def test_integers_are_exact_in_an_i64_tag(run: Run) -> None:
    rng = random.Random(SEED)
    edge = [2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 10**25, 0]
    values = edge + [rng.randrange(-(2**64), 2**64) for _ in range(2000)]
    payloads = [f'{{"name":"count","value":{value}}}'.encode() for value in values]
    documents = run(payloads, "--i64", "count")
    for value, document in zip(values, documents, strict=True):
        if -(2**63) <= value < 2**63:
            assert [(s.kind, s.bits) for s in document.samples] == [("i64", value % 2**64)]
        else:
            assert document.dropped == {"range": 1}


def test_a_decimal_comma_in_the_locale_changes_nothing(run: Run, tmp_path: Path) -> None:
    localedef = shutil.which("localedef")
    if not localedef:
        pytest.skip("localedef is not here")
    made = subprocess.run(
        [localedef, "-i", "de_DE", "-f", "UTF-8", str(tmp_path / "de_DE.UTF-8")],
        capture_output=True,
        check=False,
    )
    comma = {"LOCPATH": str(tmp_path), "LC_ALL": "de_DE.UTF-8"}
    point = subprocess.run(
        ["locale", "decimal_point"], env={**os.environ, **comma}, capture_output=True, check=False
    )
    if made.returncode > 1 or point.stdout.strip() != b",":
        pytest.skip("no locale with a decimal comma can be made here")
    # A tie with digits cut off: decided by the slow path, which is where a locale could enter.
    text = (
        b'[{"name":"a","value":9007199254740993.00000000000000000000001},{"name":"b","value":0.5}]'
    )
    (document,) = run([text], env=comma)
    assert [s.bits for s in document.samples] == [bits(9007199254740994.0), bits(0.5)]


def _python_accepts(data: bytes) -> bool:
    """Whether Python, made as strict as RFC 8259, reads it."""

    def refuse(text: str) -> Any:
        raise ValueError(text)

    try:
        text = data.decode("utf-8")
        json.loads(text, parse_constant=refuse).__repr__()
        json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8")  # no lone surrogate
    except ValueError:
        return False
    return not text.startswith("\ufeff")


def test_spoiled_documents_are_judged_as_python_does(run: Run) -> None:
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    whole = [
        '{"name":"x","value":-1.5e+3,"quality":0,"time":"2026-01-01T00:00:00Z"}',
        '[{"a":1,"b":{"c":[true,false,null,"\\u00fc\\ud83c\\udfed\\n"]}},"x",[],{}]',
        ' { "K\u00fchlung.\u6e29\u5ea6" : 0.1 , "\\"\\\\\\/" : [ 1 , 2 ] } ',
    ]
    spoiled = []
    for _ in range(6000):
        data = bytearray(rng.choice(whole).encode())
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(data))
            byte = rng.choice(b'{}[]",:\\u0019.eE+-truefalsn \t\x00\x1f\x7f\x80\xc3\xed\xff')
            match rng.randrange(3):
                case 0:
                    data[at] = byte
                case 1:
                    data.insert(at, byte)
                case _:
                    del data[at : at + rng.randrange(1, 5)]
                    data = data or bytearray(b" ")
        spoiled.append(bytes(data))
    documents = run(spoiled)
    expected = [_python_accepts(data) for data in spoiled]
    assert [d.is_accepted for d in documents] == expected
    assert 300 < sum(expected) < 5700  # both answers were asked for


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=7),
)
names = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=20).filter(
    lambda name: name not in {"t", "ts", "time", "timestamp", "v", "value", "stream", "boot", "seq"}
)


def _flat(prefix: str, document: dict[str, Any]) -> list[tuple[str, Any]]:
    members: list[tuple[str, Any]] = []
    for name, value in document.items():
        if isinstance(value, dict):
            members += _flat(f"{prefix}{name}.", value)
        elif value is not None:
            members.append((prefix + name, value))
    return members


def _stored(value: Any) -> tuple[str, int, str]:
    if isinstance(value, bool):
        return "bool", int(value), ""
    if isinstance(value, str):
        return "code", 0, value
    return "f64", bits(float(value)), ""


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    document=st.recursive(
        st.dictionaries(names, values, max_size=6),
        lambda inner: st.dictionaries(names, inner | values, max_size=4),
        max_leaves=12,
    ),
    is_ascii=st.booleans(),
    indent=st.sampled_from([None, 1]),
)
def test_flat_documents_give_what_python_reads(
    run: Run, document: dict[str, Any], is_ascii: bool, indent: int | None
) -> None:
    data = json.dumps(document, ensure_ascii=is_ascii, indent=indent).encode()
    (result,) = run([data])
    members = _flat("", document)
    assert result.is_accepted
    assert result.count == len(members)
    kinds: dict[str, str] = {}
    expected = []
    for name, value in members:
        kind, value_bits, text = _stored(value)
        is_usable = len(name.encode()) <= 95 and len(text.encode()) <= 31
        if is_usable and kinds.setdefault(name, kind) == kind:  # joined names may meet
            expected.append((kind, value_bits, text, name))
    assert [(s.kind, s.bits, s.text, s.name) for s in result.samples] == expected


# ---- what is written down --------------------------------------------------------------------


def test_powers_of_five_are_what_their_generator_writes() -> None:
    generator = runpy.run_path(str(ROOT / "native" / "parse" / "number_powers.py"))
    assert (ROOT / "native" / "parse" / "number_powers.h").read_text() == generator["header"]()


def readme_section(title: str) -> str:
    """The text of one section of native/README.md."""
    text = (ROOT / "native" / "README.md").read_text()
    return re.split(r"^## ", text.split(f"\n## {title}\n", 1)[1], maxsplit=1, flags=re.M)[0]


def readme_emitter() -> Callable[..., bytes]:
    """The gateway programmer's function, out of the README."""
    source = re.findall(r"```python\n(.*?)```", readme_section("packed v1"), re.S)[0]
    assert len(source.splitlines()) <= 20
    scope: dict[str, Any] = {}
    exec(source, scope)
    emitter: Callable[..., bytes] = scope["packed"]
    return emitter


def test_readme_emitter_is_understood(run: Run) -> None:
    base = 1_700_000_000_000_000_000
    sent = [
        ("line1.m01.temp", base + 250_000, 21.5, 0),
        ("line1.m01.good", base, 2**53 + 1, 0x4000),
        ("line1.m01.on", base + 4_000_000_000, True, 0),
        ("line1.m01.temp", base + 500_000, -0.25, 0x8000),
        ("K\u00fchlung", base + 1, -1, 0),
    ]
    data = readme_emitter()(sent, stream=7, boot=1_700_000_000, seq=41)
    (document,) = run([data], "--packed")
    assert document.is_accepted
    assert document.header == [7, 1_700_000_000, 41]
    assert not document.dropped
    received = [(s.name, s.time_ns, s.quality) for s in document.samples]
    assert received == [(name, time_ns, quality) for name, time_ns, _, quality in sent]
    assert [s.kind for s in document.samples] == ["f64", "i64", "bool", "f64", "i64"]
    expected = [bits(21.5), 2**53 + 1, 1, bits(-0.25), 2**64 - 1]
    assert [s.bits for s in document.samples] == expected


def test_readme_example_is_64_bytes_and_is_what_the_emitter_sends(run: Run) -> None:
    rows = re.findall(
        r"^    [0-9a-f]{2}  ((?:[0-9a-f]{2} ?){16})$", readme_section("packed v1"), re.M
    )
    data = bytes.fromhex(" ".join(rows))
    stamp = 1_700_000_000_123_250_000
    assert len(data) == 64
    (document,) = run([data], "--packed")
    assert document.header == [7, 1_700_000_000, 41]
    assert document.samples == [Sample("f64", bits(21.5), "", stamp, 0, "line1.m01.temp")]
    sent = readme_emitter()(
        [("line1.m01.temp", stamp, 21.5, 0)], stream=7, boot=1_700_000_000, seq=41
    )
    assert sent[:24] == data[:24]  # between them lies time0: the example has a dt
    assert sent[32:56] == data[32:56]


README_DOCUMENTS: list[tuple[str, list[tuple[str, Any]]]] = [
    ('{"name": "x", "value": 1.5, "time": 1700000000123, "quality": 0}', [("x", 1.5)]),
    ('{"value": 1.5}', [("subject", 1.5)]),
    (
        '{"stream": 7, "boot": 1, "seq": 41, "good": 5, "on": true, "state": "RUN"}',
        [("good", 5), ("on", True), ("state", "RUN")],
    ),
    (
        '{"motor": {"rpm": 1480, "in": {"temp": 61.5}}}',
        [("motor.rpm", 1480), ("motor.in.temp", 61.5)],
    ),
]


@pytest.mark.parametrize(("text", "expected"), README_DOCUMENTS)
def test_readme_documents_give_what_it_says(
    run: Run, text: str, expected: list[tuple[str, Any]]
) -> None:
    assert f"`{text}`" in readme_section("json")
    (document,) = run([text.encode()], "--subject", "subject")
    found = [(s.name, (s.kind, s.bits, s.text)) for s in document.samples]
    assert found == [(name, _stored(value)) for name, value in expected]
