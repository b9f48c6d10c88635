"""Receiving from a whole deployment of Redis: one connection, in a cluster one per shard in use."""

import asyncio
from collections.abc import Callable
from typing import Any

from redis.asyncio.cluster import RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from oyez.server.engine import EngineUnavailable
from oyez.server.engine.redis.lane import Client
from oyez.server.engine.redis.listener import Listener

__all__ = ["Listeners"]


class Listeners:
    """Every subscription of this node; when one connection breaks, all is to be made anew.

    Args:
        limit: seconds for a confirmation.
        receive: called with app id, channel and message.
        lost: called with a reason, once.
    """

    def __init__(
        self,
        client: Client,
        *,
        sharded: bool,
        limit: float,
        receive: Callable[[str, str, bytes], None],
        lost: Callable[[str], None],
    ) -> None:
        self._client: Any = client
        self._sharded = sharded
        self._limit = limit
        self._receive = receive
        self._lost = lost
        self._names: dict[bytes, tuple[str, str]] = {}  # topic to app id and channel
        self._listeners: dict[str, asyncio.Future[Listener]] = {}  # by the name of the shard
        self._closing = False

    async def open(self) -> None:
        """Connect where it is known in advance; shards are connected when they are needed.

        Raises:
            EngineUnavailable: nobody answers.
        """
        if not isinstance(self._client, RedisCluster):
            await self._listener(b"")

    async def close(self) -> None:
        """Give back all connections."""
        self._closing = True
        for opening in self._listeners.values():
            if _is_open(opening):
                await opening.result().close()
            else:
                opening.cancel()

    async def subscribe(self, topic: bytes, app_id: str, channel: str) -> None:
        """Receive a topic; returns once it is confirmed.

        Raises:
            EngineUnavailable: it is not.
        """
        self._names[topic] = (app_id, channel)
        try:
            async with asyncio.timeout(self._limit):
                listener = await self._listener(topic)
                await listener.subscribe(topic)
        except TimeoutError:
            raise EngineUnavailable(f"no confirmation within {self._limit:g} s") from None

    def unsubscribe(self, topic: bytes) -> None:
        """Receive a topic no longer."""
        self._names.pop(topic, None)
        opening = self._listeners.get(self._shard(topic)[0])
        if opening is not None and _is_open(opening):
            opening.result().unsubscribe(topic)

    async def _listener(self, topic: bytes) -> Listener:
        name, make = self._shard(topic)
        opening = self._listeners.get(name)
        if opening is None:
            opening = self._listeners[name] = asyncio.ensure_future(self._open(make))
        return await asyncio.shield(opening)

    async def _open(self, make: Callable[[], AbstractConnection]) -> Listener:
        listener = Listener(
            make(),
            sharded=self._sharded,
            limit=self._limit,
            receive=self._received,
            lost=self._broken,
        )
        try:
            await listener.open()
        except EngineUnavailable as error:
            self._broken(str(error))
            raise
        return listener

    def _shard(self, topic: bytes) -> tuple[str, Callable[[], AbstractConnection]]:
        """Where a topic is published: a name, and how to connect there."""
        if not isinstance(self._client, RedisCluster):
            return "", self._client.connection_pool.make_connection
        try:
            node: Any = self._client.get_node_from_key(topic.decode())
        except RedisError as error:
            raise EngineUnavailable(f"no shard for a channel: {error}") from error
        if node is None:
            raise EngineUnavailable("no shard for a channel")
        return node.name, lambda: node.connection_class(**node.connection_kwargs)

    def _received(self, topic: bytes, message: bytes) -> None:
        names = self._names.get(topic)
        if names is not None:  # else it was unsubscribed a moment ago
            self._receive(*names, message)

    def _broken(self, reason: str) -> None:
        if not self._closing:
            self._closing = True
            self._lost(reason)


def _is_open(opening: "asyncio.Future[Listener]") -> bool:
    """Whether it was made; it may have failed, or been given up by who waited for it."""
    return opening.done() and not opening.cancelled() and opening.exception() is None
