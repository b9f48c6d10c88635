"""What must survive: undelivered webhook events, dead letters, and who was told to be there.

What happens during one transaction goes into the next together. What was delivered is forgotten
with the next event, or a moment later: nobody waits for that.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import structlog
from sqlalchemy import Connection

from oyez.server.webhooks.database import Database
from oyez.server.webhooks.file_lock import FileLock
from oyez.server.webhooks.grace import Presence
from oyez.server.webhooks.ledger import Change, Letter, OutboxInUse, OutboxUnavailable
from oyez.server.webhooks.letters import (
    bury_letters,
    create_tables,
    delete_letters,
    drop_letters,
    last_position,
    note_failures,
    read_dead,
    read_pending,
    read_present,
    revive_letters,
    write_changes,
)

__all__ = ["Outbox", "OutboxUnavailable"]

log: structlog.stdlib.BoundLogger = structlog.get_logger("oyez.webhooks")

_FORGET_AFTER = 0.2  # seconds that a delivered letter may wait for another transaction


@dataclass(slots=True)
class _Batch:
    changes: list[Change] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    failed: list[Letter] = field(default_factory=list)
    buried: list[Letter] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    error: OutboxUnavailable | None = None


class Outbox:
    """The store; enter it before use.

    Args:
        url: an SQLAlchemy URL.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url)
        self._lock = FileLock(url, shared=False)
        self._batch = _Batch()
        self._wanted = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._later: asyncio.TimerHandle | None = None
        self._position = 0

    async def __aenter__(self) -> Self:
        try:
            self._lock.take()
            await self._database.write(create_tables)
            self._position = await self._database.read(last_position)
        except BaseException as error:
            self._lock.release()
            if isinstance(error, OutboxInUse) or not isinstance(error, OutboxUnavailable | OSError):
                raise
            raise OutboxUnavailable(f"cannot open the outbox: {error}") from error
        self._writer = asyncio.create_task(self._write_all())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._later is not None:
            self._later.cancel()
        if self._writer is not None:
            await self._commit_pending()
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        self._database.close()
        self._lock.release()

    def next_position(self) -> int:
        """A number larger than all before: letters are delivered in its order."""
        self._position += 1
        return self._position

    async def store(self, change: Change) -> None:
        """Keep what happened; when this returns it survives the end of the process.

        Raises:
            OutboxUnavailable: nothing of it is kept.
        """
        batch = self._batch
        batch.changes.append(change)
        self._wanted.set()
        await batch.done.wait()
        if batch.error is not None:
            raise OutboxUnavailable(str(batch.error)) from batch.error

    def remove(self, ids: Sequence[str]) -> None:
        """Letters have been delivered or dropped. At worst they are delivered again."""
        self._batch.removed.extend(ids)
        self._write_later()

    def failed(self, letters: Sequence[Letter]) -> None:
        """Keep the attempts and last errors of letters that are tried again."""
        self._batch.failed.extend(letters)
        self._write_later()

    def bury(self, letter: Letter) -> None:
        """Keep a letter as dead, with its attempts and its last error."""
        self._batch.buried.append(letter)
        self._wanted.set()

    def may_deliver(self) -> bool:
        """See `oyez.server.webhooks.ledger.Kept.may_deliver`: there is no other node."""
        return True

    async def pending(self) -> list[Letter]:
        """Undelivered letters, oldest first.

        Raises:
            OutboxUnavailable: the database does not answer.
        """
        return await self._database.read(read_pending)

    async def dead(self, limit: int = 1000) -> list[Letter]:
        """The newest dead letters, newest first.

        Raises:
            OutboxUnavailable: the database does not answer.
        """
        return await self._database.read(lambda connection: read_dead(connection, limit))

    async def present(self) -> list[Presence]:
        """Who was told to be there when the store was last written.

        Raises:
            OutboxUnavailable: the database does not answer.
        """
        return await self._database.read(read_present)

    async def revive(self, ids: Sequence[str]) -> list[Letter]:
        """Make dead letters pending again, and return them.

        Raises:
            OutboxUnavailable: the database does not answer.
        """
        return await self._database.write(lambda connection: revive_letters(connection, ids))

    async def drop(self, ids: Sequence[str]) -> int:
        """Forget letters, and return how many there were.

        Raises:
            OutboxUnavailable: the database does not answer.
        """
        gone = await self._database.write(lambda connection: drop_letters(connection, ids))
        return len(gone)

    def _write_later(self) -> None:
        if self._later is None:
            loop = asyncio.get_running_loop()
            self._later = loop.call_later(_FORGET_AFTER, self._wanted.set)

    async def _write_all(self) -> None:
        while True:
            await self._wanted.wait()
            await self._commit_pending()

    async def _commit_pending(self) -> None:
        """Write what has been collected; what comes in meanwhile is the next transaction."""
        batch, self._batch = self._batch, _Batch()
        self._wanted.clear()
        if self._later is not None:
            self._later.cancel()
            self._later = None
        try:
            await self._database.write(lambda connection: _write(connection, batch))
        except OutboxUnavailable as error:
            batch.error = error
        except Exception as error:  # ours: what comes after must be written all the same
            log.exception("bug in the webhooks")
            batch.error = OutboxUnavailable(f"{type(error).__name__}: {error}")
        finally:
            batch.done.set()


def _write(connection: Connection, batch: _Batch) -> None:
    write_changes(connection, batch.changes)
    delete_letters(connection, batch.removed)
    note_failures(connection, batch.failed)
    bury_letters(connection, batch.buried)
