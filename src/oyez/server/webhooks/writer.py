"""What this node has to say to the shared database: collected, written together, never given up.

What comes in during one transaction goes into the next. If the database does not answer, everything
waits in memory, up to a bound, and is written when it is back; nobody who waits for it waits long.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog
from sqlalchemy import Connection

from oyez.protocol.webhooks import name_of
from oyez.server.webhooks.database import Database, clock
from oyez.server.webhooks.ledger import Desk, Letter, OutboxRefused, OutboxUnavailable
from oyez.server.webhooks.letters import bury_letters, delete_letters, note_failures
from oyez.server.webhooks.mail import is_first_miss, keep_letters, note_doubts
from oyez.server.webhooks.presences import Signal, take_signals
from oyez.server.webhooks.shares import fair_share

__all__ = ["Miss", "Writer"]

log: structlog.stdlib.BoundLogger = structlog.get_logger("oyez.webhooks")

_FORGET_AFTER = 0.2  # seconds that a delivered letter may wait for another transaction
_FULL = 1000  # signals and letters in one transaction
MOST_WAITING = 100_000  # signals and letters while the database is away
_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 3.0
_PRESENCE = "presence"
_Share = tuple[str, str]  # app id and type of event, or that it is about who is there


@dataclass(slots=True)
class Miss:
    """A cache miss of a channel; ``first`` is whether nobody has had one for some seconds."""

    app_id: str
    channel: str
    seconds: float
    first: bool = True  # it is better told twice than not at all


@dataclass(slots=True)
class _Batch:
    signals: list[Signal] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    misses: list[Miss] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    failed: list[Letter] = field(default_factory=list)
    buried: list[Letter] = field(default_factory=list)
    doubted: set[str] = field(default_factory=set)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def __len__(self) -> int:
        return len(self.signals) + len(self.letters) + len(self.misses)

    def shares(self) -> list[_Share]:
        """Whose they all are."""
        waiting: list[Signal | Letter | Miss] = [*self.signals, *self.letters, *self.misses]
        return [_share(each) for each in waiting]

    def forget(self, excess: Counter[_Share]) -> None:
        """Leave out what there is too much of, and count that down."""

        def stays(each: Signal | Letter | Miss) -> bool:
            share = _share(each)
            excess[share] -= 1
            return excess[share] < 0

        apps = {signal.presence.app_id for signal in self.signals}
        self.doubted |= {app_id for app_id in apps if excess[app_id, _PRESENCE] > 0}
        self.signals = [signal for signal in self.signals if stays(signal)]
        self.letters = [letter for letter in self.letters if stays(letter)]
        self.misses = [miss for miss in self.misses if stays(miss)]
        self.done.set()  # the database is away, and nobody waits for that


def _share(each: Signal | Letter | Miss) -> _Share:
    match each:
        case Letter():
            return each.app_id, name_of(each.body)
        case Miss():
            return each.app_id, "cache_miss"
        case _:
            return each.presence.app_id, _PRESENCE


class _Written(NamedTuple):
    before: int
    letters: Sequence[Letter]


class Writer:
    """Writes what is put here.

    Args:
        graces: of each app, in seconds.
        written: told which letters are stored now, and the position before the first of them.
        patience: seconds that somebody waits for the database.
    """

    def __init__(
        self,
        database: Database,
        graces: Mapping[str, float],
        written: Callable[[int, Sequence[Letter]], None],
        patience: float,
    ) -> None:
        self._database = database
        self._graces = graces
        self._written = written
        self._patience = patience
        self._batches: deque[_Batch] = deque([_Batch()])
        self._wanted = asyncio.Event()
        self._later: asyncio.TimerHandle | None = None
        self._away = False

    async def keep(
        self,
        *,
        signals: Sequence[Signal] = (),
        letters: Sequence[Letter] = (),
        miss: Miss | None = None,
    ) -> None:
        """Write this and wait for it, but not for a database that is away."""
        batch = self._open()
        batch.signals += signals
        batch.letters += letters
        if miss is not None:
            batch.misses.append(miss)
        self._wanted.set()
        if self._away:
            return
        # No `asyncio.timeout`: whoever waits may not be in a task yet (`oyez.server.eager`).
        loop = asyncio.get_running_loop()
        limit = loop.call_later(self._patience, self._tired, batch)
        await batch.done.wait()
        limit.cancel()

    def note(self, signals: Sequence[Signal]) -> None:
        """Write these soon."""
        self._open().signals += signals
        self._wanted.set()

    def doubt(self, app_id: str) -> None:
        """Ask for a comparison soon."""
        self._open().doubted.add(app_id)
        self._wanted.set()

    def remove(self, ids: Sequence[str]) -> None:
        """See `oyez.server.webhooks.ledger.Kept.remove`."""
        self._open().removed += ids
        self._write_later()

    def failed(self, letters: Sequence[Letter]) -> None:
        """See `oyez.server.webhooks.ledger.Kept.failed`."""
        self._open().failed += letters
        self._write_later()

    def bury(self, letter: Letter) -> None:
        """See `oyez.server.webhooks.ledger.Kept.bury`."""
        self._open().buried.append(letter)
        self._wanted.set()

    async def run(self, desk: Desk) -> None:
        """Write what comes in, for ever."""
        while True:
            await self._wanted.wait()
            pause = _FIRST_PAUSE
            while not await self._write_one(desk):
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def flush(self, desk: Desk) -> None:
        """Write what is there, as far as the database lets us; `run` has ended."""
        batches = len(self._batches)
        for _ in range(batches):
            if not await self._write_one(desk):
                log.error("webhooks not stored before the stop")
                return

    def stop(self) -> None:
        """Wake up no more."""
        if self._later is not None:
            self._later.cancel()

    def _write_later(self) -> None:
        if self._later is None:
            loop = asyncio.get_running_loop()
            self._later = loop.call_later(_FORGET_AFTER, self._wanted.set)

    def _open(self) -> _Batch:
        if len(self._batches[-1]) >= _FULL:
            if sum(map(len, self._batches)) >= MOST_WAITING:
                self._make_room()
            self._batches.append(_Batch())
        return self._batches[-1]

    def _make_room(self) -> None:
        """More waits than may: forget a tenth, the oldest of what there is most of.

        Who is where is found out again when it is compared.
        """
        sizes = Counter(share for batch in self._batches for share in batch.shares())
        most = fair_share(sizes.values(), MOST_WAITING * 9 // 10)
        excess = Counter({share: size - most for share, size in sizes.items() if size > most})
        lost = {f"{kind} of {app_id}": count for (app_id, kind), count in excess.items()}
        log.error("webhooks lost, too many wait for the database", events=lost)
        for batch in self._batches:
            batch.forget(excess)

    def _tired(self, batch: _Batch) -> None:
        if not batch.done.is_set():
            self._lost("no answer in time")
            batch.done.set()

    def _lost(self, reason: str) -> None:
        if not self._away:
            log.error("webhook database away", error=reason)
        self._away = True

    async def _write_one(self, desk: Desk) -> bool:
        """Whether the oldest batch is settled."""
        batch = self._batches.popleft()
        if not self._batches:
            self._batches.append(_Batch())
            self._wanted.clear()
            self.stop()
            self._later = None
        try:
            written = await self._database.write(
                lambda connection: self._do(connection, batch, desk)
            )
            self._written(written.before, written.letters)
        except asyncio.CancelledError:  # it may have been written: once more does no harm
            self._batches.appendleft(batch)
            raise
        except OutboxRefused as error:
            log.error("webhooks refused by the database", error=str(error))
        except OutboxUnavailable as error:
            self._lost(str(error))
            self._batches.appendleft(batch)
            batch.done.set()
            return False
        except Exception:
            log.exception("bug in the webhooks")
        else:
            if self._away:
                log.info("webhook database back")
                self._away = False
        batch.done.set()
        return True

    def _do(self, connection: Connection, batch: _Batch, desk: Desk) -> _Written:
        """In the thread of the database; it may be done again."""
        now = clock(connection)
        begun = take_signals(connection, batch.signals, now, self._graces, desk.follows)
        letters = [letter for each in begun for letter in desk.letters_of_begin(each)]
        letters += batch.letters
        before = keep_letters(connection, letters)
        for miss in batch.misses:
            miss.first = is_first_miss(connection, miss.app_id, miss.channel, now, miss.seconds)
        delete_letters(connection, batch.removed)
        note_failures(connection, batch.failed)
        bury_letters(connection, batch.buried)
        note_doubts(connection, batch.doubted)
        return _Written(before, letters)
