"""When clients of a node are told what the store says, and when it is not believed yet."""

from typing import cast

import pytest

from oyez.protocol.channels import connections_of, watchers_of
from oyez.protocol.events import Event
from oyez.protocol.messages import Member, member_added, subscription_count, watchlist_change
from oyez.server.engine import Joined
from oyez.server.engine.backplane import Backplane, Roll
from oyez.server.engine.knowledge import Knowledge

A, ADA, BOB = "presence-a", Member("ada"), Member("bob")
LEASE = 10.0


class Store:
    """Answers what it was given, by channel."""

    def __init__(self) -> None:
        self.rolls: dict[str, Roll | list[Roll]] = {}

    async def roll(self, app_id: str, channel: str) -> Roll:
        found = self.rolls.get(channel, Roll(100.0))
        return found if isinstance(found, Roll) else found.pop(0)


class Setting:
    """Knowledge, with everything around it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.store = Store()
        self.delivered: list[Event] = []
        self.is_settled = True
        self.knowledge = Knowledge(
            cast(Backplane, self.store),
            lambda _, event: self.delivered.append(event),
            is_used=lambda *_: True,
            holds=lambda *_: False,
            settled=lambda _: self.is_settled,
            lease=LEASE,
            clock=lambda: self.now,
        )

    def join(self, *members: Member, revision: int) -> Joined:
        """Somebody joins as the first of these, and is given this list."""
        joined = Joined(False, members=members, revision=revision)
        return self.knowledge.joined("1", A, members[0], joined)

    def told(self) -> list[str]:
        """What was delivered since the last time: plus or minus, and who or what."""
        found, self.delivered[:] = [readable(each) for each in self.delivered], []
        return found


def readable(event: Event) -> str:
    sign = {"added": "+", "removed": "-"}.get(event.name.rpartition("_")[2])
    user = "ada" if '"ada"' in event.data else "bob"
    return event.data if sign is None else sign + user


@pytest.fixture
def setting() -> Setting:
    return Setting()


def test_a_younger_list_is_told_before_it_is_given(setting: Setting) -> None:
    first = setting.join(ADA, revision=5)
    assert (first.members, first.told, setting.told()) == ((ADA,), 0, [])

    second = setting.join(BOB, ADA, revision=8)
    assert (second.members, second.told, setting.told()) == ((ADA, BOB), 1, ["+bob"])
    setting.knowledge.receive("1", member_added(A, BOB, 8))
    assert setting.told() == []


async def test_a_short_list_takes_nobody_away_until_all_have_restated(setting: Setting) -> None:
    setting.join(ADA, BOB, revision=5)
    setting.knowledge.doubt(restating=True)
    setting.store.rolls[A] = Roll(100.0, 1, (ADA,), 9)
    await setting.knowledge.audit()
    assert setting.join(ADA, revision=10).members == (ADA, BOB)
    assert setting.told() == []

    setting.now += LEASE
    setting.store.rolls[A] = Roll(110.0, 1, (ADA,), 12)
    await setting.knowledge.audit()
    assert setting.told() == ["-bob"]


async def test_a_young_store_is_asked_again_when_it_is_old_enough(setting: Setting) -> None:
    setting.join(ADA, BOB, revision=5)
    setting.knowledge.doubt(restating=False)
    setting.store.rolls[A] = Roll(4.0, 1, (ADA,), 9)
    await setting.knowledge.audit()
    assert setting.told() == []

    setting.store.rolls[A] = Roll(10.0, 1, (ADA,), 9)
    setting.now += 5.9
    await setting.knowledge.audit()
    assert setting.told() == []
    setting.now += 0.1
    await setting.knowledge.audit()
    assert setting.told() == ["-bob"]


async def test_an_answer_that_was_overtaken_is_asked_for_again(setting: Setting) -> None:
    setting.join(ADA, revision=5)
    setting.knowledge.doubt(restating=False)
    setting.store.rolls[A] = [Roll(100.0, 1, (ADA,), 4), Roll(100.0, 2, (ADA, BOB), 6)]
    await setting.knowledge.audit()
    assert setting.told() == ["+bob"]


async def test_counts_are_not_made_up_for_while_this_node_is_not_counted(setting: Setting) -> None:
    setting.knowledge.receive("1", subscription_count("news", 3, 7))
    setting.store.rolls["news"] = Roll(100.0, 2, (), 9)
    setting.is_settled = False
    await setting.knowledge.audit()
    assert setting.told() == ['{"subscription_count":3}']

    setting.is_settled = True
    await setting.knowledge.audit()
    assert setting.told() == ['{"subscription_count":2}']


async def test_a_state_is_the_one_that_everybody_here_knows(setting: Setting) -> None:
    knowledge, rolls = setting.knowledge, setting.store.rolls
    knowledge.follow("1", watchers_of("ada"))
    rolls[connections_of("ada")] = Roll(100.0, 1, (), 5)
    assert await knowledge.is_online("1", "ada")
    assert setting.told() == []

    rolls[connections_of("ada")] = Roll(1.0, 0, (), 6)  # it has lost its data
    assert await knowledge.is_online("1", "ada")
    rolls[connections_of("ada")] = Roll(10.0, 0, (), 7)
    assert not await knowledge.is_online("1", "ada")
    assert setting.delivered == [watchlist_change("ada", online=False)]
