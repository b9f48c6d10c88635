"""Counts and states of users: events of which only the last one matters to those who get them.

Each says how things are as of a revision (`oyez.server.engine.Joined`), so one that was overtaken
is not told, and one that was lost is made up for when the store is asked how things are.
"""

from collections.abc import Callable, Iterator

import msgspec

from oyez.protocol.channels import connections_of, user_watched_by
from oyez.protocol.events import Event
from oyez.protocol.messages import (
    SUBSCRIPTION_COUNT,
    WATCHLIST_EVENTS,
    subscription_count,
    watchlist_change,
)

__all__ = ["Latest", "counted_by", "state_of"]

Topic = tuple[str, str]  # app id and channel
_NAMES = (SUBSCRIPTION_COUNT, WATCHLIST_EVENTS)


def counted_by(channel: str) -> str:
    """The channel whose subscriptions say what is to be told on ``channel``."""
    user_id = user_watched_by(channel)
    return channel if user_id is None else connections_of(user_id)


def state_of(channel: str, subscriptions: int) -> Event:
    """What is to be told on ``channel`` when so many are on the one that it is `counted_by`."""
    user_id = user_watched_by(channel)
    if user_id is None:
        return subscription_count(channel, subscriptions)
    return watchlist_change(user_id, online=subscriptions > 0)


class Latest:
    """What the clients of this node were told last, by the channel on which they were told.

    Args:
        is_used: whether somebody here is on a channel, by app id and channel.
    """

    def __init__(self, is_used: Callable[[str, str], bool]) -> None:
        self._is_used = is_used
        self._told: dict[Topic, tuple[int, str]] = {}  # the revision, and the data
        self._round: list[Topic] = []

    def __iter__(self) -> Iterator[Topic]:
        return iter(self._told)

    def __len__(self) -> int:
        return len(self._told)

    def expect(self, app_id: str, channel: str) -> None:
        """Whoever is here on the channel wants to be told."""
        if self._is_used(app_id, channel):
            self._told.setdefault((app_id, channel), (0, ""))

    def end(self, app_id: str, channel: str) -> None:
        """Nobody here is on the channel any more."""
        self._told.pop((app_id, channel), None)

    def news(self, app_id: str, event: Event) -> list[Event]:
        """What to deliver when an event has arrived: nothing if it was overtaken."""
        if event.name not in _NAMES or not event.sequence:
            return [event]
        topic = (app_id, event.channel)
        if event.sequence == self._told.get(topic, (0, ""))[0]:
            return []  # the store was quicker to say so
        return self._tell(topic, event, event.sequence)

    def correct(self, app_id: str, event: Event, revision: int) -> list[Event]:
        """What to deliver now that the store has said how things are."""
        topic = (app_id, event.channel)
        if topic not in self._told or self._told[topic][1] == event.data:
            return []
        return self._tell(topic, event, revision)

    def ask(self, app_id: str, event: Event, revision: int, *, certain: bool) -> list[Event]:
        """What to deliver when somebody is about to be told how things are by `is_told`.

        Args:
            certain: whether the store's answer counts for more than what was told here.
        """
        topic = (app_id, event.channel)
        if not self._told.get(topic, (0, ""))[1]:  # nobody knows anything yet
            if self._is_used(*topic):
                self._told[topic] = (revision, event.data)
            return []
        return self.correct(app_id, event, revision) if certain else []

    def is_told(self, app_id: str, event: Event) -> bool:
        """Whether this is what everybody here knows."""
        return self._told.get((app_id, event.channel), (0, ""))[1] == event.data

    def forget_revisions(self) -> None:
        """The broker is another one, or was away: its numbers may begin anew."""
        self._told = {topic: (0, data) for topic, (_, data) in self._told.items()}

    def some(self, count: int) -> tuple[Topic, ...]:
        """The next channels, all in their turn."""
        if not self._round:
            self._round = list(self._told)
        found = tuple(self._round[-count:])
        del self._round[-count:]
        return found

    def _tell(self, topic: Topic, event: Event, revision: int) -> list[Event]:
        if revision < self._told.get(topic, (0, ""))[0] or not self._is_used(*topic):
            return []
        self._told[topic] = (revision, event.data)
        return [msgspec.structs.replace(event, sequence=0)]
