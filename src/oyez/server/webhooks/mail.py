"""Letters of all nodes in one order, and small things that nodes leave for each other.

Writers take turns (`database`), so the order of positions is the order in which transactions became
visible: who has read up to a position has missed nothing before it.
"""

from collections.abc import Collection, Iterable, Sequence

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    String,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    text,
    tuple_,
    update,
)

from oyez.server.webhooks.ledger import Address, Backlog, Letter
from oyez.server.webhooks.letters import drop_letters, letter_of, letters_table, metadata

__all__ = [
    "ask_doubts",
    "bury_unknown",
    "forget_notes",
    "is_first_miss",
    "keep_letters",
    "last_kept",
    "note_doubts",
    "number_from_here",
    "read_backlog",
    "read_letters",
    "read_letters_of",
    "read_withdrawn",
    "revive",
    "withdraw",
]

_counter = Table("webhook_counter", metadata, Column("position", BigInteger, primary_key=True))
_withdrawn = Table(
    "webhook_withdrawn",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("position", BigInteger, nullable=False, index=True),
)
_misses = Table(
    "webhook_misses",
    metadata,
    Column("app_id", String(40), primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("until", Double, nullable=False),
)
_doubts = Table(
    "webhook_doubts",
    metadata,
    Column("app_id", String(40), primary_key=True),
    Column("times", BigInteger, nullable=False),
)
_last = select(_counter.c.position)
_count = update(_counter).values(position=bindparam("last"))
_keep = text(
    f"INSERT INTO {letters_table.name}"  # noqa: S608 - a constant
    " (id, position, app_id, target, channel, body, created_ms, dead, attempts, error)"
    " VALUES (:id, :position, :app_id, :target, :channel, :body, :created_ms, :dead, :attempts,"
    " :error) ON CONFLICT DO NOTHING"
)
_miss = text(
    "INSERT INTO webhook_misses (app_id, channel, until) VALUES (:app_id, :channel, :until)"
    " ON CONFLICT (app_id, channel) DO UPDATE SET until = excluded.until"
    " WHERE webhook_misses.until <= :now"
)
_doubt = text(
    "INSERT INTO webhook_doubts (app_id, times) VALUES (:app_id, 1)"
    " ON CONFLICT (app_id) DO UPDATE SET times = webhook_doubts.times + 1"
)
_position = letters_table.c.position
_pending = letters_table.c.dead.is_(False)
_address = tuple_(letters_table.c.app_id, letters_table.c.target)


def number_from_here(connection: Connection) -> None:
    """Make the counter, beyond what a single node has stored here before."""
    if connection.execute(_last).first() is None:
        last = connection.execute(select(func.max(_position))).scalar() or 0
        connection.execute(insert(_counter).values(position=last))


def last_kept(connection: Connection) -> int:
    """The last position that was given away."""
    return int(connection.execute(_last).scalar_one())


def keep_letters(connection: Connection, letters: Sequence[Letter]) -> int:
    """Store letters in this order; the position before the first of them."""
    before = _count_on(connection, len(letters))
    for position, letter in enumerate(letters, before + 1):
        letter.position = position
    if letters:
        connection.execute(_keep, [msgspec.structs.asdict(letter) for letter in letters])
    return before


def read_letters(connection: Connection, after: int, most: int) -> tuple[list[Letter], int]:
    """Pending letters beyond a position, and up to where these are all."""
    last = last_kept(connection)
    if last == after:
        return [], after
    chosen = and_(_pending, _position > after, _position <= last)
    query = select(letters_table).where(chosen).order_by(_position).limit(most)
    letters = [letter_of(row) for row in connection.execute(query)]
    return letters, letters[-1].position if len(letters) == most else last


def read_letters_of(connection: Connection, address: Address, after: int, to: int) -> list[Letter]:
    """Pending letters of one endpoint."""
    app_id, target = address
    its = and_(letters_table.c.app_id == app_id, letters_table.c.target == target)
    chosen = and_(its, _pending, _position > after, _position <= to)
    query = select(letters_table).where(chosen).order_by(_position)
    return [letter_of(row) for row in connection.execute(query)]


def read_backlog(connection: Connection) -> Backlog:
    """See `oyez.server.webhooks.ledger.Backlog`."""
    columns = letters_table.c
    query = select(columns.app_id, columns.target, func.count(), func.min(columns.created_ms))
    found = connection.execute(query.where(_pending).group_by(columns.app_id, columns.target))
    return {(app_id, target): (count, oldest) for app_id, target, count, oldest in found}


def revive(connection: Connection, ids: Sequence[str]) -> int:
    """Make dead letters pending again, for those who deliver them to find; how many."""
    dead = and_(letters_table.c.id.in_(ids), letters_table.c.dead.is_(True))
    query = select(letters_table.c.id).where(dead).order_by(_position)
    chosen = connection.execute(query).scalars().all()
    before = _count_on(connection, len(chosen))
    for position, each in enumerate(chosen, before + 1):
        again = {"dead": False, "attempts": 0, "position": position}
        connection.execute(update(letters_table).where(letters_table.c.id == each).values(again))
    return len(chosen)


def withdraw(connection: Connection, ids: Sequence[str]) -> int:
    """Delete letters, tell those who may be about to deliver them; return how many there were."""
    chosen = letters_table.c.id.in_(ids)
    pending = connection.execute(select(letters_table.c.id).where(chosen, _pending)).scalars().all()
    before = _count_on(connection, len(pending))
    for position, each in enumerate(pending, before + 1):
        connection.execute(insert(_withdrawn).values(id=each, position=position))
    return len(drop_letters(connection, ids))


def read_withdrawn(connection: Connection, after: int) -> list[str]:
    """The ids of letters that were withdrawn since a position."""
    query = select(_withdrawn.c.id).where(_withdrawn.c.position > after)
    return list(connection.execute(query).scalars())


def is_first_miss(
    connection: Connection, app_id: str, channel: str, now: float, seconds: float
) -> bool:
    """Whether nobody has asked this for so long."""
    given = {"app_id": app_id, "channel": channel, "until": now + seconds, "now": now}
    return connection.execute(_miss, given).rowcount > 0


def note_doubts(connection: Connection, apps: Iterable[str]) -> None:
    """Ask whoever compares to do so soon."""
    if noted := [{"app_id": app_id} for app_id in sorted(apps)]:
        connection.execute(_doubt, noted)


def ask_doubts(connection: Connection) -> dict[str, int]:
    """How often each app was doubted."""
    return {row.app_id: row.times for row in connection.execute(select(_doubts))}


def bury_unknown(connection: Connection, known: Collection[Address], before_ms: int) -> int:
    """Give up old letters to endpoints that are no longer configured; how many."""
    waits = and_(_pending, letters_table.c.created_ms < before_ms)
    unknown = and_(waits, _address.not_in(sorted(known)))
    why = "the endpoint is no longer configured"
    change = update(letters_table).where(unknown).values(dead=True, error=why)
    return connection.execute(change).rowcount


def forget_notes(connection: Connection, now: float, before: int) -> None:
    """Delete what nobody needs any more: misses, and what was withdrawn before a position."""
    connection.execute(delete(_misses).where(_misses.c.until <= now))
    connection.execute(delete(_withdrawn).where(_withdrawn.c.position <= before))


def _count_on(connection: Connection, count: int) -> int:
    last = last_kept(connection)
    if count:
        connection.execute(_count, {"last": last + count})
    return last
