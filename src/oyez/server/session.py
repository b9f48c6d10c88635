"""One client at work: does what the conversation asks for, and cleans up after it.

The conversation (`oyez.protocol.connection`) decides, the session performs: it joins and leaves at
the engine, enters and leaves the hub, and writes answers to the WebSocket. This is one of the two
files where protocol errors become bytes.
"""

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import structlog

from oyez.protocol import messages
from oyez.protocol.authorization import User
from oyez.protocol.channels import kind_of
from oyez.protocol.connection import Action, Connection, Join, Leave, Publish, Reply, SignIn
from oyez.protocol.errors import CloseCode, Refusal
from oyez.protocol.events import Event
from oyez.server import eager
from oyez.server.addresses import Addresses
from oyez.server.broadcast import Writer
from oyez.server.deadlines import Deadlines
from oyez.server.engine import ChannelFull, Engine, EngineUnavailable, Joined, OutcomeUnknown
from oyez.server.frames import text_frame
from oyez.server.hub import Hub
from oyez.server.metrics import Counters
from oyez.server.occupancy import Announcer
from oyez.server.reached import Reached
from oyez.server.signin import SignedIn
from oyez.server.turns import Turns

if TYPE_CHECKING:  # it brings in SQLAlchemy, which only those pay for who use webhooks
    from oyez.server.webhooks import Webhooks

__all__ = ["ClientSocket", "Services", "Session"]

log: structlog.stdlib.BoundLogger = structlog.get_logger("oyez.connection")

_FIRST_OF_OURS = 4000  # close codes from here on say that something is wrong
_ERROR_BEFORE_CLOSE = 6  # protocol versions below this are told by event why they are closed


@dataclass(slots=True)
class Services:
    """What every session of this node shares.

    Attributes:
        tasks: work of sessions that waits for the engine; the node waits for it at the end.
        partings: closes the connections of clients that have gone.
        readings: handles what clients say that say much, one client in each turn.
    """

    hub: Hub
    engine: Engine
    counters: Counters
    deadlines: Deadlines
    addresses: Addresses
    reached: Reached
    webhooks: "Webhooks | None" = None
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    partings: Turns = field(default_factory=Turns)
    readings: Turns = field(default_factory=lambda: Turns(per_turn=1))
    announcer: Announcer = field(init=False)

    def __post_init__(self) -> None:
        self.announcer = Announcer(
            self.engine, self.deadlines, self.tasks, self.webhooks, self.partings
        )


class ClientSocket(Protocol):
    """The transport of a session: a WebSocket, or one of the HTTP fallbacks."""

    @property
    def writer(self) -> Writer:
        """Where ready frames go, also those of the hub."""

    @property
    def descriptor(self) -> int:
        """See `oyez.server.hub.Socket.descriptor`."""

    def send(self, data: bytes) -> None:
        """Send ready frames; nothing happens once closing has begun."""

    def close(self, code: int, reason: str) -> None:
        """Begin to close."""

    def resume(self) -> None:
        """Go on with the messages that were held back."""


class Session:
    """A client that has been let in.

    Args:
        client: what the client calls itself, for the log.
        peer: its network address, for the log.
        host: by which it is counted in `Addresses`; not any more when it is closed.
    """

    __slots__ = (
        "_client",
        "_closed",
        "_connection",
        "_host",
        "_opened_at",
        "_peer",
        "_services",
        "_signed_in",
        "_socket",
        "bucket",
        "descriptor",
        "writer",
    )

    def __init__(
        self,
        services: Services,
        connection: Connection,
        socket: ClientSocket,
        *,
        client: str,
        peer: str,
        host: str = "",
    ) -> None:
        self.writer = socket.writer
        self.descriptor = socket.descriptor
        self._services = services
        self._connection = connection
        self._socket = socket
        self._signed_in: SignedIn | None = None
        self.bucket = 0
        self._client = client
        self._peer = peer
        self._host = host
        self._opened_at = time.monotonic()
        self._closed = False

    def open(self) -> bytes:
        """Enter the hub; the frame that greets the client."""
        connection = self._connection
        self._services.hub.connect(connection.app.id, connection.socket_id, self)
        self._services.counters.opened += 1
        timeout = connection.app.limits.activity_timeout
        if connection.app.authorized_connections:
            deadlines = self._services.deadlines
            allowed = connection.app.limits.authorized_connections_timeout
            deadlines.set(self, deadlines.now + allowed)
        return text_frame(messages.connection_established(connection.socket_id, timeout))

    def expire(self, now: float) -> float | None:
        """The time to be authorized is over (spec ``websocket-protocol.md`` 12.5)."""
        if not self._connection.authorized:
            self.close(CloseCode.UNAUTHORIZED, "Connection not authorized within timeout")
        return None

    def received(self, text: bytes) -> bool:
        """See `oyez.server.websocket.Listener.received`."""
        done = eager.run(self._receive(text), self._resume, self._services.tasks)
        return done is not None

    def close(self, code: int, reason: str) -> None:
        """Close from our side: shutting down, or told to by the app."""
        self._socket.close(code, reason)

    def farewell(self, code: int, reason: str) -> bytes:
        """See `oyez.server.websocket.Listener.farewell` (spec ``websocket-protocol.md`` 5.1)."""
        if self._connection.version >= _ERROR_BEFORE_CLOSE:
            return b""
        return text_frame(messages.error(code, reason))

    def closed(self, code: int, reason: str, *, by_us: bool) -> None:
        """See `oyez.server.websocket.Listener.closed`: every subscription ends now."""
        self._closed = True
        connection, services = self._connection, self._services
        services.counters.ended(code, by_us=by_us)
        services.addresses.leave(self._host)
        services.hub.disconnect(connection.app.id, connection.socket_id)
        services.deadlines.discard(self)
        subscriptions = len(connection.subscriptions)
        for channel in connection.subscriptions:
            services.hub.remove(connection.app.id, channel, self.writer)
        if self._signed_in is not None:
            self._signed_in.withdraw()
        eager.run(self._leave_all(), _done, services.tasks)
        ordinary = not by_us or code < _FIRST_OF_OURS
        (log.debug if ordinary else log.info)(
            "connection closed",
            app_id=connection.app.id,
            socket_id=connection.socket_id,
            client=self._client,
            peer=self._peer,
            code=code,
            reason=reason,
            by="server" if by_us else "client",
            seconds=round(time.monotonic() - self._opened_at, 3),
            subscriptions=subscriptions,
        )

    async def _receive(self, text: bytes) -> bool:
        """Understand and carry out one message; always True, for `oyez.server.eager`."""
        try:
            action = self._connection.receive(text, time.monotonic())
            if action is not None:
                await self._perform(action)
        except Refusal as refusal:
            self._refuse(refusal)
        except EngineUnavailable:
            self._refuse(Refusal("Service unavailable, try again later"))
        except Exception:
            log.exception("bug in a session", socket_id=self._connection.socket_id)
            self._socket.close(CloseCode.INTERNAL_ERROR, "Internal error")
        return True

    def _resume(self, _: bool) -> None:
        """A message that had to wait is done; those behind it may follow."""
        self._socket.resume()

    async def _perform(self, action: Action) -> None:
        match action:
            case Reply(text):
                self._send(text)
            case Join():
                await self._join(action)
            case Leave():
                await self._leave(action)
            case Publish(event):
                await self._publish(event)
            case SignIn(user):
                await self._sign_in(user)

    async def _publish(self, event: Event) -> None:
        app, services = self._connection.app, self._services
        if services.webhooks is not None:
            await services.webhooks.client_event(app, event)
        try:
            await services.engine.publish(app.id, (event,))
        except OutcomeUnknown:
            text = "No answer from the engine, which may have delivered the event"
            raise Refusal(text) from None
        services.hub.metering[app.id].client_messages += 1

    async def _join(self, join: Join) -> None:
        """Enter the hub before the engine is asked, so that no event falls between the two."""
        app_id, channel = self._connection.app.id, join.channel
        services, limit = self._services, self._connection.app.limits.presence_members
        services.hub.hold(app_id, channel, self.writer)
        try:
            joined = await services.engine.join(app_id, channel, join.member, limit)
        except ChannelFull:
            services.hub.remove(app_id, channel, self.writer)
            raise Refusal(
                f"Presence channel {channel} has reached its limit of {limit} members",
                channel=channel,
                kind="LimitReached",
                status=4100,
            ) from None
        except BaseException:
            services.hub.remove(app_id, channel, self.writer)
            raise
        user_id = join.member.user_id if join.member else None
        if services.webhooks is not None:  # stored before it is acknowledged
            await services.webhooks.joined(self._connection.app, channel, joined, user_id)
        if self._closed:  # the client left while the engine was asked
            services.hub.remove(app_id, channel, self.writer)
            await services.announcer.joined(self._connection.app, channel, joined)
            await services.announcer.leave(self._connection.app, channel, user_id)
            return
        self._connection.joined(join)
        data = messages.presence_data(joined.members) if join.member else "{}"
        self._send(messages.subscription_succeeded(channel, data))
        after = self._replay(channel, joined) if kind_of(channel).cache else 0
        services.hub.release(
            app_id, channel, self.writer, self.descriptor, after=after, told=joined.told
        )
        await services.announcer.joined(self._connection.app, channel, joined)

    def _replay(self, channel: str, joined: Joined) -> int:
        """The last event of a cache channel, or that there is none (spec 10); its sequence."""
        cached = joined.cached
        if cached is None:
            self._send(messages.cache_miss(channel))
            return 0
        self._send(messages.event_text(Event(cached.name, channel, cached.data)))
        return cached.sequence

    async def _sign_in(self, user: User) -> None:
        """Spec ``websocket-protocol.md`` 12.1 and 12.3; the same user again is simply told so."""
        connection, services = self._connection, self._services
        if connection.user is not None:
            self._send(messages.signin_success(user.data))
            return
        signed_in = SignedIn(services.hub, services.announcer, connection.app, user, self.writer)
        self._signed_in = signed_in
        try:
            await signed_in.enter()
        except EngineUnavailable:
            self._signed_in = None
            signed_in.withdraw()
            await signed_in.leave()
            raise
        connection.signed_in(user)
        self._send(messages.signin_success(user.data))
        if user.excess:
            most = connection.app.limits.watchlist
            text = f"Watchlist limit exceeded. Only the first {most} user IDs are accepted."
            self._send(messages.error(4302, text))
        try:
            states = await signed_in.watch()
            if states is not None:
                self._send(states)
        finally:
            signed_in.release()

    async def _leave(self, leave: Leave) -> None:
        self._services.hub.remove(self._connection.app.id, leave.channel, self.writer)
        self._connection.left(leave.channel)
        app = self._connection.app
        await self._services.announcer.leave(app, leave.channel, leave.user_id)

    async def _leave_all(self) -> bool:
        """Leave what is left; always True, for `oyez.server.eager`."""
        subscriptions = self._connection.subscriptions
        while subscriptions:
            channel, user_id = subscriptions.popitem()
            try:
                await self._services.announcer.leave(self._connection.app, channel, user_id)
            except EngineUnavailable as error:  # it counts us out by itself when it is back
                log.warning("engine away during a leave", channel=channel, error=str(error))
        if self._signed_in is not None:
            try:
                await self._signed_in.leave()
            except EngineUnavailable as error:
                log.warning("engine away during a sign-out", error=str(error))
        return True

    def _send(self, text: bytes) -> None:
        """Write to this client alone, after what is already on its way to it."""
        self._services.hub.flush_for(self.writer)
        self._socket.send(text_frame(text))

    def _refuse(self, refusal: Refusal) -> None:
        """Both messages of spec ``websocket-protocol.md`` 6.2."""
        self._services.counters.refusals += 1
        if refusal.rule:
            app = self._connection.app
            self._services.reached.note(
                f"apps.limits.{refusal.rule}",
                getattr(app.limits, refusal.rule),
                peer=self._peer,
                app_id=app.id,
            )
        text = str(refusal)
        self._send(messages.error(refusal.code, text))
        channel = refusal.channel
        if channel is None or not self._connection.app.subscription_errors:
            return
        if not kind_of(channel).encrypted:  # the official Java client would try to decrypt it
            self._send(messages.subscription_error(channel, refusal.kind, text, refusal.status))


def _done(_: bool) -> None:
    """Nobody waits for it."""
