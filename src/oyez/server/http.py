"""HTTP/1.1 on a connection: requests are read, answered in order, or handed over as an upgrade.

What a request means is for the callables of `oyez.server.http_server.HttpServer`. Times are bounded
by `oyez.server.deadlines`: a request head, a body and an idle connection each have theirs.
"""

import asyncio
from collections import deque
from typing import cast

from oyez.server import eager
from oyez.server.descriptors import plain_socket, write_directly
from oyez.server.forwarded import came_over_tls
from oyez.server.http_reader import HttpRefused, Phase, Request, RequestReader
from oyez.server.http_response import Response, Stream, encode, stream_head
from oyez.server.http_server import HttpServer
from oyez.server.http_stream import StreamAnswer

__all__ = ["HttpConnection"]

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_BODY, _BETWEEN = Phase.BODY, Phase.BETWEEN
_BYTES_PER_TURN = 32_768
_REQUESTS_PER_TURN = 50
_SHORT = 65_536  # bytes of a body that are taken before anybody looks at its head
_REQUEST = 1_024  # bytes that a request takes in memory, beside its body
_LINGER = 2  # seconds for a client to read a last answer


class HttpConnection(asyncio.Protocol):
    """The server's end of one HTTP connection."""

    __slots__ = (
        "_answered",
        "_answering",
        "_closed",
        "_descriptor",
        "_holds",
        "_peer",
        "_reader",
        "_refused",
        "_scheduled",
        "_secure",
        "_server",
        "_since",
        "_stream",
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
        self._unread = b""  # what came while there was something else to do
        self._scheduled = False  # a turn of ours
        self._holds = False  # something that counts as unanswered
        self._refused: Response | None = None  # the answer after the last request
        self._answering = False
        self._answered: Request | None = None  # the request whose answer takes a while
        self._write_paused = False
        self._descriptor = -1
        self._closed = False  # nothing is read any more
        self._peer: tuple[str, int] | None = None
        self._secure = False
        self._stream: StreamAnswer | None = None
        self.bucket = 0

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected; before anything is read there may be a TLS handshake."""
        server = self._server
        self._transport = cast(asyncio.Transport, transport)
        self._descriptor = plain_socket(self._transport)
        self._peer = transport.get_extra_info("peername")
        if not server.enter(self, self._peer, self._descriptor):
            self.abort()
            self._release()
            return
        server.deadlines.set(self, self._since + server.limits.head_seconds)
        if server.secure is not None:  # at once, or uvloop would read before TLS does
            self._write_paused = True  # what the client says first may be here before `_secured`
            eager.run(server.secure(self._transport, self), self._secured, server.tasks)

    def _secured(self, transport: asyncio.Transport | None) -> None:
        """The TLS handshake is over; `expire` has ended it if it took too long."""
        if transport is None or self._transport is None:
            self.abort()
            self._release()
            return
        self._transport, self._secure, self._descriptor = transport, True, -1
        self._since = self._server.deadlines.now
        self._write_paused = False
        self._proceed()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone; an answer still being made has nowhere to go."""
        self._release()
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.detached()

    def data_received(self, data: bytes) -> None:
        """Bytes from the client; a large packet is worked off in several turns of the loop.

        As long as a request is being answered nothing behind it is read, beyond one packet.
        """
        busy = self._answering or self._scheduled or self._write_paused
        if busy or len(data) > _BYTES_PER_TURN:
            self._keep(data)
            return
        self._read(data)
        if self._waiting or self._refused is not None:
            self._proceed()
        if self._holds or self._answering or self._reader.phase is not _BETWEEN:
            self._weigh()

    def _keep(self, data: bytes) -> None:
        if self._closed or self._transport is None:
            return
        self._unread += data
        if self._secure or self._server.secure is None:
            self._transport.pause_reading()
        if self._answering or self._write_paused:
            self._weigh()
        else:
            self._take_turn()

    def _take_turn(self) -> None:
        """Go on in a later turn of the loop; others want one, too."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        if not (self._answering or self._waiting or self._write_paused):
            part, self._unread = self._unread[:_BYTES_PER_TURN], self._unread[_BYTES_PER_TURN:]
            self._read(part)
        self._proceed()
        if not self._scheduled:  # else what is kept will be less in a moment
            self._weigh()

    def _read(self, data: bytes) -> None:
        if self._closed or not data:
            return
        reader, phase = self._reader, self._reader.phase
        try:
            reader.feed(data)
        except HttpRefused as refused:
            self._read_no_more(self._server.refuse(refused.status, refused.reason))
        if reader.complete or reader.phase is not phase:
            self._since = self._server.deadlines.now
        if reader.phase is _BODY and self._refused is None:
            self._judge(new=phase is not _BODY)
        if reader.complete:
            requests, reader.complete = reader.complete, []
            if len(requests) == 1 and not (self._answering or self._write_paused):
                self._answer(requests[0])
            else:
                self._waiting.extend(requests)

    def _judge(self, *, new: bool) -> None:
        """Refuse by its head what can be refused, before its body takes memory."""
        reader = self._reader
        request = reader.unfinished
        if request is None or self._transport is None:
            return
        if reader.known is None and reader.expected > _SHORT:
            if self._secure or self._server.trust_proxy:
                request.secure = self._secure or came_over_tls(request.headers)
            found = self._server.judge(request)
            if isinstance(found, Response):
                self._read_no_more(found)
                return
            reader.known = found
        if new and reader.awaits_continue:
            self._transport.write(_CONTINUE)

    def _read_no_more(self, refusal: Response) -> None:
        """Answer what came before, then this, and close."""
        self._refused = refusal
        self._closed = True
        self._unread = b""
        self._reader.close()

    def _weigh(self) -> None:
        """Say what is kept here of requests that are not answered."""
        holds = len(self._unread) + self._reader.held
        for request in self._waiting:
            holds += _REQUEST + len(request.body)
        known = self._reader.known is True
        if self._answered is not None:  # most of those that have to wait are signed
            known = True
            holds += _REQUEST + len(self._answered.body)
        if holds:
            self._holds = True
            self._server.unanswered.set(self, holds, known=known)
        elif self._holds:
            self._holds = False
            self._server.unanswered.discard(self)

    def give_up(self, limit: int) -> None:
        """See `oyez.server.unanswered.Holder.give_up`."""
        request = self._reader.unfinished or self._answered
        refusal = self._server.overburdened(limit, request, self._peer)
        self._holds = False
        if self._answering or self._waiting or self._write_paused:
            self.abort()  # an answer is under way, and nothing may come before it
        else:
            self._read_no_more(refusal)
            self._proceed()

    def pause_writing(self) -> None:
        """The client does not read its answers: neither do we read its requests."""
        self._write_paused = True
        if self._stream is not None:
            self._stream.writable = False
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
            text = f"Request {what} not complete within {allowed} s"
            self._read_no_more(self._server.refuse(408, text))
            self._proceed()
            return now + _LINGER
        self.abort()
        return None

    @property
    def silent_since(self) -> float | None:
        """See `oyez.server.http_server.OpenConnection.silent_since`."""
        return None if self._answering or self._waiting else self._since

    # Answering.

    def _answer(self, request: Request) -> None:
        request.peer = self._peer
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
        if usual and request.version != "1.0":  # which would have to be told that it stays
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
            self._weigh()

    def _proceed(self) -> None:
        """Answer what came in behind, then the refusal if there was one, then read on."""
        budget = _REQUESTS_PER_TURN
        while self._waiting and not self._answering and not self._write_paused:
            if not budget:
                self._take_turn()
                return
            budget -= 1
            self._answer(self._waiting.popleft())
        if self._answering or self._write_paused or self._transport is None:
            return
        if self._refused is not None:
            response, self._refused = self._refused, None
            self._respond(Request(b"GET", b"/", {}, keep_alive=False), response)
        elif self._unread:
            self._take_turn()
        elif not self._closed:
            self._transport.resume_reading()

    def _begin_stream(self, request: Request, response: Response, stream: Stream) -> None:
        if self._transport is None:
            return
        chunked = request.keep_alive
        self._transport.write(stream_head(response, self._server.date, chunked=chunked))
        self._stream = StreamAnswer(
            self._transport, stream, chunked=chunked, ended=self._stream_ended
        )
        self._answering = True
        request.body = b""  # others may keep the request as long as the stream goes on
        self._stream.begin()

    def _stream_ended(self, *, last: bool) -> None:
        self._stream = None
        self._answering = False
        self._since = self._server.deadlines.now
        if (last or self._server.draining) and self._transport is not None:
            self._finish(self._transport)
        else:
            self._proceed()

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
        self._release(upgraded=True)
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

    def _finish(self, transport: asyncio.Transport) -> None:
        """Close so that the answer arrives: closing at once with unread input would destroy it."""
        self._closed = True
        self._waiting.clear()
        self._unread = b""
        self._refused = None
        self._reader.close()
        self._server.deadlines.set(self, self._server.deadlines.now + _LINGER)
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()

    def _release(self, *, upgraded: bool = False) -> None:
        self._closed = True
        self._server.deadlines.discard(self)
        self._server.leave(self, self._peer, upgraded=upgraded)
        if self._holds:
            self._server.unanswered.discard(self)
        self._transport = None
        self._refused = None  # its traceback leads back to here
        self._waiting.clear()
        self._unread = b""
        self._reader.close()
