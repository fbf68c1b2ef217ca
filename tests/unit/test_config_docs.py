"""docs/config.md: its example is valid as printed, and it names every key and every path."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from pathlib import Path

import penstock.config
from penstock.config import (
    DocumentMapping,
    EngineOptions,
    FieldMap,
    Ops,
    Plant,
    Rule,
    Source,
    Target,
    parse_config,
)
from penstock.config import vocabulary as words
from penstock.config.forms import known_fields
from penstock.contracts import CONTRACTS

PAGE = Path(penstock.config.__file__).parents[1] / "docs" / "config.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_the_example_is_valid_and_without_notices() -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", TEXT, re.S)
    secrets = {"PENSTOCK_SECRET_NATS_PASSWORD": "a", "PENSTOCK_SECRET_ERP_PASSWORD": "b"}
    config = parse_config(tomllib.loads(example), variables=secrets)
    assert config.notices == ()
    assert len(config.mappings) == 2


def test_every_key_is_on_the_page() -> None:
    quoted = set(re.findall(r"`([^`\n]+)`", TEXT)) | set(re.findall(r"^(\w+) = ", TEXT, re.M))
    for model in (Plant, EngineOptions, Ops, Source, Rule, Target, DocumentMapping, FieldMap):
        for key in known_fields(model):
            if key in ("value", "targets"):
                continue
            assert key in quoted, f"{model.__name__}.{key} is not on the page"


def test_every_path_and_member_is_on_the_page() -> None:
    paths = TEXT.split("Paths: ")[1].split("\n\n")[0]
    for path in words.EVENT_PATHS:
        name = "flags.NAME" if path.startswith("flags.") else path.removeprefix("context.")
        assert f"`{name}`" in paths, path
    for contract in CONTRACTS.values():
        (row,) = re.findall(rf"^\| `{contract.name}` .*$", TEXT, re.M)
        own = {name for name, each in contract.members.items() if not each.source}
        for name in own:
            assert f"`{name}`" in row, f"{contract.name} {name}"


def test_defaults_on_the_page_are_those_of_the_classes() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([0-9.]+) \|", TEXT, re.M)
    actual = {
        each.name: each.default for model in (Source, EngineOptions) for each in fields(model)
    }
    assert len(rows) == 8
    for name, value in rows:
        assert float(value) == actual[name], name
