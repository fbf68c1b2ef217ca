"""Tryton target: requests byte for byte, every answer classified, and a broken wire.

The server here speaks HTTP over a real socket from a script of answers; the real Tryton is met in
tests/flow.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from penstock.config import Secret, Target
from penstock.contracts import canonical_json
from penstock.errors import Ambiguous, ConfigError, Permanent, PostError, Transient
from penstock.mapping import map_event
from penstock.outbox.content import document_digest
from penstock.post import Document, Options, Request, open_target, read_options
from penstock.post.http import Answer, HttpClient
from penstock.post.tryton import TrytonTarget, classify_fault, classify_status
from penstock.testing.builders import make_config, make_event, make_stop

CONFIG = make_config()
PREFERENCES = {"company": 1, "language": "fr"}


@dataclass(frozen=True)
class Posted:
    command_id: str
    key16: str
    contract: str
    posting_date: str
    body: dict[str, Any]

    @property
    def digest(self) -> str:
        return document_digest(self.contract, canonical_json(self.body))


def document(event: object = None, **changes: Any) -> Document:
    (command,) = map_event(event or make_event(1), CONFIG)
    body = {**command.body, **changes}
    return Posted(
        command.command_id,
        command.key16,
        command.contract,
        command.posting_date,
        {name: each for name, each in body.items() if each is not None},
    )


@dataclass
class Script:
    """Answers by method; each is bytes of an HTTP answer, or None: close without one."""

    answers: dict[str, list[bytes | None]] = field(default_factory=dict)
    seen: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)

    def methods(self) -> list[str]:
        return [body["method"] for _, body in self.seen]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {
                name.lower(): value
                for name, _, value in (line.partition(": ") for line in head[1:])
            }
            body = json.loads(await reader.readexactly(int(headers["content-length"])))
            self.seen.append(({**headers, "": head[0]}, body))
            queue = self.answers.get(body["method"], [])
            answer = queue.pop(0) if len(queue) > 1 else (queue[0] if queue else None)
            if answer is not None:
                writer.write(answer)
                await writer.drain()
        writer.close()


def http(value: Any, status: int = 200, *, headers: str = "", pack: bool = False) -> bytes:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    if pack:
        body, headers = gzip.compress(body), headers + "Content-Encoding: gzip\r\n"
    head = (
        f"HTTP/1.0 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{headers}\r\n"
    )
    return head.encode() + body


def result(value: Any, **more: Any) -> bytes:
    return http({"id": 1, "result": value}, **more)


def fault(*error: Any) -> bytes:
    return http({"id": 1, "error": list(error)})


POST, FIND = "model.penstock.posting.post", "model.penstock.posting.find"
LOGIN, READ = "common.db.login", "model.res.user.get_preferences"


def script(**answers: Any) -> Script:
    named = {
        "post": POST,
        "find": FIND,
        "login": LOGIN,
        "running": "model.penstock.posting.running",
    }
    ready: dict[str, list[bytes | None]] = {
        LOGIN: [result([7, "token", None])],
        READ: [result(PREFERENCES)],
    }
    for name, each in answers.items():
        ready[named[name]] = each if isinstance(each, list) else [each]
    return Script(ready)


def meet(
    given: Script, work: Callable[[TrytonTarget], Coroutine[Any, Any, Any]], timeout_s: float = 5.0
) -> Any:
    async def go() -> Any:
        async with target_of(given, timeout_s) as target:
            return await work(target)

    return asyncio.run(go())


@contextlib.asynccontextmanager
async def target_of(given: Script, timeout_s: float) -> AsyncIterator[TrytonTarget]:
    server = await asyncio.start_server(given.serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    config = Target(
        name="erp",
        kind="tryton",
        url=f"http://127.0.0.1:{port}",
        database="plant",
        user="penstock",
        password=Secret("pw"),
    )
    target = TrytonTarget(config, HttpClient(timeout_s=timeout_s, concurrency=4))
    try:
        yield target
    finally:
        await target.close()
        server.close()
        await server.wait_closed()


def failing(
    given: Script, work: Callable[[TrytonTarget], Any], timeout_s: float = 5.0
) -> PostError:
    with pytest.raises(PostError) as caught:
        meet(given, work, timeout_s)
    return caught.value


ANSWER = {"status": "posted", "document": "PC-1", "model": "stock.move", "id": 5, "digest": "d"}


def send(target: TrytonTarget) -> Any:
    return target.send(target.prepare(document()))


def find(target: TrytonTarget) -> Any:
    return target.find("k")


# ---- what is sent --------------------------------------------------------------------------------


def test_a_call_has_exactly_three_keys_the_context_last_and_asks_for_gzip() -> None:
    given = script(post=result(ANSWER, pack=True))
    receipt = meet(given, send)
    assert (receipt.status, receipt.document, receipt.record, receipt.digest) == (
        "posted",
        "PC-1",
        5,
        "d",
    )
    assert given.methods() == [LOGIN, READ, POST]
    for headers, body in given.seen:
        assert headers[""] == "POST /plant/rpc/ HTTP/1.1"
        assert set(body) == {"id", "method", "params"}
        assert headers["accept-encoding"] == "gzip"
        assert headers["content-type"] == "application/json"
    assert given.seen[0][1]["params"] == ["penstock", {"password": "pw"}, "en"]
    assert "authorization" not in given.seen[0][0]
    assert given.seen[2][0]["authorization"] == "Session cGVuc3RvY2s6Nzp0b2tlbg=="
    key, digest, kind, values, context = given.seen[2][1]["params"]
    assert (key, digest) == (document().command_id, document().digest)
    assert context == {"company": 1, "language": "en"}
    assert kind == "production_confirmation"
    assert values == {
        "order": "O1",
        "product": "FG-1",
        "quantity": "12",
        "unit": "C62",
        "lot": "L1",
        "date": "2026-11-18",
        "reference": document().key16,
    }


def prepared(doc: Document) -> list[Any]:
    async def go() -> Request:
        async with target_of(Script(), 1.0) as target:
            assert target.prepare(doc) == target.prepare(doc)
            return target.prepare(doc)

    found: list[Any] = json.loads(asyncio.run(go()).payload)
    return found


def test_a_stop_becomes_a_downtime_with_exact_seconds() -> None:
    (_, _, kind, values) = prepared(document(make_stop(1)))
    assert kind == "downtime"
    assert values == {
        "asset": "M1",
        "order": "O1",
        "state": "Stopped",
        "reason": "",
        "start": "2026-11-18T11:06:50.000000000Z",
        "end": "2026-11-18T11:06:58.000000000Z",
        "duration_s": "8",
        "reference": document(make_stop(1)).key16,
    }
    minutes = document(make_stop(1), duration={"unit": "MIN", "value": "0.25"}, order=None)
    assert prepared(minutes)[3]["duration_s"] == "15"
    assert prepared(minutes)[3]["order"] is None


def test_scrap_and_consumption_become_their_kinds() -> None:
    body = dict(document().body)
    scrap = replace(document(), contract="scrap/1", body={**body, "reason": "burr"})
    assert prepared(scrap)[2] == "scrap"
    assert prepared(scrap)[3]["reason"] == "burr"
    used = {**body, "component": "RM-1", "quantity": {"unit": "KGM", "value": "1.25"}}
    consumption = replace(document(), contract="material_consumption/1", body=used)
    values = prepared(consumption)[3]
    assert (values["product"], values["quantity"], values["unit"]) == ("RM-1", "1.25", "KGM")


def test_what_tryton_has_no_place_for_is_refused_before_it_is_sent() -> None:
    body = {name: each for name, each in document().body.items() if name != "order"}
    for doc in (
        replace(document(), contract="order_release/9"),
        replace(document(), contract="scrap/1", body=body),
        replace(document(), body={"order": "O1"}),
    ):
        with pytest.raises(Permanent):
            prepared(doc)


# ---- what comes back -----------------------------------------------------------------------------


def test_find_gives_the_document_or_none_and_every_failure_is_transient() -> None:
    assert meet(script(find=result(ANSWER)), find).document == "PC-1"
    assert meet(script(find=result(None)), find) is None
    for answer in (None, http(b"<html>", 500), fault("UserError", ["no", "", None]), http(b"[1")):
        error = failing(script(find=answer), find)
        assert isinstance(error, Transient)
        assert error.category == "unreachable"


def test_no_whole_answer_to_a_post_is_ambiguous() -> None:
    whole = result(ANSWER)
    packed = result(ANSWER, pack=True)
    for answer in (
        None,
        whole[:-5],
        whole[:20],
        b"rubbish\r\n\r\n",
        http(b""),
        http(b"[]"),
        http({"id": 1}),
        http(gzip.compress(b"x" * 5000)[:-9]),
        packed[:-4],
        result(None),
        result({"status": "posted", "document": ""}),
        http(b"<html>error</html>", 500),
        http(b"", 502),
        http(b"", 503),
    ):
        error = failing(script(post=answer), send)
        assert isinstance(error, Ambiguous), (answer, error)


def test_a_bomb_of_an_answer_is_cut_off_not_unpacked() -> None:
    bomb = http(gzip.compress(b"0" * (40 << 20)), headers="Content-Encoding: gzip\r\n")
    assert "too large" in str(failing(script(post=bomb), send))
    assert "larger than" in str(failing(script(post=http(b"0" * (17 << 20))), send))


def test_plain_json_under_a_gzip_header_is_read() -> None:
    answer = result(ANSWER, headers="Content-Encoding: gzip\r\n")
    assert meet(script(post=answer), send).document == "PC-1"


def test_a_refused_connection_is_transient_and_nothing_was_sent() -> None:
    async def go() -> None:
        async with target_of(script(), 1.0) as target:
            request = target.prepare(document())
        again = TrytonTarget(target._target, HttpClient(timeout_s=1.0, concurrency=1))
        with pytest.raises(Transient) as caught:
            await again.send(request)
        await again.close()
        assert caught.value.category == "unreachable"

    asyncio.run(go())


def test_a_server_that_accepts_and_hangs_or_trickles_is_ambiguous_in_time() -> None:
    async def go() -> None:
        async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while not head.startswith(b"-"):
                writer.write(b" ")
                with contextlib.suppress(ConnectionError):
                    await writer.drain()
                await asyncio.sleep(0.05)

        server = await asyncio.start_server(hang, "127.0.0.1", 0)
        client = HttpClient(timeout_s=0.3, concurrency=1)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        began = asyncio.get_running_loop().time()
        with pytest.raises(Ambiguous):
            await client.post(url, b"{}", {})
        assert asyncio.get_running_loop().time() - began < 2.0
        await client.close()
        server.close()

    asyncio.run(go())


def test_on_sent_is_called_once_when_the_request_has_left() -> None:
    async def go() -> list[str]:
        steps: list[str] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"{}")
            await asyncio.sleep(0.05)
            steps.append("answer")
            writer.write(http(b"x"))
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        client = HttpClient(timeout_s=1.0, concurrency=1)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        await client.post(url, b"{}", {}, on_sent=lambda: steps.append("sent"))
        await client.close()
        server.close()
        return steps

    assert asyncio.run(go()) == ["sent", "answer"]


# ---- sessions ------------------------------------------------------------------------------------


def test_a_session_that_ran_out_is_renewed_once_and_the_post_repeated_once() -> None:
    given = script(post=[http(b"", 401), result(ANSWER)])
    assert meet(given, send).document == "PC-1"
    assert given.methods() == [LOGIN, READ, POST, LOGIN, READ, POST]
    for_ever = script(post=http(b"", 401))
    error = failing(for_ever, send)
    assert (type(error), error.category) == (Transient, "access")
    assert for_ever.methods().count(LOGIN) == 2


def test_parallel_posts_log_in_once() -> None:
    given = script(post=result(ANSWER))

    async def work(target: TrytonTarget) -> None:
        await asyncio.gather(*(send(target) for _ in range(4)))

    meet(given, work)
    assert given.methods().count(LOGIN) == 1
    assert given.methods().count(POST) == 4


def test_a_refused_login_is_the_targets_state_and_posts_nothing() -> None:
    cases: tuple[tuple[bytes | None, str], ...] = (
        (fault("LoginException", ["password", "Password", "password"]), "access"),
        (result(None), "access"),
        (http(b"", 401), "access"),
        (http(b"", 429, headers="Retry-After: 60\r\n"), "throttled"),
        (http(b"", 404), "address"),
        (None, "unreachable"),
        (http(b"", 500), "unreachable"),
    )
    for answer, category in cases:
        given = script(login=answer)
        error = failing(given, send)
        assert (type(error), error.category) == (Transient, category), answer
        assert POST not in given.methods()


# ---- classification ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "kind", "category"),
    [
        (
            ["UserError", ["not running", "penstock:order_not_running", None]],
            Permanent,
            "order_state",
        ),
        (["UserError", ["short", "penstock:stock_short", None]], Permanent, "stock"),
        (["UserError", ["who", "penstock:order_unknown", None]], Permanent, "master_data"),
        (["UserError", ["digits", "penstock:quantity_digits", None]], Permanent, "number"),
        (["UserError", ["later", "penstock:date_future", None]], Permanent, "date"),
        (["UserError", ["?", "penstock:something_new", None]], Permanent, "refused"),
        (["UserError", ["You must reopen period 2026-10", "", None]], Permanent, "period"),
        (
            ["UserError", ['The number of digits "0.125" exceeds the limit "2".', "", None]],
            Permanent,
            "number",
        ),
        (
            ["UserError", ['You can not call "do" on "7" of "Production".', "", None]],
            Permanent,
            "order_state",
        ),
        (["UserError", ["You are not allowed to create records", "", None]], Permanent, "right"),
        (["UserError", ["The idempotency key must be unique.", "", None]], Ambiguous, "no_answer"),
        (["UserError", ["Records were modified in the meanwhile", "", None]], Transient, "locked"),
        (["UserError", "text only"], Permanent, "refused"),
        (["UserError", []], Permanent, "refused"),
        (["UserWarning", ["future.1", "date in future", "sure?"]], Permanent, "warning"),
        (["ConcurrencyException", "Records were modified in the meanwhile"], Transient, "locked"),
        (["database is locked", "Traceback"], Transient, "locked"),
        (["OperationalError('database is locked')", ""], Transient, "locked"),
        (["could not serialize access due to concurrent update", ""], Transient, "locked"),
        (["LoginException", ["password", "x", "password"]], Transient, "access"),
        (["'penstock.posting'", ""], Transient, "address"),
        (["could not convert string to float: '1,5'", "Traceback"], Permanent, "internal"),
        (["KeyError", 12], Permanent, "internal"),
        ("odd", Permanent, "internal"),
        ([], Permanent, "internal"),
        ([5], Permanent, "internal"),
        (["UserError", [None, None, None]], Permanent, "refused"),
    ],
)
def test_faults_of_the_protocol(error: Any, kind: type[PostError], category: str) -> None:
    found = classify_fault(error)
    assert (type(found), found.category) == (kind, category)
    assert str(found)


@pytest.mark.parametrize(
    ("status", "headers", "kind", "category"),
    [
        (429, {"retry-after": "30"}, Transient, "throttled"),
        (503, {"retry-after": "30"}, Transient, "throttled"),
        (302, {}, Transient, "address"),
        (404, {}, Transient, "address"),
        (405, {}, Transient, "address"),
        (403, {}, Transient, "address"),
        (423, {}, Transient, "locked"),
        (422, {}, Permanent, "internal"),
        (500, {}, Ambiguous, "no_answer"),
        (502, {}, Ambiguous, "no_answer"),
        (599, {}, Ambiguous, "no_answer"),
        (204, {}, Ambiguous, "no_answer"),
    ],
)
def test_http_statuses(
    status: int, headers: dict[str, str], kind: type[PostError], category: str
) -> None:
    found = classify_status(Answer(status, headers, b"<b>why</b>"), "http://erp")
    assert (type(found), found.category) == (kind, category)
    if "retry-after" in headers:
        assert found.retry_after_s == 30.0


def test_retry_after_may_be_a_date_by_the_servers_own_clock() -> None:
    headers = {
        "date": "Wed, 18 Nov 2026 11:00:00 GMT",
        "retry-after": "Wed, 18 Nov 2026 11:02:00 GMT",
    }
    assert Answer(429, headers, b"").retry_after_s == 120.0
    for text in ("", "soon", "-5"):
        assert Answer(429, {"retry-after": text}, b"").retry_after_s is None


def test_every_refusal_code_of_the_add_on_has_a_category() -> None:
    """The add-on names its refusals ``penstock:<code>``; a new one must be sorted here."""
    import re
    from pathlib import Path

    from penstock.post.tryton import _CODES

    source = Path(__file__).parents[2] / "tools/tryton_penstock/trytond_penstock"
    text = "".join(each.read_text(encoding="utf-8") for each in source.glob("*.py"))
    codes = set(re.findall(r'refuse\(\s*"([a-z_]+)"', text))
    assert len(codes) > 10
    unsorted = codes - set(_CODES) - {"kind_unknown", "text_invalid", "value_missing"}
    assert unsorted == set()


# ---- configuration -------------------------------------------------------------------------------


def test_a_target_is_opened_from_its_configuration_and_refuses_what_cannot_be() -> None:
    base = Target(
        name="erp",
        kind="tryton",
        url="https://erp.example.org:8000/",
        database="my plant",
        user="u",
        password=Secret("p"),
        options={"concurrency": 2, "timeout_s": 5, "context": True},
    )

    async def opened() -> tuple[TrytonTarget, Options]:
        target, options = open_target(base, "target[0]")
        assert isinstance(target, TrytonTarget)
        await target.close()
        return target, options

    target, options = asyncio.run(opened())
    assert target._url == "https://erp.example.org:8000/my%20plant/rpc/"
    assert (options.concurrency, options.timeout_s, options.context) == (2, 5.0, True)
    for change, path in (
        ({"kind": "sap"}, "target[0].kind"),
        ({"url": "ftp://x"}, "target[0].url"),
        ({"url": ""}, "target[0].url"),
        ({"database": ""}, "target[0].database"),
        ({"user": ""}, "target[0].user"),
        ({"password": Secret("")}, "target[0].password"),
        ({"options": {"timeout": 5}}, "target[0].timeout"),
        ({"options": {"concurrency": 0}}, "target[0].concurrency"),
    ):
        with pytest.raises(ConfigError) as caught:
            open_target(replace(base, **change), "target[0]")
        assert caught.value.path == path
    assert read_options(replace(base, options={}), "t") == Options()
