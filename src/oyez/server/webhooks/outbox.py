"""What must survive: undelivered webhook events, dead letters, and who was told to be there.

SQL through SQLAlchemy: SQLite in WAL mode by default, PostgreSQL by its URL. What happens while one
transaction is written goes into the next together, off the loop, so that a thousand joins a second
cost a few commits.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    delete,
    event,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from oyez.server.webhooks.grace import Presence

__all__ = ["Change", "Letter", "Outbox", "OutboxUnavailable"]

_MOST_DEAD = 10_000  # dead letters kept, for all endpoints together
_metadata = MetaData()
_letters = Table(
    "webhook_letters",
    _metadata,
    Column("id", String(32), primary_key=True),
    Column("position", BigInteger, nullable=False, index=True),
    Column("app_id", String(40), nullable=False),
    Column("target", String(2000), nullable=False),
    Column("channel", String(400), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("dead", Boolean, nullable=False, default=False),
    Column("attempts", Integer, nullable=False, default=0),
    Column("error", String(500), nullable=False, default=""),
)
_present = Table(
    "webhook_presence",
    _metadata,
    Column("app_id", String(40), primary_key=True),
    Column("channel", String(400), primary_key=True),
    Column("user_id", String(400), primary_key=True),
)


class OutboxUnavailable(Exception):
    """The database does not take or give anything."""


class Letter(msgspec.Struct):
    """One event on its way to one endpoint.

    Attributes:
        id: unique, also told to the receiver.
        body: the event as JSON.
        created_ms: when it happened, Unix milliseconds.
        dead: whether no more attempts are made by themselves.
    """

    id: str
    position: int
    app_id: str
    target: str
    channel: str
    body: bytes
    created_ms: int
    dead: bool = False
    attempts: int = 0
    error: str = ""


@dataclass(slots=True)
class Change:
    """What one happening changes, all or nothing."""

    letters: Sequence[Letter] = ()
    begun: Sequence[Presence] = ()
    ended: Sequence[Presence] = ()


@dataclass(slots=True)
class _Batch:
    changes: list[Change] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    buried: list[Letter] = field(default_factory=list)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    error: Exception | None = None


class Outbox:
    """The store; enter it before use.

    Args:
        url: an SQLAlchemy URL with an async driver.
    """

    def __init__(self, url: str) -> None:
        self._engine: AsyncEngine = create_async_engine(url)
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine.sync_engine, "connect", _tune_sqlite)
        self._batch = _Batch()
        self._wanted = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._position = 0

    async def __aenter__(self) -> Self:
        try:
            async with self._engine.begin() as connection:
                await connection.run_sync(_metadata.create_all)
                found = await connection.execute(select(func.max(_letters.c.position)))
                self._position = found.scalar() or 0
        except SQLAlchemyError as error:
            raise OutboxUnavailable(f"cannot open the outbox: {error}") from error
        self._writer = asyncio.create_task(self._write_all())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            await self._commit_pending()
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        await self._engine.dispose()

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
        self._wanted.set()

    def bury(self, letter: Letter) -> None:
        """Keep a letter as dead, with its attempts and its last error."""
        self._batch.buried.append(letter)
        self._wanted.set()

    async def pending(self) -> list[Letter]:
        """Undelivered letters, oldest first.

        Raises:
            OutboxUnavailable: the database does not answer.
        """
        query = select(_letters).where(_letters.c.dead.is_(False)).order_by(_letters.c.position)
        return [_letter(row) for row in await self._rows(query)]

    async def dead(self, limit: int = 1000) -> list[Letter]:
        """The newest dead letters, newest first.

        Raises:
            OutboxUnavailable: the database does not answer.
        """
        query = (
            select(_letters)
            .where(_letters.c.dead.is_(True))
            .order_by(_letters.c.position.desc())
            .limit(limit)
        )
        return [_letter(row) for row in await self._rows(query)]

    async def present(self) -> list[Presence]:
        """Who was told to be there when the store was last written.

        Raises:
            OutboxUnavailable: the database does not answer.
        """
        return [Presence(**row._mapping) for row in await self._rows(select(_present))]

    async def revive(self, ids: Sequence[str]) -> list[Letter]:
        """Make dead letters pending again, and return them.

        Raises:
            OutboxUnavailable: the database does not answer.
        """
        chosen = _letters.c.id.in_(ids) & _letters.c.dead.is_(True)
        try:
            async with self._engine.begin() as connection:
                rows = (await connection.execute(select(_letters).where(chosen))).all()
                await connection.execute(
                    update(_letters).where(chosen).values(dead=False, attempts=0)
                )
        except SQLAlchemyError as error:
            raise OutboxUnavailable(str(error)) from error
        letters = [_letter(row) for row in rows]
        for letter in letters:
            letter.dead, letter.attempts = False, 0
        return letters

    async def _rows(self, query: Any) -> Sequence[Row[Any]]:
        try:
            async with self._engine.connect() as connection:
                return (await connection.execute(query)).all()
        except SQLAlchemyError as error:
            raise OutboxUnavailable(str(error)) from error

    async def _write_all(self) -> None:
        while True:
            await self._wanted.wait()
            await self._commit_pending()

    async def _commit_pending(self) -> None:
        """Write what has been collected; what comes in meanwhile is the next transaction."""
        batch, self._batch = self._batch, _Batch()
        self._wanted.clear()
        try:
            async with self._engine.begin() as connection:
                await _write(connection, batch)
        except SQLAlchemyError as error:
            batch.error = error
        finally:
            batch.done.set()


async def _write(connection: AsyncConnection, batch: _Batch) -> None:
    letters = [each for change in batch.changes for each in change.letters]
    if letters:
        await connection.execute(insert(_letters), [msgspec.structs.asdict(x) for x in letters])
    for change in batch.changes:  # in order: one may take back what another began
        for presence in change.ended:
            await connection.execute(delete(_present).where(*_is(presence)))
        for presence in change.begun:
            await connection.execute(delete(_present).where(*_is(presence)))
            await connection.execute(insert(_present), [presence._asdict()])
    if batch.removed:
        for at in range(0, len(batch.removed), 500):
            ids = batch.removed[at : at + 500]
            await connection.execute(delete(_letters).where(_letters.c.id.in_(ids)))
    for letter in batch.buried:
        values = {"dead": True, "attempts": letter.attempts, "error": letter.error[:500]}
        await connection.execute(
            update(_letters).where(_letters.c.id == letter.id).values(**values)
        )
    if batch.buried:
        await _prune(connection)


async def _prune(connection: AsyncConnection) -> None:
    """Keep only the newest dead letters."""
    dead = _letters.c.dead.is_(True)
    oldest_kept = (
        select(_letters.c.position)
        .where(dead)
        .order_by(_letters.c.position.desc())
        .offset(_MOST_DEAD - 1)
        .limit(1)
    )
    position = (await connection.execute(oldest_kept)).scalar()
    if position is not None:
        await connection.execute(delete(_letters).where(dead & (_letters.c.position < position)))


def _is(presence: Presence) -> tuple[Any, ...]:
    return tuple(_present.c[name] == value for name, value in presence._asdict().items())


def _letter(row: Row[Any]) -> Letter:
    return Letter(**row._mapping)


def _tune_sqlite(connection: Any, _: object) -> None:
    """What is committed to the WAL survives the process without a sync; power loss may take it."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()
