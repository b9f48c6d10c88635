"""Who a subscriber has signed in as, as it keeps it over any number of connections."""

import asyncio
from typing import Any

from oyez.protocol import surrogates
from oyez.protocol.channels import to_user
from oyez.sdk.conversation import Event
from oyez.sdk.errors import SigninError
from oyez.sdk.stream import Feed
from oyez.sdk.subscription import User

__all__ = ["OFFLINE", "ONLINE", "Identity"]

ONLINE, OFFLINE = "pusher:online", "pusher:offline"


class Identity:
    """A sign-in, from the moment it is asked for.

    Attributes:
        wanted: what the caller of `signin` gave for the authenticator.
        user: known after the first success.
        first: done with it, or with the refusal instead of it.
        settled: set unless a sign-in is under way on this connection; presence channels wait for
            it, as in pusher-js (spec ``websocket-protocol.md`` 7.1).
    """

    def __init__(self, wanted: Any, feed: Feed) -> None:
        self.wanted = wanted
        self.feed = feed
        self.user: User | None = None
        self.first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.settled = asyncio.Event()
        self._online: set[str] = set()

    @property
    def signed_in(self) -> User:
        """The user, once `first` is done without an error."""
        if self.user is None:
            raise SigninError("nobody has signed in")
        return self.user

    @property
    def channel(self) -> str | None:
        """On which events for the user come."""
        return to_user(self.user.id) if self.user else None

    def confirmed(self, user_data: str) -> User:
        """The server has signed this connection in.

        Raises:
            SigninError: as somebody else than before, or as nobody.
        """
        try:
            found = surrogates.decode_object(user_data)
        except ValueError:
            found = {}
        user_id = found.get("id")
        if not isinstance(user_id, str) or not user_id:
            raise SigninError("the server has confirmed a user without an id")
        if self.user is None:
            self.user = User(self.feed, user_id, found, self._online)
        elif self.user.id != user_id:
            raise SigninError(f"signed in as {user_id!r}, who was {self.user.id!r} before")
        return self.user

    def watched(self, event: Event) -> None:
        """Keep who of the watchlist is there."""
        ids = {str(each) for each in event.data["user_ids"]}
        if event.name == ONLINE:
            self._online |= ids
        else:
            self._online -= ids
        self.feed.publish(event)
