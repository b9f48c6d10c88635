"""The default backends: they send through the transports of the SDK."""

import asyncio
import os
import ssl as tls
import time
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, NamedTuple

from oyez.pusher.errors import translated
from oyez.pusher.http import Request, receive
from oyez.sdk.client import async_transport
from oyez.sdk.errors import OyezError
from oyez.sdk.retries import Retries
from oyez.sdk.transport import (
    AsyncTransport,
    HttpOptions,
    HttpTransport,
    Response,
    proxy_of_environment,
)

if TYPE_CHECKING:
    from oyez.pusher.client import Client

__all__ = ["AsyncHttpBackend", "HttpBackend", "Verify"]

Verify = bool | str | tls.SSLContext


class _Sending:
    """What both backends have in common.

    Args:
        client: whose requests they are.
        proxy: URL of an HTTP proxy; by default what the environment says.
        verify: whether to verify certificates, or the file or directory of authorities to trust.
        ssl_context: verifies them instead.
        retries: further attempts, where repeating is safe; see `oyez.sdk.retries`.
    """

    def __init__(
        self,
        client: "Client",
        *,
        proxy: str | None = None,
        verify: Verify = True,
        ssl_context: tls.SSLContext | None = None,
        retries: int = 0,
    ) -> None:
        self.client = client
        self._options = HttpOptions(
            timeout=client.timeout,
            verify=_trust(verify, ssl_context),
            proxy=proxy or proxy_of_environment(client.address.base),
        )
        self._retries = Retries(retries)

    def _read(self, request: Request, response: Response) -> dict[str, Any]:
        self.client.logger.debug("%s %s: %d", request.method, request.path, response.status)
        return receive(request, response)

    def _pause(self, request: Request, error: OyezError, attempts: int) -> float | None:
        pause = self._retries.pause(error, attempts, repeatable=request.repeatable)
        if pause is not None:
            self.client.logger.info(
                "%s %s again in %.1f s: %s", request.method, request.path, pause, error
            )
        return pause


class HttpBackend(_Sending):
    """Sends and waits; any number of threads may share one, and a forked process gets its own."""

    def __init__(self, client: "Client", **options: Any) -> None:
        super().__init__(client, **options)
        self._transports: dict[int, HttpTransport] = {}

    def send_request(self, request: Request) -> dict[str, Any]:
        """See `oyez.pusher.http.Backend`."""
        attempts = 0
        while True:
            try:
                return self._read(request, self._transport().send(request.outgoing))
            except OyezError as error:
                attempts += 1
                pause = self._pause(request, error, attempts)
                if pause is None:
                    raise translated(error) from error.__cause__
            time.sleep(pause)

    def close(self) -> None:
        """Let go of connections; the next request makes new ones."""
        found = self._transports.pop(os.getpid(), None)
        if found is not None:
            found.close()

    def _transport(self) -> HttpTransport:
        process = os.getpid()
        found = self._transports.get(process)
        if found is None:
            # Two threads may both make one, but both then use the same, and the other has opened
            # nothing yet.
            found = self._transports.setdefault(process, HttpTransport(self._options))
        return found


class AsyncHttpBackend(_Sending):
    """The same for asyncio: what it gives is to be awaited. Each event loop has its connections."""

    def __init__(self, client: "Client", **options: Any) -> None:
        super().__init__(client, **options)
        self._open: dict[asyncio.AbstractEventLoop, _Open] = {}

    async def send_request(self, request: Request) -> dict[str, Any]:
        """See `oyez.pusher.http.Backend`."""
        attempts = 0
        while True:
            try:
                transport = await self._transport()
                return self._read(request, await transport.send(request.outgoing))
            except OyezError as error:
                attempts += 1
                pause = self._pause(request, error, attempts)
                if pause is None:
                    raise translated(error) from error.__cause__
            await asyncio.sleep(pause)

    async def aclose(self) -> None:
        """Let go of the connections of the running event loop; its end does that too."""
        found = self._open.pop(asyncio.get_running_loop(), None)
        if found is not None:
            await found.lifetime.aclose()

    async def _transport(self) -> AsyncTransport:
        loop = asyncio.get_running_loop()
        found = self._open.get(loop)
        if found is None:
            # Programs that call `asyncio.run` again and again leave a closed loop each time.
            self._open = {old: each for old, each in self._open.items() if not old.is_closed()}
            lifetime = _lifetime(self._options)
            found = self._open[loop] = _Open(await anext(lifetime), lifetime)
        return found.transport


class _Open(NamedTuple):
    transport: AsyncTransport
    lifetime: AsyncGenerator[AsyncTransport, None]


async def _lifetime(options: HttpOptions) -> AsyncGenerator[AsyncTransport, None]:
    """Yields a transport, and closes it when the event loop ends at the latest.

    Programs written for PyPI ``pusher`` know nothing that they would have to close. This is a
    generator because `asyncio.run` and its like finish all asynchronous generators of their loop.
    """
    transport = async_transport(options)
    try:
        yield transport
    finally:
        await transport.aclose()


def _trust(verify: Verify, context: tls.SSLContext | None) -> bool | tls.SSLContext:
    if context is not None:
        return context
    if isinstance(verify, str):
        if os.path.isdir(verify):
            return tls.create_default_context(capath=verify)
        return tls.create_default_context(cafile=verify)
    return verify
