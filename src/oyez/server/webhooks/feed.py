"""Hands stored letters to the couriers of this node, for the endpoints that it delivers to.

Letters are read in the order of their positions. Where this node's own are the next ones, they are
handed over as they are; otherwise they are read with those of the other nodes.
"""

import asyncio
from collections.abc import Sequence
from functools import partial

import structlog
from sqlalchemy import Connection

from oyez.server.webhooks.database import Database
from oyez.server.webhooks.ledger import Address, Desk, Letter, OutboxUnavailable
from oyez.server.webhooks.mail import (
    last_kept,
    read_letters,
    read_letters_of,
    read_withdrawn,
)

__all__ = ["Feed"]

log: structlog.stdlib.BoundLogger = structlog.get_logger("oyez.webhooks")

_AT_ONCE = 500


class Feed:
    """Reads for the endpoints that it was given.

    Args:
        poll: seconds between two looks.
    """

    def __init__(self, database: Database, poll: float) -> None:
        self._database = database
        self._poll = poll
        self._held: set[Address] = set()
        self._coming: dict[Address, int] = {}  # up to where they have been read
        self._seen = 0
        self._soon = asyncio.Event()

    def take(self, addresses: frozenset[Address]) -> None:
        """Deliver to these as well, beginning with what waits."""
        self._coming.update(dict.fromkeys(addresses, 0))
        self._soon.set()

    def drop(self, address: Address) -> None:
        """Hand over nothing more for an endpoint."""
        self._held.discard(address)
        self._coming.pop(address, None)

    def written(self, before: int, letters: Sequence[Letter], desk: Desk) -> None:
        """This node has stored letters, after the one at a position."""
        if not letters or not (self._held or self._coming):
            return
        if before == self._seen:
            self._hand_over(letters, before + len(letters), desk)
        else:
            self._soon.set()

    async def run(self, desk: Desk) -> None:
        """Read for ever."""
        while True:
            try:
                async with asyncio.timeout(self._poll):
                    await self._soon.wait()
            except TimeoutError:
                pass
            self._soon.clear()
            if not (self._held or self._coming):
                continue
            try:
                await self._look(desk)
            except OutboxUnavailable as error:
                log.debug("webhooks not read", error=str(error))
            except Exception:
                log.exception("bug in the webhooks")

    async def _look(self, desk: Desk) -> None:
        if not self._held:  # what came before is read with what waits for each endpoint
            self._seen = await self._database.read(last_kept)
        for address in tuple(self._coming):
            await self._catch_up(address, desk)
        last = -1
        while self._seen != last:
            last = self._seen
            letters, to, withdrawn = await self._database.read(self._read)
            self._hand_over(letters, to, desk)
            if withdrawn:
                desk.withdraw(withdrawn)

    def _read(self, connection: Connection) -> tuple[list[Letter], int, list[str]]:
        after = self._seen
        letters, to = read_letters(connection, after, _AT_ONCE)
        return letters, to, read_withdrawn(connection, after) if to != after else []

    async def _catch_up(self, address: Address, desk: Desk) -> None:
        """What waited before the endpoint was ours."""
        while address in self._coming:
            after, to = self._coming[address], self._seen
            if to == after:
                del self._coming[address]
                self._held.add(address)
                return
            letters = await self._database.read(
                partial(read_letters_of, address=address, after=after, to=to)
            )
            if address in self._coming:
                self._coming[address] = to
                for letter in letters:
                    desk.post(letter)

    def _hand_over(self, letters: Sequence[Letter], to: int, desk: Desk) -> None:
        for letter in letters:
            address = (letter.app_id, letter.target)
            if letter.position > self._seen and address in self._held:
                desk.post(letter)
        self._seen = max(self._seen, to)
