"""Who is there and what receivers were told of it, in a table that all nodes share.

Signals say that something was there or gone as of a revision of the engine. They come from
different nodes, in any order or never; a signal that is not newer than what is known changes
nothing. Everything here happens in a transaction of `database`, during which nobody else writes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    Index,
    LargeBinary,
    Row,
    String,
    Table,
    Text,
    and_,
    delete,
    func,
    select,
    text,
    update,
)

from oyez.server.webhooks.grace import Presence
from oyez.server.webhooks.letters import metadata, present_table

__all__ = [
    "Signal",
    "Standing",
    "Summary",
    "end_due",
    "forget_gone",
    "heard",
    "lower_revisions",
    "read_channels",
    "read_due",
    "read_members",
    "take_over",
    "take_signals",
]

_REMEMBERED = 300.0  # seconds in which it is known of something gone that older signals are old
_AT_ONCE = 500  # rows asked for by one statement

_told = Table(
    "webhook_told",
    metadata,
    Column("app_id", String(40), primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("user_id", LargeBinary, primary_key=True),  # UTF-8: PostgreSQL's text has no NUL
    Column("revision", BigInteger, nullable=False),
    Column("there", Boolean, nullable=False),
    Column("told", Boolean, nullable=False),
    Column("due", Double, nullable=True),
)
_has_due = _told.c.due.is_not(None)
Index("ix_webhook_told_due", _told.c.due, sqlite_where=_has_due, postgresql_where=_has_due)
_app_of_due = _told.c.app_id.concat("")  # no column: SQLite is to look by what is due
_by_keys = (
    "WITH asked (app_id, channel, user_id) AS (VALUES {})"
    " SELECT known.app_id, known.channel, known.user_id, revision, there, told, due"
    " FROM asked CROSS JOIN webhook_told AS known WHERE known.app_id = asked.app_id"
    " AND known.channel = asked.channel AND known.user_id = asked.user_id"
)  # SQLite reads the whole table for ``(app_id, channel, user_id) IN (…)``
_put = text(
    "INSERT INTO webhook_told (app_id, channel, user_id, revision, there, told, due)"
    " VALUES (:app_id, :channel, :user_id, :revision, :there, :told, :due)"
    " ON CONFLICT (app_id, channel, user_id) DO UPDATE SET revision = excluded.revision,"
    " there = excluded.there, told = excluded.told, due = excluded.due"
)
_take_over = text(
    "INSERT INTO webhook_told (app_id, channel, user_id, revision, there, told)"
    " SELECT app_id, channel, user_id, 0, true, true FROM webhook_presence WHERE true"
    " ON CONFLICT DO NOTHING"
)
_of_channel = _told.c.user_id == b""


class Signal(NamedTuple):
    """Something was there, or gone, as of a revision."""

    presence: Presence
    there: bool
    revision: int


class Standing(NamedTuple):
    """A row of the table.

    Attributes:
        revision: of the newest signal.
        there: what it said.
        told: whether receivers were told that it is there.
        due: Unix time at which its end is told, or if nobody was told, the row is forgotten.
    """

    revision: int
    there: bool
    told: bool
    due: float | None = None


class Summary(NamedTuple):
    """What receivers were told of a channel.

    Attributes:
        channel: its own standing, if it has one.
        members: how many were told to be there and have not left since.
        told: how many were told to be there.
    """

    channel: Standing | None
    members: int
    told: int


Rows = dict[Presence, Standing]


def heard(known: Standing | None, signal: Signal, now: float, grace: float) -> Standing | None:
    """What is known after a signal."""
    if known is not None and signal.revision <= known.revision:
        return known
    if signal.there:
        return Standing(signal.revision, there=True, told=True)
    told = known is not None and known.told
    due = now + (grace if told else _REMEMBERED)
    return Standing(signal.revision, there=False, told=told, due=due)


def take_over(connection: Connection) -> None:
    """What a single node has told in this database before there were several."""
    connection.execute(_take_over)
    connection.execute(delete(present_table))


def take_signals(
    connection: Connection,
    signals: Sequence[Signal],
    now: float,
    graces: Mapping[str, float],
    follows: Callable[[Presence], bool],
) -> list[Presence]:
    """Keep what the signals say; what is news of it: beginnings, in the order to be told."""
    signals = tuple(_with_channels(signals, follows))
    concerned = {signal.presence for signal in signals}
    rows = _read(connection, concerned | {each._replace(user_id="") for each in concerned})
    changed: Rows = {}
    begun: list[Presence] = []
    for signal in signals:
        presence = signal.presence
        known, its = rows.get(presence), rows.get(presence._replace(user_id=""))
        if its is not None and signal.there and not its.there and signal.revision <= its.revision:
            continue  # whoever was there then left with the channel
        after = heard(known, signal, now, graces.get(presence.app_id, 0.0))
        if after is None or after is known:
            continue
        rows[presence] = changed[presence] = after
        if after.told and (known is None or not known.told):
            begun.append(presence)
    _write(connection, changed)
    return begun


def _with_channels(
    signals: Iterable[Signal], follows: Callable[[Presence], bool]
) -> Iterator[Signal]:
    """Where a member is the channel is occupied, and that is told first."""
    asked: dict[Presence, bool] = {}
    for signal in signals:
        app_id, channel, user_id = signal.presence
        if signal.there and user_id:
            its = Presence(app_id, channel)
            if its not in asked:
                asked[its] = follows(its)
            if asked[its]:
                yield Signal(its, True, signal.revision)
        yield signal


def read_due(connection: Connection, now: float) -> set[str]:
    """The apps with ends that are due."""
    query = select(_app_of_due).where(_told.c.due <= now, _told.c.told).distinct()
    return set(connection.execute(query).scalars())


def end_due(connection: Connection, apps: Iterable[str], now: float, most: int) -> list[Presence]:
    """What has ended in these apps, as it is told from now on, in the order to be told."""
    # Members end before their channel does.
    first = (_told.c.due, _of_channel, _told.c.app_id, _told.c.channel, _told.c.user_id)
    is_due = and_(_told.c.due <= now, _told.c.told, _app_of_due.in_(sorted(apps)))
    found = connection.execute(select(_told).where(is_due).order_by(*first).limit(most))
    due = dict(_entry(row) for row in found)
    gone_with = _gone_with(connection, due)
    ended: Rows = {}
    for presence, standing in due.items():
        ended.update(gone_with.get(presence, {}))
        ended.setdefault(presence, standing)
    forgotten = now + _REMEMBERED
    rows = {each: Standing(was.revision, False, False, forgotten) for each, was in ended.items()}
    _write(connection, rows)
    return list(rows)


def _gone_with(connection: Connection, due: Rows) -> dict[Presence, Rows]:
    """Return the members that end with their channel.

    Of some nothing was heard before the whole channel was vacated; others are known to be gone, but
    their own grace is not over, for instance because they came and went once more unheard.
    """
    found: dict[Presence, Rows] = {}
    channels = [each for each in due if not each.user_id]
    for app_id in {each.app_id for each in channels}:
        names = [each.channel for each in channels if each.app_id == app_id]
        for member, was in read_members(connection, app_id, names).items():
            its = member._replace(user_id="")
            if not was.there or was.revision <= due[its].revision:
                gone = was._replace(revision=max(was.revision, due[its].revision))
                found.setdefault(its, {})[member] = gone
    return found


def forget_gone(connection: Connection, now: float) -> None:
    """Of what has been gone for long, no signals are on their way any more."""
    connection.execute(delete(_told).where(_told.c.due <= now, ~_told.c.told))


def read_channels(connection: Connection, app_id: str) -> tuple[dict[str, Summary], int]:
    """All channels of which anything was told, and the newest revision of any signal."""
    mine = _told.c.app_id == app_id
    query = select(_told).where(mine, _of_channel, _told.c.told)
    its = {presence.channel: was for presence, was in map(_entry, connection.execute(query))}
    there = func.count().filter(_told.c.due.is_(None))
    counting = select(_told.c.channel, there, func.count()).where(mine, ~_of_channel, _told.c.told)
    counts = {
        channel: (members, told)
        for channel, members, told in connection.execute(counting.group_by(_told.c.channel))
    }
    newest = connection.execute(select(func.max(_told.c.revision)).where(mine)).scalar() or 0
    return {
        channel: Summary(its.get(channel), *counts.get(channel, (0, 0)))
        for channel in its.keys() | counts.keys()
    }, newest


def read_members(connection: Connection, app_id: str, channels: Sequence[str]) -> Rows:
    """The members of some channels that were told to be there."""
    query = select(_told).where(
        _told.c.app_id == app_id, _told.c.channel.in_(channels), ~_of_channel, _told.c.told
    )
    return dict(_entry(row) for row in connection.execute(query))


def lower_revisions(connection: Connection, app_id: str, revision: int) -> None:
    """Believe an engine that numbers changes lower than what we have heard."""
    newer = and_(_told.c.app_id == app_id, _told.c.revision > revision)
    connection.execute(update(_told).where(newer).values(revision=revision - 1))


def _read(connection: Connection, presences: Iterable[Presence]) -> Rows:
    keys = [(app_id, channel, user_id.encode()) for app_id, channel, user_id in presences]
    one = "(?, ?, ?)" if connection.dialect.paramstyle == "qmark" else "(%s, %s, %s)"
    rows: Rows = {}
    for at in range(0, len(keys), _AT_ONCE):
        asked = keys[at : at + _AT_ONCE]
        query = _by_keys.format(", ".join([one] * len(asked)))
        given = tuple(value for key in asked for value in key)
        rows.update(_entry(row) for row in connection.exec_driver_sql(query, given))
    return rows


def _write(connection: Connection, rows: Rows) -> None:
    if rows:
        connection.execute(
            _put,
            [
                {**each._asdict(), "user_id": each.user_id.encode(), **standing._asdict()}
                for each, standing in rows.items()
            ],
        )


def _entry(row: Row[Any]) -> tuple[Presence, Standing]:
    presence = Presence(row.app_id, row.channel, bytes(row.user_id).decode())
    return presence, Standing(row.revision, bool(row.there), bool(row.told), row.due)
