"""REST plan: a target's keys become parsed templates and places, or the reason why not."""

# ruff: noqa: RUF009  (every default is dataclasses.field, said through option)

from __future__ import annotations

import base64
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from penstock import config
from penstock.config import forms
from penstock.config.secret import Secret
from penstock.contracts import CONTRACTS
from penstock.errors import ConfigError
from penstock.post import Options, option, template
from penstock.post.answer import AnswerPath, parse_answer_path
from penstock.post.template import Template

# What a status or code of the API may be declared to mean; "in_doubt": ask by our key.
TRANSIENT: Final = ("not_accepted", "locked", "throttled", "access", "address", "unreachable")
_PERMANENT: Final = (
    *("order_state", "stock", "warning"),  # held
    *("master_data", "period", "number", "date", "right", "internal", "refused"),
)
_MEANINGS: Final = ("in_doubt", *TRANSIENT, *_PERMANENT)
_METHODS: Final = ("POST", "PUT", "PATCH")
_TOKEN: Final = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"  # RFC 9110, section 5.6.2
_OURS: Final = frozenset({"content-type", "content-length", "host", "transfer-encoding"})


@dataclass(frozen=True, slots=True)
class _Raw:
    """A value that is read when the contracts it is for are known."""

    shape: forms.Schema

    def read(self, value: object, path: str, problems: forms.Problems) -> object:
        return value

    def schema(self) -> forms.Schema:
        return self.shape


_TEXT: Final = _Raw({"type": "string"})
_HEADERS: Final = forms.Named(forms.Text(127, _TOKEN, "a header's name"), _TEXT, 32)
_PLACE: Final = forms.Text(200, bytes_min=0)
_CONTRACT: Final = forms.Text(63)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """What differs for the documents of one contract; left out: as the target has it."""

    method: str = option(forms.Choice(_METHODS), "How a document is sent.", "")
    path: object = option(_TEXT, "Address below url, a template: /orders/{order}.", None)
    headers: tuple[tuple[str, object], ...] = option(_HEADERS, "Headers, templates.", ())
    body: object = option(_Raw({}), "Body, a tree of templates.", None)
    document: str | None = option(_PLACE, "Where the answer has the document's number.", None)


@dataclass(frozen=True, slots=True, kw_only=True)
class LookUpOptions:
    """How the API is asked for a document by our key."""

    path: object = option(_TEXT, "Address below url, with {key}.", None)
    headers: tuple[tuple[str, object], ...] = option(_HEADERS, "Headers, templates.", ())
    items: str = option(_PLACE, "Where the answer has the list of documents found.", "")
    key: str = option(_PLACE, "Where a document found has our key.", "")
    document: str | None = option(_PLACE, "Where it has its number.", None)
    digest: str = option(_PLACE, "Where it has our digest, if it keeps that.", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class RestOptions(Options):
    """Keys of a REST target."""

    method: str = option(forms.Choice(_METHODS), "How a document is sent.", "POST")
    path: object = option(_TEXT, "Address below url, a template: /orders/{order}.", None)
    headers: tuple[tuple[str, object], ...] = option(_HEADERS, "Headers, templates.", ())
    body: object = option(_Raw({}), "Body, a tree of templates; default: key and document.", None)
    document: str = option(_PLACE, "Where the answer has the document's number.", "id")
    ca_file: str = option(
        forms.Text(511), "PEM file of the authority to trust, in place of the public ones.", ""
    )
    key_header: str = option(
        forms.Text(127, _TOKEN, "a header's name"), "Header that bears our key.", "Idempotency-Key"
    )
    idempotent: bool = option(
        forms.Boolean(), "A second request with the same key makes no second document.", False
    )
    contracts: tuple[tuple[str, CallOptions], ...] = option(
        forms.Named(_CONTRACT, forms.Table(CallOptions), 64),
        "What differs by contract.",
        (),
    )
    look_up: LookUpOptions | None = option(
        forms.Table(LookUpOptions), "How a document is asked for by our key.", None
    )
    statuses: tuple[tuple[str, str], ...] = option(
        forms.Named(forms.Text(3, r"^[45][0-9]{2}$", "400 to 599"), forms.Choice(_MEANINGS), 64),
        "What an HTTP status of 400 to 599 means here, where it is not the usual.",
        (),
    )
    reason: str = option(_PLACE, "Where a refusal has its text.", "")
    code: str = option(_PLACE, "Where a refusal has its code.", "")
    codes: tuple[tuple[str, str], ...] = option(
        forms.Named(forms.Text(100), forms.Choice(_MEANINGS), 256),
        "What a code means.",
        (),
    )


@dataclass(frozen=True, slots=True)
class Call:
    """How the documents of one contract are sent."""

    method: str
    path: Template
    headers: Mapping[str, Template]
    secrets: Mapping[str, Secret]  # headers that hold one, whole
    body: object
    document: AnswerPath


@dataclass(frozen=True, slots=True)
class LookUp:
    path: Template
    headers: Mapping[str, Template]
    secrets: Mapping[str, Secret]
    items: AnswerPath
    key: AnswerPath
    document: AnswerPath
    digest: AnswerPath
    is_by_path: bool  # the key names the resource, so 404 means: not there


@dataclass(frozen=True, slots=True)
class Plan:
    """A target's configuration, parsed."""

    url: str
    calls: Mapping[str, Call]
    look_up: LookUp | None
    key_header: str
    is_idempotent: bool
    authorization: Secret
    statuses: Mapping[int, str]
    reason: AnswerPath
    code: AnswerPath
    codes: Mapping[str, str]


def read_plan(target: config.Target, options: RestOptions, path: str) -> Plan:
    calls = _read_calls(options, path)
    if not calls:
        raise ConfigError(f"{path}.path", "is required for a rest target", 'write path = "/…"')
    if options.codes and not options.code:
        raise ConfigError(f"{path}.code", "is required with codes", 'write code = "error.code"')
    authorization = _read_authorization(target, options, path)
    return Plan(
        url=_read_url(target.url, f"{path}.url"),
        calls=calls,
        look_up=_read_look_up(options, path),
        key_header=options.key_header,
        is_idempotent=options.idempotent,
        authorization=authorization,
        statuses={int(status): meaning for status, meaning in options.statuses},
        reason=parse_answer_path(options.reason, f"{path}.reason"),
        code=parse_answer_path(options.code, f"{path}.code"),
        codes=dict(options.codes),
    )


def read_trusted(ca_file: str, path: str) -> ssl.SSLContext | None:
    """The authority of a plant's own; None: the public ones."""
    if not ca_file:
        return None
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as wrong:
        reason = wrong.strerror or "it holds no certificate"
        raise ConfigError(path, f"{ca_file} cannot be read: {reason}", "name a PEM file") from None


def _read_url(url: str, path: str) -> str:
    fix = 'write "https://host/api"'
    try:
        parts = urlsplit(url)
        is_well = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_well = False
    if not url or not is_well or "?" in url or "#" in url or not url.isascii() or " " in url:
        raise ConfigError(path, f"{url!r} is no address", fix)
    return url.rstrip("/")


def _read_authorization(target: config.Target, options: RestOptions, path: str) -> Secret:
    if not target.user and not target.password:
        return Secret("")
    if not target.user or not target.password:
        missing = "password" if target.user else "user"
        raise ConfigError(f"{path}.{missing}", "user and password belong together", "name both")
    if any(name.lower() == "authorization" for name, _ in options.headers):
        raise ConfigError(
            f"{path}.headers.Authorization", "stands beside user and password", "leave one out"
        )
    pair = base64.b64encode(f"{target.user}:{target.password.reveal()}".encode()).decode()
    return Secret(f"Basic {pair}")


def _read_calls(options: RestOptions, path: str) -> dict[str, Call]:
    """One call for each contract that has a path."""
    own = dict(options.contracts)
    for name in own:
        if name not in CONTRACTS:
            raise ConfigError(
                f"{path}.contracts.{name}", "is no contract", forms.suggest(name, CONTRACTS)
            )
    common = CallOptions(
        method=options.method,
        path=options.path,
        headers=options.headers,
        body=options.body,
        document=options.document,
    )
    found = {}
    if options.path is not None:
        # Said once, against all contracts, so that a wrong word is reported at its own place.
        everything = _read_call(common, common, options, path, template.known_fields())
        found = dict.fromkeys(CONTRACTS, everything)
    for name, call in own.items():
        if call.path is None and options.path is None:
            raise ConfigError(f"{path}.contracts.{name}.path", "is required", 'write path = "/…"')
        known = template.known_fields([CONTRACTS[name]])
        place = f"{path}.contracts.{name}"
        found[name] = _read_call(call, common, options, place, known)
    return found


def _read_call(
    call: CallOptions,
    common: CallOptions,
    options: RestOptions,
    path: str,
    known: Mapping[str, str],
) -> Call:
    merged = {**dict(common.headers), **dict(call.headers)}
    headers, secrets = _read_headers(merged, options.key_header, f"{path}.headers", known)
    body = call.body if call.body is not None else common.body
    if body is None:
        body = {"key": "{key}", "contract": "{contract}", "document": "{document}"}
    given = call.path if call.path is not None else common.path
    place = call.document if call.document is not None else common.document
    return Call(
        method=call.method or common.method,
        path=template.parse_path(given, f"{path}.path", known),
        headers=headers,
        secrets=secrets,
        body=template.parse_json(body, f"{path}.body", known),
        document=parse_answer_path(place or "", f"{path}.document"),
    )


def _read_headers(
    given: Mapping[str, object], key_header: str, path: str, known: Mapping[str, str]
) -> tuple[dict[str, Template], dict[str, Secret]]:
    headers: dict[str, Template] = {}
    secrets: dict[str, Secret] = {}
    for name, value in given.items():
        place = f"{path}.{name}"
        if name.lower() in _OURS or name.lower() == key_header.lower():
            raise ConfigError(place, "is written by penstock", "leave it out")
        if not isinstance(value, Secret):
            headers[name] = template.parse_text(value, place, known)
        elif value.reveal().isascii() and value.reveal().isprintable():
            secrets[name] = value
        else:
            raise ConfigError(place, "holds what no header can", "printable ASCII, no line end")
    return headers, secrets


def _read_look_up(options: RestOptions, path: str) -> LookUp | None:
    given = options.look_up
    if given is None:
        return None
    place = f"{path}.look_up"
    if given.path is None:
        raise ConfigError(f"{place}.path", "is required", 'write path = "/documents?key={key}"')
    parsed = template.parse_path(given.path, f"{place}.path", template.LOOK_UP_FACTS)
    if not any(parsed.fields):
        raise ConfigError(f"{place}.path", "does not name {key}", "ask for one document by our key")
    is_by_path = _has_key_before_query(parsed)
    if not given.key and (given.items or not is_by_path):
        raise ConfigError(
            f"{place}.key",
            "is required where the key is a filter: an API may ignore a filter it does not know",
            'write where a document found has our key: key = "reference"',
        )
    merged = {**dict(options.headers), **dict(given.headers)}
    facts = template.LOOK_UP_FACTS
    kept = {n: v for n, v in merged.items() if n in dict(given.headers) or _is_plain(v, facts)}
    headers, secrets = _read_headers(kept, options.key_header, f"{place}.headers", facts)
    document = given.document if given.document is not None else options.document
    return LookUp(
        path=parsed,
        headers=headers,
        secrets=secrets,
        items=parse_answer_path(given.items, f"{place}.items"),
        key=parse_answer_path(given.key, f"{place}.key"),
        document=parse_answer_path(document, f"{place}.document"),
        digest=parse_answer_path(given.digest, f"{place}.digest"),
        is_by_path=is_by_path,
    )


def _is_plain(value: object, known: Mapping[str, str]) -> bool:
    """Whether a header of the target means something in a look-up, where no document is at hand."""
    if isinstance(value, Secret):
        return True
    try:
        template.parse_text(value, "", known)
    except ConfigError:
        return False
    return True


def _has_key_before_query(path: Template) -> bool:
    for part in path.parts:
        if isinstance(part, str):
            if "?" in part:
                return False
        else:
            return True
    return False
