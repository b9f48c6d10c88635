"""What happened, as seen from outside: written down by clients, publishers and the receiver.

Times are seconds since the storm began. Nothing in here judges; `oracle` and `states` do.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

__all__ = [
    "Delivery",
    "History",
    "Link",
    "Outage",
    "Outcome",
    "Publish",
    "Subscription",
    "Webhook",
]


class Outcome(Enum):
    """What the publisher was told."""

    ACCEPTED = "accepted"
    REFUSED = "refused"  # an answer says that it was not done, or the request never left
    UNKNOWN = "unknown"  # no answer


@dataclass
class Publish:
    """One numbered event, of an application server or of a client.

    Attributes:
        link: number of the connection of a client that sent it; that one does not get it.
    """

    publisher: str
    channel: str
    number: int
    node: int
    started: float
    ended: float = 0.0
    outcome: Outcome = Outcome.UNKNOWN
    link: int | None = None


@dataclass
class Delivery:
    """A numbered event as it arrived on one connection."""

    at: float
    publisher: str
    number: int


@dataclass
class Subscription:
    """One subscription of one connection.

    Attributes:
        acknowledged: None if it never was.
        ended: when the client asked to unsubscribe, or the connection ended.
        view: the members that the client knows of, from the list and the events since.
        contradictions: member events that made no sense to it.
        counted: the last number of subscriptions that it was told.
    """

    channel: str
    asked: float
    acknowledged: float | None = None
    ended: float | None = None
    deliveries: list[Delivery] = field(default_factory=list)
    view: set[str] | None = None
    contradictions: list[str] = field(default_factory=list)
    counted: int | None = None

    @property
    def living(self) -> bool:
        return self.acknowledged is not None and self.ended is None


@dataclass
class Link:
    """One connection of one client.

    Attributes:
        user: who is signed in, once the server has said so.
        watched: users of the watchlist, and whether the client believes them online; None before
            it was told.
        subscriptions: all it ever had.
        strays: messages for channels that it was not subscribed to.
        close: code and reason, once closed.
        trace: everything that was said, with ``>`` before what the client said.
    """

    number: int
    client: str
    node: int
    opened: float
    socket_id: str = ""
    user: str = ""
    watched: dict[str, bool | None] = field(default_factory=dict)
    subscriptions: list[Subscription] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    closed: float | None = None
    close: tuple[int, str] = (0, "")
    trace: list[tuple[float, str]] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.client} (connection {self.number}, {self.socket_id}, node {self.node})"

    def living(self) -> Iterator[Subscription]:
        """What it is subscribed to at present."""
        return (each for each in self.subscriptions if each.living)


@dataclass
class Webhook:
    """One event of a webhook request."""

    at: float
    id: str
    name: str
    channel: str
    user_id: str = ""
    data: str = ""


@dataclass(frozen=True)
class Outage:
    """A time in which events may be lost for the clients of a node, or of all.

    Attributes:
        lossless: events are only late, so it excuses nothing to those who stay.
    """

    node: int | None
    since: float
    until: float
    lossless: bool = False


@dataclass
class History:
    """Everything that was written down."""

    publishes: list[Publish] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    webhooks: list[Webhook] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    oddities: list[str] = field(default_factory=list)

    def living(self) -> list[Link]:
        """The connections that are open."""
        return [link for link in self.links if link.closed is None]
