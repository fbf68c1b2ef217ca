"""Tryton: documents become rows of ``penstock.posting``, key and document in one commit.

JSON-RPC of trytond 8.0: POST to ``/<database>/rpc/`` with exactly the keys id, method and params,
the user's context last; faults come as HTTP 200 with ``error``. An ``error`` means that the server
rolled its transaction back, so only a missing answer is ambiguous. The add-on is described in the
page ``target-tryton``.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import quote, urlsplit

from penstock import config, units
from penstock.contracts import (
    CONTRACTS,
    Downtime,
    MaterialConsumption,
    ProductionConfirmation,
    Quantity,
    Scrap,
    canonical_json,
    read_body,
    time_text,
)
from penstock.errors import Ambiguous, ConfigError, Permanent, PostError, Transient
from penstock.post import Document, Guarantees, Options, Receipt, Request, Running
from penstock.post.http import Answer, HttpClient
from penstock.testing import crash

_POSTING: Final = "model.penstock.posting"
_LANGUAGE: Final = "en"  # faults are translated texts without a code; these are the ones we know
_REASON_CHARS_MAX: Final = 500

# Codes of the add-on ("penstock:<code>" in the fault's description) to our categories.
_CODES: Final[Mapping[str, str]] = {
    "order_not_running": "order_state",
    "stock_short": "stock",
    "order_unknown": "master_data",
    "product_unknown": "master_data",
    "product_ambiguous": "master_data",
    "product_not_of_order": "master_data",
    "location_missing": "master_data",
    "company_missing": "master_data",
    "unit_unknown": "number",
    "unit_differs": "number",
    "quantity_invalid": "number",
    "quantity_not_positive": "number",
    "quantity_digits": "number",
    "duration_differs": "number",
    "date_invalid": "date",
    "date_future": "date",
    "time_invalid": "date",
    "interval_invalid": "date",
}
# Texts of Tryton's own faults, the first that fits. Order matters: the words further down are
# common.
_TEXTS: Final = tuple(
    (re.compile(pattern, re.IGNORECASE), category)
    for pattern, category in (
        (r"not allowed|access right|no access|access denied", "right"),
        (r"period", "period"),
        (r"number of digits|exceeds the limit|unit of measure|\buom\b|rounding", "number"),
        (r"effective date|in the future", "date"),
        (r"can ?not call|cannot call|not in state|invalid state", "order_state"),
        (r"assign|not enough|in stock|stock level", "stock"),
        (r"does not exist|not found|is required|missing|no longer exists", "master_data"),
    )
)
_LOCKED: Final = re.compile(
    r"modified in the meanwhile|database is locked|database table is locked|deadlock"
    r"|could not serialize"
    r"|could not obtain lock|lock timeout|concurren",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Session:
    authorization: str
    context: Mapping[str, Any]


def open_target(target: config.Target, options: Options, path: str) -> TrytonTarget:
    """The target of a configuration. ConfigError where url, database or user cannot be right."""
    address = urlsplit(target.url)
    if (
        address.scheme not in ("http", "https")
        or not address.hostname
        or address.query
        or address.fragment
    ):
        raise ConfigError(
            f"{path}.url", f"{target.url!r} is no address", 'write "http://host:8000"'
        )
    return TrytonTarget(
        target, HttpClient(timeout_s=options.timeout_s, concurrency=options.concurrency + 2)
    )


class TrytonTarget:
    """One database of one Tryton server. One event loop."""

    guarantees = Guarantees(
        has_key=True, has_readback=True, checked_against="real: trytond 8.0, add-on penstock 1"
    )

    def __init__(self, target: config.Target, http: HttpClient) -> None:
        self._target = target
        self._http = http
        self._url = f"{target.url.rstrip('/')}/{quote(target.database, safe='')}/rpc/"
        self._session: _Session | None = None
        self._login_lock = asyncio.Lock()

    @property
    def name(self) -> str:
        """The name in the configuration."""
        return self._target.name

    def prepare(self, document: Document) -> Request:
        """The arguments of ``post`` as canonical JSON."""
        contract = CONTRACTS.get(document.contract)
        if contract is None:
            raise Permanent(f"tryton has no place for {document.contract}", category="mapping")
        try:
            content = read_body(contract, document.body)
        except ValueError as wrong:
            raise Permanent(
                f"the document breaks its contract: {wrong}", category="mapping"
            ) from wrong
        values = {**_values(content), "reference": document.key16}
        payload = canonical_json([document.command_id, document.digest, contract.noun, values])
        return Request(document.command_id, document.digest, contract.noun, payload)

    async def send(self, request: Request) -> Receipt:
        """Posts once; a session that ran out is renewed once, for its refusal was no posting."""
        receipt = _receipt(await self._call(f"{_POSTING}.post", json.loads(request.payload)))
        if receipt is None:
            raise Ambiguous("the add-on answered nothing", category="no_answer")
        return receipt

    async def find(self, key: str) -> Receipt | None:
        """The document under our key. Every failure is Transient: asking changes nothing."""
        try:
            return _receipt(await self._call(f"{_POSTING}.find", [key]))
        except Transient:
            raise
        except PostError as wrong:
            raise Transient(str(wrong), category=_category_of_question(wrong)) from wrong

    async def running(self, assets: Sequence[str]) -> list[Running]:
        """The running orders at these assets; a newer order replaces an older one."""
        try:
            found = await self._call(f"{_POSTING}.running", [list(assets)])
        except PostError as wrong:
            raise Transient(str(wrong), category=_category_of_question(wrong)) from wrong
        if not isinstance(found, list):
            raise Transient("the add-on answered something else than a list", category="address")
        return [_running(each) for each in found if isinstance(each, dict) and each.get("asset")]

    async def close(self) -> None:
        """Leaves the session to its time-out; a log-out would need the server."""
        await self._http.close()

    # ---- session ----------------------------------------------------------------------------

    async def _call(self, method: str, args: list[Any]) -> Any:
        session = await self._login(None)
        answer = await self._exchange(method, [*args, dict(session.context)], session)
        if answer.status == 401:
            session = await self._login(session)
            answer = await self._exchange(method, [*args, dict(session.context)], session)
            if answer.status == 401:
                raise Transient(f"{self._url}: a new session is refused too", category="access")
        return _result(answer, self._url)

    async def _login(self, stale: _Session | None) -> _Session:
        """The session.

        A new one where there is none or it is the stale one. One log-in at a time.
        """
        async with self._login_lock:
            if self._session is not None and self._session is not stale:
                return self._session
            self._session = None
            try:
                self._session = await self._log_in()
            except Transient:
                raise
            except PostError as wrong:  # a log-in posts nothing, so its silence leaves no doubt
                raise Transient(
                    f"log-in: {wrong}", category=_category_of_question(wrong)
                ) from wrong
            return self._session

    async def _log_in(self) -> _Session:
        user = self._target.user
        password = {"password": self._target.password.reveal()}
        answer = await self._exchange("common.db.login", [user, password, _LANGUAGE], None)
        if answer.status in (401, 403):
            raise Transient(f"{self._url}: user {user!r} is refused", category="access")
        found = _result(answer, self._url)
        if not isinstance(found, list) or len(found) < 2:
            raise Transient(f"{self._url}: user {user!r} is refused", category="access")
        token = base64.b64encode(f"{user}:{found[0]}:{found[1]}".encode()).decode()
        session = _Session(f"Session {token}", {})
        answer = await self._exchange("model.res.user.get_preferences", [True, {}], session)
        context = _result(answer, self._url)
        if not isinstance(context, dict):
            raise Transient(f"{self._url}: the user has no preferences", category="access")
        return _Session(session.authorization, {**context, "language": _LANGUAGE})

    async def _exchange(self, method: str, params: list[Any], session: _Session | None) -> Answer:
        # Exactly these three keys: with a fourth, "jsonrpc", the server answers faults as HTML.
        body = json.dumps({"id": 1, "method": method, "params": params}).encode()
        on_sent = partial(crash.point, "post.sent") if method == f"{_POSTING}.post" else None
        headers = {"Content-Type": "application/json", "Accept-Encoding": "gzip"}
        if session is not None:
            headers["Authorization"] = session.authorization
        return await self._http.post(self._url, body, headers, on_sent=on_sent)


# ---- what we send
# ---------------------------------------------------------------------------------


def _values(
    content: ProductionConfirmation | MaterialConsumption | Scrap | Downtime,
) -> dict[str, Any]:
    if isinstance(content, Downtime):
        return {
            "asset": content.asset,
            "order": content.order,
            "state": content.state,
            "reason": content.reason or "",
            "start": time_text(content.start_ns),
            "end": time_text(content.end_ns),
            "duration_s": _in_seconds(content.duration),
        }
    values: dict[str, Any] = {
        "order": content.order,
        "quantity": content.quantity.to_body()["value"],
        "unit": content.quantity.unit,
        "lot": content.lot or "",
        "date": content.posting_date.isoformat(),
    }
    if isinstance(content, ProductionConfirmation):
        return {**values, "product": content.material}
    if isinstance(content, MaterialConsumption):
        return {
            **values,
            "product": content.component,
            "lot": content.lot or content.component_lot or "",
        }
    if content.order is None:
        raise Permanent(
            "tryton books scrap on an order, and this scrap names none", category="mapping"
        )
    return {**values, "reason": content.reason or ""}


def _in_seconds(duration: Quantity) -> str:
    try:
        return units.to_text(units.convert(duration.value, duration.unit, "SEC"))
    except ValueError as wrong:
        raise Permanent(
            f"a duration in {duration.unit} is no exact number of seconds", category="number"
        ) from wrong


# ---- what we are told
# -----------------------------------------------------------------------------


def _receipt(found: Any) -> Receipt | None:
    if found is None:
        return None
    if (
        not isinstance(found, dict)
        or not found.get("document")
        or found.get("status") not in _STATUSES
    ):
        raise Ambiguous(f"the add-on answered {str(found)[:100]!r}", category="no_answer")
    record = found.get("id")
    return Receipt(
        status=found["status"],
        document=str(found["document"]),
        model=str(found.get("model") or ""),
        record=record if isinstance(record, int) else None,
        digest=str(found.get("digest") or ""),
        raw=found,
    )


_STATUSES: Final = frozenset({"posted", "duplicate", "conflict"})


def _running(found: Mapping[str, Any]) -> Running:
    return Running(
        asset=str(found["asset"]),
        order=str(found.get("number") or found.get("order") or ""),
        material=str(found.get("product") or ""),
        lot=str(found.get("lot") or ""),
    )


def _result(answer: Answer, url: str) -> Any:
    """The result of a call, or the error it stands for."""
    if answer.status != 200:
        raise classify_status(answer, url)
    try:
        found = json.loads(answer.body)
    except ValueError as wrong:
        raise Ambiguous(f"{url}: the answer is no JSON: {wrong}", category="no_answer") from wrong
    if isinstance(found, dict) and found.get("error") is not None:
        raise classify_fault(found["error"])
    if not isinstance(found, dict) or "result" not in found:
        raise Ambiguous(f"{url}: the answer has neither result nor error", category="no_answer")
    return found["result"]


def classify_status(answer: Answer, url: str) -> PostError:
    """What an HTTP status other than 200 says about the call."""
    status, wait_s = answer.status, answer.retry_after_s
    text = f"{url}: HTTP {status}"
    if status == 429 or (status == 503 and wait_s is not None):
        return Transient(text, category="throttled", retry_after_s=wait_s)
    if status in (301, 302, 303, 307, 308, 404, 405, 410):
        return Transient(f"{text}; check url and database", category="address")
    if status == 403:
        return Transient(
            f"{text}; is the add-on penstock active in this database?", category="address"
        )
    if status in (409, 423):
        return Transient(text, category="locked", retry_after_s=wait_s)
    if status in (400, 413, 414, 415, 422):
        return Permanent(f"{text}: {_shown(answer.body)}", category="internal")
    # 5xx after the request was sent: whether it was committed is not known.
    return Ambiguous(f"{text}: {_shown(answer.body)}", category="no_answer")


def classify_fault(error: object) -> PostError:
    """What a JSON-RPC error says.

    The server rolled back: never ambiguous, save where our key was already there.
    """
    name, details = _split(error)
    if name == "UserError":
        return _user_error(details)
    if name == "UserWarning":
        return Permanent(" ".join(_texts(details)[1:]) or name, category="warning")
    if name == "ConcurrencyException":
        return Transient(" ".join(_texts(details)) or name, category="locked")
    if name == "LoginException":
        return Transient("the log-in is refused", category="access")
    if name in ("RateLimitException", "TooManyRequests"):
        return Transient("too many log-ins", category="throttled")
    if "penstock.posting" in name:
        return Transient("the add-on penstock is not active in this database", category="address")
    text = f"{name} {' '.join(_texts(details))}".strip()
    if _LOCKED.search(text):
        return Transient(_cut(text), category="locked")
    return Permanent(_cut(name or "the server failed inside"), category="internal")


def _user_error(details: object) -> PostError:
    texts = _texts(details)
    message, description = [*texts, "", ""][:2]
    code = description.removeprefix("penstock:")
    if code != description:
        return Permanent(_cut(message or code), category=_CODES.get(code, "refused"))
    text = _cut(f"{message} {description}".strip() or "refused without a reason")
    if _LOCKED.search(text):
        return Transient(text, category="locked")
    if "key must be unique" in text:
        return Ambiguous("another request with our key came first", category="no_answer")
    for pattern, category in _TEXTS:
        if pattern.search(text):
            return Permanent(text, category=category)
    return Permanent(text, category="refused")


def _category_of_question(wrong: PostError) -> str:
    """A question that was not answered: the target's state, not a document's."""
    return wrong.category if wrong.category in ("access", "address", "throttled") else "unreachable"


def _split(error: object) -> tuple[str, object]:
    if isinstance(error, list) and error and isinstance(error[0], str):
        return error[0], error[1] if len(error) > 1 else ""
    return str(error), ""


def _texts(details: object) -> list[str]:
    if isinstance(details, str):
        return [details]
    return (
        [each if isinstance(each, str) else "" for each in details]
        if isinstance(details, list)
        else []
    )


def _shown(body: bytes) -> str:
    return _cut(re.sub(r"<[^>]*>|\s+", " ", body[:2000].decode("utf-8", "replace")).strip())


def _cut(text: str) -> str:
    return text if len(text) <= _REASON_CHARS_MAX else text[: _REASON_CHARS_MAX - 1] + "…"
