"""Who the clients of this node believe to be on each presence channel, and putting that right.

The store always knows who is there; clients know it from the list they got and from the events
since. An event can be missed while the broker is away, and those of two nodes can overtake each
other. So what was delivered is remembered per channel: an event that says what clients know already
is not repeated, and `difference` says what they have to be told to know the truth.
"""

from collections.abc import Iterable, Iterator

import msgspec

from oyez.protocol import messages
from oyez.protocol.events import Event
from oyez.protocol.messages import Member

__all__ = ["Roster"]

_ADDED, _REMOVED = messages.MEMBER_ADDED, messages.MEMBER_REMOVED


class _Data(msgspec.Struct):
    user_id: str


_read_data = msgspec.json.Decoder(_Data).decode


class Roster:
    """The presence channels with subscribers on this node.

    Attributes:
        suspect: channels where an event contradicted what was known.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], set[str]] = {}
        self._early: dict[tuple[str, str], list[tuple[bool, str]]] = {}
        self.suspect: set[tuple[str, str]] = set()

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._known)

    def expect(self, app_id: str, channel: str) -> None:
        """Somebody here is about to get a list; events may overtake it."""
        if (app_id, channel) not in self._known:
            self._early.setdefault((app_id, channel), [])

    def begin(self, app_id: str, channel: str, members: Iterable[Member]) -> None:
        """Somebody here was given this list; it counts if nobody was given one before."""
        topic = (app_id, channel)
        if topic in self._known:
            return
        known = self._known[topic] = {member.user_id for member in members}
        for added, user_id in self._early.pop(topic, ()):
            (known.add if added else known.discard)(user_id)

    def end(self, app_id: str, channel: str) -> None:
        """Nobody here is on the channel any more."""
        self._known.pop((app_id, channel), None)
        self._early.pop((app_id, channel), None)
        self.suspect.discard((app_id, channel))

    def is_news(self, app_id: str, event: Event) -> bool:
        """Whether to deliver an event; false for a member event that changes nothing.

        Raises:
            ValueError: a member event without a user.
        """
        if event.name not in (_ADDED, _REMOVED):
            return True
        topic = (app_id, event.channel)
        user_id, added = _read_data(event.data).user_id, event.name == _ADDED
        known = self._known.get(topic)
        if known is None:
            if topic in self._early:
                self._early[topic].append((added, user_id))
            return True
        if added == (user_id in known):
            self.suspect.add(topic)
            return False
        (known.add if added else known.discard)(user_id)
        return True

    def difference(self, app_id: str, channel: str, members: Iterable[Member]) -> list[Event]:
        """The events after which everybody here knows that these are the members."""
        known = self._known.get((app_id, channel))
        if known is None:
            return []
        there = {member.user_id: member for member in members}
        events = [messages.member_removed(channel, each) for each in known - there.keys()]
        events += [
            messages.member_added(channel, member, None)
            for user_id, member in there.items()
            if user_id not in known
        ]
        self._known[app_id, channel] = set(there)
        return events
