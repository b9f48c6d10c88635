"""Connections that listen, over a real Redis."""

import asyncio

from redis.asyncio import Redis

from oyez.server.engine.redis.listener import Listener
from oyez.server.engine.redis.listeners import Listeners
from tests.redis_server import redis_is_installed, running_redis

pytestmark = redis_is_installed


async def test_one_that_was_given_up_while_it_was_made_does_not_stop_the_close() -> None:
    with running_redis() as server:
        client = Redis.from_url(server.url)
        listeners = Listeners(
            client, sharded=False, limit=1, receive=lambda *_: None, lost=lambda _: None
        )
        await listeners.open()
        make = client.connection_pool.make_connection
        given_up: asyncio.Task[Listener] = asyncio.create_task(listeners._open(make))
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
        listeners._listeners["another"] = given_up

        await listeners.close()
        await client.aclose()
