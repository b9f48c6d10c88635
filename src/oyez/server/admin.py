"""The operator's port: metrics, health, and the welcome page of the development app.

Starlette on an embedded uvicorn: speed does not matter here. Bind it to an address that only
operators reach.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from oyez.server.metrics import CONTENT_TYPE, Metrics, Ready

__all__ = ["AdminServer", "admin_app"]

_INDEX = "Oyez admin port: /metrics /stats /healthz /readyz /up\n"


def admin_app(metrics: Metrics, node: Ready, pages: list[BaseRoute]) -> Starlette:
    """The ASGI application of the admin port.

    Args:
        pages: further routes; without one for ``/`` there is a list of what is here.
    """

    async def index(_: Request) -> Response:
        return PlainTextResponse(_INDEX)

    async def text(_: Request) -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    async def stats(_: Request) -> Response:
        return JSONResponse({"apps": metrics.stats()})

    async def healthy(_: Request) -> Response:
        return JSONResponse({"health": "OK"})

    async def ready(_: Request) -> Response:
        if node.ready:
            return JSONResponse({"health": "OK"})
        return JSONResponse({"error": node.unready, "code": 503}, 503, {"Retry-After": "1"})

    return Starlette(
        routes=[
            Route("/metrics", text),
            Route("/stats", stats),
            Route("/healthz", healthy),
            Route("/up", healthy),
            Route("/readyz", ready),
            *pages,
            Route("/", index),
        ]
    )


class _Embedded(uvicorn.Server):
    """Uvicorn without its signal handlers: stopping is the node's decision."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()


class AdminServer:
    """Serves an ASGI application inside this process and event loop."""

    def __init__(self, app: ASGIApp) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=1,
        )
        self._server = _Embedded(config)

    @contextlib.asynccontextmanager
    async def serving(self, host: str, port: int) -> AsyncIterator[int]:
        """Serve while the context is open; its value is the port.

        Raises:
            OSError: the address cannot be bound.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, port), family=family) as listening:
            task = asyncio.create_task(self._server.serve(sockets=[listening]))
            try:
                await self._server.listening.wait()
                yield listening.getsockname()[1]
            finally:
                self._server.should_exit = True
                await task
