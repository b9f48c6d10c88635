"""One database and one thread that talks to it: one transaction after the other.

SQL through SQLAlchemy: SQLite in WAL mode, or PostgreSQL by its URL. Where several processes share
a database, all that write take turns in the whole deployment: a transaction can read, decide in
Python and write, nothing that others do comes in between, and there are no deadlocks.
"""

import asyncio
import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import Connection, create_engine, event, text
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
    SQLAlchemyError,
)

from oyez.server.webhooks.ledger import OutboxRefused, OutboxUnavailable

__all__ = ["Database", "clock"]

_TURN = 0x6F79657A  # the number of PostgreSQL's advisory lock by which writers take turns
_WAITS = 5  # seconds for a turn; also how long a process that hangs may keep it in PostgreSQL
_HOPELESS = (DataError, IntegrityError, NotSupportedError, ProgrammingError)
_clock = text("SELECT extract(epoch FROM clock_timestamp())")

_Found = TypeVar("_Found")


class Database:
    """Runs functions of a connection, each in a transaction.

    Args:
        url: an SQLAlchemy URL.
        shared: other processes write to it as well.
    """

    def __init__(self, url: str, *, shared: bool = False) -> None:
        self._shared = shared
        self._engine = create_engine(url, connect_args=_patience(url) if shared else {})
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "do_connect", _keep_private)
            event.listen(self._engine, "connect", _tune_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)
        elif shared:
            event.listen(self._engine, "connect", _tune_postgresql)
            event.listen(self._engine, "begin", _begin_postgresql)
        self._thread = ThreadPoolExecutor(1, "outbox")

    async def read(self, do: Callable[[Connection], _Found]) -> _Found:
        """What ``do`` finds.

        Raises:
            OutboxUnavailable: the database does not answer.
        """
        return await self._in_thread(do, writes=False)

    async def write(self, do: Callable[[Connection], _Found]) -> _Found:
        """Have ``do`` change something, all or nothing.

        It may be run twice, if the connection broke and it is not known whether it was done.

        Raises:
            OutboxUnavailable: nothing is changed, as far as we know.
        """
        return await self._in_thread(do, writes=True)

    def close(self) -> None:
        """Wait for the last transaction, then give back the connection."""
        self._thread.shutdown()
        self._engine.dispose()

    async def _in_thread(self, do: Callable[[Connection], _Found], *, writes: bool) -> _Found:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._run, do, writes)

    def _run(self, do: Callable[[Connection], _Found], writes: bool) -> _Found:
        try:
            try:
                return self._transaction(do, writes)
            except DBAPIError as error:
                if not (self._shared and error.connection_invalidated):
                    raise
                return self._transaction(do, writes)  # it was closed while nobody used it
        except _HOPELESS as error:
            raise OutboxRefused(str(error)) from error
        except SQLAlchemyError as error:
            raise OutboxUnavailable(str(error)) from error

    def _transaction(self, do: Callable[[Connection], _Found], writes: bool) -> _Found:
        with self._engine.connect() as connection:
            connection = connection.execution_options(writes=writes)
            with connection.begin():
                return do(connection)


def clock(connection: Connection) -> float:
    """Unix time, the same for all who share the database."""
    if connection.dialect.name == "sqlite":
        return time.time()
    return float(connection.execute(_clock).scalar_one())


def _patience(url: str) -> dict[str, int]:
    """A connection that is cut off silently ends after some seconds, for drivers over libpq."""
    if "+psycopg" not in url:
        return {}
    return {
        "connect_timeout": _WAITS,
        "keepalives_idle": 3,
        "keepalives_interval": 2,
        "keepalives_count": 2,
        "tcp_user_timeout": 8000,
    }


def _keep_private(_: object, __: object, arguments: Sequence[Any], ___: object) -> None:
    """Let only our user read the files, whatever the umask; SQLite makes new ones like the first.

    What cannot be done is not said here: SQLite says in a moment if it cannot use a file.
    """
    path = str(arguments[0])
    if path in ("", ":memory:") or path.startswith("file:"):
        return
    with contextlib.suppress(OSError):
        # Only a new one: closing a file that is in use would end its locks.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    for suffix in ("", "-wal", "-shm", "-journal"):
        with contextlib.suppress(OSError):
            os.chmod(path + suffix, 0o600)


def _tune_sqlite(connection: Any, _: object) -> None:
    """What is committed to the WAL survives the process without a sync; power loss may take it."""
    connection.isolation_level = None  # the driver begins no transactions of its own
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={_WAITS * 1000}")
    _use_wal(cursor)
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def _use_wal(cursor: Any) -> None:
    """SQLite does not wait for others that do the same at this moment."""
    deadline = time.monotonic() + _WAITS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    """A reader that becomes a writer later is refused if others have written meanwhile."""
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _tune_postgresql(connection: Any, _: object) -> None:
    """A process that was stopped in the middle of its turn loses it."""
    cursor = connection.cursor()
    cursor.execute(f"SET idle_in_transaction_session_timeout = '{_WAITS}s'")
    cursor.execute(f"SET lock_timeout = '{_WAITS}s'")
    cursor.execute(f"SET statement_timeout = '{2 * _WAITS}s'")
    cursor.close()
    connection.commit()


def _begin_postgresql(connection: Connection) -> None:
    if connection.get_execution_options().get("writes"):
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_TURN})")
