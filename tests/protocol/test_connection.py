"""The conversation with one client, as a table of what it says and what follows."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oyez.protocol.app import App, Limits
from oyez.protocol.connection import Connection, Join, Leave, Publish, Reply
from oyez.protocol.errors import ProtocolError, Refusal
from oyez.protocol.messages import PONG, Member
from oyez.protocol.signing import Token, channel_string

TOKEN = Token("key", "secret")
SOCKET_ID = "1234.5678"
ME = '{"user_id":"u-7","user_info":{"name":"Zoë"}}'


def connection(**settings: Any) -> Connection:
    app = App(id="1", tokens=(TOKEN,), **{"client_events": True, **settings})
    return Connection(app, SOCKET_ID, 7)


def text(event: str, data: object = None, **fields: object) -> bytes:
    return json.dumps({"event": event, "data": data, **fields}).encode()


def auth(channel: str, channel_data: str | None = None) -> str:
    return f"key:{TOKEN.sign(channel_string(SOCKET_ID, channel, channel_data).encode())}"


def subscribe(channel: object, **fields: object) -> bytes:
    return text("pusher:subscribe", {"channel": channel, **fields})


@pytest.mark.parametrize("channel", ["c" * 165, "#server-to-user-" + "u" * 300, "ä" * 300])
def test_a_refused_channel_is_named_as_it_was_asked_for(channel: str) -> None:
    """Not shortened: the first characters of it may be the name of another, good channel."""
    with pytest.raises(Refusal) as refused:
        connection().receive(subscribe(channel), 0.0)

    assert refused.value.channel == channel


def presence(channel_data: object, channel: str = "presence-x") -> bytes:
    signed = auth(channel, channel_data if isinstance(channel_data, str) else None)
    return subscribe(channel, auth=signed, channel_data=channel_data)


def joined(client: Connection, channel: str) -> None:
    wanted = subscribe(channel, auth=auth(channel))
    if channel.startswith("presence-"):
        wanted = presence(ME, channel)
    action = client.receive(wanted, 0)
    assert isinstance(action, Join)
    client.joined(action)


def refused(client: Connection, message: bytes) -> Refusal:
    before = dict(client.subscriptions)
    with pytest.raises(Refusal) as caught:
        client.receive(message, 0)
    assert client.subscriptions == before
    return caught.value


@pytest.mark.parametrize("data", [{}, "", None])
def test_a_ping_is_answered_whatever_its_data(data: object) -> None:
    assert connection().receive(text("pusher:ping", data), 0) == Reply(PONG)


@pytest.mark.parametrize("message", [b"", text("pusher:pong")])
def test_nothing_follows_an_empty_message_or_a_pong(message: bytes) -> None:
    assert connection().receive(message, 0) is None


@pytest.mark.parametrize(
    ("message", "action"),
    [
        (subscribe("news"), Join("news", None)),
        (subscribe("news", auth="", channel_data=None), Join("news", None)),
        (text("pusher:subscribe", '{"channel":"news"}'), Join("news", None)),
        (subscribe("private-x", auth=auth("private-x")), Join("private-x", None)),
        (
            subscribe("private-x", auth=auth("private-x", "any"), channel_data="any"),
            Join("private-x", None),
        ),
        (presence(ME), Join("presence-x", Member("u-7", '{"name":"Zoë"}'.encode()))),
        (presence('{"user_id":10}'), Join("presence-x", Member("10"))),
        (presence('{"user_id": "ä+b@c", "user_info": null}'), Join("presence-x", Member("ä+b@c"))),
        (
            presence('{"user_id":"a","user_info":{"b":1, "a":12345678901234567890}}'),
            Join("presence-x", Member("a", b'{"b":1,"a":12345678901234567890}')),
        ),
        (presence(json.dumps({"user_id": "x" * 128})), Join("presence-x", Member("x" * 128))),
    ],
)
def test_a_subscription_that_is_allowed_asks_to_join(message: bytes, action: Join) -> None:
    assert connection().receive(message, 0) == action


SIGNATURE = "0" * 64


@pytest.mark.parametrize(
    ("message", "reason", "kind", "status"),
    [
        (subscribe(None), "Missing channel in pusher:subscribe", None, 0),
        (text("pusher:subscribe"), "Missing channel in pusher:subscribe", None, 0),
        (text("pusher:subscribe", "no json"), "Missing channel in pusher:subscribe", None, 0),
        (text("pusher:subscribe", [1]), "Missing channel in pusher:subscribe", None, 0),
        (subscribe("a b"), "Invalid channel name 'a b'", "LimitReached", 4009),
        (
            subscribe("c" * 165),
            f"Invalid channel name '{'c' * 165}' (165 > 164 characters)",
            "LimitReached",
            4009,
        ),
        (subscribe("private-x"), "Auth info required to subscribe to private-x", "AuthError", 401),
        (
            subscribe("private-x", auth="abc"),
            "Auth value for subscription to private-x is invalid: "
            "should be of format 'key:signature'",
            "AuthError",
            401,
        ),
        (
            subscribe("private-x", auth=auth("private-x") + ":"),
            "Auth value for subscription to private-x is invalid: "
            "should be of format 'key:signature'",
            "AuthError",
            401,
        ),
        (
            subscribe("private-x", auth=5),
            "Auth value for subscription to private-x is invalid: "
            "should be of format 'key:signature'",
            "AuthError",
            401,
        ),
        (
            subscribe("private-x", auth=f"other:{SIGNATURE}"),
            "Invalid key in subscription auth data: 'other'",
            "AuthError",
            401,
        ),
        (
            subscribe("private-x", auth=f"key:{SIGNATURE}"),
            f"Invalid signature: Expected HMAC SHA256 hex digest of {SOCKET_ID}:private-x, "
            f"but got {SIGNATURE}",
            "AuthError",
            401,
        ),
        (
            subscribe("private-x", auth=auth("private-y")),
            f"Invalid signature: Expected HMAC SHA256 hex digest of {SOCKET_ID}:private-x, "
            f"but got {auth('private-y')[4:]}",
            "AuthError",
            401,
        ),
        (
            presence(None),
            "Presence channel subscription must include channel_data",
            "AuthError",
            401,
        ),
        (presence("no json"), "Invalid channel_data for presence-x", "AuthError", 401),
        (presence({"user_id": "a"}), "Invalid channel_data for presence-x", "AuthError", 401),
        (presence("[]"), "Invalid channel_data for presence-x", "AuthError", 401),
        (presence("{}"), "Invalid channel_data for presence-x", "AuthError", 401),
        (presence('{"user_id":""}'), "Invalid channel_data for presence-x", "AuthError", 401),
        (presence('{"user_id":true}'), "Invalid channel_data for presence-x", "AuthError", 401),
        (presence('{"user_id":1.5}'), "Invalid channel_data for presence-x", "AuthError", 401),
        (
            presence(json.dumps({"user_id": "x" * 129})),
            "Invalid channel_data for presence-x",
            "AuthError",
            401,
        ),
        (
            presence(json.dumps({"user_id": "x", "user_info": "y" * 1023})),
            "user_info for presence-x exceeds 1024 bytes (1025 bytes)",
            "LimitReached",
            4301,
        ),
    ],
)
def test_a_subscription_that_is_not_allowed_is_refused_in_the_documented_words(
    message: bytes, reason: str, kind: str | None, status: int
) -> None:
    refusal = refused(connection(), message)

    assert str(refusal) == reason
    assert refusal.code is None  # Pysher disconnects on any other code
    if kind is None:
        assert refusal.channel is None
    else:
        assert (refusal.kind, refusal.status) == (kind, status)


def test_a_second_subscription_keeps_the_first() -> None:
    client = connection()
    joined(client, "news")

    refusal = refused(client, subscribe("news"))

    assert str(refusal) == "Existing subscription to channel news"
    assert refusal.channel is None


def test_a_connection_may_be_limited_in_its_subscriptions() -> None:
    client = connection(limits=Limits(subscriptions_per_connection=1))
    joined(client, "news")

    assert str(refused(client, subscribe("more"))) == (
        "Connection has reached its limit of 1 subscriptions"
    )


def test_unsubscribing_leaves_with_the_membership_one_had() -> None:
    client = connection()
    joined(client, "presence-x")

    assert client.receive(text("pusher:unsubscribe", {"channel": "presence-x"}), 0) == Leave(
        "presence-x", "u-7"
    )
    client.left("presence-x")
    assert str(refused(client, text("pusher:unsubscribe", {"channel": "presence-x"}))) == (
        "No current subscription to channel presence-x, or subscription in progress"
    )


def client_event(channel: object = "private-x", data: object = None, **fields: object) -> bytes:
    return text("client-e", data, channel=channel, **fields)


@pytest.mark.parametrize(
    ("data", "delivered"),
    [
        ("plain", "plain"),
        ('{"a": 1}', '{"a": 1}'),
        ({"b": 1, "a": "ü"}, '{"b":1,"a":"ü"}'),
        ([1, 2.5], "[1,2.5]"),
        (True, "true"),
        (None, "null"),
    ],
)
def test_client_events_carry_strings(data: object, delivered: str) -> None:
    client = connection()
    joined(client, "private-x")

    action = client.receive(client_event(data=data, user_id="forged", x=1), 0)

    assert isinstance(action, Publish)
    assert action.event.data == delivered
    assert action.event.socket_id == SOCKET_ID
    assert action.event.user_id is None


def test_client_events_of_members_name_the_member() -> None:
    client = connection()
    joined(client, "presence-x")

    action = client.receive(client_event("presence-x", user_id="forged"), 0)

    assert isinstance(action, Publish)
    assert action.event.user_id == "u-7"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (
            text("other", channel="private-x"),
            "Client event rejected - client events must be prefixed by 'client-'",
        ),
        (
            text("client-" + "x" * 194, channel="private-x"),
            "Client event rejected - the event name is too long (201 > 200 characters)",
        ),
        (
            client_event("news"),
            "Client event rejected - only supported on private and presence channels",
        ),
        (
            client_event(None),
            "Client event rejected - only supported on private and presence channels",
        ),
        (
            client_event("private-y"),
            "Client event rejected - you are not subscribed to channel private-y",
        ),
        (
            client_event(data="x" * 10_241),
            "The data content of this event exceeds the allowed maximum (10240 bytes). "
            "It has 10241 bytes.",
        ),
        (text("pusher:nonsense"), "Unsupported event received on socket: 'pusher:nonsense'"),
        (
            text("pusher_internal:member_added"),
            "Unsupported event received on socket: 'pusher_internal:member_added'",
        ),
    ],
)
def test_a_client_event_that_is_not_allowed_is_refused(message: bytes, reason: str) -> None:
    client = connection()
    joined(client, "private-x")

    refusal = refused(client, message)

    assert str(refusal) == reason
    assert refusal.code is None


def test_client_events_are_off_unless_the_app_has_them() -> None:
    client = connection(client_events=False)
    joined(client, "private-x")

    assert str(refused(client, client_event())).startswith("To send client events, you must enable")


def test_ten_client_events_are_accepted_in_any_second() -> None:
    client = connection()
    joined(client, "private-x")
    for at in range(10):
        client.receive(client_event(), at / 100)

    for _ in range(5):  # refused events do not count
        with pytest.raises(Refusal) as caught:
            client.receive(client_event(), 0.99)
        assert caught.value.code == 4301

    assert client.receive(client_event(), 1.0)
    with pytest.raises(Refusal):
        client.receive(client_event(), 1.005)
    assert client.receive(client_event(), 1.01)


def test_a_limit_of_no_client_events_refuses_them_all() -> None:
    client = connection(limits=Limits(client_events=0))
    joined(client, "private-x")

    with pytest.raises(Refusal):
        client.receive(client_event(), 0)


@pytest.mark.parametrize(
    "message",
    [
        b"x",
        b"[]",
        b"{}",
        b'{"event":5}',
        b'{"event":null}',
        b'{"event":"pusher:ping"',
        b'{"event":"client-\\ud800"',
        b'{"event":"\xff"}',
        b'{"event":"pusher:ping","data":' + b"[" * 60_000,
    ],
)
def test_what_is_no_message_is_refused(message: bytes) -> None:
    assert str(refused(connection(), message)) == "Invalid message format"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
client_texts = st.binary(max_size=200) | st.builds(
    lambda event, channel, data: json.dumps(
        {"event": event, "channel": channel, "data": data}
    ).encode(),
    st.sampled_from(["pusher:subscribe", "pusher:unsubscribe", "pusher:ping", "client-x"])
    | st.text(),
    json_values,
    st.dictionaries(st.sampled_from(["channel", "auth", "channel_data"]), json_values)
    | json_values,
)


@given(st.lists(client_texts, max_size=5))
def test_no_text_raises_anything_but_our_errors(texts: list[bytes]) -> None:
    client = connection()
    for given_text in texts:
        try:
            action = client.receive(given_text, 0)
        except ProtocolError:
            continue
        if isinstance(action, Join):
            client.joined(action)
