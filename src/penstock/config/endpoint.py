"""Endpoints: the ``bind`` or ``connect`` of a source becomes host, port, credentials or path."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import unquote

from penstock.config import vocabulary as words
from penstock.config.model import Source
from penstock.config.secret import Secret
from penstock.errors import ConfigError

_ENDPOINT = re.compile(
    r"(?P<scheme>[a-z]+)://(?:(?P<who>[^@/]*)@)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^:/@\[\]\s]+)(?::(?P<port>[0-9]{1,5}))?/?"
)
_FILE = re.compile(r"file://(?P<path>/.+)", re.DOTALL)
_NATS_PORT = 4222


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a socket listens or connects. ``host`` without brackets; ``port`` 0 only where it
    listens. Of a replay ``host`` is the path of its recording.
    """

    host: str
    port: int
    is_bind: bool


def endpoint_of(source: Source) -> Endpoint | None:
    """The endpoint of a source that has passed its checks; None for a feed."""
    text = source.bind or source.connect
    return _parse(text, source, "")[0] if text else None


def finish_source(source: Source, path: str, problems: list[ConfigError]) -> Source:
    """The source with its defaults resolved and the credentials taken out of ``connect``."""
    if not source.full:
        source = replace(source, full="drop" if source.kind in ("zmq_sub", "nats") else "block")
    try:
        return _with_credentials(source, path)
    except ConfigError as wrong:
        problems.append(wrong)
        return source


def _with_credentials(source: Source, path: str) -> Source:
    if source.kind == "feed":
        if source.bind or source.connect:
            raise ConfigError(
                f"{path}.kind",
                "a feed has no address",
                "leave bind and connect out, or name a wire",
            )
        return source
    if source.bind and source.connect:
        raise ConfigError(f"{path}.connect", "bind and connect exclude each other", "leave one out")
    if not source.bind and not source.connect:
        raise ConfigError(f"{path}.connect", "is required for this kind", _example(source))
    place = f"{path}.{'bind' if source.bind else 'connect'}"
    _, who = _parse(source.bind or source.connect, source, place)
    if who is None:
        return source
    user, colon, password = (unquote(part) for part in who.partition(":"))
    if source.kind != "nats":
        raise ConfigError(place, "ZeroMQ has no user in its address", _example(source))
    if source.user or source.password or source.token:
        raise ConfigError(
            place, "credentials stand in the address and beside it", "keep user, password or token"
        )
    _check_size(place, user, words.USER_BYTES if colon else words.TOKEN_BYTES)
    _check_size(place, password, words.PASSWORD_BYTES)
    connect = source.connect.replace(f"{who}@", "", 1)
    if colon:
        return replace(source, connect=connect, user=user, password=Secret(password))
    return replace(source, connect=connect, token=Secret(user))


def _recording(text: str, source: Source, path: str) -> Endpoint:
    found = _FILE.fullmatch(text)
    if found is None or source.bind:
        raise ConfigError(path, "is no address of this kind", _example(source))
    file = unquote(found["path"])
    _check_size(path, file, words.HOST_BYTES)
    return Endpoint(file, 0, is_bind=False)


def _parse(text: str, source: Source, path: str) -> tuple[Endpoint, str | None]:
    if source.kind == "replay":
        return _recording(text, source, path), None
    scheme = "nats" if source.kind == "nats" else "tcp"
    found = _ENDPOINT.fullmatch(text)
    if (
        found is None or found["scheme"] != scheme
    ):  # the text is not repeated: it may hold a password
        raise ConfigError(path, "is no address of this kind", _example(source))
    if source.kind == "nats" and source.bind:
        raise ConfigError(path, "NATS is a client: it connects", _example(source))
    host = found["host"].strip("[]")
    if host == "*" and not source.bind:
        raise ConfigError(path, "'*' is no host to connect to", _example(source))
    _check_size(path, host, words.HOST_BYTES)
    port = int(found["port"]) if found["port"] else (_NATS_PORT if scheme == "nats" else -1)
    if not (0 if source.bind else 1) <= port <= 65535:
        raise ConfigError(path, "has no port from 1 to 65535", _example(source))
    return Endpoint("0.0.0.0" if host == "*" else host, port, bool(source.bind)), found["who"]


def _check_size(path: str, text: str, bytes_max: int) -> None:
    if len(text.encode("utf-8", "surrogatepass")) > bytes_max or any(
        ord(letter) < 32 for letter in text
    ):
        raise ConfigError(
            path, "holds a text that is too long or unprintable", f"at most {bytes_max} bytes"
        )


def _example(source: Source) -> str:
    if source.kind == "nats":
        return 'write connect = "nats://host:4222"'
    if source.kind == "replay":
        return 'write connect = "file:///var/lib/penstock/line1.zmtp"'
    return 'write bind = "tcp://127.0.0.1:5555" or connect = "tcp://host:5555"'
