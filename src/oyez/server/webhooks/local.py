"""The ledger of a single node: the grace in its memory, letters in a database."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

import structlog

from oyez.server.webhooks.grace import Grace, Presence
from oyez.server.webhooks.ledger import Backlog, Change, Desk, Letter, OutboxUnavailable
from oyez.server.webhooks.outbox import Outbox

__all__ = ["LocalLedger"]

log: structlog.stdlib.BoundLogger = structlog.get_logger("oyez.webhooks")


class LocalLedger:
    """Keeps `oyez.server.webhooks.ledger.Ledger` for the only node there is.

    Args:
        delays: the grace of each app, in seconds.
    """

    def __init__(self, outbox: Outbox, delays: Mapping[str, float]) -> None:
        self._outbox = outbox
        self._delays = delays
        self._grace = Grace()
        self._sooner = asyncio.Event()
        self._missed: OrderedDict[tuple[str, str], float] = OrderedDict()  # the oldest first
        self._ending: asyncio.Task[None] | None = None

    async def open(self, desk: Desk) -> Self:
        """See `oyez.server.webhooks.ledger.Ledger.open`."""
        self._desk = desk
        await self._outbox.__aenter__()
        now = time.monotonic()
        for presence in await self._outbox.present():
            # Nobody is connected yet: whoever does not come back within the grace has gone.
            self._grace.begin(presence)
            self._grace.end(presence, now + self._delays.get(presence.app_id, 0.0))
        for letter in await self._outbox.pending():
            self._post(letter)
        self._ending = asyncio.create_task(self._tell_ends())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._ending is not None:
            self._ending.cancel()
        await self._outbox.__aexit__(kind, error, trace)

    def next_position(self) -> int:
        """See `oyez.server.webhooks.ledger.Ledger.next_position`."""
        return self._outbox.next_position()

    async def begin(self, presences: Sequence[Presence], revision: int) -> None:
        """See `oyez.server.webhooks.ledger.Ledger.begin`; calls are in order, so they count."""
        if new := [presence for presence in presences if self._grace.begin(presence)]:
            letters = [letter for each in new for letter in self._desk.letters_of_begin(each)]
            await self._keep(Change(letters, begun=new))

    def end(self, presence: Presence, revision: int) -> None:
        """See `oyez.server.webhooks.ledger.Ledger.end`."""
        self._grace.end(presence, time.monotonic() + self._delays.get(presence.app_id, 0.0))
        self._sooner.set()

    def doubt(self, app_id: str) -> None:
        """See `oyez.server.webhooks.ledger.Ledger.doubt`: there is no doubt within a process."""

    def backlog(self) -> Backlog | None:
        """See `oyez.server.webhooks.ledger.Ledger.backlog`."""
        return None

    async def store(self, letters: Sequence[Letter]) -> None:
        """See `oyez.server.webhooks.ledger.Ledger.store`."""
        await self._keep(Change(letters))

    async def is_first(self, app_id: str, channel: str, seconds: float) -> bool:
        """See `oyez.server.webhooks.ledger.Ledger.is_first`."""
        now, address = time.monotonic(), (app_id, channel)
        if now - self._missed.get(address, -seconds) < seconds:
            return False
        self._missed[address] = now
        self._missed.move_to_end(address)
        while now - next(iter(self._missed.values())) >= seconds:
            self._missed.popitem(last=False)
        return True

    async def pending(self, limit: int) -> list[Letter]:
        """See `oyez.server.webhooks.ledger.Ledger.pending`."""
        return (await self._outbox.pending())[:limit]

    async def dead(self, limit: int) -> list[Letter]:
        """See `oyez.server.webhooks.ledger.Ledger.dead`."""
        return await self._outbox.dead(limit)

    async def revive(self, ids: Sequence[str]) -> int:
        """See `oyez.server.webhooks.ledger.Ledger.revive`."""
        letters = await self._outbox.revive(ids)
        return sum(map(self._post, letters))

    async def drop(self, ids: Sequence[str]) -> int:
        """See `oyez.server.webhooks.ledger.Ledger.drop`."""
        self._desk.withdraw(ids)
        return await self._outbox.drop(ids)

    def remove(self, ids: Sequence[str]) -> None:
        """See `oyez.server.webhooks.ledger.Kept.remove`."""
        self._outbox.remove(ids)

    def failed(self, letters: Sequence[Letter]) -> None:
        """See `oyez.server.webhooks.ledger.Kept.failed`."""
        self._outbox.failed(letters)

    def bury(self, letter: Letter) -> None:
        """See `oyez.server.webhooks.ledger.Kept.bury`."""
        self._outbox.bury(letter)

    def may_deliver(self) -> bool:
        """See `oyez.server.webhooks.ledger.Kept.may_deliver`: there is no other node."""
        return True

    def _post(self, letter: Letter) -> bool:
        """Hand a letter over, and return whether its endpoint is configured; else it is dead."""
        if self._desk.post(letter):
            return True
        letter.error = "the endpoint is no longer configured"
        self._outbox.bury(letter)
        return False

    async def _keep(self, change: Change) -> None:
        """An outbox that fails costs durability, not service: letters go out from memory."""
        try:
            await self._outbox.store(change)
        except OutboxUnavailable as error:
            log.error("webhooks not stored", events=len(change.letters), error=str(error))
        for letter in change.letters:
            self._desk.post(letter)

    async def _tell_ends(self) -> None:
        """Tell the ends whose grace is over."""
        while True:
            due = self._grace.next_due()
            pause = None if due is None else max(0.0, due - time.monotonic())
            self._sooner.clear()
            try:
                async with asyncio.timeout(pause):
                    await self._sooner.wait()
            except TimeoutError:
                try:
                    await self._tell_due()
                except Exception:  # ours: ends that come later must be told all the same
                    log.exception("bug in the webhooks")

    async def _tell_due(self) -> None:
        if ended := self._grace.ended(time.monotonic()):
            letters = [x for each in ended for x in self._desk.letters_of_end(each)]
            await self._keep(Change(letters, ended=ended))
