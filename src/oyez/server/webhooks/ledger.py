"""The seam below the webhooks: who was told to be there, and letters that are not delivered yet.

`oyez.server.webhooks.Webhooks` knows what happens and who wants to hear of it. A ledger keeps it
and decides what is news: `oyez.server.webhooks.local` for one node, in a database and its memory,
`oyez.server.webhooks.shared` for many, all in one database. What a ledger promises:

- Beginnings and ends of a presence alternate strictly: `begin` is news only if nobody was told, an
  end only if it has not come back within the grace.
- A letter that was kept is handed to ``post`` of a node at least once until it is removed or
  buried, and in the order in which the letters of its channel were kept.
- When `begin` or `store` returns, what it was given survives the end of the process, unless the
  log says that the database is away.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import msgspec

from oyez.server.webhooks.grace import Presence

__all__ = [
    "Address",
    "Backlog",
    "Change",
    "Desk",
    "Kept",
    "Ledger",
    "Letter",
    "OutboxInUse",
    "OutboxRefused",
    "OutboxUnavailable",
]

Address = tuple[str, str]
"""An endpoint: app id and target."""

Backlog = Mapping[Address, tuple[int, int]]
"""What waits for each endpoint: how many letters, and when the oldest happened in Unix ms."""


class OutboxUnavailable(Exception):
    """The store does not take or give anything."""


class OutboxInUse(OutboxUnavailable):
    """Another server uses the store as if it were alone."""


class OutboxRefused(OutboxUnavailable):
    """The store does not take this, and would not do so later."""


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


class Desk(Protocol):
    """What a ledger asks of the webhooks of its node; only the first four from any thread."""

    def addresses(self) -> Iterable[Address]:
        """Every endpoint that is configured."""

    def follows(self, presence: Presence) -> bool:
        """Whether any endpoint is told that this is there, or that it is gone."""

    def letters_of_begin(self, presence: Presence) -> list[Letter]:
        """The letters by which it is told that something is there."""

    def letters_of_end(self, presence: Presence) -> list[Letter]:
        """The letters by which it is told that something is gone."""

    def post(self, letter: Letter) -> bool:
        """Deliver a letter; whether its endpoint is configured."""

    def withdraw(self, ids: Iterable[str]) -> None:
        """Forget letters that wait, if they are here."""

    async def abandon(self, app_id: str, target: str) -> None:
        """Stop delivering to an endpoint: another node does."""


class Kept(Protocol):
    """What a courier asks of a ledger."""

    def remove(self, ids: Sequence[str]) -> None:
        """Letters have been delivered or dropped. At worst they are delivered again."""

    def failed(self, letters: Sequence[Letter]) -> None:
        """Note the attempts and the last error of letters that will be tried again."""

    def bury(self, letter: Letter) -> None:
        """Keep a letter as dead, with its attempts and its last error."""

    def may_deliver(self) -> bool:
        """Whether we can be sure that no other node delivers by now."""


class Ledger(Kept, Protocol):
    """What the webhooks ask of the place where everything is kept."""

    async def open(self, desk: Desk) -> Self:
        """Take up what is there.

        Raises:
            OutboxUnavailable: it cannot be opened.
        """

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Write what is to be written, and close."""

    def next_position(self) -> int:
        """A number larger than all before: letters are listed in its order."""

    async def begin(self, presences: Sequence[Presence], revision: int) -> None:
        """These are there as of a revision; what nobody was told yet is kept and delivered."""

    def end(self, presence: Presence, revision: int) -> None:
        """It is gone as of a revision; unless it comes back within the grace, that is told."""

    def doubt(self, app_id: str) -> None:
        """Something may have been missed: compare what was told with what is true."""

    async def store(self, letters: Sequence[Letter]) -> None:
        """Keep letters of one app, and deliver them."""

    async def is_first(self, app_id: str, channel: str, seconds: float) -> bool:
        """Whether nobody has asked this of the channel for so long."""

    def backlog(self) -> Backlog | None:
        """What waits in the whole deployment; None if all of it is at the couriers here."""

    async def pending(self, limit: int) -> list[Letter]:
        """Undelivered letters, oldest first.

        Raises:
            OutboxUnavailable: the store does not answer.
        """

    async def dead(self, limit: int) -> list[Letter]:
        """The newest dead letters, newest first.

        Raises:
            OutboxUnavailable: the store does not answer.
        """

    async def revive(self, ids: Sequence[str]) -> int:
        """Try dead letters again; how many there were.

        Raises:
            OutboxUnavailable: the store does not answer.
        """

    async def drop(self, ids: Sequence[str]) -> int:
        """Forget letters, dead or pending, and return how many there were.

        Raises:
            OutboxUnavailable: the store does not answer.
        """
