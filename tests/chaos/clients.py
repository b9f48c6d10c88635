"""Clients with whims: they come, go, subscribe, talk, and come back as pusher-js does.

Each operation is followed by a ping. The server handles the messages of a client one after another,
so with the pong the client knows how the operation ended.
"""

import asyncio
import contextlib
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from oyez import AsyncClient
from tests.chaos.conversation import NO_ANSWER, UNAVAILABLE, Conversation
from tests.chaos.history import History, Link, Outcome, Publish, Subscription

__all__ = ["Client", "Habits", "Surroundings"]

_PATIENCE = 20.0  # seconds for an answer during the storm; nodes are stopped for a while in it
_CALM_PATIENCE = 8.0


@dataclass(frozen=True)
class Surroundings:
    """What all clients share.

    Attributes:
        addresses: of the nodes, which stay the same when a node is started again.
        signer: signs as the application's server does; it sends nothing.
        clock: seconds since the storm began.
    """

    addresses: tuple[str, ...]
    key: str
    signer: AsyncClient
    history: History
    clock: Callable[[], float]


@dataclass(frozen=True)
class Habits:
    """What kind of client this is.

    Attributes:
        channels: those that it is interested in at times.
        watchlist: users that it follows once signed in; None if it does not sign in.
        pause: seconds between two whims, on average.
    """

    channels: tuple[str, ...]
    watchlist: tuple[str, ...] | None
    pause: float


class Client:
    """One client.

    Args:
        name: user and number, such as ``u7/1``.
        chance: its own, so that it does the same whatever others do.

    Attributes:
        calm: it has no more whims, and only sees to it that it has what it wants.
        settled: it has what it wants.
    """

    def __init__(
        self, name: str, habits: Habits, around: Surroundings, chance: random.Random
    ) -> None:
        self.name = name
        self.user = name.partition("/")[0]
        self.calm = False
        self.settled = False
        self._habits = habits
        self._around = around
        self._chance = chance
        self._wanted = set(chance.sample(habits.channels, k=max(1, len(habits.channels) // 2)))
        self._sent: dict[str, int] = {}
        self._visit: _Visit | None = None

    async def run(self) -> None:
        """Live until cancelled."""
        failures = 0
        while True:
            code = await self._connection()
            self.settled = False
            failures = failures + 1 if code is None else 0
            if code is not None and 4000 <= code < 4100:
                self._odd(f"{self.name} was told not to come back: {code}")
            pause = 1.0 if code is not None and 4100 <= code < 4200 else 0.1 * 2 ** min(failures, 3)
            await asyncio.sleep(pause * self._chance.uniform(0.5, 1.0))

    async def _connection(self) -> int | None:
        """Have one connection until it ends; its close code, None if there was none."""
        around = self._around
        node = self._chance.randrange(len(around.addresses))
        try:
            socket = await connect(
                f"ws://{around.addresses[node]}/app/{around.key}?protocol=7&client=chaos",
                proxy=None,
                compression=None,
                ping_interval=None,
                open_timeout=_CALM_PATIENCE,
                close_timeout=0.5,
                max_queue=None,
            )
        except (OSError, WebSocketException, TimeoutError):
            return None
        link = Link(len(around.history.links) + 1, self.name, node, around.clock())
        around.history.links.append(link)
        conversation = Conversation(link, self.user)
        self._visit = _Visit(self, socket, conversation)
        try:
            return await self._visit.until_closed()
        finally:
            self._visit = None
            around.history.oddities.extend(conversation.oddities)

    def lose_connection(self, node: int) -> None:
        """The network between it and this node breaks, if it is connected there."""
        if self._visit is not None:
            self._visit.break_if_on(node)

    def _odd(self, text: str) -> None:
        self._around.history.oddities.append(text)

    def next_number(self, channel: str) -> int:
        self._sent[channel] = self._sent.get(channel, 0) + 1
        return self._sent[channel]


class _Visit:
    """What a client does on one connection."""

    def __init__(
        self, client: Client, socket: ClientConnection, conversation: Conversation
    ) -> None:
        self._client = client
        self._socket = socket
        self._conversation = conversation
        self._link = conversation.link
        self._clock = client._around.clock
        self._history = client._around.history
        self._chance = client._chance
        self._asked = 0
        self._heard = asyncio.Event()

    async def until_closed(self) -> int:
        """Live on the connection; the close code."""
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._live())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._ended()
            for task in tasks:
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            self._socket.transport.abort()
        for outcome in outcomes:
            if isinstance(outcome, Exception) and not isinstance(
                outcome, ConnectionClosed | TimeoutError
            ):
                self._client._odd(f"{self._link}: {outcome!r}")
        self._link.close = (self._socket.close_code or 1006, self._socket.close_reason or "")
        return self._link.close[0]

    def break_if_on(self, node: int) -> None:
        """See `Client.lose_connection`."""
        if self._link.node == node:
            self._socket.transport.abort()

    def _ended(self) -> None:
        now = self._clock()
        self._link.closed = now
        for subscription in self._link.subscriptions:
            if subscription.ended is None:
                subscription.ended = now

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for text in self._socket:
                self._conversation.receive(str(text), self._clock())
                self._heard.set()

    async def _live(self) -> None:
        """Sign in, take what is wanted, and follow whims."""
        await self._until(lambda: bool(self._link.socket_id))
        if self._client._habits.watchlist is not None:
            await self._sign_in(self._client._habits.watchlist)
        while True:
            await self._hold_what_is_wanted()
            if self._client.calm:
                await asyncio.sleep(0.2)
                continue
            await asyncio.sleep(self._chance.expovariate(1 / self._client._habits.pause))
            if not self._client.calm and not await self._follow_a_whim():
                return

    async def _hold_what_is_wanted(self) -> None:
        """Subscribe and unsubscribe until it is so; what is refused is tried again."""
        wanted, active = self._client._wanted, self._conversation.active
        self._client.settled = False
        while wanted != active.keys():
            refused = False
            for channel in sorted(active.keys() - wanted):
                await self._unsubscribe(channel)
            for channel in sorted(wanted - active.keys()):
                refused = not await self._subscribe(channel) or refused
            if refused:
                await asyncio.sleep(self._chance.uniform(0.2, 0.6))
        self._client.settled = True

    async def _follow_a_whim(self) -> bool:
        """Do something; false if it was to hang up."""
        wanted, whim = self._client._wanted, self._chance.random()
        if whim < 0.55:
            wanted.symmetric_difference_update({self._chance.choice(self._client._habits.channels)})
        elif whim < 0.85:
            private = [
                name for name in sorted(wanted) if name.startswith(("private-", "presence-"))
            ]
            if private:
                await self._talk(self._chance.choice(private))
        elif whim < 0.93:
            self._ended()
            await self._socket.close()
            return False
        else:
            self._ended()
            return False  # the socket is aborted
        return True

    # Operations.

    async def _sign_in(self, watchlist: tuple[str, ...]) -> None:
        data = {"id": self._client.user, "watchlist": list(watchlist)}
        signed = self._client._around.signer.authenticate_user(self._link.socket_id, data)
        self._link.watched = dict.fromkeys(watchlist)
        errors = await self._do("pusher:signin", dict(signed))
        if errors:  # it may be signed in by half: like any application, begin again
            raise TimeoutError
        if not self._link.user or None in self._link.watched.values():
            self._client._odd(f"signed in, but not told of everybody: {self._link}")

    async def _subscribe(self, channel: str) -> bool:
        data: dict[str, Any] = {"channel": channel}
        if channel.startswith(("private-", "presence-")):
            member = {"user_id": self._client.user} if channel.startswith("presence-") else None
            signer = self._client._around.signer
            data.update(signer.authorize_channel(channel, self._link.socket_id, member))
        subscription = Subscription(channel, self._clock())
        self._link.subscriptions.append(subscription)
        self._conversation.active[channel] = subscription
        errors = await self._do("pusher:subscribe", data)
        if not errors and subscription.acknowledged is None:
            self._client._odd(f"no answer to a subscription to {channel}: {self._link}")
        if subscription.acknowledged is None:
            subscription.ended = self._clock()
            del self._conversation.active[channel]
        return subscription.acknowledged is not None

    async def _unsubscribe(self, channel: str) -> None:
        self._conversation.active[channel].ended = self._clock()
        await self._do("pusher:unsubscribe", {"channel": channel})
        del self._conversation.active[channel]

    async def _talk(self, channel: str) -> None:
        client = self._client
        publish = Publish(
            client.name,
            channel,
            client.next_number(channel),
            self._link.node,
            self._clock(),
            link=self._link.number,
        )
        self._history.publishes.append(publish)
        text = f"{client.name} #{publish.number}"
        try:
            errors = await self._do("client-said", text, channel=channel)
            if NO_ANSWER not in errors:
                publish.outcome = Outcome.REFUSED if errors else Outcome.ACCEPTED
        finally:
            publish.ended = self._clock()

    async def _do(self, event: str, data: object, **fields: str) -> list[str]:
        """Send something and a ping; what was refused by the time of the pong.

        Raises:
            TimeoutError: no answer.
        """
        text = json.dumps({"event": event, "data": data, **fields})
        self._link.trace.append((self._clock(), f"> {text}"))
        await self._socket.send(text)
        await self._socket.send('{"event":"pusher:ping","data":{}}')
        self._asked += 1
        number = self._asked
        await self._until(lambda: self._conversation.answered >= number)
        errors = list(self._conversation.errors)
        self._conversation.errors.clear()
        for text in errors:
            if text not in (UNAVAILABLE, NO_ANSWER):
                self._client._odd(f"refused: {text!r} to {event} {data}: {self._link}")
        return errors

    async def _until(self, condition: Callable[[], bool]) -> None:
        calm = self._client.calm
        try:
            async with asyncio.timeout(_CALM_PATIENCE if calm else _PATIENCE):
                while not condition():
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            self._client._odd(f"no answer within the time, {calm=}: {self._link}")
            raise
