"""Carries out a plan: each fault begins at its time, lasts, and is put right."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence

from tests.chaos.clients import Client
from tests.chaos.deployment import Deployment
from tests.chaos.outages import Done
from tests.chaos.proxy import FaultProxy
from tests.chaos.schedule import Fault, Kind

__all__ = ["Storm"]


class Storm:
    """Does to a deployment what a plan says.

    Attributes:
        done: what was done, and when exactly.
    """

    def __init__(self, deployment: Deployment, clients: Sequence[Client]) -> None:
        self.done: list[Done] = []
        self._deployment = deployment
        self._clients = clients
        self._busy: defaultdict[int | None, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def rage(self, faults: Iterable[Fault], seconds: float) -> None:
        """From now on; returns when all is over and put right."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as group:
            for fault in faults:
                group.create_task(self._at(began + fault.at, fault))
            group.create_task(asyncio.sleep(seconds))

    async def _at(self, when: float, fault: Fault) -> None:
        clock = self._deployment.clock
        await asyncio.sleep(when - asyncio.get_running_loop().time())
        async with self._busy[fault.node]:  # a start may take longer than was planned
            since = clock()
            try:
                if fault.node is None:
                    await self._at_the_engine(fault)
                else:
                    await self._at_a_node(fault, fault.node)
            finally:
                self.done.append((fault.kind, fault.node, since, clock()))

    async def _at_the_engine(self, fault: Fault) -> None:
        broker = self._deployment.broker
        match fault.kind:
            case Kind.FLUSH:
                await broker.flush()
            case Kind.HANG:
                broker.pause()
                await asyncio.sleep(fault.seconds)
                broker.resume()
            case _:
                await broker.stop()
                await asyncio.sleep(fault.seconds)
                if fault.kind is Kind.WIPE:
                    await broker.lose_everything()
                await broker.start()

    async def _at_a_node(self, fault: Fault, number: int) -> None:
        node = self._deployment.nodes[number]
        match fault.kind:
            case Kind.KILL:
                await node.kill()
                await asyncio.sleep(fault.seconds)
                await node.start()
            case Kind.PAUSE:
                node.pause()
                await asyncio.sleep(fault.seconds)
                node.resume()
            case Kind.CLIENTS:
                for client in self._clients:
                    client.lose_connection(number)
            case _:
                links = self._deployment.doors if fault.clients else self._deployment.links
                await self._at_a_link(fault, links[number])

    async def _at_a_link(self, fault: Fault, link: FaultProxy) -> None:
        match fault.kind:
            case Kind.BLIP:
                link.cut()
            case Kind.CUT:
                link.refuse()
            case Kind.DROP:
                link.swallow()
            case Kind.STALL:
                link.hold()
            case Kind.DEAF:
                link.hold(link.upward)
            case Kind.MUTE:
                link.hold(link.downward)
            case Kind.DELAY:
                link.slow(delay=fault.amount)
            case _:
                link.slow(rate=fault.amount)
        await asyncio.sleep(fault.seconds)
        link.heal()
