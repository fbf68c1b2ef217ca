"""Loading: what a person writes becomes typed values, and everything wrong is said at once, each
with place and fix.
"""

from __future__ import annotations

import copy
import os
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from penstock.config import Config, ConfigErrors, Secret, load_config, parse_config
from penstock.config.secret import Environment
from penstock.config.show import to_plain, to_toml
from penstock.errors import ConfigError

WHOLE = """
[plant]
name = "graz"
timezone = "Europe/Vienna"
enterprise = "acme"

[engine]
state_dir = "/var/lib/penstock"
ring_dir = "/dev/shm"
ring_bytes = "64MiB"

[[source]]
name = "line1"
kind = "zmq_pull"
bind = "tcp://127.0.0.1:5555"
lateness_s = 0.25
frame_bytes_max = "512KiB"
tags = { "line1.m1.good" = "i64", "line1.*.state" = "i64" }

[[source]]
name = "line3"
kind = "nats"
connect = "nats://plant:p%40ss@10.0.0.1"
subjects = ["tel.line3.>"]
format = "json"

[[rule]]
name = "good-count"
kind = "counter"
tag = "line1.*.good"
lot = "line1.*.lot"
order = "line1.*.order"
start = "line1.*.good_start"
unit = "C62"

[[rule]]
name = "hot"
kind = "limit"
tag = "line1.*.temp"
high = 80
high_high = { value = 90, deadband = 0.2, on_delay_s = 0.3 }

[[rule]]
name = "stops"
kind = "state"
tag = "line1.*.state"
states = [2, 3]
since = "line1.*.since"
since_unit = "ns"

[[target]]
name = "erp"
kind = "tryton"
url = "http://127.0.0.1:8000"
password = "${secret:ERP}"
timeout_s = 5.5
nested = { key = "${SITE:-here}" }

[[mapping]]
name = "confirm"
event = "counter.segment"
rule = "good-count"
contract = "production_confirmation/1"
target = "erp"
fields = { order = "context.order", quantity = { from = "quantity", unit = "DZN", round = "0.01" } }

[[mapping]]
name = "stop"
event = "state.end"
rule = "stops"
contract = "downtime/1"
target = "erp"
"""


def write(folder: Path, text: str, name: str = "penstock.toml") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


def load(folder: Path, text: str, variables: Mapping[str, str] | None = None) -> Config:
    return load_config(
        write(folder, text),
        variables={"PENSTOCK_SECRET_ERP": "hush"} if variables is None else variables,
    )


def errors_of(
    folder: Path, text: str, variables: Mapping[str, str] | None = None
) -> dict[str, ConfigError]:
    with pytest.raises(ConfigErrors) as caught:
        load(folder, text, variables)
    found = {each.path: each for each in caught.value.errors}
    assert len(found) == len(caught.value.errors), "two errors of one place"
    return found


def test_a_whole_file_becomes_typed_values(tmp_path: Path) -> None:
    config = load(tmp_path, WHOLE)
    assert config.notices == ()
    assert config.plant.timezone == "Europe/Vienna"
    assert config.engine.ring_bytes == 64 << 20
    line1, line3 = config.sources
    assert (line1.full, line1.lateness_s, line1.frame_bytes_max) == ("block", 0.25, 512 << 10)
    assert (line3.full, line3.connect, line3.user) == ("drop", "nats://10.0.0.1", "plant")
    assert line3.password.reveal() == "p@ss"
    good, hot, _ = config.rules
    assert good.cut_on == ("lot", "order")
    assert [(name, level.value, level.on_delay_s) for name, level in hot.levels().items()] == [
        ("high_high", 90.0, 0.3),
        ("high", 80.0, 0.0),
    ]
    assert config.targets[0].options["nested"] == {"key": "here"}
    assert config.mappings[0].hold_if_flags == ("incomplete", "partial", "unknown_lot")
    assert dict(config.mappings[0].fields)["order"].source == "context.order"


def test_core_gets_nanoseconds_numbers_and_clear_text(tmp_path: Path) -> None:
    found = load(tmp_path, WHOLE).options_for_core()
    assert found["options"]["checkpoint_ns"] == 30_000_000_000
    assert found["options"]["durability"] == 0
    assert found["options"]["sync_ns"] == 1_000_000_000
    assert found["options"]["journal_bytes_max"] == 1 << 30
    line1, line3 = found["sources"]
    assert (line1["kind"], line1["is_bind"], line1["host"], line1["port"]) == (
        1,
        1,
        "127.0.0.1",
        5555,
    )
    assert (line1["lateness_ns"], line1["reconnect_ns_min"]) == (250_000_000, 100_000_000)
    assert (line3["kind"], line3["is_bind"], line3["host"], line3["port"]) == (
        3,
        0,
        "10.0.0.1",
        4222,
    )
    assert (line3["user"], line3["password"], line3["token"]) == ("plant", "p@ss", "")
    assert (line3["subjects"], line3["subject_count"]) == (["tel.line3.>"], 1)
    good, hot, stops = found["rules"]
    assert good["pattern"] == [
        "line1.*.good",
        "line1.*.lot",
        "line1.*.order",
        "line1.*.good_start",
        "",
    ]
    assert (good["kind"], good["cut_on"], good["unit"], good["emit"]) == (2, 3, "C62", 0)
    assert [level["is_set"] for level in hot["level"]] == [1, 1, 0, 0]
    assert hot["level"][0]["on_delay_ns"] == 300_000_000
    assert (stops["state_count"], stops["state_code"], stops["state_text"]) == (2, [2, 3], ["", ""])
    assert stops["since_unit_ns"] == 1
    assert found["tags"] == [("line1", "line1.m1.good", "i64")]
    assert found["tag_patterns"] == [("line1", "line1.*.state", "i64")]


def test_every_error_of_a_file_is_said_at_once(tmp_path: Path) -> None:
    found = errors_of(
        tmp_path,
        """
        [plant]
        nme = "graz"
        [engin]
        [engine]
        tags_max = "many"
        durability = "process"
        ring_bytes = "100MiB"
        [[source]]
        name = "a"
        kind = "zmq_sub"
        connect = "tcp://host:1"
        full = "block"
        latenes_s = 1
        [[rule]]
        name = "r"
        kind = "counter"
        tag = "x"
        lot = "y"
        [[mapping]]
        name = "m"
        event = "counter.segment"
        rule = "q"
        contract = "scrap/2"
        target = "erp"
        """,
    )
    assert found["plant.nme"].fix == "did you mean 'name'?"
    assert found["plant.name"].reason == "is required"
    assert found["engin"].fix == "did you mean 'engine'?"
    assert found["engine.tags_max"].reason == "must be a whole number, not a text"
    assert found["engine.ring_bytes"].fix == "take 67108864 or 134217728"
    assert found["source[a].latenes_s"].fix == "did you mean 'lateness_s'?"
    assert "its sender does not wait" in found["source[a].full"].reason
    assert found["rule[r].unit"].reason == "is required for a counter rule"
    assert found["mapping[m].rule"].reason == "there is no rule 'q'"
    assert found["mapping[m].contract"].fix == "did you mean 'scrap/1'?"
    assert found["mapping[m].target"].reason == "there is no target 'erp'"
    assert len(found) == 11


def test_an_error_prints_place_reason_and_fix(tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load(tmp_path, '[plant]\nname = "a b"\ntimezone = "Europe/Vienn"\n')
    assert str(caught.value).splitlines() == [
        "plant.name: 'a b' is not valid; letters, digits, '_', '.' and '-', "
        "starting with a letter or digit",
        "plant.timezone: 'Europe/Vienn' is not known on this machine; "
        "did you mean 'Europe/Vienna'?",
    ]


@pytest.mark.parametrize(
    ("raw", "path", "reason"),
    [
        (b"plant = ", "penstock.toml", "is not TOML"),
        (b"[plant]\nname = '\xff'", "penstock.toml", "is not UTF-8"),
        (b"plant = 1", "plant", "must be a table"),
        (b"[plant]\nname='a'\n[rule]\nname='x'", "rule", "must be a list of tables"),
        (b"rule = [1]\n[plant]\nname='a'", "rule", "must be a list of tables"),
        (b"a = " + b"[" * 10_000 + b"]" * 10_000, "penstock.toml", "is not TOML"),
        (b"[plant]\nname = 2026-11-23", "plant.name", "not a date or time"),
        (b'[plant]\nname="a\\u0001"', "plant.name", "control character"),
        (b"[plant]\nname='" + b"x" * 64 + b"'", "plant.name", "64 bytes of UTF-8 are too long"),
        (b"[plant]\nname='a'\n[engine]\ntags_max=0", "engine.tags_max", "0 is out of bounds"),
        (b"[plant]\nname='a'\n[engine]\ntags_max=true", "engine.tags_max", "not a boolean"),
        (
            b"[plant]\nname='a'\n[engine]\nevent_slots=1000",
            "engine.event_slots",
            "not a power of two",
        ),
        (
            b"[plant]\nname='a'\n[engine]\ncheckpoint_s=inf",
            "engine.checkpoint_s",
            "not a finite number",
        ),
        (
            b"[plant]\nname='a'\n[engine]\ndurability='disk'",
            "engine.durability",
            "'disk' is not known",
        ),
        (
            b"[plant]\nname='a'\n[engine]\njournal_bytes_max='1 KiB'",
            "engine.journal_bytes_max",
            "1024 is out of bounds",
        ),
        (b"[plant]\nname='a'\n[engine]\nring_bytes='1 TB'", "engine.ring_bytes", "is no size"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(
    tmp_path: Path, raw: bytes, path: str, reason: str
) -> None:
    file = tmp_path / "penstock.toml"
    file.write_bytes(raw)
    with pytest.raises(ConfigErrors) as caught:
        load_config(file, variables={})
    found = {each.path.removeprefix(f"{tmp_path}/"): each.reason for each in caught.value.errors}
    assert path in found
    assert reason in found[path]


def test_a_missing_file_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_config(tmp_path / "none.toml")


# ---- references and secrets ---------------------------------------------------------------------


def test_references_are_replaced_once_and_give_numbers(tmp_path: Path) -> None:
    text = """
    [plant]
    name = "${SITE}-${AREA:-hall1}"
    enterprise = "$${literal} ${EMPTY:-}x"
    [engine]
    tags_max = "${TAGS}"
    [[source]]
    name = "a"
    kind = "zmq_pull"
    bind = "tcp://*:${PORT:-5555}"
    lateness_s = "${LATE:-1.5}"
    [[rule]]
    name = "r"
    kind = "counter"
    unit = "C62"
    tag = "t"
    every_s = 60
    emits_zero = "${ZERO:-true}"
    """
    config = load(tmp_path, text, {"SITE": "graz", "TAGS": "100", "PORT": ""})
    assert config.plant.name == "graz-hall1"
    assert config.plant.enterprise == "${literal} x"
    assert config.engine.tags_max == 100
    assert config.sources[0].bind == "tcp://*:5555"
    assert config.sources[0].lateness_s == 1.5
    assert config.rules[0].emits_zero is True
    assert [each.path for each in config.notices] == ["source[a].bind", "rule[r]"]


def test_a_substituted_value_is_never_read_again(tmp_path: Path) -> None:
    text = '[plant]\nname = "graz"\nenterprise = "${A}"\n'
    assert load(tmp_path, text, {"A": "${B}", "B": "no"}).plant.enterprise == "${B}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("${NOPE}", "the environment variable NOPE is not set"),
        ("${secret:NOPE}", "the secret NOPE is nowhere to be found"),
        ("${secret:../etc/shadow}", "is no name of a secret"),
        ("${secret:}", "is no name of a secret"),
        ("${1A}", "is no reference"),
        ("${A:=b}", "is no reference"),
        ("${A", "without a closing }"),
        ("${}", "is no reference"),
    ],
)
def test_a_reference_that_cannot_be_resolved_is_refused(
    tmp_path: Path, text: str, reason: str
) -> None:
    found = errors_of(tmp_path, f"[plant]\nname = 'graz'\nenterprise = '{text}'\n", {})
    assert reason in found["plant.enterprise"].reason


def test_secrets_come_from_systemd_then_files_then_environment(tmp_path: Path) -> None:
    credentials, run = tmp_path / "credentials", tmp_path / "run"
    for folder in (credentials, run):
        folder.mkdir()
    variables = {
        "CREDENTIALS_DIRECTORY": str(credentials),
        "PENSTOCK_SECRET_a_b": "from environment",
    }
    environment = Environment(variables, folder=run)

    def look_up() -> str:
        problems: list[ConfigError] = []
        found = environment.substitute("${secret:a.b}", "x", problems)
        assert problems == []
        assert isinstance(found, Secret)
        return found.reveal()

    assert look_up() == "from environment"
    (run / "a.b").write_text("from run\n", encoding="utf-8")
    assert look_up() == "from run"
    (credentials / "a.b").write_text(" from systemd \r\n", encoding="utf-8")
    assert look_up() == " from systemd "


def test_unreadable_and_oversized_secrets_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "big").write_bytes(b"x" * 70_000)
    (tmp_path / "binary").write_bytes(b"\xff")
    environment = Environment({}, folder=tmp_path)
    for name, reason in (("folder", "cannot be read"), ("big", "larger"), ("binary", "not UTF-8")):
        problems: list[ConfigError] = []
        environment.substitute(f"${{secret:{name}}}", "x", problems)
        assert reason in problems[0].reason


def test_a_secret_is_never_shown(tmp_path: Path) -> None:
    secret = Secret("hush-hush")
    assert "hush" not in f"{secret} {secret!r} {secret!s:>20} {[secret]} %s" % secret
    assert copy.deepcopy({"a": secret})["a"] is secret
    with pytest.raises(TypeError):
        pickle.dumps(secret)
    text = WHOLE.replace(
        "timeout_s = 5.5", 'header = "Bearer ${secret:ERP}"\nlist = ["${secret:ERP}"]'
    )
    config = load(tmp_path, text, {"PENSTOCK_SECRET_ERP": "hush-hush"})
    assert config.targets[0].password.reveal() == "hush-hush"
    header = config.targets[0].options["header"]
    assert isinstance(header, Secret)
    assert header.reveal() == "Bearer hush-hush"
    for shown in (repr(config), str(to_plain(config)), to_toml(config)):
        assert "hush" not in shown
        assert "p@ss" not in shown
        assert "p%40ss" not in shown
        assert "***" in shown


def test_a_secret_where_it_would_be_shown_is_refused(tmp_path: Path) -> None:
    text = WHOLE.replace(
        'connect = "nats://plant:p%40ss@10.0.0.1"', 'connect = "nats://x:${secret:ERP}@h"'
    ).replace('url = "http://127.0.0.1:8000"', 'url = "http://me:hush@127.0.0.1"')
    found = errors_of(tmp_path, text)
    assert "a secret may not stand here" in found["source[line3].connect"].reason
    assert "holds credentials" in found["target[erp].url"].reason
    assert not any("hush" in str(each) for each in found.values())


def test_a_password_in_the_file_is_a_notice(tmp_path: Path) -> None:
    config = load(tmp_path, WHOLE.replace('"${secret:ERP}"', '"plain"'), {})
    assert [each.path for each in config.notices] == ["target[erp].password"]


def test_without_environment_secrets_are_placeholders(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, WHOLE), variables={}, is_environment_known=False)
    assert config.targets[0].password
    with pytest.raises(ConfigErrors, match="the secret ERP is nowhere to be found"):
        load_config(write(tmp_path, WHOLE), variables={})


# ---- files --------------------------------------------------------------------------------------


def test_conf_d_is_merged_in_name_order(tmp_path: Path) -> None:
    main = write(tmp_path, '[plant]\nname = "graz"\n[engine]\ntags_max = 10\ncodes_max = 5\n')
    write(tmp_path, "[engine]\ntags_max = 30\n", "conf.d/20.toml")
    write(
        tmp_path,
        '[engine]\ntags_max = 20\n[[source]]\nname = "a"\nkind = "feed"\n',
        "conf.d/10.toml",
    )
    write(tmp_path, "not toml, and not read", "conf.d/30.toml.bak")
    write(tmp_path, '[[source]]\nname = "b"\nkind = "feed"\n', "conf.d/15.toml")
    config = load_config(main, variables={})
    assert (config.engine.tags_max, config.engine.codes_max) == (30, 5)
    assert [each.name for each in config.sources] == ["a", "b"]
    assert [Path(each).name for each in config.files] == [
        "penstock.toml",
        "10.toml",
        "15.toml",
        "20.toml",
    ]


def test_errors_of_conf_d_name_their_file(tmp_path: Path) -> None:
    main = write(tmp_path, '[plant]\nname = "graz"\n[[source]]\nname = "a"\nkind = "feed"\n')
    write(tmp_path, '[[source]]\nname = "a"\nkind = "feeed"\n', "conf.d/10.toml")
    with pytest.raises(ConfigErrors) as caught:
        load_config(main, variables={})
    assert [each.path for each in caught.value.errors] == [
        "conf.d/10.toml: source[a].kind",
        "conf.d/10.toml: source[a].name",
    ]
    assert caught.value.errors[1].reason == "'a' is taken by source[a]"


def test_relative_folders_are_beside_the_file(tmp_path: Path) -> None:
    text = '[plant]\nname = "graz"\n[engine]\nstate_dir = "state"\n'
    config = load(tmp_path, text, {"RUNTIME_DIRECTORY": "/run/penstock:/run/other"})
    assert config.engine.state_dir == str(tmp_path / "state")
    assert config.engine.ring_dir == "/run/penstock"
    assert load(tmp_path, text, {}).engine.ring_dir == "/dev/shm"


def test_what_show_prints_means_the_same(tmp_path: Path) -> None:
    text = WHOLE.replace('password = "${secret:ERP}"\n', "").replace("plant:p%40ss@", "")
    config = load(tmp_path, text, {"SITE": 'a "quote" ${x} \\ \u00fc \U0001f600 \x7f'})
    again = load(tmp_path, to_toml(config), {})
    assert again == config
    assert to_plain(again) == to_plain(config)


def test_floats_from_memory_and_decimals_from_files_agree(tmp_path: Path) -> None:
    raw = {
        "plant": {"name": "graz"},
        "rule": [{"name": "w", "kind": "window", "tag": "t", "size_s": 0.1}],
    }
    from_memory = parse_config(raw, variables={})
    from_file = load(
        tmp_path,
        '[plant]\nname="graz"\n[[rule]]\nname="w"\nkind="window"\ntag="t"\nsize_s=0.1\n',
        {},
    )
    assert from_memory.rules == from_file.rules
    assert from_file.options_for_core()["rules"][0]["size_ns"] == 100_000_000


def test_configuration_needs_no_third_party_module() -> None:
    """A fresh interpreter: what the configuration pulls in beside the standard library is ours
    alone.
    """
    import subprocess

    code = (
        "import sys, penstock.config, penstock.config.show, penstock.mapping\n"
        "found = {name.partition('.')[0] for name in sys.modules}\n"
        "foreign = sorted(found - set(sys.stdlib_module_names) - {'__main__', '__mp_main__'})\n"
        "print([name for name in foreign if not name.startswith('_sysconfigdata')])\n"
    )
    packages = [each for each in sys.path if "site-packages" in each]
    paths = [str(Path(__file__).parents[2] / "src"), *packages]
    answer = subprocess.run(
        [sys.executable, "-S", "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert answer.stdout.strip() == "['penstock']"
