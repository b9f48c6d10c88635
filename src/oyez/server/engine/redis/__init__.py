"""The backplane over Redis 7 or Valkey: one server, Sentinel, or a cluster.

State is in the store and changes only in scripts, each atomic over all that is known of one app:
the keys of an app share one hash slot (``{prefix:app}:``; `lib.lua` lists them). Events travel by
PUBLISH, in a cluster by SPUBLISH within the shard of their channel, where also is what a cache
channel keeps (``{prefix:app:channel}``), so that keeping and publishing an event is one step.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
from redis.asyncio.cluster import RedisCluster

from oyez.protocol.channels import kind_of
from oyez.protocol.events import Event
from oyez.protocol.messages import Member
from oyez.server.engine import (
    Cached,
    ChannelFull,
    EngineUnavailable,
    Joined,
    Left,
    Occupancy,
    OutcomeUnknown,
)
from oyez.server.engine.backplane import Beat, Change, Held, Roll, Stale, Standing
from oyez.server.engine.messages import VERSION, Refused, read, write, write_body
from oyez.server.engine.redis import scripts
from oyez.server.engine.redis.address import Address
from oyez.server.engine.redis.lane import Lane
from oyez.server.engine.redis.listeners import Listeners

__all__ = ["RedisBackplane"]

_SWEPT_AT_ONCE: Final = 200  # channels, in one script
_TOMBSTONE: Final = 3_600_000  # ms that a swept incarnation is remembered
_METERED: Final = 3 * 86_400  # seconds that a day's usage is kept
_pack = msgspec.msgpack.Encoder().encode


class RedisBackplane:
    """Keeps `oyez.server.engine.backplane.Backplane` on Redis.

    Args:
        url: see `oyez.server.engine.redis.address`.
        options: further keyword arguments for redis-py.
        prefix: before every key and topic, so that deployments can share a Redis.
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
        self._prefix = prefix
        self._lease = round(lease * 1000)
        self._limit = limit
        self._sharded = self._address.mode == "cluster"
        self._verb = "SPUBLISH" if self._sharded else "PUBLISH"
        self._client = self._address.client()
        self._lane = Lane(self._client, limit=limit, lost=lambda _: None)
        self._listeners: Listeners | None = None

    # Being connected.

    async def connect(
        self, receive: Callable[[str, str, bytes], None], lost: Callable[[str], None]
    ) -> None:
        """See `oyez.server.engine.backplane.Backplane.connect`."""
        await self._disconnect()
        self._lane = Lane(self._client, limit=self._limit, lost=lost)
        self._listeners = Listeners(
            self._client, sharded=self._sharded, limit=self._limit, receive=receive, lost=lost
        )
        try:
            async with asyncio.timeout(self._limit):
                if isinstance(self._client, RedisCluster):
                    await self._client.initialize()
                await self._listeners.open()
        except TimeoutError:
            raise EngineUnavailable(f"no answer within {self._limit:g} s") from None
        except Exception as error:
            raise EngineUnavailable(f"cannot connect: {error}") from error
        await self._lane.ask("SET", f"{self._prefix}:probe", "1", "PX", 1000)  # it may be read-only

    async def close(self) -> None:
        """See `oyez.server.engine.backplane.Backplane.close`."""
        await self._disconnect()
        await self._address.close(self._client)

    async def _disconnect(self) -> None:
        await self._lane.close()
        if self._listeners is not None:
            await self._listeners.close()
        if isinstance(self._client, RedisCluster):
            await self._client.aclose()
        else:
            await self._client.connection_pool.disconnect()

    # Events.

    async def subscribe(self, app_id: str, channel: str) -> None:
        """See `oyez.server.engine.backplane.Backplane.subscribe`."""
        if self._listeners is None:
            raise EngineUnavailable("not connected")
        await self._listeners.subscribe(self._topic(app_id, channel).encode(), app_id, channel)

    def unsubscribe(self, app_id: str, channel: str) -> None:
        """See `oyez.server.engine.backplane.Backplane.unsubscribe`."""
        if self._listeners is not None:
            self._listeners.unsubscribe(self._topic(app_id, channel).encode())

    async def publish(self, app_id: str, events: Sequence[Event], cache_seconds: int) -> None:
        """See `oyez.server.engine.backplane.Backplane.publish`."""
        if len(events) == 1 and (events[0].sequence or not kind_of(events[0].channel).cache):
            topic = self._topic(app_id, events[0].channel)
            await self._lane.ask(self._verb, topic, write(events[0]))
        elif not self._sharded:
            await self._publish(app_id, events, cache_seconds)
        else:  # each shard is a server of its own: each event for itself, in their order
            parts = [self._publish(app_id, (event,), cache_seconds) for event in events]
            outcomes = await asyncio.gather(*parts, return_exceptions=True)
            failed = [each for each in outcomes if isinstance(each, BaseException)]
            if failed and len(failed) < len(events):
                raise OutcomeUnknown(f"{len(failed)} of {len(events)} events: {failed[0]}")
            if failed:
                raise next((each for each in failed if isinstance(each, OutcomeUnknown)), failed[0])

    async def _publish(self, app_id: str, events: Sequence[Event], cache_seconds: int) -> None:
        keys: list[str] = []
        arguments: list[str | bytes | int] = [self._verb, bytes((VERSION,))]
        for event in events:
            keys.append(self._cache_key(app_id, event.channel))
            cache = kind_of(event.channel).cache
            keep = 1000 * cache_seconds if cache else 0
            topic = self._topic(app_id, event.channel)
            arguments += [topic, write_body(event), int(cache), keep]
        await self._lane.run(scripts.PUBLISH, keys, *arguments)

    async def cached(self, app_id: str, channel: str) -> Cached | None:
        """See `oyez.server.engine.backplane.Backplane.cached`."""
        key = self._cache_key(app_id, channel)
        sequence, body, left = await self._lane.run(scripts.CACHED, [key])
        if not body or left <= 0:
            return None
        try:
            event = read(channel, bytes((VERSION,)) + bytes(8) + body)
        except Refused:  # it was kept by a node that writes another version
            return None
        return Cached(event.name, event.data, left / 1000, int(sequence))

    # Who is alive.

    async def beat(self, app_id: str, incarnation: str, *, register: bool = False) -> Beat:
        """See `oyez.server.engine.backplane.Backplane.beat`."""
        standing, lapsed = await self._lane.run(
            scripts.BEAT, [self._nodes(app_id)], incarnation, self._lease, int(register)
        )
        return Beat(Standing(standing.decode()), tuple(each.decode() for each in lapsed))

    async def held(self, app_id: str, incarnation: str) -> dict[str, tuple[int, dict[str, int]]]:
        """See `oyez.server.engine.backplane.Backplane.held`."""
        key = f"{self._app(app_id)}held:{incarnation}"
        rows = _by_text(await self._lane.ask("HGETALL", key))
        having = [channel for channel in rows if kind_of(channel).presence]
        asked = (self._lane.ask("HGETALL", f"{key}:{channel}") for channel in having)
        users = dict(zip(having, map(_by_text, await asyncio.gather(*asked)), strict=True))
        return {
            channel: (int(count), {user: int(n) for user, n in users.get(channel, {}).items()})
            for channel, count in rows.items()
        }

    async def restate(
        self, app_id: str, incarnation: str, held: Mapping[str, Held]
    ) -> list[Change]:
        """See `oyez.server.engine.backplane.Backplane.restate`."""
        stated = [
            _pack(
                (
                    channel,
                    each.subscriptions,
                    [
                        (id, n, member.user_info.decode())
                        for id, (member, n) in each.members.items()
                    ],
                )
            )
            for channel, each in held.items()
        ]
        rows = await self._state(scripts.RESTATE, app_id, incarnation, *stated)
        return [_change(row) for row in rows]

    async def sweep(
        self, app_id: str, incarnation: str, *, force: bool = False
    ) -> tuple[list[Change], bool]:
        """See `oyez.server.engine.backplane.Backplane.sweep`."""
        more, rows = await self._lane.run(
            scripts.SWEEP,
            [self._nodes(app_id)],
            incarnation,
            *self._telling(app_id),
            _SWEPT_AT_ONCE,
            _TOMBSTONE,
            int(force),
        )
        return [_change(row) for row in rows], bool(more)

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
        if member is None:
            count, revision = await self._state(scripts.JOIN, app_id, incarnation, channel)
            return Joined(count == 1, count, revision=revision)
        answer = await self._state(
            scripts.JOIN,
            app_id,
            incarnation,
            channel,
            member.user_id,
            member.user_info,
            max_members,
        )
        if answer == b"full":
            raise ChannelFull
        count, revision, added, rows = answer
        return Joined(count == 1, count, added == 1, _members(rows), revision=revision)

    async def leave(self, app_id: str, incarnation: str, channel: str, user_id: str | None) -> Left:
        """See `oyez.server.engine.backplane.Backplane.leave`."""
        user = () if user_id is None else (user_id,)
        found = await self._state(scripts.LEAVE, app_id, incarnation, channel, *user)
        count, removed, revision = found
        return Left(count <= 0, max(count, 0), removed == 1, revision)

    async def occupancy(self, app_id: str, channel: str) -> Occupancy:
        """See `oyez.server.engine.backplane.Backplane.occupancy`."""
        app = self._app(app_id)
        counts = "internal" if channel.startswith("#") else "channels"
        asking = self._lane.ask("HGET", app + counts, channel)
        if not kind_of(channel).presence:
            return Occupancy(int(await asking or 0))
        users = self._lane.ask("HLEN", f"{app}users:{channel}")
        found = await asyncio.gather(asking, users)
        return Occupancy(int(found[0] or 0), found[1])

    async def channels(self, app_id: str, prefix: str) -> dict[str, Occupancy]:
        """See `oyez.server.engine.backplane.Backplane.channels`."""
        cursor, found = b"0", dict[str, Occupancy]()
        while True:
            key = self._nodes(app_id)
            cursor, rows = await self._lane.run(scripts.CHANNELS, [key], cursor, prefix)
            for at in range(0, len(rows), 3):
                channel, subscriptions, users = rows[at : at + 3]
                found[channel.decode()] = Occupancy(int(subscriptions), int(users))
            if cursor == b"0":
                return found

    async def roll(self, app_id: str, channel: str) -> Roll:
        """See `oyez.server.engine.backplane.Backplane.roll`."""
        keys = [self._nodes(app_id)]
        age, count, rows, revision = await self._lane.run(scripts.ROLL, keys, channel)
        return Roll(age / 1000, count, _members(rows), revision)

    async def meter(self, day: int, used: Mapping[str, int]) -> dict[str, int]:
        """See `oyez.server.engine.backplane.Backplane.meter`."""
        keys = [f"{self._app(app_id)}used:{day}" for app_id in used]
        adding = [
            self._lane.ask("INCRBY", key, n) for key, n in zip(keys, used.values(), strict=True)
        ]
        expiring = [self._lane.ask("EXPIRE", key, _METERED) for key in keys]
        totals = await asyncio.gather(*adding, *expiring)
        return {app_id: int(total) for app_id, total in zip(used, totals, strict=False)}

    async def _state(
        self, script: scripts.Script, app_id: str, incarnation: str, *arguments: str | bytes | int
    ) -> Any:
        """The answer of a script that changes something under a name, which has to be alive."""
        keys = [self._nodes(app_id)]
        telling = self._telling(app_id)
        answer = await self._lane.run(script, keys, incarnation, *telling, *arguments)
        if answer == b"stale":
            raise Stale(incarnation)
        return answer

    def _app(self, app_id: str) -> str:
        return f"{{{self._prefix}:{app_id}}}:"

    def _nodes(self, app_id: str) -> str:
        return f"{{{self._prefix}:{app_id}}}:nodes"

    def _telling(self, app_id: str) -> tuple[str, bytes, str]:
        """What `lib.lua` needs to tell of members."""
        return self._verb, bytes((VERSION,)), self._app(app_id)

    def _topic(self, app_id: str, channel: str) -> str:
        """In a cluster, presence channels are where their members are counted."""
        if kind_of(channel).presence:
            return self._app(app_id) + channel
        return f"{self._prefix}:{app_id}:{channel}"

    def _cache_key(self, app_id: str, channel: str) -> str:
        """In a cluster, where the topic of the channel is."""
        if kind_of(channel).presence:
            return f"{self._app(app_id)}cache:{channel}"
        return f"{{{self._prefix}:{app_id}:{channel}}}:cache"


def _by_text(rows: Mapping[bytes, bytes] | list[bytes]) -> dict[str, bytes]:
    """A hash; redis-py makes it a mapping, but a `Lane` only has that do it in a cluster."""
    pairs = zip(rows[::2], rows[1::2], strict=True) if isinstance(rows, list) else rows.items()
    return {name.decode(): value for name, value in pairs}


def _members(rows: Sequence[bytes]) -> tuple[Member, ...]:
    """Members in the order they came, from user ids and what `lib.lua` keeps of each."""
    found = []
    for at in range(0, len(rows), 2):
        came, _, user_info = rows[at + 1].partition(b":")
        found.append((int(came), Member(rows[at].decode(), user_info)))
    found.sort(key=_came)
    return tuple(member for _, member in found)


def _came(member: tuple[int, Member]) -> int:
    return member[0]


def _change(row: Sequence[Any]) -> Change:
    channel, before, after, added, removed, revision = row
    return Change(
        channel.decode(),
        max(after, 0),
        occupied=before <= 0 < after,
        vacated=after <= 0 < before,
        added=tuple(each.decode() for each in added),
        removed=tuple(each.decode() for each in removed),
        revision=revision,
    )
