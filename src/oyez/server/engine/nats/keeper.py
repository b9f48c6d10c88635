"""The keeper: does what nodes ask, on the one store of the deployment, while its reign lasts.

What changes is told before it is answered, and both leave on one connection: whoever has the answer
knows that the broker has the news.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

import msgspec
import structlog

from oyez.protocol.events import Event
from oyez.server.engine import Cached, ChannelFull
from oyez.server.engine.backplane import Stale
from oyez.server.engine.messages import Refused, write
from oyez.server.engine.nats import wire
from oyez.server.engine.nats.deputy import Deputies, Snapshot
from oyez.server.engine.nats.entries import Entries
from oyez.server.engine.nats.link import Link, Message
from oyez.server.engine.nats.numbers import Numbers
from oyez.server.engine.nats.store import Store
from oyez.server.engine.nats.subjects import Subjects

__all__ = ["Keeper"]

log: structlog.stdlib.BoundLogger = structlog.get_logger("oyez.engine")

_encode = msgspec.msgpack.Encoder().encode
_NOTHING: Final = wire.Answer("done")
_CHANGING: Final = (wire.Join, wire.Leave, wire.Restate, wire.Sweep, wire.Meter)


class Keeper:
    """One reign.

    Args:
        numbers: the largest that keepers before may have given.
        lease: seconds, of incarnations.
        replica: what the last keeper knew and what its clock showed, if that is known.

    Attributes:
        numbers: what changes and events are numbered with.
        position: how many times something has changed.
    """

    def __init__(
        self,
        link: Link,
        subjects: Subjects,
        entries: Entries,
        term: int,
        *,
        numbers: int,
        lease: float,
        replica: tuple[Store, float] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.term = term
        self.numbers = Numbers(time.time, numbers)
        self.position = 0
        self._link = link
        self._subjects = subjects
        self._entries = entries
        self._clock = clock
        self._replica = replica
        self._store = replica[0] if replica else Store(lease, self.numbers.next, self._tell)
        self._deputies = Deputies()
        self._news: list[tuple[str, Event]] = []
        self._changes: list[wire.Request] = []
        self._until = float("-inf")
        self._held: list[Message] = []
        self._sid = 0
        self._saved: bytes = b""
        self._fetching: set[asyncio.Task[None]] = set()

    @property
    def reigns(self) -> bool:
        """Whether it may answer; a process that was stopped finds out by its clock."""
        return self._clock() < self._until

    async def open(self) -> None:
        """Listen; what is asked before the first `renewed` waits for it.

        Raises:
            EngineUnavailable: the broker is away.
        """
        if self._replica is None:
            await self._recall_usage()
        self._sid = self._link.subscribe(self._subjects.keeper(self.term), self._asked)
        await self._link.confirmed()

    def close(self) -> None:
        """Answer nobody any more."""
        self._until = float("-inf")
        self._held.clear()
        self._link.unsubscribe(self._sid)
        for task in self._fetching:
            task.cancel()

    def renewed(self, until: float, numbers: int) -> None:
        """Answer until then, and with numbers up to this one."""
        self._until = until
        self.numbers.limit = numbers
        self._deputies.renewed()
        if self._replica is not None:
            now = self._clock()
            self._store.resume(self.numbers.next, self._tell, now, now - self._replica[1])
            self._replica = None
        held, self._held = self._held, []
        for message in held:
            self._asked(message)
        self._save()

    async def _recall_usage(self) -> None:
        found = await self._entries.read(self._subjects.used)
        if found is not None:
            try:
                self._store.used = wire.read(found.message, wire.Used).days
            except Refused as error:
                log.warning("usage of today is lost", error=str(error))

    def _save(self) -> None:
        used = wire.write(wire.Used(self._store.used))
        if used != self._saved and self._store.used:
            self._entries.put(self._subjects.used, used)
            self._saved = used

    def _asked(self, message: Message) -> None:
        if not self.reigns:
            self._held.append(message)
            return
        try:
            requests = wire.read_requests(message.data)
        except Refused as error:
            log.warning("request refused", error=str(error))
            self._reply(message, [wire.Answer(str(error))])
            return
        answers: list[wire.Answer] = []
        missing: dict[int, wire.Cached] = {}
        for number, request in enumerate(requests):
            if isinstance(request, wire.Cached) and not self._knows(request):
                missing[number] = request
                answers.append(_NOTHING)
            else:
                answers.append(self._answer(request))
        self._pass_on()
        if missing:
            task = asyncio.create_task(self._fetch(message, answers, missing))
            self._fetching.add(task)
            task.add_done_callback(self._fetching.discard)
        else:
            self._reply(message, answers)

    def _answer(self, request: wire.Request | wire.Deputize) -> wire.Answer:
        if isinstance(request, wire.Deputize):
            return self._deputize(request)
        again = self._store.has_done(request)
        try:
            value = self._store.do(request, self._clock())
        except Stale:
            return wire.Answer("stale")
        except ChannelFull:
            return wire.Answer("full")
        if isinstance(request, wire.Publish):
            self._keep(request.app_id, value)
            return _NOTHING
        registers = isinstance(request, wire.Beat) and request.register
        if (isinstance(request, _CHANGING) and not again) or registers:
            self._changes.append(request)
        return wire.Answer("done", msgspec.Raw(_encode(value)))

    def _reply(self, message: Message, answers: list[wire.Answer]) -> None:
        if not self._link.up:
            return  # whoever asked finds out
        for piece in wire.pieces(answers, self._link.largest):
            self._link.publish(message.reply.decode(), piece)

    def _tell(self, app_id: str, event: Event) -> None:
        self._news.append((app_id, event))

    def _pass_on(self) -> None:
        """What was changed to the deputies, and then what is news to everybody."""
        changes, self._changes = self._changes, []
        news, self._news = self._news, []
        if changes:
            self.position += 1
            if self._deputies:
                logged = wire.Logged(self.position, self._clock(), changes)
                self._link.publish(self._subjects.log(self.term), wire.write(logged))
        for app_id, event in news:
            self._link.publish(self._subjects.event(app_id, event.channel), write(event))

    def _deputize(self, request: wire.Deputize) -> wire.Answer:
        if not self._deputies.admit(request.who):
            return wire.Answer("full")
        if request.position >= 0:
            return _NOTHING
        snapshot = Snapshot(self.position, self._clock(), self._store.state())
        return wire.Answer("done", msgspec.Raw(_encode(snapshot)))

    # What cache channels replay.

    def _keep(self, app_id: str, kept: list[tuple[str, Cached]]) -> None:
        for channel, cached in kept:
            until = time.time() + cached.seconds
            entry = wire.Kept(cached.name, cached.data, cached.sequence, until)
            subject = self._subjects.cache(app_id, channel)
            self._entries.put(subject, wire.write(entry), int(cached.seconds))

    def _knows(self, request: wire.Cached) -> bool:
        return self._store.knows(request.app_id, request.channel)

    async def _fetch(
        self, message: Message, answers: list[wire.Answer], missing: dict[int, wire.Cached]
    ) -> None:
        """Look up what keepers before have kept, and answer."""
        recalling = (self._recall(request) for request in missing.values())
        outcomes = await asyncio.gather(*recalling, return_exceptions=True)
        for (number, request), failed in zip(missing.items(), outcomes, strict=True):
            done = failed is None
            answers[number] = self._answer(request) if done else wire.Answer(str(failed))
        self._reply(message, answers)

    async def _recall(self, request: wire.Cached) -> None:
        found = await self._entries.read(self._subjects.cache(request.app_id, request.channel))
        if self._knows(request):
            return  # something newer was published in the meantime
        cached = None
        if found is not None:
            try:
                kept = wire.read(found.message, wire.Kept)
            except Refused as error:
                log.warning("cached event refused", error=str(error))
            else:
                left = kept.until - time.time()
                cached = Cached(kept.name, kept.data, left, kept.sequence) if left > 0 else None
        self._store.keep(request.app_id, request.channel, cached, self._clock())
