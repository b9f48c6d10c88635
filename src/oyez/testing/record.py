"""What has happened so far: written by one thread, awaited by any other or by an event loop."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Generator
from functools import partial
from typing import Generic, TypeVar

__all__ = ["Record"]

_Item = TypeVar("_Item")


class Record(Generic[_Item]):
    """A growing list that can be waited for."""

    def __init__(self) -> None:
        self._items: list[_Item] = []
        self._changed = threading.Condition()
        self._wakers: list[Callable[[], object]] = []

    def add(self, item: _Item) -> None:
        """Append, and wake whoever waits."""
        with self._changed:
            self._items.append(item)
            self._changed.notify_all()
            for wake in self._wakers:
                wake()

    def all(self) -> list[_Item]:
        """A copy of what is there."""
        with self._changed:
            return list(self._items)

    def clear(self) -> None:
        """Forget everything."""
        with self._changed:
            self._items.clear()

    def first(self, matches: Callable[[_Item], bool]) -> _Item | None:
        """The oldest that matches."""
        return next(filter(matches, self.all()), None)

    def wait(self, matches: Callable[[_Item], bool], seconds: float) -> _Item | None:
        """The oldest that matches, as soon as there is one; None if there is none in time.

        Raises:
            RuntimeError: it would have to wait inside a running event loop.
        """
        found = self.first(matches)
        if found is not None or seconds <= 0:
            return found
        if _in_event_loop():
            raise RuntimeError(
                "waiting here would stop the event loop, and so what is waited for: "
                "await the method that begins with async_"
            )
        with self._changed:
            self._changed.wait_for(lambda: any(map(matches, self._items)), seconds)
        return self.first(matches)

    async def async_wait(self, matches: Callable[[_Item], bool], seconds: float) -> _Item | None:
        """The same without stopping the event loop."""
        arrived = asyncio.Event()
        with self._waking(arrived), contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.first(matches) is None:
                    await arrived.wait()
                    arrived.clear()
        return self.first(matches)

    @contextlib.contextmanager
    def _waking(self, arrived: asyncio.Event) -> Generator[None, None, None]:
        """Set ``arrived``, in its own loop, with each item."""
        wake = partial(asyncio.get_running_loop().call_soon_threadsafe, arrived.set)
        with self._changed:
            self._wakers.append(wake)
        try:
            yield
        finally:
            with self._changed:
                self._wakers.remove(wake)


def _in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
