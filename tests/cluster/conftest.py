"""Nodes of one deployment: real server processes over one real Redis."""

from collections.abc import Callable, Iterator

import pytest

from tests.conftest import RunningServer
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


@pytest.fixture(params=[pytest.param(None, marks=redis_is_installed)])
def redis() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


@pytest.fixture
def node(
    redis: RedisServer, start_server: Callable[..., RunningServer]
) -> Callable[..., RunningServer]:
    """Starts one more node."""

    def start(more: str = "", *, top: str = "") -> RunningServer:
        cluster = f"[cluster]\nlease_seconds = {LEASE}\ntimeout = 2\n"
        return start_server(f'engine = "{redis.url}"\n{top}\n{cluster}{APP}{more}')

    return start
