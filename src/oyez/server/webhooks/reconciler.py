"""Tells ends whose grace is over, and compares what was told with what the engine says.

One node does this for all. Nodes die before they have said what the engine told them, and a
database may be away: whatever is missed is found here. What is said carries the revision of the
engine's answer, so it never overrides anything newer.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection

from oyez.protocol.channels import kind_of
from oyez.server.engine import EngineUnavailable, Occupancy
from oyez.server.engine.backplane import Roll
from oyez.server.webhooks.database import Database, clock
from oyez.server.webhooks.grace import Presence
from oyez.server.webhooks.ledger import Desk, Letter, OutboxUnavailable
from oyez.server.webhooks.mail import (
    ask_doubts,
    bury_unknown,
    forget_notes,
    keep_letters,
    last_kept,
)
from oyez.server.webhooks.presences import (
    Rows,
    Signal,
    Summary,
    end_due,
    forget_gone,
    lower_revisions,
    read_channels,
    read_due,
    read_members,
)

__all__ = ["Reconciler", "Source", "Timing"]

log: structlog.stdlib.BoundLogger = structlog.get_logger("oyez.webhooks")

_NOBODY = "#webhooks"  # a channel without members: asked for the age of the store
_ENDED_AT_ONCE = 500
_ASKED_AT_ONCE = 50
_SAID_AT_ONCE = 500
_LOOKS = 1.0  # seconds between two looks for doubts
_SOON = 1.0  # seconds from a doubt to the comparison: doubts come in crowds
_THOROUGH = 10  # of so many comparisons one asks for every presence channel
_KNOWN_AGAIN = 600.0  # seconds that an unknown endpoint may be one of a node with newer settings


@dataclass(frozen=True, slots=True)
class Source:
    """What is asked of the engine; both raise `EngineUnavailable`.

    Attributes:
        channels: as `oyez.server.engine.Engine.channels`.
        roll: as `oyez.server.engine.backplane.Backplane.roll`.
        lease: seconds that a node may take to restate what it holds after a loss of data.
    """

    channels: Callable[[str, str], Awaitable[Mapping[str, Occupancy]]]
    roll: Callable[[str, str], Awaitable[Roll]]
    lease: float


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds.

    Attributes:
        beat: between two heartbeats of a node.
        lease: after that long without one its duties are taken over.
        poll: between two looks for letters and for ends that are due.
        patience: that somebody waits for the database.
        compare: between two comparisons with the engine.
    """

    beat: float = 1.0
    lease: float = 5.0
    poll: float = 0.25
    patience: float = 2.0
    compare: float = 30.0


class Reconciler:
    """Keeps what is told true, as long as `run` runs.

    Args:
        apps: ids of the apps with webhooks, and their graces in seconds.
        say: takes signals and returns when they are written, if the database is there.
        written: see `oyez.server.webhooks.writer.Writer`.
    """

    def __init__(
        self,
        database: Database,
        source: Source,
        apps: Mapping[str, float],
        timing: Timing,
        say: Callable[[Sequence[Signal]], Awaitable[None]],
        written: Callable[[int, Sequence[Letter]], None],
    ) -> None:
        self._database = database
        self._source = source
        self._apps = apps
        self._timing = timing
        self._say = say
        self._written = written
        self._due: dict[str, float] = {}
        self._doubts: dict[str, int] | None = None
        self._compared: dict[str, int] = {}
        self._too_new: set[str] = set()
        self._unknown: dict[str, float] = {}
        self._kept = 0

    async def run(self, desk: Desk) -> None:
        """Tell ends and compare, until the engine is away.

        Raises:
            EngineUnavailable: somebody else may have more luck.
        """
        # After a time in which nobody was there to tell, who has gone gets the chance to come back.
        grace = max(self._apps.values(), default=0.0)
        self._due = dict.fromkeys(self._apps, time.monotonic() + _SOON)
        self._doubts, self._compared = None, {}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._end_forever(desk, grace))
                group.create_task(self._compare_forever(desk))
        except* EngineUnavailable as problem:
            raise EngineUnavailable(str(problem.exceptions[0])) from None

    async def _end_forever(self, desk: Desk, grace: float) -> None:
        await asyncio.sleep(grace)
        while True:
            try:
                while await self.tell_ends(desk):
                    pass
            except OutboxUnavailable as error:
                log.debug("ends not told", error=str(error))
            await asyncio.sleep(self._timing.poll)

    async def tell_ends(self, desk: Desk) -> bool:
        """Tell the ends that are due; whether there may be more.

        Raises:
            EngineUnavailable: nothing is told, as we cannot know that the store is complete.
            OutboxUnavailable: nothing is told.
        """
        apps = await self._database.read(lambda connection: read_due(connection, clock(connection)))
        complete = {app_id for app_id in apps if await self._is_complete(app_id)}
        if not complete:
            return False
        before, letters, count = await self._database.write(
            lambda connection: _end(connection, complete, desk)
        )
        self._written(before, letters)
        return count >= _ENDED_AT_ONCE

    async def _is_complete(self, app_id: str) -> bool:
        return self._complete(app_id, await self._source.roll(app_id, _NOBODY))

    def _complete(self, app_id: str, roll: Roll) -> bool:
        """Whether all nodes have restated what they hold since the store lost its data.

        An app that the store does not know at all for a lease is one that nobody holds anything of.
        """
        if roll.age > 0:
            self._unknown.pop(app_id, None)
            return roll.age >= self._source.lease
        now = time.monotonic()
        return now - self._unknown.setdefault(app_id, now) >= self._source.lease

    async def _compare_forever(self, desk: Desk) -> None:
        tidy_at = time.monotonic() + self._timing.compare
        while True:
            await asyncio.sleep(min(_LOOKS, self._timing.compare))
            try:
                await self._hear_doubts()
                now = time.monotonic()
                for app_id in [each for each, due in self._due.items() if due <= now]:
                    await self.compare(app_id, desk)
                if now >= tidy_at:
                    tidy_at = now + self._timing.compare
                    self._kept = await self._database.write(
                        lambda connection: _tidy(connection, desk, self._kept)
                    )
            except OutboxUnavailable as error:
                log.debug("webhooks not compared", error=str(error))

    async def _hear_doubts(self) -> None:
        doubts = await self._database.read(ask_doubts)
        known, self._doubts = self._doubts, doubts
        for app_id, count in doubts.items():
            if known is not None and count != known.get(app_id, 0) and app_id in self._apps:
                self._again(app_id, min(_SOON, self._timing.compare))

    async def compare(self, app_id: str, desk: Desk) -> None:
        """Compare one app, and say what is not as it was told.

        Raises:
            EngineUnavailable: some of it was not compared.
            OutboxUnavailable: likewise.
        """
        self._due[app_id] = time.monotonic() + self._timing.compare
        count = self._compared.get(app_id, 0)
        self._compared[app_id] = count + 1
        told, newest = await self._database.read(
            lambda connection: read_channels(connection, app_id)
        )
        await self._check_revisions(app_id, newest)
        occupied = await self._source.channels(app_id, "")
        thorough = count % _THOROUGH == 0
        suspects = [
            channel
            for channel in told.keys() | occupied.keys()
            if _differs(app_id, channel, told.get(channel), occupied.get(channel), desk, thorough)
        ]
        for at in range(0, len(suspects), _ASKED_AT_ONCE):
            await self._ask(app_id, suspects[at : at + _ASKED_AT_ONCE], told, desk)

    async def _ask(
        self, app_id: str, channels: Sequence[str], told: Mapping[str, Summary], desk: Desk
    ) -> None:
        rolls = await asyncio.gather(*(self._source.roll(app_id, each) for each in channels))
        members = await self._database.read(
            lambda connection: read_members(connection, app_id, channels)
        )
        by_channel: dict[str, Rows] = {}
        for presence, standing in members.items():
            by_channel.setdefault(presence.channel, {})[presence] = standing
        signals: list[Signal] = []
        for channel, roll in zip(channels, rolls, strict=True):
            its = Presence(app_id, channel)
            rows = by_channel.get(channel, {})
            summary = told.get(channel)
            if summary is not None and summary.channel is not None:
                rows[its] = summary.channel
            found = [each for each in _present(its, roll) if desk.follows(each)]
            complete = self._complete(app_id, roll)
            signals += _corrections(found, rows, roll, complete=complete)
            if not complete:
                self._again(app_id, self._source.lease - roll.age)
        if signals:
            log.info("webhooks put right", app_id=app_id, signals=len(signals))
        for at in range(0, len(signals), _SAID_AT_ONCE):
            await self._say(signals[at : at + _SAID_AT_ONCE])

    def _again(self, app_id: str, seconds: float) -> None:
        """Compare thoroughly after a while."""
        self._due[app_id] = min(self._due[app_id], time.monotonic() + seconds)
        self._compared[app_id] = 0

    async def _check_revisions(self, app_id: str, newest: int) -> None:
        """An engine may number lower than before, if it is another: signals would be ignored."""
        roll = await self._source.roll(app_id, _NOBODY)
        if roll.revision >= newest:
            self._too_new.discard(app_id)
        elif app_id not in self._too_new or not self._complete(app_id, roll):
            self._too_new.add(app_id)  # a replica may lag a moment
            self._again(app_id, self._source.lease)
        else:
            self._too_new.discard(app_id)
            log.warning("engine numbers lower than before", app_id=app_id, revision=roll.revision)
            await self._database.write(
                lambda connection: lower_revisions(connection, app_id, roll.revision)
            )


def _differs(
    app_id: str,
    channel: str,
    told: Summary | None,
    occupied: Occupancy | None,
    desk: Desk,
    thorough: bool,
) -> bool:
    """Whether the engine is to be asked for a channel."""
    its = told.channel if told is not None else None
    is_told = its is not None and its.due is None
    if is_told and occupied is None:
        return True
    if occupied is not None and not is_told and desk.follows(Presence(app_id, channel)):
        return True
    members = told.members if told is not None else 0
    if occupied is None:
        return members > 0
    if not kind_of(channel).presence or not desk.follows(Presence(app_id, channel, "any")):
        return False
    return thorough or members != occupied.users


def _present(channel: Presence, roll: Roll) -> Iterable[Presence]:
    if roll.subscriptions:
        yield channel
    for member in roll.members:
        yield channel._replace(user_id=member.user_id)


def _corrections(
    found: Sequence[Presence], rows: Rows, roll: Roll, *, complete: bool
) -> Iterable[Signal]:
    """What was found and is not told or about to end, and what is told and was not found."""
    for presence in found:
        row = rows.get(presence)
        if row is None or row.due is not None:
            yield Signal(presence, True, roll.revision)
    if complete:
        there = set(found)
        for presence, row in rows.items():
            if presence not in there and row.due is None:
                yield Signal(presence, False, roll.revision)


def _end(
    connection: Connection, apps: Iterable[str], desk: Desk
) -> tuple[int, Sequence[Letter], int]:
    """The position before the first letter, the letters, and how many ends there were."""
    ended = end_due(connection, apps, clock(connection), _ENDED_AT_ONCE)
    letters = [letter for presence in ended for letter in desk.letters_of_end(presence)]
    return keep_letters(connection, letters), letters, len(ended)


def _tidy(connection: Connection, desk: Desk, before: int) -> int:
    """Forget what is old; the last position, before which notes are old the next time."""
    now = clock(connection)
    forget_gone(connection, now)
    forget_notes(connection, now, before)
    if count := bury_unknown(connection, list(desk.addresses()), int((now - _KNOWN_AGAIN) * 1000)):
        log.warning("webhooks given up", events=count, error="endpoint no longer configured")
    return last_kept(connection)
