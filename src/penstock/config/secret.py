"""Secret: a text that is never shown. And references: ``${VAR}``, ``${VAR:-default}``,
``${secret:NAME}`` become values.

A substituted value is taken as it is: what looks like a reference inside it stays text. ``$${``
writes a literal ``${``.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from penstock.errors import ConfigError

_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_SECRET_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_SECRET_FOLDER = Path("/run/secrets")
SECRET_BYTES_MAX = 65536


class Secret:
    """A text that prints as ``***`` everywhere; ``reveal`` gives it to the one who sends it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(
            self._text.encode(), other._text.encode()
        )

    def __hash__(self) -> int:
        return hash((Secret, self._text))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not pickled")


class Substituted(str):
    """A text that came from the environment: numbers and booleans may be read from it."""


class Environment:
    """Where references are looked up. ``is_known`` false: every secret stands in as a placeholder
    (checks elsewhere).
    """

    def __init__(
        self, variables: Mapping[str, str], *, is_known: bool = True, folder: Path = _SECRET_FOLDER
    ) -> None:
        self._variables = variables
        self._is_known = is_known
        self._folder = folder

    def substitute(self, value: object, path: str, problems: list[ConfigError]) -> object:
        """The value with every reference replaced, in tables and lists too; what fails is added
        to ``problems``.
        """
        if isinstance(value, str):
            try:
                return self._text(value, path)
            except ConfigError as wrong:
                problems.append(wrong)
                return value
        if isinstance(value, dict):
            return {
                key: self.substitute(each, f"{path}.{key}", problems) for key, each in value.items()
            }
        if isinstance(value, list):
            return [
                self.substitute(each, f"{path}[{index}]", problems)
                for index, each in enumerate(value)
            ]
        return value

    def first_folder(self, variable: str) -> str:
        """The first of the folders that systemd names in a variable, or "" (systemd.exec: a list
        with colons).
        """
        return self._variables.get(variable, "").partition(":")[0]

    def _text(self, text: str, path: str) -> str | Secret:
        if "${" not in text:
            return text
        has_secret = False
        has_reference = False
        parts: list[str] = []
        end = 0
        for found in _REFERENCE.finditer(text):
            parts.append(text[end : found.start()])
            end = found.end()
            if found[0] == "$${":
                parts.append("${")
                continue
            if found[1] is None:
                raise ConfigError(
                    path, "${ without a closing }", "write ${NAME}, or $${ for a literal ${"
                )
            has_reference = True
            has_secret = has_secret or found[1].startswith("secret:")
            parts.append(self._look_up(found[1], path))
        whole = "".join([*parts, text[end:]])
        if has_secret:
            return Secret(whole)
        return Substituted(whole) if has_reference else whole

    def _look_up(self, reference: str, path: str) -> str:
        if reference.startswith("secret:"):
            return self._secret(reference.removeprefix("secret:"), path)
        found = _VARIABLE.fullmatch(reference)
        if found is None:
            raise ConfigError(
                path,
                f"${{{reference}}} is no reference",
                "write ${VAR}, ${VAR:-default} or ${secret:NAME}",
            )
        value = self._variables.get(found[1])
        if found[2] is not None:
            return value or found[2]
        if value is None:
            fix = f"set {found[1]}, or write ${{{found[1]}:-default}}"
            raise ConfigError(path, f"the environment variable {found[1]} is not set", fix)
        return value

    def _secret(self, name: str, path: str) -> str:
        if not _SECRET_NAME.fullmatch(name):
            raise ConfigError(
                path, f"{name!r} is no name of a secret", "use letters, digits, '_', '.' and '-'"
            )
        if not self._is_known:
            return "placeholder"
        credentials = self._variables.get("CREDENTIALS_DIRECTORY")
        folders = [Path(credentials)] if credentials else []
        for folder in (*folders, self._folder):
            found = _read_secret(folder / name, path)
            if found is not None:
                return found
        variable = "PENSTOCK_SECRET_" + re.sub(r"[.-]", "_", name)
        if variable in self._variables:
            return self._variables[variable]
        places = ", ".join([*(str(folder / name) for folder in (*folders, self._folder)), variable])
        raise ConfigError(
            path, f"the secret {name} is nowhere to be found", f"put it into one of: {places}"
        )


def _read_secret(file: Path, path: str) -> str | None:
    try:
        with file.open("rb") as stream:
            raw = stream.read(SECRET_BYTES_MAX + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as wrong:
        raise ConfigError(
            path, f"{file} cannot be read: {wrong.strerror}", "make it readable for this user"
        ) from None
    if len(raw) > SECRET_BYTES_MAX:
        raise ConfigError(
            path, f"{file} is larger than {SECRET_BYTES_MAX} bytes", "a secret is a short text"
        )
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(path, f"{file} is not UTF-8", "store the secret as text") from None
    return text.removesuffix("\n").removesuffix("\r")
