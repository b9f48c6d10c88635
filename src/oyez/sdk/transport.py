"""How a signed request travels. One method, so that a stub or another HTTP library fits."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

import httpx2

from oyez.sdk.errors import ConnectionFailed, TimedOut

__all__ = [
    "AsyncHttpTransport",
    "AsyncTransport",
    "HttpOptions",
    "HttpTransport",
    "Request",
    "Response",
    "Transport",
]


@dataclass(frozen=True, slots=True)
class Request:
    """Everything that goes out."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Response:
    """Everything that comes back; header names are in lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


class Transport(Protocol):
    """Sends one request and waits for its answer; many threads may do so at once."""

    def send(self, request: Request) -> Response:
        """The answer, whatever its status; redirects are answers.

        Raises:
            ConnectionFailed: there is none.
        """
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class AsyncTransport(Protocol):
    """The same for asyncio."""

    async def send(self, request: Request) -> Response:
        """The answer, whatever its status; redirects are answers.

        Raises:
            ConnectionFailed: there is none.
        """
        ...

    async def aclose(self) -> None:
        """Let go of connections."""
        ...


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """What the HTTP library is told.

    Attributes:
        timeout: seconds for connecting, and for each step of the answer.
        verify: whether certificates are verified, or the context that does it.
        proxy: URL of a proxy; None reads the environment as every program does.
        connections: kept open and used again at most.
    """

    timeout: float = 5.0
    verify: bool | ssl.SSLContext = True
    proxy: str | None = None
    connections: int = 100


class HttpTransport:
    """Over httpx2, with a pool of connections."""

    def __init__(self, options: HttpOptions) -> None:
        self._client = httpx2.Client(
            timeout=options.timeout,
            verify=options.verify,
            proxy=options.proxy,
            limits=_limits(options),
        )

    def send(self, request: Request) -> Response:
        """See `Transport`."""
        try:
            answer = self._client.request(
                request.method, request.url, headers=request.headers, content=request.body or None
            )
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            _fail(error, request)
        return Response(answer.status_code, answer.content, answer.headers)

    def close(self) -> None:
        """See `Transport`."""
        self._client.close()


class AsyncHttpTransport:
    """The same for asyncio, and trio."""

    def __init__(self, options: HttpOptions) -> None:
        self._client = httpx2.AsyncClient(
            timeout=options.timeout,
            verify=options.verify,
            proxy=options.proxy,
            limits=_limits(options),
        )

    async def send(self, request: Request) -> Response:
        """See `AsyncTransport`."""
        try:
            answer = await self._client.request(
                request.method, request.url, headers=request.headers, content=request.body or None
            )
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            _fail(error, request)
        return Response(answer.status_code, answer.content, answer.headers)

    async def aclose(self) -> None:
        """See `AsyncTransport`."""
        await self._client.aclose()


def _limits(options: HttpOptions) -> httpx2.Limits:
    return httpx2.Limits(
        max_connections=options.connections, max_keepalive_connections=options.connections
    )


def _fail(error: Exception, request: Request) -> NoReturn:
    where = request.url.partition("?")[0]  # the query is a signature
    what = str(error) or type(error).__name__
    never_left = isinstance(
        error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout | httpx2.InvalidURL
    )
    kind = TimedOut if isinstance(error, httpx2.TimeoutException) else ConnectionFailed
    raise kind(f"no answer from {where}: {what}", may_have_arrived=not never_left) from error
