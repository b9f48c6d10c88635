"""Several events in one request."""

from collections.abc import Callable
from typing import Any

from pusher import Pusher

from tests.end_to_end.authorization import SignedBy
from tests.end_to_end.publishers import NpmPusher, Sdk
from tests.end_to_end.receivers import Connect, PusherJs

INFO = "user_count,subscription_count"


def test_a_batch_is_delivered_in_its_order(
    sdk: Sdk, connect_pusher_js: Connect[PusherJs], fresh: Callable[[str], str]
) -> None:
    channel = fresh("ticker")
    client = connect_pusher_js()
    client.subscribe(channel)
    batch = [{"channel": channel, "name": "tick", "data": {"n": n}} for n in range(10)]

    answer = sdk.trigger_batch(batch)

    assert answer == {}
    client.wait_for_event(channel, "tick", count=10)
    assert [event.data for event in client.events(channel)] == [{"n": n} for n in range(10)]


def test_each_event_of_a_batch_goes_to_its_own_channel(
    sdk: Sdk, connect_pusher_js: Connect[PusherJs], fresh: Callable[[str], str]
) -> None:
    red, green = fresh("red"), fresh("green")
    client = connect_pusher_js()
    client.subscribe(red)
    client.subscribe(green)

    sdk.trigger_batch(
        [
            {"channel": red, "name": "first", "data": "one"},
            {"channel": green, "name": "second", "data": "two"},
            {"channel": red, "name": "third", "data": "three"},
        ]
    )

    client.wait_for_event(red, "third")
    client.wait_for_event(green, "second")
    assert [(event.name, event.data) for event in client.events(red)] == [
        ("first", "one"),
        ("third", "three"),
    ]
    assert [(event.name, event.data) for event in client.events(green)] == [("second", "two")]


def test_an_empty_batch_is_accepted(sdk: Sdk) -> None:
    assert sdk.trigger_batch([]) == {}


def occupy(connect_pusher_js: Connect[PusherJs], signed_by: SignedBy, room: str, news: str) -> None:
    """Ada is in the room twice and Bob once; Bob reads the news."""
    for user in ("ada", "ada", "bob"):
        client = connect_pusher_js(signed_by("npm pusher", {"user_id": user}))
        client.subscribe(room)
    client.subscribe(news)


def test_a_batch_answers_with_the_info_of_each_event(
    sdk: Sdk,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    fresh: Callable[[str], str],
) -> None:
    room, news, empty = fresh("presence-room"), fresh("news"), fresh("presence-empty")
    occupy(connect_pusher_js, signed_by, room, news)
    event: dict[str, Any] = {"name": "counted", "data": {}}

    answer = sdk.trigger_batch(
        [
            {**event, "channel": room, "info": INFO},
            {**event, "channel": news},
            {**event, "channel": news, "info": INFO},
            {**event, "channel": empty, "info": "user_count"},
        ]
    )

    assert answer == {
        "batch": [
            {"user_count": 2, "subscription_count": 3},
            {},
            {"subscription_count": 1},
            {"user_count": 0},
        ]
    }


def test_a_trigger_answers_with_the_info_of_each_channel(
    npm_pusher: NpmPusher,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    fresh: Callable[[str], str],
) -> None:
    room, news, empty = fresh("presence-room"), fresh("news"), fresh("presence-empty")
    occupy(connect_pusher_js, signed_by, room, news)

    answer = npm_pusher.trigger([room, news, empty], "counted", {}, info=INFO)

    assert answer == {
        "channels": {
            room: {"user_count": 2, "subscription_count": 3},
            news: {"subscription_count": 1},
            empty: {"user_count": 0, "subscription_count": 0},
        }
    }


def test_pypi_pusher_sends_data_that_is_already_a_string_unchanged(
    pypi_pusher: Pusher, connect_pusher_js: Connect[PusherJs], fresh: Callable[[str], str]
) -> None:
    channel = fresh("ticker")
    client = connect_pusher_js()
    client.subscribe(channel)
    event = {"channel": channel, "name": "tick", "data": '{"n": 1}'}

    pypi_pusher.trigger_batch([event], already_encoded=True)

    assert client.wait_for_event(channel, "tick").data == {"n": 1}
