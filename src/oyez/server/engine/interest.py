"""Which channels this node wants to hear of: subscribed at the broker while somebody here needs it.

A channel is subscribed before its first local subscription is counted, and unsubscribed only some
time after the last one ended: a client that changes pages would otherwise cost two requests.
"""

import asyncio
from collections.abc import Callable

from oyez.server.engine.backplane import Backplane

__all__ = ["Interest"]

Topic = tuple[str, str]  # app id and channel

_BATCH = 512  # subscriptions under way at once when all are made again


class _Wanted:
    __slots__ = ("confirmed", "uses")

    def __init__(self) -> None:
        self.uses = 0
        self.confirmed: asyncio.Future[None] | None = None


class Interest:
    """Counts the uses of each channel and keeps the broker in step.

    Args:
        clock: seconds that only go forward.
        linger: seconds that a channel stays subscribed after its last use.
    """

    def __init__(
        self, backplane: Backplane, clock: Callable[[], float], *, linger: float = 2.0
    ) -> None:
        self._backplane = backplane
        self._clock = clock
        self._linger = linger
        self._wanted: dict[Topic, _Wanted] = {}
        self._idle: dict[Topic, float] = {}  # since when, oldest first

    def __contains__(self, topic: Topic) -> bool:
        return topic in self._wanted

    def is_used(self, app_id: str, channel: str) -> bool:
        """Whether somebody here needs it, or is about to."""
        wanted = self._wanted.get((app_id, channel))
        return wanted is not None and wanted.uses > 0

    async def use(self, app_id: str, channel: str) -> None:
        """Count one more use; returns when nothing published from now on is missed.

        Raises:
            EngineUnavailable: the broker did not confirm, and the use is not counted.
        """
        topic = (app_id, channel)
        wanted = self._wanted.get(topic)
        if wanted is None:
            wanted = self._wanted[topic] = _Wanted()
        wanted.uses += 1
        self._idle.pop(topic, None)
        try:
            await self._confirm(topic, wanted)
        except BaseException:
            self.drop(app_id, channel)
            raise

    def drop(self, app_id: str, channel: str) -> bool:
        """Count one use less; whether it was the last."""
        topic = (app_id, channel)
        wanted = self._wanted[topic]
        wanted.uses -= 1
        if not wanted.uses:
            self._idle[topic] = self._clock()
        return not wanted.uses

    def tidy(self) -> None:
        """Unsubscribe what has not been used for a while; call it now and then."""
        limit = self._clock() - self._linger
        while self._idle:
            topic = next(iter(self._idle))
            if self._idle[topic] > limit:
                break
            del self._idle[topic]
            del self._wanted[topic]
            self._backplane.unsubscribe(*topic)

    def forget(self) -> None:
        """The connection is gone, and with it every subscription."""
        for topic in self._idle:
            del self._wanted[topic]
        self._idle.clear()
        for wanted in self._wanted.values():
            wanted.confirmed = None  # whoever waits for one is told by the backplane

    async def restore(self) -> None:
        """Subscribe everything that is in use, after `forget`.

        Raises:
            EngineUnavailable: not all of it.
        """
        topics = list(self._wanted.items())
        for at in range(0, len(topics), _BATCH):
            part = topics[at : at + _BATCH]
            await asyncio.gather(*(self._confirm(topic, wanted) for topic, wanted in part))

    async def _confirm(self, topic: Topic, wanted: _Wanted) -> None:
        """Ask the broker once, however many wait for it."""
        if wanted.confirmed is None:
            wanted.confirmed = asyncio.ensure_future(self._backplane.subscribe(*topic))
            wanted.confirmed.add_done_callback(lambda done: self._asked(wanted, done))
        if not wanted.confirmed.done():
            await asyncio.shield(wanted.confirmed)

    @staticmethod
    def _asked(wanted: _Wanted, done: "asyncio.Future[None]") -> None:
        failed = done.cancelled() or done.exception() is not None
        if failed and wanted.confirmed is done:
            wanted.confirmed = None  # the next use asks again
