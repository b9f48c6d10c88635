"""How a signed request travels. One method, so that a stub or another HTTP library fits."""

import codecs
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, Protocol, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import anyio
import httpx2

from oyez.sdk.errors import ConnectionFailed, TimedOut
from oyez.sdk.owners import OfLoop, OfProcess

__all__ = [
    "AsyncHttpTransport",
    "AsyncTransport",
    "HttpOptions",
    "HttpTransport",
    "Request",
    "Response",
    "Transport",
    "no_answer",
    "proxy_of_environment",
]

codecs.lookup("idna")  # imports now what the first connection would; see `no_fork`


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
        proxy: URL of a proxy; None for none.
        connections: kept open and used again at most.
    """

    timeout: float = 5.0
    verify: bool | ssl.SSLContext = True
    proxy: str | None = None
    connections: int = 100

    def __deepcopy__(self, memo: object) -> Self:
        return self  # nothing in it changes, and a context cannot be copied

    def context(self) -> ssl.SSLContext | bool:
        """What verifies certificates; False does not."""
        return ssl.create_default_context() if self.verify is True else self.verify


def proxy_of_environment(base: str) -> str | None:
    """The proxy that ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY`` name for a server."""
    parts = urlsplit(base)
    if proxy_bypass(parts.netloc):
        return None
    return getproxies().get(parts.scheme)


class HttpTransport:
    """Over httpx2, with a pool of connections for all threads of a process.

    Its transports, not its clients: they follow no redirects and keep no cookies, which nothing
    here wants, and take a fifth less time.
    """

    def __init__(self, options: HttpOptions) -> None:
        self._options = options
        self._extensions = _extensions(options)
        self._http = OfProcess(self._open)

    def __reduce__(self) -> "tuple[type[HttpTransport], tuple[HttpOptions]]":
        return type(self), (self._options,)  # connections do not travel

    def send(self, request: Request) -> Response:
        """See `Transport`."""
        try:
            answer = self._http.get().handle_request(_outgoing(request, self._extensions))
            body = answer.read()
        except _FAILURES as error:
            _fail(error, request)
        return Response(answer.status_code, body, answer.headers)

    def close(self) -> None:
        """See `Transport`; the next request makes new ones."""
        http = self._http.give_up()
        if http is not None:
            http.close()

    def _open(self) -> httpx2.HTTPTransport:
        options = self._options
        return httpx2.HTTPTransport(
            verify=options.context(), proxy=options.proxy, limits=_limits(options)
        )


class AsyncHttpTransport:
    """The same for asyncio, with a pool of connections for each event loop."""

    def __init__(self, options: HttpOptions) -> None:
        self._options = options
        self._extensions = _extensions(options)
        self._context = OfProcess(options.context)
        self._http = OfLoop(self._open, httpx2.AsyncHTTPTransport.aclose)

    def __reduce__(self) -> "tuple[type[AsyncHttpTransport], tuple[HttpOptions]]":
        return type(self), (self._options,)  # connections do not travel

    async def send(self, request: Request) -> Response:
        """See `AsyncTransport`."""
        http = await self._http.get()
        try:
            answer = await http.handle_async_request(_outgoing(request, self._extensions))
            body = await answer.aread()
        except _FAILURES as error:
            _fail(error, request)
        return Response(answer.status_code, body, answer.headers)

    async def aclose(self) -> None:
        """See `AsyncTransport`; those of other event loops stay, and the next request makes new."""
        await self._http.aclose()

    def _open(self) -> httpx2.AsyncHTTPTransport:
        anyio.current_time()  # imports now what it would at the first request; see `no_fork`
        options = self._options
        return httpx2.AsyncHTTPTransport(
            verify=self._context.get(), proxy=options.proxy, limits=_limits(options)
        )


_FAILURES = (httpx2.HTTPError, httpx2.InvalidURL)


def _outgoing(request: Request, extensions: dict[str, Any]) -> httpx2.Request:
    return httpx2.Request(
        request.method,
        request.url,
        headers=request.headers,
        content=request.body or None,
        extensions=extensions,
    )


def _extensions(options: HttpOptions) -> dict[str, Any]:
    return {"timeout": httpx2.Timeout(options.timeout).as_dict()}


def _limits(options: HttpOptions) -> httpx2.Limits:
    return httpx2.Limits(
        max_connections=options.connections, max_keepalive_connections=options.connections
    )


def _fail(error: Exception, request: Request) -> NoReturn:
    never_left = isinstance(
        error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout | httpx2.InvalidURL
    )
    timed_out = isinstance(error, httpx2.TimeoutException)
    raise no_answer(request, error, timed_out=timed_out, may_have_arrived=not never_left) from error


def no_answer(
    request: Request, error: Exception, *, timed_out: bool, may_have_arrived: bool
) -> ConnectionFailed:
    """The error for a request that was not answered; it does not show the signed query."""
    where, what = request.url.partition("?")[0], str(error) or type(error).__name__
    kind = TimedOut if timed_out else ConnectionFailed
    return kind(f"no answer from {where}: {what}", may_have_arrived=may_have_arrived)
