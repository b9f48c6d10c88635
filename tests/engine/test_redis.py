"""The clustered engine over real Redis servers keeps the contract."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Iterator

import pytest
from redis.asyncio.cluster import RedisCluster

from oyez.protocol.events import Event
from oyez.server.engine import EngineUnavailable
from oyez.server.engine.redis import RedisBackplane
from tests.engine.cluster import REMOVED, ClusterContract
from tests.engine.contract import ADA, BOB, EngineContract, eventually
from tests.engine.deployment import ClusterNode, Deployment
from tests.redis_server import (
    RedisServer,
    Watched,
    redis_is_installed,
    running_cluster,
    running_redis,
    running_sentinels,
    sees_all,
    until,
)

pytestmark = redis_is_installed


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


class OnRedis(Deployment):
    """Nodes over one server."""

    def __init__(self, server: RedisServer) -> None:
        super().__init__()
        self.server = server

    def backplane(self, lease: float, limit: float) -> RedisBackplane:
        return RedisBackplane(self.server.url, lease=lease, limit=limit)

    async def inject(self, app_id: str, channel: str, message: bytes) -> None:
        with self.server.client() as client:
            client.publish(f"oyez:{app_id}:{channel}", message)

    async def flush(self) -> None:
        with self.server.client() as client:
            client.flushall()

    async def stop(self) -> None:
        self.server.stop()

    async def start(self) -> None:
        self.server.start()


class TestRedis(EngineContract, ClusterContract):
    @pytest.fixture
    async def deployment(self, redis: RedisServer) -> AsyncIterator[OnRedis]:
        async with OnRedis(redis) as deployment:
            await deployment.flush()
            yield deployment

    @pytest.fixture
    async def nodes(self, deployment: OnRedis) -> list[ClusterNode]:
        return [await deployment.node(), await deployment.node()]

    async def test_a_kept_event_that_cannot_be_read_is_none(
        self, redis: RedisServer, deployment: OnRedis
    ) -> None:
        node = await deployment.node()
        await node.engine.publish("1", [Event("e", "cache-a", "x")], cache_seconds=60)
        assert await node.engine.cached("1", "cache-a") is not None
        with redis.client() as client:
            client.hset("{oyez:1:cache-a}:cache", "event", b"\xc1")  # MessagePack has no such byte

        assert await node.engine.cached("1", "cache-a") is None
        assert (await node.join("cache-a")).cached is None


class OnSentinels(OnRedis):
    """Nodes over whoever is the master at present."""

    def __init__(self, watched: Watched) -> None:
        super().__init__(watched.master())
        self.watched = watched

    def backplane(self, lease: float, limit: float) -> RedisBackplane:
        return RedisBackplane(self.watched.url, lease=lease, limit=limit)

    async def inject(self, app_id: str, channel: str, message: bytes) -> None:
        self.server = self.watched.master()
        await super().inject(app_id, channel, message)

    async def flush(self) -> None:
        self.server = self.watched.master()
        await super().flush()

    async def stop(self) -> None:
        self.server = self.watched.master()
        await super().stop()


@pytest.fixture(scope="module")
def watched() -> Iterator[Watched]:
    with running_sentinels() as servers:
        yield servers


class TestSentinels(EngineContract, ClusterContract):
    @pytest.fixture
    async def deployment(self, watched: Watched) -> AsyncIterator[OnSentinels]:
        async with OnSentinels(watched) as deployment:
            await deployment.flush()
            yield deployment

    @pytest.fixture
    async def nodes(self, deployment: OnSentinels) -> list[ClusterNode]:
        return [await deployment.node(), await deployment.node()]

    async def test_a_failover_loses_nobody(self, watched: Watched, deployment: OnSentinels) -> None:
        one, two = await deployment.node(), await deployment.node()
        await one.enter("presence-a", ADA)
        await two.enter("presence-a", BOB)
        old = watched.master()
        old.stop()
        try:
            await eventually(lambda: one.engine.away and two.engine.away)
            await asyncio.to_thread(until, lambda: watched.master() is not old)
            await eventually(lambda: not one.engine.away and not two.engine.away)

            async def all_there() -> bool:
                with contextlib.suppress(EngineUnavailable):
                    return await one.engine.members("1", "presence-a") in ((ADA, BOB), (BOB, ADA))
                return False

            await eventually(all_there)
            await one.engine.publish("1", [Event("e", "presence-a", "x")])
            await eventually(lambda: two.named("e") == ["x"])
            assert two.named(REMOVED) == one.named(REMOVED) == []
        finally:
            old.start()
            await asyncio.to_thread(until, lambda: all(map(sees_all, watched.sentinels)))


class OnCluster(OnRedis):
    """Nodes over three masters."""

    def __init__(self, servers: list[RedisServer]) -> None:
        super().__init__(servers[0])
        self.servers = servers

    def backplane(self, lease: float, limit: float) -> RedisBackplane:
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in self.servers)
        return RedisBackplane(f"redis+cluster://{hosts}", lease=lease, limit=limit)

    async def inject(self, app_id: str, channel: str, message: bytes) -> None:
        async with RedisCluster(port=self.server.port, host="127.0.0.1") as client:
            topic = f"oyez:{app_id}:{channel}"
            node = client.get_node_from_key(topic)
            await client.execute_command("SPUBLISH", topic, message, target_nodes=node)

    async def flush(self) -> None:
        for server in self.servers:
            with server.client() as client:
                client.flushall()

    async def stop(self) -> None:
        for server in self.servers:
            server.stop(signal.SIGTERM)

    async def start(self) -> None:
        for server in self.servers:
            server.start()


@pytest.fixture(scope="module")
def masters() -> Iterator[list[RedisServer]]:
    with running_cluster() as servers:
        yield servers


class TestCluster(EngineContract, ClusterContract):
    @pytest.fixture
    async def deployment(self, masters: list[RedisServer]) -> AsyncIterator[OnCluster]:
        async with OnCluster(masters) as deployment:
            await deployment.flush()
            yield deployment

    @pytest.fixture
    async def nodes(self, deployment: OnCluster) -> list[ClusterNode]:
        return [await deployment.node(), await deployment.node()]
