"""pxd: native/penstock.h becomes src/penstock/_native.pxd, so that Cython's view of C is never kept
by hand.

Usage: python tools/pxd.py [--check]. Needs a C preprocessor; the result is committed and a test
compares it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = ROOT / "native" / "penstock.h"
TARGET = ROOT / "src" / "penstock" / "_native.pxd"
HEAD = """# Generated from native/penstock.h by tools/pxd.py; do not edit.
from libc.stdint cimport (int8_t, int16_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t)

cdef extern from "penstock.h" nogil:
"""


def preprocessed() -> str:
    """The header with its macros expanded and nothing of the system's headers."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("stddef.h", "stdint.h"):
            (Path(folder) / name).write_text("")
        command = ["cc", "-E", "-P", "-nostdinc", "-I", folder, "-U__GNUC__", str(HEADER)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def constants() -> list[str]:
    """Plain integer macros, as anonymous enum members."""
    names = re.findall(r"^#define (PSTK_\w+) -?\(?[\dxu]+", HEADER.read_text(), re.M)
    return [*(f"    enum: {name}" for name in names), "    const int64_t PSTK_TIME_NONE"]


def struct_fields(body: str) -> list[str]:
    """`uint64_t received, used;` becomes one line a field; array bounds stand as they are."""
    lines = []
    for statement in filter(None, (part.strip() for part in body.split(";"))):
        kind, _, names = " ".join(statement.split()).partition(" ")
        if kind == "const":
            second, _, names = names.partition(" ")
            kind = f"const {second}"
        for name in names.split(","):
            bare = re.sub(r"(\d)u\b", r"\1", " ".join(name.split()))
            lines.append(f"        {kind} {bare}")
    return lines


def declarations(text: str) -> list[str]:
    lines: list[str] = []
    pattern = re.compile(
        r"(?:typedef )?(?P<kind>enum|struct|union)\s*(?P<tag>\w*)\s*"
        r"\{(?P<body>[^}]*)\}\s*(?P<name>\w*)\s*;"
        r"|typedef struct (?P<opaque>\w+) (?P=opaque);"
        r"|(?P<call>[\w\s*]+?\bpstk_\w+\([^;]*?\));",
        re.S,
    )
    for match in pattern.finditer(text):
        if match["opaque"]:
            lines.append(f"    ctypedef struct {match['opaque']}:\n        pass")
        elif match["call"]:
            call = re.sub(
                r"^(PSTK_API|PSTK_MUST_CHECK|extern)\s+", "", " ".join(match["call"].split())
            )
            lines.append("    " + call.replace("(void)", "()"))
        elif match["kind"] == "enum":
            members = [part.split("=")[0].strip() for part in match["body"].split(",")]
            named = f"    ctypedef enum {match['name']}:" if match["name"] else "    cdef enum:"
            lines += [named, *(f"        {member}" for member in members if member)]
        else:
            lines += [
                f"    ctypedef {match['kind']} {match['name']}:",
                *struct_fields(match["body"]),
            ]
    return lines


def render() -> str:
    return HEAD + "\n".join([*constants(), *declarations(preprocessed())]) + "\n"


def main() -> int:
    wanted = render()
    if "--check" in sys.argv[1:]:
        if TARGET.read_text() == wanted:
            return 0
        print(
            f"{TARGET.relative_to(ROOT)} is older than the header; run python tools/pxd.py",
            file=sys.stderr,
        )
        return 1
    TARGET.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
