"""This node's part in there being one keeper: following it, standing for it, being it."""

import asyncio
import contextlib
import secrets
import time

import msgspec
import structlog

from oyez.server.engine import EngineUnavailable, OutcomeUnknown
from oyez.server.engine.messages import Refused
from oyez.server.engine.nats import wire
from oyez.server.engine.nats.asking import Asking
from oyez.server.engine.nats.deputy import Deputy
from oyez.server.engine.nats.election import Election, Step
from oyez.server.engine.nats.entries import Entries, Outdated
from oyez.server.engine.nats.keeper import Keeper
from oyez.server.engine.nats.link import Link, Message
from oyez.server.engine.nats.subjects import Subjects

__all__ = ["Reign"]

log: structlog.stdlib.BoundLogger = structlog.get_logger("oyez.engine")


class Reign:
    """As long as one connection lasts, and with it the reign of a keeper that uses it.

    Args:
        election: what this node knows, also from connections before.
        asking: told whom to ask.
        lease: seconds, of incarnations.

    Attributes:
        keeper: this node, if it is the keeper.
    """

    def __init__(
        self,
        link: Link,
        subjects: Subjects,
        entries: Entries,
        election: Election,
        asking: Asking,
        *,
        lease: float,
    ) -> None:
        self.keeper: Keeper | None = None
        self._link = link
        self._subjects = subjects
        self._entries = entries
        self._election = election
        self._asking = asking
        self._lease = lease
        self._who = secrets.token_hex(8)
        self._deputy = Deputy(link, subjects, self._who, lease)
        self._stirred = asyncio.Event()

    def unanswered(self, term: int) -> None:
        """Nobody listens where the keeper of a term would."""
        self._election.unanswered(term)
        self._stirred.set()

    async def run(self) -> None:
        """For ever; a bug in here gives the connection up, so that all begins anew."""
        try:
            await self._run()
        except Exception as error:
            if self._link.up:
                log.exception("bug in the election of a keeper")
                self._link.fail(f"election: {error}")
        finally:
            self._end()

    async def _run(self) -> None:
        self._election.begin(time.monotonic())
        self._link.subscribe(self._subjects.term, self._announced)
        pause = 0.0
        while self._link.up:
            if pause:
                self._stirred.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._stirred.wait()
            try:
                if self.keeper is not None:
                    pause = await self._renew(self.keeper)
                else:
                    pause = await self._look()
            except EngineUnavailable as error:
                log.debug("no word of who the keeper is", error=str(error))
                pause = self._election.glance()

    # Not being the keeper.

    def _announced(self, message: Message) -> None:
        try:
            entry: wire.Entry = wire.read(message.data, wire.Entry)
        except Refused as error:
            log.warning("announcement of a keeper refused", error=str(error))
            return
        if self._election.announced(entry, time.monotonic()):
            self._asking.use(entry.term)
            self._deputy.announced(entry)

    async def _look(self) -> float:
        """See whether there is a keeper, and become it if there is none; seconds until again."""
        election = self._election
        # Who knows what the keeper knew goes first.
        ready = self._deputy.replica(election.term) is not None
        election.handicap = 0.0 if ready else 1.5 * election.pace.glance
        if election.vacant:
            await asyncio.sleep(election.glance())
        entry, place = await self._entry()
        step = election.looked(entry, place, time.monotonic())
        if step is Step.PROBE:
            empty = wire.write([])
            answer = await self._link.ask(self._subjects.keeper(election.term), empty)
            election.vacant = False
            step = Step.CLAIM if answer.nobody else Step.FOLLOW
        if step is Step.CLAIM:
            return await self._claim()
        self._asking.use(election.term)
        if entry is not None and entry.term == election.term:
            self._deputy.announced(entry)
        return max(election.patience(time.monotonic()), 0.001)

    async def _entry(self) -> tuple[wire.Entry | None, int]:
        found = await self._entries.read(self._subjects.reign)
        if found is None:
            return None, 0
        try:
            entry: wire.Entry = wire.read(found.message, wire.Entry)
        except Refused as error:
            raise EngineUnavailable(f"who the keeper is cannot be read: {error}") from None
        return entry, found.sequence

    async def _claim(self) -> float:
        election, began = self._election, time.monotonic()
        replica, term = self._deputy.replica(election.term), election.term + 1
        keeper = Keeper(
            self._link,
            self._subjects,
            self._entries,
            term,
            numbers=election.numbers,
            lease=self._lease,
            replica=replica,
        )
        since = term if replica is None else election.since
        reserved = keeper.numbers.reserve(2 * election.pace.reign)
        entry = wire.Entry(term, self._who, reserved, since)
        try:
            await self._write(entry)
        except Outdated:
            return election.glance()
        if replica is not None and self._deputy.replica(election.term) is None:
            return election.glance()  # something was missed in the meantime
        self._deputy.end()
        log.info("this node is the keeper", term=term, state="new" if replica is None else "kept")
        try:
            await keeper.open()
        except BaseException:
            keeper.close()
            raise
        self.keeper, election.since = keeper, since
        keeper.renewed(began + election.pace.reign, reserved)
        self._announce(entry)
        return election.pace.renew

    async def _write(self, entry: wire.Entry) -> None:
        subject = self._subjects.reign
        self._election.place = await self._entries.write(
            subject, wire.write(entry), self._election.place
        )

    # Being the keeper.

    async def _renew(self, keeper: Keeper) -> float:
        """Renew the reign, or find that it is over; seconds until again."""
        election, began = self._election, time.monotonic()
        reserved = keeper.numbers.reserve(2 * election.pace.reign)
        entry = wire.Entry(keeper.term, self._who, reserved, election.since)
        try:
            await self._write(entry)
        except Outdated:
            return await self._reconsider(keeper)
        except OutcomeUnknown:
            return 0.0  # what it was will be seen
        keeper.renewed(began + election.pace.reign, reserved)
        self._announce(msgspec.structs.replace(entry, position=keeper.position))
        return election.pace.renew

    async def _reconsider(self, keeper: Keeper) -> float:
        """Somebody has written: we ourselves, without learning of it, or another keeper."""
        entry, place = await self._entry()
        if entry is not None and (entry.term, entry.who) != (keeper.term, self._who):
            log.warning("another node is the keeper", term=entry.term)
            self._end()
            if self._election.looked(entry, place, time.monotonic()) is Step.FOLLOW:
                self._asking.use(entry.term)
            return self._election.glance()
        self._election.place = place
        return 0.0

    def _announce(self, entry: wire.Entry) -> None:
        self._link.publish(self._subjects.term, wire.write(entry))

    def _end(self) -> None:
        if self.keeper is not None:
            self.keeper.close()
            self.keeper = None
