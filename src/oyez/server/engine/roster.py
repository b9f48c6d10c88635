"""Who the clients of this node believe to be on each presence channel, and putting that right.

The store always knows who is there; clients know it from the list they got and from the events
since. They come in the order of the changes, but some can be missed while the broker is away, and a
list can be ahead of them. So what was delivered is remembered per channel, with the revision
(`Joined.revision`) up to which each user is known: an event that is older, or says what clients
know already, is not delivered, and `difference` says what they have to be told to know the truth.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from oyez.protocol import messages
from oyez.protocol.events import Event
from oyez.protocol.messages import Member

__all__ = ["Roster"]

_ADDED, _REMOVED = messages.MEMBER_ADDED, messages.MEMBER_REMOVED
_REMEMBERED: Final = 60_000_000  # how far back an event may come from, in revisions: microseconds
_FEW: Final = 100  # of users who have gone; more are looked through

Topic = tuple[str, str]  # app id and channel


class _Data(msgspec.Struct):
    user_id: str
    user_info: msgspec.Raw = msgspec.Raw(b"")


_read_data = msgspec.json.Decoder(_Data).decode


class _View:
    """What the clients of this node know of one channel.

    Attributes:
        base: the revision up to which everything is known of users who are named nowhere here.
        listed: the revision of the newest list that a client here was given.
    """

    def __init__(self, members: Iterable[Member], base: int) -> None:
        self.base = self.listed = base
        self.present = {each.user_id: (base, each) for each in members}
        self.gone: dict[str, int] = {}

    def known_up_to(self, user_id: str) -> int:
        if user_id in self.present:
            return self.present[user_id][0]
        return self.gone.get(user_id, self.base)

    def add(self, member: Member, revision: int) -> None:
        self.gone.pop(member.user_id, None)
        self.present[member.user_id] = (revision, member)

    def remove(self, user_id: str, revision: int) -> None:
        self.present.pop(user_id, None)
        self.gone[user_id] = revision
        if len(self.gone) > _FEW:
            limit = revision - _REMEMBERED
            self.gone = {user: last for user, last in self.gone.items() if last > limit}

    def members(self) -> tuple[Member, ...]:
        return tuple(member for _, member in self.present.values())


class Roster:
    """The presence channels with subscribers on this node.

    Attributes:
        suspect: channels where an event contradicted what was known.
    """

    def __init__(self) -> None:
        self._views: dict[Topic, _View] = {}
        self._early: dict[Topic, list[Event]] = {}
        self.suspect: set[Topic] = set()

    def __iter__(self) -> Iterator[Topic]:
        return iter(self._views)

    def expect(self, app_id: str, channel: str) -> None:
        """Somebody here is about to get a list; events may overtake it."""
        if (app_id, channel) not in self._views:
            self._early.setdefault((app_id, channel), [])

    def begin(
        self, app_id: str, channel: str, members: tuple[Member, ...], revision: int
    ) -> tuple[Member, ...]:
        """Somebody here is given this list; it counts if nobody was given one before.

        Returns:
            The list, and behind it who else is believed to be there.
        """
        topic = (app_id, channel)
        view = self._views.get(topic)
        if view is None:
            view = self._views[topic] = _View(members, revision)
            for event in self._early.pop(topic, ()):
                self._news(topic, view, event)
        view.listed = max(view.listed, revision)
        listed = {each.user_id for each in members}
        return (*members, *(each for each in view.members() if each.user_id not in listed))

    def end(self, app_id: str, channel: str) -> None:
        """Nobody here is on the channel any more."""
        self._views.pop((app_id, channel), None)
        self._early.pop((app_id, channel), None)
        self.suspect.discard((app_id, channel))

    def news(self, app_id: str, event: Event) -> list[Event]:
        """What to deliver when an event has arrived; a member event may be none, or need another.

        Raises:
            ValueError: a member event without a user.
        """
        if event.name not in (_ADDED, _REMOVED):
            return [event]
        topic = (app_id, event.channel)
        view = self._views.get(topic)
        if view is not None:
            return self._news(topic, view, event)
        _read_data(event.data)
        if topic in self._early:
            self._early[topic].append(event)
        return [event]

    def _news(self, topic: Topic, view: _View, event: Event) -> list[Event]:
        data, revision = _read_data(event.data), event.sequence
        user_id, is_there = data.user_id, event.name == _ADDED
        known, was_there = view.known_up_to(user_id), user_id in view.present
        if revision and revision <= known:
            return []
        if is_there:
            view.add(Member(user_id, bytes(data.user_info)), revision)
        else:
            view.remove(user_id, revision)
        if was_there != is_there:
            return [event]
        # The event between this one and what was known is late or lost.
        self.suspect.add(topic)
        if view.listed <= known:
            return []
        # But some client's list has what it said; the hub spares them what they know.
        if is_there:
            return [messages.member_removed(event.channel, user_id, known + 1), event]
        return [event]

    def difference(
        self, app_id: str, channel: str, members: Iterable[Member], revision: int
    ) -> list[Event]:
        """The events after which everybody here knows that these were the members at a revision."""
        view = self._views.get((app_id, channel))
        if view is None:
            return []
        there = {member.user_id: member for member in members}
        events = []
        for user_id, (known, _) in tuple(view.present.items()):
            if user_id not in there and known <= revision:
                view.remove(user_id, revision)
                events.append(messages.member_removed(channel, user_id, revision))
        for user_id, member in there.items():
            if user_id not in view.present and view.known_up_to(user_id) <= revision:
                view.add(member, revision)
                events.append(messages.member_added(channel, member, None, revision))
        return events
