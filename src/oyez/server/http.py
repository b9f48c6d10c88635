"""HTTP/1.1 on a connection: requests are read, answered in order, or handed over as an upgrade.

What a request means is for the callables given in `HttpServer`. Times are bounded by
`oyez.server.deadlines`: a request head, a body and an idle connection each have theirs.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, cast

from oyez.server import eager
from oyez.server.deadlines import Deadlines
from oyez.server.descriptors import plain_socket, write_directly
from oyez.server.forwarded import came_over_tls
from oyez.server.http_reader import HttpLimits, HttpRefused, Phase, Request, RequestReader
from oyez.server.http_response import Response, Stream, encode, stream_head, usual_head

__all__ = ["HttpConnection", "HttpServer"]

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_BODY = Phase.BODY
_BYTES_PER_TURN = 32_768
_REQUESTS_PER_TURN = 50
_MOST_WAITING = 100  # pipelined requests, beyond which no more are read
_LINGER = 2  # seconds for a client to read a last answer


@dataclass(slots=True)
class HttpServer:
    """What all connections of a listener share.

    Attributes:
        handle: answers a request and handles its own errors.
        upgrade: takes over the transport of a WebSocket request and returns None, or refuses.
        refuse: makes the answer for a request that broke a rule of HTTP: status and sentence.
        answers: how many there were, by status.
        trust_proxy: whether ``X-Forwarded-Proto`` is believed.
        draining: when set, every answer closes its connection.
    """

    handle: Callable[[Request], Coroutine[Any, Any, Response]]
    upgrade: Callable[[Request, asyncio.Transport], Response | None]
    refuse: Callable[[int, str], Response]
    answers: Counter[int]
    limits: HttpLimits
    deadlines: Deadlines
    trust_proxy: bool = False
    draining: bool = False
    connections: set["HttpConnection"] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    date: bytes = b""
    ok_head: bytes = b""

    def tick(self, unix_time: float) -> None:
        """Renew the Date header; call it about once a second."""
        self.date = formatdate(unix_time, usegmt=True).encode()
        self.ok_head = usual_head(self.date)

    def drain(self) -> None:
        """Close idle connections now and busy ones after their answer."""
        self.draining = True
        for connection in tuple(self.connections):
            connection.close_if_idle()


class HttpConnection(asyncio.Protocol):
    """The server's end of one HTTP connection."""

    __slots__ = (
        "_answered",
        "_answering",
        "_closed",
        "_descriptor",
        "_reader",
        "_refused",
        "_secure",
        "_server",
        "_since",
        "_stream",
        "_streamed",
        "_transport",
        "_unread",
        "_waiting",
        "_write_paused",
        "bucket",
    )

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._reader = RequestReader(server.limits)
        self._since = server.deadlines.now  # when the phase of the reader began
        self._waiting: deque[Request] = deque()  # behind the one being answered
        self._unread = b""  # of a large packet
        self._refused: HttpRefused | None = None  # the answer after the last request
        self._answering = False
        self._answered: Request | None = None  # the request whose answer takes a while
        self._write_paused = False
        self._descriptor = -1
        self._closed = False  # nothing is read any more
        self._secure = False
        self._stream: Stream | None = None
        self._streamed: Request | None = None  # the request that the stream answers
        self.bucket = 0

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport = cast(asyncio.Transport, transport)
        self._secure = transport.get_extra_info("sslcontext") is not None
        self._descriptor = plain_socket(self._transport)
        self._server.connections.add(self)
        self._server.deadlines.set(self, self._since + self._server.limits.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone; an answer still being made has nowhere to go."""
        self._release()
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.detached()

    def data_received(self, data: bytes) -> None:
        """Bytes from the client; a large packet is worked off in several turns of the loop."""
        if self._unread or len(data) > _BYTES_PER_TURN:
            if not self._unread:
                asyncio.get_running_loop().call_soon(self._read_on)
            self._unread += data
            if self._transport is not None:
                self._transport.pause_reading()
        else:
            self._read(data)

    def _read_on(self) -> None:
        part, self._unread = self._unread[:_BYTES_PER_TURN], self._unread[_BYTES_PER_TURN:]
        if self._unread and not self._closed:
            asyncio.get_running_loop().call_soon(self._read_on)
        self._read(part)
        if not self._unread:
            self._proceed()

    def _read(self, data: bytes) -> None:
        if self._closed:
            self._unread = b""
            return
        reader, phase = self._reader, self._reader.phase
        try:
            reader.feed(data)
        except HttpRefused as refused:
            self._refused = refused
            self._closed = True
        if reader.complete or reader.phase is not phase:
            self._since = self._server.deadlines.now
            if reader.phase is _BODY and reader.awaits_continue and self._transport is not None:
                self._transport.write(_CONTINUE)
        if reader.complete:
            requests, reader.complete = reader.complete, []
            if len(requests) == 1 and not (self._answering or self._write_paused):
                self._answer(requests[0])
            else:
                self._waiting.extend(requests)
        if self._waiting or self._refused is not None:
            self._proceed()
            if len(self._waiting) > _MOST_WAITING and self._transport is not None:
                self._transport.pause_reading()

    def pause_writing(self) -> None:
        """The client does not read its answers: neither do we read its requests."""
        self._write_paused = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._write_paused = False
        if self._stream is not None:
            self._stream.resumed()
        else:
            self._proceed()

    def expire(self, now: float) -> float | None:
        """Enforce the time limit of the current phase."""
        limits = self._server.limits
        if self._closed:
            self.abort()
            return None
        if self._answering:
            return now + limits.idle_seconds
        match self._reader.phase:
            case Phase.NEW | Phase.HEAD:
                allowed, what = limits.head_seconds, "head"
            case Phase.BODY:
                allowed, what = limits.body_seconds, "body"
            case Phase.BETWEEN:
                allowed, what = limits.idle_seconds, ""
        if now - self._since < allowed:
            return self._since + allowed
        if what and self._reader.phase is not Phase.NEW:
            self._closed = True
            self._refuse(HttpRefused(408, f"Request {what} not complete within {allowed} s"))
            return now + _LINGER
        self.abort()
        return None

    # Answering.

    def _answer(self, request: Request) -> None:
        if self._secure or self._server.trust_proxy:
            request.secure = self._secure or came_over_tls(request.headers)
        if request.upgraded is not None:
            self._upgrade(request, request.upgraded)
            return
        self._answering = True
        server = self._server
        response = eager.run(server.handle(request), self._respond_later, server.tasks)
        if response is not None:
            self._respond(request, response)
            return
        self._answered = request
        if self._transport is not None:
            self._transport.pause_reading()

    def _respond(self, request: Request, response: Response) -> None:
        transport, server = self._transport, self._server
        self._answering = False
        server.answers[response.status] += 1
        if transport is None or transport.is_closing():
            return
        if response.stream is not None:
            self._begin_stream(request, response, response.stream)
            return
        keep_alive = request.keep_alive and not server.draining
        usual = response.status == 200 and not response.headers and keep_alive
        if usual and not request.asks_to_keep:
            body = b"" if request.method == b"HEAD" else response.body
            answer = b"%b%d\r\n\r\n%b" % (server.ok_head, len(response.body), body)
            write_directly(transport, self._descriptor, answer)
        else:
            transport.write(encode(response, server.date, request, keep_alive=keep_alive))
        self._since = server.deadlines.now
        if not keep_alive:
            self._finish(transport)

    def _respond_later(self, response: Response) -> None:
        request, self._answered = self._answered, None
        if request is not None:
            self._respond(request, response)
            self._proceed()

    def _proceed(self) -> None:
        """Answer what came in behind, then the refusal if there was one, then read on."""
        budget = _REQUESTS_PER_TURN
        while self._waiting and not self._answering and not self._write_paused:
            if not budget:
                asyncio.get_running_loop().call_soon(self._proceed)
                return
            budget -= 1
            self._answer(self._waiting.popleft())
        if self._answering or self._write_paused or self._transport is None or self._unread:
            return
        if self._refused is not None:
            self._refuse(self._refused)
        elif not self._closed:
            self._transport.resume_reading()

    # Streaming.

    @property
    def writable(self) -> bool:
        """Whether more of a stream should be written now."""
        return not self._write_paused

    def write_piece(self, data: bytes) -> None:
        """Write a part of the body of the stream."""
        if self._transport is not None and self._streamed is not None:
            chunked = self._streamed.keep_alive
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data) if chunked else data)

    def end_stream(self) -> None:
        """The body is complete."""
        transport, request = self._transport, self._streamed
        self._stream = self._streamed = None
        if transport is None or request is None:
            return
        self._answering = False
        self._since = self._server.deadlines.now
        if not request.keep_alive:
            self._finish(transport)
            return
        transport.write(b"0\r\n\r\n")
        if self._server.draining:
            self._finish(transport)
        else:
            self._proceed()

    def _begin_stream(self, request: Request, response: Response, stream: Stream) -> None:
        """HTTP/1.0 has no chunks: there the end of the body is the end of the connection."""
        if self._transport is None:
            return
        self._transport.write(stream_head(response, self._server.date, chunked=request.keep_alive))
        self._stream, self._streamed = stream, request
        self._answering = True
        stream.attached(self)

    def _upgrade(self, request: Request, rest: bytes) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        self._closed = True
        refusal = self._server.upgrade(request, transport)
        if refusal is not None:
            request.keep_alive = False
            self._respond(request, refusal)
            return
        rest, self._unread = rest + self._unread, b""
        self._release()
        transport.resume_reading()
        protocol = transport.get_protocol()
        if rest and isinstance(protocol, asyncio.Protocol):
            protocol.data_received(rest)

    # The ends of a connection.

    def close_if_idle(self) -> None:
        """Close unless a request is under way or being answered."""
        idle = self._reader.phase in (Phase.NEW, Phase.BETWEEN)
        if idle and not self._answering and not self._waiting:
            self.abort()

    def abort(self) -> None:
        """Drop the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    def _refuse(self, refused: HttpRefused) -> None:
        self._refused = None
        response = self._server.refuse(refused.status, refused.reason)
        self._respond(Request(b"GET", b"/", {}, keep_alive=False), response)

    def _finish(self, transport: asyncio.Transport) -> None:
        """Close so that the answer arrives: closing at once with unread input would destroy it."""
        self._closed = True
        self._waiting.clear()
        self._refused = None
        self._server.deadlines.set(self, self._server.deadlines.now + _LINGER)
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()

    def _release(self) -> None:
        self._closed = True
        self._server.deadlines.discard(self)
        self._server.connections.discard(self)
        self._transport = None
        self._refused = None  # its traceback leads back to here
        self._waiting.clear()
        self._reader.close()
