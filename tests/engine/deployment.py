"""Nodes over one broker, each an engine with what it was told to tell."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Self

from msgspec.structs import replace

from oyez.protocol.events import Event
from oyez.protocol.messages import Member
from oyez.server.engine import Joined, Left
from oyez.server.engine.backplane import Backplane, Beat
from oyez.server.engine.cluster import ClusterEngine, Timing
from tests.engine.contract import EngineNode

LEASE, LIMIT = 0.6, 3.0


@dataclass
class ClusterNode(EngineNode):
    """One node, with what it was told to tell.

    Attributes:
        gone: outcomes of leaves that no session of this node has asked for.
        back: likewise of joins.
    """

    gone: list[tuple[str, Left, str | None]] = field(default_factory=list)
    back: list[tuple[str, Joined, Member | None]] = field(default_factory=list)
    backplane: Any = None

    def named(self, name: str) -> list[str]:
        """The data of the events with this name, as they were delivered."""
        return [event.data for _, event in self.delivered if event.name == name]

    async def enter(self, channel: str, member: Member) -> Joined:
        """Join as a connection with a socket id."""
        return await self.engine.join("1", channel, member, 100)

    async def crash(self) -> None:
        """Vanish without a word."""
        assert isinstance(self.engine, ClusterEngine)
        for task in tuple(self.engine._tasks):
            task.cancel()
        self.engine.away = True
        await self.backplane.close()

    def pause(self) -> Callable[[], None]:
        """Give no sign of life until what is returned is called."""
        awake, beat = asyncio.Event(), self.backplane.beat

        async def later(*arguments: Any, **options: Any) -> Beat:
            await awake.wait()
            found: Beat = await beat(*arguments, **options)
            return found

        self.backplane.beat = later
        return awake.set


class Deployment(ABC):
    """Nodes over one broker, made as a test needs them."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()

    @abstractmethod
    def backplane(self, lease: float, limit: float) -> Backplane:
        """The way of one more node to the broker."""

    @abstractmethod
    async def inject(self, app_id: str, channel: str, message: bytes) -> None:
        """Publish raw bytes, as another version would."""

    @abstractmethod
    async def flush(self) -> None:
        """The store loses everything."""

    @abstractmethod
    async def stop(self) -> None:
        """The broker is away."""

    @abstractmethod
    async def start(self) -> None:
        """It is back, with or without what it had."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def node(self) -> ClusterNode:
        backplane = self.backplane(LEASE, LIMIT)
        delivered: list[tuple[str, Event]] = []
        gone: list[tuple[str, Left, str | None]] = []
        back: list[tuple[str, Joined, Member | None]] = []

        async def went_away(app: str, channel: str, left: Left, user_id: str | None) -> None:
            assert left.revision > 0
            gone.append((channel, replace(left, revision=0), user_id))

        async def came_back(app: str, channel: str, joined: Joined, member: Member | None) -> None:
            assert joined.revision > 0
            back.append((channel, replace(joined, revision=0), member))

        engine = ClusterEngine(
            backplane,
            lambda app_id, event: delivered.append((app_id, event)),
            apps=lambda: ["1"],
            went_away=went_away,
            came_back=came_back,
            restated=lambda _: None,
            timing=Timing(lease=LEASE, limit=LIMIT),
        )
        await self._stack.enter_async_context(engine)
        return ClusterNode(engine, delivered, gone, back, backplane)
