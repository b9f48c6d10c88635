"""One node's standing in one app: its incarnation, and keeping the store in step with its sockets.

Joins and leaves go through while the record in the store and the holdings of this node agree. As
soon as that is in doubt - a reply was lost, the incarnation was swept, the store lost its data -
the gate is closed, `settle` finds out what the store has, makes it what this node holds, and
reports what changed by that.
"""

import asyncio
import itertools
import secrets
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from oyez.protocol.messages import Member
from oyez.server.engine import ChannelFull, EngineUnavailable, Joined, Left
from oyez.server.engine.backplane import Backplane, Change, Held, Stale, Standing
from oyez.server.engine.holdings import Holdings

__all__ = ["Lease", "Report"]

log: structlog.stdlib.BoundLogger = structlog.get_logger("oyez.engine")

Report = Callable[[str, Change, Mapping[str, Member]], None]
"""Called with an app id, what changed there, and the members by user id as far as we know them."""

_CHUNK: Final = 200  # channels restated in one step of the store


class Lease:
    """What this node is in one app.

    Args:
        doubted: called when `settle` has to be called.
        report: told what others have not been told yet.

    Attributes:
        incarnation: the name under which the store knows this node in this app at present.
        settled: whether the store has what this node holds, as far as we know.
    """

    def __init__(
        self, app_id: str, backplane: Backplane, doubted: "Callable[[Lease], None]", report: Report
    ) -> None:
        self.app_id = app_id
        self.incarnation = secrets.token_hex(8)
        self.holdings = Holdings()
        self._backplane = backplane
        self._doubted = doubted
        self._report = report
        self._registered = False
        self._dirty = True
        self._gate = asyncio.Event()
        self._settling = asyncio.Lock()
        self._busy = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def settled(self) -> bool:
        return self._gate.is_set()

    async def join(self, channel: str, member: Member | None, max_members: int) -> Joined:
        """See `oyez.server.engine.Engine.join`; waits while the standing is in doubt."""
        while True:
            await self._gate.wait()
            self._begin()
            try:
                joined = await self._backplane.join(
                    self.app_id, self.incarnation, channel, member, max_members
                )
            except Stale:
                self.doubt()
            except ChannelFull:
                raise
            except BaseException:
                self.doubt()
                raise
            else:
                self.holdings.add(channel, member)
                return joined
            finally:
                self._end()

    async def leave(self, channel: str, user_id: str | None) -> Left:
        """See `oyez.server.engine.Engine.leave`."""
        self.holdings.remove(channel, user_id)  # what we hold is true at once, the store follows
        if not self.settled:
            self.doubt()
            raise EngineUnavailable("the engine is catching up, and counts this out with the rest")
        self._begin()
        try:
            return await self._backplane.leave(self.app_id, self.incarnation, channel, user_id)
        except Stale:
            self.doubt()
            raise EngineUnavailable("this node was counted out in the meantime") from None
        except BaseException:
            self.doubt()
            raise
        finally:
            self._end()

    def doubt(self) -> None:
        """What the store has may not be what we hold."""
        self._dirty = True
        if self._gate.is_set():
            self._gate.clear()
            self._doubted(self)

    def suspend(self) -> None:
        """The engine is away; `settle` has to be called when it is back."""
        self._dirty = True
        self._gate.clear()

    async def settle(self) -> bool:
        """Make the store have what this node holds, under a name that is alive.

        Returns:
            Whether the store was found to have lost its data.

        Raises:
            EngineUnavailable: it is still in doubt.
        """
        async with self._settling:  # one attempt at a time; a second one may come after a cut
            await self._idle.wait()
            rebuilt = False
            while self._dirty:
                self._dirty = False
                try:
                    rebuilt = await self._restate() or rebuilt
                except BaseException as error:
                    self._dirty = True
                    if not isinstance(error, Stale):
                        raise
            self._gate.set()
            return rebuilt

    async def _restate(self) -> bool:
        """Whether the store was empty."""
        standing = await self._register()
        told: dict[str, tuple[int, dict[str, int]]] = {}
        if standing is Standing.ALIVE:
            told = await self._backplane.held(self.app_id, self.incarnation)
        rebuilt = standing is Standing.NEW and self._registered
        self._registered = True
        differing = self.holdings.differing(told)
        if differing:
            log.info(
                "restating subscriptions",
                app_id=self.app_id,
                channels=len(differing),
                reason="the store was empty" if rebuilt else standing.value,
            )
        channels = iter(differing.items())
        while chunk := dict(itertools.islice(channels, _CHUNK)):
            members = {channel: _members(held) for channel, held in chunk.items()}  # as stated
            changes = await self._backplane.restate(self.app_id, self.incarnation, chunk)
            if not rebuilt:  # otherwise nobody was told that they were gone
                for change in changes:
                    self._report(self.app_id, change, members[change.channel])
        return rebuilt

    async def _register(self) -> Standing:
        """Have a name that is alive; how the last one stood."""
        beat = await self._backplane.beat(self.app_id, self.incarnation, register=True)
        if beat.standing is not Standing.SWEPT:
            return beat.standing
        self.incarnation = secrets.token_hex(8)
        await self._backplane.beat(self.app_id, self.incarnation, register=True)
        return Standing.SWEPT

    def _begin(self) -> None:
        self._busy += 1
        self._idle.clear()

    def _end(self) -> None:
        self._busy -= 1
        if not self._busy:
            self._idle.set()


def _members(held: Held) -> dict[str, Member]:
    return {user_id: member for user_id, (member, _) in held.members.items()}
