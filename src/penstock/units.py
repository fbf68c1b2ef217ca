"""Units: an exact number in one unit becomes the same exact number in another.

Codes are UN/ECE Recommendation 20 ("Codes for Units of Measure Used in International Trade");
packages may also bear ``X`` and two characters (Recommendation 21). Factors are exact by
definition: SI Brochure, 9th edition; the international yard and pound agreement of 1959 (yard
0.9144 m, pound 0.45359237 kg); US gallon 231 cubic inches; imperial gallon 4.54609 L; standard
gravity 9.80665 m/s2. A unit with no exact factor is not in the table. Binary floating point never
takes part.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from types import MappingProxyType

_PACKAGE = re.compile(r"X[0-9A-Z]{2}")
_STEP = re.compile(r"[0-9]+(\.[0-9]+)?")

ROUNDINGS = ("half_even", "half_up", "down", "up")


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit: ``base = value * factor + offset`` within its ``dimension``."""

    code: str
    name: str
    dimension: str
    factor: Fraction
    offset: Fraction = Fraction(0)


_INCH = Fraction("0.0254")
_FOOT = 12 * _INCH
_POUND = Fraction("0.45359237")
_KELVIN_AT_0_C = Fraction("273.15")

# dimension: code, name, factor to the dimension's base. ISO names; only units a plant counts,
# weighs, meters or logs.
_TABLE: dict[str, tuple[tuple[str, str, Fraction | str], ...]] = {
    "count": (
        ("C62", "one", "1"),
        ("H87", "piece", "1"),
        ("EA", "each", "1"),
        ("PR", "pair", "2"),
        ("DZN", "dozen", "12"),
        ("GRO", "gross", "144"),
        ("CEN", "hundred", "100"),
        ("MIL", "thousand", "1000"),
    ),
    "set": (("SET", "set", "1"),),
    "ratio": (("P1", "percent", "0.01"), ("59", "part per million", "0.000001")),
    "mass": (
        ("KGM", "kilogram", "1"),
        ("GRM", "gram", "0.001"),
        ("MGM", "milligram", "0.000001"),
        ("MC", "microgram", "0.000000001"),
        ("HGM", "hectogram", "0.1"),
        ("DTN", "decitonne", "100"),
        ("TNE", "tonne", "1000"),
        ("LBR", "pound", _POUND),
        ("ONZ", "ounce", _POUND / 16),
        ("STN", "ton (US), short ton", _POUND * 2000),
        ("LTN", "ton (UK), long ton", _POUND * 2240),
    ),
    "length": (
        ("MTR", "metre", "1"),
        ("DMT", "decimetre", "0.1"),
        ("CMT", "centimetre", "0.01"),
        ("MMT", "millimetre", "0.001"),
        ("4H", "micrometre", "0.000001"),
        ("C45", "nanometre", "0.000000001"),
        ("KMT", "kilometre", "1000"),
        ("INH", "inch", _INCH),
        ("FOT", "foot", _FOOT),
        ("YRD", "yard", 3 * _FOOT),
        ("SMI", "statute mile", 5280 * _FOOT),
    ),
    "area": (
        ("MTK", "square metre", "1"),
        ("DMK", "square decimetre", "0.01"),
        ("CMK", "square centimetre", "0.0001"),
        ("MMK", "square millimetre", "0.000001"),
        ("HAR", "hectare", "10000"),
        ("INK", "square inch", _INCH**2),
        ("FTK", "square foot", _FOOT**2),
        ("YDK", "square yard", 9 * _FOOT**2),
    ),
    "volume": (
        ("MTQ", "cubic metre", "1"),
        ("DMQ", "cubic decimetre", "0.001"),
        ("CMQ", "cubic centimetre", "0.000001"),
        ("MMQ", "cubic millimetre", "0.000000001"),
        ("HLT", "hectolitre", "0.1"),
        ("LTR", "litre", "0.001"),
        ("DLT", "decilitre", "0.0001"),
        ("CLT", "centilitre", "0.00001"),
        ("MLT", "millilitre", "0.000001"),
        ("4G", "microlitre", "0.000000001"),
        ("INQ", "cubic inch", _INCH**3),
        ("FTQ", "cubic foot", _FOOT**3),
        ("YDQ", "cubic yard", 27 * _FOOT**3),
        ("GLL", "gallon (US)", 231 * _INCH**3),
        ("GLI", "gallon (UK)", "0.00454609"),
        ("QTL", "liquid quart (US)", 231 * _INCH**3 / 4),
        ("PTL", "liquid pint (US)", 231 * _INCH**3 / 8),
        ("OZA", "fluid ounce (US)", 231 * _INCH**3 / 128),
        ("BLL", "barrel (US)", 42 * 231 * _INCH**3),
    ),
    "time": (
        ("SEC", "second", "1"),
        ("C26", "millisecond", "0.001"),
        ("B98", "microsecond", "0.000001"),
        ("C47", "nanosecond", "0.000000001"),
        ("MIN", "minute", "60"),
        ("HUR", "hour", "3600"),
        ("DAY", "day", "86400"),
        ("WEE", "week", "604800"),
    ),
    "energy": (
        ("JOU", "joule", "1"),
        ("KJO", "kilojoule", "1000"),
        ("3B", "megajoule", "1000000"),
        ("GV", "gigajoule", "1000000000"),
        ("WHR", "watt hour", "3600"),
        ("KWH", "kilowatt hour", "3600000"),
        ("MWH", "megawatt hour", "3600000000"),
        ("GWH", "gigawatt hour", "3600000000000"),
    ),
    "power": (("WTT", "watt", "1"), ("KWT", "kilowatt", "1000"), ("MAW", "megawatt", "1000000")),
    "pressure": (
        ("PAL", "pascal", "1"),
        ("A97", "hectopascal", "100"),
        ("KPA", "kilopascal", "1000"),
        ("MPA", "megapascal", "1000000"),
        ("MBR", "millibar", "100"),
        ("BAR", "bar", "100000"),
        ("ATM", "standard atmosphere", "101325"),
        ("PS", "pound-force per square inch", _POUND * Fraction("9.80665") / _INCH**2),
    ),
    "volume flow": (
        ("MQS", "cubic metre per second", "1"),
        ("MQH", "cubic metre per hour", Fraction(1, 3600)),
        ("G51", "litre per second", "0.001"),
        ("L2", "litre per minute", Fraction(1, 60000)),
        ("E32", "litre per hour", Fraction(1, 3600000)),
    ),
    "mass flow": (
        ("KGS", "kilogram per second", "1"),
        ("F31", "kilogram per minute", Fraction(1, 60)),
        ("E93", "kilogram per hour", Fraction(1, 3600)),
    ),
    "speed": (
        ("MTS", "metre per second", "1"),
        ("2X", "metre per minute", Fraction(1, 60)),
        ("KMH", "kilometre per hour", Fraction(5, 18)),
        ("2M", "centimetre per second", "0.01"),
        ("C16", "millimetre per second", "0.001"),
    ),
    "frequency": (
        ("HTZ", "hertz", "1"),
        ("KHZ", "kilohertz", "1000"),
        ("MHZ", "megahertz", "1000000"),
    ),
    "rotation": (
        ("RPS", "revolutions per second", "1"),
        ("RPM", "revolutions per minute", Fraction(1, 60)),
    ),
    "current": (("AMP", "ampere", "1"), ("4K", "milliampere", "0.001")),
    "voltage": (("VLT", "volt", "1"), ("2Z", "millivolt", "0.001"), ("KVT", "kilovolt", "1000")),
    "charge": (("AMH", "ampere hour", "1"),),
    "force": (("NEW", "newton", "1"), ("B47", "kilonewton", "1000")),
    "torque": (("NU", "newton metre", "1"),),
}


def _build() -> dict[str, Unit]:
    units = {
        code: Unit(code, name, dimension, Fraction(factor))
        for dimension, rows in _TABLE.items()
        for code, name, factor in rows
    }
    fahrenheit = Fraction(5, 9)
    for unit in (
        Unit("KEL", "kelvin", "temperature", Fraction(1)),
        Unit("CEL", "degree Celsius", "temperature", Fraction(1), _KELVIN_AT_0_C),
        Unit(
            "FAH", "degree Fahrenheit", "temperature", fahrenheit, _KELVIN_AT_0_C - 32 * fahrenheit
        ),
    ):
        units[unit.code] = unit
    return units


UNITS = MappingProxyType(_build())


def find(code: str) -> Unit | None:
    """The unit of a code, or None. A package code (Recommendation 21) is its own dimension: it
    converts to itself.
    """
    if code in UNITS:
        return UNITS[code]
    return (
        Unit(code, "package", f"package {code}", Fraction(1)) if _PACKAGE.fullmatch(code) else None
    )


# What a unit becomes by a second: times one, and per one in the other direction. The factor takes
# bases of the first dimension x second to bases of the second.
_BY_SECOND = {
    "power": ("energy", Fraction(1)),
    "volume flow": ("volume", Fraction(1)),
    "mass flow": ("mass", Fraction(1)),
    "speed": ("length", Fraction(1)),
    "current": ("charge", Fraction(1, 3600)),
}
TIMES_SECOND, PER_SECOND = "*SEC", "/SEC"


def _derived(code: str) -> Unit | None:
    """``KWT*SEC`` is an energy, ``LTR/SEC`` a volume flow; None where the result has no dimension
    here. Never a document's unit: no code names it.
    """
    base = UNITS.get(code[:-4])
    if base is None or base.offset:
        return None
    for one, (other, factor) in _BY_SECOND.items():
        if code.endswith(TIMES_SECOND) and base.dimension == one:
            return Unit(code, f"{base.name} second", other, base.factor * factor)
        if code.endswith(PER_SECOND) and base.dimension == other:
            return Unit(code, f"{base.name} per second", one, base.factor / factor)
    return None


def is_derivable(code: str) -> bool:
    """Whether a unit by a second (``KWT*SEC``, ``LTR/SEC``) is of a dimension that has units."""
    return _derived(code) is not None


def is_convertible(source: str, target: str) -> bool:
    """Whether both codes are known and of one dimension. ``source`` may be derived by a second."""
    one, other = find(source) or _derived(source), find(target)
    return one is not None and other is not None and one.dimension == other.dimension


def convert(value: Decimal | int | Fraction, source: str, target: str) -> Fraction:
    """``value`` of unit ``source`` in unit ``target``, exactly. ValueError where the units do not
    fit. ``source`` may be derived by a second.
    """
    one, other = find(source) or _derived(source), find(target)
    if one is None or other is None or one.dimension != other.dimension:
        raise ValueError(f"{source or 'no unit'} cannot be converted to {target or 'no unit'}")
    return (Fraction(value) * one.factor + one.offset - other.offset) / other.factor


def is_exact_in_decimals(source: str, target: str) -> bool:
    """Whether every decimal number of ``source`` is a finite decimal of ``target``: else a
    rounding must be declared.
    """
    one, other = find(source) or _derived(source), find(target)
    if one is None or other is None or one.dimension != other.dimension:
        return False
    return all(
        _is_decimal(part)
        for part in (one.factor / other.factor, (one.offset - other.offset) / other.factor)
    )


def round_to(value: Fraction, step: Decimal, rounding: str = "half_even") -> Fraction:
    """``value`` at the nearest multiple of ``step`` (greater than 0). ``up`` and ``down``: away
    from and towards 0.
    """
    steps = value / Fraction(step)
    whole = abs(steps)
    floor = whole.numerator // whole.denominator
    rest = whole - floor
    half = Fraction(1, 2)
    is_up = {
        "half_even": rest > half or (rest == half and floor % 2 == 1),
        "half_up": rest >= half,
        "down": False,
        "up": rest > 0,
    }[rounding]
    return (floor + is_up) * Fraction(step) * (-1 if steps < 0 else 1)


def read_step(text: str) -> Decimal | None:
    """A rounding step such as ``0.001``: plain digits, greater than 0; None where it is not one."""
    if not _STEP.fullmatch(text):
        return None
    step = Decimal(text)
    return step if step > 0 else None


def to_text(value: Fraction) -> str:
    """The one decimal text of an exact value: no exponent, no trailing zero, no minus zero.
    ValueError where endless.
    """
    if not _is_decimal(value):
        raise ValueError("has endless decimals, and no rounding is declared")
    digits = 0
    scaled = value
    while scaled.denominator != 1:
        scaled *= 10
        digits += 1
    sign = "-" if scaled < 0 else ""
    text = str(abs(scaled.numerator)).rjust(digits + 1, "0")
    return sign + (f"{text[:-digits]}.{text[-digits:]}" if digits else text)


def _is_decimal(value: Fraction) -> bool:
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    return rest == 1
