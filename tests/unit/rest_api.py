"""A JSON API with books, over real HTTP: what a REST target is tested against.

It knows nothing of penstock. It answers after its commit, so a proxy that cuts the answer leaves a
document in the books.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Books(ThreadingHTTPServer):
    """``rows`` are the documents, ``seen`` the requests, ``script`` answers that come first."""

    daemon_threads = True

    def __init__(self, *, is_idempotent: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.is_idempotent = is_idempotent
        self.knows_filter = True
        self.rows: list[dict[str, Any]] = []
        self.seen: list[tuple[str, str, dict[str, str], Any]] = []
        self.script: list[tuple[int, dict[str, str], bytes]] = []
        self.questions: list[tuple[int, dict[str, str], bytes]] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, status: int, body: object = b"", **headers: str) -> None:
        """The next send is answered so, and books nothing."""
        self.script.append(_answer(status, body, headers))

    def reply(self, status: int, body: object = b"", **headers: str) -> None:
        """The next look-up is answered so."""
        self.questions.append(_answer(status, body, headers))

    def sends(self) -> list[tuple[str, str, dict[str, str], Any]]:
        return [each for each in self.seen if each[0] != "GET"]

    def numbers(self) -> dict[str, int]:
        """How many documents stand under each key."""
        found: dict[str, int] = {}
        for row in self.rows:
            found[row["reference"]] = found.get(row["reference"], 0) + 1
        return found


def _answer(
    status: int, body: object, headers: dict[str, str]
) -> tuple[int, dict[str, str], bytes]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return status, {name.replace("_", "-"): value for name, value in headers.items()}, raw


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Books

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = json.loads(raw) if raw else None
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.server.lock:
            self.server.seen.append((self.command, self.path, headers, body))
            if self.server.script:
                self._send(*self.server.script.pop(0))
                return
            row = self._book(headers.get("idempotency-key", ""), body)
        self._send(
            201, {"Location": f"/documents/{row['number']}"}, json.dumps({"data": row}).encode()
        )

    do_PUT = do_POST

    def do_GET(self) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        parts = urlsplit(self.path)
        wanted = parse_qs(parts.query).get("reference", [""])[0]
        with self.server.lock:
            self.server.seen.append(("GET", self.path, headers, None))
            if self.server.questions:
                self._send(*self.server.questions.pop(0))
                return
            rows = list(self.server.rows)
        if parts.path.startswith("/documents/by-key/"):
            ours = [each for each in rows if each["reference"] == parts.path.rpartition("/")[2]]
            self._send(200 if ours else 404, {}, json.dumps(ours[0] if ours else {}).encode())
            return
        if self.server.knows_filter:
            rows = [each for each in rows if each["reference"] == wanted]
        self._send(200, {}, json.dumps({"items": rows}).encode())

    def _book(self, key: str, body: Any) -> dict[str, Any]:
        known = [each for each in self.server.rows if each["reference"] == key]
        if known and self.server.is_idempotent:
            return known[0]
        number = f"R-{len(self.server.rows) + 1}"
        self.server.rows.append({"reference": key, "number": number, "body": body})
        return self.server.rows[-1]

    def _send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def books(*, is_idempotent: bool = True) -> Iterator[Books]:
    """A running server."""
    server = Books(is_idempotent=is_idempotent)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
