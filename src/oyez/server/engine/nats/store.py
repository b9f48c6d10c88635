"""All that a keeper knows: a record per app, what cache channels replay, and what was used.

Without I/O and clocks, like `oyez.server.engine.nats.record`.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from oyez.protocol.channels import kind_of
from oyez.protocol.events import Event
from oyez.server.engine import Cached
from oyez.server.engine.nats import wire
from oyez.server.engine.nats.record import Record, RecordState

__all__ = ["Store", "StoreState"]

_METERED: Final = 3  # days whose usage is kept
_REMEMBERED: Final = 10_000  # answers, for those who ask again because they did not get them
_MISSES: Final = 100_000  # cache channels of which it is remembered that they have nothing


class StoreState(msgspec.Struct, array_like=True, frozen=True):
    """A store as it travels to another node; what cache channels replay is in JetStream."""

    records: dict[str, RecordState]
    used: dict[int, dict[str, int]]


class Store:
    """The state of a whole deployment.

    Args:
        lease: seconds after which an incarnation lapses.
        number: gives a number larger than all before it.
        tell: called with app id and event for each that is to be published, in their order.

    Attributes:
        used: messages by day and app id.
    """

    def __init__(
        self, lease: float, number: Callable[[], int], tell: Callable[[str, Event], None]
    ) -> None:
        self.used: dict[int, dict[str, int]] = {}
        self._lease = lease
        self._number = number
        self._tell = tell
        self._records: dict[str, Record] = {}
        self._done: dict[int, Any] = {}  # answers to the last requests, by their id
        # With when it expires; None where it is known that there is nothing.
        self._cache: dict[tuple[str, str], tuple[Cached | None, float]] = {}

    def do(self, request: wire.Request, now: float) -> Any:
        """What a request asks for, once.

        Raises:
            Stale, ChannelFull: as the backplane promises.
        """
        id = _id(request)
        if not id:
            return self._do(request, now)
        if id not in self._done:
            self._done[id] = self._do(request, now)
            if len(self._done) > _REMEMBERED:
                del self._done[next(iter(self._done))]
        return self._done[id]

    def has_done(self, request: wire.Request) -> bool:
        """Whether `do` would do nothing any more."""
        return _id(request) in self._done

    def _do(self, request: wire.Request, now: float) -> Any:
        match request:
            case wire.Meter(day, used):
                return self.meter(day, used)
            case wire.Publish(app_id, events, seconds):
                return self.publish(app_id, events, seconds, now)
            case wire.Cached(app_id, channel):
                return self.cached(app_id, channel, now)
        record = self.record(request.app_id)
        match request:
            case wire.Beat(_, incarnation, register):
                return record.beat(incarnation, self._lease, now, register=register)
            case wire.Join(_, incarnation, channel, member, most):
                return record.join(incarnation, channel, member, most)
            case wire.Leave(_, incarnation, channel, user_id):
                return record.leave(incarnation, channel, user_id)
            case wire.HeldBy(_, incarnation):
                return record.held(incarnation)
            case wire.Restate(_, incarnation, held):
                return record.restate(incarnation, held)
            case wire.Sweep(_, incarnation, force):
                return record.sweep(incarnation, now, force=force)
            case wire.Occupancy(_, channel):
                return record.occupancy(channel)
            case wire.Channels(_, prefix):
                return record.channels(prefix)
            case wire.Roll(_, channel):
                return record.roll(channel, now)

    def record(self, app_id: str) -> Record:
        """What is known of an app."""
        found = self._records.get(app_id)
        if found is None:
            found = Record(lambda: self._number(), lambda event: self._tell(app_id, event))
            self._records[app_id] = found
        return found

    # From one keeper to the next.

    def state(self) -> StoreState:
        """All of it; it is ours and not to be changed."""
        records = {app_id: record.state() for app_id, record in self._records.items()}
        return StoreState(records, self.used)

    def assume(self, state: StoreState) -> None:
        """Be this from now on."""
        self.used = state.used
        for app_id, record in state.records.items():
            self.record(app_id).assume(record)

    def resume(
        self,
        number: Callable[[], int],
        tell: Callable[[str, Event], None],
        now: float,
        ahead: float,
    ) -> None:
        """Be the store of another keeper, whose clock shows so much more."""
        self._number, self._tell = number, tell
        for record in self._records.values():
            record.resume(self._lease, now, ahead)

    # Usage.

    def meter(self, day: int, used: Mapping[str, int]) -> dict[str, int]:
        """See `oyez.server.engine.Engine.meter`."""
        if day not in self.used:
            self.used[day] = {}
            for old in sorted(self.used)[:-_METERED]:
                del self.used[old]
        totals = self.used.get(day, {})
        for app_id, n in used.items():
            totals[app_id] = totals.get(app_id, 0) + n
        return {app_id: totals[app_id] for app_id in used}

    # Events.

    def publish(
        self, app_id: str, events: list[Event], cache_seconds: int, now: float
    ) -> list[tuple[str, Cached]]:
        """Number what is of cache channels, keep the last ones, and tell all; what was kept."""
        kept = {}
        for event in events:
            sequence = event.sequence
            if kind_of(event.channel).cache:
                sequence = self._number()
                if cache_seconds:
                    cached = Cached(event.name, event.data, cache_seconds, sequence)
                    self.keep(app_id, event.channel, cached, now)
                    kept[event.channel] = cached
            self._tell(
                app_id,
                Event(
                    event.name, event.channel, event.data, event.socket_id, event.user_id, sequence
                ),
            )
        return list(kept.items())

    def keep(self, app_id: str, channel: str, cached: Cached | None, now: float) -> None:
        """Keep an event for as long as it says; None if it is known that there is nothing."""
        if len(self._cache) > _MISSES:
            self.tidy(now)
        until = now + cached.seconds if cached is not None else 0.0
        self._cache[app_id, channel] = (cached, until)

    def knows(self, app_id: str, channel: str) -> bool:
        """Whether `cached` has all there is to know."""
        return (app_id, channel) in self._cache

    def cached(self, app_id: str, channel: str, now: float) -> Cached | None:
        """See `oyez.server.engine.Engine.cached`."""
        cached, until = self._cache.get((app_id, channel), (None, 0.0))
        if cached is None or until <= now:
            return None
        return Cached(cached.name, cached.data, until - now, cached.sequence)

    def tidy(self, now: float) -> None:
        """Forget what has expired, and what was looked for in vain."""
        self._cache = {topic: found for topic, found in self._cache.items() if found[1] > now}


def _id(request: wire.Request) -> int:
    id: int = getattr(request, "id", 0)
    return id
