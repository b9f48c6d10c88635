"""The clustered engine over a real NATS server keeps the contract."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from oyez.protocol.events import Event
from oyez.server.engine import EngineUnavailable, Occupancy, OutcomeUnknown
from oyez.server.engine.backplane import Held
from oyez.server.engine.nats import NatsBackplane
from tests.engine.cluster import (
    LEASE,
    LIMIT,
    ClusterContract,
    ClusterNode,
)
from tests.engine.contract import EngineContract, eventually
from tests.engine.on_nats import OnNats
from tests.nats_server import (
    NatsServer,
    forget,
    nats_is_installed,
    running_nats,
    running_nats_cluster,
)

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
        began = time.monotonic()
        with pytest.raises(OutcomeUnknown):
            await backplane.publish("1", [Event("e", "news", "1")], 0)
        with pytest.raises(EngineUnavailable):
            await backplane.publish("1", [Event("e", "news", "1")], 0)
        with pytest.raises(EngineUnavailable):
            await backplane.connect(lambda *_: None, reasons.append)
        assert time.monotonic() - began < 3 * LIMIT
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
    with running_nats_cluster() as servers:
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in servers)
        received: list[bytes] = []
        nodes: list[NatsBackplane] = []
        for number, server in enumerate(servers):
            url = f"nats://127.0.0.1:{server.port},{hosts}"
            nodes.append(NatsBackplane(url, {"dont_randomize": True}, lease=2, limit=3))
            while True:
                with contextlib.suppress(EngineUnavailable):  # JetStream has no leader yet
                    await nodes[-1].connect(lambda *m: received.append(m[2]), lambda _: None)
                    break
            await nodes[-1].beat("1", str(number), register=True)
        await nodes[0].subscribe("1", "news")
        await asyncio.sleep(0.1)  # until all servers know
        await nodes[1].publish("1", [Event("e", "news", "1")], 0)
        await nodes[2].join("1", "2", "news", None, 1)
        await asyncio.gather(*(deputised(node) for node in nodes))

        dead = next(n for n, each in enumerate(nodes) if each._reign and each._reign.keeper)
        servers[dead].stop()
        for number in {0, 1, 2} - {dead}:
            await nodes[number].join("1", str(number), "news", None, 1)
        await nodes[dead].connect(lambda *m: received.append(m[2]), lambda _: None)

        assert await nodes[dead].occupancy("1", "news") == Occupancy(3, 0)
        assert len(received) == 1
        for each in nodes:
            await each.close()


async def deputised(node: NatsBackplane) -> None:
    """Wait until a node is the keeper, or could take its place."""
    reign = node._reign
    assert reign is not None
    await eventually(lambda: reign.keeper is not None or reign._deputy._store is not None)
