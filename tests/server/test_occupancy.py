"""What others hear of somebody who comes and goes as fast as they can."""

import asyncio
import json

import pytest

from oyez.protocol.app import App, Limits
from oyez.protocol.channels import connections_of, watchers_of
from oyez.protocol.events import Event
from oyez.protocol.messages import Member
from oyez.protocol.signing import Token
from oyez.server.deadlines import Deadlines
from oyez.server.engine.memory import MemoryEngine
from oyez.server.occupancy import COUNTS, LEAVES, Announcer, tell_watchers
from oyez.server.turns import Turns

APP = App(id="1", tokens=(Token("key", "secret"),), subscription_count=True)
ADA, EVE = Member("ada"), Member("eve")


class Node:
    """An engine and who announces for it."""

    def __init__(self, app: App = APP) -> None:
        self.told: list[Event] = []
        self.app = app
        self.deadlines = Deadlines(0)
        self.tasks: set[asyncio.Task[None]] = set()
        self.engine = MemoryEngine(lambda _, event: self.told.append(event))
        self.announcer = Announcer(self.engine, self.deadlines, self.tasks, None, Turns())

    async def join(self, channel: str, member: Member | None = None) -> None:
        joined = await self.engine.join("1", channel, member, 100)
        await self.announcer.joined(self.app, channel, joined)

    async def leave(self, channel: str, member: Member | None = None) -> None:
        await self.announcer.leave(self.app, channel, member.user_id if member else None)

    async def second(self) -> None:
        """Let one pass, with all that happens at its end."""
        self.deadlines.advance(self.deadlines.now + 1)
        for _ in range(100):
            await asyncio.sleep(0)

    def counts(self) -> list[int]:
        return [json.loads(event.data)["subscription_count"] for event in self.told]

    def changes(self) -> list[tuple[str, str]]:
        return [
            (event.name.removeprefix("pusher_internal:member_"), json.loads(event.data)["user_id"])
            for event in self.told
        ]


async def test_counts_keep_a_pace_and_the_last_one_always_arrives() -> None:
    node = Node()
    for _ in range(90):
        await node.join("news")
    node.told.clear()
    await node.second()
    await node.second()
    node.told.clear()

    for _ in range(1000):
        await node.join("news")
        await node.leave("news")
    await node.join("news")

    assert len(node.told) <= COUNTS
    await node.second()
    await node.second()
    assert len(node.told) <= COUNTS + 1
    assert node.counts()[-1] == 91


async def test_whoever_goes_on_is_told_of_once_a_second() -> None:
    node = Node()
    await node.join("news")
    for _ in range(10):
        for _ in range(100):
            await node.join("news")
            await node.leave("news")
        await node.second()

    assert len(node.told) <= COUNTS + 10


async def test_a_large_channel_is_told_of_as_seldom_as_it_says() -> None:
    limits = Limits(subscription_count_unthrottled=2, subscription_count_throttle=5)
    node = Node(App(id="1", tokens=APP.tokens, subscription_count=True, limits=limits))
    for _ in range(6):
        await node.join("news")
    assert node.counts() == [1, 2, 3]
    for _ in range(4):
        await node.second()
    assert node.counts() == [1, 2, 3]
    for _ in range(2):
        await node.second()
    assert node.counts() == [1, 2, 3, 6]


async def test_other_channels_have_a_pace_of_their_own() -> None:
    node = Node()
    for number in range(100):
        await node.join(f"news-{number}")

    assert node.counts() == [1] * 100


@pytest.mark.parametrize("stays", [True, False])
async def test_a_member_keeps_a_pace_and_its_last_state_arrives(stays: bool) -> None:
    node = Node()
    await node.join("presence-x", EVE)
    node.told.clear()

    for _ in range(1000):
        await node.join("presence-x", ADA)
        await node.leave("presence-x", ADA)
    if stays:
        await node.join("presence-x", ADA)

    assert len(node.told) <= 2 * LEAVES + 1
    for _ in range(3):
        await node.second()
    assert len(node.told) <= 2 * LEAVES + 2
    added = [("added", "ada"), ("removed", "ada")]
    assert node.changes() == (added * 1000)[: len(node.told)]
    assert node.changes()[-1] == ("added" if stays else "removed", "ada")
    there = [EVE, ADA] if stays else [EVE]
    assert list(await node.engine.members("1", "presence-x")) == there


async def test_members_do_not_wait_for_each_other() -> None:
    node = Node()
    members = [Member(str(number)) for number in range(99)]
    await node.join("presence-x", EVE)
    for member in members:
        await node.join("presence-x", member)
    for member in members:
        await node.leave("presence-x", member)

    assert [what for what, _ in node.changes()].count("removed") == 99


async def test_a_user_who_signs_in_and_out_keeps_a_pace() -> None:
    node, channel = Node(), connections_of("ada")

    for _ in range(1000):
        joined = await node.engine.join("1", channel, None, 0)
        if joined.occupied:
            await tell_watchers(node.engine, APP, "ada", online=True, revision=joined.revision)
        await node.leave(channel)

    assert len(node.told) <= 2 * LEAVES + 1
    for _ in range(3):
        await node.second()
    assert {event.channel for event in node.told} == {watchers_of("ada")}
    states = [json.loads(event.data)["events"][0]["name"] for event in node.told]
    assert states == (["online", "offline"] * 1000)[: len(states)]
    assert states[-1] == "offline"
    assert len(states) <= 2 * LEAVES + 2


async def test_nothing_is_kept_of_those_who_came_and_went() -> None:
    node = Node()
    for number in range(50):
        for member in (None, ADA):
            channel = f"presence-{number}" if member else f"news-{number}"
            for _ in range(20):
                await node.join(channel, member)
                await node.leave(channel, member)
    for _ in range(9):
        await node.second()

    assert len(node.deadlines) == 0
    assert await node.engine.channels("1", "") == {}
    announcer = node.announcer
    assert not any(
        getattr(each, name)
        for each, names in (
            (announcer, ("_throttled", "_leaving")),
            (announcer.counts, ("_now", "_before")),
            (announcer.leaves, ("_now", "_before")),
        )
        for name in names
    )
