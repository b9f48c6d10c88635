"""A node in a thread of its own, with its own event loop: nothing of the user's is in its way.

It sets no signal handlers and no event loop policy, and does not configure logging.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

from oyez.server.config import Settings
from oyez.server.node import Node
from oyez.testing.logs import in_standard_logging

__all__ = ["NodeThread"]

_Answer = TypeVar("_Answer")
_PATIENCE = 30.0  # seconds for anything the thread is asked, beyond which it hangs


class NodeThread:
    """Runs one node.

    Args:
        settings: of the node.
        prepare: called with the node before it starts.
    """

    def __init__(self, settings: Settings, prepare: Callable[[Node], None]) -> None:
        self._settings = settings
        self._prepare = prepare
        self._started: Future[Node] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked = asyncio.Event()  # to stop
        self._thread = threading.Thread(target=self._run, name="oyez server", daemon=True)

    def start(self) -> Node:
        """The node, once it listens.

        Raises:
            OSError: an address cannot be bound.
            ValueError: a setting cannot be used.
        """
        self._thread.start()
        return self._started.result(_PATIENCE)

    def stop(self) -> None:
        """End the node and its thread."""
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._asked.set)
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            raise RuntimeError(f"the server did not stop within {_PATIENCE:g} s")

    def call(self, work: Callable[[], Coroutine[Any, Any, _Answer]]) -> _Answer:
        """Run a coroutine in the thread's event loop and wait for its end.

        Raises:
            RuntimeError: the node does not run.
        """
        if self._loop is None or not self._thread.is_alive():
            raise RuntimeError("the server is not running")
        return asyncio.run_coroutine_threadsafe(work(), self._loop).result(_PATIENCE)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        node = Node(self._settings)
        self._prepare(node)
        with in_standard_logging():
            async with node.running():
                self._started.set_result(node)
                await self._asked.wait()
