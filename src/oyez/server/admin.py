"""The operator's port: metrics, health, and the welcome page of the development app.

Starlette on an embedded uvicorn: speed does not matter here. Bind it to an address that only
operators reach. Their browsers reach it, too, so what the pages of others make them ask is refused.
"""

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncIterator, Iterable, Iterator
from urllib.parse import urlsplit

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from oyez.protocol.events import shown
from oyez.server.metrics import CONTENT_TYPE, Metrics, Ready

__all__ = ["AdminServer", "admin_app"]

log: structlog.stdlib.BoundLogger = structlog.get_logger("oyez.admin")

_MOST_BODY = 262_144  # bytes: the ids of seven thousand letters
_HEALTH = ("/healthz", "/readyz", "/up")
_INDEX = "Oyez admin port: /metrics /stats /healthz /readyz /up\n"


def admin_app(
    metrics: Metrics, node: Ready, pages: list[BaseRoute], names: Iterable[str]
) -> Starlette:
    """The ASGI application of the admin port.

    Args:
        pages: further routes; without one for ``/`` there is a list of what is here.
        names: by which it may be asked, beside ``localhost`` and addresses.
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
        ],
        middleware=[Middleware(_Guard, names=frozenset(name.lower() for name in names))],
    )


class _Guard:
    """Refuses what pages of other sites ask, and bodies that nobody sends by accident.

    A name in ``Host`` that anybody can resolve to this machine would make such a page one of our
    own (DNS rebinding); addresses need no resolving. Health says nothing, and load balancers ask
    for it under any name.
    """

    def __init__(self, app: ASGIApp, names: frozenset[str]) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        reason = ""
        if scope["path"] not in _HEALTH:
            reason = self._reason(request)
        if reason:
            log.warning("admin request refused", path=shown(scope["path"]), error=reason)
            await _refusal(403, reason)(scope, receive, send)
            return
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and (len(declared) > 9 or int(declared) > _MOST_BODY):
            await _too_large(declared[:20])(scope, receive, send)
            return
        body = b""
        async for piece in request.stream():
            body += piece
            if len(body) > _MOST_BODY:
                await _too_large(f"at least {len(body)}")(scope, receive, send)
                return
        await self._app(scope, _once(body, receive), send)

    def _reason(self, request: Request) -> str:
        """Why the request is refused, empty if it is not."""
        host = request.headers.get("host", "")
        if not self._is_ours(host):
            return (
                f"Host {shown(host)} is no address and none of the names of the admin port: set "
                "admin_names if it should be one"
            )
        origin = request.headers.get("origin")
        if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
            return f"Another site may not ask: {shown(origin)}"
        site = request.headers.get("sec-fetch-site", "none")
        follows_link = request.method == "GET" and (
            request.headers.get("sec-fetch-mode") == "navigate"
        )
        if site not in ("none", "same-origin") and not follows_link:
            return f"Another site may not ask: Sec-Fetch-Site is {shown(site)}"
        return ""

    def _is_ours(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:  # brackets without an end
            return False
        if name == "localhost" or name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _refusal(status: int, reason: str) -> Response:
    return JSONResponse({"error": reason, "code": status}, status, {"Connection": "close"})


def _too_large(size: str) -> Response:
    return _refusal(413, f"Request body too large ({size} > {_MOST_BODY} bytes)")


def _once(body: bytes, receive: Receive) -> Receive:
    """Say that a body has come which has been read, and then what else comes."""
    waiting = [body]

    async def tell() -> Message:
        if waiting:
            return {"type": "http.request", "body": waiting.pop(), "more_body": False}
        return await receive()

    return tell


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
