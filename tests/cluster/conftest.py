"""Nodes of one deployment: real server processes over one real Redis or NATS."""

from collections.abc import Callable, Iterator
from pathlib import Path

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
_ABOVE = [Path(__file__).with_name(name) for name in ("test_webhooks.py", "test_workers.py")]


@pytest.fixture(
    params=[
        pytest.param(running_redis, marks=redis_is_installed, id="redis"),
        pytest.param(running_nats, marks=nats_is_installed, id="nats"),
    ]
)
def broker(request: pytest.FixtureRequest) -> Iterator[RedisServer | NatsServer]:
    """A broker of its own; with NATS tests of workers and webhooks are of the long lane."""
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


@pytest.hookimpl(tryfirst=True)  # before they are chosen by their marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave to ``make soak`` what is above the seam of the engines, for the second of them.

    The engines themselves and two nodes over them are tested with both.
    """
    for item in items:
        if item.path in _ABOVE and item.nodeid.endswith("[nats]"):
            item.add_marker(pytest.mark.soak)
