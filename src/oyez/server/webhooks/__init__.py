"""Webhooks that arrive: what happens is stored, then told to whoever wants to know.

`Webhooks` is what the rest of the server talks to. An event is in the ledger before anything that
depends on it is acknowledged; a courier per endpoint delivers it at least once and in order per
channel; what nobody takes for five minutes is kept as a dead letter.
"""

import asyncio
import time
import uuid
from collections.abc import Collection, Iterable
from types import TracebackType
from typing import Self

import structlog

from oyez.protocol.app import App
from oyez.protocol.channels import is_internal, kind_of
from oyez.protocol.events import Event
from oyez.protocol.webhooks import Endpoint, WebhookEvent, write_event
from oyez.server.engine import Joined, Left
from oyez.server.redaction import shown_url
from oyez.server.webhooks.courier import Courier, Policy
from oyez.server.webhooks.grace import Presence
from oyez.server.webhooks.ledger import Address, Ledger, Letter, OutboxUnavailable
from oyez.server.webhooks.senders import Sender

__all__ = ["Webhooks"]

log: structlog.stdlib.BoundLogger = structlog.get_logger("oyez.webhooks")

_CHANNEL_EVENTS = ("channel_occupied", "channel_vacated")
_MEMBER_EVENTS = ("member_added", "member_removed")
_CACHE_MISS_WINDOW = 3.0  # seconds in which one cache miss per channel is told
_FLUSH = 5.0  # seconds that a clean stop waits for what is under way


class Webhooks:
    """All webhooks of this node; enter it before use.

    Args:
        endpoints: per app, with what delivers to each.
        policy: how patiently it delivers.
    """

    def __init__(
        self,
        endpoints: Iterable[tuple[App, Endpoint, Sender]],
        ledger: Ledger,
        policy: Policy,
    ) -> None:
        self.ledger = ledger
        self.couriers: dict[tuple[str, str], Courier] = {}
        self._by_app: dict[str, list[Courier]] = {}
        self._labels: dict[tuple[str, str], str] = {}
        self._senders: dict[Sender, None] = {}
        for app, endpoint, sender in endpoints:
            label = self._label(app.id, endpoint.target)
            courier = Courier(endpoint, app.tokens[0], sender, ledger, policy, label=label)
            self.couriers[app.id, endpoint.target] = courier
            self._by_app.setdefault(app.id, []).append(courier)
            self._senders[sender] = None

    async def __aenter__(self) -> Self:
        """Take up what an earlier process left.

        Raises:
            ValueError: the ledger cannot be opened.
        """
        try:
            await self.ledger.open(self)
        except OutboxUnavailable as error:
            raise ValueError(str(error)) from error
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        couriers = self.couriers.values()
        await asyncio.gather(*(courier.settle(_FLUSH) for courier in couriers))
        await self.ledger.__aexit__(kind, error, trace)
        await asyncio.gather(*(sender.close() for sender in self._senders))

    def wants(self, app: App, *names: str) -> bool:
        """Whether any endpoint of the app is told of any of these events."""
        couriers = self._by_app.get(app.id, ())
        return any(courier.endpoint.wants_type(name) for courier in couriers for name in names)

    async def joined(self, app: App, channel: str, joined: Joined, user_id: str | None) -> None:
        """Somebody has subscribed; returns when what follows from it is stored."""
        if app.id not in self._by_app or is_internal(channel):
            return
        begun = []
        if joined.occupied:
            begun.append(Presence(app.id, channel))
        if joined.added and user_id is not None:
            begun.append(Presence(app.id, channel, user_id))
        if begun := [each for each in begun if self.follows(each)]:
            await self.ledger.begin(begun, joined.revision)
        if kind_of(channel).cache and joined.cached is None:
            await self._cache_miss(app, channel)

    def left(self, app: App, channel: str, left: Left, user_id: str | None) -> None:
        """Somebody's subscription has ended; it is told after the grace."""
        if app.id not in self._by_app or is_internal(channel):
            return
        ended = []
        if left.removed and user_id is not None:
            ended.append(Presence(app.id, channel, user_id))
        if left.vacated:
            ended.append(Presence(app.id, channel))
        for presence in ended:
            if self.follows(presence):
                self.ledger.end(presence, left.revision)

    def doubt(self, app_id: str) -> None:
        """The engine may not have told us everything of this app."""
        if app_id in self._by_app:
            self.ledger.doubt(app_id)

    async def client_event(self, app: App, event: Event) -> None:
        """A client event is accepted; returns when it is stored."""
        if self.wants(app, "client_event"):
            happened = WebhookEvent(
                "client_event",
                event.channel,
                event.name,
                event.data,
                event.socket_id,
                event.user_id,
            )
            await self._happened(app.id, happened)

    async def subscription_count(self, app: App, channel: str, count: int) -> None:
        """The number of subscriptions was told to the subscribers; returns when it is stored."""
        if self.wants(app, "subscription_count"):
            happened = WebhookEvent("subscription_count", channel, subscription_count=count)
            await self._happened(app.id, happened)

    def report(self) -> list[dict[str, str | int | float]]:
        """What became of the letters to each endpoint."""
        now, backlog = time.time(), self.ledger.backlog()
        found: list[dict[str, str | int | float]] = []
        for (app_id, target), courier in self.couriers.items():
            tally, pending, oldest = courier.tally, courier.pending, courier.oldest_ms()
            if backlog is not None:
                pending, oldest = backlog.get((app_id, target), (0, 0))
            found.append(
                {
                    "app_id": app_id,
                    "target": self.shown(app_id, target),
                    "pending": pending,
                    "oldest_pending_seconds": max(0.0, now - oldest / 1000) if oldest else 0.0,
                    "delivered": tally.delivered,
                    "failed_attempts": tally.failed_attempts,
                    "died": tally.died,
                    "dropped": tally.dropped,
                    "last_error": tally.last_error,
                }
            )
        return found

    def shown(self, app_id: str, target: str) -> str:
        """Return an endpoint as it is shown to people: nothing in it proves who asks."""
        return self._labels.get((app_id, target)) or shown_url(target)

    # What the ledger asks.

    def addresses(self) -> Collection[Address]:
        """See `oyez.server.webhooks.ledger.Desk.addresses`."""
        return self.couriers.keys()

    def follows(self, presence: Presence) -> bool:
        """See `oyez.server.webhooks.ledger.Desk.follows`."""
        names = _MEMBER_EVENTS if presence.user_id else _CHANNEL_EVENTS
        return any(
            courier.endpoint.wants(WebhookEvent(name, presence.channel))
            for courier in self._by_app.get(presence.app_id, ())
            for name in names
        )

    def post(self, letter: Letter) -> bool:
        """See `oyez.server.webhooks.ledger.Desk.post`."""
        courier = self.couriers.get((letter.app_id, letter.target))
        if courier is not None:
            courier.post(letter)
        return courier is not None

    def letters_of_begin(self, presence: Presence) -> list[Letter]:
        """See `oyez.server.webhooks.ledger.Desk.letters_of_begin`."""
        return self._letters_of(presence, "channel_occupied", "member_added")

    def letters_of_end(self, presence: Presence) -> list[Letter]:
        """See `oyez.server.webhooks.ledger.Desk.letters_of_end`."""
        return self._letters_of(presence, "channel_vacated", "member_removed")

    def withdraw(self, ids: Iterable[str]) -> None:
        """See `oyez.server.webhooks.ledger.Desk.withdraw`."""
        chosen = frozenset(ids)
        for courier in self.couriers.values():
            courier.drop(chosen)

    async def abandon(self, app_id: str, target: str) -> None:
        """See `oyez.server.webhooks.ledger.Desk.abandon`."""
        await self.couriers[app_id, target].abandon()

    def _label(self, app_id: str, target: str) -> str:
        """Name an endpoint; two that differ only in what is hidden get a number."""
        plain = label = shown_url(target)
        number = 1
        while (app_id, label) in {(each, shown) for (each, _), shown in self._labels.items()}:
            number += 1
            label = f"{plain} ({number})"
        self._labels[app_id, target] = label
        return label

    def _letters_of(self, presence: Presence, of_channel: str, of_member: str) -> list[Letter]:
        app_id, channel, user_id = presence
        if user_id:
            event = WebhookEvent(of_member, channel, user_id=user_id)
        else:
            event = WebhookEvent(of_channel, channel)
        return list(self._letters(app_id, event))

    async def _cache_miss(self, app: App, channel: str) -> None:
        if self.wants(app, "cache_miss") and await self.ledger.is_first(
            app.id, channel, _CACHE_MISS_WINDOW
        ):
            await self._happened(app.id, WebhookEvent("cache_miss", channel))

    async def _happened(self, app_id: str, event: WebhookEvent) -> None:
        letters = list(self._letters(app_id, event))
        if letters:
            await self.ledger.store(letters)

    def _letters(self, app_id: str, event: WebhookEvent) -> Iterable[Letter]:
        body, now = write_event(event), time.time_ns() // 1_000_000
        for courier in self._by_app.get(app_id, ()):
            if courier.endpoint.wants(event):
                yield Letter(
                    uuid.uuid4().hex,
                    self.ledger.next_position(),
                    app_id,
                    courier.endpoint.target,
                    event.channel,
                    body,
                    now,
                )
