"""Who does what must be done by one node only: a table of duties, their holders and heartbeats.

A holder raises its ``beat`` every second. Whoever has seen the same beat for a lease, by a clock of
its own and while it could look all the time, takes the duty over; a holder that could not beat for
a good part of that has stopped before. No clocks are compared.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    String,
    Table,
    Text,
    bindparam,
    insert,
    select,
    update,
)

from oyez.server.webhooks.letters import metadata

__all__ = ["Duties"]

_GIVES_UP = 0.6  # of the lease: after so long without a heartbeat of its own a holder stops

_duties = Table(
    "webhook_duties",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", String(32), nullable=False),  # "": nobody
    Column("beat", BigInteger, nullable=False),
)
_beat = update(_duties).where(_duties.c.holder == bindparam("me")).values(beat=_duties.c.beat + 1)


class _Seen(NamedTuple):
    holder: str
    beat: int
    since: float


class Duties:
    """What one node knows of them.

    Args:
        me: the name of this node, which no other has had.
        names: of all duties that it can do.
        lease: seconds.
        clock: seconds that only go forward.
    """

    def __init__(
        self, me: str, names: Iterable[str], lease: float, clock: Callable[[], float]
    ) -> None:
        self._me = me
        self._names = tuple(names)
        self._lease = lease
        self._clock = clock
        self._seen: dict[str, _Seen] = {}
        self._looked = clock()
        self._beaten = clock()
        self._shunned: dict[str, float] = {}

    @property
    def lapsed(self) -> bool:
        """Whether others may soon believe that this node is dead."""
        return self._clock() - self._beaten > _GIVES_UP * self._lease

    @property
    def patience(self) -> float:
        """Seconds until `lapsed`."""
        return max(0.0, self._beaten + _GIVES_UP * self._lease - self._clock())

    def shun(self, name: str) -> None:
        """Leave a duty to others for a while."""
        self._shunned[name] = self._clock() + self._lease

    def beat(self, connection: Connection) -> tuple[frozenset[str], float]:
        """Hold on to what is ours, take what is free or of the dead.

        Returns:
            What we hold, and what to `confirm` once that is committed.
        """
        began = self._clock()
        if began - self._looked > self._lease / 2:
            self._seen.clear()  # others may have beaten as little as we could look
        known = {row.name: row for row in connection.execute(select(_duties))}
        held = set()
        for name in self._names:
            holder, beat = known[name][1:] if name in known else ("", 0)
            if name not in known:
                connection.execute(insert(_duties).values(name=name, holder="", beat=0))
            takes = self._takes(name, holder, beat)
            if takes:
                held.add(name)
            if takes != (holder == self._me):
                new = update(_duties).where(_duties.c.name == name)
                connection.execute(new.values(holder=self._me if takes else ""))
        connection.execute(_beat, {"me": self._me})
        self._looked = self._clock()
        return frozenset(held), began

    def confirm(self, began: float) -> None:
        """The heartbeat that began then has been committed."""
        self._beaten = began

    def resign(self, connection: Connection) -> None:
        """Give up everything, so that others need not wait."""
        connection.execute(update(_duties).where(_duties.c.holder == self._me).values(holder=""))

    def _takes(self, name: str, holder: str, beat: int) -> bool:
        now = self._clock()
        if self._shunned.get(name, 0.0) > now:
            self._seen.pop(name, None)
            return False
        if holder in ("", self._me):
            return True
        seen = self._seen.get(name)
        if seen is None or (seen.holder, seen.beat) != (holder, beat):
            self._seen[name] = _Seen(holder, beat, now)
            return False
        return now - seen.since > self._lease
