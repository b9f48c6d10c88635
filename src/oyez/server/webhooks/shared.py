"""The ledger of many nodes: everything in one database that all of them use.

Each node says what its engine tells it (`writer`); the database knows what was told (`presences`)
and keeps the letters (`mail`). Each endpoint is delivered to by one node at a time, and one node
tells ends and compares with the engine (`reconciler`); who, is agreed upon in `duties`.
"""

import asyncio
import time
import uuid
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import structlog
from sqlalchemy import Connection

from oyez.server.engine import EngineUnavailable
from oyez.server.webhooks.database import Database
from oyez.server.webhooks.duties import Duties
from oyez.server.webhooks.feed import Feed
from oyez.server.webhooks.file_lock import FileLock
from oyez.server.webhooks.grace import Presence
from oyez.server.webhooks.ledger import (
    Address,
    Backlog,
    Desk,
    Letter,
    OutboxInUse,
    OutboxUnavailable,
)
from oyez.server.webhooks.letters import create_tables, read_dead, read_pending
from oyez.server.webhooks.mail import number_from_here, read_backlog, revive, withdraw
from oyez.server.webhooks.presences import Signal, take_over
from oyez.server.webhooks.reconciler import Reconciler, Source, Timing
from oyez.server.webhooks.writer import Miss, Writer

__all__ = ["SharedLedger", "Source", "Timing"]

log: structlog.stdlib.BoundLogger = structlog.get_logger("oyez.webhooks")

_RECONCILE = "reconcile"
_COUNTS = 3.0  # seconds between two counts of what waits
_STOPS = 5.0  # seconds for the last words to a database
_OPENS_AGAIN = 1.0


class SharedLedger:
    """Keeps `oyez.server.webhooks.ledger.Ledger` for one of many nodes.

    Args:
        url: an SQLAlchemy URL, the same on all nodes.
        graces: of each app with webhooks, in seconds.
        source: what the engine says.
    """

    def __init__(
        self, url: str, graces: Mapping[str, float], source: Source, timing: Timing | None = None
    ) -> None:
        self._timing = timing or Timing()
        self._database = Database(url, shared=True)
        self._aside = Database(url, shared=True)  # long reading, which must not hold up a join
        self._lock = FileLock(url, shared=True)
        self._writer = Writer(self._database, graces, self._written, self._timing.patience)
        self._feed = Feed(self._database, self._timing.poll)
        self._reconciler = Reconciler(
            self._aside, source, graces, self._timing, self._say, self._written
        )
        self._held: frozenset[str] = frozenset()
        self._backlog: Backlog = {}
        self._tasks: list[asyncio.Task[Any]] = []
        self._reconciling: asyncio.Task[None] | None = None

    async def open(self, desk: Desk) -> Self:
        """See `oyez.server.webhooks.ledger.Ledger.open`; a database that is away is waited for."""
        self._desk = desk
        self._addresses = {_duty(each): each for each in desk.addresses()}
        names = (_RECONCILE, *sorted(self._addresses))
        self._duties = Duties(uuid.uuid4().hex, names, self._timing.lease, time.monotonic)
        if await self._prepare():
            self._start()
        else:
            self._tasks = [asyncio.create_task(self._open_later())]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        tasks = [*self._tasks, *([self._reconciling] if self._reconciling else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            async with asyncio.timeout(_STOPS):
                await self._lose(self._held)
                await self._writer.flush(self._desk)
                await self._database.write(self._duties.resign)
        except (OutboxUnavailable, TimeoutError) as problem:
            log.warning("webhook database away during the stop", error=str(problem))
        self._writer.stop()
        await asyncio.to_thread(self._database.close)
        await asyncio.to_thread(self._aside.close)
        self._lock.release()

    # What the webhooks ask.

    def next_position(self) -> int:
        """See `oyez.server.webhooks.ledger.Ledger.next_position`: given when it is written."""
        return 0

    async def begin(self, presences: Sequence[Presence], revision: int) -> None:
        """See `oyez.server.webhooks.ledger.Ledger.begin`."""
        await self._writer.keep(signals=[Signal(each, True, revision) for each in presences])

    def end(self, presence: Presence, revision: int) -> None:
        """See `oyez.server.webhooks.ledger.Ledger.end`."""
        self._writer.note([Signal(presence, False, revision)])

    def doubt(self, app_id: str) -> None:
        """See `oyez.server.webhooks.ledger.Ledger.doubt`."""
        self._writer.doubt(app_id)

    async def store(self, letters: Sequence[Letter]) -> None:
        """See `oyez.server.webhooks.ledger.Ledger.store`."""
        await self._writer.keep(letters=letters)

    async def is_first(self, app_id: str, channel: str, seconds: float) -> bool:
        """See `oyez.server.webhooks.ledger.Ledger.is_first`."""
        miss = Miss(app_id, channel, seconds)
        await self._writer.keep(miss=miss)
        return miss.first

    def backlog(self) -> Backlog | None:
        """See `oyez.server.webhooks.ledger.Ledger.backlog`; counted every few seconds."""
        return self._backlog

    async def pending(self, limit: int) -> list[Letter]:
        """See `oyez.server.webhooks.ledger.Ledger.pending`."""
        return await self._database.read(lambda connection: read_pending(connection, limit))

    async def dead(self, limit: int) -> list[Letter]:
        """See `oyez.server.webhooks.ledger.Ledger.dead`."""
        return await self._database.read(lambda connection: read_dead(connection, limit))

    async def revive(self, ids: Sequence[str]) -> int:
        """See `oyez.server.webhooks.ledger.Ledger.revive`."""
        return await self._database.write(lambda connection: revive(connection, ids))

    async def drop(self, ids: Sequence[str]) -> int:
        """See `oyez.server.webhooks.ledger.Ledger.drop`."""
        self._desk.withdraw(ids)
        return await self._database.write(lambda connection: withdraw(connection, ids))

    def remove(self, ids: Sequence[str]) -> None:
        """See `oyez.server.webhooks.ledger.Kept.remove`."""
        self._writer.remove(ids)

    def failed(self, letters: Sequence[Letter]) -> None:
        """See `oyez.server.webhooks.ledger.Kept.failed`."""
        self._writer.failed(letters)

    def bury(self, letter: Letter) -> None:
        """See `oyez.server.webhooks.ledger.Kept.bury`."""
        self._writer.bury(letter)

    def may_deliver(self) -> bool:
        """See `oyez.server.webhooks.ledger.Kept.may_deliver`."""
        return not self._duties.lapsed

    # How it is done.

    async def _say(self, signals: Sequence[Signal]) -> None:
        await self._writer.keep(signals=signals)

    def _written(self, before: int, letters: Sequence[Letter]) -> None:
        self._feed.written(before, letters, self._desk)

    async def _prepare(self) -> bool:
        try:
            self._lock.take()
            await self._database.write(_prepare)
        except OutboxInUse:
            raise
        except (OutboxUnavailable, OSError) as error:
            log.error("webhook database away", error=str(error))
            return False
        except Exception:
            log.exception("bug in the webhooks")
            return False
        return True

    async def _open_later(self) -> None:
        prepared = False
        while not prepared:
            await asyncio.sleep(_OPENS_AGAIN)
            prepared = await self._prepare()
        self._start()

    def _start(self) -> None:
        for work in (
            self._writer.run(self._desk),
            self._feed.run(self._desk),
            self._beat_forever(),
        ):
            self._tasks.append(asyncio.create_task(work))

    async def _beat_forever(self) -> None:
        counted = 0.0
        while True:
            try:
                await self._beat()
                if time.monotonic() - counted >= _COUNTS:
                    counted = time.monotonic()
                    self._backlog = await self._aside.read(read_backlog)
            except OutboxUnavailable as error:
                log.debug("no heartbeat", error=str(error))
            except Exception:
                log.exception("bug in the duties of webhooks")
            await asyncio.sleep(self._timing.beat)

    async def _beat(self) -> None:
        """Give a sign of life; begin what is our duty now, and stop what is not."""
        beating = asyncio.ensure_future(self._database.write(self._duties.beat))
        try:
            await asyncio.wait([beating], timeout=self._duties.patience)
            if not beating.done():
                await self._lose(self._held)
            held, began = await beating
        except OutboxUnavailable:
            if self._duties.lapsed:
                await self._lose(self._held)
            raise
        self._duties.confirm(began)
        await self._lose(self._held - held)
        taken, self._held = held - self._held, held
        self._feed.take(frozenset(self._addresses[each] for each in taken - {_RECONCILE}))
        if _RECONCILE in taken:
            self._reconciling = asyncio.create_task(self._reconcile())

    async def _lose(self, names: frozenset[str]) -> None:
        """Stop doing what others may do from now on."""
        self._held -= names
        if _RECONCILE in names and self._reconciling is not None:
            self._reconciling.cancel()
            await asyncio.gather(self._reconciling, return_exceptions=True)
        for address in (self._addresses[each] for each in names - {_RECONCILE}):
            self._feed.drop(address)
            await self._desk.abandon(*address)

    async def _reconcile(self) -> None:
        try:
            await self._reconciler.run(self._desk)
        except EngineUnavailable as error:
            log.debug("engine away", error=str(error))
        except Exception:
            log.exception("bug in the reconciliation of webhooks")
        self._duties.shun(_RECONCILE)  # others may have more luck


def _prepare(connection: Connection) -> None:
    create_tables(connection)
    number_from_here(connection)
    take_over(connection)


def _duty(address: Address) -> str:
    return "deliver {} {}".format(*address)
