"""What all HTTP connections of a listener share, and how many of them there may be."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any, Protocol

from oyez.server.addresses import Addresses
from oyez.server.deadlines import Deadlines, Expiring
from oyez.server.forwarded import Peer, client_address, shown
from oyez.server.http_reader import HttpLimits, Request
from oyez.server.http_response import Response, usual_head
from oyez.server.reached import Reached
from oyez.server.unanswered import Holder, Unanswered

__all__ = ["HttpServer", "OpenConnection", "Secure"]

_LOOKED_AT = 16  # connections, of which the one that has been silent longest has to go

Secure = Callable[
    [asyncio.Transport, asyncio.Protocol], Coroutine[Any, Any, asyncio.Transport | None]
]


class OpenConnection(Holder, Expiring, Protocol):
    """One connection that is no WebSocket, or none yet."""

    @property
    def silent_since(self) -> float | None:
        """When the client was last heard of; None while it is us who have to say something."""

    def close_if_idle(self) -> None:
        """Close unless a request is under way or being answered."""

    def abort(self) -> None:
        """Drop it without a word."""


@dataclass(slots=True)
class HttpServer:
    """What all connections of a listener share.

    Attributes:
        handle: answers a request and handles its own errors.
        upgrade: takes over the transport of a WebSocket request and returns None, or refuses.
        judge: looks at the head of a request before its long body is read: makes the answer if it
            is refused, else says whether a backend has signed it.
        refuse: makes the answer for a request that broke a rule of HTTP: status and sentence.
        answers: how many there were, by status.
        most: connections that are no WebSockets.
        files: descriptors from this one on are not for clients.
        unanswered: what all connections keep of requests.
        addresses: how many there are from where.
        reached: hears of limits that are reached.
        secure: does the TLS handshake of a connection, None where there is none: returns the
            transport to go on with, or None where it failed.
        trust_proxy: whether ``X-Forwarded-Proto`` is believed.
        draining: when set, every answer closes its connection.
        connections: the first come first, unless they have been looked at since.
    """

    handle: Callable[[Request], Coroutine[Any, Any, Response]]
    upgrade: Callable[[Request, asyncio.Transport], Response | None]
    judge: Callable[[Request], Response | bool]
    refuse: Callable[[int, str], Response]
    answers: Counter[int]
    limits: HttpLimits
    deadlines: Deadlines
    most: int
    files: int
    unanswered: Unanswered
    addresses: Addresses
    reached: Reached
    secure: Secure | None = None
    trust_proxy: bool = False
    draining: bool = False
    connections: OrderedDict[OpenConnection, None] = field(default_factory=OrderedDict)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    date: bytes = b""
    ok_head: bytes = b""

    def tick(self, unix_time: float) -> None:
        """Renew the Date header; call it about once a second."""
        self.date = formatdate(unix_time, usegmt=True).encode()
        self.ok_head = usual_head(self.date)

    def enter(self, connection: OpenConnection, peer: Peer | None, descriptor: int) -> bool:
        """Let a connection in, if need be instead of one that has long been silent.

        The kernel gives out the lowest descriptor that is free: by its number one knows how many
        are open, whatever for.
        """
        host = self._counted(peer)
        if host and not self.addresses.enter(host):
            return False
        full, many = len(self.connections) >= self.most, descriptor >= self.files
        if full or many:
            rule = "limits.http_connections" if full else "limits.reserved_files"
            self.reached.note(rule, self.most if full else self.files, peer=shown(peer))
            silent = self._longest_silent()
            if silent is None:
                self.addresses.leave(host)
                return False
            silent.abort()
        self.connections[connection] = None
        return True

    def leave(self, connection: OpenConnection, peer: Peer | None, *, upgraded: bool) -> None:
        """A connection that may have been let in is gone, or a WebSocket that is counted on."""
        if self.connections.pop(connection, self) is None and not upgraded:
            self.addresses.leave(self._counted(peer))

    def _counted(self, peer: Peer | None) -> str:
        """By which address a connection is counted; not by that of a proxy, as it is many's."""
        return "" if peer is None or self.trust_proxy else peer[0]

    def _longest_silent(self) -> OpenConnection | None:
        """Of the next few the one that has been silent longest; None if none of them is."""
        found: OpenConnection | None = None
        since = float("inf")
        for _ in range(min(_LOOKED_AT, len(self.connections))):
            each = next(iter(self.connections))
            self.connections.move_to_end(each)
            silent = each.silent_since
            if silent is not None and silent < since:
                found, since = each, silent
        return found

    def overburdened(self, limit: int, request: Request | None, peer: Peer | None) -> Response:
        """Note that requests take too much together, and answer the one that has to go for it.

        Args:
            request: it, if its head is known.
            peer: whose it is.
        """
        said, path = "", ""
        if request is not None:
            path = request.path.decode("latin-1")
            said = client_address(request.headers) if self.trust_proxy else ""
        self.reached.note("limits.unanswered_bytes", limit, peer=said or shown(peer), path=path)
        return self.refuse(503, f"Requests that arrive take more than {limit} bytes together")

    def drain(self) -> None:
        """Close idle connections now and busy ones after their answer."""
        self.draining = True
        for connection in tuple(self.connections):
            connection.close_if_idle()
