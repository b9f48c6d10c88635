"""The endpoints for one channel that libraries of 2012 used, through npm pusher's get and post."""

from collections.abc import Callable

import pytest

from tests.end_to_end.authorization import SignedBy
from tests.end_to_end.driver import LibraryError
from tests.end_to_end.publishers import NpmPusher
from tests.end_to_end.receivers import Connect, PusherJs


def test_an_event_is_published_to_the_channel_in_the_path(
    npm_pusher: NpmPusher, connect_pusher_js: Connect[PusherJs], fresh: Callable[[str], str]
) -> None:
    channel = fresh("news")
    author, reader = connect_pusher_js(), connect_pusher_js()
    for client in (author, reader):
        client.subscribe(channel)
    path = f"/channels/{channel}/events"

    excluding = {"name": "posted", "socket_id": author.socket_id}
    answers = [
        npm_pusher.post(path, excluding, {"text": "Grüße 🌍"}, status=202),
        npm_pusher.post(path, {"name": "end"}, {"n": 1}, status=202),
    ]

    assert answers == [None, None]
    assert reader.wait_for_event(channel, "posted").data == {"text": "Grüße 🌍"}
    for client in (author, reader):
        assert client.wait_for_event(channel, "end").data == {"n": 1}
    assert [message.name for message in author.messages(channel)] == ["end"]


def test_such_an_event_is_cached(
    npm_pusher: NpmPusher, connect_pusher_js: Connect[PusherJs], fresh: Callable[[str], str]
) -> None:
    channel = fresh("cache-prices")
    npm_pusher.post(f"/channels/{channel}/events", {"name": "price"}, {"eur": 17}, status=202)
    client = connect_pusher_js()

    client.subscribe(channel)

    assert client.wait_for_event(channel, "price").data == {"eur": 17}


def test_such_an_event_keeps_the_limits(npm_pusher: NpmPusher, fresh: Callable[[str], str]) -> None:
    path = f"/channels/{fresh('news')}/events"

    with pytest.raises(LibraryError) as too_large:
        npm_pusher.post(path, {"name": "e"}, "x" * 10_240, status=202)
    with pytest.raises(LibraryError) as reserved:
        npm_pusher.post(path, {"name": "pusher:fake"}, {}, status=202)

    assert (too_large.value.status, reserved.value.status) == (413, 400)


def test_the_state_of_a_channel_is_told(
    npm_pusher: NpmPusher,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    fresh: Callable[[str], str],
) -> None:
    news, room = fresh("news"), fresh("presence-room")
    assert npm_pusher.get(f"/channels/{news}/stats", {}) == {
        "occupied": False,
        "connection_count": 0,
    }

    for _ in range(2):
        client = connect_pusher_js(signed_by("npm pusher", {"user_id": "ada"}))
        client.subscribe(news)
        client.subscribe(room)

    assert npm_pusher.get(f"/channels/{news}/stats", {}) == {
        "occupied": True,
        "connection_count": 2,
    }
    assert npm_pusher.get(f"/channels/{room}/stats", {}) == {
        "occupied": True,
        "connection_count": 2,
        "user_count": 1,
    }
