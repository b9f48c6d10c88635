"""Nodes over a real NATS server."""

from oyez.server.engine.nats import NatsBackplane
from tests.engine.contract import eventually
from tests.engine.deployment import ClusterNode, Deployment
from tests.nats_server import (
    SUBJECTS,
    NatsServer,
    depose,
    linked,
)


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
