"""Nodes of one deployment: real server processes over one real Redis or NATS."""

from collections.abc import Callable, Iterator

import pytest

from tests.conftest import RunningServer
from tests.nats_server import NatsServer, nats_is_installed, running_nats
from tests.redis_server import RedisServer, redis_is_installed, running_redis
from tests.webhooks.conftest import receiver, receivers

__all__ = ["receiver", "receivers"]

APP = """
[[apps]]
id = "1001"
key = "app-key"
secret = "app-secret"
client_events = true
user_authentication = true
watchlist_events = true
subscription_count = true
"""
LEASE = 1  # seconds


@pytest.fixture(
    params=[
        pytest.param(running_redis, marks=redis_is_installed, id="redis"),
        pytest.param(running_nats, marks=nats_is_installed, id="nats"),
    ]
)
def broker(request: pytest.FixtureRequest) -> Iterator[RedisServer | NatsServer]:
    with request.param() as server:
        yield server


@pytest.fixture
def node(
    broker: RedisServer | NatsServer, start_server: Callable[..., RunningServer]
) -> Callable[..., RunningServer]:
    """Starts one more node; one of several processes has an interpreter of its own."""

    def start(more: str = "", *, top: str = "") -> RunningServer:
        cluster = f"[cluster]\nlease_seconds = {LEASE}\ntimeout = 2\n"
        text = f'engine = "{broker.url}"\n{top}\n{cluster}{APP}{more}'
        return start_server(text, executed="workers" in top)

    return start
