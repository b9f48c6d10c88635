"""The ledger of many nodes: several in this process, over one real database."""

import asyncio
import random
import threading
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection

from oyez.protocol.webhooks import WebhookEvent, write_event
from oyez.server.engine import Joined, Left
from oyez.server.webhooks import reconciler
from oyez.server.webhooks.database import Database
from oyez.server.webhooks.grace import Presence
from oyez.server.webhooks.ledger import Change, Letter
from oyez.server.webhooks.outbox import Outbox
from oyez.server.webhooks.shared import Timing
from tests.webhooks.deployment import (
    APP,
    GRACE,
    TARGETS,
    TIMING,
    Node,
    Nodes,
    deployment,
    eventually,
)
from tests.webhooks.postgres import postgres_is_installed, started_postgres

ROOM = "presence-a"
OCCUPIED = write_event(WebhookEvent("channel_occupied", "news"))


@pytest.fixture
async def nodes(shared_url: str) -> AsyncIterator[Nodes]:
    async with deployment(shared_url) as started:
        yield started


async def test_a_channel_is_told_once_whichever_nodes_its_clients_are_on(nodes: Nodes) -> None:
    one, two = await nodes.start(), await nodes.start()
    await one.join(ROOM, "ada")
    await two.join(ROOM, "ada")
    one.leave(ROOM, "ada")
    two.leave(ROOM, "ada")

    for target in TARGETS:
        await eventually(partial(nodes.log.has, 4, target))
        assert nodes.log.names(ROOM, target) == [
            "channel_occupied",
            "member_added",
            "member_removed",
            "channel_vacated",
        ]


async def test_who_comes_back_on_another_node_has_never_been_away(nodes: Nodes) -> None:
    one, two = await nodes.start(), await nodes.start()
    await one.join("news")
    one.leave("news")
    await asyncio.sleep(GRACE / 2)
    await two.join("news")
    await asyncio.sleep(4 * GRACE)

    assert nodes.log.names("news") == ["channel_occupied"]


async def test_a_beginning_that_comes_after_its_end_is_old(nodes: Nodes) -> None:
    one, two = await nodes.start(), await nodes.start()
    joined, left = nodes.truth.join("news"), nodes.truth.leave("news")
    two.webhooks.left(APP, "news", left, None)
    await asyncio.sleep(GRACE)
    await one.webhooks.joined(APP, "news", joined, None)
    await asyncio.sleep(4 * GRACE)

    assert nodes.log.names("news") == []


async def test_a_member_is_not_told_before_its_channel(nodes: Nodes) -> None:
    one, two = await nodes.start(), await nodes.start()
    first = nodes.truth.join(ROOM, "ada")
    await two.join(ROOM, "bob")
    await one.webhooks.joined(APP, ROOM, first, "ada")

    await eventually(lambda: len(nodes.log.events()) == 3)
    assert nodes.log.names(ROOM) == ["channel_occupied", "member_added", "member_added"]


async def test_a_member_goes_with_its_channel_if_nothing_was_heard_of_it(nodes: Nodes) -> None:
    one = await nodes.start(Timing(0.05, 0.6, 0.02, 1.0, compare=60))
    await one.join(ROOM, "ada")
    await asyncio.sleep(1.5)  # the comparison at the start is over
    left = nodes.truth.leave(ROOM, "ada")
    one.ledger.end(one_of(ROOM), left.revision)

    await eventually(lambda: len(nodes.log.events()) == 4)
    assert nodes.log.believed() == set()


def one_of(channel: str) -> Presence:
    return Presence(APP.id, channel)


async def test_what_a_dead_node_did_not_say_is_found(nodes: Nodes) -> None:
    dying = await nodes.start_to_kill()
    await dying.join("told-and-gone")
    await dying.join(ROOM, "ada")
    await dying.kill()
    nodes.truth.leave("told-and-gone")
    nodes.truth.leave(ROOM, "ada")
    for channel, user_id in (("never-told", ""), (ROOM, "bob")):
        nodes.truth.join(channel, user_id)

    await nodes.start()
    await eventually(lambda: nodes.log.believed() == nodes.truth.told())
    assert nodes.log.believed(TARGETS[1]) == nodes.truth.told()
    assert nodes.log.names("told-and-gone") == ["channel_occupied", "channel_vacated"]


async def test_nothing_ends_while_nodes_may_still_restate_what_they_hold(nodes: Nodes) -> None:
    one = await nodes.start()
    await one.join("news")
    await one.join("sports")
    nodes.truth.age, kept = 0.1, dict(nodes.truth.on)
    nodes.truth.on.clear()  # the store has lost its data
    one.webhooks.left(APP, "sports", one_gone(nodes), None)
    one.webhooks.doubt(APP.id)
    await asyncio.sleep(2.5)
    assert nodes.log.names("news") == nodes.log.names("sports") == ["channel_occupied"]

    nodes.truth.on["news"] = kept["news"]
    nodes.truth.age = 100.0
    await eventually(lambda: nodes.log.believed() == {("news", "")})


def one_gone(nodes: Nodes) -> Left:
    nodes.truth.revision += 1
    return Left(vacated=True, revision=nodes.truth.revision)


async def test_while_the_engine_is_away_nothing_ends(nodes: Nodes) -> None:
    one = await nodes.start()
    await one.join("news")
    await asyncio.sleep(0.3)
    nodes.truth.away = True
    one.leave("news")
    await asyncio.sleep(4 * GRACE)
    assert nodes.log.names("news") == ["channel_occupied"]

    nodes.truth.away = False
    await eventually(lambda: nodes.log.names("news")[1:] == ["channel_vacated"])


async def test_an_engine_that_numbers_lower_is_believed(nodes: Nodes) -> None:
    one = await nodes.start()
    await one.join("news")
    nodes.truth.revision = 5
    one.leave("news")
    await eventually(lambda: nodes.log.names("news")[1:] == ["channel_vacated"])
    await one.join("news")
    await eventually(lambda: nodes.log.names("news")[2:] == ["channel_occupied"])


async def test_what_nobody_holds_after_the_engine_has_forgotten_everything_ends(
    nodes: Nodes,
) -> None:
    one = await nodes.start()
    await one.join("news")
    await one.join(ROOM, "ada")
    await eventually(partial(nodes.log.has, 3, TARGETS[0]))
    nodes.truth.on.clear()
    nodes.truth.revision, nodes.truth.age = 0, 0.0
    one.webhooks.doubt(APP.id)

    await eventually(lambda: nodes.log.believed() == set(), 20)
    assert nodes.log.names(ROOM)[2:] == ["member_removed", "channel_vacated"]


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(1, 6))]
)
async def test_what_is_told_alternates_and_ends_up_true_though_signals_are_lost(
    nodes: Nodes, seed: int
) -> None:
    chance = random.Random(seed)
    started = [await nodes.start_to_kill() for _ in range(3)]
    late: list[asyncio.Task[None]] = []
    for step in range(250):
        late += _happen(nodes, chance, chance.choice(started))
        await asyncio.sleep(chance.choice((0, 0, 0.01)))
        if step % 80 == 79:
            victim = started.pop(0)
            await victim.kill()
            started.append(await nodes.start_to_kill())
    await asyncio.gather(*late)

    await eventually(lambda: nodes.log.believed() == nodes.truth.told(), 20)
    await eventually(lambda: nodes.log.believed(TARGETS[1]) == nodes.truth.told(), 20)
    for each in started:
        await each.webhooks.__aexit__(None, None, None)


def _happen(nodes: Nodes, chance: random.Random, node: Node) -> list["asyncio.Task[None]"]:
    """Somebody comes or goes; the signal is lost, late, or in time."""
    channel = chance.choice(("a", "b", "presence-c", "presence-d"))
    user_id = chance.choice(("ada", "bob")) if channel.startswith("presence-") else ""
    there = nodes.truth.on.get(channel, [])
    leaves = user_id in there and chance.random() < 0.55
    outcome = nodes.truth.leave(channel, user_id) if leaves else nodes.truth.join(channel, user_id)
    if chance.random() < 0.2:
        return []

    async def say() -> None:
        await asyncio.sleep(chance.random() * 0.3 if chance.random() < 0.5 else 0)
        if isinstance(outcome, Joined):
            await node.webhooks.joined(APP, channel, outcome, user_id or None)
        else:
            node.webhooks.left(APP, channel, outcome, user_id or None)

    return [asyncio.create_task(say())]


async def test_another_node_delivers_when_the_first_dies(nodes: Nodes) -> None:
    dying = await nodes.start_to_kill()
    await eventually(lambda: len(dying.duties) == 3)
    two = await nodes.start()
    await two.join("news")
    await eventually(lambda: nodes.log.names("news") == ["channel_occupied"])
    assert {request.node for request in nodes.log.requests} == {dying.number}
    await dying.kill()
    await two.join("sports")

    await eventually(lambda: nodes.log.names("sports") == ["channel_occupied"])
    assert nodes.log.requests[-1].node == two.number
    assert len(two.duties) == 3


async def test_a_stop_in_good_order_gives_up_the_duties_at_once(nodes: Nodes) -> None:
    patient = Timing(0.05, 30.0, 0.02, 1.0, 0.3)
    one = await nodes.start_to_kill(patient)
    await eventually(lambda: len(one.duties) == 3)
    two = await nodes.start(patient)
    await one.webhooks.__aexit__(None, None, None)

    await two.join("news")
    await eventually(lambda: nodes.log.names("news") == ["channel_occupied"], 3)


async def test_events_of_a_channel_arrive_in_order_across_a_takeover(nodes: Nodes) -> None:
    nodes.log.seconds = 0.002
    dying = await nodes.start_to_kill()
    await eventually(lambda: len(dying.duties) == 3)
    two = await nodes.start()
    chance = random.Random(1)
    nodes.log.fails = lambda target: chance.random() < 0.1
    for number in range(300):
        event = WebhookEvent("client_event", "private-a", f"client-{number}")
        for letter in two.webhooks._letters(APP.id, event):
            await two.ledger.store([letter])
        if number == 150:
            await dying.kill()
    await eventually(lambda: len(nodes.log.events()) == 300)
    expected = [f"client-{number}" for number in range(300)]
    assert [event.event for event in nodes.log.events()] == expected
    assert len({request.node for request in nodes.log.requests}) == 2


async def test_letters_of_two_nodes_are_in_the_order_in_which_they_were_stored(
    nodes: Nodes,
) -> None:
    one, two = await nodes.start(), await nodes.start()
    stored: list[str] = []

    async def write(node: Node) -> None:
        for number in range(100):
            name = f"client-{node.number}-{number}"
            event = WebhookEvent("client_event", "private-a", name)
            await node.ledger.store(list(node.webhooks._letters(APP.id, event)))
            stored.append(name)

    await asyncio.gather(write(one), write(two))
    await eventually(lambda: len(nodes.log.events(TARGETS[1])) == 200)
    got = [event.event for event in nodes.log.events(TARGETS[1])]
    for node in (one, two):
        prefix = f"client-{node.number}-"
        assert [x for x in got if str(x).startswith(prefix)] == [
            x for x in stored if x.startswith(prefix)
        ]


async def test_dead_letters_are_revived_and_dropped_from_any_node(nodes: Nodes) -> None:
    one = await nodes.start()
    await eventually(lambda: len(one.duties) == 3)
    two = await nodes.start()
    sick = True
    nodes.log.fails = lambda target: sick
    for channel in ("news", "sports"):
        await one.join(channel)
    async with asyncio.timeout(90):
        while len(dead := await two.ledger.dead(10)) < 4:  # noqa: ASYNC110 - nothing to wait for
            await asyncio.sleep(0.05)
    sick = False
    gone = [letter.id for letter in dead if letter.channel == "sports"]
    await two.ledger.drop(gone)
    assert await two.ledger.revive([letter.id for letter in dead]) == 2

    await eventually(lambda: nodes.log.names("news") == ["channel_occupied"])
    await eventually(lambda: nodes.log.names("news", TARGETS[1]) == ["channel_occupied"])
    assert nodes.log.names("sports") == []
    assert nodes.log.requests[-1].node == one.number
    assert await two.ledger.dead(10) == []


async def test_what_waits_is_seen_and_withdrawn_from_any_node(nodes: Nodes) -> None:
    one = await nodes.start()
    await eventually(lambda: len(one.duties) == 3)
    two = await nodes.start()
    nodes.log.seconds = 2.0
    for number in range(6):  # without batching the last waits for long
        event = WebhookEvent("client_event", "private-a", f"client-{number}")
        await one.ledger.store(list(one.webhooks._letters(APP.id, event)))
    waiting = [x for x in await two.ledger.pending(100) if x.target == TARGETS[1]]
    await two.ledger.drop([letter.id for letter in waiting[-4:]])
    await eventually(lambda: two.webhooks.report()[1]["pending"] in (1, 2))
    await eventually(lambda: two.webhooks.report()[1]["pending"] == 0)

    assert len(nodes.log.events(TARGETS[1])) == 2


async def test_a_cache_miss_is_told_once_by_all_nodes_together(nodes: Nodes) -> None:
    started = [await nodes.start() for _ in range(3)]
    firsts = await asyncio.gather(
        *(node.ledger.is_first(APP.id, "cache-a", 0.5) for node in started for _ in range(3))
    )
    assert sum(firsts) == 1
    await asyncio.sleep(0.6)
    assert await started[1].ledger.is_first(APP.id, "cache-a", 0.5)


async def test_a_node_that_cannot_beat_stops_delivering_before_others_begin(
    nodes: Nodes,
) -> None:
    one = await nodes.start()
    await eventually(lambda: len(one.duties) == 3)
    two = await nodes.start()
    nodes.log.seconds = 0.01
    stuck = asyncio.Event()
    write = one.ledger._database.write

    async def hangs(do: object) -> object:
        await stuck.wait()
        return await write(do)  # type: ignore[arg-type]

    one.ledger._database.write = hangs  # type: ignore[method-assign,assignment]
    for number in range(100):
        event = WebhookEvent("client_event", f"private-{number}", "client-x")
        await two.ledger.store(list(two.webhooks._letters(APP.id, event)))
        await asyncio.sleep(0.01)
    await eventually(lambda: len(nodes.log.events(TARGETS[1])) == 100)
    stuck.set()
    await asyncio.sleep(3 * TIMING.beat)

    assert len(two.duties) == 3
    assert one.duties == frozenset()


async def test_a_join_does_not_wait_for_a_database_that_hangs_and_nothing_is_lost(
    nodes: Nodes,
) -> None:
    one = await nodes.start(Timing(0.05, 0.6, 0.02, patience=0.2, compare=60))
    other = Database(nodes.url, shared=True)
    has_it, go_on = threading.Event(), threading.Event()

    def hang(connection: Connection) -> None:
        has_it.set()
        go_on.wait(120)

    hangs = asyncio.create_task(other.write(hang))
    await asyncio.to_thread(has_it.wait)
    for _ in range(10):
        await one.join("news")
        one.leave("news")
    await one.join(ROOM, "ada")  # all of it while the database hangs
    assert not hangs.done()
    go_on.set()
    await hangs
    other.close()

    await eventually(lambda: nodes.log.believed() == nodes.truth.told())
    await eventually(lambda: nodes.log.names("news") == ["channel_occupied", "channel_vacated"])
    await one.join("late")
    assert not one.ledger._writer._away


async def test_what_one_node_alone_has_told_is_taken_over(nodes: Nodes) -> None:
    async with Outbox(nodes.url) as outbox:
        letter = Letter("x" * 32, outbox.next_position(), APP.id, TARGETS[0], "news", OCCUPIED, 0)
        await outbox.store(Change([letter], begun=[one_of("news"), one_of("sports")]))
    await nodes.start()

    await eventually(lambda: nodes.log.names("news") == ["channel_occupied", "channel_vacated"])
    assert nodes.log.names("sports") == ["channel_vacated"]


async def test_letters_to_an_endpoint_that_nobody_has_any_more_are_given_up(
    nodes: Nodes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconciler, "_KNOWN_AGAIN", 0.2)
    async with Outbox(nodes.url) as outbox:
        gone = Letter("x" * 32, outbox.next_position(), APP.id, "http://gone", "a", b"{}", 0)
        await outbox.store(Change([gone]))
    one = await nodes.start()
    async with asyncio.timeout(90):
        while not (dead := await one.ledger.dead(10)):  # noqa: ASYNC110
            await asyncio.sleep(0.05)

    assert [letter.error for letter in dead] == ["the endpoint is no longer configured"]


async def test_a_node_starts_without_its_database_and_waits_for_it(tmp_path: Path) -> None:
    async with deployment(f"sqlite:///{tmp_path / 'later' / 'outbox.db'}") as nodes:
        one = await nodes.start(Timing(0.05, 0.6, 0.02, patience=0.2, compare=0.3))
        await one.join("news")
        (tmp_path / "later").mkdir()
        await eventually(lambda: nodes.log.names("news") == ["channel_occupied"])


@pytest.mark.soak
@postgres_is_installed
async def test_nothing_is_lost_when_the_database_is_away_for_a_while() -> None:
    with started_postgres() as server:
        async with deployment(server.url) as nodes:
            timing = Timing(0.05, 0.6, 0.02, patience=0.2, compare=0.5)
            started = [await nodes.start(timing) for _ in range(2)]
            chance = random.Random(5)
            for step in range(200):
                late = _happen(nodes, chance, chance.choice(started))
                await asyncio.gather(*late)
                if step in (50, 120):
                    await asyncio.to_thread(server.stop)
                if step in (90, 130):
                    await asyncio.sleep(1)
                    await asyncio.to_thread(server.start)
                await asyncio.sleep(0.01)

            await eventually(lambda: nodes.log.believed() == nodes.truth.told(), 20)
            await eventually(lambda: nodes.log.believed(TARGETS[1]) == nodes.truth.told(), 20)
