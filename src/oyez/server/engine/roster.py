"""Who is on each presence channel, as the clients of this node know it, and keeping that true.

The store knows who is there. Each node keeps what it has heard per channel that somebody here is
on, and that is the only source for its clients: a list is what is known at the moment, and an event
is told when it changes what is known. So whatever is late, lost or told twice on the way from the
store, no client hears of somebody who is in its list, or misses somebody who is not.

What is known is as of a revision (`oyez.server.engine.Joined`): an older event is in it already,
and a whole list of the store that is younger says what has to be told.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import msgspec

from oyez.protocol import messages
from oyez.protocol.events import Event
from oyez.protocol.messages import Member

__all__ = ["MEMBER_EVENTS", "Roster"]

_ADDED: Final = messages.MEMBER_ADDED
MEMBER_EVENTS: Final = frozenset((_ADDED, messages.MEMBER_REMOVED))

Topic = tuple[str, str]  # app id and channel


class _Data(msgspec.Struct):
    user_id: str
    user_info: msgspec.Raw = msgspec.Raw(b"{}")


_read_data = msgspec.json.Decoder(_Data).decode


class _View:
    """What is known of one channel, as of a revision."""

    __slots__ = ("members", "revision")

    def __init__(self, members: Iterable[Member], revision: int) -> None:
        self.members = {each.user_id: each for each in members}
        self.revision = revision


class Roster:
    """The presence channels with subscribers on this node.

    Every event that is to be delivered has a place: its ``sequence`` is the negative of a number
    that grows with each event of the roster, so that a list can be told from what comes after it.

    Args:
        holds: whether this node has a connection of a user on a channel, by app id, channel, user
            id. Nobody here is told that such a user has gone, whatever the store believes.

    Attributes:
        place: of the last event.
        suspect: channels where what is known may be wrong.
    """

    def __init__(self, holds: Callable[[str, str, str], bool]) -> None:
        self.place = 0
        self.suspect: set[Topic] = set()
        self._holds = holds
        self._views: dict[Topic, _View] = {}
        self._early: dict[Topic, list[Event]] = {}

    def __iter__(self) -> Iterator[Topic]:
        return iter(self._views)

    def expect(self, app_id: str, channel: str) -> None:
        """Somebody here is about to get a list; events may overtake it."""
        if (app_id, channel) not in self._views:
            self._early.setdefault((app_id, channel), [])

    def begin(self, app_id: str, channel: str, members: Iterable[Member], revision: int) -> None:
        """The first list for this channel has come; nothing happens if there is one already."""
        topic = (app_id, channel)
        if topic in self._views:
            return
        view = self._views[topic] = _View(members, revision)
        for event in self._early.pop(topic, ()):
            self._change(topic, view, event)

    def end(self, app_id: str, channel: str) -> None:
        """Nobody here is on the channel any more."""
        self._views.pop((app_id, channel), None)
        self._early.pop((app_id, channel), None)
        self.suspect.discard((app_id, channel))

    def members(self, app_id: str, channel: str) -> tuple[Member, ...]:
        """Who is there, as everybody here has been told."""
        return tuple(self._views[app_id, channel].members.values())

    def news(self, app_id: str, event: Event) -> list[Event]:
        """What to deliver when a member event has arrived: nothing if it is known here.

        Raises:
            ValueError: it is without a user.
        """
        topic = (app_id, event.channel)
        view = self._views.get(topic)
        if view is not None:
            return self._change(topic, view, event)
        _read_data(event.data)
        if topic in self._early:
            self._early[topic].append(event)
        return []

    def _change(self, topic: Topic, view: _View, event: Event) -> list[Event]:
        data = _read_data(event.data)
        if event.sequence <= view.revision:
            return []
        view.revision = event.sequence
        if (event.name == _ADDED) == (data.user_id in view.members):
            self.suspect.add(topic)  # something between the two is lost
            return []
        if event.name == _ADDED:
            return [self._add(topic, view, Member(data.user_id, bytes(data.user_info)))]
        if self._holds(*topic, data.user_id):
            self.suspect.add(topic)  # until the store knows better, or the user has gone
            return []
        return [self._remove(topic, view, data.user_id)]

    def compare(
        self,
        app_id: str,
        channel: str,
        members: Iterable[Member],
        revision: int,
        *,
        complete: bool = True,
    ) -> list[Event] | None:
        """What to deliver now that the store has said who is there; None if more is known here.

        Args:
            complete: whether who is not in the list has gone.
        """
        topic = (app_id, channel)
        view = self._views.get(topic)
        if view is None:
            return []
        if revision < view.revision:
            return None
        view.revision = revision
        self.suspect.discard(topic)
        there = {member.user_id: member for member in members}
        if there == view.members:
            return []
        events = []
        for user_id, member in tuple(view.members.items()):
            known = there.get(user_id, None if complete else member)
            if known == member:
                continue
            if not self._holds(app_id, channel, user_id):
                events.append(self._remove(topic, view, user_id))
            elif known is None:
                self.suspect.add(topic)
        events += [
            self._add(topic, view, member)
            for user_id, member in there.items()
            if user_id not in view.members
        ]
        return events

    def include(self, app_id: str, channel: str, member: Member) -> list[Event]:
        """Somebody here has just joined; what to deliver if that has been undone meanwhile."""
        topic = (app_id, channel)
        view = self._views[topic]
        if member.user_id in view.members:
            return []
        self.suspect.add(topic)
        return [self._add(topic, view, member)]

    def forget_revisions(self) -> None:
        """The broker is another one, or was away: its numbers may begin anew."""
        for topic, view in self._views.items():
            view.revision = 0
            self.suspect.add(topic)

    def _add(self, topic: Topic, view: _View, member: Member) -> Event:
        view.members[member.user_id] = member
        self.place += 1
        return messages.member_added(topic[1], member, -self.place)

    def _remove(self, topic: Topic, view: _View, user_id: str) -> Event:
        del view.members[user_id]
        self.place += 1
        return messages.member_removed(topic[1], user_id, -self.place)
