"""The engine of a single process: nothing waits, nothing can be away."""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Self

from oyez.protocol.channels import connections_of, is_internal, kind_of
from oyez.protocol.events import Event
from oyez.protocol.messages import Member, member_added, member_removed
from oyez.server.engine import Cached, ChannelFull, Deliver, Joined, Left, Occupancy

__all__ = ["MemoryEngine"]


class _Presence:
    """One user in one channel: what others see, and over how many connections."""

    __slots__ = ("connections", "member")

    def __init__(self, member: Member) -> None:
        self.member = member
        self.connections = 0


class _Channel:
    __slots__ = ("members", "subscriptions")

    def __init__(self) -> None:
        self.subscriptions = 0
        self.members: dict[str, _Presence] | None = None  # made by the first member

    def add(self, member: Member, max_members: int) -> bool:
        """Count one more connection of a member; whether it is the first.

        Raises:
            ChannelFull: there are ``max_members`` others.
        """
        if self.members is None:
            self.members = {}
        presence = self.members.get(member.user_id)
        added = presence is None
        if presence is None:
            if len(self.members) >= max_members:
                raise ChannelFull
            presence = self.members[member.user_id] = _Presence(member)
        presence.connections += 1
        return added

    def all_members(self) -> tuple[Member, ...]:
        return tuple(each.member for each in (self.members or {}).values())

    def occupancy(self) -> Occupancy:
        return Occupancy(self.subscriptions, len(self.members or ()))


class _Cache:
    """The last events of one app's cache channels, oldest first, so what has expired is in front.

    They are kept as long as they may be replayed, whether or not anybody is subscribed.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._events: OrderedDict[str, tuple[float, Event]] = OrderedDict()

    def put(self, event: Event, seconds: int) -> None:
        now = self._clock()
        self._events[event.channel] = (now + seconds, event)
        self._events.move_to_end(event.channel)
        while self._events:
            oldest = next(iter(self._events))
            if self._events[oldest][0] > now:
                break
            del self._events[oldest]

    def get(self, channel: str) -> Cached | None:
        expires, event = self._events.get(channel, (0.0, None))
        seconds = expires - self._clock()
        if event is None or seconds <= 0:
            return None
        return Cached(event.name, event.data, seconds)


class MemoryEngine:
    """Keeps `oyez.server.engine.Engine` in dictionaries of this process.

    Args:
        deliver: called with each event as it is published.
        clock: seconds that only go forward, for what is cached.
    """

    away = False
    refused = 0

    def __init__(self, deliver: Deliver, clock: Callable[[], float] = time.monotonic) -> None:
        self._deliver = deliver
        self._apps: dict[str, dict[str, _Channel]] = {}
        self._caches: dict[str, _Cache] = {}
        self._clock = clock
        self._metered: dict[tuple[int, str], int] = {}
        self._changes = 0  # of who is where, each of which has a number

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._apps.clear()
        self._caches.clear()

    async def publish(
        self, app_id: str, events: Sequence[Event], *, cache_seconds: int = 0
    ) -> None:
        """See `oyez.server.engine.Engine.publish`."""
        for event in events:
            if cache_seconds and kind_of(event.channel).cache:
                cache = self._caches.setdefault(app_id, _Cache(self._clock))
                cache.put(event, cache_seconds)
            self._deliver(app_id, event)

    async def join(
        self,
        app_id: str,
        channel: str,
        member: Member | None,
        max_members: int,
    ) -> Joined:
        """See `oyez.server.engine.Engine.join`."""
        channels = self._apps.setdefault(app_id, {})
        found = channels.get(channel)
        occupied = found is None
        if found is None:
            found = _Channel()
        added = False
        members: tuple[Member, ...] = ()
        if member is not None:
            added = found.add(member, max_members)
            members = found.all_members()
        channels[channel] = found
        found.subscriptions += 1
        self._changes += 1
        number = self._changes
        if added and member is not None:
            self._deliver(app_id, member_added(channel, member, -number))
        cached = await self.cached(app_id, channel) if kind_of(channel).cache else None
        return Joined(
            occupied, found.subscriptions, added, members, cached, revision=number, told=number
        )

    async def leave(self, app_id: str, channel: str, user_id: str | None) -> Left:
        """See `oyez.server.engine.Engine.leave`."""
        channels = self._apps[app_id]
        found = channels[channel]
        found.subscriptions -= 1
        removed = False
        if user_id is not None and found.members is not None:
            presence = found.members[user_id]
            presence.connections -= 1
            removed = not presence.connections
            if removed:
                del found.members[user_id]
        self._changes += 1
        number = self._changes
        vacated = not found.subscriptions
        if vacated:
            del channels[channel]
            if not channels:
                del self._apps[app_id]
        elif removed and user_id is not None:
            self._deliver(app_id, member_removed(channel, user_id, -number))
        return Left(vacated, found.subscriptions, removed, revision=number)

    async def occupancy(self, app_id: str, channel: str) -> Occupancy:
        """See `oyez.server.engine.Engine.occupancy`."""
        found = self._apps.get(app_id, {}).get(channel)
        return found.occupancy() if found else Occupancy()

    async def is_online(self, app_id: str, user_id: str) -> bool:
        """See `oyez.server.engine.Engine.is_online`."""
        return connections_of(user_id) in self._apps.get(app_id, {})

    async def channels(self, app_id: str, prefix: str) -> dict[str, Occupancy]:
        """See `oyez.server.engine.Engine.channels`."""
        return {
            name: channel.occupancy()
            for name, channel in self._apps.get(app_id, {}).items()
            if name.startswith(prefix) and not is_internal(name)
        }

    async def members(self, app_id: str, channel: str) -> tuple[Member, ...]:
        """See `oyez.server.engine.Engine.members`."""
        found = self._apps.get(app_id, {}).get(channel)
        return found.all_members() if found else ()

    async def cached(self, app_id: str, channel: str) -> Cached | None:
        """See `oyez.server.engine.Engine.cached`."""
        cache = self._caches.get(app_id)
        return cache.get(channel) if cache else None

    async def meter(self, day: int, used: Mapping[str, int]) -> dict[str, int]:
        """See `oyez.server.engine.Engine.meter`."""
        known = self._metered
        self._metered = {
            (day, app_id): known.get((day, app_id), 0) + count for app_id, count in used.items()
        }
        return {app_id: count for (_, app_id), count in self._metered.items()}
