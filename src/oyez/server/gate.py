"""Who is let in: from an upgrade request to a session, or to a close code that says why not.

Refusals happen *after* the upgrade, by `pusher:error` and a close frame: an HTTP error instead of
the 101 would look to browsers like a broken network, and they would try for ever.
"""

import asyncio
import secrets
import sys

import msgspec
import structlog

from oyez.protocol import messages
from oyez.protocol.app import App
from oyez.protocol.connection import Connection
from oyez.protocol.errors import CloseCode, ConnectionClosed
from oyez.protocol.handshake import Hello, read_hello, subprotocol
from oyez.protocol.origins import is_allowed
from oyez.server.apps import Apps
from oyez.server.deadlines import Deadlines
from oyez.server.forwarded import client_address, shown
from oyez.server.frames import text_frame
from oyez.server.http_reader import Request
from oyez.server.http_response import Response
from oyez.server.session import ClientSocket, Services, Session
from oyez.server.upgrade import WHAT_WE_SPEAK, UpgradeRefused, accept, missing
from oyez.server.websocket import WebSocket, WebSocketLimits

__all__ = ["Dismissed", "Gate", "Guest"]

log: structlog.stdlib.BoundLogger = structlog.get_logger("oyez.connection")

_DEFAULT_VERSION = 7
_REFUSED = WebSocketLimits(
    message=1024, send_buffer=65536, activity_timeout=10, pong_wait=10, messages_per_second=0
)


class Dismissed:
    """The listener of a connection that was not let in: nothing it says matters."""

    def received(self, text: bytes) -> bool:
        """Nothing is done about it."""
        return True

    def farewell(self, code: int, reason: str) -> bytes:
        """The refusal as an event, for clients that do not read close codes."""
        return text_frame(messages.error(code, reason))

    def closed(self, code: int, reason: str, *, by_us: bool) -> None:
        """There is nothing to clean up."""


class Guest(msgspec.Struct, frozen=True):
    """A client that is let in: its app, protocol version, name and address for the log.

    Attributes:
        host: by which it is counted in `Addresses`.
    """

    app: App
    version: int
    client: str
    peer: str
    host: str


class Gate:
    """Takes over the transports of WebSocket requests.

    Args:
        prefix: path before ``/app/`` to strip, as pusher-js sends with ``wsPath``.
        max_connections: WebSockets and sessions over HTTP of this node; 0 means no limit.
        send_buffer: most bytes waiting to be sent to one client.
        trust_proxy: whether ``X-Forwarded-For`` says whose connection it is.
    """

    def __init__(
        self,
        apps: Apps,
        services: Services,
        deadlines: Deadlines,
        *,
        prefix: str,
        max_connections: int,
        send_buffer: int,
        trust_proxy: bool,
    ) -> None:
        self._apps = apps
        self._services = services
        self._deadlines = deadlines
        self._prefix = prefix
        self._max_connections = max_connections
        self._trust_proxy = trust_proxy
        self._limits = {app.id: _websocket_limits(app, send_buffer) for app in apps}
        self.draining = False

    def upgrade(self, request: Request, transport: asyncio.Transport) -> Response | None:
        """Answer the handshake and take the transport over, or return why it is none."""
        offered = request.headers.get(b"sec-websocket-protocol", b"").decode("latin-1")
        try:
            head = accept(request.method, request.headers, subprotocol(offered))
        except UpgradeRefused as refused:
            return _no_handshake(refused.status, str(refused))
        path = request.path.decode("latin-1").removeprefix(self._prefix)
        try:
            guest = self.admit(request, path, counted=not self._trust_proxy)
        except ConnectionClosed as refusal:
            if request.peer is not None and not self._trust_proxy:
                self._services.addresses.leave(request.peer[0])
            websocket = self._websocket(transport, _REFUSED)
            websocket.start(Dismissed())
            transport.write(head)
            websocket.close(refusal.code, refusal.reason)
            return None
        websocket = self._websocket(transport, self._limits[guest.app.id])
        session = self.session(guest, websocket)
        websocket.start(session)
        websocket.send(head + session.open())
        return None

    def explain(self, request: Request) -> Response | None:
        """Answer a request for a WebSocket that asks for no upgrade; None for any other request."""
        parts = request.path.decode("latin-1").removeprefix(self._prefix).split("/")
        if request.method not in (b"GET", b"HEAD") or len(parts) != 3 or parts[1] != "app":
            return None
        return _no_handshake(426, missing(request.version, request.headers))

    def admit(self, request: Request, path: str, *, counted: bool = False) -> Guest:
        """Let a client in whose connection was asked for at ``path``, below any prefix.

        Args:
            counted: whether its address has one for this client already, as the WebSocket takes
                the place of the HTTP connection.

        Raises:
            ConnectionClosed: why it is not let in.
        """
        if self._trust_proxy:
            host = client_address(request.headers)
            peer = host or shown(request.peer)
        else:
            host, peer = request.peer[0] if request.peer else "", shown(request.peer)
        services = self._services
        try:
            hello = read_hello(path, request.query.decode("latin-1"))
            app, version = self._check(hello, request, peer)
            if not counted and not services.addresses.enter(host, app.id):
                raise ConnectionClosed(CloseCode.OVER_CAPACITY, "Over capacity")
        except ConnectionClosed as refusal:
            services.counters.ended(refusal.code, by_us=True)
            code = refusal.code.value
            log.info("connection refused", code=code, reason=refusal.reason, peer=peer)
            raise
        return Guest(app, version, sys.intern(hello.client), peer, sys.intern(host))

    def session(self, guest: Guest, socket: ClientSocket) -> Session:
        """The session of a client that was let in, on its socket; not open yet."""
        connection = Connection(guest.app, _new_socket_id(), guest.version)
        return Session(
            self._services,
            connection,
            socket,
            client=guest.client,
            peer=guest.peer,
            host=guest.host,
        )

    def _websocket(self, transport: asyncio.Transport, limits: WebSocketLimits) -> WebSocket:
        services = self._services
        return WebSocket(transport, limits, self._deadlines, services.partings, services.readings)

    def _check(self, hello: Hello, request: Request, peer: str) -> tuple[App, int]:
        """The checks that need the apps, in the order of spec ``websocket-protocol.md`` 1."""
        app = self._apps.by_key(hello.key)
        version = hello.version
        if version is None and app is not None and app.lenient:
            version = _DEFAULT_VERSION
        if version is None:
            raise ConnectionClosed(CloseCode.NO_VERSION, "No protocol version supplied")
        if app is None:
            raise ConnectionClosed(
                CloseCode.UNKNOWN_KEY,
                f"App key {hello.key[:40]} not in this cluster. "
                "Did you forget to specify the cluster?",
            )
        if not app.enabled:
            raise ConnectionClosed(CloseCode.APP_DISABLED, "Application disabled")
        if app.force_tls and not request.secure:
            raise ConnectionClosed(
                CloseCode.TLS_ONLY,
                "Application only accepts SSL connections, reconnect using wss://",
            )
        origin = request.headers.get(b"origin", b"").decode("latin-1")
        if app.allowed_origins and origin and not is_allowed(origin, app.allowed_origins):
            raise ConnectionClosed(CloseCode.UNAUTHORIZED, "Origin not allowed")
        hub, reached = self._services.hub, self._services.reached
        connected, most = len(hub.sockets.get(app.id, ())), app.limits.connections_per_app
        if full := 0 < most <= connected:
            reached.note("apps.limits.connections_per_app", most, peer=peer, app_id=app.id)
        if full or hub.metering.over_quota(app):
            raise ConnectionClosed(CloseCode.OVER_QUOTA, "Account over quota")
        if self.draining:
            raise ConnectionClosed(CloseCode.RECONNECT, "Server is shutting down")
        if 0 < self._max_connections <= len(hub):
            reached.note("limits.connections", self._max_connections, peer=peer, app_id=app.id)
            raise ConnectionClosed(CloseCode.OVER_CAPACITY, "Over capacity")
        return app, version


def _no_handshake(status: int, sentence: str) -> Response:
    body = messages.compact({"error": sentence, "code": status})
    return Response(status, body, headers=WHAT_WE_SPEAK)


def _websocket_limits(app: App, send_buffer: int) -> WebSocketLimits:
    limits = app.limits
    return WebSocketLimits(
        message=limits.inbound_websocket_message,
        send_buffer=send_buffer,
        activity_timeout=limits.activity_timeout,
        pong_wait=limits.pong_wait,
        messages_per_second=limits.messages_per_second,
    )


def _new_socket_id() -> str:
    """Unique and not to be guessed: 96 random bits in two parts below 2^53 (spec 1)."""
    bits = secrets.randbits(96)
    return f"{bits >> 48}.{bits & 0xFFFFFFFFFFFF}"
