"""The backplane over NATS with JetStream.

Events travel as messages of core NATS, one subject per channel. State is with the *keeper*: one of
the nodes, elected by all (`election`, `reign`), which has it in memory (`store`, `record`) and is
asked by the others (`asking`, `wire`, `keeper`). Up to two others do likewise all that it does, and
when it dies one of them takes over (`deputy`). If there is none, another begins with nothing, and
each node states again what it holds. What cache channels replay and what was used is also kept in
JetStream (`entries`). Without a keeper events still travel; what needs the state waits for one.

Everything of one node goes over one connection (`link`, `client`).
"""

import asyncio
import itertools
import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

import msgspec

from oyez.protocol.channels import kind_of
from oyez.protocol.events import Event
from oyez.protocol.messages import Member
from oyez.server.engine import Cached, EngineUnavailable, Joined, Left, Occupancy
from oyez.server.engine.backplane import Beat, Change, Held, Roll
from oyez.server.engine.messages import write
from oyez.server.engine.nats import wire
from oyez.server.engine.nats.address import Address
from oyez.server.engine.nats.asking import Asking
from oyez.server.engine.nats.election import Election, Pace
from oyez.server.engine.nats.entries import Entries
from oyez.server.engine.nats.link import Link, Message
from oyez.server.engine.nats.reign import Reign
from oyez.server.engine.nats.subjects import Subjects

__all__ = ["NatsBackplane"]

_Value = TypeVar("_Value")

_STATED_AT_ONCE: Final = 262_144  # bytes, about, in one request to restate


class NatsBackplane:
    """Keeps `oyez.server.engine.backplane.Backplane` on NATS.

    Args:
        url: see `oyez.server.engine.nats.address`.
        options: further keyword arguments for nats-py.
        prefix: before every subject, so that deployments can share a NATS.
        lease: seconds without a heartbeat after which an incarnation has lapsed.
        limit: seconds for anything that is asked.

    Raises:
        ValueError: the address cannot be understood.
    """

    def __init__(
        self,
        url: str,
        options: Mapping[str, Any] | None = None,
        *,
        prefix: str = "oyez",
        lease: float = 10.0,
        limit: float = 5.0,
    ) -> None:
        self._address = Address(url, options or {}, limit=limit)
        self._subjects = Subjects(prefix)
        self._lease = lease
        self._limit = limit
        self._election = Election(Pace.within(min(lease, limit)))
        self._ids = itertools.count(secrets.randbits(60) + 1)  # of requests, nobody else's
        self._link: Link | None = None
        self._asking: Asking | None = None
        self._reign: Reign | None = None
        self._reigning: asyncio.Task[None] | None = None
        self._sids: dict[tuple[str, str], int] = {}
        self._receive: Callable[[str, str, bytes], None] = lambda *_: None

    # Being connected.

    async def connect(
        self, receive: Callable[[str, str, bytes], None], lost: Callable[[str], None]
    ) -> None:
        """See `oyez.server.engine.backplane.Backplane.connect`."""
        await self._disconnect()
        self._receive = receive
        link = Link(self._address, limit=self._limit, lost=partial(self._gone, lost))
        try:
            await link.open()
            entries = Entries(link, self._subjects)
            await entries.prepare()
        except BaseException:
            await link.close()
            raise
        self._link = link
        self._asking = asking = Asking(
            link, self._subjects, limit=self._limit, nobody=self._unanswered
        )
        self._reign = Reign(
            link, self._subjects, entries, self._election, asking, lease=self._lease
        )
        self._reigning = asyncio.create_task(self._reign.run())

    async def close(self) -> None:
        """See `oyez.server.engine.backplane.Backplane.close`."""
        await self._disconnect()

    async def _disconnect(self) -> None:
        link, self._link = self._link, None
        reigning, self._reigning = self._reigning, None
        self._sids.clear()
        if self._asking is not None:
            self._asking.fail("closed")
        try:
            if reigning is not None:
                reigning.cancel()
                await asyncio.gather(reigning, return_exceptions=True)
        finally:
            if link is not None:
                await link.close()

    def _gone(self, lost: Callable[[str], None], reason: str) -> None:
        if self._reigning is not None:
            self._reigning.cancel()
        if self._asking is not None:
            self._asking.fail(reason)
        lost(reason)

    def _unanswered(self, term: int) -> None:
        if self._reign is not None:
            self._reign.unanswered(term)

    def _connected(self) -> Link:
        if self._link is None:
            raise EngineUnavailable("not connected")
        return self._link

    # Events.

    async def subscribe(self, app_id: str, channel: str) -> None:
        """See `oyez.server.engine.backplane.Backplane.subscribe`."""
        link = self._connected()
        self.unsubscribe(app_id, channel)
        handler = partial(self._arrived, app_id, channel)
        subject = self._subjects.event(app_id, channel)
        self._sids[app_id, channel] = link.subscribe(subject, handler)
        await link.confirmed()

    def unsubscribe(self, app_id: str, channel: str) -> None:
        """See `oyez.server.engine.backplane.Backplane.unsubscribe`."""
        sid = self._sids.pop((app_id, channel), None)
        if sid is not None and self._link is not None:
            self._link.unsubscribe(sid)

    def _arrived(self, app_id: str, channel: str, message: Message) -> None:
        self._receive(app_id, channel, message.data)

    async def publish(self, app_id: str, events: Sequence[Event], cache_seconds: int) -> None:
        """See `oyez.server.engine.backplane.Backplane.publish`."""
        if any(kind_of(event.channel).cache for event in events):
            request = wire.Publish(app_id, list(events), cache_seconds)
            await self._asked(request, repeatable=False)
            return
        link = self._connected()
        parts = [(self._subjects.event(app_id, each.channel), write(each)) for each in events]
        link.check(max((len(message) for _, message in parts), default=0))
        for subject, message in parts:
            link.publish(subject, message)
        await link.confirmed()

    async def cached(self, app_id: str, channel: str) -> Cached | None:
        """See `oyez.server.engine.backplane.Backplane.cached`."""
        answer = await self._asked(wire.Cached(app_id, channel))
        found: Cached | None = wire.value(answer, Cached | None)
        return found

    # Who is alive.

    async def beat(self, app_id: str, incarnation: str, *, register: bool = False) -> Beat:
        """See `oyez.server.engine.backplane.Backplane.beat`."""
        return await self._ask(wire.Beat(app_id, incarnation, register), Beat)

    async def held(self, app_id: str, incarnation: str) -> dict[str, tuple[int, dict[str, int]]]:
        """See `oyez.server.engine.backplane.Backplane.held`."""
        kind = dict[str, tuple[int, dict[str, int]]]
        return await self._ask(wire.HeldBy(app_id, incarnation), kind)

    async def restate(
        self, app_id: str, incarnation: str, held: Mapping[str, Held]
    ) -> list[Change]:
        """See `oyez.server.engine.backplane.Backplane.restate`."""
        changes: list[Change] = []
        for part in _parts(held):
            request = wire.Restate(app_id, incarnation, part, next(self._ids))
            changes += await self._ask(request, list[Change])
        return changes

    async def sweep(
        self, app_id: str, incarnation: str, *, force: bool = False
    ) -> tuple[list[Change], bool]:
        """See `oyez.server.engine.backplane.Backplane.sweep`."""
        request = wire.Sweep(app_id, incarnation, force, next(self._ids))
        return await self._ask(request, tuple[list[Change], bool])

    # Who is where.

    async def join(
        self,
        app_id: str,
        incarnation: str,
        channel: str,
        member: Member | None,
        max_members: int,
    ) -> Joined:
        """See `oyez.server.engine.backplane.Backplane.join`."""
        id = next(self._ids)
        request = wire.Join(app_id, incarnation, channel, member, max_members, id)
        return await self._ask(request, Joined)

    async def leave(self, app_id: str, incarnation: str, channel: str, user_id: str | None) -> Left:
        """See `oyez.server.engine.backplane.Backplane.leave`."""
        request = wire.Leave(app_id, incarnation, channel, user_id, next(self._ids))
        return await self._ask(request, Left)

    async def occupancy(self, app_id: str, channel: str) -> Occupancy:
        """See `oyez.server.engine.backplane.Backplane.occupancy`."""
        return await self._ask(wire.Occupancy(app_id, channel), Occupancy)

    async def channels(self, app_id: str, prefix: str) -> dict[str, Occupancy]:
        """See `oyez.server.engine.backplane.Backplane.channels`."""
        return await self._ask(wire.Channels(app_id, prefix), dict[str, Occupancy])

    async def roll(self, app_id: str, channel: str) -> Roll:
        """See `oyez.server.engine.backplane.Backplane.roll`."""
        return await self._ask(wire.Roll(app_id, channel), Roll)

    async def meter(self, day: int, used: Mapping[str, int]) -> dict[str, int]:
        """See `oyez.server.engine.backplane.Backplane.meter`."""
        return await self._ask(wire.Meter(day, dict(used), next(self._ids)), dict[str, int])

    async def _ask(self, request: wire.Request, kind: type[_Value]) -> _Value:
        """The keeper's answer."""
        answer: _Value = wire.value(await self._asked(request), kind)
        return answer

    def _asked(
        self, request: wire.Request, *, repeatable: bool = True
    ) -> "asyncio.Future[msgspec.Raw]":
        if self._link is None or self._asking is None:
            raise EngineUnavailable("not connected")
        return self._asking.ask(request, repeatable=repeatable)


def _parts(held: Mapping[str, Held]) -> "list[dict[str, Held]]":
    """The same in parts that fit into messages."""
    parts: list[dict[str, Held]] = []
    room = 0
    for channel, each in held.items():
        size = len(msgspec.msgpack.encode((channel, each)))
        if room < size or not parts:
            parts.append({})
            room = _STATED_AT_ONCE
        room -= size
        parts[-1][channel] = each
    return parts
