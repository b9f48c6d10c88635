"""The clustered engine over a real NATS server keeps the contract."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import TypeVar

import pytest

from oyez.protocol.events import Event
from oyez.server.engine import EngineUnavailable, Occupancy, OutcomeUnknown
from oyez.server.engine.backplane import Held
from oyez.server.engine.nats import NatsBackplane
from tests.engine.cluster import ClusterContract
from tests.engine.contract import EngineContract, eventually
from tests.engine.deployment import LEASE, LIMIT, ClusterNode
from tests.engine.on_nats import OnNats
from tests.nats_server import (
    NatsServer,
    forget,
    nats_is_installed,
    running_nats,
    running_nats_cluster,
)

_Result = TypeVar("_Result")

pytestmark = nats_is_installed


@pytest.fixture(scope="module")
def nats() -> Iterator[NatsServer]:
    with running_nats() as server:
        yield server


class TestNats(EngineContract, ClusterContract):
    @pytest.fixture
    async def deployment(self, nats: NatsServer) -> AsyncIterator[OnNats]:
        async with OnNats(nats) as deployment:
            await forget(nats)
            yield deployment

    @pytest.fixture
    async def nodes(self, deployment: OnNats) -> list[ClusterNode]:
        return [await deployment.node(), await deployment.node()]


async def test_a_broker_that_hangs_is_found_out_once(nats: NatsServer) -> None:
    reasons: list[str] = []
    backplane = NatsBackplane(nats.url, lease=LEASE, limit=LIMIT)
    await backplane.connect(lambda *_: None, reasons.append)
    nats.pause()
    try:
        with pytest.raises(OutcomeUnknown):
            await backplane.publish("1", [Event("e", "news", "1")], 0)
        with pytest.raises(EngineUnavailable):
            await backplane.publish("1", [Event("e", "news", "1")], 0)
        with pytest.raises(EngineUnavailable):
            await backplane.connect(lambda *_: None, reasons.append)
    finally:
        nats.resume()
    assert len(reasons) == 1
    await backplane.connect(lambda *_: None, reasons.append)
    await backplane.publish("1", [Event("e", "news", "1")], 0)
    await backplane.close()
    assert len(reasons) == 1


async def test_a_silent_connection_is_found_out_without_a_publish(nats: NatsServer) -> None:
    reasons: list[str] = []
    backplane = NatsBackplane(nats.url, lease=LEASE, limit=LIMIT)
    await backplane.connect(lambda *_: None, reasons.append)
    nats.pause()
    try:
        await asyncio.sleep(1.5 * LIMIT)
        assert len(reasons) == 1
    finally:
        nats.resume()
        await backplane.close()


async def test_large_questions_and_answers_arrive(nats: NatsServer) -> None:
    held = {f"channel-{number:0150}": Held(1) for number in range(12_000)}
    one, two = (NatsBackplane(nats.url, prefix="large") for _ in range(2))
    try:
        for each in (one, two):
            await each.connect(lambda *_: None, lambda _: None)
        await one.beat("1", "x", register=True)

        changes = await one.restate("1", "x", held)

        assert [each.channel for each in changes] == list(held)
        assert set(await two.channels("1", "")) == set(held)
        assert set(await two.held("1", "x")) == set(held)
    finally:
        for each in (one, two):
            await each.close()


async def test_a_cancelled_attempt_to_connect_ends_and_leaves_nothing(nats: NatsServer) -> None:
    backplane = NatsBackplane(nats.url, prefix="cancelled")
    await backplane.connect(lambda *_: None, lambda _: None)
    for turns in range(40):
        connecting = asyncio.create_task(backplane.connect(lambda *_: None, lambda _: None))
        for _ in range(turns):
            await asyncio.sleep(0)
        done = connecting.done()
        connecting.cancel()
        await asyncio.wait([connecting])
        assert connecting.cancelled() or done
    await backplane.close()


async def test_of_a_cluster_of_servers_one_may_die() -> None:
    received: list[bytes] = []
    with running_nats_cluster() as servers:
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in servers)
        urls = [f"nats://127.0.0.1:{each.port},{hosts}" for each in servers]
        options = {"dont_randomize": True}
        nodes = [NatsBackplane(url, options, lease=2, limit=3) for url in urls]

        async def connect(node: NatsBackplane) -> None:
            await node.connect(lambda *message: received.append(message[2]), lambda _: None)

        async def count(node: NatsBackplane) -> Occupancy:
            return await node.occupancy("1", "news")

        async def heard() -> bool:
            """It takes a moment until all servers know of a subscription."""
            await nodes[1].publish("1", [Event("e", "news", "1")], 0)
            await asyncio.sleep(0.02)
            return bool(received)

        try:
            for name, node in zip("012", nodes, strict=True):
                await when_available(connect, node)
                await node.beat("1", name, register=True)
                await node.join("1", name, "news", None, 1)
            await nodes[0].subscribe("1", "news")
            await eventually(heard)
            await asyncio.gather(*(deputised(node) for node in nodes))

            (dead,) = (n for n, each in enumerate(nodes) if each._reign and each._reign.keeper)
            servers[dead].stop()
            for node in nodes[:dead] + nodes[dead + 1 :]:
                assert await when_available(count, node) == Occupancy(3, 0)
            await when_available(connect, nodes[dead])
            assert await when_available(count, nodes[dead]) == Occupancy(3, 0)
        finally:
            for node in nodes:
                await node.close()


async def when_available(
    asked: Callable[[NatsBackplane], Awaitable[_Result]], node: NatsBackplane
) -> _Result:
    """JetStream may have no leader for some seconds."""
    for _ in range(10):
        with contextlib.suppress(EngineUnavailable):
            return await asked(node)
        await asyncio.sleep(0.5)
    return await asked(node)


async def deputised(node: NatsBackplane) -> None:
    """Wait until a node is the keeper, or could take its place."""
    reign = node._reign
    assert reign is not None
    await eventually(lambda: reign.keeper is not None or reign._deputy._store is not None)
