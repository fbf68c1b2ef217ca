"""Load: a TOML file and its ``conf.d`` become one checked Config, or every reason why not."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from penstock.config import check, check_alarm, check_mapping, check_tags
from penstock.config.check import Item
from penstock.config.check_window import check_panes
from penstock.config.endpoint import finish_source
from penstock.config.forms import Problems, describe, read_table, suggest
from penstock.config.model import (
    Config,
    ConfigErrors,
    DocumentMapping,
    EngineOptions,
    Notice,
    Ops,
    Plant,
    Rule,
    Source,
    Target,
)
from penstock.config.secret import Environment
from penstock.config.vocabulary import PATH_BYTES, RULES_MAX, SOURCES_MAX
from penstock.errors import ConfigError

FILE_BYTES_MAX = 16 << 20
_LISTS: Mapping[str, tuple[type[Any], int]] = {
    "source": (Source, SOURCES_MAX),
    "rule": (Rule, RULES_MAX),
    "target": (Target, 256),
    "mapping": (DocumentMapping, 4096),
}
_TABLES: Mapping[str, type[Any]] = {"plant": Plant, "engine": EngineOptions, "ops": Ops}


@dataclass(frozen=True, slots=True)
class _Part:
    """One file's content; ``label`` names it in messages, "" for the main file."""

    label: str
    raw: Mapping[str, object]


def load_config(
    path: str | os.PathLike[str],
    *,
    variables: Mapping[str, str] | None = None,
    is_environment_known: bool = True,
) -> Config:
    """Reads ``path`` and ``conf.d/*.toml`` beside it, in name order.

    Tables are merged key by key, the later file wins; lists of tables are joined. ``variables``
    stands for the process's environment. With ``is_environment_known`` false each secret is a
    placeholder: for checks on another machine. Raises ConfigErrors with everything that is wrong,
    each with its place and fix.
    """
    file = Path(path)
    problems: Problems = []
    parts = [_Part("", _read_file(file, problems))]
    extra = sorted(file.parent.glob("conf.d/*.toml"))
    parts += [_Part(f"conf.d/{each.name}: ", _read_file(each, problems)) for each in extra]
    if problems:
        raise ConfigErrors(tuple(problems))
    environment = Environment(
        os.environ if variables is None else variables, is_known=is_environment_known
    )
    files = tuple(str(each) for each in (file, *extra))
    return _Reading(parts, environment, file.parent.absolute()).config(files)


def parse_config(
    raw: Mapping[str, object],
    *,
    variables: Mapping[str, str] | None = None,
    is_environment_known: bool = True,
) -> Config:
    """The same from tables already in memory (numbers may be ``float`` or ``Decimal``); no
    ``conf.d``.
    """
    environment = Environment(
        os.environ if variables is None else variables, is_known=is_environment_known
    )
    return _Reading([_Part("", raw)], environment, None).config(())


def _read_file(file: Path, problems: Problems) -> Mapping[str, object]:
    try:
        with file.open("rb") as stream:
            raw = stream.read(FILE_BYTES_MAX + 1)
        if len(raw) > FILE_BYTES_MAX:
            raise ConfigError(str(file), "is larger than 16 MiB", "split it into conf.d")
        return tomllib.loads(raw.decode("utf-8").replace("\r\n", "\n"), parse_float=Decimal)
    except OSError as wrong:
        problems.append(
            ConfigError(str(file), f"cannot be read: {wrong.strerror}", "name a readable TOML file")
        )
    except UnicodeDecodeError as wrong:
        problems.append(
            ConfigError(str(file), f"is not UTF-8 (byte {wrong.start})", "save it as UTF-8")
        )
    except (tomllib.TOMLDecodeError, RecursionError) as wrong:
        problems.append(ConfigError(str(file), f"is not TOML: {wrong}", "correct this line"))
    except ConfigError as wrong:
        problems.append(wrong)
    return {}


class _Reading:
    """One pass over all parts: read every table, then check what was read against the rest."""

    def __init__(self, parts: list[_Part], environment: Environment, folder: Path | None) -> None:
        self._parts = parts
        self._environment = environment
        self._folder = folder
        self._problems: Problems = []
        self._notices: list[Notice] = []

    def config(self, files: tuple[str, ...]) -> Config:
        """The Config; ConfigErrors where anything is wrong."""
        self._check_sections()
        plant = self._table("plant")
        engine = self._table("engine")
        ops = self._table("ops")
        lists = {section: self._list(section) for section in _LISTS}
        if isinstance(engine, EngineOptions):
            engine = self._finish_engine(engine)
        sources = self._sources(lists["source"])
        rules = self._rules(lists["rule"], [source for _, source in sources])
        if isinstance(engine, EngineOptions):
            check_tags.check_waiting(rules, sources, engine, self._problems)
        mappings = self._mappings(lists)
        if self._problems:
            raise ConfigErrors(tuple(self._problems))
        self._notices += check.source_notices(sources)
        self._notices += check_mapping.mapping_notices(rules, mappings)
        assert isinstance(plant, Plant)
        assert isinstance(engine, EngineOptions)
        assert isinstance(ops, Ops)
        return Config(
            plant=plant,
            engine=engine,
            ops=ops,
            sources=tuple(source for _, source in sources),
            rules=tuple(rule for _, rule in rules),
            targets=tuple(item.model for item in lists["target"] if isinstance(item.model, Target)),
            mappings=tuple(mapping for _, mapping in mappings),
            notices=tuple(self._notices),
            files=files,
        )

    def _check_sections(self) -> None:
        known = (*_TABLES, *_LISTS)
        for part in self._parts:
            for key in part.raw:
                if key not in known:
                    self._refuse(
                        f"{part.label}{key}", "is not a known section", suggest(key, known)
                    )

    def _table(self, section: str) -> object:
        merged: dict[str, object] = {}
        for part in self._parts:
            raw = part.raw.get(section, {})
            if isinstance(raw, dict):
                merged |= raw
            else:
                self._refuse(
                    f"{part.label}{section}",
                    f"must be a table, not {describe(raw)}",
                    f"write [{section}]",
                )
        count = len(self._problems)
        values = self._environment.substitute(merged, section, self._problems)
        if len(self._problems) > count or not isinstance(values, dict):
            return None
        return read_table(_TABLES[section], values, section, self._problems)

    def _list(self, section: str) -> list[Item]:
        model, count_max = _LISTS[section]
        found: list[Item] = []
        for part in self._parts:
            raw = part.raw.get(section, [])
            if not isinstance(raw, list) or not all(isinstance(each, dict) for each in raw):
                self._refuse(
                    f"{part.label}{section}", "must be a list of tables", f"write [[{section}]]"
                )
                continue
            names = [each.get("name") for each in raw]
            for index, each in enumerate(raw):
                name = each.get("name")
                is_named = isinstance(name, str) and name.isprintable() and names.count(name) == 1
                path = f"{part.label}{section}[{name if is_named else index}]"
                found.append(self._item(model, path, each))
        if len(found) > count_max:
            self._refuse(section, f"there are {len(found)}", f"at most {count_max}")
        check.check_duplicates(found, self._problems)
        return found

    def _item(self, model: type[Any], path: str, raw: dict[str, object]) -> Item:
        count = len(self._problems)
        values = self._environment.substitute(raw, path, self._problems)
        assert isinstance(values, dict)
        name = values.get("name")
        found = None
        if len(self._problems) == count:
            found = read_table(model, values, path, self._problems, is_open=model is Target)
        if model in (Source, Target):
            self._note_passwords(path, raw)
        return Item(path, str(name) if isinstance(name, str) else "", found, frozenset(values))

    def _note_passwords(self, path: str, raw: dict[str, object]) -> None:
        for key in ("password", "token"):
            value = raw.get(key)
            if isinstance(value, str) and value and "${" not in value:
                self._notices.append(
                    Notice(f"{path}.{key}", "stands in the file", 'write "${secret:NAME}"')
                )

    def _finish_engine(self, engine: EngineOptions) -> EngineOptions:
        runtime = self._environment.first_folder("RUNTIME_DIRECTORY")
        places = {
            "state_dir": engine.state_dir,
            "ring_dir": engine.ring_dir or runtime or "/dev/shm",
        }
        if self._folder is not None:
            places = {key: str(self._folder / place) for key, place in places.items()}
        for key, place in places.items():
            if len(os.fsencode(place)) > PATH_BYTES:
                self._refuse(f"engine.{key}", "the path is too long", f"at most {PATH_BYTES} bytes")
        return replace(engine, state_dir=places["state_dir"], ring_dir=places["ring_dir"])

    def _sources(self, items: list[Item]) -> list[tuple[str, Source]]:
        found: list[tuple[str, Source]] = []
        for item in items:
            if isinstance(item.model, Source):
                source = finish_source(item.model, item.path, self._problems)
                check.check_source(source, item.path, self._problems)
                found.append((item.path, source))
        check.check_binds(found, self._problems)
        return found

    def _rules(self, items: list[Item], sources: list[Source]) -> list[tuple[str, Rule]]:
        found: list[tuple[str, Rule]] = []
        for item in items:
            if isinstance(item.model, Rule):
                rule = check.finish_rule(item.model, item.keys)
                check.check_rule(rule, item.keys, item.path, self._problems)
                found.append((item.path, rule))
        check.check_gaps(found, sources, self._problems)
        check_panes(found, sources, self._problems)
        check_tags.check_types(found, sources, self._problems)
        check_alarm.check_suppression(found, self._problems)
        return found

    def _mappings(self, lists: Mapping[str, list[Item]]) -> list[tuple[str, DocumentMapping]]:
        for item in lists["target"]:
            if isinstance(item.model, Target):
                check_mapping.check_target(item.model, item.path, self._problems)
        finished = [self._finished(item) for item in lists["rule"]]
        checks = check_mapping.MappingChecks(finished, lists["target"], self._problems)
        found: list[tuple[str, DocumentMapping]] = []
        for item in lists["mapping"]:
            if isinstance(item.model, DocumentMapping):
                checks.check(item.model, item.path)
                found.append((item.path, item.model))
        return found

    @staticmethod
    def _finished(item: Item) -> Item:
        if isinstance(item.model, Rule):
            return replace(item, model=check.finish_rule(item.model, item.keys))
        return item

    def _refuse(self, path: str, reason: str, fix: str = "") -> None:
        self._problems.append(ConfigError(path, reason, fix))
