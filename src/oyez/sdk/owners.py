"""Whose connections are: no two processes share one, and no two event loops."""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from types import AsyncGeneratorType
from typing import Generic, NamedTuple, TypeVar, cast

from oyez.sdk.forks import no_fork

__all__ = ["OfLoop", "OfProcess"]

_Thing = TypeVar("_Thing")


class OfProcess(Generic[_Thing]):
    """One thing for all threads of a process; a forked process makes its own.

    What the parent has made stays where it is: its connections are not the child's to close, and
    its locks may be held.

    Args:
        make: called at the first need.
    """

    def __init__(self, make: Callable[[], _Thing]) -> None:
        self._make = make
        self._made: dict[int, _Thing] = {}

    def get(self) -> _Thing:
        """Return the thing of this process."""
        process = os.getpid()
        found = self._made.get(process)
        if found is None:
            with no_fork():
                found = self._made.get(process)
                if found is None:
                    found = self._made[process] = self._make()
        return found

    def give_up(self) -> _Thing | None:
        """Return the thing of this process for the last time; the next need makes another."""
        return self._made.pop(os.getpid(), None)


class OfLoop(Generic[_Thing]):
    """One thing per event loop, which closes it when it ends.

    Programs that call `asyncio.run` for each request cannot be asked to close what they have never
    opened. `asyncio.run` and its like finish all asynchronous generators of their loop, so each
    thing lives in one. A loop that is closed without that leaves its connections to be collected,
    with a warning, as it does with everything else that was open in it.

    Args:
        make: called at the first need in a loop.
        close: undoes it, in the same loop.
    """

    def __init__(
        self, make: Callable[[], _Thing], close: Callable[[_Thing], Awaitable[None]]
    ) -> None:
        self._make = make
        self._close = close
        self._open: dict[asyncio.AbstractEventLoop, _Open[_Thing]] = {}

    async def get(self) -> _Thing:
        """Return the thing of the running event loop."""
        loop = asyncio.get_running_loop()
        found = self._open.get(loop)
        if found is None or found.has_ended:
            self._forget_closed_loops()
            with no_fork():
                thing = self._make()
            lifetime = _lifetime(thing, self._close)
            found = self._open[loop] = _Open(await anext(lifetime), lifetime)
        return found.thing

    async def aclose(self) -> None:
        """Close the thing of the running event loop; the next need makes another."""
        found = self._open.pop(asyncio.get_running_loop(), None)
        if found is not None:
            await found.lifetime.aclose()

    def _forget_closed_loops(self) -> None:
        # Loops in other threads may come and go meanwhile.
        for loop in list(self._open):
            if loop.is_closed():
                self._open.pop(loop, None)


class _Open(NamedTuple, Generic[_Thing]):
    thing: _Thing
    lifetime: AsyncGenerator[_Thing, None]

    @property
    def has_ended(self) -> bool:
        return cast("AsyncGeneratorType[_Thing, None]", self.lifetime).ag_frame is None


async def _lifetime(
    thing: _Thing, close: Callable[[_Thing], Awaitable[None]]
) -> AsyncGenerator[_Thing, None]:
    try:
        yield thing
    finally:
        await close(thing)
