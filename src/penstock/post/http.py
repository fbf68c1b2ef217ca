"""HTTP: one request becomes one answer, or an error that says whether a byte may have left.

The only user of httpx2.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

import httpx2

from penstock.errors import Ambiguous, Transient

ANSWER_BYTES_MAX: Final = 16 * 1024 * 1024
_GZIP_MAGIC: Final = b"\x1f\x8b"
_SENT_STEP: Final = "http11.send_request_body.complete"
_GZIP_WINDOW: Final = 31  # zlib: gzip header and the largest window

# The connection was never made, so no byte of the request has left.
_NOT_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def retry_after_s(self) -> float | None:
        """What the server asks to wait, by its own clock where it names a date."""
        text = self.headers.get("retry-after", "").strip()
        if text.isdecimal():
            return float(text)
        try:
            wait = parsedate_to_datetime(text) - parsedate_to_datetime(self.headers.get("date", ""))
        except (ValueError, TypeError):
            return None
        return max(0.0, wait.total_seconds())


class HttpClient:
    """Requests to one server.

    A new connection for each request, so that a stale one is never mistaken for silence.
    """

    def __init__(
        self, *, timeout_s: float, concurrency: int, trusted: ssl.SSLContext | None = None
    ) -> None:
        """``trusted`` in place of the public authorities that come with the client."""
        self._timeout_s = timeout_s
        self._client = httpx2.AsyncClient(
            verify=trusted or True,
            timeout=httpx2.Timeout(timeout_s),
            limits=httpx2.Limits(max_connections=concurrency, max_keepalive_connections=0),
            follow_redirects=False,
            trust_env=False,
        )

    async def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        on_sent: Callable[[], None] | None = None,
    ) -> Answer:
        """One POST; see ``request``."""
        return await self.request("POST", url, body, headers, on_sent=on_sent)

    async def request(
        self,
        method: str,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        on_sent: Callable[[], None] | None = None,
    ) -> Answer:
        """One request.

        Raises Transient where nothing was sent, Ambiguous where no whole answer came. ``on_sent``
        is called when the last byte of the request has left.
        """
        made = self._client.build_request(method, url, content=body or None, headers=dict(headers))
        try:
            # A server that sends a byte a second would never meet a time-out between two reads.
            async with asyncio.timeout(2 * self._timeout_s):
                return await self._exchange(made, on_sent)
        except _NOT_SENT as wrong:
            raise Transient(f"{url}: {_text(wrong)}", category="unreachable") from wrong
        except (httpx2.HTTPError, TimeoutError) as wrong:
            raise Ambiguous(
                f"{url}: sent, and no answer: {_text(wrong)}", category="no_answer"
            ) from wrong

    async def close(self) -> None:
        """Idempotent."""
        await self._client.aclose()

    async def _exchange(self, made: httpx2.Request, on_sent: Callable[[], None] | None) -> Answer:
        url = str(made.url)

        async def trace(step: str, _: object) -> None:
            if on_sent is not None and step == _SENT_STEP:
                on_sent()

        made.extensions = {**made.extensions, "trace": trace}
        response = await self._client.send(made, stream=True)
        try:
            raw = bytearray()
            async for piece in response.aiter_raw():
                raw += piece
                if len(raw) > ANSWER_BYTES_MAX:
                    raise Ambiguous(
                        f"{url}: the answer is larger than {ANSWER_BYTES_MAX} bytes",
                        category="no_answer",
                    )
            found = {name.lower(): value for name, value in response.headers.items()}
        finally:
            await response.aclose()
        return Answer(response.status_code, found, _inflate(bytes(raw), url))


def _inflate(raw: bytes, url: str) -> bytes:
    """The plain body.

    By its magic, not its header: a server may send plain JSON under a gzip header.
    """
    if not raw.startswith(_GZIP_MAGIC):
        return raw
    inflater = zlib.decompressobj(_GZIP_WINDOW)
    try:
        plain = inflater.decompress(raw, ANSWER_BYTES_MAX)
    except zlib.error as wrong:
        raise Ambiguous(
            f"{url}: the answer cannot be unpacked: {wrong}", category="no_answer"
        ) from wrong
    if not inflater.eof:
        raise Ambiguous(f"{url}: the packed answer is cut or too large", category="no_answer")
    return plain


def _text(wrong: BaseException) -> str:
    return f"{type(wrong).__name__}: {wrong}" if str(wrong) else type(wrong).__name__
