"""pusher-js knows how many are subscribed to its channels."""

from collections.abc import Callable

import pytest

from tests.end_to_end.authorization import SignedBy
from tests.end_to_end.publishers import Sdk
from tests.end_to_end.receivers import Connect, PusherJs

COUNT = "pusher:subscription_count"


@pytest.fixture(params=["", "private-", "cache-"])
def channel(request: pytest.FixtureRequest, fresh: Callable[[str], str]) -> str:
    """Runs the test once with a channel of each kind that is counted."""
    prefix: str = request.param
    return prefix + fresh("news")


def counts(client: PusherJs, channel: str) -> list[int]:
    return [event.data["subscription_count"] for event in client.events(channel, COUNT)]


def test_the_count_rises_and_falls_with_the_subscribers(
    channel: str, connect_pusher_js: Connect[PusherJs], signed_by: SignedBy
) -> None:
    watcher, second, third = (connect_pusher_js(signed_by("npm pusher")) for _ in range(3))

    watcher.subscribe(channel)
    watcher.wait_for_event(channel, COUNT)
    assert watcher.subscription_count(channel) == 1
    second.subscribe(channel)
    watcher.wait_for_event(channel, COUNT, count=2)
    assert watcher.subscription_count(channel) == 2
    third.subscribe(channel)
    watcher.wait_for_event(channel, COUNT, count=3)
    assert watcher.subscription_count(channel) == 3
    second.unsubscribe(channel)
    watcher.wait_for_event(channel, COUNT, count=4)
    assert watcher.subscription_count(channel) == 2
    third.disconnect()
    watcher.wait_for_event(channel, COUNT, count=5)
    assert watcher.subscription_count(channel) == 1

    assert counts(watcher, channel) == [1, 2, 3, 2, 1]


def test_the_new_subscriber_is_told_too(
    channel: str, connect_pusher_js: Connect[PusherJs], signed_by: SignedBy, sdk: Sdk
) -> None:
    first, second = (connect_pusher_js(signed_by("npm pusher")) for _ in range(2))

    first.subscribe(channel)
    second.subscribe(channel)

    second.wait_for_event(channel, COUNT)
    assert counts(second, channel) == [2]
    assert second.subscription_count(channel) == 2
    answer = sdk.channel_info(channel, ["subscription_count"])
    assert answer == {"occupied": True, "subscription_count": 2}


def test_a_second_connection_of_a_browser_counts_but_a_refused_one_does_not(
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    wrongly_signed_by: SignedBy,
    fresh: Callable[[str], str],
) -> None:
    channel = fresh("private-news")
    watcher = connect_pusher_js(signed_by("npm pusher"))
    refused = connect_pusher_js(wrongly_signed_by("npm pusher"))
    watcher.subscribe(channel)

    refused.start_subscribing(channel)
    refused.wait_for_event(channel, "pusher:subscription_error")
    connect_pusher_js(signed_by("npm pusher")).subscribe(channel)

    watcher.wait_for_event(channel, COUNT, count=2)
    assert counts(watcher, channel) == [1, 2]
    assert counts(refused, channel) == []


@pytest.mark.parametrize("prefix", ["presence-", "presence-cache-"])
def test_presence_channels_tell_members_instead(
    prefix: str,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    sdk: Sdk,
    fresh: Callable[[str], str],
) -> None:
    channel = prefix + fresh("news")
    ada, bob = (
        connect_pusher_js(signed_by("npm pusher", {"user_id": user})) for user in ("ada", "bob")
    )
    for client in (ada, bob):
        client.subscribe(channel)
    ada.wait_for_event(channel, "pusher:member_added")
    bob.unsubscribe(channel)
    ada.wait_for_event(channel, "pusher:member_removed")
    sdk.trigger(channel, "end", {})
    ada.wait_for_event(channel, "end")

    for client in (ada, bob):
        client.ping()
        assert "pusher_internal:subscription_count" not in client.all_messages(channel)
        assert counts(client, channel) == []


def test_only_the_channel_that_changed_is_counted_anew(
    connect_pusher_js: Connect[PusherJs], sdk: Sdk, fresh: Callable[[str], str]
) -> None:
    left, kept = fresh("left"), fresh("kept")
    watcher, other = connect_pusher_js(), connect_pusher_js()
    for client in (watcher, other):
        for channel in (left, kept):
            client.subscribe(channel)

    other.unsubscribe(left)
    sdk.trigger([left, kept], "end", {})

    watcher.wait_for_event(left, "end")
    watcher.wait_for_event(kept, "end")
    assert counts(watcher, left) == [1, 2, 1]
    assert counts(watcher, kept) == [1, 2]
