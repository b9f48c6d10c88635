"""What is known of a command that got no answer, over a real Redis that stops answering."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from oyez.server.engine import EngineUnavailable, OutcomeUnknown
from oyez.server.engine.redis.lane import Lane
from tests.redis_server import RedisServer, redis_is_installed, running_redis

pytestmark = redis_is_installed

LIMIT = 0.3  # seconds


class Place:
    """A lane to a server, and what it reported."""

    def __init__(self, server: RedisServer, client: Redis) -> None:
        self.server = server
        self.lost: list[str] = []
        self.lane = Lane(client, limit=LIMIT, lost=self.lost.append)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    with running_redis() as server:
        client = Redis.from_url(server.url)
        place = Place(server, client)
        yield place
        server.resume()
        await place.lane.close()
        await client.aclose()


async def test_what_was_sent_may_have_been_done_and_what_waited_was_not(place: Place) -> None:
    assert await place.lane.ask("INCR", "n") == 1
    place.server.pause()
    sent = asyncio.create_task(place.lane.ask("INCR", "n"))
    await asyncio.sleep(LIMIT / 3)
    waiting = asyncio.create_task(place.lane.ask("INCR", "never"))
    outcomes = await asyncio.gather(sent, waiting, return_exceptions=True)

    assert isinstance(outcomes[0], OutcomeUnknown)
    assert type(outcomes[1]) is EngineUnavailable
    assert len(place.lost) == 1
    place.server.resume()
    assert await place.lane.ask("GET", "n") == b"2"  # it had been done
    assert await place.lane.ask("GET", "never") is None


async def test_an_error_of_the_server_is_an_answer(place: Place) -> None:
    with pytest.raises(EngineUnavailable) as raised:
        await place.lane.ask("INCR")

    assert type(raised.value) is EngineUnavailable
    assert isinstance(raised.value.__cause__, ResponseError)
    assert place.lost == []


async def test_what_was_asked_in_the_moment_of_closing_is_refused(place: Place) -> None:
    asked = asyncio.create_task(place.lane.ask("PING"))
    await asyncio.sleep(0)  # it waits by now, and nothing was sent
    await place.lane.close()

    async with asyncio.timeout(1):
        with pytest.raises(EngineUnavailable, match="closed"):
            await asked


async def test_a_server_that_is_not_there_has_done_nothing(place: Place) -> None:
    place.server.stop()
    with pytest.raises(EngineUnavailable) as raised:
        await place.lane.ask("INCR", "n")

    assert type(raised.value) is EngineUnavailable
    assert len(place.lost) == 1
    place.server.start()
    assert await place.lane.ask("INCR", "n") == 1
