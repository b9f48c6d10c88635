"""Consumers: iterating, handlers, and what happens to those who are too slow."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.server import ServerConnection

from oyez.sdk.client import AsyncClient
from oyez.sdk.conversation import Event
from oyez.sdk.stream import Feed, Stream
from oyez.sdk.tasks import Tasks
from tests.conftest import RunningServer
from tests.sdk.subscribers import (
    ScriptedServer,
    backend_of,
    confirm,
    following,
    fresh,
    greet,
    say,
    subscriber_of,
)


@pytest.fixture
async def backend(server: RunningServer) -> AsyncIterator[AsyncClient]:
    async with backend_of(server) as client:
        yield client


@pytest.fixture
async def tasks() -> AsyncIterator[Tasks]:
    owner = Tasks()
    yield owner
    await owner.stop()


def event(number: int, name: str = "e") -> Event:
    return Event(name, "news", number)


async def test_a_slow_iterator_loses_the_oldest_and_blocks_nobody(
    server: RunningServer, backend: AsyncClient
) -> None:
    channel = fresh("news-")
    async with subscriber_of(server, max_waiting=3) as slow:
        news = await slow.subscribe(channel)
        async with subscriber_of(server) as quick:
            other = await quick.subscribe(channel)
            for number in range(10):
                await backend.trigger(channel, "e", number)
            assert [(await following(other)).data for _ in range(10)] == list(range(10))
        await backend.trigger(channel, "last", 10)
        while (await following(slow)).name != "last":
            pass

        assert [(await following(news)).data for _ in range(3)] == [8, 9, 10]
        assert news.dropped == 8


async def test_a_burst_is_not_dropped_on_somebody_who_keeps_up() -> None:
    most, limit = 5_000, 200  # far more than the limit arrives in one read of the socket

    async def script(socket: ServerConnection, number: int) -> None:
        await greet(socket)
        await confirm(socket, json.loads(await socket.recv())["data"]["channel"])
        for each in range(most):
            await say(socket, "e", each, channel="news")
        await socket.wait_closed()

    async with ScriptedServer(script) as scripted, scripted.subscriber(max_waiting=limit) as opened:
        news = await opened.subscribe("news")
        got = [(await following(news)).data for _ in range(most)]

        assert got == list(range(most))
        assert news.dropped == 0


async def test_handlers_get_their_events_one_after_another(tasks: Tasks) -> None:
    stream = Stream(feed := Feed(100, tasks, system_events=False))
    log: list[str] = []
    done = asyncio.Event()

    @stream.on("e")
    async def slow(each: Event) -> None:
        log.append(f"slow begins {each.data}")
        await asyncio.sleep(0.01)
        log.append(f"slow ends {each.data}")
        if each.data == 2:
            done.set()

    @stream.on()
    def quick(each: Event) -> None:
        log.append(f"{each.name} {each.data}")

    feed.publish(event(1))
    feed.publish(event(7, "other"))
    feed.publish(event(2))
    await done.wait()

    assert [line for line in log if "slow" not in line] == ["e 1", "other 7", "e 2"]
    assert [line for line in log if "slow" in line] == [
        "slow begins 1",
        "slow ends 1",
        "slow begins 2",
        "slow ends 2",
    ]
    assert log.index("e 2") < log.index("slow ends 1")


async def test_a_handler_that_fails_is_logged_and_called_again(
    tasks: Tasks, caplog: pytest.LogCaptureFixture
) -> None:
    stream = Stream(feed := Feed(100, tasks, system_events=False))
    done = asyncio.Event()

    @stream.on("e")
    def handler(each: Event) -> None:
        if each.data == 1:
            raise RuntimeError("a bug")
        done.set()

    feed.publish(event(1))
    feed.publish(event(2))
    await done.wait()

    assert "a bug" in caplog.text
    assert caplog.record_tuples[0][:2] == ("oyez.subscriber", logging.ERROR)


async def test_a_handler_that_takes_too_long_misses_the_oldest(tasks: Tasks) -> None:
    stream = Stream(feed := Feed(2, tasks, system_events=False))
    got: asyncio.Queue[int] = asyncio.Queue()
    stream.on("e", lambda each: got.put_nowait(each.data))

    for number in range(5):
        feed.publish(event(number))

    assert [await got.get(), await got.get()] == [3, 4]
    assert (stream.missed, stream.dropped) == (3, 3)


async def test_a_handler_can_be_taken_away(tasks: Tasks) -> None:
    stream = Stream(feed := Feed(10, tasks, system_events=False))
    got: list[Event] = []
    stream.on("e", got.append)

    stream.off(got.append)
    feed.publish(event(1))
    await anext(stream)
    await asyncio.sleep(0)

    assert got == []


async def test_a_stream_gives_what_it_has_and_then_ends(tasks: Tasks) -> None:
    ended, failed = Feed(10, tasks, system_events=True), Feed(10, tasks, system_events=True)
    for feed, error in ((ended, None), (failed, RuntimeError("cut off"))):
        feed.publish(event(1))
        feed.end(error)
        feed.end(RuntimeError("only the first end counts"))

    assert [each.data async for each in Stream(ended)] == [1]
    stream = Stream(failed)
    assert (await anext(stream)).data == 1
    for _ in range(2):
        with pytest.raises(RuntimeError, match="cut off"):
            await anext(stream)


async def test_all_who_wait_hear_of_the_end(tasks: Tasks) -> None:
    stream = Stream(feed := Feed(10, tasks, system_events=True))
    waiting = [asyncio.ensure_future(anext(stream, None)) for _ in range(3)]
    await asyncio.sleep(0)

    feed.publish(event(1))
    feed.end()

    found = await asyncio.gather(*waiting)
    assert sorted(each.data if each else 0 for each in found) == [0, 0, 1]
