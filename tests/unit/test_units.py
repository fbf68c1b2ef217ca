"""Units: exactness. Every expectation is a literal from the defining standard, not computed by
the module.
"""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import units

DECIMALS = st.decimals(
    allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9
)
CODES = st.sampled_from(sorted(units.UNITS))


@pytest.mark.parametrize(
    ("value", "source", "target", "expected"),
    [
        ("1", "TNE", "KGM", "1000"),
        ("1", "LBR", "GRM", "453.59237"),
        ("1", "ONZ", "GRM", "28.349523125"),
        ("1", "STN", "KGM", "907.18474"),
        ("1", "LTN", "KGM", "1016.0469088"),
        ("1", "GLL", "LTR", "3.785411784"),
        ("1", "GLI", "LTR", "4.54609"),
        ("1", "BLL", "LTR", "158.987294928"),
        ("1", "OZA", "MLT", "29.5735295625"),
        ("1", "SMI", "MTR", "1609.344"),
        ("1", "YRD", "MTR", "0.9144"),
        ("1", "INK", "CMK", "6.4516"),
        ("2.5", "DZN", "C62", "30"),
        ("1.5", "KWH", "3B", "5.4"),
        ("90", "MIN", "HUR", "1.5"),
        ("32", "FAH", "CEL", "0"),
        ("212", "FAH", "CEL", "100"),
        ("-40", "CEL", "FAH", "-40"),
        ("36", "KMH", "MTS", "10"),
        ("60", "L2", "MQH", "3.6"),
        ("1", "H87", "C62", "1"),
        ("0.000001", "TNE", "GRM", "1"),
    ],
)
def test_conversion_is_exact(value: str, source: str, target: str, expected: str) -> None:
    assert units.to_text(units.convert(Decimal(value), source, target)) == expected


@given(DECIMALS, CODES, CODES)
def test_there_and_back_is_the_same_number(value: Decimal, source: str, target: str) -> None:
    if not units.is_convertible(source, target):
        with pytest.raises(ValueError, match="cannot be converted"):
            units.convert(value, source, target)
        return
    there = units.convert(value, source, target)
    assert units.convert(there, target, source) == Fraction(value)
    if units.is_exact_in_decimals(source, target):
        assert Fraction(units.to_text(there)) == there


def test_seconds_in_hours_need_a_rounding() -> None:
    assert not units.is_exact_in_decimals("SEC", "HUR")
    assert units.is_exact_in_decimals("HUR", "SEC")
    with pytest.raises(ValueError, match="endless"):
        units.to_text(units.convert(1, "SEC", "HUR"))


def test_unknown_and_foreign_codes_do_not_convert() -> None:
    assert units.find("PCE") is None
    assert not units.is_convertible("KGM", "LTR")
    assert not units.is_convertible("", "KGM")
    assert not units.is_exact_in_decimals("KGM", "LTR")


def test_package_codes_convert_to_themselves_only() -> None:
    assert units.is_convertible("XBX", "XBX")
    assert not units.is_convertible("XBX", "XPX")
    assert not units.is_convertible("XBX", "C62")


@pytest.mark.parametrize(
    ("value", "step", "rounding", "expected"),
    [
        ("0.5", "1", "half_even", "0"),
        ("1.5", "1", "half_even", "2"),
        ("2.5", "1", "half_even", "2"),
        ("-2.5", "1", "half_even", "-2"),
        ("2.5", "1", "half_up", "3"),
        ("-2.5", "1", "half_up", "-3"),
        ("2.999", "1", "down", "2"),
        ("-2.999", "1", "down", "-2"),
        ("2.001", "1", "up", "3"),
        ("-2.001", "1", "up", "-3"),
        ("3", "1", "up", "3"),
        ("0.1249", "0.001", "half_even", "0.125"),
        ("0.1245", "0.001", "half_even", "0.124"),
        ("7.3", "0.5", "half_even", "7.5"),
        ("12", "5", "half_even", "10"),
    ],
)
def test_rounding_goes_to_the_named_step(
    value: str, step: str, rounding: str, expected: str
) -> None:
    found = units.round_to(Fraction(value), Decimal(step), rounding)
    assert units.to_text(found) == expected


@given(
    DECIMALS, st.sampled_from(["1", "0.1", "0.25", "0.003", "7"]), st.sampled_from(units.ROUNDINGS)
)
def test_rounded_is_a_multiple_within_one_step(value: Decimal, step: str, rounding: str) -> None:
    found = units.round_to(Fraction(value), Decimal(step), rounding)
    assert (found / Fraction(step)).denominator == 1
    distance = abs(found - Fraction(value))
    assert distance < Fraction(step)
    if rounding.startswith("half"):
        assert distance <= Fraction(step) / 2


@given(DECIMALS)
def test_text_is_canonical_and_reads_back(value: Decimal) -> None:
    text = units.to_text(Fraction(value))
    assert Decimal(text) == value
    assert "e" not in text.lower()
    assert text != "-0"
    if "." in text:
        assert not text.endswith(("0", "."))
    assert text == units.to_text(
        Fraction(Decimal(str(value) + "0" if "." in str(value) else f"{value}.0"))
    )


@pytest.mark.parametrize("text", ["0", "-1", "1e-3", "0,001", "", " 1", "1.", "nan", "٣"])
def test_a_step_is_plain_digits_above_zero(text: str) -> None:
    assert units.read_step(text) is None


def test_steps_are_exact() -> None:
    assert units.read_step("0.001") == Decimal("0.001")
    assert units.read_step("5") == Decimal(5)
