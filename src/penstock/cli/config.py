"""``penstock config``: check a configuration, show what it means, print its JSON Schema."""

from __future__ import annotations

import json as json_module
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from cyclopts import App

from penstock import cli
from penstock.config import Config, ConfigErrors, Notice, load_config
from penstock.errors import ConfigError

if TYPE_CHECKING:
    from penstock.post import Guarantees, Options, Target

app = App(
    name="config",
    help="Check, show or compare configurations, or print their JSON Schema.",
    version_flags=[],
)


@app.command
def check(
    file: Path, /, *, no_environment: bool = False, deny_warnings: bool = False, json: bool = False
) -> int:
    """Check a configuration: syntax, keys, values, references, then this machine and its
    neighbours.

    Exit codes: 0 well; 1 a check of the environment failed; 2 wrong usage; 78 the configuration is
    invalid (or has warnings, with --deny-warnings). Example: penstock config check plant.toml

    Parameters
    ----------
    file
        The TOML file; conf.d/*.toml beside it belongs to it.
    no_environment
        Look at no directory, address or secret: for a check on another machine.
    deny_warnings
        A warning makes the configuration invalid.
    json
        One JSON object: ok, exit, errors, warnings, environment.
    """
    from penstock.config.environment import check_environment

    notices: Iterable[Notice] = ()
    errors: tuple[ConfigError, ...] = ()
    findings = []
    try:
        config = load_config(file, is_environment_known=not no_environment)
        errors, proofs = _open_targets(config)
        notices = (*config.notices, *proofs)
        if not errors and not no_environment:
            findings = check_environment(config)
    except ConfigErrors as wrong:
        errors = wrong.errors
    if errors or (deny_warnings and notices):
        code = cli.EXIT_CONFIG
    else:
        code = cli.EXIT_OK if all(finding.is_ok for finding in findings) else cli.EXIT_FAILED
    if json:
        cli.emit(
            {
                "ok": code == cli.EXIT_OK,
                "exit": code,
                "errors": [cli.error_record(each) for each in errors],
                "warnings": [
                    {"path": each.path, "text": each.text, "fix": each.fix} for each in notices
                ],
                "environment": [
                    {"path": each.path, "ok": each.is_ok, "text": each.text, "fix": each.fix}
                    for each in findings
                ],
            }
        )
        return code
    for each in errors:
        cli.say(f"error    {each}")
    for notice in notices:
        cli.say(f"warning  {notice}")
    for finding in findings:
        if not finding.is_ok:
            cli.say(f"failed   {finding.path}: {finding.text}; {finding.fix}")
    print(f"{file}: {_verdict(code, len(errors))}")
    return code


@app.command
def show(file: Path, /, *, json: bool = False) -> int:
    """Show what a configuration means: all files merged, references replaced, defaults filled in,
    secrets as ***.

    Exit codes: 0 done; 2 wrong usage; 78 the configuration is invalid. Example: penstock config
    show plant.toml

    Parameters
    ----------
    file
        The TOML file; conf.d/*.toml beside it belongs to it.
    json
        One JSON object in place of TOML.
    """
    from penstock.config.show import to_plain, to_toml

    config = load_config(file)
    if json:
        cli.emit(to_plain(config))
    else:
        print(to_toml(config), end="")
    return cli.EXIT_OK


@app.command
def diff(old: Path, new: Path, /, *, json: bool = False) -> int:
    """Compare what two configurations mean: files merged, defaults filled in, names in any order.

    Exit codes: 0 they mean the same; 1 they differ; 2 wrong usage; 78 one is invalid. Example:
    penstock config diff plant.toml new.toml

    Parameters
    ----------
    old
        The TOML file as it was.
    new
        The TOML file as it shall be.
    json
        One JSON object: changes, each with path, old, new, note.
    """
    from penstock.cli.changes import changes_of

    configs = [load_config(each, is_environment_known=False) for each in (old, new)]
    found = changes_of(*configs)
    if json:
        cli.emit({"same": not found, "changes": [asdict(each) for each in found]})
    else:
        for each in found:
            print(each)
        print(f"{len(found)} changes" if found else "they mean the same")
    return cli.EXIT_FAILED if found else cli.EXIT_OK


@app.command
def schema(*, json: bool = False) -> int:
    """Print the JSON Schema (2020-12) of a configuration file, for editors: "#:schema
    ./penstock.schema.json".

    Exit codes: 0 done; 2 wrong usage. Example: penstock config schema

    Parameters
    ----------
    json
        On one line.
    """
    from penstock.config.schema import SCHEMA_FILE

    text = SCHEMA_FILE.read_text(encoding="utf-8")
    print(
        json_module.dumps(json_module.loads(text), ensure_ascii=False) if json else text,
        end="\n" if json else "",
    )
    return cli.EXIT_OK


def _open_targets(config: Config) -> tuple[tuple[ConfigError, ...], tuple[Notice, ...]]:
    """What the modules of the targets' kinds refuse, and what the targets cannot prove."""
    from penstock import post

    errors: list[ConfigError] = []
    notices: list[Notice] = []
    for target in config.targets:
        path = f"target[{target.name}]"
        try:
            opened, options = post.open_target(target, path)
        except ConfigErrors as wrong:
            errors.extend(wrong.errors)
        except ConfigError as wrong:
            errors.append(wrong)
        else:
            notices.extend(_proof_notices(path, opened.guarantees, options))
            errors.extend(_place_errors(config, opened))
    return tuple(errors), tuple(notices)


def _place_errors(config: Config, opened: Target) -> Iterable[ConfigError]:
    """Mappings to a target that has no place for their documents: all of them would be dead."""
    from penstock.post import Selective

    if not isinstance(opened, Selective):
        return
    for mapping in config.mappings:
        if opened.name in mapping.target_names() and not opened.takes(mapping.contract):
            yield ConfigError(
                f"mapping[{mapping.name}].contract",
                f"target {opened.name!r} has no path for {mapping.contract}",
                f'write [target.contracts."{mapping.contract}"], or a path for all',
            )


def _proof_notices(path: str, proof: Guarantees, options: Options) -> Iterable[Notice]:
    if proof.has_key and proof.has_readback:
        return
    page = "penstock docs target-rest has both"
    if proof.has_key:
        text = "cannot be asked for what is in doubt; it relies on its key alone"
        yield Notice(path, text, f"write look_up; {page}")
    elif proof.has_readback:
        text = "what is in doubt and not found is held, not sent again"
        yield Notice(path, text, f"write idempotent = true if it is; {page}")
    elif options.allow_unproven:
        yield Notice(path, "has neither a key nor a look-up: silence is held", page)
    else:
        text = "has neither a key nor a look-up, so every document is held"
        yield Notice(path, text, f"write look_up or idempotent, or allow_unproven; {page}")


def _verdict(code: int, errors: int) -> str:
    if errors:
        return f"{errors} error{'s' if errors > 1 else ''}"
    return {
        cli.EXIT_OK: "well",
        cli.EXIT_FAILED: "valid, and this machine or a neighbour is not ready",
        cli.EXIT_CONFIG: "warnings are denied",
    }[code]
