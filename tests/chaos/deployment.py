"""Three nodes, one engine, proxies before and behind each node, a receiver of their webhooks."""

import asyncio
import random
import time
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from oyez import AsyncClient, WebhookError
from tests.chaos.broker import Broker, open_broker
from tests.chaos.history import History, Webhook
from tests.chaos.node import App, NodeProcess
from tests.chaos.proxy import FaultProxy
from tests.webhooks.receiver import Handler, Receiver

__all__ = ["NODES", "Deployment"]

NODES = 3
_FAILS = 0.03  # of the requests with webhooks, while the receiver is unreliable


class Deployment:
    """Everything that runs; entering it starts it.

    Args:
        directory: for configuration, logs and data.

    Attributes:
        links: the proxy between each node and the engine.
        doors: the proxy between each node and its clients.
        unreliable: whether the receiver of webhooks is in trouble itself at times.
        webhooks: whether there are any.
        apis: an API client for each node, which does not repeat anything.
    """

    def __init__(
        self, engine: str, directory: Path, history: History, began: float, *, webhooks: bool = True
    ) -> None:
        self.app = App()
        self.broker: Broker = open_broker(engine, directory)
        self.links: list[FaultProxy] = []
        self.doors: list[FaultProxy] = []
        self.nodes: list[NodeProcess] = []
        self.apis: list[AsyncClient] = []
        self.unreliable = True
        self.webhooks = webhooks
        self._directory = directory
        self._history = history
        self._began = began
        self._chance = random.Random(0)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        receiver = Receiver(self._webhook)
        self._stack.callback(receiver.close)
        self._loop = asyncio.get_running_loop()
        try:
            await self.broker.start()
            self._stack.push_async_callback(self.broker.stop)
            for number in range(NODES):
                await self._add_node(number, receiver.url if self.webhooks else "")
            await asyncio.gather(*(node.start() for node in self.nodes))
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def _add_node(self, number: int, webhooks: str) -> None:
        link = await self._stack.enter_async_context(FaultProxy(self.broker.port))
        data = self._directory / f"data-{number}"
        outbox = self._directory / "outbox.db"
        settings = self.app.settings(self.broker.url(link.port), webhooks, data, outbox)
        node = NodeProcess(number, self._directory, settings)
        self._stack.push_async_callback(node.kill)
        door = await self._stack.enter_async_context(FaultProxy(node.port))
        api = AsyncClient(
            self.app.id,
            self.app.key,
            self.app.secret,
            host="127.0.0.1",
            port=node.port,
            ssl=False,
            timeout=4.0,
            retries=0,
        )
        self._stack.push_async_callback(api.aclose)
        self.links.append(link)
        self.doors.append(door)
        self.nodes.append(node)
        self.apis.append(api)

    def clock(self) -> float:
        """Seconds since the beginning; any thread may ask."""
        return self._loop.time() - self._began

    def since_began(self, unix: float) -> float:
        """The same clock for a time by the calendar, as in logs."""
        return self.clock() - (time.time() - unix)

    def _webhook(self, handler: Handler, count: int) -> None:
        """Take a request, as a receiver does that is sometimes in trouble itself."""
        request, luck = handler.server.requests[count - 1], self._chance.random()
        if self.unreliable and luck < _FAILS:
            handler.answer(500)
            return
        now = self.clock()
        try:
            self.apis[0].webhook(request.headers, request.body)
        except WebhookError as error:
            self._history.oddities.append(f"webhook at {now:.3f}: {error}")
        for id_, event in zip(request.ids, request.events, strict=True):
            self._history.webhooks.append(
                Webhook(
                    now,
                    id_,
                    event["name"],
                    event["channel"],
                    event.get("user_id", "") if event["name"].startswith("member_") else "",
                    event.get("data", ""),
                )
            )
        # Taken, but the sender does not learn of it: it has to send it again under the same ids.
        handler.answer(500 if self.unreliable and luck < 2 * _FAILS else 200)
