"""A signed-in connection: the internal channels by which it is reached, counted and told.

Being signed in *is* a subscription to ``connections_of(user)``: the engine counts it across all
nodes like any other, so the first and the last one say when the user comes online and goes offline,
and publishing to it reaches every connection of the user. Watching somebody is a subscription too.
"""

from oyez.protocol import messages
from oyez.protocol.app import App
from oyez.protocol.authorization import User
from oyez.protocol.channels import connections_of, watchers_of
from oyez.server.broadcast import Writer
from oyez.server.engine import EngineUnavailable, Joined
from oyez.server.hub import Hub
from oyez.server.occupancy import Announcer, tell_watchers

__all__ = ["SignedIn"]


class SignedIn:
    """What one connection holds while its user is signed in."""

    __slots__ = (
        "_announcer",
        "_app",
        "_channels",
        "_engine",
        "_hub",
        "_user",
        "_withdrawn",
        "_writer",
    )

    def __init__(
        self, hub: Hub, announcer: Announcer, app: App, user: User, writer: Writer
    ) -> None:
        self._hub = hub
        self._announcer = announcer
        self._engine = announcer.engine
        self._app = app
        self._user = user
        self._writer = writer
        self._channels: list[str] = []
        self._withdrawn = False

    async def enter(self) -> None:
        """Count the connection as one of its user's; tell who watches if it is the first.

        Raises:
            EngineUnavailable: it is not counted.
        """
        joined = await self._join(connections_of(self._user.id))
        if joined is None:
            return
        self._hub.release(self._app.id, connections_of(self._user.id), self._writer)
        if joined.occupied:
            await tell_watchers(
                self._engine, self._app, self._user.id, online=True, revision=joined.revision
            )

    async def watch(self) -> bytes | None:
        """Follow the users of the watchlist.

        Returns:
            The message with their present states, to be sent before `release`.

        Raises:
            EngineUnavailable: they are not all followed.
        """
        if not self._app.watchlist_events:
            return None
        online: list[str] = []
        offline: list[str] = []
        for user_id in self._user.watchlist:
            if await self._join(watchers_of(user_id)) is None:
                return None
            is_online = await self._engine.is_online(self._app.id, user_id)
            (online if is_online else offline).append(user_id)
        return messages.watchlist_states(online, offline)

    def release(self) -> None:
        """Changes of the users followed so far reach the client from now on."""
        for channel in self._channels[1:]:
            if not self._withdrawn:
                self._hub.release(self._app.id, channel, self._writer)

    def withdraw(self) -> None:
        """Leave the hub: the client is gone."""
        self._withdrawn = True
        for channel in self._channels:
            self._hub.remove(self._app.id, channel, self._writer)

    async def leave(self) -> None:
        """Leave the engine, after `withdraw`; tell who watches if it was the last connection.

        Raises:
            EngineUnavailable: the engine was told of all, and counts us out when it is back.
        """
        failed: EngineUnavailable | None = None
        while self._channels:
            channel = self._channels.pop()
            try:
                await self._announcer.leave(self._app, channel, None)
            except EngineUnavailable as error:
                failed = error
        if failed is not None:
            raise failed

    async def _join(self, channel: str) -> Joined | None:
        """Subscribe, held for now; None if the client went while the engine was asked."""
        self._hub.hold(self._app.id, channel, self._writer)
        try:
            joined = await self._engine.join(self._app.id, channel, None, 0)
        except BaseException:
            self._hub.remove(self._app.id, channel, self._writer)
            raise
        if self._withdrawn:
            self._hub.remove(self._app.id, channel, self._writer)
            await self._engine.leave(self._app.id, channel, None)
            return None
        self._channels.append(channel)
        return joined
