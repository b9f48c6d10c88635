"""The engine: one truth for all nodes about who is where, and the way of every event.

The contract, which ``tests/engine/contract.py`` checks for every engine:

- Every event, local ones included, goes through `Engine.publish`. When it returns, the event has
  been accepted and will be handed to ``deliver`` on each node at most once, in the order of
  publishing per channel and publisher. When it raises, nobody gets the event, unless what it
  raises is `OutcomeUnknown`: then it may still be delivered, at most once.
- `join` and `leave` report a user's first connection and last connection of a presence channel
  exactly once in the whole deployment, and likewise a channel's first and last subscription.
- Channels whose names begin with ``#`` work like any other but are in no list.
- Users are counted as users, not as connections; counts are those of the whole deployment.
- A node that dies takes with it what it held: after the lease time somebody else is told so.
- A method that cannot do its work raises `EngineUnavailable` and has changed nothing, or what it
  has changed is taken back before the engine works again.
- Methods may be run without a task (``server/eager.py``): an engine that waits does so in a task
  of its own.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, Self

import msgspec

from oyez.protocol.events import Event
from oyez.protocol.messages import Member

__all__ = [
    "Cached",
    "ChannelFull",
    "Deliver",
    "Engine",
    "EngineUnavailable",
    "Joined",
    "Left",
    "Occupancy",
    "OutcomeUnknown",
]

Deliver = Callable[[str, Event], None]
"""Called with app id and event for each event that may have subscribers on this node."""


class EngineUnavailable(Exception):
    """The store or the broker does not answer; the caller may try again."""


class OutcomeUnknown(EngineUnavailable):
    """It was asked, and whether it has done it is not known: the answer did not come."""


class ChannelFull(Exception):
    """The user would be one too many in the presence channel."""


class Occupancy(msgspec.Struct, frozen=True):
    """How many are on a channel: connections, and distinct users where it has members."""

    subscriptions: int = 0
    users: int = 0


class Cached(msgspec.Struct, frozen=True):
    """The last event of a cache channel.

    Attributes:
        seconds: how long it will still be kept.
        sequence: events that were on their way with this or a smaller one are not to follow it.
    """

    name: str
    data: str
    seconds: float
    sequence: int = 0


class Joined(msgspec.Struct, frozen=True):
    """The outcome of a join.

    Attributes:
        occupied: this was the channel's first subscription.
        subscriptions: how many the channel has now.
        added: this was the user's first connection on the channel.
        members: all members, the joining one included, in the order they came.
        cached: what a cache channel replays. An event published meanwhile is either this one or
            delivered after the join, never both and never neither: what was delivered meanwhile
            with a ``sequence`` up to its own is not for who has just joined.
        revision: the number of this change. It grows with every change of who is on any channel of
            the app, also after the store has lost its data.
        told: ``members`` has all changes that were delivered here up to this place
            (`oyez.protocol.events.Event.sequence`), so those are not for who has just joined.
    """

    occupied: bool
    subscriptions: int = 1
    added: bool = False
    members: tuple[Member, ...] = ()
    cached: Cached | None = None
    revision: int = 0
    told: int = 0


class Left(msgspec.Struct, frozen=True):
    """The outcome of a leave.

    Attributes:
        vacated: this was the channel's last subscription.
        subscriptions: how many the channel still has.
        removed: this was the user's last connection on the channel.
        revision: as in `Joined`.
    """

    vacated: bool
    subscriptions: int = 0
    removed: bool = False
    revision: int = 0


class Engine(Protocol):
    """What the server asks of an engine. It is entered before use and left after the drain."""

    @property
    def away(self) -> bool:
        """Whether store or broker do not answer at present; clients stay connected."""

    @property
    def refused(self) -> int:
        """Messages of other nodes that were not understood, since the start."""

    async def __aenter__(self) -> Self:
        """Be ready to publish and to answer."""

    async def __aexit__(self, *exc_info: object) -> None:
        """Take this node out of the deployment: its subscriptions end."""

    async def publish(
        self, app_id: str, events: Sequence[Event], *, cache_seconds: int = 0
    ) -> None:
        """Accept events in this order, all or none.

        Args:
            cache_seconds: how long an event on a cache channel is kept for those who subscribe
                later, whether or not somebody is subscribed now; 0 for events of clients and of
                the server itself.

        Raises:
            EngineUnavailable: none of them was accepted.
        """

    async def join(
        self,
        app_id: str,
        channel: str,
        member: Member | None,
        max_members: int,
    ) -> Joined:
        """Count one more subscription of this node, as ``member`` if the channel has members.

        A user's first connection is told to everybody on the channel. A member who is there already
        keeps the ``user_info`` that others have seen.

        Raises:
            ChannelFull: the user is not there yet and ``max_members`` others are.
            EngineUnavailable: nothing was counted.
        """

    async def leave(self, app_id: str, channel: str, user_id: str | None) -> Left:
        """Count one subscription less, of a join that succeeded on this node.

        That a user's last connection is gone is told to everybody who is still there.

        Raises:
            EngineUnavailable: the engine counts it as left when it comes back.
        """

    async def occupancy(self, app_id: str, channel: str) -> Occupancy:
        """The counts of one channel; zeros where nobody is subscribed.

        Raises:
            EngineUnavailable: the store does not answer.
        """

    async def is_online(self, app_id: str, user_id: str) -> bool:
        """Whether a user is signed in anywhere, for a connection that is on ``watchers_of`` it.

        What was told there since is in the answer, or comes after it.

        Raises:
            EngineUnavailable: the store does not answer.
        """

    async def channels(self, app_id: str, prefix: str) -> dict[str, Occupancy]:
        """The occupied channels whose names start with ``prefix``, less the internal ones.

        Raises:
            EngineUnavailable: the store does not answer.
        """

    async def cached(self, app_id: str, channel: str) -> Cached | None:
        """The last event of a cache channel, None if there is none or it has expired.

        Raises:
            EngineUnavailable: the store does not answer.
        """

    async def members(self, app_id: str, channel: str) -> tuple[Member, ...]:
        """The members of a presence channel in the order they came.

        Raises:
            EngineUnavailable: the store does not answer.
        """

    async def meter(self, day: int, used: Mapping[str, int]) -> dict[str, int]:
        """Add to the messages of a day, by app id, and return what the whole deployment has.

        Args:
            day: any number that is the same on all nodes.
            used: what this node has counted since it last succeeded; 0 only asks.

        Raises:
            EngineUnavailable: nothing was added.
        """
