"""Two processes and one broker: clients must not be able to tell them from one server."""

import json
import signal
import time
from collections.abc import Callable

import httpx2
import pytest

from oyez.protocol.signing import Token, user_string
from tests.cluster.conftest import LEASE
from tests.conftest import RunningServer
from tests.nats_server import NatsServer
from tests.operation.clients import Client, accepted, call, metrics, publish
from tests.processes import stop_and_go
from tests.redis_server import RedisServer, until

Node = Callable[..., RunningServer]
ADDED, REMOVED = "pusher_internal:member_added", "pusher_internal:member_removed"


def ids(message: dict[str, str]) -> list[str]:
    """The users in the acknowledgement of a presence channel."""
    found: list[str] = json.loads(message["data"])["presence"]["ids"]
    return found


def user(message: dict[str, str]) -> str:
    found: str = json.loads(message["data"])["user_id"]
    return found


def until_pong(client: Client) -> list[str]:
    """The names of what arrives before the answer to a ping."""
    client.send("pusher:ping")
    return list(iter(lambda: str(client.receive()["event"]), "pusher:pong"))


def silent(client: Client) -> bool:
    """Whether nothing but the answer to a ping arrives."""
    return until_pong(client) == []


def sign_in(server: RunningServer, client: Client, user_id: str, *watched: str) -> None:
    data = json.dumps({"id": user_id, "watchlist": watched})
    signed = Token(server.key, server.secret).sign(user_string(client.socket_id, data).encode())
    client.send("pusher:signin", {"auth": f"{server.key}:{signed}", "user_data": data})
    client.receive("pusher:signin_success")


def test_presence_is_that_of_both_nodes(node: Node) -> None:
    one, two = node(), node()
    with accepted(one) as ada, accepted(two) as bob, accepted(two) as other_ada:
        assert ids(ada.join(one, "presence-a", "ada")) == ["ada"]
        assert ids(bob.join(two, "presence-a", "bob")) == ["ada", "bob"]
        assert user(ada.receive(ADDED)) == "bob"
        assert ids(other_ada.join(two, "presence-a", "ada")) == ["ada", "bob"]
        ada.send("client-hello", {"x": 1}, channel="presence-a")
        assert bob.receive("client-hello")["user_id"] == "ada"
        other_ada.connection.close()
        assert silent(bob)
        for server in (one, two):
            answer = call(server, "GET", "/channels/presence-a/users").json()
            assert answer == {"users": [{"id": "ada"}, {"id": "bob"}]}
        ada.connection.close()
        assert user(bob.receive(REMOVED)) == "ada"
    assert call(one, "GET", "/channels").json() == {"channels": {}}


def test_events_counts_and_cached_events_cross_nodes(node: Node) -> None:
    one, two = node(), node()
    with accepted(one) as first, accepted(two) as second:
        first.subscribe("cache-a")
        first.receive("pusher:cache_miss")
        publish(two, "cache-a", "kept")
        assert first.receive("e")["data"] == "kept"
        second.subscribe("cache-a")
        assert second.receive("e")["data"] == "kept"
        count = first.receive("pusher_internal:subscription_count")
        assert json.loads(count["data"]) == {"subscription_count": 2}
        publish(one, "cache-a", "excluded", socket_id=second.socket_id)
        assert first.receive("e")["data"] == "excluded"
        assert silent(second)


def test_a_user_is_followed_reached_and_terminated_across_nodes(node: Node) -> None:
    one, two = node(), node()
    with accepted(one) as watcher, accepted(two) as ada:
        sign_in(one, watcher, "eve", "ada")
        watcher.receive("pusher_internal:watchlist_events")
        sign_in(two, ada, "ada")
        online = watcher.receive("pusher_internal:watchlist_events")
        assert json.loads(online["data"])["events"] == [{"name": "online", "user_ids": ["ada"]}]
        ada.send("pusher:subscribe", {"channel": "#server-to-user-ada"})
        ada.receive("pusher_internal:subscription_succeeded")
        publish(one, "#server-to-user-ada", "hi")
        assert ada.receive("e")["data"] == "hi"
        assert call(one, "POST", "/users/ada/terminate_connections", {}).status_code == 200
        assert ada.closed_with()[0] == 4009
        offline = watcher.receive("pusher_internal:watchlist_events")
        assert json.loads(offline["data"])["events"] == [{"name": "offline", "user_ids": ["ada"]}]


def test_what_a_killed_node_held_is_gone_once_within_the_lease(node: Node) -> None:
    dying, one, two = node(), node(), node()
    with accepted(one) as bob, accepted(two) as eve, accepted(dying) as ada:
        bob.join(one, "presence-a", "bob")
        eve.join(two, "presence-a", "eve")
        sign_in(one, bob, "bob", "ada")
        bob.receive("pusher_internal:watchlist_events")
        ada.join(dying, "presence-a", "ada")
        sign_in(dying, ada, "ada")
        bob.receive("pusher_internal:watchlist_events")
        dying.stop(signal.SIGKILL)
        assert user(eve.receive(REMOVED)) == "ada"
        time.sleep(2 * LEASE)
        assert silent(eve)
        events = until_pong(bob)
        assert events.count(REMOVED) == events.count("pusher_internal:watchlist_events") == 1
        answer = call(one, "GET", "/channels/presence-a", query={"info": "user_count"}).json()
        assert answer == {"occupied": True, "user_count": 2}


def test_a_node_that_was_stopped_for_a_while_comes_back(node: Node) -> None:
    paused, other = node(), node()
    with accepted(paused) as ada, accepted(other) as bob:
        bob.join(other, "presence-a", "bob")
        ada.join(paused, "presence-a", "ada")
        assert user(bob.receive(ADDED)) == "ada"
        with stop_and_go(paused.pid):
            assert user(bob.receive(REMOVED)) == "ada"
        assert user(bob.receive(ADDED)) == "ada"
        time.sleep(LEASE)
        assert silent(bob)
        answer = call(paused, "GET", "/channels/presence-a/users").json()
        assert {each["id"] for each in answer["users"]} == {"ada", "bob"}


def test_without_the_broker_clients_stay_and_all_is_well_afterwards(
    node: Node, broker: RedisServer | NatsServer
) -> None:
    one, two = node(), node()
    with accepted(one) as ada, accepted(one) as eve, accepted(two) as bob:
        for client, server, name in ((ada, one, "ada"), (eve, one, "eve"), (bob, two, "bob")):
            client.join(server, "presence-a", name)
        broker.stop()
        until(lambda: not ready(one) and not ready(two))
        answer = call(one, "POST", "/events", {"name": "e", "channel": "presence-a", "data": ""})
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True)
        assert metrics(one)["oyez_engine_away"] == 1
        ada.send("pusher:subscribe", {"channel": "news"})
        assert "try again later" in ada.receive("pusher:error")["data"]["message"]
        eve.connection.close()
        broker.start()
        until(lambda: ready(one) and ready(two))
        assert [user(x) for x in (ada.receive(REMOVED), bob.receive(REMOVED))] == ["eve", "eve"]
        ada.subscribe("news")
        publish(two, "presence-a", "back")
        assert ada.receive("e")["data"] == bob.receive("e")["data"] == "back"
        answer = call(two, "GET", "/channels", query={"filter_by_prefix": "presence-"}).json()
        assert answer == {"channels": {"presence-a": {}}}
        for server in (one, two):
            assert not [x for x in server.log if x.get("level") in ("error", "critical")]


def test_a_publish_whose_answer_does_not_come_is_not_said_to_be_refused(
    node: Node, broker: RedisServer | NatsServer
) -> None:
    server = node()
    with accepted(server) as ada:
        ada.subscribe("news")
        broker.pause()
        try:
            body = {"name": "e", "channel": "news", "data": "maybe"}
            answer = call(server, "POST", "/events", body)
            assert answer.status_code in (503, 504)  # a sign of life may have been under way
            assert ("may have done" in answer.json()["error"]) == (answer.status_code == 504)
            until(lambda: not ready(server))
            assert call(server, "POST", "/events", body | {"data": "never"}).status_code == 503
        finally:
            broker.resume()
        until(lambda: ready(server))
        publish(server, "news", "surely")
        received = [ada.receive("e")["data"]]
        while received[-1] != "surely":
            received.append(ada.receive("e")["data"])
        assert received in (["surely"], *([["maybe", "surely"]] * (answer.status_code == 504)))


def ready(server: RunningServer) -> bool:
    url = f"http://{server.host}:{server.admin_port}/readyz"
    return httpx2.get(url, trust_env=False).status_code == 200


def test_a_quota_is_that_of_all_nodes(node: Node) -> None:
    limits = "[apps.limits]\nmessages_per_day = 20\n"
    one, two = node(limits), node(limits)
    for _ in range(20):
        publish(one, "news")
    body = {"name": "e", "channel": "news", "data": ""}
    until(lambda: call(two, "POST", "/events", body).status_code == 403)


def test_a_node_starts_without_the_broker_and_waits_for_it(
    node: Node, broker: RedisServer | NatsServer
) -> None:
    broker.stop()
    server = node()
    assert not ready(server)
    broker.start()
    until(lambda: ready(server))
    publish(server, "news")


def test_an_address_that_cannot_be_is_said_at_the_start(
    start_server: Callable[..., RunningServer],
) -> None:
    with pytest.raises(AssertionError, match="the address of sentinels ends in /SERVICE"):
        start_server('engine = "redis+sentinel://127.0.0.1"')
