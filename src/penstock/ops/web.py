"""Web: figures and health of a running plant are served over HTTP: /metrics, /livez, /readyz.

No person's data and no secret is in them. They listen where ``[ops] listen`` says, which should be
the loopback or a management network: there is no password.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Generator
from typing import Any

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from penstock.errors import ConfigError
from penstock.ops.health import Verdict
from penstock.ops.metrics import Figures, PlantCollector

START_S = 5.0
_log = logging.getLogger("penstock.ops")


def make_app(read: Callable[[], Figures | None], judge: Callable[[], Verdict]) -> Starlette:
    """The pages as an ASGI application; it can be mounted into another one."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(PlantCollector(read))

    async def metrics(_: Request) -> Response:
        text = generate_latest(registry)  # type: ignore[no-untyped-call]
        return Response(text, media_type=CONTENT_TYPE_LATEST)

    async def livez(_: Request) -> Response:
        found = judge()
        return JSONResponse(found.record(), status_code=200 if found.is_alive else 503)

    async def readyz(_: Request) -> Response:
        found = judge()
        return JSONResponse(found.record(), status_code=200 if found.is_ready else 503)

    routes = [Route(f"/{page.__name__}", page) for page in (metrics, livez, readyz)]
    return Starlette(routes=routes)


class _Server(uvicorn.Server):
    """Leaves the process's signals alone: they belong to whoever runs the plant."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


@contextlib.asynccontextmanager
async def serve(listen: str, app: Any) -> AsyncIterator[int]:
    """Serves ``app`` at ``HOST:PORT`` while the block runs; gives the port (0 in ``listen`` takes a
    free one). Raises ConfigError where the address cannot be had.
    """
    host, _, port = listen.rpartition(":")
    config = uvicorn.Config(
        app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1
    )
    config.load()
    try:
        listener = await _bound(host.strip("[]"), int(port))
    except OSError as wrong:
        raise ConfigError(
            "ops.listen", f"{listen!r} cannot be had: {wrong.strerror}", "choose a free port"
        ) from None
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]), name="web")
    bound = int(listener.getsockname()[1])
    _log.info("metrics and health at http://%s:%d/metrics, /livez, /readyz", host, bound)
    try:
        yield bound
    finally:
        server.should_exit = True
        await asyncio.wait([task], timeout=START_S)
        task.cancel()
        listener.close()


async def _bound(host: str, port: int) -> Any:
    import socket

    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    family, kind, protocol, _, address = found[0]
    listener = socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen()
    except OSError:
        listener.close()
        raise
    return listener
