"""What an engine of many nodes promises beyond `tests.engine.contract`: the hard cases.

A subclass provides the fixture ``deployment``, whose nodes have leases of less than a second.
"""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

from oyez.protocol.channels import connections_of, watchers_of
from oyez.protocol.events import Event
from oyez.protocol.messages import (
    SUBSCRIPTION_COUNT,
    Member,
    subscription_count,
    termination,
    watchlist_change,
)
from oyez.server.engine import ChannelFull, EngineUnavailable, Joined, Left, Occupancy
from oyez.server.engine.backplane import Change
from oyez.server.engine.cluster import ClusterEngine
from tests.engine.contract import ADA, BOB, EVE, eventually
from tests.engine.deployment import LEASE, ClusterNode, Deployment

ADDED, REMOVED = "pusher_internal:member_added", "pusher_internal:member_removed"


class ClusterContract:
    """The promises, one test each."""

    async def test_a_user_on_two_nodes_is_one_user(self, nodes: list[ClusterNode]) -> None:
        one, two = nodes
        assert await one.join("presence-a", ADA) == Joined(True, 1, True, (ADA,))
        assert await two.join("presence-a", ADA) == Joined(False, 2, False, (ADA,))
        assert await two.join("presence-a", BOB) == Joined(False, 3, True, (ADA, BOB))
        assert await one.engine.occupancy("1", "presence-a") == Occupancy(3, 2)
        assert await one.leave("presence-a", "ada") == Left(False, 2, removed=False)
        assert await two.leave("presence-a", "ada") == Left(False, 1, removed=True)

    async def test_every_change_has_a_number_of_its_own(self, nodes: list[ClusterNode]) -> None:
        one, two = (node.engine for node in nodes)
        numbers = [
            (await one.join("1", "news", None, 0)).revision,
            (await two.join("1", "presence-a", ADA, 9)).revision,
            (await one.join("1", "news", None, 0)).revision,
            (await one.leave("1", "news", None)).revision,
            (await two.leave("1", "presence-a", "ada")).revision,
        ]
        assert numbers[0] > 0
        assert numbers == sorted(set(numbers))

    async def test_a_limit_of_members_is_that_of_all_nodes(self, nodes: list[ClusterNode]) -> None:
        one, two = nodes
        outcomes = await asyncio.gather(
            *(
                node.join("presence-a", Member(f"{at}-{number}"), most=10)
                for number in range(10)
                for at, node in enumerate((one, two))
            ),
            return_exceptions=True,
        )

        assert sum(isinstance(each, Joined) for each in outcomes) == 10
        assert sum(isinstance(each, ChannelFull) for each in outcomes) == 10
        assert await two.engine.occupancy("1", "presence-a") == Occupancy(10, 10)

    async def test_an_event_reaches_the_nodes_that_have_subscribers(
        self, nodes: list[ClusterNode]
    ) -> None:
        one, two = nodes
        await two.join("a")
        await one.join("b")
        await one.engine.publish("1", [Event("e", "a", "1"), Event("e", "b", "2")])
        await eventually(lambda: bool(one.delivered and two.delivered))

        assert one.delivered == [("1", Event("e", "b", "2"))]
        assert two.delivered == [("1", Event("e", "a", "1"))]

    async def test_publishing_during_a_join_loses_nothing(self, nodes: list[ClusterNode]) -> None:
        one, two = nodes
        sent = 0

        async def publish() -> None:
            nonlocal sent
            while sent < 600:
                await one.engine.publish("1", [Event("e", "a", str(sent))])
                sent += 1

        publishing = asyncio.create_task(publish())
        await asyncio.sleep(0.01)
        await two.join("a")
        first_promised = sent + 1  # one may be under way
        await publishing
        await eventually(lambda: bool(two.delivered) and two.delivered[-1][1].data == "599")

        numbers = [int(event.data) for _, event in two.delivered]
        assert numbers == list(range(numbers[0], 600))
        assert numbers[0] <= first_promised

    async def test_what_is_replayed_and_what_is_delivered_meet_exactly(
        self, nodes: list[ClusterNode]
    ) -> None:
        one, two = nodes
        sent = 0

        async def publish() -> None:
            nonlocal sent
            while sent < 400:
                await one.engine.publish("1", [Event("e", "cache-a", str(sent))], cache_seconds=60)
                sent += 1

        publishing = asyncio.create_task(publish())
        await asyncio.sleep(0.02)
        joined = await two.join("cache-a")
        await publishing
        await eventually(lambda: bool(two.delivered) and two.delivered[-1][1].data == "399")

        assert joined.cached is not None
        after = [
            int(event.data) for _, event in two.delivered if event.sequence > joined.cached.sequence
        ]
        assert after == list(range(int(joined.cached.data) + 1, 400))

    async def test_counts_are_those_of_many_at_once(self, nodes: list[ClusterNode]) -> None:
        async def churn(node: ClusterNode, number: int) -> None:
            member = Member(f"u{number % 7}")
            await node.join("presence-a", member)
            await node.join("news")
            if number % 3:
                await node.leave("presence-a", member.user_id)
                await node.leave("news")

        await asyncio.gather(*(churn(nodes[n % 2], n) for n in range(60)))

        assert await nodes[0].engine.channels("1", "") == {
            "presence-a": Occupancy(20, 7),
            "news": Occupancy(20, 0),
        }

    async def test_the_dead_are_counted_out_once(self, deployment: Deployment) -> None:
        dead, *others = [await deployment.node() for _ in range(3)]
        for node in others:
            await node.enter("presence-a", BOB)
        for member in (ADA, BOB, EVE):
            await dead.enter("presence-a", member)
        await dead.join("alone")
        await dead.join(connections_of("ada"))
        await dead.crash()

        await eventually(lambda: all(node.named(REMOVED) for node in others))
        await asyncio.sleep(LEASE)

        told = sorted((x for node in others for x in node.gone), key=lambda x: (x[0], x[2]))
        assert told == [
            (connections_of("ada"), Left(True, 0), None),
            ("alone", Left(True, 0), None),
            ("presence-a", Left(False, 2, removed=True), "ada"),
            ("presence-a", Left(False, 2, removed=True), "eve"),
        ]
        assert [sorted(node.named(REMOVED)) for node in others] == [
            ['{"user_id":"ada"}', '{"user_id":"eve"}']
        ] * 2
        assert await others[0].engine.channels("1", "") == {"presence-a": Occupancy(2, 1)}

    async def test_a_node_that_dies_while_it_joins_leaves_nothing(
        self, deployment: Deployment
    ) -> None:
        dead, other = await deployment.node(), await deployment.node()
        await other.join("presence-a", BOB)
        joins = [
            asyncio.create_task(dead.join("presence-a", Member(str(number))))
            for number in range(50)
        ]
        await asyncio.sleep(0.002)
        await dead.crash()
        await asyncio.gather(*joins, return_exceptions=True)

        async def alone() -> bool:
            return await other.engine.occupancy("1", "presence-a") == Occupancy(1, 1)

        await eventually(alone)

    async def test_a_node_that_stops_leaves_nothing(self, deployment: Deployment) -> None:
        one = await deployment.node()
        await one.enter("presence-a", BOB)
        async with AsyncExitStack() as stack:
            deployment._stack, outer = stack, deployment._stack
            two = await deployment.node()
            deployment._stack = outer
            await two.enter("presence-a", ADA)

        assert await one.engine.members("1", "presence-a") == (BOB,)
        await eventually(lambda: one.named(REMOVED) == ['{"user_id":"ada"}'])

    async def test_an_error_that_nobody_expects_does_not_keep_a_node_away(
        self, nodes: list[ClusterNode]
    ) -> None:
        node, connect = nodes[0], nodes[0].backplane.connect
        raised: list[str] = []

        async def fail_once(*arguments: Any) -> None:
            if not raised:
                raised.append("once")
                raise RuntimeError("unable to perform operation; the handler is closed")
            await connect(*arguments)

        node.backplane.connect = fail_once
        assert isinstance(node.engine, ClusterEngine)
        node.engine._lost("a test")

        await eventually(lambda: bool(raised) and not node.engine.away)
        await node.join("news")

    async def test_a_node_that_was_only_paused_comes_back(self, nodes: list[ClusterNode]) -> None:
        paused, other = nodes
        await other.enter("presence-a", BOB)
        await paused.enter("presence-a", ADA)
        await paused.join("news")
        resume = paused.pause()
        await eventually(lambda: other.named(REMOVED) == ['{"user_id":"ada"}'])
        assert await other.engine.occupancy("1", "news") == Occupancy(0, 0)

        before = len(other.named(ADDED))
        resume()
        await eventually(lambda: len(other.named(ADDED)) == before + 1)

        assert await other.engine.members("1", "presence-a") == (BOB, ADA)
        assert await other.engine.occupancy("1", "news") == Occupancy(1, 0)
        assert ("presence-a", Joined(False, 2, added=True), ADA) in paused.back
        assert await paused.leave("presence-a", "ada") == Left(False, 1, removed=True)
        assert await paused.leave("news") == Left(vacated=True)

    async def test_who_leaves_while_being_restated_has_come_and_gone(
        self, nodes: list[ClusterNode]
    ) -> None:
        paused, other = nodes
        await other.enter("presence-a", BOB)
        await paused.enter("presence-a", ADA)
        resume, restate = paused.pause(), paused.backplane.restate
        await eventually(lambda: other.named(REMOVED) == ['{"user_id":"ada"}'])

        async def meanwhile(*arguments: Any) -> list[Change]:
            changes: list[Change] = await restate(*arguments)
            paused.backplane.restate = restate
            with pytest.raises(EngineUnavailable):
                await paused.leave("presence-a", "ada")
            return changes

        paused.backplane.restate = meanwhile
        resume()
        await eventually(lambda: len(other.named(REMOVED)) == 2)
        await eventually(lambda: [each[2] for each in paused.gone] == ["ada"])
        assert [each[2] for each in paused.back] == [ADA]
        assert await other.engine.members("1", "presence-a") == (BOB,)

    async def test_a_node_that_was_counted_out_notices_when_it_joins(
        self, nodes: list[ClusterNode]
    ) -> None:
        paused, other = nodes
        await paused.join("news")
        resume = paused.pause()
        await eventually(lambda: bool(other.gone))
        resume()

        assert (await paused.join("news")).subscriptions == 2

    async def test_a_flushed_store_is_rebuilt_without_a_word(
        self, nodes: list[ClusterNode], deployment: Deployment
    ) -> None:
        one, two = nodes
        await one.enter("presence-a", ADA)
        await two.enter("presence-a", BOB)
        await two.join("news")
        await eventually(lambda: one.named(ADDED) != [])
        await deployment.flush()

        async def rebuilt() -> bool:
            return await one.engine.channels("1", "") == {
                "presence-a": Occupancy(2, 2),
                "news": Occupancy(1, 0),
            }

        await eventually(rebuilt)
        before = [len(node.delivered) for node in nodes]
        await asyncio.sleep(2 * LEASE)
        assert [len(node.delivered) for node in nodes] == before
        assert [each for node in nodes for each in (*node.gone, *node.back)] == []

    async def test_who_left_while_the_broker_was_away_is_counted_out(
        self, nodes: list[ClusterNode], deployment: Deployment
    ) -> None:
        one, two = nodes
        await one.enter("presence-a", ADA)
        await two.enter("presence-a", BOB)
        await two.join("news")
        await deployment.stop()
        for asked in (
            one.engine.publish("1", [Event("e", "news", "")]),
            one.join("news"),
            one.leave("presence-a", "ada"),
            one.engine.occupancy("1", "news"),
        ):
            with pytest.raises(EngineUnavailable):
                await asked
        assert one.engine.away
        await deployment.start()

        await eventually(lambda: not one.engine.away and not two.engine.away)
        await eventually(lambda: two.named(REMOVED) == ['{"user_id":"ada"}'])
        assert await one.engine.channels("1", "") == {
            "presence-a": Occupancy(1, 1),
            "news": Occupancy(1, 0),
        }
        await one.engine.publish("1", [Event("e", "news", "back")])
        await eventually(lambda: two.named("e") == ["back"])

    async def test_who_left_during_a_cut_is_counted_out(self, nodes: list[ClusterNode]) -> None:
        one, two = nodes
        await one.enter("presence-a", ADA)
        await one.enter("presence-a", EVE)
        await one.join("news")
        await two.enter("presence-a", BOB)
        assert isinstance(one.engine, ClusterEngine)
        one.engine._lost("cut")  # as a backplane says, while the store has all that it had
        for channel, user_id in (("presence-a", "ada"), ("news", None)):
            with pytest.raises(EngineUnavailable):
                await one.leave(channel, user_id)

        await eventually(lambda: two.named(REMOVED) == ['{"user_id":"ada"}'])
        assert await two.engine.channels("1", "") == {"presence-a": Occupancy(2, 2)}
        assert await two.engine.members("1", "presence-a") == (EVE, BOB)

    async def test_a_count_that_nobody_could_tell_is_told_all_the_same(
        self, nodes: list[ClusterNode]
    ) -> None:
        one, two = nodes
        joined = await one.engine.join("1", "news", None, 0)
        await one.engine.publish("1", [subscription_count("news", 1, joined.revision)])
        await two.join("news")  # and says nothing

        await eventually(
            lambda: (
                one.named(SUBSCRIPTION_COUNT)
                == ['{"subscription_count":1}', '{"subscription_count":2}']
            )
        )

    async def test_a_state_that_nobody_could_tell_is_told_all_the_same(
        self, nodes: list[ClusterNode]
    ) -> None:
        one, two = nodes
        await one.join(watchers_of("ada"))
        assert not await one.engine.is_online("1", "ada")
        await two.join(connections_of("ada"))  # and says nothing

        online = watchlist_change("ada", online=True)
        await eventually(lambda: one.delivered == [("1", online)])
        assert await one.engine.is_online("1", "ada")

    async def test_what_was_overtaken_is_not_told(self, nodes: list[ClusterNode]) -> None:
        one, two = nodes
        first = await one.engine.join("1", "news", None, 0)
        second = await two.engine.join("1", "news", None, 0)
        await one.engine.publish("1", [subscription_count("news", 2, second.revision)])
        await one.engine.publish("1", [subscription_count("news", 1, first.revision)])
        await one.engine.publish("1", [Event("e", "news", "last")])

        await eventually(lambda: two.named("e") == ["last"])
        assert two.named(SUBSCRIPTION_COUNT) == ['{"subscription_count":2}']

    async def test_a_message_of_another_version_is_refused(
        self, nodes: list[ClusterNode], deployment: Deployment
    ) -> None:
        (one, _) = nodes
        await one.join("a")
        for message in (b"\x07future", b"", b"\x01", b"\x01" + bytes(8) + b"\xc1", b"{}"):
            await deployment.inject("1", "a", message)
        await one.engine.publish("1", [Event("e", "a", "1")])
        await eventually(lambda: bool(one.delivered))

        assert one.delivered == [("1", Event("e", "a", "1"))]
        assert one.engine.refused == 5

    async def test_a_user_is_reached_and_terminated_on_every_node(
        self, nodes: list[ClusterNode]
    ) -> None:
        for node in nodes:
            await node.join(connections_of("ada"))
        await nodes[0].engine.publish("1", [termination("ada")])

        await eventually(
            lambda: all(node.delivered == [("1", termination("ada"))] for node in nodes)
        )

    async def test_usage_is_that_of_all_nodes(self, nodes: list[ClusterNode]) -> None:
        one, two = nodes
        assert await one.engine.meter(1, {"1": 5, "2": 0}) == {"1": 5, "2": 0}
        assert await two.engine.meter(1, {"1": 3}) == {"1": 8}
        assert await one.engine.meter(2, {"1": 1}) == {"1": 1}
        assert await one.engine.meter(1, {"1": 0}) == {"1": 8}

    async def test_members_keep_the_order_in_which_they_came(
        self, nodes: list[ClusterNode]
    ) -> None:
        members = [Member(f"u{number}") for number in (5, 3, 9, 1, 7, 2)]
        for at, member in enumerate(members):
            joined = await nodes[at % 2].join("presence-a", member)

        assert joined.members == tuple(members)
