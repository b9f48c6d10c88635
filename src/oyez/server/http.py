"""HTTP/1.1 on a connection: requests in, responses out, an upgrade handed over.

llhttp (through httptools) parses; this file bounds it. Sizes are checked before anything is kept,
times by `oyez.server.deadlines`: a request head, a body and an idle connection each have theirs.
Requests of one connection are answered in order, one at a time. Nothing of ours is imported but the
pure parts it needs: what a request means is for the callables given in `HttpServer`.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from email.utils import formatdate
from enum import Enum, auto
from functools import partial
from http import HTTPStatus
from typing import Any, cast

import httptools

from oyez.server import eager
from oyez.server.deadlines import Deadlines
from oyez.server.upgrade import wants_websocket

__all__ = ["HttpConnection", "HttpLimits", "HttpServer", "Request", "Response"]

_STATUS = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\nDate: ".encode()
    for status in HTTPStatus
}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_JSON = b"application/json"


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Bounds of one connection; sizes in bytes, times in seconds.

    Attributes:
        head: request line and headers together.
        body: of a request, chunked or not.
        head_seconds: from the first byte of a request, or the opening of the connection, to the
            end of its headers.
        body_seconds: from the end of the headers to the end of the body.
        idle_seconds: between two requests.
    """

    head: int = 16_384
    body: int = 1_048_576
    head_seconds: int = 10
    body_seconds: int = 30
    idle_seconds: int = 75


class Request:
    """A whole request.

    Attributes:
        method: as sent, ``b"GET"``.
        path: still percent-encoded, without the query.
        query: what follows the first question mark.
        headers: names in lower case; of a repeated header the last.
    """

    __slots__ = ("body", "headers", "keep_alive", "method", "path", "query")

    def __init__(
        self, method: bytes, target: bytes, headers: dict[bytes, bytes], keep_alive: bool
    ) -> None:
        self.method = method
        if target[:1] != b"/" and b"://" in target:  # absolute form (RFC 9112 3.2.2)
            target = b"/" + target.partition(b"://")[2].partition(b"/")[2]
        self.path, _, self.query = target.partition(b"?")
        self.headers = headers
        self.keep_alive = keep_alive
        self.body = b""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer; ``headers`` are written as given, after the ones every answer has."""

    status: int
    body: bytes = b""
    content_type: bytes = _JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()
    close: bool = False


@dataclass(slots=True)
class HttpServer:
    """What all connections of a listener share.

    Attributes:
        handle: answers a request and handles its own errors.
        upgrade: takes over the transport of a WebSocket request and returns None, or refuses.
        refuse: makes the answer for a request that broke a rule of HTTP: status and sentence.
        count: told the status of each answer.
        draining: when set, every answer closes its connection.
    """

    handle: Callable[[Request], Coroutine[Any, Any, Response]]
    upgrade: Callable[[Request, asyncio.Transport], Response | None]
    refuse: Callable[[int, str], Response]
    count: Callable[[int], None]
    limits: HttpLimits
    deadlines: Deadlines
    draining: bool = False
    connections: set["HttpConnection"] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    date: bytes = b""

    def tick(self, unix_time: float) -> None:
        """Renew the Date header; call it about once a second."""
        self.date = formatdate(unix_time, usegmt=True).encode()

    def drain(self) -> None:
        """Close idle connections now and busy ones after their answer."""
        self.draining = True
        for connection in tuple(self.connections):
            connection.close_if_idle()


class _Refused(Exception):
    """Raised inside a parser callback to stop reading: status and sentence."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class _Phase(Enum):
    NEW = auto()  # nothing has arrived yet
    HEAD = auto()
    BODY = auto()
    BETWEEN = auto()  # idle, or waiting for an answer of ours
    DONE = auto()  # refused or taken over; nothing is read any more


class HttpConnection(asyncio.Protocol):
    """The server's end of one HTTP connection."""

    __slots__ = (
        "_answering",
        "_body",
        "_headers",
        "_parser",
        "_phase",
        "_request",
        "_server",
        "_since",
        "_size",
        "_target",
        "_transport",
        "_waiting",
        "_write_paused",
        "bucket",
    )

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._phase = _Phase.NEW
        self._since = server.deadlines.now
        self.bucket = 0
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._size = 0  # of the part under way: the head, then the body
        self._request: Request | None = None
        self._body: list[bytes] = []
        self._waiting: deque[Request] | None = None  # pipelined behind the one being answered
        self._answering = False
        self._write_paused = False

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = cast(asyncio.Transport, transport)
        self._server.connections.add(self)
        self._server.deadlines.set(self, self._since + self._server.limits.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone; an answer still being made has nowhere to go."""
        self._release()

    def data_received(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._phase is _Phase.DONE:
            return
        was = self._phase
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgraded(data[upgrade.args[0] :])
        except httptools.HttpParserCallbackError as error:
            refused = error.__context__
            if not isinstance(refused, _Refused):
                raise
            self._refuse(refused.status, refused.reason)
        except httptools.HttpParserError as error:
            self._refuse(400, f"Malformed HTTP request: {error}")
        else:
            # A head that began in this very packet is counted when it is complete.
            if was is _Phase.HEAD and self._phase is _Phase.HEAD:
                self._size += len(data)
                if self._size > self._server.limits.head:
                    self._refuse(431, self._head_too_large())

    def pause_writing(self) -> None:
        """The client does not read its answers: neither do we read its requests."""
        self._write_paused = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._write_paused = False
        self._answer_waiting()

    def expire(self, now: float) -> float | None:
        """Enforce the time limit of the current phase."""
        limits = self._server.limits
        match self._phase:
            case _Phase.NEW | _Phase.HEAD:
                allowed, what = limits.head_seconds, "head"
            case _Phase.BODY:
                allowed, what = limits.body_seconds, "body"
            case _Phase.BETWEEN:
                allowed, what = limits.idle_seconds, ""
                if self._answering and not self._write_paused:
                    return now + allowed
            case _Phase.DONE:
                self.abort()
                return None
        if now - self._since < allowed:
            return self._since + allowed
        if self._phase in (_Phase.HEAD, _Phase.BODY):
            self._refuse(408, f"Request {what} not complete within {allowed} s")
            return now + allowed
        self.abort()
        return None

    # What the parser calls.

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self._phase = _Phase.HEAD
        self._since = self._server.deadlines.now
        self._size = 0
        self._target = b""
        self._headers = {}
        self._body = []

    def on_url(self, url: bytes) -> None:
        """The request target, or a part of it."""
        self._target += url
        if len(self._target) > self._server.limits.head:
            raise _Refused(431, self._head_too_large())

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """The head is complete: everything about sizes is decided here."""
        limits, headers = self._server.limits, self._headers
        size = len(self._target) + sum(len(n) + len(v) + 4 for n, v in headers.items())
        if size > limits.head:
            raise _Refused(431, self._head_too_large())
        if b"host" not in headers and self._parser.get_http_version() == "1.1":
            raise _Refused(400, "Host header is missing")  # RFC 9112 3.2
        self._size = 0
        length = headers.get(b"content-length")
        if length is not None and int(length) > limits.body:
            raise _Refused(413, self._body_too_large(int(length)))
        self._phase = _Phase.BODY
        self._since = self._server.deadlines.now
        parser = self._parser
        self._request = Request(
            parser.get_method(), self._target, headers, parser.should_keep_alive()
        )
        if headers.get(b"expect", b"").lower() == b"100-continue" and self._transport is not None:
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._size += len(body)
        if self._size > self._server.limits.body:
            raise _Refused(413, self._body_too_large(self._size))
        self._body.append(body)

    def on_message_complete(self) -> None:
        """A whole request."""
        request = self._request
        self._phase = _Phase.BETWEEN
        self._since = self._server.deadlines.now
        if request is None or self._parser.should_upgrade():
            return  # feed_data raises HttpParserUpgrade next
        if self._body:
            request.body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
            self._body = []
        if self._answering or self._write_paused:
            if self._waiting is None:
                self._waiting = deque()
            self._waiting.append(request)
        else:
            self._answer(request)

    # Answering.

    def _answer(self, request: Request) -> None:
        self._answering = True
        later = partial(self._respond_later, request)
        response = eager.run(self._server.handle(request), later, self._server.tasks)
        if response is not None:
            self._respond(request, response)
        elif self._transport is not None:
            self._transport.pause_reading()

    def _respond_later(self, request: Request, response: Response) -> None:
        self._respond(request, response)
        self._answer_waiting()

    def _respond(self, request: Request, response: Response) -> None:
        transport, server = self._transport, self._server
        self._answering = False
        server.count(response.status)
        if transport is None or transport.is_closing():
            return
        keep_alive = request.keep_alive and not response.close and not server.draining
        transport.write(_encode(request, response, server.date, keep_alive=keep_alive))
        self._since = server.deadlines.now
        if not keep_alive:
            self._finish(transport)

    def _answer_waiting(self) -> None:
        """Answer what came in behind, then read on."""
        while self._waiting and not self._answering and not self._write_paused:
            self._answer(self._waiting.popleft())
        if self._answering or self._write_paused or self._phase is _Phase.DONE:
            return
        if self._transport is not None:
            self._transport.resume_reading()

    # The ends of a connection.

    def close_if_idle(self) -> None:
        """Close unless a request is under way or being answered."""
        if self._phase in (_Phase.NEW, _Phase.BETWEEN) and not self._answering:
            self.abort()

    def _refuse(self, status: int, reason: str) -> None:
        """Answer a request that breaks HTTP; what the client still sends is thrown away."""
        transport = self._transport
        already = self._phase is _Phase.DONE
        self._phase = _Phase.DONE
        if already or transport is None or transport.is_closing():
            return
        self._server.count(status)
        request = Request(b"GET", b"/", {}, keep_alive=False)
        response = self._server.refuse(status, reason)
        transport.write(_encode(request, response, self._server.date, keep_alive=False))
        self._finish(transport)

    def _finish(self, transport: asyncio.Transport) -> None:
        """Close so that the answer arrives: closing at once with unread input would destroy it."""
        self._phase = _Phase.DONE
        self._waiting = None
        self._server.deadlines.set(self, self._server.deadlines.now + 2)
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()

    def _upgraded(self, rest: bytes) -> None:
        """The parser has stopped at a request that asks for another protocol."""
        request, transport = self._request, self._transport
        if request is None or transport is None:
            return
        if self._answering or self._waiting:
            self._refuse(400, "An upgrade cannot follow requests that are not answered yet")
            return
        if not wants_websocket(request.headers):  # h2c and the like may be ignored
            request.keep_alive = False
            self._answer(request)
            return
        refusal = self._server.upgrade(request, transport)
        if refusal is not None:
            request.keep_alive = False
            self._respond(request, refusal)
            return
        self._release()
        protocol = transport.get_protocol()
        if rest and isinstance(protocol, asyncio.Protocol):
            protocol.data_received(rest)

    def _release(self) -> None:
        self._phase = _Phase.DONE
        self._server.deadlines.discard(self)
        self._server.connections.discard(self)
        self._transport = None
        self._waiting = None

    def abort(self) -> None:
        """Drop the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    def _head_too_large(self) -> str:
        return f"Request head too large (limit {self._server.limits.head} bytes)"

    def _body_too_large(self, size: int) -> str:
        return f"Request body too large ({size} > {self._server.limits.body} bytes)"


def _encode(request: Request, response: Response, date: bytes, *, keep_alive: bool) -> bytes:
    body = response.body
    parts = [_STATUS[response.status], date]
    if response.status != HTTPStatus.NO_CONTENT:
        parts += (b"\r\nContent-Type: ", response.content_type)
        parts += (b"\r\nContent-Length: ", str(len(body)).encode())
    for name, value in response.headers:
        parts += (b"\r\n", name, b": ", value)
    if not keep_alive:
        parts.append(b"\r\nConnection: close")
    elif request.headers.get(b"connection", b"").lower() == b"keep-alive":
        parts.append(b"\r\nConnection: keep-alive")
    parts.append(b"\r\n\r\n")
    if request.method != b"HEAD":
        parts.append(body)
    return b"".join(parts)
