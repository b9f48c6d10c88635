"""An application ends the connections of a user, who does not come back by itself.

PyPI pusher asks for it at a path without the app, npm pusher at the documented one.
"""

from collections.abc import Callable
from typing import Any

import pytest
from pusher.errors import PusherBadAuth

from tests.end_to_end.authorization import SignedBy
from tests.end_to_end.driver import Application, Driver, LibraryError
from tests.end_to_end.publishers import NpmPusher, Sdk, ask_until, open_pypi_pusher
from tests.end_to_end.receivers import Connect, Echo, PusherJs


def test_all_connections_of_the_user_are_closed_for_good(
    sdk: Sdk,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    signer: str,
    fresh: Callable[[str], str],
) -> None:
    ada = fresh("ada")
    clients = [connect_pusher_js(None, signed_by(signer, {"id": ada})) for _ in range(2)]
    for client in clients:
        client.sign_in()

    answer = sdk.terminate_user_connections(ada)

    assert answer == {}
    for client in clients:
        client.wait_until("disconnected")
        assert client.wait_for_error()["data"] == {
            "code": 4009,
            "message": "You got disconnected by the app.",
        }
        # Final: while a client means to try again it goes on being "connecting".
        assert client.state_changes() == ["connected", "disconnected"]
        assert client.state == "disconnected"


def test_nobody_else_is_disconnected(
    sdk: Sdk,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    fresh: Callable[[str], str],
) -> None:
    ada, bob, channel = fresh("ada"), fresh("bob"), fresh("presence-room")
    gone = connect_pusher_js(None, signed_by("npm pusher", {"id": ada}))
    other = connect_pusher_js(None, signed_by("npm pusher", {"id": bob}))
    member: dict[str, Any] = {"user_id": ada}
    stranger = connect_pusher_js(signed_by("npm pusher", member))  # same id, not signed in
    gone.sign_in()
    other.sign_in()
    stranger.subscribe(channel)

    sdk.terminate_user_connections(ada)

    gone.wait_until("disconnected")
    for client in (other, stranger):
        client.ping()
        assert client.state_changes() == ["connected"]
    assert sdk.users_info(channel) == {"users": [{"id": ada}]}


def test_the_subscriptions_of_the_user_end(
    sdk: Sdk,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    fresh: Callable[[str], str],
) -> None:
    ada, bob, room, news = fresh("ada"), fresh("bob"), fresh("presence-room"), fresh("news")
    watcher = connect_pusher_js(signed_by("npm pusher", {"user_id": bob}))
    watcher.subscribe(room)
    client = connect_pusher_js(signed_by("npm pusher"), signed_by("npm pusher", {"id": ada}))
    client.sign_in()
    client.subscribe(room)
    client.subscribe(news)

    sdk.terminate_user_connections(ada)

    assert watcher.wait_for_event(room, "pusher:member_removed").data["id"] == ada
    ask_until(lambda: sdk.channel_info(news), {"occupied": False})
    assert sdk.users_info(room) == {"users": [{"id": bob}]}


def test_the_user_may_come_back_when_the_application_says_so(
    sdk: Sdk,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    fresh: Callable[[str], str],
) -> None:
    ada = fresh("ada")
    client = connect_pusher_js(None, signed_by("npm pusher", {"id": ada}))
    client.sign_in()
    sdk.terminate_user_connections(ada)
    client.wait_until("disconnected")

    again = connect_pusher_js(None, signed_by("npm pusher", {"id": ada}))
    again.sign_in()
    sdk.send_to_user(ada, "greeting", {})

    again.wait_for_user_event("greeting")
    assert again.state_changes() == ["connected"]


def test_a_user_without_connections_is_terminated_in_vain(
    sdk: Sdk, fresh: Callable[[str], str]
) -> None:
    assert sdk.terminate_user_connections(fresh("nobody")) == {}


def test_echo_is_disconnected_too(
    sdk: Sdk, connect_echo: Connect[Echo], signed_by: SignedBy, fresh: Callable[[str], str]
) -> None:
    ada = fresh("ada")
    echo = connect_echo(None, signed_by("npm pusher", {"id": ada}))
    echo.sign_in()

    sdk.terminate_user_connections(ada)

    echo.wait_until("disconnected")
    assert echo.call("status")["echo"] == "disconnected"


def test_only_the_application_may_terminate(
    impostor: Application,
    driver: Driver,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    fresh: Callable[[str], str],
) -> None:
    ada = fresh("ada")
    client = connect_pusher_js(None, signed_by("npm pusher", {"id": ada}))
    client.sign_in()

    with open_pypi_pusher(impostor) as forger, pytest.raises(PusherBadAuth):
        forger.terminate_user_connections(ada)
    with pytest.raises(LibraryError) as caught:
        NpmPusher(driver, impostor).terminate_user_connections(ada)

    assert caught.value.status == 401
    client.ping()
    assert client.state_changes() == ["connected"]
