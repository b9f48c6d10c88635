"""The asyncio transport over aiohttp, used where it is installed: a third of the time of httpx2.

``pip install 'oyez[fast]'`` brings it.
"""

import aiohttp
from yarl import URL

from oyez.sdk.owners import OfLoop, OfProcess
from oyez.sdk.transport import HttpOptions, Request, Response, no_answer

__all__ = ["AiohttpTransport"]


class AiohttpTransport:
    """One session for each event loop."""

    def __init__(self, options: HttpOptions) -> None:
        self._options = options
        self._context = OfProcess(options.context)
        self._sessions = OfLoop(self._open, aiohttp.ClientSession.close)
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=options.timeout, sock_read=options.timeout
        )

    def __reduce__(self) -> "tuple[type[AiohttpTransport], tuple[HttpOptions]]":
        return type(self), (self._options,)  # connections do not travel

    async def send(self, request: Request) -> Response:
        """See `oyez.sdk.transport.AsyncTransport`."""
        session = await self._sessions.get()
        try:
            async with session.request(
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
        """See `oyez.sdk.transport.AsyncHttpTransport.aclose`."""
        await self._sessions.aclose()

    def _open(self) -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(limit=self._options.connections, ssl=self._context.get())
        return aiohttp.ClientSession(
            connector=connector, timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar()
        )
