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


async def test_what_has_expired_is_neither_replayed_nor_kept() -> None:
    now = 0.0
    engine = MemoryEngine(lambda app_id, event: None, lambda: now)
    for number in range(100):
        await engine.publish("1", [Event("e", f"cache-{number}", "x")], cache_seconds=60)
    now = 59.5
    found = await engine.cached("1", "cache-0")
    assert found is not None
    assert found.seconds == 0.5

    now = 60.0
    assert await engine.cached("1", "cache-0") is None
    await engine.publish("1", [Event("e", "cache-new", "x")], cache_seconds=60)
    assert list(engine._caches["1"]._events) == ["cache-new"]
