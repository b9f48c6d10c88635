"""The settings of an app that decide who may come, what is counted and what is told."""

import json
import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from oyez.protocol.signing import Token, user_string
from tests.conftest import RunningServer
from tests.operation.clients import Client, accepted, call, metrics, open_client, publish
from tests.redis_server import until

StartServer = Callable[..., RunningServer]

APP = (
    '[[apps]]\nid = "1001"\nkey = "app-key"\nsecret = "app-secret"\n'
    "client_events = true\nsubscription_count = true\n"
)


def signin(server: RunningServer, client: Client, user_id: str, **user: Any) -> dict[str, Any]:
    data = json.dumps({"id": user_id, **user})
    signed = Token(server.key, server.secret).sign(user_string(client.socket_id, data).encode())
    return {"auth": f"{server.key}:{signed}", "user_data": data}


def stats(server: RunningServer) -> dict[str, int]:
    url = f"http://{server.host}:{server.admin_port}/stats"
    found: dict[str, int] = httpx2.get(url, trust_env=False).json()["apps"]["1001"]
    return found


@pytest.mark.parametrize(
    ("origin", "code"),
    [
        ("https://a.example", 0),
        ("https://x.b.example", 0),
        ("http://x.b.example:8080", 0),
        ("", 0),
        ("http://a.example", 4009),
        ("https://b.example", 4009),
        ("https://evil.example", 4009),
        ("https://a.example.evil.example", 4009),
        ("null", 4009),
        ("http://[::1", 4009),
        ("http://[x.b.example]", 4009),
    ],
)
def test_browsers_come_only_from_allowed_origins(
    start_server: StartServer, origin: str, code: int
) -> None:
    server = start_server(APP + 'allowed_origins = ["https://a.example", "*.b.example"]')

    with open_client(server, origin=origin or None) as client:
        if code:
            assert client.closed_with() == (code, "Origin not allowed")
        else:
            assert client.receive()["event"] == "pusher:connection_established"


def test_a_connection_must_be_somebodys_in_time_where_the_app_says_so(
    start_server: StartServer,
) -> None:
    server = start_server(
        APP + "authorized_connections = true\n[apps.limits]\nauthorized_connections_timeout = 1"
    )
    with accepted(server) as user, accepted(server) as member, accepted(server) as nobody:
        user.send("pusher:signin", signin(server, user, "ada"))
        member.join(server, "private-x", "")
        member.send("pusher:unsubscribe", {"channel": "private-x"})
        nobody.subscribe("news")

        assert nobody.closed_with() == (4009, "Connection not authorized within timeout")
        for client in (user, member):
            client.send("pusher:ping")
            assert client.receive("pusher:pong")


def test_users_may_be_switched_off(start_server: StartServer) -> None:
    server = start_server(APP + "user_authentication = false")

    with accepted(server) as client:
        client.send("pusher:signin", signin(server, client, "ada"))
        assert client.receive("pusher:error")["data"] == {
            "code": None,
            "message": "User authentication is not enabled for this app",
        }


def test_watchlists_may_be_switched_off(start_server: StartServer) -> None:
    server = start_server(APP + "watchlist_events = false")

    with accepted(server) as client:
        client.send("pusher:signin", signin(server, client, "ada", watchlist=["bob"]))
        assert client.receive()["event"] == "pusher:signin_success"
        client.send("pusher:ping")
        assert client.receive()["event"] == "pusher:pong"


def test_usage_is_metered_per_app(start_server: StartServer) -> None:
    server = start_server(APP)
    with accepted(server) as first, accepted(server) as second:
        for client in (first, second):
            client.join(server, "private-x", "")
        for client in (first, second):  # every count event has arrived
            client.send("pusher:ping")
            client.receive("pusher:pong")
        before = stats(server)["deliveries"]
        publish(server, "private-x")
        event = {"name": "e", "channel": "private-x", "data": "", "info": "subscription_count"}
        call(server, "POST", "/events", event)
        call(server, "POST", "/batch_events", {"batch": [event, {**event, "info": None}]})
        three = {**event, "channels": ["one", "two", "three"]}
        del three["channel"]
        call(server, "POST", "/events", three)
        first.send("client-x", channel="private-x")
        second.receive("client-x")
        found = stats(server)
        assert found["api_messages"] == 1 + 2 + 2 + 1 + (3 + 1)
        assert found["client_messages"] == 1
        assert found["deliveries"] - before == 4 * 2 + 1
        assert (found["connections"], found["peak_connections"]) == (2, 2)
    assert metrics(server)['oyez_api_messages_total{app_id="1001"}'] == 10


def test_beyond_its_daily_quota_an_app_gets_403_and_4004(start_server: StartServer) -> None:
    server = start_server(APP + "[apps.limits]\nmessages_per_day = 3")
    with accepted(server) as client:
        for _ in range(3):
            publish(server, "nobody")

        answer = call(server, "POST", "/events", {"name": "e", "channel": "c", "data": ""})
        assert (answer.status_code, answer.json()) == (403, {"error": "Over quota", "code": 403})
        assert call(server, "POST", "/batch_events", {"batch": []}).status_code == 403
        assert call(server, "GET", "/channels").status_code == 200
        with open_client(server) as late:
            assert late.closed_with() == (4004, "Account over quota")
        client.send("pusher:ping")
        assert client.receive("pusher:pong")


def test_counts_are_told_at_once_up_to_a_size_and_then_now_and_then(
    start_server: StartServer,
) -> None:
    server = start_server(
        APP + "[apps.limits]\nsubscription_count_unthrottled = 2\nsubscription_count_throttle = 1"
    )

    def count(client: Client) -> int:
        message = client.receive("pusher_internal:subscription_count")
        return int(json.loads(message["data"])["subscription_count"])

    with accepted(server) as watcher:
        watcher.subscribe("big")
        others = [accepted(server) for _ in range(5)]
        assert count(watcher) == 1
        for client in others:
            client.subscribe("big")
        assert [count(watcher), count(watcher)] == [2, 3]
        started = time.monotonic()
        assert count(watcher) == 6  # what it is then, not what it was in between
        assert time.monotonic() - started > 0.5
        for client in others:
            client.connection.close()
        assert count(watcher) == 1
        with pytest.raises(TimeoutError):  # quiet again: nothing without a change
            watcher.receive("pusher_internal:subscription_count", seconds=3)
        watcher.send("pusher:unsubscribe", {"channel": "big"})
        watcher.subscribe("big")
        assert count(watcher) == 1


def told(client: Client, event: str, until: Callable[[str], bool]) -> int:
    """How many of these events come up to the first one whose data is so."""
    for number in range(1, 100_000):
        if until(client.receive(event)["data"]):
            return number
    raise AssertionError("never")


def test_nobody_makes_others_hear_of_all_that_they_do(start_server: StartServer) -> None:
    server = start_server(APP)
    with accepted(server) as watcher, accepted(server) as restless, accepted(server) as user:
        watcher.send("pusher:signin", signin(server, watcher, "eve", watchlist=["ada"]))
        watcher.receive("pusher_internal:watchlist_events")
        watcher.subscribe("news")
        watcher.join(server, "presence-x", "eve")
        joining = restless.authorized(server, "presence-x", "ada")
        began = time.monotonic()
        for _ in range(300):
            restless.send("pusher:subscribe", {"channel": "news"})
            restless.send("pusher:unsubscribe", {"channel": "news"})
            restless.send("pusher:subscribe", joining)
            restless.send("pusher:unsubscribe", {"channel": "presence-x"})
        restless.send("pusher:ping")
        restless.receive("pusher:pong")
        for _ in range(20):
            with accepted(server) as client:
                client.send("pusher:signin", signin(server, client, "ada"))
                client.receive("pusher:signin_success")
        user.subscribe("news")
        user.join(server, "presence-x", "bob")
        user.send("pusher:signin", signin(server, user, "ada"))
        user.receive("pusher:signin_success")
        left = [{"id": "eve"}, {"id": "bob"}]
        until(lambda: call(server, "GET", "/channels/presence-x/users").json()["users"] == left)
        publish(server, "news", "end")
        seconds = time.monotonic() - began + 3
        heard: dict[str, list[str]] = {}
        while (message := json.loads(watcher.connection.recv(90)))["event"] != "e":
            heard.setdefault(message["event"].partition(":")[2], []).append(message["data"])

        counts = heard["subscription_count"]
        assert len(counts) <= 10 * seconds
        if counts[-1] != '{"subscription_count":2}':
            told(watcher, "pusher_internal:subscription_count", lambda data: ":2" in data)
        of_ada = [x for name in ("member_added", "member_removed") for x in heard[name]]
        assert len([x for x in of_ada if "ada" in x]) <= 2 * 5 * seconds + 1
        states = heard["watchlist_events"]
        assert len(states) <= 2 * 5 * seconds + 1
        assert "online" in states[-1]


def test_a_cache_entry_lives_as_long_as_the_app_says(start_server: StartServer) -> None:
    server = start_server(APP + "[apps.limits]\ncache_entry_lifetime = 1")
    publish(server, "cache-a", "kept")
    info = {"info": "cache"}
    found = call(server, "GET", "/channels/cache-a", query=info).json()
    assert found == {"occupied": False, "cache": {"data": "kept", "ttl": 1}}

    deadline = time.monotonic() + 5
    while call(server, "GET", "/channels/cache-a", query=info).json()["cache"]:
        assert time.monotonic() < deadline
    with accepted(server) as client:
        client.subscribe("cache-a")
        assert client.receive()["event"] == "pusher:cache_miss"


def test_any_active_token_signs(start_server: StartServer) -> None:
    server = start_server(
        '[[apps]]\nid = "1001"\ntokens = [{ key = "old", secret = "a" }, '
        '{ key = "app-key", secret = "app-secret" }]'
    )
    old = RunningServer(server.process, port=server.port, key="old", secret="a")

    for each in (server, old):
        publish(each, "news")
        with accepted(each) as client:
            client.join(old, "private-x", "")
            client.join(server, "private-y", "")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/apps/1001/timeline", 404),
        ("GET", "/timeline/v2/jsonp/2?session=x", 404),
        ("GET", "/timeline/v2/xhr/2", 404),
    ],
)
def test_statistics_of_pusher_js_are_harmless(
    server: RunningServer, method: str, path: str, status: int
) -> None:
    url = f"http://{server.host}:{server.port}{path}"
    assert httpx2.request(method, url, trust_env=False).status_code == status
