"""The engine of a single process: nothing waits, nothing can be away."""

from collections.abc import Sequence
from typing import Self

from oyez.protocol.events import Event
from oyez.protocol.messages import Member
from oyez.server.engine import ChannelFull, Deliver, Joined, Left, Occupancy

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

    def occupancy(self) -> Occupancy:
        return Occupancy(self.subscriptions, len(self.members or ()))


class MemoryEngine:
    """Keeps `oyez.server.engine.Engine` in dictionaries of this process."""

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._apps: dict[str, dict[str, _Channel]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._apps.clear()

    async def publish(self, app_id: str, events: Sequence[Event]) -> None:
        """See `oyez.server.engine.Engine.publish`."""
        for event in events:
            self._deliver(app_id, event)

    async def join(
        self, app_id: str, channel: str, member: Member | None, max_members: int
    ) -> Joined:
        """See `oyez.server.engine.Engine.join`."""
        channels = self._apps.setdefault(app_id, {})
        found = channels.get(channel)
        occupied = found is None
        if found is None:
            found = _Channel()
        if member is None:
            channels[channel] = found
            found.subscriptions += 1
            return Joined(occupied)
        if found.members is None:
            found.members = {}
        presence = found.members.get(member.user_id)
        added = presence is None
        if presence is None:
            if len(found.members) >= max_members:
                raise ChannelFull
            presence = found.members[member.user_id] = _Presence(member)
        channels[channel] = found
        presence.connections += 1
        found.subscriptions += 1
        return Joined(occupied, added, tuple(each.member for each in found.members.values()))

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
        vacated = not found.subscriptions
        if vacated:
            del channels[channel]
            if not channels:
                del self._apps[app_id]
        return Left(vacated, removed)

    async def occupancy(self, app_id: str, channel: str) -> Occupancy:
        """See `oyez.server.engine.Engine.occupancy`."""
        found = self._apps.get(app_id, {}).get(channel)
        return found.occupancy() if found else Occupancy()

    async def channels(self, app_id: str, prefix: str) -> dict[str, Occupancy]:
        """See `oyez.server.engine.Engine.channels`."""
        return {
            name: channel.occupancy()
            for name, channel in self._apps.get(app_id, {}).items()
            if name.startswith(prefix)
        }

    async def members(self, app_id: str, channel: str) -> tuple[Member, ...]:
        """See `oyez.server.engine.Engine.members`."""
        found = self._apps.get(app_id, {}).get(channel)
        if found is None or found.members is None:
            return ()
        return tuple(each.member for each in found.members.values())
