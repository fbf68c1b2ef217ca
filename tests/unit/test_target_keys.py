"""Keys of a target by its kind: page, schema and loader know the same ones, and a key of another
kind is refused with its place and the way out.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import penstock
from penstock.config import Target, parse_config
from penstock.config.forms import known_fields
from penstock.config.schema import SCHEMA_FILE
from penstock.errors import ConfigError
from penstock.post import KINDS, Options, open_target
from penstock.post.keys import KEYS

DOCS = Path(penstock.__file__).parent / "docs"
SCHEMA: dict[str, Any] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
ITEMS = SCHEMA["properties"]["target"]["items"]
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
SHARED = {"name", "kind"}
BASE: dict[str, dict[str, Any]] = {
    "tryton": {"url": "http://e:8", "database": "d", "user": "u", "password": "${secret:P}"},
    "rest": {"url": "http://e:8/api", "path": "/d", "idempotent": True},
    "memory": {},
}
# A value that the loader takes, where a key has no default that could be written.
VALUES: dict[str, object] = {
    "body": {"reference": "{key}"}, "path": "/d", "headers": {"X": "y"}, "ca_file": "/ca.pem",
    "contracts": {"downtime/1": {"path": "/s"}}, "statuses": {"409": "stock"}, "code": "error.code",
    "look_up": {"path": "/d/{key}"}, "codes": {"A": "stock"}, "reason": "error", "user": "u",
    "password": "${secret:P}", "url": "http://e:8/x", "database": "d",
}  # fmt: skip


def documented(kind: str) -> set[str]:
    """Keys of the table of keys on a kind's page, and those that it says are every target's."""
    text = (DOCS / f"target-{kind}.md").read_text(encoding="utf-8")
    table = text.split("| key | default | meaning |\n")[1].split("\n\n")
    cells = [row.split("|")[1] for row in table[0].splitlines()[1:]]
    beside = next((each for each in table[1:2] if each.startswith("`")), "").split(" as for ")[0]
    return set(re.findall(r"`(\w+)`", "".join(cells) + beside))


def own(kind: str) -> set[str]:
    return (set(known_fields(Target)) | set(known_fields(KEYS[kind].options))) - SHARED


def raw(kind: str, **more: object) -> dict[str, Any]:
    return {"plant": {"name": "p"}, "target": [{"name": "t", "kind": kind, **BASE[kind], **more}]}


def load(kind: str, **more: object) -> None:
    variables = {"PENSTOCK_SECRET_P": "x"}
    config = parse_config(raw(kind, **more), variables=variables)
    open_target(config.targets[0], "target[t]")


def value_of(key: str) -> object:
    for keys in KEYS.values():
        each = known_fields(keys.options).get(key)
        if each is not None and key not in VALUES:
            return each.default
    return VALUES[key]


@pytest.mark.parametrize("kind", ["tryton", "rest"])
def test_page_and_schema_have_the_same_keys(kind: str) -> None:
    assert documented(kind) == own(kind) - set(KEYS[kind].refused)


def test_the_page_names_the_one_key_of_memory() -> None:
    (own_key,) = own("memory") - own("tryton")
    text = (DOCS / "target-rest.md").read_text(encoding="utf-8")
    default = KEYS["memory"].options().documents_max  # type: ignore[attr-defined]
    assert f"`{own_key}` ({default})" in text.split("## The target `memory`")[1]


def test_a_key_has_a_description_and_its_bounds() -> None:
    assert set(KEYS) == set(KINDS)
    for key, node in ITEMS["properties"].items():
        assert re.search(r"\.$", node["description"]), key
        if key.endswith("_s"):
            assert node["description"].endswith(", s."), f"{key}: its unit"
        number = next((each for each in node.get("anyOf", []) if "maximum" in each), None)
        if isinstance(node.get("default"), (int, float)) and not isinstance(node["default"], bool):
            assert number is not None, key
            assert number["minimum"] <= node["default"] <= number["maximum"]


@pytest.mark.parametrize("kind", list(KEYS))
def test_each_key_of_a_kind_is_taken_by_schema_and_loader(kind: str) -> None:
    for key in own(kind) - set(KEYS[kind].refused) - {"ca_file"}:
        more = {"codes": {"key": key, "code": "error"}, "user": {"password": "${secret:P}"}}
        beside = {k: v for k, v in more.get(key, {}).items() if k != "key"}
        given = {key: value_of(key), **beside} | ({"user": "u"} if key == "password" else {})
        VALIDATOR.validate(raw(kind, **given))
        load(kind, **given)


@pytest.mark.parametrize("kind", list(KEYS))
def test_a_key_of_another_kind_is_refused_with_its_place_and_the_fix(kind: str) -> None:
    foreign = {key for other in KEYS for key in own(other)} - own(kind)
    for key in foreign | set(KEYS[kind].refused):
        assert not VALIDATOR.is_valid(raw(kind, **{key: value_of(key)})), key
        with pytest.raises(ConfigError) as caught:
            load(kind, **{key: value_of(key)})
        said = str(caught.value)
        assert said.startswith(f"target[t].{key}: "), said
        assert ("it belongs to " if key in foreign else "leave it out") in said


@pytest.mark.parametrize("kind", list(KEYS))
def test_a_key_that_a_kind_needs_is_asked_for(kind: str) -> None:
    for key in KEYS[kind].required:
        left = {**raw(kind)["target"][0]}
        del left[key]
        table = {"plant": {"name": "p"}, "target": [left]}
        assert not VALIDATOR.is_valid(table)
        config = parse_config(table, variables={"PENSTOCK_SECRET_P": "x"})
        with pytest.raises(ConfigError, match=rf"target\[t\]\.{key}: is required for a {kind}"):
            open_target(config.targets[0], "target[t]")


def test_the_memory_target_opens_where_no_extra_is_installed() -> None:
    """Keys are known without any kind's client: in an empty environment memory needs nothing."""
    code = (
        "import sys; sys.modules['httpx2'] = None\n"
        "from penstock.config import parse_config\nfrom penstock.post import open_target\n"
        "raw = {'plant': {'name': 'p'}, 'target': [{'name': 't', 'kind': 'memory'}]}\n"
        "target, _ = open_target(parse_config(raw).targets[0], 't')\nprint(target.name)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout == "t\n", done.stderr


def test_every_wrong_key_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        load("memory", url="http://x", look_up={"path": "/{key}"})
    assert len(str(caught.value).splitlines()) == 2
    assert known_fields(Options).keys() <= known_fields(KEYS["memory"].options).keys()
