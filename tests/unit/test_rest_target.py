"""REST target against a real HTTP server: requests byte for byte, answers classified, and through
the fault proxy: one document each, or a name that waits.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import subprocess
import time
import tomllib
from collections.abc import Callable, Coroutine, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from rest_api import Books, books

import penstock.post
from penstock.cli import main
from penstock.config import Config, parse_config
from penstock.config.show import to_toml
from penstock.errors import Ambiguous, ConfigError, Permanent, PostError, Transient
from penstock.mapping import map_event
from penstock.outbox import Entry, Ledger, Mapped
from penstock.post import Target, open_target
from penstock.relay import Relay, port
from penstock.testing.builders import CONFIG_TEXT, make_event, make_stop
from penstock.testing.fault_proxy import FaultProxy

HEAD = CONFIG_TEXT.split("[[target]]")[0].format(state_dir="/tmp")
MAPPINGS = "[[mapping]]" + CONFIG_TEXT.split("[[mapping]]", 1)[1].replace("{target}", "api")
API = """
[[target]]
name = "api"
kind = "rest"
url = "{url}"
headers = {{ Authorization = "Bearer ${{secret:T}}", X-Plant = "graz {{noun}}" }}
idempotent = true
document = "data.number"
back_off_s = 0.05
back_off_max_s = 0.2
look_up_after_s = 0
timeout_s = 2
[target.contracts."production_confirmation/1"]
path = "/orders/{{order}}/confirmations"
body.ref = "{{key}}"
body.quantity = "{{quantity.value:number}}"
body.lot = "{{lot?}}"
body.shift = "{{shift?}}"
[target.contracts."downtime/1"]
path = "/stops"
method = "PUT"
document = "header:location"
"""
LOOK_UP = """
[target.look_up]
path = "/documents?reference={{key}}"
items = "items"
key = "reference"
document = "number"
"""


@pytest.fixture
def api() -> Iterator[Books]:
    with books() as server:
        yield server


@pytest.fixture
def proxy(api: Books) -> Iterator[FaultProxy]:
    with FaultProxy(api.url, match="POST /") as running:
        yield running


def configured(text: str, url: str) -> Config:
    raw = tomllib.loads(HEAD + text.format(url=url) + MAPPINGS, parse_float=Decimal)
    return parse_config(raw, variables={"PENSTOCK_SECRET_T": "hush"})


def opened(url: str, text: str = API + LOOK_UP) -> Target:
    return open_target(configured(text, url).targets[0], "target[api]")[0]


CONFIG = configured(API + LOOK_UP, "http://127.0.0.1:9")


def entry(ledger: Ledger, event: Any = None) -> Entry:
    given = event or make_event(1)
    ledger.commit_batch([Mapped(given, map_event(given, CONFIG))], now_ns=time.time_ns())
    (found,) = [each for each in ledger.reader.entries() if each.event_id == given.id]
    return found


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.sqlite", now_ns=time.time_ns()) as found:
        yield found


def meet(target: Target, work: Callable[[Target], Coroutine[Any, Any, Any]]) -> Any:
    async def go() -> Any:
        try:
            return await work(target)
        finally:
            await target.close()

    return asyncio.run(go())


def send(document: Entry) -> Callable[[Target], Any]:
    return lambda target: target.send(target.prepare(document))


# ---- what is sent --------------------------------------------------------------------------------


def test_a_document_becomes_the_declared_request(api: Books, ledger: Ledger) -> None:
    document = entry(ledger, make_event(1, order="MO/7 ä"))
    receipt = meet(opened(api.url), send(document))
    assert (receipt.status, receipt.document) == ("posted", "R-1")
    assert receipt.raw["answer"]["data"]["reference"] == document.command_id
    ((method, path, headers, body),) = api.seen
    assert (method, path) == ("POST", "/orders/MO%2F7%20%C3%A4/confirmations")
    assert body == {"ref": document.command_id, "quantity": 12, "lot": "L1"}
    assert headers["idempotency-key"] == document.command_id
    assert headers["authorization"] == "Bearer hush"
    assert headers["x-plant"] == "graz production_confirmation"
    assert headers["content-type"] == "application/json"


def test_another_contract_has_its_own_method_body_and_place(api: Books, ledger: Ledger) -> None:
    stop = entry(ledger, make_stop(2))
    receipt = meet(opened(api.url), send(stop))
    assert receipt.document == "/documents/R-1"
    ((method, path, _, body),) = api.seen
    assert (method, path) == ("PUT", "/stops")
    assert body == {"key": stop.command_id, "contract": "downtime/1", "document": dict(stop.body)}


def test_a_prepared_request_shows_no_secret_and_is_the_same_each_time(ledger: Ledger) -> None:
    document = entry(ledger)
    target = opened("http://127.0.0.1:9")
    request = target.prepare(document)
    assert request == target.prepare(document)
    assert b"hush" not in request.payload
    assert "hush" not in to_toml(CONFIG) + repr(CONFIG)
    assert 'Authorization = "***"' in to_toml(CONFIG)
    told = json.loads(request.payload)
    assert told["body"].startswith(f'{{"ref":"{document.command_id}","quantity":12,')


def test_a_contract_without_a_path_is_the_mapping_s_fault(ledger: Ledger) -> None:
    text = API.replace('[target.contracts."downtime/1"]\npath = "/stops"\n', "[target.x]\n")
    text = text.split("[target.x]")[0] + LOOK_UP
    with pytest.raises(Permanent, match="has no path for downtime/1") as caught:
        opened("http://127.0.0.1:9", text).prepare(entry(ledger, make_stop(1)))
    assert caught.value.category == "mapping"


def test_basic_credentials_are_sent(api: Books, ledger: Ledger) -> None:
    text = API.replace('Authorization = "Bearer ${{secret:T}}", ', "").replace(
        "idempotent", 'user = "ann"\npassword = "${{secret:T}}"\nidempotent'
    )
    meet(opened(api.url, text), send(entry(ledger)))
    assert api.seen[0][2]["authorization"] == "Basic YW5uOmh1c2g="


# ---- what an answer means ------------------------------------------------------------------------

GATEWAY = b"<html><h1>502</h1> Bad Gateway</html>"


@pytest.mark.parametrize(
    ("status", "headers", "kind", "category", "wait_s"),
    [
        (400, {}, Permanent, "refused", None),
        (401, {}, Transient, "access", None),
        (403, {}, Permanent, "right", None),
        (404, {}, Permanent, "master_data", None),
        (405, {}, Transient, "address", None),
        (408, {}, Ambiguous, "no_answer", None),
        (409, {}, Ambiguous, "no_answer", None),
        (413, {}, Permanent, "refused", None),
        (418, {}, Permanent, "stock", None),
        (422, {}, Permanent, "refused", None),
        (423, {}, Transient, "locked", None),
        (425, {}, Transient, "not_accepted", None),
        (429, {"Retry_After": "7"}, Transient, "throttled", 7.0),
        (429, {}, Transient, "throttled", None),
        (301, {"Location": "/x"}, Transient, "address", None),
        (500, {}, Ambiguous, "no_answer", None),
        (502, {}, Ambiguous, "no_answer", None),
        (503, {}, Ambiguous, "no_answer", None),
        (503, {"Retry_After": "3"}, Transient, "throttled", 3.0),
        (202, {}, Ambiguous, "no_answer", None),
        (200, {}, Ambiguous, "no_answer", None),  # no number in it
    ],
)
def test_every_status_is_classified(
    api: Books,
    ledger: Ledger,
    status: int,
    headers: dict[str, str],
    kind: type[PostError],
    category: str,
    wait_s: float | None,
) -> None:
    api.answer(status, GATEWAY, **headers)
    text = API.replace("idempotent", 'statuses = {{ "418" = "stock" }}\nidempotent')
    with pytest.raises(kind, match="502 Bad Gateway") as caught:
        meet(opened(api.url, text), send(entry(ledger)))
    assert type(caught.value) is kind
    assert (caught.value.category, caught.value.retry_after_s) == (category, wait_s)


def test_taken_is_not_posted_even_where_202_has_a_number(api: Books, ledger: Ledger) -> None:
    api.answer(202, {"data": {"number": "JOB-1"}})
    with pytest.raises(Ambiguous, match="HTTP 202"):
        meet(opened(api.url), send(entry(ledger)))


def test_404_without_a_field_in_the_path_is_a_wrong_address(api: Books, ledger: Ledger) -> None:
    api.answer(404)
    with pytest.raises(Transient) as caught:
        meet(opened(api.url), send(entry(ledger, make_stop(1))))
    assert caught.value.category == "address"


def test_codes_decide_whatever_the_status(api: Books, ledger: Ledger) -> None:
    keys = 'code = "error.code"\nreason = "error.text"\ncodes = {{ CLOSED = "period" }}\nidempotent'
    target = API.replace("idempotent", keys)
    api.answer(200, {"error": {"code": "CLOSED", "text": "October is closed"}})
    with pytest.raises(Permanent, match=r"HTTP 200: October is closed \(CLOSED\)") as caught:
        meet(opened(api.url, target), send(entry(ledger)))
    assert caught.value.category == "period"


def test_the_api_s_own_number_may_be_missing(api: Books, ledger: Ledger) -> None:
    api.answer(204)
    document = entry(ledger)
    text = API.replace('document = "data.number"', 'document = ""')
    assert meet(opened(api.url, text), send(document)).document == document.command_id


# ---- look-up -------------------------------------------------------------------------------------


def find(key: str) -> Callable[[Target], Any]:
    return lambda target: target.find(key)


def test_a_look_up_finds_what_was_posted_and_only_that(api: Books, ledger: Ledger) -> None:
    document = entry(ledger)
    assert meet(opened(api.url), find(document.command_id)) is None
    meet(opened(api.url), send(document))
    receipt = meet(opened(api.url), find(document.command_id.upper().lower()))
    assert receipt.document == "R-1"
    headers = api.seen[-1][2]
    assert "idempotency-key" not in headers
    assert headers["authorization"] == "Bearer hush"
    assert "x-plant" not in headers, "its template needs a document"


def test_an_ignored_filter_is_noticed(api: Books, ledger: Ledger) -> None:
    """Planted: an API that answers with everything it has must not pass for a proof."""
    meet(opened(api.url), send(entry(ledger)))
    api.knows_filter = False
    other = entry(ledger, make_event(2))
    with pytest.raises(Transient, match="1 found, none with our key at 'reference'") as caught:
        meet(opened(api.url), find(other.command_id))
    assert caught.value.category == "address"


def test_two_documents_with_our_key_are_a_conflict(api: Books, ledger: Ledger) -> None:
    api.is_idempotent = False
    document = entry(ledger)
    meet(opened(api.url), send(document))
    meet(opened(api.url), send(document))
    receipt = meet(opened(api.url), find(document.command_id))
    assert (receipt.document, receipt.digest) == ("R-1, R-2", "2 documents")


@pytest.mark.parametrize(
    ("status", "body", "category"),
    [
        (404, b"", "address"),
        (401, b"", "access"),
        (403, b"", "access"),
        (429, b"", "throttled"),
        (500, b"", "unreachable"),
        (302, b"", "address"),
        (200, b"<html>", "address"),
        (200, b"", "address"),
        (200, {"results": []}, "address"),
        (200, {"items": [{"reference": "KEY"}]}, "address"),  # without a number
    ],
)
def test_a_look_up_that_does_not_answer_leaves_it_in_doubt(
    api: Books, status: int, body: object, category: str
) -> None:
    api.reply(status, body)
    with pytest.raises(Transient) as caught:
        meet(opened(api.url), find("key"))
    assert caught.value.category == category


@pytest.mark.parametrize("body", [b"null", {"items": []}, {"items": None}])
def test_a_look_up_that_says_nothing_is_there(api: Books, body: object) -> None:
    api.reply(200, body)
    assert meet(opened(api.url), find("key")) is None


def test_a_key_in_the_path_makes_404_mean_absent(api: Books, ledger: Ledger) -> None:
    text = API + '[target.look_up]\npath = "/documents/by-key/{{key}}"\ndocument = "number"\n'
    document = entry(ledger)
    assert meet(opened(api.url, text), find(document.command_id)) is None
    meet(opened(api.url, text), send(document))
    assert meet(opened(api.url, text), find(document.command_id)).document == "R-1"


# ---- one document each ---------------------------------------------------------------------------


def work(
    ledger: Ledger, url: str, until: dict[str, int], text: str = API + LOOK_UP, *, also: str = ""
) -> list[Entry]:
    """The relay, until the entries stand so."""
    config = configured(text.replace("idempotent = true", f"idempotent = true{also}"), url)
    target, options = open_target(config.targets[0], "target[api]")

    def states() -> dict[str, int]:
        return {name: count for name, count in ledger.reader.states().items() if count}

    async def go() -> None:
        relay = Relay(ledger, [port(target, options)])
        relay.recover()
        running = asyncio.create_task(relay.run())
        deadline = time.monotonic() + 20
        while states() != until and time.monotonic() < deadline and not running.done():
            await asyncio.sleep(0.01)
        relay.stop()
        await running
        await target.close()

    asyncio.run(go())
    found = ledger.reader.entries()
    assert states() == until, [(each.state, each.category, each.reason) for each in found]
    return list(found)


def fill(ledger: Ledger, count: int) -> None:
    for number in range(1, count + 1):
        entry(ledger, make_event(number, order=f"O{number}"))


@pytest.mark.parametrize("mode", ["cut_answer", "half_answer", "cut_request", "refuse", "silent"])
@pytest.mark.parametrize("is_idempotent", [True, False])
def test_a_broken_wire_posts_each_document_once(
    api: Books, proxy: FaultProxy, ledger: Ledger, mode: Any, is_idempotent: bool
) -> None:
    api.is_idempotent = is_idempotent  # the API doubles what is sent twice; the declaration holds
    fill(ledger, 4)
    proxy.plan(mode, count=2)
    text = (API + LOOK_UP).replace("timeout_s = 2", "timeout_s = 0.3")
    work(ledger, proxy.url, {"posted": 4}, text)
    assert sorted(api.numbers().values()) == [1, 1, 1, 1]
    assert proxy.counts[mode] == 2


def test_the_answer_cut_after_the_commit_is_found_and_not_sent_again(
    api: Books, proxy: FaultProxy, ledger: Ledger
) -> None:
    fill(ledger, 1)
    proxy.plan("cut_answer")
    (found,) = work(ledger, proxy.url, {"posted": 1})
    assert found.document == "R-1"
    assert len(api.sends()) == 1
    assert ledger.reader.counters()["lookups_found"] == 1


def test_a_look_up_alone_holds_what_it_does_not_find(
    api: Books, proxy: FaultProxy, ledger: Ledger
) -> None:
    fill(ledger, 1)
    proxy.plan("cut_request")
    text = (API + LOOK_UP).replace("idempotent = true", "idempotent = false")
    (found,) = work(ledger, proxy.url, {"held": 1}, text)
    assert found.category == "not_provable"
    assert api.sends() == []


def test_without_a_look_up_the_key_is_sent_again(
    api: Books, proxy: FaultProxy, ledger: Ledger
) -> None:
    fill(ledger, 1)
    proxy.plan("cut_answer")
    (found,) = work(ledger, proxy.url, {"posted": 1}, API)
    assert (found.document, len(api.sends()), api.numbers()) == (
        "R-1", 2, {found.command_id: 1},
    )  # fmt: skip


def test_without_key_and_look_up_nothing_is_sent_unasked(
    api: Books, proxy: FaultProxy, ledger: Ledger
) -> None:
    fill(ledger, 1)
    text = API.replace("idempotent = true", "idempotent = false")
    (found,) = work(ledger, proxy.url, {"held": 1}, text)
    assert found.category == "unproven"
    assert api.seen == []


def test_unproven_and_allowed_is_sent_once_and_silence_is_held(
    api: Books, proxy: FaultProxy, ledger: Ledger
) -> None:
    fill(ledger, 1)
    proxy.plan("cut_answer")
    text = API.replace("idempotent = true", "allow_unproven = true")
    (found,) = work(ledger, proxy.url, {"held": 1}, text)
    assert found.category == "not_provable"
    assert list(api.numbers().values()) == [1]


def test_retry_after_rests_the_target_and_counts_nothing(api: Books, ledger: Ledger) -> None:
    fill(ledger, 3)
    api.answer(429, b"", Retry_After="1")
    start = time.monotonic()
    found = work(ledger, api.url, {"posted": 3}, also="\nconcurrency = 1")
    assert time.monotonic() - start >= 1.0
    assert [each.attempts for each in found] == [0, 0, 0]
    assert len(api.sends()) == 4, "one refused, three posted: the others were not even tried"


def test_refusals_become_categories_a_planner_understands(api: Books, ledger: Ledger) -> None:
    fill(ledger, 4)
    api.answer(422, {"detail": "no such order"})
    api.answer(409, {"detail": "order closed"})
    api.answer(403, {"detail": "not yours"})
    keys = '\nconcurrency = 1\nreason = "detail"\nstatuses = {{ "409" = "order_state" }}'
    found = work(ledger, api.url, {"posted": 1, "held": 1, "dead": 2}, also=keys)
    waiting = {each.category: each.reason for each in found if each.category}
    assert waiting == {
        "refused": "HTTP 422: no such order",
        "order_state": "HTTP 409: order closed",
        "right": "HTTP 403: not yours",
    }


# ---- configuration -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        (
            'url = "{url}"',
            "",
            'target[api].url: is required for a rest target; write "https://host/api"',
        ),
        ("{url}", "ftp://h/x", "target[api].url: 'ftp://h/x' is no address"),
        ("{url}", "http://h/x?y=1", "target[api].url: 'http://h/x?y=1' is no address"),
        ('"/stops"', '"/st{{ops}}"', "contracts.downtime/1.path: no document has the field 'ops'"),
        ('"/stops"', '"/{{lot}}"', "contracts.downtime/1.path: no document has the field 'lot'"),
        ("downtime/1", "downtime/2", "contracts.downtime/2: is no contract; did you mean"),
        ('"PUT"', '"GET"', "contracts.downtime/1.method: 'GET' is not known; known: POST, PUT, PA"),
        ("idempotent", "idempotnt", "idempotnt: is not a known key; did you mean 'idempotent'?"),
        ("X-Plant", "Content-Type", "headers.Content-Type: is written by penstock"),
        ("X-Plant", "Idempotency-Key", "headers.Idempotency-Key: is written by penstock"),
        ("X-Plant", '"X Plant"', "is not valid; a header's name"),
        ('key = "reference"', "", "look_up.key: is required where the key is a filter"),
        ("={{key}}", "=1", "look_up.path: does not name {key}"),
        ("={{key}}", "={{order}}", "look_up.path: no document has the field 'order'"),
        (
            "idempotent",
            'statuses = {{ "200" = "stock" }}\nidempotent',
            "statuses.200: '200' is not",
        ),
        ("idempotent", 'statuses = {{ "409" = "late" }}\nidempotent', "'late' is not known"),
        ("idempotent", 'codes = {{ A = "stock" }}\nidempotent', "code: is required with codes"),
        ("idempotent", 'user = "u"\nidempotent', "target[api].password: user and password belong"),
        ("idempotent", 'database = "u"\nidempotent', "database: means nothing to a rest target"),
        ('"data.number"', '"data..number"', "document: 'data..number' is no place in an answer"),
        ("quantity.value:number", "quantity", None),
        ('"{{key}}"', '"${{secret:T}}"', "body.ref: a secret may not stand here"),
    ],
)
def test_a_wrong_configuration_is_refused_with_place_and_fix(
    old: str, new: str, wrong: str | None
) -> None:
    text = (API + LOOK_UP).replace(old, new)
    assert text != API + LOOK_UP
    if wrong is None:
        opened("http://127.0.0.1:9", text)
        return
    with pytest.raises(ConfigError) as caught:
        opened("http://127.0.0.1:9", text)
    assert wrong in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "warning"),
    [
        ("", "", ""),
        ("idempotent = true", "", "what is in doubt and not found is held, not sent again"),
        (LOOK_UP, "", "cannot be asked for what is in doubt; it relies on its key alone"),
        ("BOTH", "", "has neither a key nor a look-up, so every document is held"),
        ("BOTH", "allow_unproven = true", "has neither a key nor a look-up: silence is held"),
    ],
)
def test_config_check_says_what_a_target_can_prove(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    old: str,
    new: str,
    warning: str,
) -> None:
    monkeypatch.setenv("PENSTOCK_SECRET_T", "hush")
    text = API + LOOK_UP
    if old == "BOTH":
        text, old = API, "idempotent = true"
    file = tmp_path / "plant.toml"
    file.write_text(HEAD + text.replace(old, new).format(url="http://127.0.0.1:9") + MAPPINGS)
    assert main(["config", "check", str(file), "--no-environment"]) == 0
    lines = [each for each in capsys.readouterr().err.splitlines() if "target[api]" in each]
    assert len(lines) == bool(warning)
    assert warning in "".join(lines)
    code = main(["config", "check", str(file), "--no-environment", "--deny-warnings"])
    assert code == (78 if warning else 0)


def test_a_mapping_that_the_target_has_no_path_for_is_refused_at_the_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PENSTOCK_SECRET_T", "hush")
    text = API.split('[target.contracts."downtime/1"]')[0] + LOOK_UP
    file = tmp_path / "plant.toml"
    file.write_text(HEAD + text.format(url="http://127.0.0.1:9") + MAPPINGS)
    assert main(["config", "check", str(file), "--no-environment"]) == 78
    said = capsys.readouterr().err
    assert "mapping[stop].contract: target 'api' has no path for downtime/1; write [target." in said
    assert "mapping[confirm]" not in said


def test_https_is_trusted_by_the_plant_s_own_authority_only(
    tmp_path: Path, api: Books, ledger: Ledger
) -> None:
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "ca.pem"
    words = [program, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    words += ["-keyout", str(key), "-out", str(certificate), "-subj", "/CN=mes"]
    words += ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(words, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    api.socket = context.wrap_socket(api.socket, server_side=True)
    url, document = api.url.replace("http:", "https:"), entry(ledger)
    text = API.replace("idempotent = true", f'idempotent = true\nca_file = "{certificate}"')
    assert meet(opened(url, text), send(document)).document == "R-1"
    with pytest.raises(Transient, match="CERTIFICATE_VERIFY_FAILED") as caught:
        meet(opened(url), send(document))
    assert caught.value.category == "unreachable"
    with pytest.raises(ConfigError, match=r"ca_file: .*key\.pem cannot be read"):
        opened(url, text.replace("ca.pem", "key.pem"))


def test_the_page_s_example_opens_and_every_key_is_on_it() -> None:
    from penstock.config.forms import known_fields
    from penstock.post.rest_plan import LookUpOptions, RestOptions

    page = Path(penstock.post.__file__).parents[1] / "docs" / "target-rest.md"
    text = page.read_text(encoding="utf-8")
    example = text.split("```toml\n")[1].split("```")[0]
    raw = tomllib.loads(HEAD + example, parse_float=Decimal)
    config = parse_config(raw, variables={"PENSTOCK_SECRET_mes_token": "x"})
    target, _ = open_target(config.targets[0], "target[mes]")
    assert (target.guarantees.has_key, target.guarantees.has_readback) == (True, True)
    for model in (RestOptions, LookUpOptions):
        for key in known_fields(model):
            is_common = key in ("context", "context_every_s")
            assert is_common or f"`{key}`" in text, key
