"""What follows from changes that no socket of this node has asked for, told one after another.

A dead node's subscriptions end, what ended here while the engine was away is counted out, and what
others believed gone comes back: the rest of the server is told as if it had happened just now.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator, Mapping

import structlog

from oyez.protocol.messages import Member
from oyez.server.engine import EngineUnavailable, Joined, Left
from oyez.server.engine.backplane import Backplane, Change

__all__ = ["Aftermath", "CameBack", "WentAway"]

log: structlog.stdlib.BoundLogger = structlog.get_logger("oyez.engine")

WentAway = Callable[[str, str, Left, str | None], Awaitable[None]]
"""Called with app id, channel, outcome and user id, as if a session had left."""

CameBack = Callable[[str, str, Joined, Member | None], Awaitable[None]]
"""Called with app id, channel, outcome and member, as if a session had joined."""

_AT_ONCE = 100


class Aftermath:
    """Collects what changed and tells it."""

    def __init__(self, backplane: Backplane, went_away: WentAway, came_back: CameBack) -> None:
        self._backplane = backplane
        self._went_away = went_away
        self._came_back = came_back
        self._changes: asyncio.Queue[tuple[str, Change, Mapping[str, Member]]] = asyncio.Queue()
        self._sweeping: set[tuple[str, str]] = set()

    def changed(self, app_id: str, change: Change, members: Mapping[str, Member]) -> None:
        """Tell this soon; see `oyez.server.engine.lease.Report`."""
        self._changes.put_nowait((app_id, change, members))

    async def sweep(self, app_id: str, incarnation: str, *, force: bool = False) -> None:
        """Take away all that an incarnation holds; whoever takes it tells of it.

        Raises:
            EngineUnavailable: some of it is left, for this or another node.
        """
        if (app_id, incarnation) in self._sweeping:
            return
        self._sweeping.add((app_id, incarnation))
        try:
            more = True
            while more:
                changes, more = await self._backplane.sweep(app_id, incarnation, force=force)
                for change in changes:
                    self.changed(app_id, change, {})
        finally:
            self._sweeping.discard((app_id, incarnation))

    async def told(self) -> None:
        """Wait until everything has been told."""
        await self._changes.join()

    async def run(self) -> None:
        """Tell what comes in, for ever."""
        while True:
            app_id, change, members = await self._changes.get()
            try:
                await self._tell(app_id, change, members)
            except EngineUnavailable as error:
                log.warning("engine away during an announcement", error=str(error))
            except Exception:
                log.exception("bug in an announcement", app_id=app_id, channel=change.channel)
            finally:
                self._changes.task_done()

    async def _tell(self, app_id: str, change: Change, members: Mapping[str, Member]) -> None:
        """A crowd at once: they are all of one channel, and each is another user."""
        steps = self._steps(app_id, change, members)
        while part := list(itertools.islice(steps, _AT_ONCE)):
            await asyncio.gather(*part)

    def _steps(
        self, app_id: str, change: Change, members: Mapping[str, Member]
    ) -> Iterator[Awaitable[None]]:
        channel, count, revision = change.channel, change.subscriptions, change.revision
        for user_id in change.removed:
            left = Left(change.vacated, count, True, revision)
            yield self._went_away(app_id, channel, left, user_id)
        for user_id in change.added:
            joined = Joined(change.occupied, count, True, revision=revision)
            yield self._came_back(app_id, channel, joined, members[user_id])
        if change.removed or change.added:
            return
        if change.occupied:
            joined = Joined(True, count, revision=revision)
            yield self._came_back(app_id, channel, joined, None)
        else:
            left = Left(change.vacated, count, revision=revision)
            yield self._went_away(app_id, channel, left, None)
