"""The code of ``docs/guide/subscriber.md`` runs against the server, block by block."""

import ast
import asyncio
import contextlib
import inspect
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import oyez
from tests.conftest import RunningServer
from tests.sdk.subscribers import backend_of

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "subscriber.md"
CHANNELS = ("my-channel", "private-orders")


@contextlib.asynccontextmanager
async def publishing(server: RunningServer) -> AsyncIterator[None]:
    """Publishes all the while, as nothing tells when an example listens."""

    async def publish() -> None:
        async with backend_of(server) as backend:
            while True:
                await backend.trigger(CHANNELS, "closing-time", {"hour": 20})
                await backend.trigger("private-encrypted-orders", "order", {"id": 7})
                await backend.send_to_user("ada", "greeting", "hello")
                await asyncio.sleep(0.02)

    task = asyncio.create_task(publish())
    yield
    task.cancel()
    await asyncio.wait({task})


async def test_the_guide_runs(server: RunningServer, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    names: dict[str, Any] = {"__name__": "guide"}
    async with publishing(server):
        for block in blocks:
            code = block.replace("127.0.0.1:6001", f"{server.host}:{server.port}")
            code = code.replace("port=6001", f"port={server.port}")
            if "asyncio.run" in code:
                await asyncio.to_thread(exec, code, names)
            else:
                compiled = compile(code, str(GUIDE), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
                async with asyncio.timeout(90):
                    done = eval(compiled, names)
                    assert inspect.isawaitable(done), block
                    await done

    shown = capsys.readouterr().out
    assert "closing-time {'hour': 20}" in shown
    assert "Member(user_id='ada', user_info={'age': 36}) 1 {'age': 36}" in shown
    assert "greeting hello" in shown
    assert "{'id': 7}" in shown
    assert len(blocks) == 6


def test_the_guide_names_what_there_is() -> None:
    for name in re.findall(r"oyez\.([A-Z]\w+|subscribe)", GUIDE.read_text()):
        assert name in oyez.__all__, name
