"""Private and presence channels, with signatures by both official server libraries."""

from collections.abc import Callable
from typing import Any

from pusher import Pusher

from tests.end_to_end.authorization import SignedBy, SignedByNpmPusher
from tests.end_to_end.driver import Application
from tests.end_to_end.receivers import Connect, Echo, PusherJs

ZOE: dict[str, Any] = {"user_id": "zoë@example.org", "user_info": {"name": "Zoë 世界 🌍"}}


def test_pusher_js_joins_a_private_channel(
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    signer: str,
    pypi_pusher: Pusher,
    fresh: Callable[[str], str],
) -> None:
    channel = fresh("private-accounts")
    client = connect_pusher_js(signed_by(signer))

    client.subscribe(channel)

    pypi_pusher.trigger(channel, "changed", {"balance": 3})
    assert client.wait_for_event(channel, "changed").data == {"balance": 3}
    assert client.errors() == []


def test_pusher_js_joins_a_presence_channel(
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    signer: str,
    fresh: Callable[[str], str],
) -> None:
    channel = fresh("presence-room")
    client = connect_pusher_js(signed_by(signer, ZOE))

    client.subscribe(channel)

    members = client.members(channel)
    assert members.count == 1
    assert members.infos == {"zoë@example.org": {"name": "Zoë 世界 🌍"}}
    assert members.me == {"id": "zoë@example.org", "info": {"name": "Zoë 世界 🌍"}}


def test_echo_joins_private_and_presence_channels(
    connect_echo: Connect[Echo],
    signed_by: SignedBy,
    signer: str,
    fresh: Callable[[str], str],
) -> None:
    echo = connect_echo(signed_by(signer, ZOE))

    accounts = echo.private(fresh("accounts"))
    room = echo.join(fresh("room"))

    accounts.wait_for("subscribed")
    room.wait_for("subscribed")
    assert room.wait_for("here") == [{"name": "Zoë 世界 🌍"}]
    assert accounts.heard("error") == room.heard("error") == echo.errors() == []


def test_a_channel_with_every_allowed_character_is_joined(
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    signer: str,
    fresh: Callable[[str], str],
) -> None:
    channel = fresh("private-Az09_=@,.;-")
    client = connect_pusher_js(signed_by(signer))

    assert client.subscribe(channel).channel == channel


def test_a_wrong_signature_is_refused_and_the_connection_stays(
    connect_pusher_js: Connect[PusherJs],
    wrongly_signed_by: SignedBy,
    signer: str,
    pypi_pusher: Pusher,
    fresh: Callable[[str], str],
) -> None:
    channel, news = fresh("private-accounts"), fresh("news")
    client = connect_pusher_js(wrongly_signed_by(signer))
    socket_id = client.socket_id

    client.start_subscribing(channel)

    refusal = client.wait_for_event(channel, "pusher:subscription_error").data
    expected = f"Invalid signature: Expected HMAC SHA256 hex digest of {socket_id}:{channel}, but"
    assert (refusal["type"], refusal["status"]) == ("AuthError", 401)
    assert refusal["error"].startswith(expected)
    error = client.wait_for_error()
    assert (error["type"], error["data"]["code"]) == ("PusherError", None)
    assert error["data"]["message"].startswith(expected)

    client.subscribe(news)
    pypi_pusher.trigger([channel, news], "changed", {})
    client.wait_for_event(news, "changed")
    assert client.messages(channel) == []
    assert client.events(channel, "pusher:subscription_succeeded") == []
    assert (client.socket_id, client.state) == (socket_id, "connected")
    assert client.state_changes() == ["connected"]


def test_a_wrong_signature_does_not_make_a_member(
    connect_pusher_js: Connect[PusherJs],
    wrongly_signed_by: SignedBy,
    signer: str,
    pypi_pusher: Pusher,
    fresh: Callable[[str], str],
) -> None:
    channel = fresh("presence-room")
    client = connect_pusher_js(wrongly_signed_by(signer, ZOE))

    client.start_subscribing(channel)

    assert client.wait_for_event(channel, "pusher:subscription_error").data["status"] == 401
    assert pypi_pusher.users_info(channel) == {"users": []}
    assert pypi_pusher.channel_info(channel) == {"occupied": False}


def test_echo_hears_of_a_refusal(
    connect_echo: Connect[Echo],
    wrongly_signed_by: SignedBy,
    signer: str,
    fresh: Callable[[str], str],
) -> None:
    channel = connect_echo(wrongly_signed_by(signer)).private(fresh("accounts"))

    refusal = channel.wait_for("error")

    assert (refusal["type"], refusal["status"]) == ("AuthError", 401)
    assert channel.heard("subscribed") == []


def test_a_signature_made_for_another_connection_is_refused(
    connect_pusher_js: Connect[PusherJs], app: Application, fresh: Callable[[str], str]
) -> None:
    channel = fresh("private-accounts")
    other = connect_pusher_js()
    client = connect_pusher_js(SignedByNpmPusher(app, socket_id=other.socket_id))

    client.start_subscribing(channel)

    assert client.wait_for_event(channel, "pusher:subscription_error").data["status"] == 401
