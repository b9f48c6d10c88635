"""The engine of one process keeps the contract."""

from collections.abc import AsyncIterator

import pytest

from oyez.protocol.events import Event
from oyez.server.engine.memory import MemoryEngine
from tests.engine.contract import EngineContract, EngineNode


class TestMemoryEngine(EngineContract):
    @pytest.fixture
    async def nodes(self) -> AsyncIterator[list[EngineNode]]:
        delivered: list[tuple[str, Event]] = []
        engine = MemoryEngine(lambda app_id, event: delivered.append((app_id, event)))
        async with engine:
            yield [EngineNode(engine, delivered)]
