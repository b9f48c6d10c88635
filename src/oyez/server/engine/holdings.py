"""What this node holds of one app: the record from which the store can be rebuilt at any time."""

from collections.abc import Mapping

from oyez.protocol.messages import Member
from oyez.server.engine.backplane import Held

__all__ = ["Holdings"]

_NOTHING = (0, dict[str, int]())


class Holdings:
    """Subscriptions and members by channel, as the sockets of this node have them."""

    def __init__(self) -> None:
        self._channels: dict[str, Held] = {}

    def __len__(self) -> int:
        return len(self._channels)

    def __contains__(self, channel: str) -> bool:
        return channel in self._channels

    def has_user(self, channel: str, user_id: str) -> bool:
        """Whether there is a connection of the user on the channel."""
        held = self._channels.get(channel)
        return held is not None and user_id in held.members

    def add(self, channel: str, member: Member | None) -> None:
        """One more subscription."""
        held = self._channels.get(channel)
        if held is None:
            held = self._channels[channel] = Held(0, {})
        held.subscriptions += 1
        if member is not None:
            first, connections = held.members.get(member.user_id, (member, 0))
            held.members[member.user_id] = (first, connections + 1)

    def remove(self, channel: str, user_id: str | None) -> None:
        """One subscription less."""
        held = self._channels[channel]
        held.subscriptions -= 1
        if user_id is not None:
            member, connections = held.members.pop(user_id)
            if connections > 1:
                held.members[user_id] = (member, connections - 1)
        if not held.subscriptions:
            del self._channels[channel]

    def differing(self, told: Mapping[str, tuple[int, dict[str, int]]]) -> dict[str, Held]:
        """The channels of which the store says something else, with what is true."""
        found = {
            channel: held
            for channel, held in self._channels.items()
            if told.get(channel, _NOTHING) != held.counts()
        }
        found.update((channel, Held()) for channel in told if channel not in self._channels)
        return found
