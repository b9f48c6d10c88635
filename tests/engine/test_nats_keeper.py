"""The keeper over a real NATS server: elected, lost, followed by another."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from oyez.protocol.events import Event
from oyez.server.engine import EngineUnavailable, Left, Occupancy, OutcomeUnknown
from oyez.server.engine.nats import deputy, wire
from oyez.server.engine.nats.link import Message
from tests.engine.cluster import REMOVED
from tests.engine.contract import ADA, BOB, eventually
from tests.engine.deployment import LEASE, ClusterNode
from tests.engine.on_nats import OnNats, is_keeper
from tests.nats_server import (
    SUBJECTS,
    NatsServer,
    forget,
    linked,
    nats_is_installed,
    running_nats,
)

pytestmark = nats_is_installed


@pytest.fixture(scope="module")
def nats() -> Iterator[NatsServer]:
    with running_nats() as server:
        yield server


@pytest.fixture
async def deployment(nats: NatsServer) -> AsyncIterator[OnNats]:
    async with OnNats(nats) as deployment:
        await forget(nats)
        yield deployment


@pytest.fixture
async def nodes(deployment: OnNats) -> list[ClusterNode]:
    return [await deployment.node(), await deployment.node()]


async def test_when_the_keeper_dies_a_deputy_goes_on(deployment: OnNats) -> None:
    one, two, three = [await deployment.node() for _ in range(3)]
    keeper = await deployment.keeper()
    others = [node for node in (one, two, three) if node is not keeper]
    await keeper.enter("presence-a", ADA)
    for node in others:
        await node.enter("presence-a", BOB)
        await node.join("news")
    before = await others[0].backplane.roll("1", "presence-a")
    await keeper.crash()

    assert await others[0].engine.occupancy("1", "presence-a") == Occupancy(3, 2)
    assert not any(node.engine.away for node in others)
    assert (await deployment.keeper()) in others
    await eventually(lambda: all(node.named(REMOVED) for node in others))
    assert await others[1].engine.channels("1", "") == {
        "presence-a": Occupancy(2, 1),
        "news": Occupancy(2, 0),
    }
    after = await others[1].backplane.roll("1", "presence-a")
    assert after.revision > before.revision
    told = [each for node in others for each in node.gone]
    assert told == [("presence-a", Left(False, 2, removed=True), "ada")]
    assert [node.named(REMOVED) for node in others] == [['{"user_id":"ada"}']] * 2


async def test_what_a_deputy_did_not_hear_of_is_put_right(deployment: OnNats) -> None:
    nodes = [await deployment.node() for _ in range(3)]
    keeper = await deployment.keeper()
    one, two = (node for node in nodes if node is not keeper)
    await two.enter("presence-a", BOB)
    await one.join("news")
    await eventually(lambda: one.backplane._reign._deputy._store is not None)
    reign = keeper.backplane._reign
    reign.keeper._deputies._silent.clear()  # so that nothing is passed on any more
    reign._deputy.end()
    await one.join("news")
    await one.enter("presence-a", ADA)
    await two.leave("presence-a", "bob")
    await keeper.crash()

    async def right() -> bool:
        return await two.engine.channels("1", "") == {
            "presence-a": Occupancy(1, 1),
            "news": Occupancy(2, 0),
        }

    await eventually(right)
    assert not one.engine.away


async def test_without_a_deputy_the_next_keeper_is_told_everything_again(
    deployment: OnNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deputy, "MOST", 0)
    nodes = [await deployment.node() for _ in range(3)]
    keeper = await deployment.keeper()
    others = [node for node in nodes if node is not keeper]
    for node in nodes:
        await node.enter("presence-a", BOB)
    await keeper.crash()

    async def restated() -> bool:
        return await others[0].engine.occupancy("1", "presence-a") == Occupancy(2, 1)

    await eventually(restated)
    assert not any(node.engine.away for node in others)
    assert [node.named(REMOVED) for node in others] == [[], []]


async def test_keepers_may_die_one_after_another(deployment: OnNats) -> None:
    nodes = [await deployment.node() for _ in range(5)]
    for node in nodes:
        await node.join("news")
    for left in (4, 3, 2, 1):
        keeper = await deployment.keeper()
        nodes.remove(keeper)
        deployment.all.remove(keeper)
        await keeper.crash()

        async def counted(left: int = left) -> bool:
            return await nodes[0].engine.occupancy("1", "news") == Occupancy(left, 0)

        await eventually(counted)
    assert not nodes[0].engine.away


async def test_only_some_are_deputies_and_others_take_their_place(deployment: OnNats) -> None:
    nodes = [await deployment.node() for _ in range(6)]

    def deputies() -> list[ClusterNode]:
        return [each for each in nodes if each.backplane._reign._deputy._store is not None]

    await eventually(lambda: len(deputies()) == deputy.MOST)
    for _ in range(3):
        await asyncio.gather(*(node.join("news") for node in nodes))
    chosen, keeper = deputies(), await deployment.keeper()

    def others_listen_to_nothing() -> bool:
        idle = [node.backplane._reign._deputy for node in nodes if node not in chosen]
        return not any(each._sid or each._early for each in idle)

    await eventually(others_listen_to_nothing)
    await keeper.crash()
    nodes.remove(keeper)
    deployment.all.remove(keeper)

    await deployment.keeper()  # a deputy, unless all of them are slow: `test_nats_election`
    await eventually(lambda: len(deputies()) == deputy.MOST)
    assert (await nodes[0].engine.occupancy("1", "news")).subscriptions >= 15


async def test_a_deputy_that_has_missed_something_begins_anew(
    nodes: list[ClusterNode], deployment: OnNats
) -> None:
    keeper = await deployment.keeper()
    (other,) = (node for node in nodes if node is not keeper)
    standing = other.backplane._reign._deputy
    await eventually(lambda: standing._store is not None)
    await nodes[0].join("news")
    await eventually(lambda: standing._position == keeper.backplane._reign.keeper.position)
    replica = standing._store

    standing._link.unsubscribe(standing._sid)
    await nodes[0].join("news")

    await eventually(lambda: standing._store not in (None, replica))
    await eventually(lambda: standing._position == keeper.backplane._reign.keeper.position)
    request = wire.Occupancy("1", "news")
    assert standing._store.do(request, 0.0) == Occupancy(2, 0)


async def test_a_keeper_that_cannot_renew_answers_nobody(deployment: OnNats) -> None:
    nodes = [await deployment.node() for _ in range(3)]
    keeper = await deployment.keeper()
    others = [node for node in nodes if node is not keeper]
    term = keeper.backplane._reign.keeper.term
    never = asyncio.Event()

    async def hang(*_: object) -> int:
        await never.wait()
        return 0

    keeper.backplane._reign._entries.write = hang
    await eventually(lambda: any(map(is_keeper, others)))

    assert not is_keeper(keeper)
    async with linked(deployment.server, limit=0.3) as link:
        request = wire.write([wire.Occupancy("1", "a")])
        with pytest.raises(OutcomeUnknown):
            await link.ask(SUBJECTS.keeper(term), request)
        answer = await link.ask(SUBJECTS.keeper(term + 1), request)
        assert wire.join_pieces(bytearray(), answer.data) is not None


async def test_many_that_start_at_once_elect_one(deployment: OnNats) -> None:
    nodes = await asyncio.gather(*(deployment.node() for _ in range(6)))
    await asyncio.gather(*(node.join("news") for node in nodes))

    assert sum(map(is_keeper, nodes)) == 1
    assert await nodes[3].engine.occupancy("1", "news") == Occupancy(6, 0)
    replies: list[Message] = []
    term = (await deployment.keeper()).backplane._reign.keeper.term
    async with linked(deployment.server) as link:
        request = wire.write([wire.Occupancy("1", "news")])
        link.question(SUBJECTS.keeper(term), request, replies.append)
        await asyncio.sleep(0.1)
    assert len(replies) == 1


async def test_nobody_is_answered_that_speaks_another_version(
    nodes: list[ClusterNode], deployment: OnNats
) -> None:
    term = (await deployment.keeper()).backplane._reign.keeper.term
    async with linked(deployment.server) as link:
        answer = await link.ask(SUBJECTS.keeper(term), b"\x07\x91")
        answers = wire.join_pieces(bytearray(), answer.data)
    assert answers == [wire.Answer("message version 7, this node knows 1")]

    keeper = (await deployment.keeper()).backplane._reign.keeper
    keeper._link.unsubscribe(keeper._sid)
    async with linked(deployment.server) as link:
        link.subscribe(
            SUBJECTS.keeper(term),
            lambda message: link.publish(message.reply.decode(), b"\x07\x00\x90"),
        )
        await link.confirmed()
        with pytest.raises(EngineUnavailable, match="speaks version 7, this node 1"):
            await nodes[0].backplane.roll("1", "a")


async def test_what_was_cached_and_used_survives_all_keepers(
    deployment: OnNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deputy, "MOST", 0)
    first = await deployment.node()
    event = Event("e", "cache-a", "kept")
    await first.engine.publish("1", [event, Event("e", "cache-b", "late")], cache_seconds=60)
    await first.engine.publish("1", [event], cache_seconds=1)
    sequence = (await first.backplane.cached("1", "cache-a")).sequence
    await first.engine.meter(1, {"1": 5})
    await asyncio.sleep(LEASE / 2)
    await first.crash()
    second = await deployment.node()

    found = (await second.join("cache-a")).cached
    assert found is not None
    assert (found.name, found.data, found.sequence) == ("e", "kept", sequence)
    assert 0 < found.seconds <= 1
    assert await second.engine.meter(1, {"1": 1}) == {"1": 6}
    await second.engine.publish("1", [event], cache_seconds=60)
    again = await second.engine.cached("1", "cache-a")
    assert again is not None
    assert again.sequence > sequence
    assert (await second.join("cache-b")).cached is not None


async def test_events_travel_while_nobody_is_the_keeper(
    nodes: list[ClusterNode], deployment: OnNats
) -> None:
    one, two = nodes
    await two.join("news")
    for node in nodes:
        node.backplane._reign._entries.read = node.backplane._reign._entries.write = _refused
    await eventually(lambda: not any(map(is_keeper, nodes)))

    await one.engine.publish("1", [Event("e", "news", "1")])
    await eventually(lambda: two.named("e") == ["1"])
    with pytest.raises(EngineUnavailable):
        await one.engine.occupancy("1", "news")
    with pytest.raises(EngineUnavailable):
        await one.engine.publish("1", [Event("e", "cache-a", "1")])


async def test_what_is_too_large_is_refused_and_nothing_of_it_sent(
    nodes: list[ClusterNode],
) -> None:
    one, two = nodes
    await two.join("news")
    for channel in ("news", "cache-a"):
        events = [Event("e", "news", "small"), Event("e", channel, "x" * 2_000_000)]
        with pytest.raises(EngineUnavailable, match="more than the broker takes"):
            await one.engine.publish("1", events)
    await one.engine.publish("1", [Event("e", "news", "last")])
    await eventually(lambda: two.named("e") == ["last"])
    assert not one.engine.away


async def _refused(*_: object) -> None:
    raise EngineUnavailable("for a test")
