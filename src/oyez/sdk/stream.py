"""Events as they are consumed: by iterating, or by functions that are called.

Nothing here waits for a consumer. Who does not keep up loses the oldest events, and can see how
many in `Stream.dropped`; the connection is read on.
"""

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Self, TypeVar, overload

from oyez.sdk.conversation import Event
from oyez.sdk.tasks import Tasks

__all__ = ["Handler", "Stream"]

log = logging.getLogger("oyez.subscriber")

Handler = Callable[[Event], Any]
_Handler = TypeVar("_Handler", bound=Handler)
_Item = TypeVar("_Item")


class _Bounded(Generic[_Item]):
    """A queue that never refuses: at its limit the oldest goes."""

    __slots__ = ("dropped", "items")

    def __init__(self, size: int) -> None:
        self.items: deque[_Item] = deque(maxlen=size)
        self.dropped = 0

    def put(self, item: _Item) -> None:
        if len(self.items) == self.items.maxlen:
            self.dropped += 1
        self.items.append(item)


@dataclass(slots=True)
class _Listener:
    """A function with the events it has not been called for yet, one after another."""

    name: str | None
    handler: Handler
    waiting: _Bounded[Event]
    at_work: bool = field(default=False)

    async def work(self) -> None:
        try:
            while self.waiting.items:
                await self._call(self.waiting.items.popleft())
        finally:
            self.at_work = False

    async def _call(self, event: Event) -> None:
        try:
            result = self.handler(event)
            if inspect.isawaitable(result):
                await result
        except Exception:
            # The next event is none the worse for it, and nobody else can report it.
            log.exception("the handler of %s failed on %s", event.name, event.channel)


class Feed:
    """The end of a stream at which events go in.

    Args:
        size: events that wait for whoever iterates, and for each handler.
        system_events: whether iterating gives what the protocol itself reports.
    """

    def __init__(self, size: int, tasks: Tasks, *, system_events: bool) -> None:
        self._size = size
        self._tasks = tasks
        self._system_events = system_events
        self._waiting: _Bounded[Event] = _Bounded(size)
        self._news = asyncio.Event()
        self._ended = False
        self._error: Exception | None = None
        self._listeners: list[_Listener] = []

    @property
    def dropped(self) -> int:
        """Events that no iterator has fetched in time."""
        return self._waiting.dropped

    @property
    def missed(self) -> int:
        """Events that handlers were not called for."""
        return sum(listener.waiting.dropped for listener in self._listeners)

    def publish(self, event: Event) -> None:
        """Hand an event to whoever wants it; never waits."""
        for listener in self._listeners:
            if listener.name is None or listener.name == event.name:
                listener.waiting.put(event)
                if not listener.at_work:
                    listener.at_work = True
                    self._tasks.start(listener.work())
        if self._system_events or not event.system:
            self._waiting.put(event)
            self._news.set()

    def end(self, error: Exception | None = None) -> None:
        """No event will come any more; what is waiting can still be fetched."""
        if not self._ended:
            self._ended = True
            self._error = error
            self._news.set()

    async def next(self) -> Event:
        """The oldest event that is waiting."""
        waiting = self._waiting.items
        while not waiting:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return waiting.popleft()

    def listen(self, name: str | None, handler: Handler) -> None:
        """Call a function from now on."""
        self._listeners.append(_Listener(name, handler, _Bounded(self._size)))

    def forget(self, handler: Handler) -> None:
        """Call it no more."""
        self._listeners = [each for each in self._listeners if each.handler != handler]


class Stream:
    """What happens, to be iterated over or listened to.

    Iterating (``async for event in stream``, ``await anext(stream)``) gives what has happened since
    the stream began and nobody has fetched yet; two iterators share it. It ends when the stream is
    closed, and raises if it was cut off for good.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    @property
    def dropped(self) -> int:
        """Events that were not fetched in time, or never as nobody iterates."""
        return self._feed.dropped

    @property
    def missed(self) -> int:
        """Events that handlers were not called for, as they take too long."""
        return self._feed.missed

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        return await self._feed.next()

    @overload
    def on(self, name: str | None = None) -> Callable[[_Handler], _Handler]: ...  # pyright: ignore[reportInvalidTypeVarUse]
    @overload
    def on(self, name: str | None, handler: _Handler) -> _Handler: ...
    def on(self, name: str | None = None, handler: Handler | None = None) -> Any:
        """Call a function for each event of this name; a decorator if no function is given.

        Each handler gets its events one after another in their order, however long it takes, and
        no other handler waits for it. What it raises is logged.

        Args:
            name: of the event, such as ``my-event`` or ``pusher:member_added``; None for all.
            handler: a function or coroutine function that takes an `Event`. A plain function must
                not block.
        """

        def listen(listener: _Handler) -> _Handler:
            self._feed.listen(name, listener)
            return listener

        return listen if handler is None else listen(handler)

    def off(self, handler: Handler) -> None:
        """Call a function no more, under whatever names it was listening."""
        self._feed.forget(handler)
