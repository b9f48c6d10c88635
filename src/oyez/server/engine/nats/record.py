"""What the keeper knows of one app: who is where, and on whose word.

Without I/O and clocks: times are arguments, in seconds that only go forward. What it does is what
the scripts of the Redis backplane do.
"""

from collections.abc import Callable, Mapping
from itertools import islice
from typing import Final

import msgspec

from oyez.protocol.events import Event
from oyez.protocol.messages import Member, member_added, member_removed
from oyez.server.engine import ChannelFull, Joined, Left, Occupancy
from oyez.server.engine.backplane import Beat, Change, Held, Roll, Stale, Standing

__all__ = ["Record", "RecordState"]

_SWEPT_AT_ONCE: Final = 200  # channels
_TOMBSTONE: Final = 3600.0  # seconds that a swept incarnation is remembered
_LAPSED_AT_ONCE: Final = 32
_SWEEPING: Final = float("-inf")  # the lease of an incarnation that is being swept


class _Channel(msgspec.Struct, array_like=True):
    """Who is on a channel.

    Attributes:
        members: connections and member by user id, in the order they came.
    """

    subscriptions: int = 0
    members: dict[str, tuple[int, Member]] = {}


class RecordState(msgspec.Struct, array_like=True, frozen=True):
    """A record, as it travels to another node."""

    born: float | None
    leases: dict[str, float]
    swept: dict[str, float]
    channels: dict[str, _Channel]
    held: dict[str, dict[str, tuple[int, dict[str, int]]]]


class Record:
    """One app.

    What is counted of a channel or user is the sum of what all incarnations hold of it.

    Args:
        number: gives a number larger than all before it.
        tell: publishes an event; called in the order of the changes.
    """

    def __init__(self, number: Callable[[], int], tell: Callable[[Event], None]) -> None:
        self._number = number
        self._tell = tell
        self._born: float | None = None
        self._leases: dict[str, float] = {}  # when they lapse
        self._swept: dict[str, float] = {}  # when it may be forgotten
        self._channels: dict[str, _Channel] = {}
        self._held: dict[str, dict[str, tuple[int, dict[str, int]]]] = {}
        self._unsure: set[str] = set()  # of what these hold, something may be lost
        self._revision = number()

    # From one keeper to the next.

    def state(self) -> RecordState:
        """All of it, but for numbers; it is ours and not to be changed."""
        return RecordState(self._born, self._leases, self._swept, self._channels, self._held)

    def assume(self, state: RecordState) -> None:
        """Be this from now on."""
        self._born, self._leases, self._swept = state.born, state.leases, state.swept
        self._channels, self._held = state.channels, state.held

    def resume(self, lease: float, now: float, ahead: float) -> None:
        """Go on at another keeper: nobody could renew a lease, so all get the time to do so.

        The last changes may not have come along. So each incarnation is told once that it is not
        known, upon which its node compares what is held and puts it right.

        Args:
            ahead: how much more the clock shows than the one before.
        """
        self._unsure = {name for name in self._leases if self._is_alive(name)}
        self._revision = self._number()
        self._born = None if self._born is None else self._born + ahead
        self._swept = {name: until + ahead for name, until in self._swept.items()}
        for name, lapses in self._leases.items():
            self._leases[name] = lapses if lapses == _SWEEPING else now + lease

    # Who is alive.

    def beat(self, incarnation: str, lease: float, now: float, *, register: bool) -> Beat:
        """See `oyez.server.engine.backplane.Backplane.beat`."""
        standing = Standing.UNKNOWN
        if self._is_alive(incarnation):
            standing = Standing.ALIVE
        elif incarnation in self._leases or incarnation in self._swept:
            standing = Standing.SWEPT
        elif incarnation and register:
            standing = Standing.NEW
            self._born = now if self._born is None else self._born
        if standing in (Standing.ALIVE, Standing.NEW):
            self._leases[incarnation] = now + lease
        if incarnation in self._unsure:
            self._unsure.discard(incarnation)
            standing = Standing.ALIVE if register else Standing.UNKNOWN
        lapsed = (name for name, lapses in self._leases.items() if lapses <= now)
        return Beat(standing, tuple(islice(lapsed, _LAPSED_AT_ONCE)))

    def held(self, incarnation: str) -> dict[str, tuple[int, dict[str, int]]]:
        """See `oyez.server.engine.backplane.Backplane.held`."""
        return self._held.get(incarnation, {})

    def sweep(self, incarnation: str, now: float, *, force: bool) -> tuple[list[Change], bool]:
        """See `oyez.server.engine.backplane.Backplane.sweep`."""
        lapses = self._leases.get(incarnation)
        if lapses is None or (lapses > now and not force):
            return [], False
        self._leases[incarnation] = _SWEEPING
        self._unsure.discard(incarnation)
        self._swept = {name: until for name, until in self._swept.items() if until > now}
        self._swept[incarnation] = now + _TOMBSTONE
        channels = list(islice(self.held(incarnation), _SWEPT_AT_ONCE))
        changes = [self._state(incarnation, channel, Held()) for channel in channels]
        more = incarnation in self._held
        if not more:
            del self._leases[incarnation]
        return changes, more

    def restate(self, incarnation: str, held: Mapping[str, Held]) -> list[Change]:
        """See `oyez.server.engine.backplane.Backplane.restate`."""
        self._require(incarnation)
        return [self._state(incarnation, channel, each) for channel, each in held.items()]

    # Who is where.

    def join(
        self, incarnation: str, channel: str, member: Member | None, max_members: int
    ) -> Joined:
        """See `oyez.server.engine.backplane.Backplane.join`."""
        self._require(incarnation)
        members = self._members(channel)
        if member is not None and member.user_id not in members and len(members) >= max_members:
            raise ChannelFull
        subscriptions = self._move(incarnation, channel, 1)
        added = False
        if member is not None:
            added = self._move_member(incarnation, channel, member, 1) > 0
            if added:
                self._tell(member_added(channel, member, self._revision))
        return Joined(
            subscriptions == 1,
            subscriptions,
            added,
            self._list(channel) if member is not None else (),
            revision=self._revision,
        )

    def leave(self, incarnation: str, channel: str, user_id: str | None) -> Left:
        """See `oyez.server.engine.backplane.Backplane.leave`."""
        self._require(incarnation)
        held = self.held(incarnation).get(channel)
        if held is None:
            return Left(False, self.occupancy(channel).subscriptions, revision=self._revision)
        removed = False
        if user_id is not None and user_id in held[1]:
            removed = self._move_member(incarnation, channel, Member(user_id), -1) < 0
        subscriptions = self._move(incarnation, channel, -1)
        if removed and subscriptions:
            self._tell(member_removed(channel, user_id or "", self._revision))
        return Left(not subscriptions, subscriptions, removed, self._revision)

    def occupancy(self, channel: str) -> Occupancy:
        """See `oyez.server.engine.Engine.occupancy`."""
        found = self._channels.get(channel)
        return Occupancy(found.subscriptions, len(found.members)) if found else Occupancy()

    def channels(self, prefix: str) -> dict[str, Occupancy]:
        """See `oyez.server.engine.Engine.channels`."""
        return {
            name: Occupancy(each.subscriptions, len(each.members))
            for name, each in self._channels.items()
            if name.startswith(prefix) and not name.startswith("#")
        }

    def roll(self, channel: str, now: float) -> Roll:
        """See `oyez.server.engine.backplane.Backplane.roll`."""
        age = 0.0 if self._born is None else now - self._born
        subscriptions = self.occupancy(channel).subscriptions
        return Roll(age, subscriptions, self._list(channel), self._revision)

    # How it is done.

    def _is_alive(self, incarnation: str) -> bool:
        return self._leases.get(incarnation, _SWEEPING) > _SWEEPING

    def _require(self, incarnation: str) -> None:
        if not self._is_alive(incarnation):
            raise Stale(incarnation)

    def _members(self, channel: str) -> Mapping[str, tuple[int, Member]]:
        found = self._channels.get(channel)
        return found.members if found else {}

    def _list(self, channel: str) -> tuple[Member, ...]:
        return tuple(member for _, member in self._members(channel).values())

    def _state(self, incarnation: str, channel: str, stated: Held) -> Change:
        """Make what an incarnation holds of a channel exactly this, and tell of its members."""
        before = self.occupancy(channel).subscriptions
        subscriptions, connections = self.held(incarnation).get(channel, (0, {}))
        added, removed = [], []
        for user_id, held in list(connections.items()):
            gone = user_id not in stated.members
            if gone and self._move_member(incarnation, channel, Member(user_id), -held) < 0:
                removed.append((user_id, self._revision))
        for user_id, (member, n) in stated.members.items():
            delta = n - connections.get(user_id, 0)
            if delta and self._move_member(incarnation, channel, member, delta) > 0:
                added.append((member, self._revision))
        delta = stated.subscriptions - subscriptions
        after = self._move(incarnation, channel, delta) if delta else before
        if after:
            for user_id, revision in removed:
                self._tell(member_removed(channel, user_id, revision))
            for member, revision in added:
                self._tell(member_added(channel, member, revision))
        return Change(
            channel,
            after,
            occupied=before == 0 < after,
            vacated=after == 0 < before,
            added=tuple(member.user_id for member, _ in added),
            removed=tuple(user_id for user_id, _ in removed),
            revision=self._revision,
        )

    def _move(self, incarnation: str, channel: str, delta: int) -> int:
        """Add to what an incarnation holds; how many subscriptions the channel has then."""
        self._revision = self._number()
        self._hold(incarnation, channel, delta)
        found = self._channels.setdefault(channel, _Channel())
        found.subscriptions += delta
        if not found.subscriptions:
            del self._channels[channel]
        return found.subscriptions

    def _move_member(self, incarnation: str, channel: str, member: Member, delta: int) -> int:
        """Likewise for the connections of a user: 1 if the user has come by this, -1 if gone."""
        self._revision = self._number()
        self._hold(incarnation, channel, 0, member.user_id, delta)
        members = self._channels.setdefault(channel, _Channel()).members
        connections, first = members.get(member.user_id, (0, member))
        if connections + delta <= 0:
            del members[member.user_id]
            return -1
        members[member.user_id] = (connections + delta, first)
        return 0 if connections else 1

    def _hold(
        self, incarnation: str, channel: str, delta: int, user_id: str = "", connections: int = 0
    ) -> None:
        channels = self._held.setdefault(incarnation, {})
        subscriptions, users = channels.get(channel, (0, {}))
        if connections:
            users[user_id] = users.get(user_id, 0) + connections
            if users[user_id] <= 0:
                del users[user_id]
        channels[channel] = (subscriptions + delta, users)
        if subscriptions + delta <= 0 and not users:
            del channels[channel]
            if not channels:
                del self._held[incarnation]
