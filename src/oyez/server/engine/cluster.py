"""The engine of many nodes: what must be true of a deployment, over any `Backplane`.

Counting is the store's affair, so that there is one truth. This node keeps a record of what it
holds (`holdings`), is registered in each app it uses under a name with a lease (`lease`),
subscribes to what it has subscribers for (`interest`), and keeps what its clients know true
(`knowledge`).

When store or broker are away everything is refused at once, clients stay, and one task tries to
come back: connect, subscribe everything again, make the store have what this node holds.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self, TypeVar

import structlog
from msgspec.structs import replace

from oyez.protocol.channels import kind_of
from oyez.protocol.events import Event
from oyez.protocol.messages import Member
from oyez.server.engine import Cached, Deliver, EngineUnavailable, Joined, Left, Occupancy
from oyez.server.engine.aftermath import Aftermath, CameBack, WentAway
from oyez.server.engine.backplane import Backplane, Roll, Standing
from oyez.server.engine.interest import Interest
from oyez.server.engine.knowledge import Knowledge
from oyez.server.engine.lease import Lease
from oyez.server.engine.messages import Refused, read

__all__ = ["ClusterEngine", "Timing"]

log: structlog.stdlib.BoundLogger = structlog.get_logger("oyez.engine")

_Result = TypeVar("_Result")
_LOG_REFUSED_EVERY: Final = 60.0  # seconds
_FIRST_PAUSE: Final = 0.05  # between two attempts to come back
_LONGEST_PAUSE: Final = 5.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds.

    Attributes:
        lease: after this without a sign of life a node is dead to the others.
        limit: for anything that store or broker are asked.
    """

    lease: float = 10.0
    limit: float = 5.0


class ClusterEngine:
    """Keeps `oyez.server.engine.Engine` for one of many nodes.

    Args:
        deliver: called with each event for which this node has interest.
        apps: ids of all apps, also of those that nobody here uses: their dead are swept as well.
        went_away: told what a dead node held, and what ended while the engine was away.
        came_back: told what others had been told was gone.
        restated: called with an app id when the store has what this node holds, after it had not.

    Attributes:
        away: whether store or broker do not answer at present.
        refused: messages that were not understood.
    """

    def __init__(
        self,
        backplane: Backplane,
        deliver: Deliver,
        *,
        apps: Callable[[], Iterable[str]],
        went_away: WentAway,
        came_back: CameBack,
        restated: Callable[[str], None],
        timing: Timing,
    ) -> None:
        self.away = True
        self.refused = 0
        self._backplane = backplane
        self._apps = apps
        self._restated = restated
        self._timing = timing
        self._interest = Interest(backplane, time.monotonic)
        self._knowledge = Knowledge(
            backplane,
            deliver,
            is_used=self._interest.is_used,
            holds=self._holds,
            settled=lambda app_id: self._lease(app_id).settled,
            lease=timing.lease,
            clock=time.monotonic,
        )
        self._leases: dict[str, Lease] = {}
        self._aftermath = Aftermath(backplane, went_away, came_back)
        self._trouble = asyncio.Event()
        self._tried = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._sweep_from = 0.0
        self._longest_pause = min(_LONGEST_PAUSE, timing.lease / 2)
        self._refusal_logged = -_LOG_REFUSED_EVERY

    async def __aenter__(self) -> Self:
        """Returns after the first attempt, whether or not store and broker are there."""
        for work in (self._stay_connected(), self._beat_forever(), self._aftermath.run()):
            self._start(work)
        await self._tried.wait()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        tasks = tuple(self._tasks)
        if not self.away:
            await self._depart()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.away = True
        await self._backplane.close()

    # What the server asks.

    async def publish(
        self, app_id: str, events: Sequence[Event], *, cache_seconds: int = 0
    ) -> None:
        """See `oyez.server.engine.Engine.publish`."""
        self._require()
        if events and events[0].sequence:  # it says how things are
            self._knowledge.published(app_id, events[0])
        await self._backplane.publish(app_id, events, cache_seconds)

    async def join(
        self,
        app_id: str,
        channel: str,
        member: Member | None,
        max_members: int,
    ) -> Joined:
        """See `oyez.server.engine.Engine.join`."""
        self._require()
        return await self._limited(self._join(app_id, channel, member, max_members))

    async def leave(self, app_id: str, channel: str, user_id: str | None) -> Left:
        """See `oyez.server.engine.Engine.leave`."""
        self._drop(app_id, channel)
        return await self._limited(self._lease(app_id).leave(channel, user_id))

    async def occupancy(self, app_id: str, channel: str) -> Occupancy:
        """See `oyez.server.engine.Engine.occupancy`."""
        self._require()
        return await self._backplane.occupancy(app_id, channel)

    async def is_online(self, app_id: str, user_id: str) -> bool:
        """See `oyez.server.engine.Engine.is_online`."""
        self._require()
        return await self._knowledge.is_online(app_id, user_id)

    async def channels(self, app_id: str, prefix: str) -> dict[str, Occupancy]:
        """See `oyez.server.engine.Engine.channels`."""
        self._require()
        return await self._backplane.channels(app_id, prefix)

    async def cached(self, app_id: str, channel: str) -> Cached | None:
        """See `oyez.server.engine.Engine.cached`."""
        self._require()
        return await self._backplane.cached(app_id, channel)

    async def members(self, app_id: str, channel: str) -> tuple[Member, ...]:
        """See `oyez.server.engine.Engine.members`."""
        self._require()
        return (await self._backplane.roll(app_id, channel)).members

    async def roll(self, app_id: str, channel: str) -> Roll:
        """See `oyez.server.engine.backplane.Backplane.roll`."""
        self._require()
        return await self._backplane.roll(app_id, channel)

    async def meter(self, day: int, used: Mapping[str, int]) -> dict[str, int]:
        """See `oyez.server.engine.Engine.meter`."""
        self._require()
        return await self._backplane.meter(day, used)

    # How it is done.

    async def _join(
        self,
        app_id: str,
        channel: str,
        member: Member | None,
        max_members: int,
    ) -> Joined:
        """Subscribe at the broker, then count, then read what is cached: in this order."""
        await self._interest.use(app_id, channel)
        try:
            if member is not None:
                self._knowledge.expect(app_id, channel)
            joining = self._lease(app_id).join(channel, member, max_members)
            if kind_of(channel).cache:
                asking = self._backplane.cached(app_id, channel)
                outcomes = await asyncio.gather(joining, asking, return_exceptions=True)
                joined = await self._with_cached(app_id, channel, member, *outcomes)
            else:
                joined = await joining
        except BaseException:
            self._drop(app_id, channel)
            raise
        if member is not None:
            return self._knowledge.joined(app_id, channel, member, joined)
        self._knowledge.follow(app_id, channel)
        return joined

    def _drop(self, app_id: str, channel: str) -> None:
        if self._interest.drop(app_id, channel):
            self._knowledge.end(app_id, channel)

    def _holds(self, app_id: str, channel: str, user_id: str) -> bool:
        lease = self._leases.get(app_id)
        return lease is not None and lease.holdings.has_user(channel, user_id)

    async def _with_cached(
        self,
        app_id: str,
        channel: str,
        member: Member | None,
        joined: Joined | BaseException,
        cached: Cached | BaseException | None,
    ) -> Joined:
        """Both or nothing: a join whose replay cannot be read is taken back."""
        if isinstance(joined, BaseException):
            raise joined
        if isinstance(cached, BaseException):
            await self._lease(app_id).leave(channel, member.user_id if member else None)
            raise cached
        return replace(joined, cached=cached)

    def _lease(self, app_id: str) -> Lease:
        lease = self._leases.get(app_id)
        if lease is None:
            lease = Lease(app_id, self._backplane, self._settle_soon, self._aftermath.changed)
            self._leases[app_id] = lease
            self._settle_soon(lease)
        return lease

    def _require(self) -> None:
        if self.away:
            raise EngineUnavailable("store or broker do not answer")

    async def _limited(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Run in a task of its own, as callers may have none, and not for ever."""
        return await asyncio.create_task(self._within_limit(work))

    async def _within_limit(self, work: Awaitable[_Result]) -> _Result:
        try:
            async with asyncio.timeout(self._timing.limit):
                return await work
        except TimeoutError:
            raise EngineUnavailable(f"no answer within {self._timing.limit:g} s") from None

    def _start(self, work: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # What arrives.

    def _receive(self, app_id: str, channel: str, message: bytes) -> None:
        try:
            event = read(channel, message)
            self._knowledge.receive(app_id, event)
        except (Refused, ValueError, RecursionError) as error:
            self._refuse(app_id, channel, error)

    def _refuse(self, app_id: str, channel: str, error: Exception) -> None:
        self.refused += 1
        now = time.monotonic()
        if now - self._refusal_logged >= _LOG_REFUSED_EVERY:
            self._refusal_logged = now
            log.warning(
                "message refused",
                app_id=app_id,
                channel=channel,
                error=str(error),
                refused=self.refused,
            )

    # Being away and coming back.

    def _lost(self, reason: str) -> None:
        if not self.away:
            log.warning("engine away", error=reason)
        self.away = True
        self._trouble.set()

    async def _stay_connected(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            await self._connect(pause)
            connected_at = time.monotonic()
            self._tried.set()
            # Nobody could renew a lease while the store was away: all get the time to do so now.
            self._sweep_from = connected_at + self._timing.lease
            self._knowledge.doubt(restating=True)
            for lease in self._leases.values():
                if not lease.settled:
                    self._settle_soon(lease)
            await self._trouble.wait()
            for lease in self._leases.values():
                lease.suspend()
            lasted = time.monotonic() - connected_at
            again = lasted < self._longest_pause
            pause = min(2 * pause, self._longest_pause) if again else _FIRST_PAUSE

    async def _connect(self, pause: float) -> None:
        """Until it has worked: connect and hear again of everything that is wanted."""
        while True:
            self._trouble.clear()
            self._interest.forget()
            self._knowledge.forget_revisions()
            try:
                await self._backplane.connect(self._receive, self._lost)
                await self._interest.restore()
            except EngineUnavailable as error:
                if not self._tried.is_set():
                    log.warning("engine away", error=str(error))
                self._tried.set()
            except Exception:  # ours; whoever does not try again never comes back
                log.exception("bug while connecting to the engine")
                self._tried.set()
            else:
                if not self._trouble.is_set():
                    self.away = False
                    log.info("engine connected")
                    return
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause = min(2 * pause, self._longest_pause)

    def _settle_soon(self, lease: Lease) -> None:
        if not self.away:
            self._start(self._settle(lease))

    async def _settle(self, lease: Lease) -> None:
        """Until it has worked, or the backplane says that the broker is away."""
        while True:
            try:
                rebuilt = await lease.settle()
            except EngineUnavailable as error:
                if self.away:
                    return
                log.warning("subscriptions not restated yet", error=str(error))
            except Exception:
                log.exception("bug while restating", app_id=lease.app_id)
            else:
                self._knowledge.doubt(restating=rebuilt)
                self._restated(lease.app_id)
                return
            await asyncio.sleep(_FIRST_PAUSE * random.uniform(5, 10))  # noqa: S311 - jitter

    # Signs of life, ours and others'.

    async def _beat_forever(self) -> None:
        while True:
            await asyncio.sleep(self._timing.lease / 4)
            if self.away:
                continue
            self._interest.tidy()
            try:
                await asyncio.gather(*(self._beat(app_id) for app_id in self._all_apps()))
                await self._knowledge.audit()
            except EngineUnavailable as error:
                if not self.away:
                    log.warning("no heartbeat", error=str(error))

    def _all_apps(self) -> set[str]:
        return {*self._apps(), *self._leases}

    async def _beat(self, app_id: str) -> None:
        lease = self._leases.get(app_id)
        settled = lease is not None and lease.settled
        name = lease.incarnation if lease is not None and settled else ""
        beat = await self._backplane.beat(app_id, name)
        if name and beat.standing is not Standing.ALIVE and lease is not None:
            lease.doubt()
        if not beat.lapsed or time.monotonic() < self._sweep_from:
            return
        for incarnation in beat.lapsed:
            log.warning("sweeping a node", app_id=app_id, incarnation=incarnation)
            await self._aftermath.sweep(app_id, incarnation)

    async def _depart(self) -> None:
        """Leave in good order: what is still held ends now and not when the lease lapses."""
        leases = [lease for lease in self._leases.values() if lease.settled]
        try:
            async with asyncio.timeout(self._timing.limit):
                for lease in leases:
                    await self._aftermath.sweep(lease.app_id, lease.incarnation, force=True)
                await self._aftermath.told()
        except (EngineUnavailable, TimeoutError) as error:
            log.warning("engine away during the stop", error=str(error))
