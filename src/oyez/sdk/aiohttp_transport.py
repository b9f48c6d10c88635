"""The asyncio transport over aiohttp, used where it is installed: a third of the time of httpx2.

``pip install 'oyez[fast]'`` brings it.
"""

import aiohttp
from yarl import URL

from oyez.sdk.transport import HttpOptions, Request, Response, no_answer

__all__ = ["AiohttpTransport"]


class AiohttpTransport:
    """One session, bound to the event loop of its first request."""

    def __init__(self, options: HttpOptions) -> None:
        self._options = options
        self._session: aiohttp.ClientSession | None = None
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=options.timeout, sock_read=options.timeout
        )

    async def send(self, request: Request) -> Response:
        """See `oyez.sdk.transport.AsyncTransport`."""
        if self._session is None:
            self._session = self._open()
        try:
            async with self._session.request(
                request.method,
                URL(request.url, encoded=True),
                data=request.body or None,
                headers=request.headers,
                allow_redirects=False,
                proxy=self._options.proxy,
            ) as answer:
                body = await answer.read()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise no_answer(
                request,
                error,
                timed_out=isinstance(error, TimeoutError),
                may_have_arrived=not isinstance(
                    error,
                    aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | ValueError,
                ),
            ) from error
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Response(answer.status, body, headers)

    async def aclose(self) -> None:
        """See `oyez.sdk.transport.AsyncTransport`."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            limit=self._options.connections, ssl=self._options.context()
        )
        return aiohttp.ClientSession(
            connector=connector, timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar()
        )
