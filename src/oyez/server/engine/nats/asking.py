"""Asking the keeper: what is asked in one turn of the event loop travels in one message.

What certainly was not done, as nobody was there to hear it, is asked again, of the next keeper if
need be. So is what a keeper has been asked and did not answer before it lost its reign: if that was
done, a deputy knows of it (`wire`), or all that the keeper knew is gone. Only what it was to
publish may be on its way.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

import msgspec

from oyez.server.engine import ChannelFull, EngineUnavailable, OutcomeUnknown
from oyez.server.engine.backplane import Stale
from oyez.server.engine.messages import Refused
from oyez.server.engine.nats import wire
from oyez.server.engine.nats.link import Link, Message
from oyez.server.engine.nats.subjects import Subjects

__all__ = ["Asking"]

_FRAME = 128  # bytes of a message beside the requests in it, also when it is passed on
_encode = msgspec.msgpack.Encoder().encode


class _Asked:
    """One request, and whoever waits for its answer."""

    __slots__ = ("answer", "encoded", "number", "repeatable", "sent", "until")

    def __init__(self, number: int, encoded: bytes, repeatable: bool, until: float) -> None:
        self.number = number
        self.encoded = encoded
        self.repeatable = repeatable
        self.until = until
        self.sent = False
        self.answer: asyncio.Future[msgspec.Raw] = asyncio.get_running_loop().create_future()


class _Batch:
    """Requests that travel together."""

    __slots__ = ("asked", "number", "received", "term")

    def __init__(self, term: int, asked: list[_Asked]) -> None:
        self.term = term
        self.asked = asked
        self.number = b""
        self.received = bytearray()


class Asking:
    """The requests of one connection.

    Args:
        limit: seconds for an answer.
        nobody: called with a term when nobody listens where its keeper would.
    """

    def __init__(
        self, link: Link, subjects: Subjects, *, limit: float, nobody: Callable[[int], None]
    ) -> None:
        self._link = link
        self._subjects = subjects
        self._limit = limit
        self._nobody = nobody
        self._term = 0  # while it is not known who could be asked
        self._numbers = 0
        self._waiting: list[_Asked] = []
        self._scheduled = False
        self._under_way: dict[bytes, _Batch] = {}
        self._limits: deque[_Asked] = deque()  # in the order in which their time is over
        self._timer: asyncio.TimerHandle | None = None

    def ask(
        self, request: wire.Request, *, repeatable: bool = True
    ) -> "asyncio.Future[msgspec.Raw]":
        """The answer, still encoded.

        Raises:
            Stale, ChannelFull: as the backplane promises.
            OutcomeUnknown: it was asked, and there is no answer.
            EngineUnavailable: it was not done.
        """
        loop = asyncio.get_running_loop()
        self._numbers += 1
        asked = _Asked(self._numbers, _encode(request), repeatable, loop.time() + self._limit)
        if not self._link.up:
            _fail(asked, EngineUnavailable("not connected"))
        elif len(asked.encoded) + _FRAME > self._link.largest:
            _fail(asked, EngineUnavailable("this is more than the broker takes at once"))
        else:
            self._waiting.append(asked)
            self._limits.append(asked)
            self._schedule()
            if self._timer is None:
                self._timer = loop.call_at(asked.until, self._expire)
        return asked.answer

    def use(self, term: int) -> None:
        """Whom to ask from now on, also what others have not answered."""
        if term < self._term:
            return
        for batch in tuple(self._under_way.values()):
            if batch.term < term:
                self._forget(batch)
                for asked in batch.asked:
                    if not asked.repeatable:
                        _fail(asked, OutcomeUnknown("the keeper has changed"))
                self._put_back(batch.asked)
        self._term = term
        self._schedule()

    def fail(self, reason: str) -> None:
        """The connection is gone."""
        for batch in self._under_way.values():
            for asked in batch.asked:
                _fail(asked, OutcomeUnknown(reason))
        for asked in self._waiting:
            _fail(asked, EngineUnavailable(reason))
        self._under_way.clear()
        self._waiting.clear()
        self._limits.clear()
        if self._timer is not None:
            self._timer.cancel()

    # Sending.

    def _schedule(self) -> None:
        if not self._scheduled and self._waiting:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        self._scheduled = False
        if not self._term or not self._link.up:
            return
        waiting, self._waiting = self._waiting, []
        part: list[_Asked] = []
        size, most = _FRAME, self._link.largest
        for asked in waiting:
            if asked.answer.done():
                continue
            if part and size + len(asked.encoded) > most:
                self._send_batch(part)
                part, size = [], _FRAME
            part.append(asked)
            size += len(asked.encoded)
        if part:
            self._send_batch(part)

    def _send_batch(self, part: list[_Asked]) -> None:
        batch = _Batch(self._term, part)
        message = wire.write([msgspec.Raw(asked.encoded) for asked in part])
        subject = self._subjects.keeper(self._term)
        batch.number = self._link.question(subject, message, partial(self._answered, batch))
        self._under_way[batch.number] = batch
        for asked in part:
            asked.sent = True

    def _put_back(self, part: list[_Asked]) -> None:
        """Ask again, in the old order."""
        for asked in part:
            if not asked.answer.done():
                asked.sent = False
                self._waiting.append(asked)
        self._waiting.sort(key=lambda asked: asked.number)

    # Answers.

    def _answered(self, batch: _Batch, message: Message) -> None:
        if message.nobody:
            self._forget(batch)
            self._put_back(batch.asked)
            if batch.term == self._term:
                self._term = 0
                self._nobody(batch.term)
            else:
                self._schedule()
            return
        try:
            answers = wire.join_pieces(batch.received, message.data)
            if answers is None:
                return
            if len(answers) != len(batch.asked):
                raise Refused(answers[0].outcome if answers else "nothing was answered")
        except Refused as error:
            answers = [wire.Answer(f"refused: {error}")] * len(batch.asked)
        self._forget(batch)
        for asked, answer in zip(batch.asked, answers, strict=True):
            _succeed(asked, answer)

    def _forget(self, batch: _Batch) -> None:
        self._under_way.pop(batch.number, None)
        self._link.forget(batch.number)

    def _expire(self) -> None:
        now = asyncio.get_running_loop().time()
        self._timer = None
        while self._limits and (self._limits[0].until <= now or self._limits[0].answer.done()):
            asked = self._limits.popleft()
            if asked.sent:
                _fail(asked, OutcomeUnknown(f"no answer within {self._limit:g} s"))
            else:
                _fail(asked, EngineUnavailable(f"nobody could be asked for {self._limit:g} s"))
        if self._limits:
            self._timer = asyncio.get_running_loop().call_at(self._limits[0].until, self._expire)
        for batch in tuple(self._under_way.values()):
            if all(asked.answer.done() for asked in batch.asked):
                self._forget(batch)


def _succeed(asked: _Asked, answer: wire.Answer) -> None:
    if asked.answer.done():
        return
    if answer.outcome == "done":
        asked.answer.set_result(answer.value)
    elif answer.outcome == "stale":
        _fail(asked, Stale("the keeper does not know this name"))
    elif answer.outcome == "full":
        _fail(asked, ChannelFull())
    else:
        _fail(asked, EngineUnavailable(answer.outcome))


def _fail(asked: _Asked, error: Exception) -> None:
    if not asked.answer.done():
        asked.answer.set_exception(error)
        asked.answer.exception()  # whoever waited may have gone
