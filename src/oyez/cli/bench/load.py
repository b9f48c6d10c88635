"""The load of ``bench``: subscribers that check what they get, publishers that keep to a rate.

A publisher sends one event after another and waits for each answer: only then is there an order
that subscribers can be held to. The clock is this process's, so a latency includes what the
publishing request takes to arrive, and what this process takes to read.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from typing import Any

import msgspec

from oyez.cli.bench.tally import Received, Tally
from oyez.protocol.messages import PONG
from oyez.sdk.client import AsyncClient
from oyez.sdk.errors import ConnectionFailed, OyezError
from oyez.sdk.link import Ended, Link, LinkOptions

__all__ = ["Load", "LoadFailed", "Plan"]

_EVENT = "oyez-bench"
_CONNECTING_AT_ONCE = 50
_CONNECT_SECONDS = 10.0
_QUIET_SECONDS = 3.0  # without any delivery, after which what is missing counts as lost
_LINK = LinkOptions(
    attempt_timeout=_CONNECT_SECONDS, pong_timeout=30, close_timeout=1, max_message=10_000_000
)


class LoadFailed(Exception):
    """A run that cannot begin; the text says why."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do.

    Attributes:
        rate: events per second, of all publishers together.
        size: bytes of an event's data.
    """

    subscribers: int
    publishers: int
    rate: float
    size: int
    seconds: float
    channel: str

    @property
    def events(self) -> int:
        """How many events there will be."""
        return max(int(self.rate * self.seconds), 1)


class _Message(msgspec.Struct):
    event: str
    data: msgspec.Raw = msgspec.Raw()


class _Stamp(msgspec.Struct):
    publisher: int
    number: int


class _Subscriber:
    """One connection; `ready` once subscribed, `over` if it has been cut off."""

    def __init__(self, plan: Plan, tally: Tally) -> None:
        self.received = [Received() for _ in range(plan.publishers)]
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._plan = plan
        self._tally = tally
        self._link: Link | None = None
        self._leaving = False
        self._said = ""

    async def run(self, url: str) -> None:
        """Connect, subscribe, and note what comes until the connection ends."""
        try:
            self._link = await Link.open(url, _LINK)
            while True:
                await self._read(await self._link.receive())
        except (Ended, ConnectionFailed, msgspec.MsgspecError) as error:
            if self.ready.done():
                self._tally.disconnected += not self._leaving
            elif self._leaving and not self._said:
                self.ready.cancel()
            else:
                self.ready.set_exception(LoadFailed(self._said or str(error)))

    async def leave(self) -> None:
        self._leaving = True
        if self._link is not None:
            await self._link.close()

    async def _read(self, text: str) -> None:
        now = time.perf_counter_ns()
        message = msgspec.json.decode(text, type=_Message)
        match message.event:
            case "oyez-bench":
                stamp = _stamp(message.data)
                if stamp is not None:
                    self._tally.deliver(self.received, stamp.publisher, stamp.number, now)
            case "pusher:connection_established":
                await self._say("pusher:subscribe", {"channel": self._plan.channel})
            case "pusher_internal:subscription_succeeded" if not self.ready.done():
                self.ready.set_result(None)
            case "pusher:ping":
                await self._send(PONG.decode())
            case "pusher:error" if not self.ready.done():
                # The close that follows says less, or does not come.
                self._said = bytes(message.data).decode()
                await self.leave()
            case _:
                pass

    async def _say(self, event: str, data: object) -> None:
        await self._send(msgspec.json.encode({"event": event, "data": data}).decode())

    async def _send(self, text: str) -> None:
        if self._link is not None:
            await self._link.send(text)


class Load:
    """One run.

    Args:
        url: where clients connect.
        begin: told when all are subscribed.
        step: told after each event.
    """

    def __init__(
        self,
        plan: Plan,
        client: AsyncClient,
        url: str,
        *,
        begin: Callable[[], None],
        step: Callable[[], None],
    ) -> None:
        self._plan = plan
        self._client = client
        self._url = url
        self._begin = begin
        self._step = step
        self._tally = Tally.of(plan.publishers)
        self._subscribers: list[_Subscriber] = []
        self.publishing_seconds = 0.0
        self.cpu_seconds = 0.0

    async def run(self) -> Tally:
        """Do it all.

        Raises:
            LoadFailed: a subscriber cannot connect or subscribe.
            OyezError: not one event is accepted.
        """
        count = self._plan.subscribers
        self._subscribers = [_Subscriber(self._plan, self._tally) for _ in range(count)]
        running: list[asyncio.Task[None]] = []
        try:
            await self._warm_up()
            await self._connect(running)
            self._begin()
            started, cpu = time.perf_counter(), time.process_time()
            await self._publish()
            # The last event has its share of the time as well, though nobody waits for that.
            planned = self._plan.events / self._plan.rate
            self.publishing_seconds = max(time.perf_counter() - started, planned)
            self.cpu_seconds = time.process_time() - cpu
            await self._settle()
        finally:
            await asyncio.gather(*(each.leave() for each in self._subscribers))
            for task in running:
                task.cancel()
            await asyncio.gather(*running, return_exceptions=True)
        for each in self._subscribers:
            self._tally.miss(each.received)
        return self._tally

    async def _warm_up(self) -> None:
        """Try the credentials, and open the connections that publish before time counts."""
        await _all(self._ask() for _ in range(self._plan.publishers))

    async def _ask(self) -> None:
        await self._client.channel(self._plan.channel)

    async def _connect(self, running: list[asyncio.Task[None]]) -> None:
        """Some at a time, so that a server's backlog is not what is measured."""
        gate = asyncio.Semaphore(_CONNECTING_AT_ONCE)

        async def connect(number: int, each: _Subscriber) -> None:
            async with gate:
                running.append(asyncio.create_task(each.run(self._url)))
                try:
                    await asyncio.wait_for(each.ready, _CONNECT_SECONDS)
                except TimeoutError:
                    raise LoadFailed(_unready(number, self._plan, "no answer in time")) from None
                except LoadFailed as error:
                    raise LoadFailed(_unready(number, self._plan, str(error))) from None

        await _all(connect(number, each) for number, each in enumerate(self._subscribers, 1))

    async def _publish(self) -> None:
        started = time.perf_counter()

        async def publish(publisher: int) -> None:
            for event in range(publisher, self._plan.events, self._plan.publishers):
                pause = started + event / self._plan.rate - time.perf_counter()
                if pause > 0:
                    await asyncio.sleep(pause)
                await self._send(publisher)
                self._step()

        await _all(map(publish, range(self._plan.publishers)))

    async def _send(self, publisher: int) -> None:
        tally = self._tally
        number = len(tally.sent[publisher])
        stamp = f'{{"publisher":{publisher},"number":{number},"filling":"'
        data = f'{stamp}{"x" * (self._plan.size - len(stamp) - 2)}"}}'
        started = time.perf_counter_ns()
        tally.sent[publisher].append(started)
        try:
            await self._client.trigger(self._plan.channel, _EVENT, data)
        except OyezError as error:
            if not tally.published:
                raise  # it will not get better
            tally.refuse(publisher, number, str(error))
        else:
            tally.accept(time.perf_counter_ns() - started)

    async def _settle(self) -> None:
        """Wait for what is under way."""
        tally = self._tally
        expected = tally.published * len(self._subscribers)
        seen, quiet_since = -1, time.perf_counter()
        while tally.deliveries < expected and time.perf_counter() - quiet_since < _QUIET_SECONDS:
            if tally.deliveries != seen:
                seen, quiet_since = tally.deliveries, time.perf_counter()
            await asyncio.sleep(0.01)


async def _all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do it side by side; the first failure ends it and is raised as it is."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None


def _stamp(data: msgspec.Raw) -> _Stamp | None:
    """What one of our events carries, as text within JSON; None if it is somebody else's."""
    with contextlib.suppress(msgspec.MsgspecError):
        return msgspec.json.decode(msgspec.json.decode(data, type=str), type=_Stamp)
    return None


def _unready(number: int, plan: Plan, why: str) -> str:
    return f"subscriber {number} of {plan.subscribers} cannot subscribe: {why}"
