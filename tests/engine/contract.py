"""What every engine promises; each engine's test file runs this suite against itself.

A subclass provides the fixture ``nodes``: the entered engines of one deployment (one where the
engine knows only one process), each with the list of what has been delivered to it.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import msgspec
import pytest

from oyez.protocol.events import Event
from oyez.protocol.messages import Member
from oyez.server.engine import ChannelFull, Engine, Joined, Left, Occupancy

ADA, BOB, EVE = Member("ada", b'{"name":"Ada"}'), Member("bob"), Member("eve")


@dataclass
class EngineNode:
    """One node of the deployment under test."""

    engine: Engine
    delivered: list[tuple[str, Event]] = field(default_factory=list)

    async def join(self, channel: str, member: Member | None = None, most: int = 100) -> Joined:
        """What it was, but for its number."""
        joined = await self.engine.join("1", channel, member, most)
        return msgspec.structs.replace(joined, revision=0, told=0)

    async def leave(self, channel: str, user_id: str | None = None) -> Left:
        """Likewise."""
        left = await self.engine.leave("1", channel, user_id)
        return msgspec.structs.replace(left, revision=0)


async def eventually(condition: Callable[[], bool | Awaitable[bool]]) -> None:
    """Wait until something that travels between nodes has arrived."""
    for _ in range(6000):
        result = condition()
        if result if isinstance(result, bool) else await result:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came true")


class EngineContract:
    """The promises of `oyez.server.engine`, one test each."""

    async def test_every_change_has_a_larger_number(self, nodes: list[EngineNode]) -> None:
        one, other = nodes[0].engine, nodes[-1].engine
        numbers = [
            (await one.join("1", "news", None, 0)).revision,
            (await other.join("1", "presence-a", ADA, 9)).revision,
            (await one.join("1", "news", None, 0)).revision,
            (await one.leave("1", "news", None)).revision,
            (await other.leave("1", "presence-a", "ada")).revision,
            (await one.leave("1", "news", None)).revision,
        ]

        assert numbers == sorted(set(numbers))
        assert numbers[0] > 0

    async def test_events_reach_the_node_in_order(self, nodes: list[EngineNode]) -> None:
        await nodes[0].join("a")
        events = [Event("e", "a", str(number)) for number in range(50)]

        await nodes[0].engine.publish("1", events[:20])
        await nodes[0].engine.publish("1", events[20:])

        await eventually(lambda: len(nodes[0].delivered) == 50)
        assert nodes[0].delivered == [("1", event) for event in events]

    async def test_publishing_nothing_is_no_mistake(self, nodes: list[EngineNode]) -> None:
        await nodes[0].join("a")
        await nodes[0].engine.publish("1", [])
        await nodes[0].engine.publish("1", [Event("e", "a", "1")])

        await eventually(lambda: nodes[0].delivered == [("1", Event("e", "a", "1"))])

    async def test_all_of_an_event_arrives(self, nodes: list[EngineNode]) -> None:
        await nodes[0].join("presence-a", ADA)
        event = Event("client-ü", "presence-a", "🌍\x00{}", "1.2", "ada")

        await nodes[0].engine.publish("1", [event])

        await eventually(lambda: nodes[0].delivered[-1:] == [("1", event)])

    async def test_changes_of_members_are_told_once_and_in_their_order(
        self, nodes: list[EngineNode]
    ) -> None:
        odd = Member('"\\/é🌍\u2028', b'{"a":[1,{"b":"c/d"}]}')
        engine = nodes[0].engine
        first = await engine.join("1", "presence-a", EVE, 100)
        for member in (ADA, odd, ADA):
            await engine.join("1", "presence-a", member, 100)
        for user_id in ("ada", odd.user_id, "ada"):
            await engine.leave("1", "presence-a", user_id)
        await engine.join("1", "presence-a", BOB, 100)

        def told() -> list[tuple[str, object]]:
            return [
                (event.name.rpartition("_")[2], json.loads(event.data))
                for _, event in nodes[0].delivered
                if -event.sequence > first.told
            ]

        expected = [
            ("added", {"user_id": "ada", "user_info": {"name": "Ada"}}),
            ("added", {"user_id": odd.user_id, "user_info": json.loads(odd.user_info)}),
            ("removed", {"user_id": odd.user_id}),
            ("removed", {"user_id": "ada"}),
            ("added", {"user_id": "bob", "user_info": {}}),
        ]
        await eventually(lambda: told() == expected)

    async def test_the_first_and_the_last_subscription_are_told(
        self, nodes: list[EngineNode]
    ) -> None:
        assert await nodes[0].join("a") == Joined(True, 1)
        assert await nodes[0].join("a") == Joined(False, 2)
        assert await nodes[0].leave("a") == Left(False, 1)
        assert await nodes[0].leave("a") == Left(True, 0)
        assert await nodes[0].join("a") == Joined(True, 1)

    async def test_a_user_is_added_and_removed_once(self, nodes: list[EngineNode]) -> None:
        assert await nodes[0].join("presence-a", ADA) == Joined(True, 1, True, (ADA,))
        assert await nodes[0].join("presence-a", BOB) == Joined(False, 2, True, (ADA, BOB))
        assert await nodes[0].join("presence-a", ADA) == Joined(False, 3, False, (ADA, BOB))
        assert await nodes[0].leave("presence-a", "ada") == Left(False, 2, removed=False)
        assert await nodes[0].leave("presence-a", "ada") == Left(False, 1, removed=True)
        assert await nodes[0].leave("presence-a", "bob") == Left(True, 0, removed=True)

    async def test_the_first_user_info_stays_until_the_user_has_left(
        self, nodes: list[EngineNode]
    ) -> None:
        other = Member("ada", b'{"name":"Other"}')
        await nodes[0].join("presence-a", ADA)

        assert (await nodes[0].join("presence-a", other)).members == (ADA,)
        await nodes[0].leave("presence-a", "ada")
        assert await nodes[0].engine.members("1", "presence-a") == (ADA,)
        await nodes[0].leave("presence-a", "ada")
        assert (await nodes[0].join("presence-a", other)).members == (other,)

    async def test_a_full_channel_admits_only_those_who_are_there(
        self, nodes: list[EngineNode]
    ) -> None:
        await nodes[0].join("presence-a", ADA, most=1)

        with pytest.raises(ChannelFull):
            await nodes[0].join("presence-a", BOB, most=1)
        assert (await nodes[0].join("presence-a", ADA, most=1)).added is False
        assert await nodes[0].engine.occupancy("1", "presence-a") == Occupancy(2, 1)

    async def test_a_join_refused_in_an_empty_channel_leaves_no_channel(
        self, nodes: list[EngineNode]
    ) -> None:
        with pytest.raises(ChannelFull):
            await nodes[0].join("presence-a", ADA, most=0)

        assert await nodes[0].engine.channels("1", "") == {}

    async def test_counts_are_of_connections_and_of_users(self, nodes: list[EngineNode]) -> None:
        await nodes[0].join("news")
        await nodes[0].join("news")
        await nodes[0].join("presence-a", ADA)
        await nodes[0].join("presence-a", ADA)
        await nodes[0].join("presence-a", BOB)
        engine = nodes[0].engine

        assert await engine.occupancy("1", "news") == Occupancy(2, 0)
        assert await engine.occupancy("1", "presence-a") == Occupancy(3, 2)
        assert await engine.occupancy("1", "nobody") == Occupancy(0, 0)
        assert await engine.channels("1", "") == {
            "news": Occupancy(2, 0),
            "presence-a": Occupancy(3, 2),
        }
        assert await engine.channels("1", "presence-") == {"presence-a": Occupancy(3, 2)}
        assert await engine.members("1", "presence-a") == (ADA, BOB)
        assert await engine.members("1", "nobody") == ()
        assert await engine.members("1", "news") == ()

    async def test_apps_are_strangers(self, nodes: list[EngineNode]) -> None:
        engine = nodes[0].engine
        await engine.join("1", "a", None, 1)

        assert (await engine.join("2", "a", None, 1)).occupied
        assert (await engine.leave("2", "a", None)).vacated
        assert await engine.occupancy("1", "a") == Occupancy(1, 0)
        assert await engine.channels("2", "") == {}

    async def test_internal_channels_work_and_are_not_listed(self, nodes: list[EngineNode]) -> None:
        assert await nodes[0].join("#server-to-user-ada") == Joined(True, 1)
        await nodes[0].join("news")

        assert list(await nodes[0].engine.channels("1", "")) == ["news"]
        assert await nodes[0].engine.channels("1", "#") == {}
        assert await nodes[0].engine.occupancy("1", "#server-to-user-ada") == Occupancy(1, 0)

    async def test_a_cache_channel_keeps_its_last_event(self, nodes: list[EngineNode]) -> None:
        engine = nodes[0].engine
        assert (await nodes[0].join("cache-a")).cached is None
        events = [Event("first", "cache-a", "1"), Event("second", "cache-a", "2", "1.2")]
        await engine.publish("1", events, cache_seconds=60)
        await engine.publish("1", [Event("client-x", "cache-a", "3")])
        await nodes[0].leave("cache-a")

        for cached in (
            (await nodes[0].join("cache-a")).cached,
            await engine.cached("1", "cache-a"),
        ):
            assert cached is not None
            assert (cached.name, cached.data) == ("second", "2")
            assert 50 < cached.seconds <= 60
        assert await engine.cached("2", "cache-a") is None

    async def test_other_channels_keep_nothing(self, nodes: list[EngineNode]) -> None:
        await nodes[0].engine.publish("1", [Event("e", "news", "1")], cache_seconds=60)

        assert await nodes[0].engine.cached("1", "news") is None
        assert (await nodes[0].join("news")).cached is None
