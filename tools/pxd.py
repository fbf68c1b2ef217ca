"""pxd: native/penstock.h becomes src/penstock/_native.pxd, so that Cython's view of C is never kept
by hand: declarations, and a table of fields for each plain structure, by which dictionaries become
structures. A field added to the header needs no line in Cython.

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
    cdef struct ArrowSchema:
        void (*release)(ArrowSchema *)
    cdef struct ArrowArray:
        void (*release)(ArrowArray *) noexcept
    cdef struct ArrowArrayStream:
        int (*get_schema)(ArrowArrayStream *, ArrowSchema *out) noexcept
        int (*get_next)(ArrowArrayStream *, ArrowArray *out) noexcept
        const char *(*get_last_error)(ArrowArrayStream *) noexcept
        void (*release)(ArrowArrayStream *) noexcept
"""
# C of the tables: where each field lies is the compiler's to say.
FIELD_TYPES = {
    "char": "s", "uint8_t": "B", "uint16_t": "H", "uint32_t": "I", "uint64_t": "Q", "int8_t": "b",
    "int16_t": "h", "int32_t": "i", "int64_t": "q", "double": "d", "pstk_value": "v",
}  # fmt: skip
TABLES_C = """
cdef extern from *:
    \"\"\"
    #include <stddef.h>
    #include "penstock.h"
    typedef struct pstk_field { /* a table ends with a field without a name */
        const char *name;
        const struct pstk_field *inner; /* of a structure within */
        uint32_t at, bytes, count;      /* bytes of one element; a text is one element */
        char kind; /* as in struct: s B H I Q b h i q d; v pstk_value, T inner */
        char is_array;
    } pstk_field;
    #define PSTK_FIELD(type, field, element, kind, inner, is_array) \\
        {#field, inner, offsetof(type, field), sizeof(((type *)0)->element), \\
         sizeof(((type *)0)->field) / sizeof(((type *)0)->element), kind, is_array}
@TABLES@
    \"\"\"
    ctypedef struct pstk_field:
        const char *name
        const pstk_field *inner
        uint32_t at, bytes, count
        char kind, is_array
@NAMES@
"""


def preprocessed() -> str:
    """The header with its macros expanded and nothing of the system's headers."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("stddef.h", "stdint.h"):
            (Path(folder) / name).write_text("")
        command = ["cc", "-E", "-P", "-nostdinc", "-I", folder, "-U__GNUC__", str(HEADER)]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    # Arrow's own structures hold functions: HEAD declares what of them is called.
    return re.sub(r"^struct Arrow\w+ \{.*?^\};", "", text, flags=re.S | re.M)


def with_parts(header: Path) -> str:
    """Its text with the headers it is made of in place."""
    return re.sub(
        r'^#include "(penstock_\w+\.h)".*$',
        lambda part: with_parts(header.with_name(part[1])),
        header.read_text(),
        flags=re.M,
    )


def constants() -> list[str]:
    """Plain integer macros, as anonymous enum members."""
    names = re.findall(r"^#define (PSTK_\w+) -?\(?[\dxu]+", with_parts(HEADER), re.M)
    return [*(f"    enum: {name}" for name in names), "    const int64_t PSTK_TIME_NONE"]


def struct_fields(body: str) -> list[str]:
    """`uint64_t received, used;` becomes one line a field; array bounds stand as they are."""
    lines = []
    for statement in filter(None, (part.strip() for part in body.split(";"))):
        kind, _, names = " ".join(statement.split()).partition(" ")
        if kind == "const":
            second, _, names = names.partition(" ")
            kind = f"const {second}"
        if kind in ("struct", "const struct"):
            second, _, names = names.partition(" ")
            kind = kind.replace("struct", second)
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
            call = call.replace("(void)", "()").replace("struct Arrow", "Arrow")
            lines.append("    " + call)
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


def field_row(struct: str, kind: str, declared: str, tables: list[str]) -> str | None:
    """One line of a table; None for what nobody outside sets: reserved bytes, pointers, unions."""
    name, *dimensions = declared.replace("]", "").split("[")
    if name.startswith("reserved") or (kind not in FIELD_TYPES and kind not in tables):
        return None
    is_text = kind == "char"
    is_array = len(dimensions) > int(is_text)
    element = f"{name}[0]" if is_array else name
    letter = FIELD_TYPES.get(kind, "T")
    inner = "0" if letter != "T" else f"pstk_fields_{kind}"
    return f"        PSTK_FIELD({struct}, {name}, {element}, '{letter}', {inner}, {int(is_array)}),"


def field_tables(declared: list[str]) -> str:
    """A table for each structure that holds no pointer, in the header's order."""
    tables: list[str] = []
    lines: list[str] = []
    structs = re.findall(r"    ctypedef struct (\w+):\n((?:        .+\n?)+)", "\n".join(declared))
    for struct, body in structs:
        fields = [line.split(maxsplit=1) for line in body.splitlines()]
        if "*" in body or "size_t" in body or len(fields[0]) < 2:
            continue
        rows = [field_row(struct, kind, name, tables) for kind, name in fields]
        lines.append(f"    static const pstk_field pstk_fields_{struct}[] = {{")
        lines += [*(row for row in rows if row), "        {0},", "    };"]
        tables.append(struct)
    names = "\n".join(f"    const pstk_field pstk_fields_{table}[1]" for table in tables)
    return TABLES_C.replace("@TABLES@", "\n".join(lines)).replace("@NAMES@", names)


def render() -> str:
    declared = declarations(preprocessed())
    return HEAD + "\n".join([*constants(), *declared]) + "\n" + field_tables(declared)


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
