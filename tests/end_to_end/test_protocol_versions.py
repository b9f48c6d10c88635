"""Java, .NET and Pysher speak protocols 5 and 6 and get what protocol 7 gets."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from pusher import Pusher
from websockets.exceptions import ConnectionClosed

from tests.conftest import RunningServer
from tests.end_to_end.authorization import SignedBy
from tests.end_to_end.publishers import Sdk
from tests.end_to_end.receivers import Connect, PusherJs
from tests.operation.clients import Client, Message, accepted, open_client

# As the libraries send them.
JAVA = "client=java-client&protocol=5&version=2.4.4"
DOTNET = "protocol=5&client=pusher-dotnet-client&version=2.3.0"
PYSHER = "client=Pysher&version=1.0.7&protocol=6"
PUSHER_JS = "protocol=7&client=js&version=8.6.0&flash=false"

OLD_CLIENTS = pytest.mark.parametrize(
    "query", [JAVA, DOTNET, PYSHER], ids=["Java", ".NET", "Pysher"]
)


def authorize(sdk: Pusher, client: Client, channel: str, **member: str) -> dict[str, Any]:
    return {"channel": channel, **sdk.authenticate(channel, client.socket_id, member or None)}


def received_until(client: Client, event: str) -> list[Message]:
    """Everything up to an event, that event included."""
    messages: list[Message] = []
    while not messages or messages[-1]["event"] != event:
        messages.append(json.loads(client.connection.recv(timeout=90)))
    return messages


def conversation(
    server: RunningServer, sdk: Pusher, query: str, fresh: Callable[[str], str]
) -> list[Message]:
    """Use every part of the protocol; what the server says to a client with this query."""
    news, room = fresh("news"), fresh("presence-room")
    private, cached = fresh("private-chat"), fresh("cache-prices")
    ada, bob = fresh("ada"), fresh("bob")
    sdk.trigger(cached, "price", {"eur": 17})
    with accepted(server) as other, accepted(server, query=query) as client:
        other.send("pusher:subscribe", authorize(sdk, other, room, user_id=bob))
        other.send("pusher:subscribe", authorize(sdk, other, private))
        received_until(other, "pusher_internal:subscription_count")

        client.send("pusher:subscribe", {"channel": news, "auth": ""})
        client.send("pusher:subscribe", {"channel": cached})
        client.send("pusher:subscribe", {"channel": private, "auth": "wrong"})
        client.send("pusher:subscribe", authorize(sdk, client, private))
        client.send("pusher:signin", sdk.authenticate_user(client.socket_id, {"id": ada}))
        client.send("pusher:subscribe", {"channel": f"#server-to-user-{ada}"})
        client.send("pusher:subscribe", authorize(sdk, client, room))
        client.send("client-typing", {"on": True}, channel=private)
        client.send("client-typing", {}, channel=news)
        client.send("pusher:ping", {})
        messages = received_until(client, "pusher:pong")

        received_until(other, "client-typing")
        other.send("client-typing", {"on": False}, channel=room)
        other.send("pusher:unsubscribe", {"channel": room})
        messages += received_until(client, "pusher_internal:member_removed")
        sdk.trigger([news, private, room], "headline", {"text": "Grüße"})
        sdk.send_to_user(ada, "greeting", {"n": 1})
        messages += received_until(client, "greeting")
        client.send("pusher:unsubscribe", {"channel": news})
        client.send("pusher:ping", "")
        messages += received_until(client, "pusher:pong")
        text = json.dumps(messages).replace(client.socket_id, "SOCKET")
    return list(json.loads(text))


@OLD_CLIENTS
def test_the_service_is_the_same_as_with_protocol_7(
    server: RunningServer, pypi_pusher: Pusher, fresh: Callable[[str], str], query: str
) -> None:
    # Both take the same names: each conversation leaves nothing behind but the cached event.
    found = conversation(server, pypi_pusher, query, fresh)

    assert found == conversation(server, pypi_pusher, PUSHER_JS, fresh)
    assert [message["event"] for message in found] == [
        "pusher_internal:subscription_succeeded",
        "pusher_internal:subscription_count",
        "pusher_internal:subscription_succeeded",
        "price",
        "pusher_internal:subscription_count",
        "pusher:error",
        "pusher:subscription_error",
        "pusher_internal:subscription_succeeded",
        "pusher_internal:subscription_count",
        "pusher:signin_success",
        "pusher_internal:subscription_succeeded",
        "pusher_internal:subscription_succeeded",
        "pusher:error",
        "pusher:pong",
        "client-typing",
        "pusher_internal:member_removed",
        "headline",
        "headline",
        "headline",
        "greeting",
        "pusher:pong",
    ]


@OLD_CLIENTS
def test_the_greeting_is_the_same(server: RunningServer, query: str) -> None:
    with accepted(server, query=query) as client:
        client.send("pusher:ping")
        assert client.receive() == {"event": "pusher:pong", "data": "{}"}
        assert client.socket_id


@OLD_CLIENTS
def test_old_and_new_clients_share_channels(
    server: RunningServer,
    sdk: Sdk,
    pypi_pusher: Pusher,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    fresh: Callable[[str], str],
    query: str,
) -> None:
    channel = fresh("presence-room")
    new = connect_pusher_js(signed_by("npm pusher", {"user_id": "ada"}))
    new.subscribe(channel)
    with accepted(server, query=query) as old:
        old.send("pusher:subscribe", authorize(pypi_pusher, old, channel, user_id="bob"))
        old.receive("pusher_internal:subscription_succeeded")

        assert new.wait_for_event(channel, "pusher:member_added").data["id"] == "bob"
        old.send("client-said", {"n": 1}, channel=channel)
        heard = new.wait_for_event(channel, "client-said")
        assert (heard.data, heard.user_id) == ({"n": 1}, "bob")
        new.trigger(channel, "client-answered", {"n": 2})
        answer = old.receive("client-answered")
        assert (json.loads(answer["data"]), answer["user_id"]) == ({"n": 2}, "ada")
        sdk.trigger(channel, "end", {"n": 3})
        assert json.loads(old.receive("end")["data"]) == {"n": 3}
        assert new.wait_for_event(channel, "end").data == {"n": 3}


@OLD_CLIENTS
def test_a_watchlist_is_followed(
    server: RunningServer,
    pypi_pusher: Pusher,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    fresh: Callable[[str], str],
    query: str,
) -> None:
    ada, bob = fresh("ada"), fresh("bob")
    watched = {"id": ada, "watchlist": [bob]}
    with accepted(server, query=query) as client:
        client.send("pusher:signin", pypi_pusher.authenticate_user(client.socket_id, watched))
        first = client.receive("pusher_internal:watchlist_events")
        connect_pusher_js(None, signed_by("npm pusher", {"id": bob})).sign_in()
        second = client.receive("pusher_internal:watchlist_events")

    changes = [json.loads(message["data"])["events"] for message in (first, second)]
    assert changes == [
        [{"name": "offline", "user_ids": [bob]}],
        [{"name": "online", "user_ids": [bob]}],
    ]


@pytest.mark.parametrize(
    ("query", "told_by_event"),
    [(JAVA, True), (DOTNET, True), (PYSHER, False), (PUSHER_JS, False)],
    ids=["Java", ".NET", "Pysher", "pusher-js"],
)
def test_only_below_protocol_6_an_event_tells_why_it_is_disconnected(
    server: RunningServer,
    pypi_pusher: Pusher,
    sdk: Sdk,
    fresh: Callable[[str], str],
    query: str,
    told_by_event: bool,
) -> None:
    ada, reason = fresh("ada"), "You got disconnected by the app."
    with accepted(server, query=query) as client:
        client.send("pusher:signin", pypi_pusher.authenticate_user(client.socket_id, {"id": ada}))
        client.receive("pusher:signin_success")

        assert sdk.terminate_user_connections(ada) == {}

        if told_by_event:
            error = json.loads(client.connection.recv(timeout=90))
            assert error == {
                "event": "pusher:error",
                "data": {"code": 4009, "message": reason},
            }
        with pytest.raises(ConnectionClosed) as closed:
            client.connection.recv(timeout=90)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4009, reason)


@OLD_CLIENTS
def test_a_refused_connection_is_told_why_by_event_and_code(
    server: RunningServer, query: str
) -> None:
    with open_client(server, query=query, key="unknown-key") as client:
        error = json.loads(client.connection.recv(timeout=90))
        code, reason = client.closed_with()

    assert error["event"] == "pusher:error"
    assert error["data"] == {"code": 4001, "message": reason}
    assert code == 4001
