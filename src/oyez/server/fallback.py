"""The HTTP fallbacks of pusher-js, for clients behind proxies that break WebSockets.

``xhr_streaming`` and ``xhr`` (polling) carry messages to the client, ``xhr_send`` carries them
back, in the framing of SockJS (spec ``websocket-protocol.md`` 13). To a session this is a socket
like any other: ready WebSocket frames are taken apart again and sent as lines. A session lives in
one process; workers of one machine pass requests on to it (`siblings`).

A session belongs to the origin that opened it, and to the way it was opened, by TLS or not: for any
other it is not there, whatever name of a session a web page has learned.
"""

import functools
import re
from collections.abc import Awaitable

import msgspec

from oyez.protocol import messages, surrogates
from oyez.protocol.errors import ConnectionClosed
from oyez.server.deadlines import Deadlines
from oyez.server.fallback_socket import FallbackSocket, Receiver
from oyez.server.gate import Dismissed, Gate
from oyez.server.http_reader import Request
from oyez.server.http_response import Response
from oyez.server.siblings import Siblings
from oyez.server.turns import Turns

__all__ = ["Fallbacks"]

_PATH = re.compile(r"(?:/pusher)?(/app/[^/]+)/[^/]{1,10}/([^/]{1,64})/(xhr_streaming|xhr|xhr_send)")
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

_Address = tuple[str, str, bytes, bool]  # path of the app, name, origin, whether over TLS


class Fallbacks:
    """All sessions over HTTP of this node.

    Args:
        prefix: path before ``/app/`` or ``/pusher/app/`` to strip.
        readings: see `oyez.server.session.Services`.
        send_buffer: most bytes waiting for one client.
        siblings: the other workers, in one of which a session may live.
    """

    def __init__(
        self,
        gate: Gate,
        deadlines: Deadlines,
        readings: Turns,
        *,
        prefix: str,
        send_buffer: int,
        siblings: Siblings | None = None,
    ) -> None:
        self._gate = gate
        self._deadlines = deadlines
        self._readings = readings
        self._send_buffer = send_buffer
        self._prefix = prefix
        self._siblings = siblings
        self._sockets: dict[_Address, FallbackSocket] = {}

    def handle(self, request: Request) -> Response | Awaitable[Response] | None:
        """Answer a request of a fallback transport, or a lost one for a WebSocket; else None."""
        found = self._match(request)
        if found is None:
            return self._gate.explain(request)
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
        if self._siblings is not None and not self._siblings.is_here(found[2]):
            return True
        socket = self._sockets.get(_address(found, request))
        return socket is not None and not socket.over()

    def answer(self, request: Request) -> Response:
        """Answer a request that a sibling has passed on."""
        found = self._match(request)
        return self._answer(request, found) if found else _error(404, "No such session")

    def _match(self, request: Request) -> re.Match[str] | None:
        return _PATH.fullmatch(request.path.decode("latin-1").removeprefix(self._prefix))

    def _answer(self, request: Request, found: re.Match[str]) -> Response:
        kind = found[3]
        if request.method == b"OPTIONS":
            return Response(204, headers=_PREFLIGHT)
        if request.method != b"POST":
            return _error(405, "405 METHOD NOT ALLOWED")
        address = _address(found, request)
        if kind == "xhr_send":
            return self._send(address, request.body)
        return self._receive(address, request, polling=kind == "xhr")

    def _send(self, address: _Address, body: bytes) -> Response:
        socket = self._sockets.get(address)
        if socket is None or socket.over():
            return _error(404, "No such session")
        try:
            texts = surrogates.decode(_texts, body)
        except ValueError:
            return _error(400, "Expected a JSON array of strings")
        socket.receive(texts)
        return Response(204, headers=_CORS)

    def _receive(self, address: _Address, request: Request, *, polling: bool) -> Response:
        socket = self._sockets.get(address)
        if socket is None:
            socket = self._open(address, request)
        return Response(200, headers=_STREAM, stream=Receiver(socket, polling=polling))

    def _open(self, address: _Address, request: Request) -> FallbackSocket:
        """A new session, or one that only says why the client is not let in."""
        gate = self._gate
        socket = FallbackSocket(
            self._deadlines,
            self._readings,
            send_buffer=self._send_buffer,
            forget=functools.partial(self._forget, address),
        )
        try:
            guest = gate.admit(request, address[0])
        except ConnectionClosed as refusal:
            # It is not kept: the request that was refused is told, and nobody else asks.
            socket.start(Dismissed())
            socket.close(refusal.code, refusal.reason)
            return socket
        self._sockets[address] = socket
        session = gate.session(guest, socket)
        socket.start(session, guest)
        socket.send(session.open())
        return socket

    def _forget(self, address: _Address, socket: FallbackSocket) -> None:
        """The session is over and the client has been told, or is gone."""
        if self._sockets.get(address) is socket:
            del self._sockets[address]


def _address(found: re.Match[str], request: Request) -> _Address:
    return found[1], found[2], request.headers.get(b"origin", b""), request.secure


async def _passed_on(siblings: Siblings, request: Request, session: str) -> Response:
    try:
        status, body = await siblings.answer_of(request, session)
    except OSError:
        return _error(503, "The worker of this session is not there")
    return Response(status, body, headers=_CORS)


def _error(status: int, message: str) -> Response:
    body = messages.compact({"error": message, "code": status})
    return Response(status, body, headers=_CORS)
