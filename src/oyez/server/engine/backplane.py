"""The seam below the clustered engine: one store and broker that all nodes share.

`oyez.server.engine.cluster.ClusterEngine` knows what must be true of a deployment; a backplane
knows one product. What a backplane promises:

- What it does to one app is atomic: `join`, `leave`, a chunk of `restate` and one of `sweep` happen
  one after another, and each outcome is told to exactly one caller.
- State belongs to *incarnations*: a name that a node takes for one app, with a lease. A name whose
  lease has lapsed may be swept by any node, and a swept name is never alive again. Whoever writes
  under a name that is not alive changes nothing and is told so (`Stale`).
- `publish` keeps the order of calls that wait for each other; events of one call are all or none
  where one broker can do that, and each alone where brokers are sharded.
- `subscribe` returns when the broker has confirmed: what is published from then on is delivered.
- When a connection breaks, what was under way raises `EngineUnavailable` and may have happened or
  not; ``lost`` is called, and nothing is delivered until `connect` has returned and the channels
  have been subscribed again.
- Each method ends within the time limit that the backplane was made with.
"""

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from oyez.protocol.events import Event
from oyez.protocol.messages import Member
from oyez.server.engine import Cached, Joined, Left, Occupancy

__all__ = ["Backplane", "Beat", "Change", "Held", "Roll", "Stale", "Standing"]


class Stale(Exception):
    """The incarnation is not, or no longer, alive; nothing was changed."""


class Standing(enum.Enum):
    """What the store knows of an incarnation."""

    NEW = "new"  # it has just been registered
    ALIVE = "alive"
    SWEPT = "swept"  # the others were told that what it held is gone
    UNKNOWN = "unknown"  # never seen: the store has lost its data


class Beat(msgspec.Struct, frozen=True):
    """The outcome of a heartbeat: how we stand, and whose lease has lapsed."""

    standing: Standing
    lapsed: tuple[str, ...] = ()


class Held(msgspec.Struct):
    """What one incarnation holds of one channel: subscriptions, and connections per user.

    Attributes:
        members: user id to the member as it joined here first and its connections.
    """

    subscriptions: int = 0
    members: dict[str, tuple[Member, int]] = {}

    def counts(self) -> tuple[int, dict[str, int]]:
        """What can be compared with another node's or an older record."""
        return self.subscriptions, {user_id: n for user_id, (_, n) in self.members.items()}


class Change(msgspec.Struct, frozen=True):
    """What became of a channel when a whole record was added to it or taken from it.

    Attributes:
        subscriptions: how many the channel has now.
        occupied: these were its first subscriptions.
        vacated: these were its last ones.
        revision: of the change, or of the last one if there were several (`Joined.revision`).
    """

    channel: str
    subscriptions: int
    occupied: bool = False
    vacated: bool = False
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    revision: int = 0


class Roll(msgspec.Struct, frozen=True):
    """Who is on a channel, at one moment.

    Attributes:
        age: seconds since the store has known the app. While that is less than a lease, nodes may
            still be restating what they hold.
        subscriptions: how many.
        members: of a presence channel, in the order they came.
        revision: of the last change of the app (`oyez.server.engine.Joined`).
    """

    age: float
    subscriptions: int = 0
    members: tuple[Member, ...] = ()
    revision: int = 0


class Backplane(Protocol):
    """What the clustered engine asks of Redis, NATS or anything like them."""

    async def connect(
        self, receive: Callable[[str, str, bytes], None], lost: Callable[[str], None]
    ) -> None:
        """Connect, or connect anew; what was subscribed before is forgotten.

        Args:
            receive: called with app id, channel and message for each one that arrives.
            lost: called with a reason when messages may have been missed; not after `close`.
        """

    async def close(self) -> None:
        """Give back the connections."""

    async def subscribe(self, app_id: str, channel: str) -> None:
        """Receive the messages of a channel; returns when the broker has confirmed."""

    def unsubscribe(self, app_id: str, channel: str) -> None:
        """Receive them no longer, soon."""

    async def publish(self, app_id: str, events: Sequence[Event], cache_seconds: int) -> None:
        """See `oyez.server.engine.Engine.publish`.

        The store numbers the events of cache channels; others keep the sequence they have.
        """

    async def cached(self, app_id: str, channel: str) -> Cached | None:
        """See `oyez.server.engine.Engine.cached`."""

    async def beat(self, app_id: str, incarnation: str, *, register: bool = False) -> Beat:
        """Renew the lease of an incarnation; "" only looks for those that have lapsed.

        Args:
            register: make it known if it is not.
        """

    async def join(
        self,
        app_id: str,
        incarnation: str,
        channel: str,
        member: Member | None,
        max_members: int,
    ) -> Joined:
        """Count one more subscription of the incarnation; ``cached`` is left open.

        Here and wherever members change, `receive` is told on every node with interest, in the
        order of the changes, each with a revision of its own as the sequence of its event.

        Raises:
            Stale: the incarnation is not alive.
            ChannelFull: as in `oyez.server.engine.Engine.join`.
        """

    async def leave(self, app_id: str, incarnation: str, channel: str, user_id: str | None) -> Left:
        """Count one less; nothing happens to what the incarnation does not hold.

        Raises:
            Stale: the incarnation is not alive.
        """

    async def held(self, app_id: str, incarnation: str) -> dict[str, tuple[int, dict[str, int]]]:
        """What the store says the incarnation holds, as in `Held.counts`, by channel."""

    async def restate(
        self, app_id: str, incarnation: str, held: Mapping[str, Held]
    ) -> list[Change]:
        """Make what the incarnation holds of these channels exactly this.

        Raises:
            Stale: the incarnation is not alive.
        """

    async def sweep(
        self, app_id: str, incarnation: str, *, force: bool = False
    ) -> tuple[list[Change], bool]:
        """Take away some of what a lapsed incarnation holds.

        Args:
            force: also if its lease has not lapsed; a node does this to itself when it stops.

        Returns:
            What changed, and whether there is more to do.
        """

    async def occupancy(self, app_id: str, channel: str) -> Occupancy:
        """See `oyez.server.engine.Engine.occupancy`."""

    async def channels(self, app_id: str, prefix: str) -> dict[str, Occupancy]:
        """See `oyez.server.engine.Engine.channels`."""

    async def roll(self, app_id: str, channel: str) -> Roll:
        """Who is on a channel of any kind."""

    async def meter(self, day: int, used: Mapping[str, int]) -> dict[str, int]:
        """See `oyez.server.engine.Engine.meter`."""
