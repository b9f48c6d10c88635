"""Signing in: events to a user, presence as a user, and refusals."""

from collections.abc import Callable
from typing import Any

from pusher import Pusher

from tests.end_to_end.authorization import SignedBy, SignedByNpmPusher
from tests.end_to_end.driver import Application, Message
from tests.end_to_end.publishers import NpmPusher, Sdk
from tests.end_to_end.receivers import Connect, Echo, PusherJs


def user(user_id: str, **fields: Any) -> dict[str, Any]:
    return {"id": user_id, "user_info": {"name": f"Zoë {user_id} 🌍"}, **fields}


def to_user(client: PusherJs | Echo, user_id: str) -> list[str]:
    """The names of what the server sent to this connection for a user."""
    return [message.name for message in client.messages(f"#server-to-user-{user_id}")]


def test_pusher_js_signs_in(
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    signer: str,
    fresh: Callable[[str], str],
) -> None:
    ada = fresh("ada")
    client = connect_pusher_js(None, signed_by(signer, user(ada)))
    known_as = [client.user_id]

    assert client.sign_in() == ada

    known_as.append(client.user_id)
    assert known_as == [None, ada]
    assert client.errors() == []
    assert client.state_changes() == ["connected"]


def test_an_event_to_a_user_reaches_all_connections_of_the_user_and_nobody_else(
    sdk: Sdk,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    signer: str,
    fresh: Callable[[str], str],
) -> None:
    ada, bob, news = fresh("ada"), fresh("bob"), fresh("presence-news")
    adas = [connect_pusher_js(None, signed_by(signer, user(ada))) for _ in range(2)]
    other = connect_pusher_js(None, signed_by(signer, user(bob)))
    # Has the same user id, but has not signed in.
    stranger = connect_pusher_js(signed_by(signer, {"user_id": ada}))
    for client in (*adas, other):
        client.sign_in()
    stranger.subscribe(news)

    answer = sdk.send_to_user(ada, "greeting", {"message": "Grüße 🌍"})
    sdk.send_to_user(bob, "end", {})
    sdk.trigger(news, "end", {})

    assert answer == {}
    for client in adas:
        assert client.wait_for_user_event("greeting").data == {"message": "Grüße 🌍"}
        assert [event.name for event in client.user_events()] == ["greeting"]
    other.wait_for_user_event("end")
    stranger.wait_for_event(news, "end")
    for client in (other, stranger):
        assert client.user_events("greeting") == []
        assert "greeting" not in [message.name for message in client.reports(Message)]


def test_events_to_a_user_keep_their_order(
    sdk: Sdk,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    fresh: Callable[[str], str],
) -> None:
    ada = fresh("ada")
    client = connect_pusher_js(None, signed_by("npm pusher", user(ada)))
    client.sign_in()

    for number in range(10):
        sdk.send_to_user(ada, "counted", {"n": number})

    client.wait_for_user_event("counted", count=10)
    assert [event.data["n"] for event in client.user_events("counted")] == list(range(10))


def test_nothing_reaches_a_user_after_the_last_connection_has_gone(
    sdk: Sdk,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    fresh: Callable[[str], str],
) -> None:
    ada = fresh("ada")
    first = connect_pusher_js(None, signed_by("npm pusher", user(ada)))
    first.sign_in()
    first.disconnect()
    assert sdk.send_to_user(ada, "missed", {}) == {}

    second = connect_pusher_js(None, signed_by("npm pusher", user(ada)))
    second.sign_in()
    sdk.send_to_user(ada, "greeting", {})

    second.wait_for_user_event("greeting")
    assert to_user(second, ada) == ["greeting"]


def test_the_channel_of_a_user_is_not_listed(
    sdk: Sdk,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    fresh: Callable[[str], str],
) -> None:
    news = fresh("news")
    client = connect_pusher_js(None, signed_by("npm pusher", user(fresh("ada"))))
    client.sign_in()
    client.subscribe(news)

    listed = sdk.channels_info()["channels"]

    assert news in listed
    assert [name for name in listed if name.startswith("#")] == []


def test_echo_signs_in(
    sdk: Sdk,
    connect_echo: Connect[Echo],
    signed_by: SignedBy,
    signer: str,
    fresh: Callable[[str], str],
) -> None:
    ada = fresh("ada")
    echo = connect_echo(None, signed_by(signer, user(ada)))
    echo.sign_in()

    sdk.send_to_user(ada, "greeting", {"n": 1})

    assert echo.wait_for_user_event("greeting").data == {"n": 1}


def test_a_signed_in_user_joins_a_presence_channel_without_channel_data(
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    npm_pusher: NpmPusher,
    fresh: Callable[[str], str],
) -> None:
    channel, ada, bob = fresh("presence-room"), fresh("ada"), fresh("bob")
    watcher = connect_pusher_js(signed_by("npm pusher", {"user_id": bob}))
    watcher.subscribe(channel)
    # Its authentication is a request to another process, its authorization a call of a function:
    # pusher-js has the authorization first and must wait.
    client = connect_pusher_js(signed_by("npm pusher"), signed_by("PyPI pusher", user(ada)))
    client.start_signing_in()
    client.start_subscribing(channel)

    client.wait_for_event(channel, "pusher:subscription_succeeded")

    info = {"name": f"Zoë {ada} 🌍"}
    assert client.members(channel).me == {"id": ada, "info": info}
    assert client.members(channel).infos == {ada: info, bob: {}}
    added = watcher.wait_for_event(channel, "pusher:member_added")
    assert added.data == {"id": ada, "info": info}
    received = [(message.name, message.channel) for message in client.reports(Message)]
    signed_in = received.index(("pusher:signin_success", None))
    assert received.index(("pusher_internal:subscription_succeeded", channel)) > signed_in
    # The membership is the user's in every respect.
    assert {"id": ada} in npm_pusher.users_info(channel)["users"]
    client.trigger(channel, "client-typing", {"on": True})
    assert watcher.wait_for_event(channel, "client-typing").user_id == ada


def test_either_library_authorizes_without_channel_data(
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    signer: str,
    fresh: Callable[[str], str],
) -> None:
    channel, ada = fresh("presence-room"), fresh("ada")
    client = connect_pusher_js(signed_by(signer), signed_by(signer, {"id": ada}))
    client.sign_in()

    client.subscribe(channel)

    assert client.members(channel).me == {"id": ada, "info": {}}
    assert client.members(channel).count == 1


def test_channel_data_wins_over_the_signed_in_user(
    connect_pusher_js: Connect[PusherJs], signed_by: SignedBy, fresh: Callable[[str], str]
) -> None:
    channel, ada, alias = fresh("presence-room"), fresh("ada"), fresh("alias")
    client = connect_pusher_js(
        signed_by("npm pusher", {"user_id": alias}), signed_by("npm pusher", user(ada))
    )
    client.sign_in()

    client.subscribe(channel)

    assert client.members(channel).infos == {alias: {}}
    assert client.members(channel).me["id"] == alias


def test_a_signin_with_a_wrong_signature_is_refused_and_the_connection_stays(
    connect_pusher_js: Connect[PusherJs],
    wrongly_signed_by: SignedBy,
    signer: str,
    pypi_pusher: Pusher,
    fresh: Callable[[str], str],
) -> None:
    ada, news = fresh("ada"), fresh("news")
    client = connect_pusher_js(None, wrongly_signed_by(signer, user(ada)))
    socket_id = client.socket_id

    client.start_signing_in()

    error = client.wait_for_error()
    assert (error["type"], error["data"]["code"]) == ("PusherError", None)
    assert error["data"]["message"].startswith(
        f"Invalid signature: Expected HMAC SHA256 hex digest of {socket_id}::user::"
    )
    client.subscribe(news)
    pypi_pusher.send_to_user(ada, "greeting", {})
    pypi_pusher.trigger(news, "end", {})
    client.wait_for_event(news, "end")
    assert client.user_id is None
    assert client.user_events() == []
    assert to_user(client, ada) == []
    assert (client.socket_id, client.state) == (socket_id, "connected")
    assert client.state_changes() == ["connected"]


def test_a_signin_made_for_another_connection_is_refused(
    connect_pusher_js: Connect[PusherJs], app: Application, fresh: Callable[[str], str]
) -> None:
    ada = fresh("ada")
    other = connect_pusher_js()
    client = connect_pusher_js(None, SignedByNpmPusher(app, user(ada), other.socket_id))

    client.start_signing_in()

    error = client.wait_for_error()["data"]
    assert error["code"] is None
    assert error["message"].startswith("Invalid signature: ")
    assert client.user_id is None
