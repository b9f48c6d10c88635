"""Webhooks that arrive: what happens is stored, then told to whoever wants to know.

`Webhooks` is what the rest of the server talks to. An event is in the outbox before anything that
depends on it is acknowledged; a courier per endpoint delivers it at least once and in order per
channel; what nobody takes for five minutes is kept as a dead letter.
"""

import asyncio
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import structlog

from oyez.protocol.app import App
from oyez.protocol.channels import is_internal, kind_of
from oyez.protocol.events import Event
from oyez.protocol.webhooks import Endpoint, WebhookEvent, write_event
from oyez.server.engine import Joined, Left
from oyez.server.webhooks.courier import Courier, Policy
from oyez.server.webhooks.grace import Grace, Presence
from oyez.server.webhooks.letters import Change, Letter
from oyez.server.webhooks.outbox import Outbox, OutboxUnavailable
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
        outbox: Outbox,
        policy: Policy,
    ) -> None:
        self.outbox = outbox
        self.couriers: dict[tuple[str, str], Courier] = {}
        self._by_app: dict[str, list[Courier]] = {}
        self._senders: dict[Sender, None] = {}
        self._delays: dict[str, float] = {}
        for app, endpoint, sender in endpoints:
            self._delays[app.id] = float(app.limits.webhook_delay)
            courier = Courier(endpoint, app.tokens[0], sender, outbox, policy)
            self.couriers[app.id, endpoint.target] = courier
            self._by_app.setdefault(app.id, []).append(courier)
            self._senders[sender] = None
        self._grace = Grace()
        self._sooner = asyncio.Event()
        self._missed: dict[tuple[str, str], float] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Take up what an earlier process left.

        Raises:
            OutboxUnavailable: the outbox cannot be opened.
        """
        await self._stack.enter_async_context(self.outbox)
        now = time.monotonic()
        for presence in await self.outbox.present():
            # Nobody is connected yet: whoever does not come back within the grace has gone.
            self._grace.begin(presence)
            self._grace.end(presence, now + self._delays.get(presence.app_id, 0.0))
        for letter in await self.outbox.pending():
            if not self._post(letter):
                letter.error = "the endpoint is no longer configured"
                self.outbox.bury(letter)
        ending = asyncio.create_task(self._tell_ends())
        self._stack.callback(ending.cancel)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        couriers = self.couriers.values()
        await asyncio.gather(*(courier.settle(_FLUSH) for courier in couriers))
        await self._stack.aclose()
        await asyncio.gather(*(sender.close() for sender in self._senders))

    def wants(self, app: App, *names: str) -> bool:
        """Whether any endpoint of the app is told of any of these events."""
        couriers = self._by_app.get(app.id, ())
        return any(courier.endpoint.wants_type(name) for courier in couriers for name in names)

    async def joined(self, app: App, channel: str, joined: Joined, user_id: str | None) -> None:
        """Somebody has subscribed; returns when what follows from it is stored."""
        if app.id not in self._by_app or is_internal(channel):
            return
        begun, events = [], []
        if joined.occupied and self.wants(app, *_CHANNEL_EVENTS):
            presence = Presence(app.id, channel)
            if self._grace.begin(presence):
                begun.append(presence)
                events.append(WebhookEvent("channel_occupied", channel))
        if joined.added and user_id is not None and self.wants(app, *_MEMBER_EVENTS):
            presence = Presence(app.id, channel, user_id)
            if self._grace.begin(presence):
                begun.append(presence)
                events.append(WebhookEvent("member_added", channel, user_id=user_id))
        if begun:
            await self._happened(app.id, events, begun=begun)
        if kind_of(channel).cache and joined.cached is None:
            await self._cache_miss(app, channel)

    def left(self, app: App, channel: str, left: Left, user_id: str | None) -> None:
        """Somebody's subscription has ended; it is told after the grace."""
        if app.id not in self._by_app or is_internal(channel):
            return
        due = time.monotonic() + self._delays[app.id]
        if left.removed and user_id is not None:
            self._grace.end(Presence(app.id, channel, user_id), due)
        if left.vacated:
            self._grace.end(Presence(app.id, channel), due)
        self._sooner.set()

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
            await self._happened(app.id, [happened])

    async def subscription_count(self, app: App, channel: str, count: int) -> None:
        """The number of subscriptions was told to the subscribers; returns when it is stored."""
        if self.wants(app, "subscription_count"):
            happened = WebhookEvent("subscription_count", channel, subscription_count=count)
            await self._happened(app.id, [happened])

    def report(self) -> list[dict[str, str | int | float]]:
        """What became of the letters to each endpoint."""
        now = time.time()
        found: list[dict[str, str | int | float]] = []
        for (app_id, target), courier in self.couriers.items():
            tally, oldest = courier.tally, courier.oldest_ms()
            found.append(
                {
                    "app_id": app_id,
                    "target": target,
                    "pending": courier.pending,
                    "oldest_pending_seconds": max(0.0, now - oldest / 1000) if oldest else 0.0,
                    "delivered": tally.delivered,
                    "failed_attempts": tally.failed_attempts,
                    "died": tally.died,
                    "dropped": tally.dropped,
                    "last_error": tally.last_error,
                }
            )
        return found

    async def revive(self, ids: Sequence[str]) -> int:
        """Try dead letters again; how many there were.

        Raises:
            OutboxUnavailable: the outbox does not answer.
        """
        letters = await self.outbox.revive(ids)
        for letter in letters:
            self._post(letter)
        return len(letters)

    def drop(self, ids: Sequence[str]) -> None:
        """Forget letters, dead or pending."""
        for courier in self.couriers.values():
            courier.drop(frozenset(ids))
        self.outbox.remove(ids)

    async def _cache_miss(self, app: App, channel: str) -> None:
        now, address = time.monotonic(), (app.id, channel)
        if not self.wants(app, "cache_miss"):
            return
        if now - self._missed.get(address, -_CACHE_MISS_WINDOW) < _CACHE_MISS_WINDOW:
            return
        self._missed = {
            each: at for each, at in self._missed.items() if now - at < _CACHE_MISS_WINDOW
        }
        self._missed[address] = now
        await self._happened(app.id, [WebhookEvent("cache_miss", channel)])

    async def _happened(
        self,
        app_id: str,
        events: Iterable[WebhookEvent],
        *,
        begun: Sequence[Presence] = (),
        ended: Sequence[Presence] = (),
    ) -> None:
        """Store events for the endpoints that want them, then deliver.

        An outbox that fails costs durability, not service: the events are delivered from memory.
        """
        letters = [letter for event in events for letter in self._letters(app_id, event)]
        try:
            await self.outbox.store(Change(letters, begun, ended))
        except OutboxUnavailable as error:
            log.error("webhooks not stored", events=len(letters), error=str(error))
        for letter in letters:
            self._post(letter)

    def _letters(self, app_id: str, event: WebhookEvent) -> Iterable[Letter]:
        body, now = write_event(event), time.time_ns() // 1_000_000
        for courier in self._by_app.get(app_id, ()):
            if courier.endpoint.wants(event):
                yield Letter(
                    uuid.uuid4().hex,
                    self.outbox.next_position(),
                    app_id,
                    courier.endpoint.target,
                    event.channel,
                    body,
                    now,
                )

    def _post(self, letter: Letter) -> bool:
        courier = self.couriers.get((letter.app_id, letter.target))
        if courier is not None:
            courier.post(letter)
        return courier is not None

    async def _tell_ends(self) -> None:
        """Tell the ends whose grace is over."""
        while True:
            due = self._grace.next_due()
            pause = None if due is None else max(0.0, due - time.monotonic())
            self._sooner.clear()
            try:
                async with asyncio.timeout(pause):
                    await self._sooner.wait()
            except TimeoutError:
                for presence in self._grace.ended(time.monotonic()):
                    await self._tell_end(presence)

    async def _tell_end(self, presence: Presence) -> None:
        app_id, channel, user_id = presence
        if user_id:
            event = WebhookEvent("member_removed", channel, user_id=user_id)
        else:
            event = WebhookEvent("channel_vacated", channel)
        await self._happened(app_id, [event], ended=[presence])
