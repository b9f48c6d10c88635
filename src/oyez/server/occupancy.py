"""What follows when somebody joins or leaves: counts, webhooks and those who watch users.

Members are told of by the engine, in the order in which it counts them. This is the one place that
reacts to the outcome of a join or a leave, whichever way it came about. It is also where it is
bounded what one client's coming and going makes others hear: `COUNTS` and `LEAVES`.
"""

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from oyez.protocol import messages
from oyez.protocol.app import App
from oyez.protocol.channels import is_internal, kind_of, user_of
from oyez.protocol.messages import Member
from oyez.server import eager
from oyez.server.deadlines import Deadlines
from oyez.server.engine import Engine, EngineUnavailable, Joined, Left
from oyez.server.rate import Rate
from oyez.server.turns import Turns

if TYPE_CHECKING:  # it brings in SQLAlchemy, which only those pay for who use webhooks
    from oyez.server.webhooks import Webhooks

__all__ = ["COUNTS", "LEAVES", "Announcer", "tell_watchers"]

log: structlog.stdlib.BoundLogger = structlog.get_logger("oyez.occupancy")

COUNTS: Final = 10  # of a channel in any second; then the last one follows within two
LEAVES: Final = 5  # of a member of a channel, or a user, in any second; likewise

_Who = tuple[str, str, str | None]  # app id, channel and member


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
    """Counts subscriptions out, tells subscribers how many they are, and others what came about.

    Args:
        tasks: holds what waits for the engine.
        turns: for much work that came together while it waited.
    """

    def __init__(
        self,
        engine: Engine,
        deadlines: Deadlines,
        tasks: set[asyncio.Task[None]],
        webhooks: "Webhooks | None",
        turns: Turns,
    ) -> None:
        self.engine = engine
        self.deadlines = deadlines
        self.tasks = tasks
        self.counts = Rate(COUNTS, deadlines)
        self.leaves = Rate(LEAVES, deadlines)
        self._webhooks = webhooks
        self._turns = turns
        self._throttled: dict[tuple[str, str], _Throttle] = {}
        self._leaving: dict[_Who, _Leaving] = {}

    async def joined(self, app: App, channel: str, joined: Joined) -> None:
        """Announce the count; the engine has told of the member.

        Raises:
            EngineUnavailable: an announcement was not accepted.
        """
        await self._count(app, channel, _Count(joined.revision, joined.subscriptions))

    async def leave(self, app: App, channel: str, user_id: str | None) -> None:
        """Count one subscription less of this node, and tell whom it concerns.

        A member or user who leaves again and again is counted out a moment later: until then
        nobody is told, and who is back by then has not been away.

        Raises:
            EngineUnavailable: the engine counts it out when it comes back, or an announcement was
                not accepted.
        """
        if user_id is not None or user_of(channel) is not None:
            who = (app.id, channel, user_id)
            leaving = self._leaving.get(who)
            if leaving is None and not self.leaves.take(who):
                leaving = self._leaving[who] = _Leaving(self, app, channel, user_id)
                self.deadlines.set(leaving, self.deadlines.now)
            if leaving is not None:
                leaving.times += 1
                return
        await self._leave(app, channel, user_id)

    def leave_now(self, app: App, channel: str, user_id: str | None, times: int) -> None:
        """Do what had to wait: so many have left, of whom the last one counts."""
        del self._leaving[app.id, channel, user_id]
        for _ in range(times):
            self._turns.add(partial(self._run_leave, app, channel, user_id))

    async def _leave(self, app: App, channel: str, user_id: str | None) -> None:
        left = await self.engine.leave(app.id, channel, user_id)
        await self.went_away(app, channel, left, user_id)

    def _run_leave(self, app: App, channel: str, user_id: str | None) -> None:
        eager.run(self._leave_late(app, channel, user_id), _done, self.tasks)

    async def _leave_late(self, app: App, channel: str, user_id: str | None) -> bool:
        """Always True, for `oyez.server.eager`."""
        try:
            await self._leave(app, channel, user_id)
        except EngineUnavailable as error:  # it counts us out by itself when it is back
            log.warning("engine away during a leave", channel=channel, error=str(error))
        return True

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
        """Tell changes at once up to a size and a rate, then now and then."""
        if not app.subscription_count or is_internal(channel) or kind_of(channel).presence:
            return
        key = (app.id, channel)
        throttle = self._throttled.get(key)
        if throttle is not None:
            throttle.changed(count)
            return
        large = count.subscriptions > app.limits.subscription_count_unthrottled
        at_once = self.counts.take(key)
        if large or not at_once:
            throttle = self._throttled[key] = _Throttle(self, app, channel)
            self.deadlines.set(throttle, throttle.next(self.deadlines.now, count))
        if at_once:
            await self.tell_count(app, channel, count)
        elif throttle is not None:
            throttle.changed(count)

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
    """A channel that is large or changes often, and whose count was told a moment ago."""

    __slots__ = ("_announcer", "_app", "_channel", "_untold", "bucket")

    def __init__(self, announcer: Announcer, app: App, channel: str) -> None:
        self.bucket = 0
        self._announcer = announcer
        self._app = app
        self._channel = channel
        self._untold: _Count | None = None

    def next(self, now: float, told: "_Count") -> float:
        """When another count may be told, after this one."""
        limits = self._app.limits
        large = told.subscriptions > limits.subscription_count_unthrottled
        return now + limits.subscription_count_throttle if large else now

    def changed(self, count: "_Count") -> None:
        """Tell this one later, unless a newer one comes; outcomes may overtake each other."""
        if self._untold is None or count.revision >= self._untold.revision:
            self._untold = count

    def expire(self, now: float) -> float | None:
        """Tell the newest count if there is one, else throttle no longer."""
        if self._untold is not None and not self._announcer.counts.take(
            (self._app.id, self._channel)
        ):
            return now
        count, self._untold = self._untold, None
        if count is None:
            self._announcer.forget(self._app.id, self._channel)
            return None
        eager.run(self._tell(count), _done, self._announcer.tasks)
        return self.next(now, count)

    async def _tell(self, count: _Count) -> bool:
        """Always True, for `oyez.server.eager`."""
        try:
            await self._announcer.tell_count(self._app, self._channel, count)
        except EngineUnavailable as error:
            log.warning("engine away during a count", channel=self._channel, error=str(error))
        return True


class _Leaving:
    """A member or user who has just left many times.

    Attributes:
        times: how often since then.
    """

    __slots__ = ("_announcer", "_app", "_channel", "_user_id", "bucket", "times")

    def __init__(self, announcer: Announcer, app: App, channel: str, user_id: str | None) -> None:
        self.bucket = 0
        self.times = 0
        self._announcer = announcer
        self._app = app
        self._channel = channel
        self._user_id = user_id

    def expire(self, now: float) -> float | None:
        """Have it leave as soon as it may do so again."""
        who = (self._app.id, self._channel, self._user_id)
        if not self._announcer.leaves.take(who):
            return now
        self._announcer.leave_now(self._app, self._channel, self._user_id, self.times)
        return None


def _done(_: bool) -> None:
    """Nobody waits for it."""
