"""What a subscriber has subscribed to, as the application sees it and as it is kept."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

from oyez.protocol.channels import kind_of
from oyez.sdk.arguments import check_event_name
from oyez.sdk.conversation import Event, mapping
from oyez.sdk.members import Members
from oyez.sdk.permission import Grant
from oyez.sdk.sealed import Opener
from oyez.sdk.stream import Feed, Stream
from oyez.sdk.tasks import Tasks

__all__ = ["Membership", "Subscription", "User"]

_CLIENT_EVENT = "client-"


class Membership:
    """What a subscriber keeps of one channel, over any number of connections.

    Attributes:
        member: what the caller of `subscribe` gave for the authorizer.
        joined: whether the server has confirmed it on this connection.
        was_joined: whether it has ever done so.
        first: done with the first confirmation, or the refusal instead of it.
        waiting: calls of `subscribe` that wait for it.
        work: the task that subscribes on this connection.
        count: subscriptions of the channel, if the server has told it.
    """

    def __init__(
        self,
        channel: str,
        member: Mapping[str, Any] | None,
        feed: Feed,
        forward: Callable[[Event], None],
    ) -> None:
        self.channel = channel
        self.kind = kind_of(channel)
        self.member = member
        self.feed = feed
        self.members = Members()
        self.joined = self.was_joined = False
        self.first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting = 0
        self.work: asyncio.Task[None] | None = None
        self.count: int | None = None
        self._opener: Opener | None = None
        self._forward = forward
        self._me: str | None = None

    def open_with(self, renew: Callable[[], Awaitable[bytes]], size: int, tasks: Tasks) -> None:
        """Decrypt what comes; for encrypted channels."""
        self._opener = Opener(self._deliver, renew, size, tasks)

    def granted(self, grant: Grant, user_id: str | None) -> None:
        """The application has given leave; ``user_id`` is of whoever is signed in."""
        self._me = grant.user_id or user_id
        if self._opener is not None and grant.shared_secret is not None:
            self._opener.secret = grant.shared_secret

    def confirmed(self, members: Mapping[str, Any] | None) -> None:
        """The server has subscribed this connection."""
        self.joined = self.was_joined = True
        if members is not None:
            self.members.replace(members, self._me)

    def receive(self, event: Event) -> None:
        """Take an event of this channel."""
        if event.system:
            self._deliver(self._noted(event))
        elif self._opener is not None:
            self._opener.receive(event)
        else:
            self._deliver(event)

    def _deliver(self, event: Event) -> None:
        self.feed.publish(event)
        self._forward(event)

    def _noted(self, event: Event) -> Event:
        """Keep what a system event tells; who leaves is told with what was known of him."""
        data = mapping(event.data)
        match event.name:
            case "pusher:member_added":
                self.members.add(str(data.get("user_id")), data.get("user_info"))
            case "pusher:member_removed":
                info = self.members.remove(str(data.get("user_id")))
                return replace(event, data={"user_info": info, **data})
            case "pusher:subscription_count":
                count = data.get("subscription_count")
                self.count = count if isinstance(count, int) else self.count
            case _:
                pass
        return event


class Actions(Protocol):
    """What a subscription asks of the subscriber it belongs to."""

    async def trigger(self, membership: Membership, event: str, data: Any) -> None:
        """Send a client event."""
        ...

    async def unsubscribe(self, membership: Membership) -> None:
        """Leave the channel."""
        ...


class Subscription(Stream):
    """One channel, to be iterated over or listened to; made by `AsyncSubscriber.subscribe`.

    Iterating gives what backends and other clients send, and with ``system_events`` also what the
    protocol reports, such as members that come and go. Functions given to `on` get either.
    """

    def __init__(self, membership: Membership, actions: Actions) -> None:
        super().__init__(membership.feed)
        self._membership = membership
        self._actions = actions

    def __repr__(self) -> str:
        return f"Subscription({self.channel!r}, active={self.active})"

    @property
    def channel(self) -> str:
        """Its name."""
        return self._membership.channel

    @property
    def active(self) -> bool:
        """Whether events can come now: not while reconnecting, nor once it has ended."""
        return self._membership.joined

    @property
    def members(self) -> Members:
        """Who is in a presence channel; empty elsewhere."""
        return self._membership.members

    @property
    def subscription_count(self) -> int | None:
        """Subscriptions of the channel; None where the server does not tell."""
        return self._membership.count

    async def trigger(self, event: str, data: Any = None) -> None:
        """Send a client event to all other subscribers; the server does not confirm it.

        A refusal, such as for more than 10 in a second, comes as a ``pusher:error`` to
        `AsyncSubscriber.on`.

        Args:
            event: its name, which begins with ``client-``.
            data: travels as JSON.

        Raises:
            ValueError: another name, or a channel that is public or encrypted (spec
                ``websocket-protocol.md`` 8 and 9).
            ConnectionFailed: not subscribed at the moment; nothing is sent later.
        """
        if not check_event_name(event).startswith(_CLIENT_EVENT):
            raise ValueError(f"event must begin with {_CLIENT_EVENT}, not {event!r}")
        kind = self._membership.kind
        if not kind.private or kind.encrypted:
            what = "encrypted" if kind.encrypted else "public"
            raise ValueError(
                f"channel must be private or presence for client events, {self.channel!r} is {what}"
            )
        await self._actions.trigger(self._membership, event, data)

    async def unsubscribe(self) -> None:
        """Leave the channel; iterators end once they have given what had come."""
        await self._actions.unsubscribe(self._membership)


class User(Stream):
    """Who has signed in, and the events sent to this user; made by `AsyncSubscriber.signin`.

    ``pusher:online`` and ``pusher:offline``, with ``user_ids``, tell of the user's watchlist; they
    go to functions given to `on`, and to `AsyncSubscriber`.

    Attributes:
        id: by which backends send to the user.
        data: what was signed: ``id``, ``user_info``, ``watchlist`` and more.
    """

    def __init__(
        self, feed: Feed, user_id: str, data: Mapping[str, Any], watched: set[str]
    ) -> None:
        super().__init__(feed)
        self.id = user_id
        self.data = data
        self._watched = watched

    @property
    def online(self) -> frozenset[str]:
        """Who of the watchlist is signed in somewhere, as far as the server has told."""
        return frozenset(self._watched)

    def __repr__(self) -> str:
        return f"User({self.id!r})"
