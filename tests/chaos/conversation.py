"""One connection as a client sees it: what arrives is written into its `Link`.

Without I/O: text and time in. It knows what the client asked for, so it can tell what has no
business here; and it keeps the client's view of members as pusher-js does, but without forgiving.
"""

import json
from collections import deque
from typing import Any

from tests.chaos.history import Delivery, Link, Subscription

__all__ = ["NO_ANSWER", "UNAVAILABLE", "Conversation"]

UNAVAILABLE = "Service unavailable, try again later"
"""The refusal that a client may meet in a storm."""

NO_ANSWER = "No answer from the engine, which may have delivered the event"
"""The same for what a client says, if it may have been said."""


class Conversation:
    """Reads what the server says on one connection.

    Attributes:
        active: subscriptions for which messages may arrive, by channel.
        answered: pings that were answered since the beginning.
        errors: the messages of `pusher:error` that nobody has taken yet.
        oddities: what no server should say.
    """

    def __init__(self, link: Link, user: str) -> None:
        self.link = link
        self.user = user
        self.active: dict[str, Subscription] = {}
        self.answered = 0
        self.errors: deque[str] = deque()
        self.oddities: list[str] = []

    def receive(self, text: str, now: float) -> None:
        """Take note of one message."""
        self.link.trace.append((now, text))
        message = json.loads(text)
        event, data = message["event"], message.get("data")
        channel = message.get("channel")
        if event == "pusher:error":
            self.errors.append(data["message"])
        elif channel is None or event == "pusher:subscription_error":
            self._about_the_connection(event, data)
        else:
            self._on_a_channel(event, channel, data, now)

    def _about_the_connection(self, event: str, data: Any) -> None:
        match event:
            case "pusher:connection_established":
                self.link.socket_id = json.loads(data)["socket_id"]
            case "pusher:pong":
                self.answered += 1
            case "pusher:signin_success":
                self.link.user = self.user
            case "pusher_internal:watchlist_events":
                for change in json.loads(data)["events"]:
                    for user in change["user_ids"]:
                        self.link.watched[user] = change["name"] == "online"
            case "pusher:subscription_error" | "pusher:ping":
                pass  # the error comes as `pusher:error`, too
            case _:
                self.oddities.append(f"{event} at {self.link}")

    def _on_a_channel(self, event: str, channel: str, data: Any, now: float) -> None:
        subscription = self.active.get(channel)
        if subscription is None:
            self.link.strays.append(f"{event} {data} at {now:.3f} for {channel}, not subscribed")
            return
        if event == "pusher_internal:subscription_succeeded":
            self._acknowledged(subscription, data, now)
            return
        if subscription.acknowledged is None:
            text = f"{event} {data} at {now:.3f} for {channel} before its acknowledgement"
            self.link.strays.append(text)
        match event:
            case "pusher_internal:member_added":
                self._member(subscription, json.loads(data)["user_id"], now, added=True)
            case "pusher_internal:member_removed":
                self._member(subscription, json.loads(data)["user_id"], now, added=False)
            case "pusher_internal:subscription_count":
                subscription.counted = json.loads(data)["subscription_count"]
            case "pusher:cache_miss":
                pass
            case _:
                publisher, _, number = data.rpartition(" #")
                subscription.deliveries.append(Delivery(now, publisher, int(number)))

    def _acknowledged(self, subscription: Subscription, data: str, now: float) -> None:
        if subscription.acknowledged is not None:
            self.oddities.append(f"{subscription.channel} acknowledged twice: {self.link}")
        subscription.acknowledged = now
        if not subscription.channel.startswith("presence-"):
            return
        ids = json.loads(data)["presence"]["ids"]
        subscription.view = set(ids)
        what = f"the list for {subscription.channel} at {now:.3f}"
        if len(ids) != len(subscription.view):
            subscription.contradictions.append(f"{what} has somebody twice: {ids}")
        if self.user not in subscription.view:
            subscription.contradictions.append(f"{what} is without the subscriber: {ids}")

    def _member(self, subscription: Subscription, user: str, now: float, *, added: bool) -> None:
        view = subscription.view
        if view is None:
            return
        when = (
            f"in {subscription.channel} at {now:.3f}, subscribed at {subscription.acknowledged:.3f}"
        )
        if added:
            if user in view:
                subscription.contradictions.append(f"{user} was added twice {when}")
            view.add(user)
        else:
            if user not in view:
                subscription.contradictions.append(f"{user} was removed twice {when}")
            elif user == self.user:
                subscription.contradictions.append(f"{user} was told to be gone {when}")
            view.discard(user)
