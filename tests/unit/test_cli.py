"""Command line: exit codes, what goes to stdout and what to stderr, and what a missing extra
says.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from penstock import cli

ROOT = Path(__file__).parents[2]
VALID = """
[plant]
name = "graz"
[engine]
state_dir = "state"
ring_bytes = "1MiB"
[[source]]
name = "a"
kind = "zmq_pull"
bind = "tcp://127.0.0.1:0"
[[rule]]
name = "hot"
kind = "limit"
tag = "*.temp"
high = 80
[[target]]
name = "erp"
kind = "tryton"
url = "http://127.0.0.1:{port}"
database = "plant"
user = "admin"
password = "${{secret:ERP}}"
"""
INVALID = '[plant]\nnme = "graz"\n[engine]\ntags_max = 0\n'


@pytest.fixture
def listening() -> Iterator[int]:
    """A port that answers for as long as the test runs."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield server.getsockname()[1]


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_SECRET_ERP", "hush")


def write(folder: Path, text: str) -> str:
    file = folder / "penstock.toml"
    file.write_text(text, encoding="utf-8")
    return str(file)


def run(words: Sequence[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, as a person starts it."""
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment}
    return subprocess.run(
        [sys.executable, "-m", "penstock", *words],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_check_of_a_good_file_is_0(
    tmp_path: Path, listening: int, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, VALID.format(port=listening))
    assert cli.main(["config", "check", file]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{file}: well\n"
    assert captured.err == ""
    assert not (tmp_path / "state").exists(), "a check changes nothing"


def test_check_of_a_dead_neighbour_is_1_and_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        file = write(tmp_path, VALID.format(port=closed.getsockname()[1]))
        assert cli.main(["config", "check", file]) == 1
        assert "failed   target[erp].url: 127.0.0.1:" in capsys.readouterr().err
        assert cli.main(["config", "check", file, "--no-environment"]) == 0


def test_check_of_a_taken_port_and_an_unwritable_folder_is_1(
    tmp_path: Path, listening: int, capsys: pytest.CaptureFixture[str]
) -> None:
    text = VALID.format(port=listening).replace("127.0.0.1:0", f"127.0.0.1:{listening}")
    (tmp_path / "blocked").write_text("a file", encoding="utf-8")
    text = text.replace('"state"', '"blocked/state"').replace(
        "ring_bytes", f'ring_dir = "{tmp_path}"\nring_bytes'
    )
    file = write(tmp_path, text)
    assert cli.main(["config", "check", file, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    wrong = {each["path"]: each for each in found["environment"] if not each["ok"]}
    assert {"source[a].bind", "engine.state_dir"} <= set(wrong)
    assert all(each["fix"] for each in wrong.values())
    assert found["ok"] is False
    assert found["errors"] == []


def test_check_of_a_bad_file_is_78_with_every_error_on_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, INVALID)
    assert cli.main(["config", "check", file]) == 78
    captured = capsys.readouterr()
    assert captured.out == f"{file}: 3 errors\n"
    assert captured.err.splitlines() == [
        "error    plant.name: is required; Name of the plant; part of every event's identity.",
        "error    plant.nme: is not a known key; did you mean 'name'?",
        "error    engine.tags_max: 0 is out of bounds; 1 to 1048576",
    ]


def test_check_json_is_one_object(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config", "check", write(tmp_path, INVALID), "--json"]) == 78
    captured = capsys.readouterr()
    assert captured.err == ""
    found = json.loads(captured.out)
    assert (found["ok"], found["exit"], len(found["errors"])) == (False, 78, 3)
    assert found["errors"][1] == {
        "kind": "ConfigError",
        "text": "plant.nme: is not a known key; did you mean 'name'?",
        "path": "plant.nme",
        "reason": "is not a known key",
        "fix": "did you mean 'name'?",
    }


def test_warnings_are_denied_only_on_demand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, VALID.format(port=1).replace("${secret:ERP}", "plain"))
    assert cli.main(["config", "check", file, "--no-environment"]) == 0
    assert "warning  target[erp].password: stands in the file" in capsys.readouterr().err
    assert cli.main(["config", "check", file, "--no-environment", "--deny-warnings"]) == 78


def test_the_target_s_own_module_checks_its_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = VALID.format(port=1)
    file = write(tmp_path, f"{text}timeot_s = 5\n")
    assert cli.main(["config", "check", file, "--no-environment"]) == 78
    assert (
        "error    target[erp].timeot_s: is not a known key; did you mean 'timeout_s'?"
        in capsys.readouterr().err
    )
    file = write(tmp_path, text.replace('kind = "tryton"', 'kind = "trytn"'))
    assert cli.main(["config", "check", file, "--no-environment"]) == 78
    assert "error    target[erp].kind: 'trytn' is not known" in capsys.readouterr().err


def test_a_secret_that_is_missing_matters_only_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PENSTOCK_SECRET_ERP")
    file = write(tmp_path, VALID.format(port=1))
    assert cli.main(["config", "check", file, "--no-environment"]) == 0
    assert cli.main(["config", "check", file]) == 78
    assert "the secret ERP is nowhere to be found" in capsys.readouterr().err


def test_show_hides_secrets_and_fills_in_defaults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path, VALID.format(port=1))
    assert cli.main(["config", "show", file]) == 0
    text = capsys.readouterr().out
    assert 'password = "***"' in text
    assert "checkpoint_s = 30.0" in text
    assert "hush" not in text
    assert cli.main(["config", "show", file, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["target"][0]["password"] == "***"


def test_show_of_a_bad_file_is_78(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config", "show", write(tmp_path, INVALID)]) == 78
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 3
    assert cli.main(["config", "show", write(tmp_path, INVALID), "--json"]) == 78
    assert len(json.loads(capsys.readouterr().out)["errors"]) == 3


def test_schema_prints_the_published_schema(capsys: pytest.CaptureFixture[str]) -> None:
    from penstock.config.schema import SCHEMA_FILE

    assert cli.main(["config", "schema"]) == 0
    assert capsys.readouterr().out == SCHEMA_FILE.read_text(encoding="utf-8")


def test_version_says_the_same_twice(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["version", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert set(found) == {"version", "python", "implementation", "platform", "native"}
    assert cli.main(["version"]) == 0
    assert capsys.readouterr().out.startswith(f"penstock {found['version']} (native ")


@pytest.mark.parametrize(
    "words",
    [
        ["chek"],
        ["config", "chek"],
        ["config", "check"],
        ["config", "check", "a", "--jsn"],
        ["version", "x"],
        [],
    ],
)
def test_wrong_usage_is_2_and_said_on_stderr(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(words) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err


def test_help_lists_every_command_without_importing_them() -> None:
    answer = run(["--help"])
    assert answer.returncode == 0
    for name, _ in cli.COMMANDS:
        assert f" {name} " in answer.stdout
    code = (
        "import sys; from penstock import cli; cli.main(['--help'])\n"
        "print([name for name in sys.modules if name.startswith('penstock.cli.')])\n"
    )
    listed = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert listed.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("missing", "extra"), [("cyclopts", "cli"), ("rich", "cli"), ("httpx2", "post")]
)
def test_a_missing_extra_prints_the_line_that_installs_it(
    missing: str, extra: str, tmp_path: Path
) -> None:
    """The module is hidden from the import system, as where it was never installed."""
    file = write(tmp_path, VALID.format(port=1))
    code = (
        "import sys\n"
        "class Hidden:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] == {missing!r}:\n"
        "            raise ModuleNotFoundError('no module', name=name)\n"
        "sys.meta_path.insert(0, Hidden())\n"
        "from penstock import cli\n"
        f"sys.exit(cli.main(['config', 'check', {file!r}, '--no-environment']))\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert answer.returncode == 2, answer.stderr
    assert answer.stdout == ""
    assert f"needs {missing}" in answer.stderr
    assert answer.stderr.splitlines()[-1] == f"  pip install 'penstock[{extra}]'"


def test_a_command_whose_module_is_absent_says_so_and_disturbs_no_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "COMMANDS", (*cli.COMMANDS, ("absent", "Not there.")))
    assert cli.main(["absent"]) == 2
    assert (
        capsys.readouterr().err
        == "penstock absent: not part of this build (no module penstock.cli.absent)\n"
    )
    assert cli.main(["version"]) == 0


def test_no_color_and_a_pipe_leave_no_escape_codes() -> None:
    for environment in ({"NO_COLOR": "1", "FORCE_COLOR": ""}, {"TERM": "xterm-256color"}):
        for words in (["--help"], ["config", "chek"], ["version"]):
            answer = run(words, **environment)
            assert "\x1b" not in answer.stdout + answer.stderr


def test_a_reader_that_leaves_early_is_no_error() -> None:
    code = f"{sys.executable} -m penstock config schema | head -1; exit ${{PIPESTATUS[0]}}"
    answer = subprocess.run(
        ["bash", "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert answer.stdout == "{\n"
    assert "Traceback" not in answer.stderr
    assert "Exception" not in answer.stderr
    assert answer.returncode == 0
