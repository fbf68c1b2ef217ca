"""REST: documents become requests to any JSON API, by templates of path, headers and body.

What the API promises about our key is declared, not guessed: ``idempotent`` says that a second
request with the same key makes no second document, ``look_up`` how to ask by the key. Without
either nothing is sent unasked. The page ``target-rest`` has every key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

from penstock import config
from penstock.config.secret import Secret
from penstock.contracts import canonical_json
from penstock.errors import Ambiguous, Permanent, PostError, Transient
from penstock.post import Document, Guarantees, Options, Receipt, Request, template
from penstock.post.answer import AnswerPath, read_json, shown
from penstock.post.http import Answer, HttpClient
from penstock.post.rest_plan import TRANSIENT, LookUp, Plan, RestOptions, read_plan, read_trusted
from penstock.post.template import Template
from penstock.testing import crash

RECEIPT_BYTES_MAX: Final = 64 * 1024  # of an answer kept whole in the ledger
_STATUSES: Final[Mapping[int, str]] = {
    **dict.fromkeys((301, 302, 303, 307, 308, 405, 410), "address"),
    **dict.fromkeys((401, 407), "access"),
    403: "right",
    423: "locked",
    425: "not_accepted",
    429: "throttled",
    # 408 and 409: the first request may still be at work, or be the document we ask about.
    **dict.fromkeys((408, 409), "in_doubt"),
}


class RestTarget:
    """One JSON API. One event loop."""

    def __init__(self, name: str, plan: Plan, http: HttpClient) -> None:
        self._name = name
        self._plan = plan
        self._http = http

    @property
    def name(self) -> str:
        """The name in the configuration."""
        return self._name

    @property
    def guarantees(self) -> Guarantees:
        """What the configuration declares of the API."""
        return Guarantees(
            has_key=self._plan.is_idempotent,
            has_readback=self._plan.look_up is not None,
            checked_against="metadata: as the configuration declares it",
        )

    def takes(self, contract: str) -> bool:
        """Whether the configuration has a path for it."""
        return contract in self._plan.calls

    def prepare(self, document: Document) -> Request:
        """Method, path, headers and body as canonical JSON; secrets are not in it."""
        call = self._plan.calls.get(document.contract)
        if call is None:
            raise Permanent(
                f"target {self._name!r} has no path for {document.contract}", category="mapping"
            )
        facts = template.facts_of(document)
        told = {
            "method": call.method,
            "path": template.fill_path(call.path, facts),
            "headers": self._headers(call.headers, facts),
            "body": template.write_json(template.fill_json(call.body, facts)),
        }
        return Request(
            document.command_id, document.digest, document.contract, canonical_json(told)
        )

    async def send(self, request: Request) -> Receipt:
        """One request. Only an answer that says so counts as posted or refused."""
        call = self._plan.calls[request.kind]
        told = json.loads(request.payload)
        answer = await self._http.request(
            told["method"],
            self._plan.url + told["path"],
            told["body"].encode(),
            {**told["headers"], "Content-Type": "application/json", **self._secret(call.secrets)},
            on_sent=partial(crash.point, "post.sent"),
        )
        body = read_json(answer)
        wrong = self._refusal(answer, body, has_fields=any(call.path.fields))
        if wrong is not None:
            raise wrong
        number = call.document.string(body, answer.headers) if call.document.text else request.key
        if not number:
            raise Ambiguous(
                f"{told['path']}: HTTP {answer.status}, and nothing at {call.document.text!r}"
                f" in the answer: {shown(answer.body)}",
                category="no_answer",
            )
        return Receipt("posted", number, raw=_raw(body, answer.status))

    async def find(self, key: str) -> Receipt | None:
        """The document under our key. Every failure is Transient: asking changes nothing."""
        look_up = self._plan.look_up
        if look_up is None:
            raise Transient("this target has no look_up", category="address")
        facts = {"key": key}
        headers = {**self._headers(look_up.headers, facts), **self._secret(look_up.secrets)}
        headers.pop(self._plan.key_header, None)  # a question is no second request
        path = template.fill_path(look_up.path, facts)
        try:
            answer = await self._http.request("GET", self._plan.url + path, b"", headers)
        except Transient:
            raise
        except PostError as wrong:
            raise Transient(str(wrong), category="unreachable") from wrong
        if answer.status == 204 or (answer.status == 404 and look_up.is_by_path):
            return None
        if answer.status != 200:
            raise _not_asked(answer, path)
        return _found(look_up, answer, key, path)

    async def close(self) -> None:
        """Idempotent."""
        await self._http.close()

    # ---- one request ------------------------------------------------------------------------

    def _headers(self, headers: Mapping[str, Template], facts: Mapping[str, Any]) -> dict[str, str]:
        found = {"Accept": "application/json", "Accept-Encoding": "gzip"}
        for name, each in headers.items():
            try:
                found[name] = template.fill_header(each, facts, name)
            except template.Absent:
                continue
        return {**found, self._plan.key_header: facts["key"]}

    def _secret(self, secrets: Mapping[str, Secret]) -> dict[str, str]:
        found = {name: each.reveal() for name, each in secrets.items()}
        if self._plan.authorization:
            found["Authorization"] = self._plan.authorization.reveal()
        return found

    def _refusal(self, answer: Answer, body: Any, *, has_fields: bool) -> PostError | None:
        """What an answer says against the document, or None: it is posted."""
        code = self._plan.code.string(body, answer.headers) if self._plan.code.text else ""
        meaning = self._plan.codes.get(code) or self._plan.statuses.get(answer.status)
        if meaning is None and 200 <= answer.status < 300 and answer.status != 202:
            return None
        if meaning is None:
            meaning = _usual_meaning(answer, has_fields=has_fields)
        reason = self._plan.reason.string(body, answer.headers) if self._plan.reason.text else ""
        text = f"HTTP {answer.status}: {reason or shown(answer.body)}".rstrip(": ")
        if code:
            text = f"{text} ({code})"
        if meaning == "in_doubt":
            return Ambiguous(text, category="no_answer")
        if meaning in TRANSIENT:
            return Transient(text, category=meaning, retry_after_s=answer.retry_after_s)
        return Permanent(text, category=meaning)


def _usual_meaning(answer: Answer, *, has_fields: bool) -> str:
    status = answer.status
    if status == 404:  # an order in the path that is not there is the document's fault
        return "master_data" if has_fields else "address"
    if status == 503 and answer.retry_after_s is not None:
        return "throttled"
    if 400 <= status < 500:
        return _STATUSES.get(status, "refused")
    # 202: taken, and not done yet. 5xx after the request was sent: committed or not, who knows.
    return _STATUSES.get(status, "in_doubt")


# ---- what a look-up answers ----------------------------------------------------------------------


def _not_asked(answer: Answer, path: str) -> Transient:
    text = f"look-up {path}: HTTP {answer.status}: {shown(answer.body)}".rstrip(": ")
    if answer.status in (401, 403, 407):
        return Transient(text, category="access")
    if answer.status == 429 or (answer.status == 503 and answer.retry_after_s is not None):
        return Transient(text, category="throttled", retry_after_s=answer.retry_after_s)
    is_ours = 300 <= answer.status < 500 and answer.status not in (408, 425)
    return Transient(text, category="address" if is_ours else "unreachable")


def _found(look_up: LookUp, answer: Answer, key: str, path: str) -> Receipt | None:
    """The one document that bears our key.

    An answer that does not show our key proves nothing: an API that ignores an unknown filter
    answers with whatever it has.
    """
    records = _records(look_up, answer, path)
    ours = records
    if look_up.key.text:
        ours = [each for each in records if _is_ours(look_up, each, answer, key)]
    if records and not ours:
        raise Transient(
            f"look-up {path}: {len(records)} found, none with our key at {look_up.key.text!r}",
            category="address",
        )
    if not ours:
        return None
    place = look_up.document
    numbers = [place.string(each, answer.headers) if place.text else key for each in ours]
    if not all(numbers):
        raise Transient(f"look-up {path}: nothing at {place.text!r}", category="address")
    digest = look_up.digest.string(ours[0], answer.headers) if look_up.digest.text else ""
    if len(ours) > 1:  # held as a conflict: somebody must look into the books
        digest = f"{len(ours)} documents"
    return Receipt("posted", ", ".join(numbers[:4]), digest=digest, raw=_raw(ours[0], 200))


def _records(look_up: LookUp, answer: Answer, path: str) -> list[Any]:
    """What the answer holds; none where it says so by an empty list or null."""
    body, place = read_json(answer), look_up.items
    if answer.body.strip() == b"null":
        return []
    found = place.value(body, answer.headers) if place.text else body
    if isinstance(found, list):
        return found
    if found is not None:
        return [found]
    if _has_null(place, body):
        return []
    where = repr(place.text) if place.text else "the answer that is JSON"
    raise Transient(f"look-up {path}: nothing at {where}", category="address")


def _has_null(place: AnswerPath, body: Any) -> bool:
    """Whether the answer names the place and says null there."""
    above = replace(place, steps=place.steps[:-1]).value(body, {})
    return bool(place.steps) and isinstance(above, Mapping) and place.steps[-1] in above


def _is_ours(look_up: LookUp, record: Any, answer: Answer, key: str) -> bool:
    return look_up.key.string(record, answer.headers).casefold() == key.casefold()


def _raw(body: Any, status: int) -> dict[str, Any]:
    found = {"status": status, "answer": body}
    text = template.write_json(found)
    if len(text.encode()) > RECEIPT_BYTES_MAX:
        return {"status": status, "answer": f"{len(text)} characters, not kept"}
    raw: dict[str, Any] = json.loads(text, parse_float=str)
    return raw


def open_target(target: config.Target, options: Options, path: str) -> RestTarget:
    """The target of a configuration. ConfigError where a template or an address cannot be right."""
    assert isinstance(options, RestOptions)
    plan = read_plan(target, options, path)
    trusted = read_trusted(options.ca_file, f"{path}.ca_file")
    http = HttpClient(
        timeout_s=options.timeout_s, concurrency=options.concurrency + 2, trusted=trusted
    )
    return RestTarget(target.name, plan, http)
