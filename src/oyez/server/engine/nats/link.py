"""One connection to NATS: what is sent in one turn of the event loop goes in one write.

Whoever wants to know that the broker has it gets a future: behind what this turn has written comes
one PING, and its PONG says that all before it has been done. When the connection fails, what had
been written is `OutcomeUnknown`, and what had not is `EngineUnavailable`.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

import structlog
from nats.errors import Error

from oyez.server.engine import EngineUnavailable, OutcomeUnknown
from oyez.server.engine.nats.address import Address
from oyez.server.engine.nats.client import NatsClient

__all__ = ["Link", "Message"]

log: structlog.stdlib.BoundLogger = structlog.get_logger("oyez.engine")

_STATUS: Final = slice(9, 12)  # of headers that begin with "NATS/1.0 503"
_MOST_PAYLOAD: Final = 1_048_576  # where the server does not say


class Message(NamedTuple):
    """What has arrived.

    Attributes:
        reply: the subject for an answer.
        status: of an answer that is none: 503 if nobody was there to be asked.
    """

    data: bytes
    subject: bytes
    reply: bytes
    status: bytes

    @property
    def nobody(self) -> bool:
        """Whether the question has reached nobody."""
        return self.status == b"503"


Handler = Callable[[Message], None]
_Value = TypeVar("_Value")


class Link:
    """A connection that is opened once, and not again when it is gone.

    Args:
        limit: seconds for anything that the broker is asked.
        lost: called with a reason, once; not after `close`.
    """

    def __init__(self, address: Address, *, limit: float, lost: Callable[[str], None]) -> None:
        self._client = NatsClient(self._arrived, self.fail, self._warned)
        self._address = address
        self._limit = limit
        self._lost = lost
        self._up = False
        self._out: list[bytes] = []
        self._sids = 0
        self._handlers: dict[int, Handler] = {}
        self._unwritten: list[asyncio.Future[None]] = []
        self._unconfirmed: set[_Turn] = set()
        self._inbox = ""
        self._questions = 0
        self._answers: dict[bytes, Handler] = {}
        self._asked: set[asyncio.Future[Message]] = set()

    @property
    def up(self) -> bool:
        return self._up

    @property
    def largest(self) -> int:
        """Bytes of a message, at most."""
        return self._client.max_payload or _MOST_PAYLOAD

    async def open(self) -> None:
        """Connect.

        Raises:
            EngineUnavailable: that was not possible.
        """
        options, secure = self._address.options, self._address.secure
        try:
            await self._client.open(options, secure=secure, limit=self._limit)
        except (OSError, Error) as error:  # of which being too late is one
            raise EngineUnavailable(f"cannot connect: {error or type(error).__name__}") from error
        self._up = True
        self._inbox = self._client.new_inbox()
        self.subscribe(f"{self._inbox}.*", self._answered)

    async def close(self) -> None:
        """Give it back; who waits for something is told."""
        self._flush()
        self._end("closed")
        await self._client.shut()

    def fail(self, reason: str) -> None:
        """It is of no use any more."""
        if self._up:
            self._end(reason)
            self._lost(reason)

    # Sending.

    def publish(
        self, subject: str, payload: bytes, *, reply: str = "", headers: bytes = b""
    ) -> None:
        """Send a message at the end of this turn.

        Raises:
            EngineUnavailable: it cannot be sent.
        """
        size = len(headers) + len(payload)
        self.check(size)
        if headers:
            head = f"HPUB {subject} {reply} {len(headers)} {size}\r\n"
            self._send(b"".join((head.encode(), headers, payload, b"\r\n")))
        else:
            head = f"PUB {subject} {reply} {size}\r\n"
            self._send(b"".join((head.encode(), payload, b"\r\n")))

    def check(self, size: int) -> None:
        """Whether a message may have so many bytes.

        Raises:
            EngineUnavailable: the broker does not take it.
        """
        if size > self.largest:
            raise EngineUnavailable(f"{size} bytes are more than the broker takes at once")

    def confirmed(self) -> "asyncio.Future[None]":
        """Done when the broker has what was sent up to now.

        Raises:
            OutcomeUnknown: it may have it or not.
            EngineUnavailable: it has none of what was sent in this turn.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._up:
            self._unwritten.append(future)
            self._send(b"")
        else:
            future.set_exception(EngineUnavailable("not connected"))
        return future

    def subscribe(self, subject: str, handler: Handler) -> int:
        """Hand the messages of a subject to a handler; the number is for `unsubscribe`.

        Raises:
            EngineUnavailable: there is no connection.
        """
        sid = self._sids = self._sids + 1
        self._send(f"SUB {subject} {sid}\r\n".encode())
        self._handlers[sid] = handler
        return sid

    def unsubscribe(self, sid: int) -> None:
        """Receive them no longer."""
        if self._handlers.pop(sid, None) is not None and self._up:
            self._send(f"UNSUB {sid}\r\n".encode())

    def question(
        self, subject: str, payload: bytes, handler: Handler, *, headers: bytes = b""
    ) -> bytes:
        """Hand what is answered to a handler, until what is returned has been given to `forget`.

        Raises:
            EngineUnavailable: nothing could be asked.
        """
        self._questions += 1
        number = str(self._questions)
        self.publish(subject, payload, reply=f"{self._inbox}.{number}", headers=headers)
        self._answers[number.encode()] = handler
        return number.encode()

    def forget(self, number: bytes) -> None:
        """Wait no longer for answers to a question."""
        self._answers.pop(number, None)

    async def ask(self, subject: str, payload: bytes = b"", *, headers: bytes = b"") -> Message:
        """The answer of whoever listens to a subject; it may be `Message.nobody`.

        Raises:
            OutcomeUnknown: it did not come.
            EngineUnavailable: nothing could be asked.
        """
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        number = self.question(
            subject, payload, lambda message: _succeed(answer, message), headers=headers
        )
        self._asked.add(answer)
        try:
            async with asyncio.timeout(self._limit):
                return await answer
        except TimeoutError:
            raise OutcomeUnknown(f"no answer within {self._limit:g} s") from None
        finally:
            self.forget(number)
            self._asked.discard(answer)

    def _send(self, command: bytes) -> None:
        if not self._up:
            raise EngineUnavailable("not connected")
        if not self._out:
            asyncio.get_running_loop().call_soon(self._flush)
        self._out.append(command)

    def _flush(self) -> None:
        if not self._up:
            return
        out, self._out = self._out, []
        if not out:
            return
        waiting, self._unwritten = self._unwritten, []
        if waiting:
            ping, pong = self._client.ping()
            out.append(ping)
            over = self._unconfirmed.discard
            turn = _Turn(waiting, pong, limit=self._limit, overdue=self.fail, over=over)
            self._unconfirmed.add(turn)
        try:
            self._client.write(out)
        except (OSError, RuntimeError) as error:
            self.fail(str(error))

    # Receiving.

    def _arrived(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None
    ) -> None:
        handler = self._handlers.get(sid)
        if handler is None:  # it was unsubscribed a moment ago
            return
        try:
            handler(Message(data, subject, reply, headers[_STATUS] if headers else b""))
        except Exception:
            log.exception("bug in what handles a message")

    def _answered(self, message: Message) -> None:
        handler = self._answers.get(message.subject.rpartition(b".")[2])
        if handler is not None:
            handler(message)

    def _warned(self, complaint: str) -> None:
        log.warning("the broker refuses something", error=complaint)

    # The end.

    def _end(self, reason: str) -> None:
        if not self._up:
            return
        self._up = False
        for future in self._unwritten:
            _fail(future, EngineUnavailable(reason))
        for turn in tuple(self._unconfirmed):
            turn.fail(reason)
        for answer in self._asked:
            _fail(answer, OutcomeUnknown(reason))
        self._unwritten.clear()
        self._out.clear()
        self._handlers.clear()
        self._answers.clear()


class _Turn:
    """What waits for one PONG."""

    def __init__(
        self,
        waiting: "list[asyncio.Future[None]]",
        pong: "asyncio.Future[object]",
        *,
        limit: float,
        overdue: Callable[[str], None],
        over: "Callable[[_Turn], None]",
    ) -> None:
        self._waiting = waiting
        self._over = over
        self._timer = asyncio.get_running_loop().call_later(
            limit, overdue, f"no answer within {limit:g} s"
        )
        pong.add_done_callback(self._done)

    def _done(self, _: object) -> None:
        self._finish()
        for future in self._waiting:
            _succeed(future, None)

    def fail(self, reason: str) -> None:
        """The answer will not come."""
        self._finish()
        for future in self._waiting:
            _fail(future, OutcomeUnknown(reason))

    def _finish(self) -> None:
        self._timer.cancel()
        self._over(self)


def _succeed(future: "asyncio.Future[_Value]", value: _Value) -> None:
    if not future.done():
        future.set_result(value)


def _fail(future: "asyncio.Future[Any]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # whoever waited may have gone
