"""What follows when somebody joins or leaves: counts, webhooks and those who watch users.

Members are told of by the engine, in the order in which it counts them. This is the one place that
reacts to the outcome of a join or a leave, whichever way it came about.
"""

import asyncio
from typing import TYPE_CHECKING, NamedTuple

import structlog

from oyez.protocol import messages
from oyez.protocol.app import App
from oyez.protocol.channels import is_internal, kind_of, user_of
from oyez.protocol.messages import Member
from oyez.server import eager
from oyez.server.deadlines import Deadlines
from oyez.server.engine import Engine, EngineUnavailable, Joined, Left

if TYPE_CHECKING:  # it brings in SQLAlchemy, which only those pay for who use webhooks
    from oyez.server.webhooks import Webhooks

__all__ = ["Announcer", "tell_watchers"]

log: structlog.stdlib.BoundLogger = structlog.get_logger("oyez.occupancy")


async def tell_watchers(
    engine: Engine, app: App, user_id: str, *, online: bool, revision: int
) -> None:
    """Tell everybody who watches a user that the first or last connection of it has come or gone.

    Raises:
        EngineUnavailable: they are not told.
    """
    if app.watchlist_events:
        change = messages.watchlist_change(user_id, online=online, sequence=revision)
        await engine.publish(app.id, (change,))


class Announcer:
    """Tells subscribers how many they are, and others what came about without a session.

    Args:
        tasks: holds what waits for the engine.
    """

    def __init__(
        self,
        engine: Engine,
        deadlines: Deadlines,
        tasks: set[asyncio.Task[None]],
        webhooks: "Webhooks | None",
    ) -> None:
        self.engine = engine
        self.deadlines = deadlines
        self.tasks = tasks
        self._webhooks = webhooks
        self._throttled: dict[tuple[str, str], _Throttle] = {}

    async def joined(self, app: App, channel: str, joined: Joined) -> None:
        """Announce the count; the engine has told of the member.

        Raises:
            EngineUnavailable: an announcement was not accepted.
        """
        await self._count(app, channel, _Count(joined.revision, joined.subscriptions))

    async def left(self, app: App, channel: str, left: Left) -> None:
        """Likewise for those who are still there.

        Raises:
            EngineUnavailable: an announcement was not accepted.
        """
        if not left.vacated:
            await self._count(app, channel, _Count(left.revision, left.subscriptions))

    async def came_back(
        self, app: App, channel: str, joined: Joined, member: Member | None
    ) -> None:
        """What others were told is gone is there after all; no session has joined.

        Raises:
            EngineUnavailable: an announcement was not accepted.
        """
        user_id = user_of(channel)
        if user_id is not None:
            if joined.occupied:
                await tell_watchers(
                    self.engine, app, user_id, online=True, revision=joined.revision
                )
            return
        if self._webhooks is not None:
            member_id = member.user_id if member is not None else None
            await self._webhooks.joined(app, channel, joined, member_id)
        await self.joined(app, channel, joined)

    async def went_away(self, app: App, channel: str, left: Left, user_id: str | None) -> None:
        """What a dead node held is gone, or what ended unseen; no session has left.

        Raises:
            EngineUnavailable: an announcement was not accepted.
        """
        signed_in = user_of(channel)
        if signed_in is not None:
            if left.vacated:
                await tell_watchers(
                    self.engine, app, signed_in, online=False, revision=left.revision
                )
            return
        if self._webhooks is not None:
            self._webhooks.left(app, channel, left, user_id)
        await self.left(app, channel, left)

    async def _count(self, app: App, channel: str, count: "_Count") -> None:
        """Tell every change up to a size, then now and then."""
        if not app.subscription_count or is_internal(channel) or kind_of(channel).presence:
            return
        throttle = self._throttled.get((app.id, channel))
        if throttle is not None:
            throttle.changed(count)
            return
        if count.subscriptions > app.limits.subscription_count_unthrottled:
            throttle = self._throttled[app.id, channel] = _Throttle(self, app, channel)
            self.deadlines.set(throttle, self.deadlines.now + throttle.seconds)
        await self.tell_count(app, channel, count)

    async def tell_count(self, app: App, channel: str, count: "_Count") -> None:
        """Tell subscribers and webhooks how many they are.

        Raises:
            EngineUnavailable: it was not accepted.
        """
        subscriptions = count.subscriptions
        if self._webhooks is not None:
            await self._webhooks.subscription_count(app, channel, subscriptions)
        if kind_of(channel).encrypted:
            return  # the official Java client would try to decrypt it, and fail
        event = messages.subscription_count(channel, subscriptions, count.revision)
        await self.engine.publish(app.id, (event,))

    def forget(self, app_id: str, channel: str) -> None:
        """The channel has been quiet for a while."""
        del self._throttled[app_id, channel]


class _Count(NamedTuple):
    """How many are on a channel, as of a revision."""

    revision: int
    subscriptions: int


class _Throttle:
    """A large channel whose count was told a moment ago."""

    def __init__(self, announcer: Announcer, app: App, channel: str) -> None:
        self.bucket = 0
        self.seconds = app.limits.subscription_count_throttle
        self._announcer = announcer
        self._app = app
        self._channel = channel
        self._untold: _Count | None = None

    def changed(self, count: _Count) -> None:
        """Tell this one later, unless a newer one comes; outcomes may overtake each other."""
        if self._untold is None or count.revision >= self._untold.revision:
            self._untold = count

    def expire(self, now: float) -> float | None:
        """Tell the newest count if there is one, else throttle no longer."""
        count, self._untold = self._untold, None
        if count is None:
            self._announcer.forget(self._app.id, self._channel)
            return None
        eager.run(self._tell(count), _done, self._announcer.tasks)
        return now + self.seconds

    async def _tell(self, count: _Count) -> bool:
        """Always True, for `oyez.server.eager`."""
        try:
            await self._announcer.tell_count(self._app, self._channel, count)
        except EngineUnavailable as error:
            log.warning("engine away during a count", channel=self._channel, error=str(error))
        return True


def _done(_: bool) -> None:
    """Nobody waits for it."""
