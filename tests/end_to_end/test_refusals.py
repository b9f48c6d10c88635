"""What is refused says why in the official libraries' own errors, and reaches nobody."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pusher import Pusher
from pusher.errors import PusherBadAuth, PusherBadRequest, PusherBadStatus

from tests.end_to_end.driver import Application, Driver, LibraryError
from tests.end_to_end.publishers import NpmPusher, open_pypi_pusher
from tests.end_to_end.receivers import Connect, PusherJs, start_echo, start_pusher_js

TOO_LARGE = "The data content of this event exceeds the allowed maximum (10240 bytes)."

BAD_REQUESTS: dict[str, tuple[Callable[[Pusher], Any], str]] = {
    "a reserved event name": (
        lambda sdk: sdk.trigger("news", "pusher:fake", {}),
        "Invalid event name: 'pusher:fake'",
    ),
    "a reserved internal event name": (
        lambda sdk: sdk.trigger("news", "pusher_internal:fake", {}),
        "Invalid event name: 'pusher_internal:fake'",
    ),
    "an empty event name": (
        lambda sdk: sdk.trigger("news", "", {}),
        "Invalid event name: ''",
    ),
    "a batch of 11 events": (
        lambda sdk: sdk.trigger_batch([{"channel": "c", "name": "e", "data": ""}] * 11),
        "Batch too large (11 > 10)",
    ),
    "a batch event with data that is no string": (
        lambda sdk: sdk.trigger_batch([{"channel": "c", "name": "e", "data": {}}], True),
        "Expected data parameter to be a string",
    ),
    "a batch event without a channel": (
        lambda sdk: sdk.trigger_batch([{"name": "e", "data": ""}], True),
        "Missing required parameter: channel",
    ),
    "the users of a channel without users": (
        lambda sdk: sdk.users_info("news"),
        "Users can only be retrieved for presence channels",
    ),
    "the user count of a channel without users": (
        lambda sdk: sdk.channel_info("news", ["user_count"]),
        "Cannot retrieve the user count unless the channel is a presence channel",
    ),
    "the user counts of all channels": (
        lambda sdk: sdk.channels_info(attributes=["user_count"]),
        # The spelling is the hosted service's.
        "user_count may only be requested for presence channels"
        " - please supply filter_by_prefix begining with presence-",
    ),
}


def sentence(body: str, status: int) -> str:
    """The text of an error body, which the libraries pass on unread."""
    error = json.loads(body)
    assert error.keys() == {"error", "code"}
    assert error["code"] == status
    text: str = error["error"]
    return text


@pytest.mark.parametrize(("ask", "reason"), BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
def test_a_bad_request_says_what_is_wrong(
    pypi_pusher: Pusher, ask: Callable[[Pusher], Any], reason: str
) -> None:
    with pytest.raises(PusherBadRequest) as caught:
        ask(pypi_pusher)

    assert sentence(str(caught.value), 400) == reason


def test_a_channel_name_above_the_limit_is_a_bad_request(pypi_pusher: Pusher) -> None:
    name = "c" * 165

    with pytest.raises(PusherBadRequest) as caught:
        pypi_pusher.trigger(name, "event", {})

    text = sentence(str(caught.value), 400)
    assert text.startswith(f"Invalid channel name: '{name}'")
    assert "164" in text


def test_an_unknown_attribute_is_a_bad_request(pypi_pusher: Pusher) -> None:
    with pytest.raises(PusherBadRequest) as caught:
        pypi_pusher.channel_info("news", ["weather"])

    text = sentence(str(caught.value), 400)
    assert text.startswith("info should be a comma separated list of attributes")


def test_npm_pusher_gets_status_and_reason(npm_pusher: NpmPusher) -> None:
    with pytest.raises(LibraryError) as caught:
        npm_pusher.trigger("news", "pusher:fake", {})

    assert caught.value.status == 400
    assert caught.value.body is not None
    assert sentence(caught.value.body, 400) == "Invalid event name: 'pusher:fake'"


def test_a_wrong_secret_is_bad_auth(impostor: Application, driver: Driver) -> None:
    with open_pypi_pusher(impostor) as sdk, pytest.raises(PusherBadAuth) as caught:
        sdk.trigger("news", "event", {})
    with pytest.raises(LibraryError) as caught_in_node:
        NpmPusher(driver, impostor).channel_info("news")

    text = sentence(str(caught.value), 401)
    assert text.startswith(
        "Invalid signature: you should have sent HmacSHA256Hex("
        f'"POST\\n/apps/{impostor.app_id}/events\\nauth_key={impostor.key}&auth_timestamp='
    )
    assert impostor.secret not in text
    assert caught_in_node.value.status == 401


def test_an_unknown_key_is_bad_auth(app: Application, driver: Driver) -> None:
    stranger = replace(app, key="unknown-key")
    with open_pypi_pusher(stranger) as sdk, pytest.raises(PusherBadAuth) as caught:
        sdk.channels_info()
    with pytest.raises(LibraryError) as caught_in_node:
        NpmPusher(driver, stranger).trigger("news", "event", {})

    assert sentence(str(caught.value), 401) == "Unknown auth_key"
    assert caught_in_node.value.status == 401


def test_an_unknown_app_is_not_found(app: Application) -> None:
    nowhere = replace(app, app_id="999999")
    with open_pypi_pusher(nowhere) as sdk, pytest.raises(PusherBadStatus) as caught:
        sdk.channels_info()

    status, body = str(caught.value).split(": ", 1)
    assert status == "404"
    assert sentence(body, 404) == "App 999999 not found"


@pytest.mark.parametrize("data", ["x" * 10_241, "é" * 5_121])
def test_more_than_ten_kilobytes_of_data_are_too_large(pypi_pusher: Pusher, data: str) -> None:
    with pytest.raises(PusherBadStatus) as caught:
        pypi_pusher.trigger("news", "event", data)

    status, body = str(caught.value).split(": ", 1)
    assert status == "413"
    assert sentence(body, 413).startswith(TOO_LARGE)


def test_a_request_body_above_the_limit_is_too_large(pypi_pusher: Pusher) -> None:
    batch = [{"channel": "news", "name": "event", "data": "x" * 150_000}] * 10

    with pytest.raises(PusherBadStatus) as caught:
        pypi_pusher.trigger_batch(batch, already_encoded=True)

    status, body = str(caught.value).split(": ", 1)
    assert status == "413"
    assert sentence(body, 413).startswith("Request body too large")


def test_what_is_refused_reaches_nobody(
    pypi_pusher: Pusher,
    npm_pusher: NpmPusher,
    impostor: Application,
    connect_pusher_js: Connect[PusherJs],
    fresh: Callable[[str], str],
) -> None:
    channel = fresh("news")
    client = connect_pusher_js()
    client.subscribe(channel)
    good = {"channel": channel, "name": "good one in a bad batch", "data": ""}
    large = {"channel": channel, "name": "large", "data": "x" * 10_241}

    with pytest.raises(PusherBadStatus, match="content of this event"):
        pypi_pusher.trigger_batch([good, large], already_encoded=True)
    with pytest.raises(LibraryError):
        npm_pusher.trigger_batch([good, {**good, "name": "pusher:fake"}])
    with pytest.raises(PusherBadRequest):
        pypi_pusher.trigger([channel, "c" * 165], "to a good and a bad channel", {})
    with open_pypi_pusher(impostor) as forger, pytest.raises(PusherBadAuth):
        forger.trigger(channel, "forged", {})
    pypi_pusher.trigger(channel, "end", {})

    client.wait_for_event(channel, "end")
    assert [message.name for message in client.messages(channel)] == ["end"]


def test_pusher_js_gives_up_on_an_unknown_key(app: Application, driver: Driver) -> None:
    client = start_pusher_js(driver, replace(app, key="unknown-key"))

    client.wait_until("disconnected")

    error = client.wait_for_error()
    assert error["type"] == "WebSocketError"
    assert error["error"]["data"] == {
        "code": 4001,
        "message": "App key unknown-key not in this cluster."
        " Did you forget to specify the cluster?",
    }
    # Final: while a client means to try again it goes on being "connecting".
    assert client.state_changes() == ["disconnected"]


def test_echo_gives_up_on_an_unknown_key(app: Application, driver: Driver) -> None:
    echo = start_echo(driver, replace(app, key="unknown-key"))

    echo.wait_until("disconnected")

    assert echo.call("status")["echo"] == "disconnected"
    assert echo.wait_for_error()["error"]["data"]["code"] == 4001
