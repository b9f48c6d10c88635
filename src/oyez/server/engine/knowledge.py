"""What the clients of this node know of members, counts and users, kept true by asking the store.

Events say what changes (`roster`, `latest`). Some can be lost while the broker is away, so after
every doubt the store is asked about everything, and clients are told the difference. Of counts and
states of users, which nodes tell by themselves and can fail to, some are asked about all the time.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from oyez.protocol.channels import connections_of, user_watched_by, watchers_of
from oyez.protocol.events import Event
from oyez.protocol.messages import Member, watchlist_change
from oyez.server.engine import Deliver, Joined
from oyez.server.engine.backplane import Backplane, Roll
from oyez.server.engine.latest import Latest, counted_by, state_of
from oyez.server.engine.roster import MEMBER_EVENTS, Roster

__all__ = ["Knowledge"]

_AT_ONCE: Final = 100  # channels asked about
_ASKED_AGAIN: Final = 5  # times, when events were ahead of the answer


class Knowledge:
    """What clients here have been told, by channel.

    Args:
        is_used: whether somebody here is on a channel, by app id and channel.
        holds: see `oyez.server.engine.roster.Roster`.
        settled: whether the store has what this node holds of an app.
        lease: seconds in which all nodes restate what they hold after the store has lost it.
        clock: seconds that only go forward.
    """

    def __init__(
        self,
        backplane: Backplane,
        deliver: Deliver,
        *,
        is_used: Callable[[str, str], bool],
        holds: Callable[[str, str, str], bool],
        settled: Callable[[str], bool],
        lease: float,
        clock: Callable[[], float],
    ) -> None:
        self._backplane = backplane
        self._deliver = deliver
        self._settled = settled
        self._lease = lease
        self._clock = clock
        self._roster = Roster(holds)
        self._latest = Latest(is_used)
        self._audit_at = 0.0  # when everything is audited next; 0 for never
        self._complete_from = 0.0  # until then lists of members may be short

    def receive(self, app_id: str, event: Event) -> None:
        """Deliver an event that came from the broker, if it is news.

        Raises:
            ValueError: a member event without a user.
        """
        about = self._roster if event.name in MEMBER_EVENTS else self._latest
        for each in about.news(app_id, event):
            self._deliver(app_id, each)

    def expect(self, app_id: str, channel: str) -> None:
        """Somebody here is about to get a list of members; events may overtake it."""
        self._roster.expect(app_id, channel)

    def follow(self, app_id: str, channel: str) -> None:
        """Somebody here is on a channel without members; perhaps to watch a user."""
        if user_watched_by(channel) is not None:
            self._latest.expect(app_id, channel)

    def published(self, app_id: str, event: Event) -> None:
        """This node tells how things are; its own clients are to learn of it in any case."""
        self._latest.expect(app_id, event.channel)

    def joined(self, app_id: str, channel: str, member: Member, joined: Joined) -> Joined:
        """The outcome with the list as everybody here knows it, once they know all that it has."""
        roster, revision = self._roster, joined.revision
        complete = self._clock() >= self._complete_from
        roster.begin(app_id, channel, joined.members, revision)
        news = roster.compare(app_id, channel, joined.members, revision, complete=complete) or []
        news += roster.include(app_id, channel, member)
        for event in news:
            self._deliver(app_id, event)
        return replace(joined, members=roster.members(app_id, channel), told=roster.place)

    async def is_online(self, app_id: str, user_id: str) -> bool:
        """The state of a user as everybody here who watches it knows it.

        Raises:
            EngineUnavailable: the store does not answer.
        """
        channel = watchers_of(user_id)
        roll = await self._backplane.roll(app_id, connections_of(user_id))
        now = state_of(channel, roll.subscriptions)
        certain = roll.subscriptions > 0 or (self._is_complete(roll) and self._settled(app_id))
        for event in self._latest.ask(app_id, now, roll.revision, certain=certain):
            self._deliver(app_id, event)
        return self._latest.is_told(app_id, watchlist_change(user_id, online=True))

    def end(self, app_id: str, channel: str) -> None:
        """Nobody here is on the channel any more."""
        self._roster.end(app_id, channel)
        self._latest.end(app_id, channel)

    def forget_revisions(self) -> None:
        """The broker is another one, or was away: its numbers may begin anew."""
        self._roster.forget_revisions()
        self._latest.forget_revisions()

    def doubt(self, *, restating: bool) -> None:
        """Something may have been missed: ask about everything with the next `audit`.

        Args:
            restating: nodes may have to restate what they hold; until they had the time to, who is
                not in a list of the store has not gone for that.
        """
        self._audit_at = self._clock()
        if restating:
            self._complete_from = self._audit_at + self._lease

    async def audit(self) -> None:
        """Put right what clients believe: all where there is reason to doubt it, else some.

        Raises:
            EngineUnavailable: not all of it.
        """
        members, latest = tuple(self._roster.suspect), self._latest.some(_AT_ONCE)
        now = self._clock()
        if 0 < self._audit_at <= now:
            self._audit_at = self._complete_from if self._complete_from > now else 0.0
            members, latest = tuple(self._roster), tuple(self._latest)
        for audit, topics in ((self._audit_members, members), (self._audit_latest, latest)):
            for at in range(0, len(topics), _AT_ONCE):
                await asyncio.gather(*(audit(*topic) for topic in topics[at : at + _AT_ONCE]))

    async def _audit_members(self, app_id: str, channel: str) -> None:
        for _ in range(_ASKED_AGAIN):
            roll = await self._backplane.roll(app_id, channel)
            complete = self._is_complete(roll) and self._clock() >= self._complete_from
            news = self._roster.compare(
                app_id, channel, roll.members, roll.revision, complete=complete
            )
            if news is not None:
                for event in news:
                    self._deliver(app_id, event)
                return
        self._roster.suspect.add((app_id, channel))

    async def _audit_latest(self, app_id: str, channel: str) -> None:
        roll = await self._backplane.roll(app_id, counted_by(channel))
        if self._is_complete(roll) and self._settled(app_id):
            now = state_of(channel, roll.subscriptions)
            for event in self._latest.correct(app_id, now, roll.revision):
                self._deliver(app_id, event)

    def _is_complete(self, roll: Roll) -> bool:
        """Whether all nodes have had the time to restate; if not, all is audited again then."""
        missing = self._lease - roll.age
        if missing > 0:
            self._audit_at = self._complete_from = self._clock() + missing
        return missing <= 0
