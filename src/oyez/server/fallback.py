"""The HTTP fallbacks of pusher-js, for clients behind proxies that break WebSockets.

``xhr_streaming`` and ``xhr`` (polling) carry messages to the client, ``xhr_send`` carries them
back, in the framing of SockJS (spec ``websocket-protocol.md`` 13). To a session this is a socket
like any other: ready WebSocket frames are taken apart again and sent as lines. A session lives in
one process; workers of one machine pass requests on to it (`siblings`).
"""

import asyncio
import re
from collections import deque
from collections.abc import Awaitable

import msgspec

from oyez.protocol import messages, surrogates
from oyez.protocol.errors import CloseCode, ConnectionClosed
from oyez.protocol.events import utf8_size
from oyez.server.deadlines import Deadlines
from oyez.server.frames import Opcode, read_close, split_frames
from oyez.server.gate import Dismissed, Gate, Guest
from oyez.server.http_reader import Request
from oyez.server.http_response import Response, StreamOutput
from oyez.server.siblings import Siblings
from oyez.server.websocket import Listener

__all__ = ["Fallbacks"]

_PATH = re.compile(r"(?:/pusher)?(/app/[^/]+)/[^/]{1,10}/([^/]{1,64})/(xhr_streaming|xhr|xhr_send)")
_INBOX = 1_000  # messages of one client that wait for the engine
_ABSENCE = 10  # seconds without a receiving request after which a client is gone
_STREAM_LENGTH = 262_144  # characters, above which pusher-js replaces a stream it has read so far
_HEARTBEAT = 25  # seconds of silence after which proxies might cut a request
_CORS = ((b"Access-Control-Allow-Origin", b"*"),)
_STREAM = (
    (b"Content-Type", b"application/javascript; charset=UTF-8"),
    (b"Cache-Control", b"no-store, no-transform"),
    (b"X-Accel-Buffering", b"no"),
    *_CORS,
)
_PREFLIGHT = (
    *_CORS,
    (b"Access-Control-Allow-Methods", b"POST, OPTIONS"),
    (b"Access-Control-Allow-Headers", b"Content-Type"),
    (b"Access-Control-Max-Age", b"86400"),
)
_texts = msgspec.json.Decoder(list[str])


class Fallbacks:
    """All sessions over HTTP of this node.

    Args:
        prefix: path before ``/app/`` or ``/pusher/app/`` to strip.
        send_buffer: most bytes waiting for one client.
        siblings: the other workers, in one of which a session may live.
    """

    def __init__(
        self,
        gate: Gate,
        deadlines: Deadlines,
        *,
        prefix: str,
        send_buffer: int,
        siblings: Siblings | None = None,
    ) -> None:
        self.gate = gate
        self.deadlines = deadlines
        self.send_buffer = send_buffer
        self._prefix = prefix
        self._siblings = siblings
        self._sockets: dict[tuple[str, str], FallbackSocket] = {}

    def handle(self, request: Request) -> Response | Awaitable[Response] | None:
        """Answer a request of a fallback transport, or a lost one for a WebSocket; else None."""
        found = self._match(request)
        if found is None:
            return self.gate.explain(request)
        _, name, kind = found.groups()
        siblings = self._siblings
        if siblings is None or siblings.is_here(name) or request.method != b"POST":
            return self._answer(request, found)
        if kind == "xhr_send":
            return _passed_on(siblings, request, name)
        return Response(200, headers=_STREAM, stream=siblings.stream_of(request, name))

    def expects_body(self, request: Request) -> bool:
        """Say whether there is a session, here or at a sibling, that takes what a request sends."""
        found = self._match(request)
        if found is None or found[3] != "xhr_send":
            return False
        elsewhere = self._siblings is not None and not self._siblings.is_here(found[2])
        return elsewhere or (found[1], found[2]) in self._sockets

    def answer(self, request: Request) -> Response:
        """Answer a request that a sibling has passed on."""
        found = self._match(request)
        return self._answer(request, found) if found else _error(404, "No such session")

    def _match(self, request: Request) -> re.Match[str] | None:
        return _PATH.fullmatch(request.path.decode("latin-1").removeprefix(self._prefix))

    def _answer(self, request: Request, found: re.Match[str]) -> Response:
        app_path, name, kind = found.groups()
        if request.method == b"OPTIONS":
            return Response(204, headers=_PREFLIGHT)
        if request.method != b"POST":
            return _error(405, "405 METHOD NOT ALLOWED")
        address = (app_path, name)
        if kind == "xhr_send":
            return self._send(address, request.body)
        return self._receive(address, request, polling=kind == "xhr")

    def forget(self, address: tuple[str, str]) -> None:
        """The session is over and the client has been told."""
        self._sockets.pop(address, None)

    def _send(self, address: tuple[str, str], body: bytes) -> Response:
        socket = self._sockets.get(address)
        if socket is None:
            return _error(404, "No such session")
        try:
            texts = surrogates.decode(_texts, body)
        except ValueError:
            return _error(400, "Expected a JSON array of strings")
        socket.receive(texts)
        return Response(204, headers=_CORS)

    def _receive(self, address: tuple[str, str], request: Request, *, polling: bool) -> Response:
        socket = self._sockets.get(address)
        if socket is None:
            socket = self._open(address, request)
        return Response(200, headers=_STREAM, stream=_Receiver(socket, polling=polling))

    def _open(self, address: tuple[str, str], request: Request) -> "FallbackSocket":
        """A new session, or one that only says why the client is not let in."""
        try:
            guest = self.gate.admit(request, address[0])
        except ConnectionClosed as refusal:
            refused = self._sockets[address] = FallbackSocket(self, address, None)
            refused.start(Dismissed())
            refused.close(refusal.code, refusal.reason)
            return refused
        socket = self._sockets[address] = FallbackSocket(self, address, guest)
        session = self.gate.session(guest, socket)
        socket.start(session)
        socket.send(session.open())
        return socket


class FallbackSocket:
    """A client connection made of requests, as a session and the hub see it."""

    def __init__(self, fallbacks: Fallbacks, address: tuple[str, str], guest: Guest | None) -> None:
        self.writer = self
        self.descriptor = -1
        self.bucket = 0
        self._fallbacks = fallbacks
        self._address = address
        self._guest = guest
        self._listener: Listener | None = None
        self._lines: list[bytes] = [b"o\n"]
        self._size = 2
        self._receiver: _Receiver | None = None
        self._inbox: deque[str] = deque()  # held back by the listener
        self._waiting = False  # for the listener
        self._seen_at = self._left_at = self._wrote_at = fallbacks.deadlines.now
        self._probed_at = 0.0

    def start(self, listener: Listener) -> None:
        """``listener`` hears of everything from now on."""
        self._listener = listener
        self._fallbacks.deadlines.set(self, self._seen_at + 1)

    # What the session and the hub call.

    def write(self, data: bytes) -> None:
        """Queue ready frames as lines for the next or the current receiving request."""
        texts = []
        for opcode, payload in split_frames(data):
            if opcode is Opcode.TEXT:
                texts.append(payload.decode())
            elif opcode is Opcode.CLOSE:
                self._add(b"c", list(read_close(payload)))
        if texts:
            self._add(b"a", texts)
        if self._size > self._fallbacks.send_buffer and self._listener is not None:
            reason = "Too slow to keep up with its channels"
            asyncio.get_running_loop().call_soon(self.close, CloseCode.OVER_CAPACITY, reason)

    def get_write_buffer_size(self) -> int:
        """Bytes that are queued."""
        return self._size

    def send(self, data: bytes) -> None:
        """Send ready frames; nothing happens once closing has begun."""
        if self._listener is not None:
            self.write(data)

    def close(self, code: int, reason: str) -> None:
        """End the session; the client learns it with its current or next receiving request."""
        if self._listener is None:
            return
        farewell = self._listener.farewell(code, reason)
        self._end(code, reason)
        if farewell:
            self.write(farewell)
        self._add(b"c", [code, reason])
        self._fallbacks.deadlines.set(self, self._fallbacks.deadlines.now + _ABSENCE)

    def resume(self) -> None:
        """The listener is ready for the next message."""
        if self._waiting:
            self._waiting = False
            self._hand_over()

    # What the requests call.

    def receive(self, texts: list[str]) -> None:
        """Messages of the client; an empty list only says that it is alive."""
        self._seen_at = self._fallbacks.deadlines.now
        if self._guest is None:
            return
        limit = self._guest.app.limits.inbound_websocket_message
        for text in texts:
            if (size := utf8_size(text)) > limit:
                self.close(CloseCode.TOO_BIG, f"Message too big ({size} > {limit} bytes)")
                return
        self._inbox.extend(texts)
        if len(self._inbox) > _INBOX:
            self.close(CloseCode.OVER_CAPACITY, f"Too many messages ({len(self._inbox)} waiting)")
        self._hand_over()

    def attach(self, receiver: "_Receiver") -> None:
        """A receiving request is here; it replaces an older one that has not ended yet."""
        if self._receiver is not None:
            self._receiver.end()
        self._receiver = receiver
        self._seen_at = self._fallbacks.deadlines.now
        self.flush()

    def detach(self, receiver: "_Receiver") -> None:
        """A receiving request has ended."""
        if self._receiver is receiver:
            self._receiver = None
            self._left_at = self._fallbacks.deadlines.now

    def flush(self) -> None:
        """Hand what is queued to the receiving request, if there is one that can take it."""
        receiver = self._receiver
        if receiver is None or not receiver.writable or not self._lines:
            return
        count = receiver.fitting(self._lines)
        data = b"".join(self._lines[:count])
        del self._lines[:count]
        self._size -= len(data)
        self._wrote_at = self._fallbacks.deadlines.now
        receiver.write(data)
        if self._lines:
            return
        if self._listener is None:
            receiver.end()
            self._fallbacks.forget(self._address)
            self._fallbacks.deadlines.discard(self)

    def expire(self, now: float) -> float | None:
        """Notice clients that are gone, and keep proxies from cutting silent requests."""
        if self._over() or self._guest is None:
            self._fallbacks.forget(self._address)
            return None
        if self._receiver is None and now - self._left_at >= _ABSENCE:
            self._end(1006, "Connection lost")
            self._fallbacks.forget(self._address)
            return None
        self._probe(now, self._guest)
        if self._receiver is not None and now - self._wrote_at >= _HEARTBEAT:
            self._lines.append(b"h\n")
            self._size += 2
            self.flush()
        if self._over():
            return None
        limits = self._guest.app.limits
        return now + min(_ABSENCE / 2, limits.activity_timeout, limits.pong_wait)

    def _over(self) -> bool:
        return self._listener is None

    def _probe(self, now: float, guest: Guest) -> None:
        """Spec ``websocket-protocol.md`` 4: protocol 4 cannot be asked and is given a day."""
        limits, quiet = guest.app.limits, now - self._seen_at
        if guest.version < 5:
            if quiet >= limits.inactivity_timeout:
                self.close(CloseCode.INACTIVE, "Closed after inactivity")
        elif quiet < limits.activity_timeout:
            return
        elif self._seen_at >= self._probed_at:
            self._probed_at = now
            self._add(b"a", [messages.PING.decode()])
        elif now - self._probed_at >= limits.pong_wait:
            self.close(CloseCode.PONG_NOT_RECEIVED, "Pong reply not received")

    def _hand_over(self) -> None:
        while self._inbox and self._listener is not None and not self._waiting:
            self._waiting = not self._listener.received(self._inbox.popleft().encode())

    def _add(self, kind: bytes, value: object) -> None:
        line = kind + messages.compact(value) + b"\n"
        if not self._lines and self._receiver is not None:
            asyncio.get_running_loop().call_soon(self.flush)  # with what else comes in this turn
        self._lines.append(line)
        self._size += len(line)

    def _end(self, code: int, reason: str) -> None:
        listener, self._listener = self._listener, None
        self._inbox.clear()
        if listener is not None:
            listener.closed(code, reason)


class _Receiver:
    """One receiving request: it stays open, or ends with the first lines if it is polling.

    A stream that has become so long that the client will replace it gets nothing more: whatever is
    under way when the client hangs up would be lost.
    """

    def __init__(self, socket: FallbackSocket, *, polling: bool) -> None:
        self._socket = socket
        self._polling = polling
        self._length = 0
        self._connection: StreamOutput | None = None

    @property
    def writable(self) -> bool:
        return (
            self._connection is not None
            and self._connection.writable
            and self._length <= _STREAM_LENGTH
        )

    def fitting(self, lines: list[bytes]) -> int:
        """How many lines, at least one, go into this answer before it is too long."""
        length = self._length
        for count, line in enumerate(lines, 1):
            length += _characters(line)
            if length > _STREAM_LENGTH:
                return count
        return len(lines)

    def write(self, data: bytes) -> None:
        if self._connection is not None:
            self._connection.write_piece(data)
            self._length += _characters(data)
            if self._polling:
                self.end()

    def end(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            self._socket.detach(self)
            connection.end_stream()

    # What the connection calls.

    def attached(self, connection: StreamOutput) -> None:
        self._connection = connection
        self._socket.attach(self)

    def detached(self) -> None:
        self._connection = None
        self._socket.detach(self)

    def resumed(self) -> None:
        self._socket.flush()


async def _passed_on(siblings: Siblings, request: Request, session: str) -> Response:
    try:
        status, body = await siblings.answer_of(request, session)
    except OSError:
        return _error(503, "The worker of this session is not there")
    return Response(status, body, headers=_CORS)


def _characters(data: bytes) -> int:
    """Length as JavaScript counts it."""
    return len(data) if data.isascii() else len(data.decode().encode("utf-16-le")) // 2


def _error(status: int, message: str) -> Response:
    body = messages.compact({"error": message, "code": status})
    return Response(status, body, headers=_CORS)
