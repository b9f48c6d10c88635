"""Signing in: who a client is, vouched for by its application server."""

import json
from typing import Any

import pytest

from oyez.protocol.app import App, Limits
from oyez.protocol.authorization import User
from oyez.protocol.connection import Connection, Join, SignIn
from oyez.protocol.errors import Refusal
from oyez.protocol.messages import Member
from oyez.protocol.signing import Token, channel_string, user_string

TOKEN = Token("key", "secret")
SOCKET_ID = "1234.5678"


def connection(**settings: Any) -> Connection:
    return Connection(App(id="1", tokens=(TOKEN,), **settings), SOCKET_ID, 7)


def signin(user_data: object, auth: object = "", *, as_text: bool = False) -> bytes:
    signed = TOKEN.sign(user_string(SOCKET_ID, str(user_data)).encode())
    data = {"auth": auth if auth != "" else f"key:{signed}", "user_data": user_data}
    return json.dumps(
        {"event": "pusher:signin", "data": json.dumps(data) if as_text else data}
    ).encode()


def signed_in(client: Connection, user_data: str) -> User:
    action = client.receive(signin(user_data), 0)
    assert isinstance(action, SignIn)
    client.signed_in(action.user)
    return action.user


@pytest.mark.parametrize("as_text", [False, True])
def test_a_user_is_known_by_the_signed_string(as_text: bool) -> None:
    data = '{"id": "ada", "user_info": {"name": "Ada"}, "watchlist": ["bob", "bob"], "x": 1}'

    action = connection().receive(signin(data, as_text=as_text), 0)

    assert action == SignIn(User("ada", data, b'{"name":"Ada"}', ("bob",)))


def test_the_watchlist_is_cut_at_its_limit() -> None:
    ids = [str(number) for number in range(101)]
    user = signed_in(connection(), json.dumps({"id": "ada", "watchlist": ids}))

    assert user.watchlist == tuple(ids[:100])
    assert user.excess


def test_the_same_user_may_sign_in_again_and_another_may_not() -> None:
    client = connection()
    signed_in(client, '{"id":"ada"}')

    assert client.receive(signin('{"id":"ada"}'), 0)
    with pytest.raises(Refusal, match="another user"):
        client.receive(signin('{"id":"bob"}'), 0)
    assert client.user is not None
    assert client.user.id == "ada"


HASH = "0" * 64


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (signin('{"id":"a"}', None), "Auth info required to sign in"),
        (
            signin('{"id":"a"}', "x"),
            "Auth value for signin is invalid: should be of format 'key:signature'",
        ),
        (
            signin('{"id":"a"}', f"key::user::{HASH}"),
            "Auth value for signin is invalid: should be of format 'key:signature'",
        ),
        (signin('{"id":"a"}', f"other:{HASH}"), "Invalid key in signin auth data: 'other'"),
        (
            signin('{"id":"a"}', f"key:{HASH}"),
            f"Invalid signature: Expected HMAC SHA256 hex digest of {SOCKET_ID}::user::"
            f'{{"id":"a"}}, but got {HASH}',
        ),
        (signin(None), "Missing user_data in pusher:signin"),
        (signin({"id": "a"}), "Missing user_data in pusher:signin"),
        (b'{"event":"pusher:signin"}', "Missing user_data in pusher:signin"),
        (b'{"event":"pusher:signin","data":"x"}', "Missing user_data in pusher:signin"),
        (signin("x"), "Invalid user_data in pusher:signin"),
        (signin("[]"), "Invalid user_data in pusher:signin"),
        (signin("{}"), "Invalid user_data in pusher:signin"),
        (signin('{"id":5}'), "Invalid user_data in pusher:signin"),
        (signin('{"id":""}'), "Invalid user_data in pusher:signin"),
        (signin(json.dumps({"id": "x" * 129})), "Invalid user_data in pusher:signin"),
        (signin('{"id":"a","watchlist":"b"}'), "Invalid user_data in pusher:signin"),
        (signin('{"id":"a","watchlist":[1]}'), "Invalid user_data in pusher:signin"),
        (
            signin(json.dumps({"id": "a", "user_info": "x" * 1023})),
            "user_info in pusher:signin exceeds 1024 bytes (1025 bytes)",
        ),
    ],
)
def test_a_signin_that_is_not_vouched_for_is_refused(message: bytes, reason: str) -> None:
    client = connection()

    with pytest.raises(Refusal) as caught:
        client.receive(message, 0)

    assert str(caught.value) == reason
    assert caught.value.code is None
    assert client.user is None


def subscribe(channel: str, **fields: object) -> bytes:
    data = {"channel": channel, **fields}
    return json.dumps({"event": "pusher:subscribe", "data": data}).encode()


def test_only_the_own_channel_may_be_subscribed_and_needs_no_signature() -> None:
    client = connection()
    with pytest.raises(Refusal, match="Subscription to #server-to-user-ada is not allowed"):
        client.receive(subscribe("#server-to-user-ada"), 0)
    signed_in(client, '{"id":"ada"}')

    assert client.receive(subscribe("#server-to-user-ada", auth=""), 0) == Join(
        "#server-to-user-ada", None
    )
    for other in ("#server-to-user-bob", "#connections-of-ada", "#watchers-of-ada", "#"):
        with pytest.raises(Refusal, match="is not allowed"):
            client.receive(subscribe(other), 0)


def test_a_user_joins_a_presence_channel_as_itself() -> None:
    client = connection()
    signed_in(client, '{"id":"ada","user_info":{"name":"Ada"}}')
    signed = TOKEN.sign(channel_string(SOCKET_ID, "presence-x").encode())

    assert client.receive(subscribe("presence-x", auth=f"key:{signed}"), 0) == Join(
        "presence-x", Member("ada", b'{"name":"Ada"}')
    )


def test_channel_data_wins_over_the_user() -> None:
    client = connection()
    signed_in(client, '{"id":"ada"}')
    data = '{"user_id":"bob"}'
    signed = TOKEN.sign(channel_string(SOCKET_ID, "presence-x", data).encode())

    assert client.receive(
        subscribe("presence-x", auth=f"key:{signed}", channel_data=data), 0
    ) == Join("presence-x", Member("bob"))


def test_the_limits_of_a_user_are_those_of_the_app() -> None:
    client = connection(limits=Limits(user_id=3, watchlist=0))

    assert signed_in(client, '{"id":"ada","watchlist":["bob"]}').watchlist == ()
    with pytest.raises(Refusal):
        client.receive(signin('{"id":"anne"}'), 0)
