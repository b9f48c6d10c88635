"""The tables of the outbox, and what is written to and read from them.

Plain SQLAlchemy on a connection, so that SQLite and PostgreSQL do the same; `outbox` says when.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    Text,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from oyez.server.webhooks.grace import Presence
from oyez.server.webhooks.ledger import Change, Letter

__all__ = [
    "Change",
    "Letter",
    "bury_letters",
    "create_tables",
    "delete_letters",
    "last_position",
    "read_dead",
    "read_pending",
    "read_present",
    "revive_letters",
    "write_changes",
]

_MOST_DEAD = 10_000  # dead letters kept, for all endpoints together
_metadata = MetaData()
_letters = Table(
    "webhook_letters",
    _metadata,
    Column("id", String(32), primary_key=True),
    Column("position", BigInteger, nullable=False, index=True),
    Column("app_id", String(40), nullable=False),
    Column("target", Text, nullable=False),
    Column("channel", Text, nullable=False),
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
    Column("channel", Text, primary_key=True),
    Column("user_id", LargeBinary, primary_key=True),  # UTF-8: PostgreSQL's text has no NUL
)
_insert = insert(_letters)
_delete = delete(_letters).where(_letters.c.id == bindparam("gone"))
_bury = (
    update(_letters)
    .where(_letters.c.id == bindparam("buried"))
    .values(dead=True, attempts=bindparam("tried"), error=bindparam("why"))
)
_begin = insert(_present)
_end = delete(_present).where(*(column == bindparam(f"old_{column.name}") for column in _present.c))


def create_tables(connection: Connection) -> None:
    """Make what is not there yet."""
    _metadata.create_all(connection)


def last_position(connection: Connection) -> int:
    """The largest position of any letter."""
    return connection.execute(select(func.max(_letters.c.position))).scalar() or 0


def write_changes(connection: Connection, changes: Sequence[Change]) -> None:
    """Keep what happened."""
    letters = [msgspec.structs.asdict(x) for change in changes for x in change.letters]
    if letters:
        connection.execute(_insert, letters)
    for change in changes:  # in order: one may take back what another began
        if gone := [_old(presence) for presence in (*change.ended, *change.begun)]:
            connection.execute(_end, gone)
        if change.begun:
            connection.execute(_begin, [_values(presence) for presence in change.begun])


def delete_letters(connection: Connection, ids: Iterable[str]) -> None:
    """Letters that nobody needs any more."""
    if gone := [{"gone": each} for each in ids]:
        connection.execute(_delete, gone)


def bury_letters(connection: Connection, letters: Iterable[Letter]) -> None:
    """Keep letters as dead, but only the newest of all the dead."""
    buried = [{"buried": x.id, "tried": x.attempts, "why": x.error[:500]} for x in letters]
    if not buried:
        return
    connection.execute(_bury, buried)
    dead = _letters.c.dead.is_(True)
    oldest_kept = (
        select(_letters.c.position)
        .where(dead)
        .order_by(_letters.c.position.desc())
        .offset(_MOST_DEAD - 1)
        .limit(1)
    )
    position = connection.execute(oldest_kept).scalar()
    if position is not None:
        connection.execute(delete(_letters).where(dead & (_letters.c.position < position)))


def revive_letters(connection: Connection, ids: Sequence[str]) -> list[Letter]:
    """Make dead letters pending again, and return them."""
    chosen = _letters.c.id.in_(ids) & _letters.c.dead.is_(True)
    letters = [_letter(row) for row in connection.execute(select(_letters).where(chosen))]
    connection.execute(update(_letters).where(chosen).values(dead=False, attempts=0))
    for letter in letters:
        letter.dead, letter.attempts = False, 0
    return letters


def read_pending(connection: Connection) -> list[Letter]:
    """Undelivered letters, oldest first."""
    query = select(_letters).where(_letters.c.dead.is_(False)).order_by(_letters.c.position)
    return [_letter(row) for row in connection.execute(query)]


def read_dead(connection: Connection, limit: int) -> list[Letter]:
    """The newest dead letters, newest first."""
    dead = select(_letters).where(_letters.c.dead.is_(True))
    query = dead.order_by(_letters.c.position.desc()).limit(limit)
    return [_letter(row) for row in connection.execute(query)]


def read_present(connection: Connection) -> list[Presence]:
    """Who was told to be there."""
    return [
        Presence(row.app_id, row.channel, row.user_id.decode())
        for row in connection.execute(select(_present))
    ]


def _values(presence: Presence) -> dict[str, str | bytes]:
    return {**presence._asdict(), "user_id": presence.user_id.encode()}


def _old(presence: Presence) -> dict[str, str | bytes]:
    return {f"old_{name}": value for name, value in _values(presence).items()}


def _letter(row: Row[Any]) -> Letter:
    return Letter(**row._mapping)
