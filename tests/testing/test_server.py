"""The server of the kit: what it records, how it forgets, what it leaves behind."""

import asyncio
import gc
import json
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from websockets.sync.client import connect

from oyez import Client
from oyez.testing import OyezServer
from tests.operation.clients import Client as Subscriber
from tests.webhooks.receiver import Receiver

ADA = {"user_id": "ada", "user_info": {"name": "Ada"}}

Connect = Callable[[OyezServer], Subscriber]


@pytest.fixture(scope="module")
def running() -> Iterator[OyezServer]:
    with OyezServer() as server:
        yield server


@pytest.fixture
def server(running: OyezServer) -> Iterator[OyezServer]:
    yield running
    running.clear()


@pytest.fixture
def client(server: OyezServer) -> Iterator[Client]:
    with server.client() as client:
        yield client


@pytest.fixture
def connected() -> Iterator[Connect]:
    """Connects subscribers, which are closed after the test."""
    opened: list[Subscriber] = []

    def open_subscriber(server: OyezServer) -> Subscriber:
        url = f"ws://{server.host}:{server.port}/app/{server.key}?protocol=7"
        subscriber = Subscriber(connect(url, proxy=None, close_timeout=1, legacy=True))
        opened.append(subscriber)
        greeting = subscriber.receive("pusher:connection_established")
        subscriber.socket_id = json.loads(greeting["data"])["socket_id"]
        return subscriber

    yield open_subscriber
    for each in opened:
        each.connection.close()


def join(subscriber: Subscriber, client: Client, channel: str) -> None:
    member = ADA if channel.startswith("presence-") else None
    subscriber.subscribe(channel, **client.authorize_channel(channel, subscriber.socket_id, member))


def test_a_backend_may_call_events_like_our_own_orders(
    server: OyezServer, client: Client, connected: Connect
) -> None:
    subscriber = connected(server)
    subscriber.subscribe("news")

    client.trigger("news", "oyez:terminate", "all of you")
    client.trigger_batch([{"channel": "news", "name": "oyez:terminate", "data": "again"}])

    for data in ("all of you", "again"):
        assert subscriber.receive("oyez:terminate")["data"] == data
    assert [each.name for each in server.published] == ["oyez:terminate"] * 2


def test_what_backends_publish_is_recorded_whatever_the_call(
    server: OyezServer, client: Client
) -> None:
    client.trigger(["a", "b"], "first", "plain text")
    client.trigger_batch([{"channel": "c", "name": "second", "data": {"n": 2}}])
    client.send_to_user("ada", "third", [3])
    client.terminate_user_connections("ada")

    seen = [(each.channel, each.name, each.data) for each in server.published]
    assert seen == [
        ("a", "first", "plain text"),
        ("b", "first", "plain text"),
        ("c", "second", {"n": 2}),
        ("#server-to-user-ada", "third", [3]),
    ]


def test_what_clients_say_is_recorded_and_what_the_server_says_is_not(
    server: OyezServer, client: Client, connected: Connect
) -> None:
    ada = connected(server)
    join(ada, client, "presence-room")
    ada.send("client-typing", {"on": True}, channel="presence-room")

    event = server.wait_for_event("presence-room", "client-typing")
    assert (event.data, event.user_id, event.socket_id) == ({"on": True}, "ada", ada.socket_id)
    assert server.published == [event]


def test_data_of_encrypted_channels_is_readable(server: OyezServer, client: Client) -> None:
    with server.client(encryption_master_key=b"k" * 32) as stranger:
        stranger.trigger("private-encrypted-a", "e", "secret")
    client.trigger("private-encrypted-b", "e", {"secret": 1})

    theirs, ours = server.published
    assert theirs.data.keys() == json.loads(ours.text).keys() == {"nonce", "ciphertext"}
    assert ours.data == {"secret": 1}


@pytest.mark.parametrize("published", ["text", '{"a": 1}', "7"])
def test_data_may_be_compared_as_it_was_given_or_as_it_travels(
    server: OyezServer, client: Client, published: str
) -> None:
    client.trigger("a", "e", published)

    assert server.assert_published("a", data=published).text == published


def test_exclusion_is_part_of_what_can_be_asserted(server: OyezServer, client: Client) -> None:
    client.trigger("a", "e", {}, socket_id="1.2")

    server.assert_published("a", "e", socket_id="1.2")
    server.assert_not_published("a", "e", socket_id=None)
    with pytest.raises(AssertionError, match=r"excluding '3.4' was published\npublished:\n  a  e"):
        server.assert_published("a", "e", socket_id="3.4")


def test_too_often_and_not_at_all_are_failures(server: OyezServer, client: Client) -> None:
    client.trigger("a", "e", {})
    client.trigger("a", "e", {})

    with pytest.raises(AssertionError, match="was published 2 times, not 1"):
        server.assert_published("a", times=1)
    with pytest.raises(AssertionError, match="there should be no event on 'a'"):
        server.assert_not_published("a")


def test_only_the_last_of_many_events_are_listed(server: OyezServer, client: Client) -> None:
    for _ in range(4):
        client.trigger([f"a{n}" for n in range(10)], "e", {})

    with pytest.raises(AssertionError, match="the last 30 of 40"):
        server.assert_published("a")


def test_webhooks_arrive_verified_in_order_and_once(
    server: OyezServer, client: Client, connected: Connect
) -> None:
    ada = connected(server)
    join(ada, client, "presence-room")
    server.wait_for_webhook("member_added", channel="presence-room", user_id="ada")
    ada.connection.close()
    server.wait_for_webhook("channel_vacated", channel="presence-room")

    assert [event.name for event in server.webhooks] == [
        "channel_occupied",
        "member_added",
        "member_removed",
        "channel_vacated",
    ]


async def test_webhooks_can_be_awaited(server: OyezServer, connected: Connect) -> None:
    waiting = asyncio.create_task(server.async_wait_for_webhook("channel_occupied", channel="a"))
    subscriber = await asyncio.to_thread(connected, server)
    await asyncio.to_thread(subscriber.subscribe, "a")

    assert (await waiting).channel == "a"
    with pytest.raises(AssertionError, match=r"no webhook 'cache_miss' within 0.01 s\ntold:"):
        await server.async_wait_for_webhook("cache_miss", timeout=0.01)
    with pytest.raises(TypeError, match="webhook events have no chanel"):
        await server.async_wait_for_webhook("cache_miss", chanel="a")


async def test_an_event_that_does_not_come_is_a_failure(server: OyezServer) -> None:
    with pytest.raises(AssertionError, match=r"no event 'e' on 'a' was published within 0.01 s"):
        await server.async_wait_for_event("a", "e", timeout=0.01)


def test_clearing_sends_everybody_away_for_good_and_forgets(
    server: OyezServer, client: Client, connected: Connect
) -> None:
    subscribers = [connected(server) for _ in range(3)]
    for each in subscribers:
        join(each, client, "presence-cache-room")
    client.trigger("presence-cache-room", "e", {})
    assert server.connections == 3

    server.clear()

    assert [each.closed_with() for each in subscribers] == [(4009, "The test is over")] * 3
    assert (server.connections, server.published, server.webhooks) == (0, [], [])
    assert client.channels() == {"channels": {}}
    newcomer = connected(server)
    join(newcomer, client, "presence-cache-room")
    assert newcomer.receive()["event"] == "pusher:cache_miss"


def test_what_was_told_of_one_test_does_not_reach_the_next(
    server: OyezServer, connected: Connect
) -> None:
    for _ in range(30):
        connected(server).subscribe("a")
        server.clear()
        assert server.webhooks == []


def test_webhooks_of_the_test_itself_go_out_as_well() -> None:
    theirs = Receiver()
    endpoint = {"url": theirs.url, "events": ["channel_occupied"], "starts_with": "b"}
    try:
        with OyezServer({"app": {"webhooks": [endpoint]}}) as server:
            url = f"ws://{server.host}:{server.port}/app/{server.key}?protocol=7"
            with connect(url, proxy=None) as connection:
                for channel in ("a", "b"):
                    Subscriber(connection).subscribe(channel)
            theirs.wait_for(1)
            assert theirs.names("a") == []
            with server.client() as client:
                sent = theirs.requests[0]
                assert [each["channel"] for each in client.webhook(sent.headers, sent.body)] == [
                    "b"
                ]
    finally:
        theirs.close()


def test_the_grace_can_be_brought_back(connected: Connect) -> None:
    with OyezServer({"app": {"limits": {"webhook_delay": 1}}}) as server:
        for _ in range(2):
            subscriber = connected(server)
            subscriber.subscribe("a")
            subscriber.connection.close()
        server.wait_for_webhook("channel_vacated", channel="a")

        told = [each.name for each in server.webhooks if "count" not in each.name]
        assert told == ["channel_occupied", "channel_vacated"]


def test_two_servers_do_not_know_each_other() -> None:
    with OyezServer() as first, OyezServer() as second, first.client() as client:
        client.trigger("a", "e", {})

        assert first.port != second.port
        assert first.key != second.key
        first.assert_published("a")
        second.assert_nothing_published()


def test_stopping_leaves_no_thread_and_no_open_socket_whatever_clients_do() -> None:
    before = threading.active_count()
    with socket.socket() as mute, OyezServer() as server:
        mute.connect((server.host, server.port))
        mute.sendall(
            f"GET /app/{server.key}?protocol=7 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        received = b""
        while b"activity_timeout" not in received:
            received += mute.recv(65536)

    gc.collect()  # an open transport would be a warning, and a warning is an error
    assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="not running"):
        server.clear()


def test_a_server_can_be_started_again() -> None:
    server = OyezServer()
    for _ in range(2):
        with server, server.client() as client:
            client.trigger("a", "e", {})
            server.assert_published("a")
            server.clear()


def test_what_cannot_start_says_why_and_leaves_nothing() -> None:
    before = threading.active_count()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            OyezServer({"port": port}).__enter__()
    with pytest.raises(ValueError, match="no_such_setting"):
        OyezServer({"no_such_setting": 1}).__enter__()

    assert threading.active_count() == before


def test_secrets_are_not_shown(server: OyezServer) -> None:
    assert server.secret not in repr(server)
    assert repr(OyezServer()) == "OyezServer(not started)"


def test_applications_find_it_by_their_environment(
    server: OyezServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)

    with Client.from_env() as client:
        client.trigger("a", "e", {})
    monkeypatch.delenv("PUSHER_URL")
    with Client.from_env() as client:
        client.trigger("b", "e", {})

    assert [each.channel for each in server.published] == ["a", "b"]
