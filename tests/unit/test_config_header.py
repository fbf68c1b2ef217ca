"""Configuration against penstock.h: words, numbers, sizes and field names are those of the C
header, read here as text.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from penstock.config import parse_config
from penstock.config import vocabulary as words
from penstock.events import AGGREGATES

HEADER_FILE = Path(__file__).parents[2] / "native" / "penstock.h"
pytestmark = pytest.mark.skipif(not HEADER_FILE.is_file(), reason=f"no header at {HEADER_FILE}")


def with_parts(header: Path) -> str:
    """Its text with the headers it is made of in place, comments left out."""
    text = re.sub(
        r'^#include "(penstock_\w+\.h)".*$',
        lambda part: with_parts(header.with_name(part[1])),
        header.read_text("utf-8"),
        flags=re.M,
    )
    return re.sub(r"/\*.*?\*/", "", text, flags=re.S)


HEADER = with_parts(HEADER_FILE) if HEADER_FILE.is_file() else ""


def enumeration(prefix: str) -> dict[str, int]:
    """Explicit ``PSTK_<prefix>_NAME = n`` members."""
    return {
        name.lower(): int(number)
        for name, number in re.findall(rf"PSTK_{prefix}_([A-Z0-9_]+) = (\d+)", HEADER)
        if name != "COUNT"
    }


def macro(name: str) -> int:
    found = re.search(rf"#define PSTK_{name} (\d+)u", HEADER)
    assert found, name
    return int(found[1])


def struct(name: str) -> dict[str, int]:
    """Field name to array length (1 where it is no array; the last dimension of a text)."""
    found = re.search(rf"typedef struct pstk_{name} \{{(.*?)\}} pstk_{name};", HEADER, re.S)
    assert found, name
    fields: dict[str, int] = {}
    for line in found[1].split(";"):
        for each in re.sub(r"^\s*[a-z_0-9]+\s", "", line.strip()).split(","):
            matched = re.match(r"\s*([a-z_0-9]+)((?:\[[A-Z_0-9a-z]+\])*)$", each)
            if matched and matched[1] and not matched[1].startswith("reserved"):
                sizes = re.findall(r"\[([A-Z_0-9]+)\]", matched[2])
                last = sizes[-1] if sizes else "1"
                fields[matched[1]] = int(last) if last.isdigit() else _constant(last)
    return fields


def _constant(name: str) -> int:
    if name in ("PSTK_ROLE_COUNT", "PSTK_LEVEL_COUNT"):
        return {"PSTK_ROLE_COUNT": len(words.ROLES), "PSTK_LEVEL_COUNT": len(words.LEVELS)}[name]
    return macro(name.removeprefix("PSTK_"))


def test_enumerations_have_the_numbers_of_the_header() -> None:
    assert dict(words.SOURCE_KINDS) == enumeration("SOURCE")
    assert dict(words.FORMATS) == enumeration("FORMAT")
    assert dict(words.FULL) == enumeration("FULL")
    assert enumeration("TYPE") == {"none": 0, **words.TYPES}
    assert dict(words.RULE_KINDS) == enumeration("RULE")
    assert enumeration("ORDER") == {"default": 0, **words.ORDERS}
    assert dict(words.OUTPUTS) == enumeration("EMIT")
    assert {
        "value" if role == "tag" else role: n for n, role in enumerate(words.ROLES)
    } == enumeration("ROLE")


def test_cuts_have_the_bits_of_the_header() -> None:
    bits = {
        name: int(bit) for name, bit in re.findall(r"#define PSTK_CUT_([A-Z_]+) (\d+)u", HEADER)
    }
    assert bits == {
        "LOT_TAG": words.CUTS["lot"],
        "ORDER_TAG": words.CUTS["order"],
        "CONTEXT_ORDER": words.CUTS["context.order"],
        "CONTEXT_LOT": words.CUTS["context.lot"],
    }


def test_aggregates_have_the_bits_of_the_header() -> None:
    listed = HEADER.split("PSTK_AGGREGATE_LIST(X)")[1].split("#define")[0]
    found = re.findall(r'X\(([A-Z_]+), (\d+), "([a-z_]+)"', listed)
    assert {name: 1 << int(bit) for _, bit, name in found} == dict(words.AGGREGATES)
    assert [constant.lower() for constant, _, _ in found] == list(words.AGGREGATES)
    assert tuple(words.AGGREGATES) == AGGREGATES


def test_event_kinds_and_flags_are_those_of_the_header() -> None:
    kinds = HEADER.split("PSTK_EVENT_KIND_LIST(X)")[1].split("#define")[0]
    assert re.findall(r'X\([A-Z_]+, "([^"]+)"\)', kinds) == list(words.EVENT_KINDS)
    flags = HEADER.split("PSTK_FLAG_LIST(X)")[1].split("#define")[0]
    assert re.findall(r'X\([A-Z_]+, \d+, "([^"]+)"', flags) == list(words.FLAGS)


def test_levels_stand_in_the_order_of_the_header() -> None:
    found = re.search(r"typedef enum pstk_level \{(.*?)\}", HEADER, re.S)
    assert found
    assert re.findall(r"PSTK_LEVEL_([HL]+)\b", found[1]) == list(words.LEVELS.values())


def test_texts_are_bounded_so_that_they_fit_with_their_zero() -> None:
    source, rule, options = struct("source_options"), struct("rule"), struct("engine_options")
    assert words.NAME_BYTES + 1 == macro("NAME_BYTES") == rule["pattern"] == rule["asset"]
    assert words.RULE_NAME_BYTES + 1 == macro("RULE_NAME_BYTES") == rule["name"]
    assert rule["series"] == words.SERIES_BYTES + 1
    assert rule["unit"] == words.UNIT_BYTES + 1
    assert rule["state_text"] == words.STATE_BYTES + 1
    assert words.STATES_MAX == macro("STATES_MAX") == rule["state_code"]
    assert source["name"] == words.SOURCE_NAME_BYTES + 1
    assert source["subjects"] == words.SUBJECT_BYTES + 1
    assert macro("SUBJECTS_MAX") == words.SUBJECTS_MAX
    assert source["host"] == words.HOST_BYTES + 1
    assert source["user"] == words.USER_BYTES + 1
    assert source["password"] == words.PASSWORD_BYTES + 1
    assert source["token"] == words.TOKEN_BYTES + 1
    assert options["plant"] == words.PLANT_BYTES + 1
    assert words.PATH_BYTES + 1 == options["state_dir"] == options["ring_dir"]
    assert macro("SOURCES_MAX") == words.SOURCES_MAX
    assert macro("RULES_MAX") == words.RULES_MAX


def test_core_options_have_exactly_the_fields_of_the_structs() -> None:
    config = parse_config(
        {
            "plant": {"name": "graz"},
            "source": [{"name": "a", "kind": "feed"}],
            "rule": [{"name": "hot", "kind": "limit", "tag": "t", "high": 8}],
        },
        variables={},
    )
    found = config.options_for_core()
    assert set(found["options"]) == set(struct("engine_options"))
    assert set(found["sources"][0]) == set(struct("source_options"))
    assert set(found["rules"][0]) == set(struct("rule"))
    assert set(found["rules"][0]["level"][0]) == set(struct("limit_level"))
    assert found["options"]["abi_version"] == macro("ABI_VERSION")
    assert len(found["rules"][0]["pattern"]) == len(words.ROLES)
    assert len(found["rules"][0]["level"]) == len(words.LEVELS)
