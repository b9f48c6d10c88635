"""The clustered engine over a real NATS server keeps the contract."""

from collections.abc import AsyncIterator, Iterator

import pytest

from oyez.server.engine.nats import NatsBackplane
from tests.engine.cluster import ClusterContract, ClusterNode, Deployment
from tests.engine.contract import EngineContract, eventually
from tests.nats_server import (
    SUBJECTS,
    NatsServer,
    depose,
    forget,
    linked,
    nats_is_installed,
    running_nats,
)

pytestmark = nats_is_installed


@pytest.fixture(scope="module")
def nats() -> Iterator[NatsServer]:
    with running_nats() as server:
        yield server


class OnNats(Deployment):
    """Nodes over one server."""

    def __init__(self, server: NatsServer) -> None:
        super().__init__()
        self.server = server
        self.all: list[ClusterNode] = []

    def backplane(self, lease: float, limit: float) -> NatsBackplane:
        return NatsBackplane(self.server.url, lease=lease, limit=limit)

    async def node(self) -> ClusterNode:
        self.all.append(await super().node())
        return self.all[-1]

    async def keeper(self) -> ClusterNode:
        """The node that is the keeper, once there is one."""
        await eventually(lambda: any(map(is_keeper, self.all)))
        return next(filter(is_keeper, self.all))

    async def inject(self, app_id: str, channel: str, message: bytes) -> None:
        async with linked(self.server) as link:
            link.publish(SUBJECTS.event(app_id, channel), message)
            await link.confirmed()

    async def flush(self) -> None:
        await depose(self.server)

    async def stop(self) -> None:
        self.server.stop()

    async def start(self) -> None:
        self.server.start()


def is_keeper(node: ClusterNode) -> bool:
    reign = node.backplane._reign
    return reign is not None and reign.keeper is not None and reign.keeper.reigns


class TestNats(EngineContract, ClusterContract):
    @pytest.fixture
    async def deployment(self, nats: NatsServer) -> AsyncIterator[OnNats]:
        async with OnNats(nats) as deployment:
            await forget(nats)
            yield deployment

    @pytest.fixture
    async def nodes(self, deployment: OnNats) -> list[ClusterNode]:
        return [await deployment.node(), await deployment.node()]
