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
    ColumnElement,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    update,
)

from oyez.server.webhooks.grace import Presence
from oyez.server.webhooks.ledger import Change, Letter
from oyez.server.webhooks.shares import fair_share

__all__ = [
    "MOST_DEAD",
    "Change",
    "Letter",
    "bury_letters",
    "create_tables",
    "delete_letters",
    "drop_letters",
    "last_position",
    "letter_of",
    "letters_table",
    "metadata",
    "note_failures",
    "present_table",
    "read_dead",
    "read_pending",
    "read_present",
    "revive_letters",
    "write_changes",
]

MOST_DEAD = 10_000  # dead letters kept, for all endpoints together
metadata = MetaData()
letters_table = Table(
    "webhook_letters",
    metadata,
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
present_table = Table(
    "webhook_presence",
    metadata,
    Column("app_id", String(40), primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("user_id", LargeBinary, primary_key=True),  # UTF-8: PostgreSQL's text has no NUL
)
# The type of an event, as far as it takes to tell it from others: what follows ``{"name":"``.
_type: ColumnElement[bytes] = literal_column("substr(body, 10, 14)", LargeBinary)
_insert = insert(letters_table)
_delete = delete(letters_table).where(letters_table.c.id == bindparam("gone"))
_bury = (
    update(letters_table)
    .where(letters_table.c.id == bindparam("buried"))
    .values(dead=True, attempts=bindparam("tried"), error=bindparam("why"))
)
_note = (
    update(letters_table)
    .where(letters_table.c.id == bindparam("failed"))
    .values(attempts=bindparam("tried"), error=bindparam("why"))
)
_begin = insert(present_table)
_end = delete(present_table).where(
    *(column == bindparam(f"old_{column.name}") for column in present_table.c)
)


def create_tables(connection: Connection) -> None:
    """Make what is not there yet."""
    metadata.create_all(connection)


def last_position(connection: Connection) -> int:
    """The largest position of any letter."""
    return connection.execute(select(func.max(letters_table.c.position))).scalar() or 0


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
    """Delete letters that nobody needs any more."""
    if gone := [{"gone": each} for each in ids]:
        connection.execute(_delete, gone)


def drop_letters(connection: Connection, ids: Sequence[str]) -> list[str]:
    """Delete letters, and return the ids of those that were there."""
    chosen = letters_table.c.id.in_(ids)
    found = list(connection.execute(select(letters_table.c.id).where(chosen)).scalars())
    delete_letters(connection, found)
    return found


def note_failures(connection: Connection, letters: Iterable[Letter]) -> None:
    """Keep the attempts and last errors of letters that are tried again."""
    if noted := [{"failed": x.id, "tried": x.attempts, "why": _text(x.error)} for x in letters]:
        connection.execute(_note, noted)


def bury_letters(connection: Connection, letters: Iterable[Letter]) -> None:
    """Keep letters as dead; where these are too many, not the oldest of what there is most of.

    The dead of each endpoint and type have a share.
    """
    buried = [{"buried": x.id, "tried": x.attempts, "why": _text(x.error)} for x in letters]
    if not buried:
        return
    connection.execute(_bury, buried)
    columns, dead = letters_table.c, letters_table.c.dead.is_(True)
    counting = select(columns.app_id, columns.target, _type, func.count())
    grouped = counting.where(dead).group_by(columns.app_id, columns.target, _type)
    shares = {tuple(share): count for *share, count in connection.execute(grouped)}
    if sum(shares.values()) <= MOST_DEAD:
        return
    most = fair_share(shares.values(), MOST_DEAD)
    for (app_id, target, kind), count in shares.items():
        if count > most:
            its = and_(dead, columns.app_id == app_id, columns.target == target, _type == kind)
            oldest = select(columns.id).where(its).order_by(columns.position).limit(count - most)
            connection.execute(delete(letters_table).where(columns.id.in_(oldest)))


def revive_letters(connection: Connection, ids: Sequence[str]) -> list[Letter]:
    """Make dead letters pending again, and return them."""
    chosen = letters_table.c.id.in_(ids) & letters_table.c.dead.is_(True)
    query = select(letters_table).where(chosen).order_by(letters_table.c.position)
    letters = [letter_of(row) for row in connection.execute(query)]
    connection.execute(update(letters_table).where(chosen).values(dead=False, attempts=0))
    for letter in letters:
        letter.dead, letter.attempts = False, 0
    return letters


def read_pending(connection: Connection, limit: int | None = None) -> list[Letter]:
    """Undelivered letters, oldest first."""
    pending = select(letters_table).where(letters_table.c.dead.is_(False))
    query = pending.order_by(letters_table.c.position).limit(limit)
    return [letter_of(row) for row in connection.execute(query)]


def read_dead(connection: Connection, limit: int) -> list[Letter]:
    """The newest dead letters, newest first."""
    dead = select(letters_table).where(letters_table.c.dead.is_(True))
    query = dead.order_by(letters_table.c.position.desc()).limit(limit)
    return [letter_of(row) for row in connection.execute(query)]


def read_present(connection: Connection) -> list[Presence]:
    """Who was told to be there."""
    return [
        Presence(row.app_id, row.channel, row.user_id.decode())
        for row in connection.execute(select(present_table))
    ]


def _text(error: str) -> str:
    """As much of it as there is room for; PostgreSQL's text has no NUL."""
    return error.replace("\0", "")[:500]


def _values(presence: Presence) -> dict[str, str | bytes]:
    return {**presence._asdict(), "user_id": presence.user_id.encode()}


def _old(presence: Presence) -> dict[str, str | bytes]:
    return {f"old_{name}": value for name, value in _values(presence).items()}


def letter_of(row: Row[Any]) -> Letter:
    """A row as a letter."""
    return Letter(**row._mapping)
