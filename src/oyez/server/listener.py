"""The port for clients: where it is listened, and how connections become secure."""

import asyncio
import functools
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any

from oyez.server.config import Settings
from oyez.server.http import HttpConnection
from oyez.server.http_server import HttpServer, Secure

__all__ = ["listen", "securing"]


async def listen(settings: Settings, server: HttpServer, *, shared: bool) -> asyncio.Server:
    """Listen for clients. TLS begins on connections that are there already and are counted.

    Args:
        shared: whether other processes listen at the same port.

    Raises:
        OSError: the address cannot be bound.
    """
    listening = socket.create_server(
        (settings.host, settings.port),
        family=socket.AF_INET6 if ":" in settings.host else socket.AF_INET,
        backlog=settings.backlog,
        reuse_port=shared,
    )
    loop = asyncio.get_running_loop()

    def connection() -> HttpConnection:
        return HttpConnection(server)

    if settings.transport == "aiofastnet":
        import aiofastnet

        found: asyncio.Server = await aiofastnet.create_server(
            loop, connection, sock=listening, backlog=settings.backlog
        )
        return found
    return await loop.create_server(connection, sock=listening, backlog=settings.backlog)


def securing(settings: Settings, tls: ssl.SSLContext) -> Secure:
    """Return what does the TLS handshake with the transports that are configured."""
    seconds = float(settings.limits.head_seconds)
    start: Callable[..., Coroutine[Any, Any, asyncio.Transport | None]]
    if settings.transport == "aiofastnet":
        import aiofastnet

        start = functools.partial(aiofastnet.start_tls, asyncio.get_running_loop())
    else:
        start = asyncio.get_running_loop().start_tls

    async def secure(
        transport: asyncio.Transport, protocol: asyncio.Protocol
    ) -> asyncio.Transport | None:
        try:
            return await start(
                transport, protocol, tls, server_side=True, ssl_handshake_timeout=seconds
            )
        except OSError:  # which those of TLS are, too
            return None

    return secure
