"""The default backends: they send through the transports of the SDK."""

import asyncio
import os
import ssl as tls
import time
from typing import TYPE_CHECKING, Any

from oyez.pusher.errors import translated
from oyez.pusher.http import Request, receive
from oyez.sdk.client import async_transport
from oyez.sdk.errors import OyezError
from oyez.sdk.retries import Retries
from oyez.sdk.transport import (
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
        self._transport = HttpTransport(self._options)

    def send_request(self, request: Request) -> dict[str, Any]:
        """See `oyez.pusher.http.Backend`."""
        attempts = 0
        while True:
            try:
                return self._read(request, self._transport.send(request.outgoing))
            except OyezError as error:
                attempts += 1
                pause = self._pause(request, error, attempts)
                if pause is None:
                    raise translated(error) from error.__cause__
            time.sleep(pause)

    def close(self) -> None:
        """Let go of connections; the next request makes new ones."""
        self._transport.close()


class AsyncHttpBackend(_Sending):
    """The same for asyncio: what it gives is to be awaited. Each event loop has its connections."""

    def __init__(self, client: "Client", **options: Any) -> None:
        super().__init__(client, **options)
        self._transport = async_transport(self._options)

    async def send_request(self, request: Request) -> dict[str, Any]:
        """See `oyez.pusher.http.Backend`."""
        attempts = 0
        while True:
            try:
                return self._read(request, await self._transport.send(request.outgoing))
            except OyezError as error:
                attempts += 1
                pause = self._pause(request, error, attempts)
                if pause is None:
                    raise translated(error) from error.__cause__
            await asyncio.sleep(pause)

    async def aclose(self) -> None:
        """Let go of the connections of the running event loop; its end does that too."""
        await self._transport.aclose()


def _trust(verify: Verify, context: tls.SSLContext | None) -> bool | tls.SSLContext:
    if context is not None:
        return context
    if isinstance(verify, str):
        if os.path.isdir(verify):
            return tls.create_default_context(capath=verify)
        return tls.create_default_context(cafile=verify)
    return verify
