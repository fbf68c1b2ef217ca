"""A tiny JSON-RPC client of Tryton 8.0: what tools and tests need to read its books and seed it."""

from __future__ import annotations

import base64
import datetime as dt
import gzip
import http.client
import json
from decimal import Decimal
from typing import Any

TIMEOUT_S = 60.0


class RpcError(Exception):
    """Tryton refused a call: HTTP status and, for status 200, the error list it sent."""

    def __init__(self, method: str, status: int, error: Any) -> None:
        self.method, self.status, self.error = method, status, error
        super().__init__(f"{method}: {status}: {error}")


class Rpc:
    """A logged-in session. A refusal is an RpcError, no answer an OSError or HTTPException."""

    def __init__(self, url: str, database: str, user: str, password: str) -> None:
        host, _, port = url.removeprefix("http://").rstrip("/").partition(":")
        self._host, self._port, self._path = host, int(port), f"/{database}/rpc/"
        self._auth = ""
        uid, token, _ = self.raw("common.db.login", [user, {"password": password}, "en"])
        self.user_id: int = uid
        self._auth = "Session " + base64.b64encode(f"{user}:{uid}:{token}".encode()).decode()
        self.context: dict[str, Any] = {}
        self.refresh()

    def refresh(self) -> None:
        """Read the user's own context again: company, language, groups."""
        self.context = self.raw("model.res.user.get_preferences", [True, {}])

    def __call__(self, model: str, method: str, *args: Any) -> Any:
        """Call ``model.<model>.<method>`` in the user's context."""
        return self.raw(f"model.{model}.{method}", [*args, self.context])

    def raw(self, method: str, params: list[Any]) -> Any:
        """One call, one connection: the built-in server closes after each answer."""
        # Exactly these three keys: with "jsonrpc" beside them faults come as HTML.
        body = json.dumps({"id": 1, "method": method, "params": params}, default=_encode)
        # Long answers are compressed whether asked for or not.
        headers = {"Content-Type": "application/json", "Accept-Encoding": "gzip"}
        if self._auth:
            headers["Authorization"] = self._auth
        link = http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
        try:
            link.request("POST", self._path, body.encode(), headers)
            answer = link.getresponse()
            data = answer.read()
        finally:
            link.close()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
        if answer.status != 200:
            raise RpcError(method, answer.status, data[:300].decode(errors="replace"))
        out = json.loads(data, object_hook=_decode)
        if "error" in out:
            raise RpcError(method, 200, out["error"])
        return out["result"]


def _encode(value: object) -> dict[str, object]:
    if isinstance(value, Decimal):
        return {"__class__": "Decimal", "decimal": str(value)}
    if isinstance(value, dt.datetime):
        parts = ("year", "month", "day", "hour", "minute", "second", "microsecond")
        return {"__class__": "datetime", **{p: getattr(value, p) for p in parts}}
    if isinstance(value, dt.date):
        return {"__class__": "date", **{p: getattr(value, p) for p in ("year", "month", "day")}}
    raise TypeError(f"not for JSON-RPC: {value!r}")


def _decode(value: dict[str, Any]) -> object:
    """Tryton's typed values; its times are UTC without saying so."""
    kind = value.pop("__class__", None)
    if kind == "Decimal":
        return Decimal(value["decimal"])
    if kind == "datetime":
        return dt.datetime(**value, tzinfo=dt.UTC)
    if kind == "date":
        return dt.date(**value)
    return value
