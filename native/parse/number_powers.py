"""Writes number_powers.h, the 128-bit powers of five that number.c multiplies by.

Run ``python3 number_powers.py > number_powers.h`` in this folder; a test compares the two.

Each entry holds the 128 most significant bits of 5**q, its top bit set. For q >= 0 they are
truncated. For -27 <= q < 0 the reciprocal is rounded up, so that a product with an exactly
representable quotient never falls short of it; below, it is truncated. (D. Lemire, Number Parsing
at a Gigabyte per Second, Software: Practice and Experience 51(8), 2021, section 5.)
"""

from __future__ import annotations

import sys

Q_MIN = -64  # a least float in 17 digits has 10**-61; what lies outside goes to strtod
Q_MAX = 64


def power(q: int) -> int:
    """The 128 most significant bits of 5**q."""
    if q >= 0:
        value: int = 5**q
        shift = value.bit_length() - 128
        return value >> shift if shift > 0 else value << -shift
    divisor: int = 5**-q
    # 5**-q is no power of two, so 2**(bits + 127) / 5**-q lies strictly between 2**127 and 2**128.
    quotient = (1 << (divisor.bit_length() + 127)) // divisor
    return quotient + 1 if q >= -27 else quotient


def header() -> str:
    """The text of number_powers.h."""
    lines = [
        "/* number_powers: 128 bits of 5^q, q = PSTK_POWER_MIN..PSTK_POWER_MAX, high half first.",
        " * Made by number_powers.py; a test compares. */",
        "#ifndef PSTK_NUMBER_POWERS_H",
        "#define PSTK_NUMBER_POWERS_H",
        "",
        "#include <stdint.h>",
        "",
        f"#define PSTK_POWER_MIN ({Q_MIN})",
        f"#define PSTK_POWER_MAX {Q_MAX}",
        "",
        "/* clang-format off */",
        "static const uint64_t number_powers[PSTK_POWER_MAX - PSTK_POWER_MIN + 1][2] = {",
    ]
    entries = [
        f"{{0x{p >> 64:016x}, 0x{p & (1 << 64) - 1:016x}}},"
        for p in map(power, range(Q_MIN, Q_MAX + 1))
    ]
    lines += ["    " + " ".join(entries[i : i + 2]) for i in range(0, len(entries), 2)]
    lines += ["};", "/* clang-format on */", "", "#endif", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(header())
