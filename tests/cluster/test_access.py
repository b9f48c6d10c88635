"""A user of Redis that may do what `docs/operations/redis.md` lets it do, and nothing else."""

import re
from collections.abc import Callable
from pathlib import Path

from tests.cluster.conftest import APP
from tests.conftest import RunningServer
from tests.operation.clients import accepted, call, metrics, publish
from tests.redis_server import RedisServer, redis_is_installed, running_redis, until

PAGE = Path(__file__).parent.parent.parent / "docs" / "operations" / "redis.md"


@redis_is_installed
def test_the_permissions_of_the_page_are_enough(
    start_server: Callable[..., RunningServer],
) -> None:
    found = re.search(r"^(ACL SETUSER .*)$", PAGE.read_text(), re.MULTILINE)
    assert found is not None
    with running_redis() as redis:
        redis.ask(*found[1].replace("PASSWORD", "pw").split())
        url = f"redis://oyez:pw@127.0.0.1:{redis.port}"
        settings = f'engine = "{url}"\n[cluster]\nlease_seconds = 1\n{APP}'
        one, two = start_server(settings), start_server(settings)
        until(lambda: all(metrics(each)["oyez_ready"] for each in (one, two)))
        with accepted(one) as ada, accepted(two) as bob:
            ada.join(one, "presence-a", "ada")
            bob.join(two, "presence-a", "bob")
            bob.subscribe("cache-a")
            for channel in ("presence-a", "cache-a"):
                publish(one, channel, "hello")
                assert bob.receive("e")["data"] == "hello"
            assert len(call(two, "GET", "/channels").json()["channels"]) == 2
        until(lambda: call(one, "GET", "/channels").json() == {"channels": {}})
        two.stop()  # one counts it out
        assert denied(redis) == "[]"


def denied(redis: RedisServer) -> str:
    return redis.ask("ACL", "LOG")
