"""What the server answers when an official library asks about channels and users."""

from collections.abc import Callable

from tests.end_to_end.authorization import SignedBy
from tests.end_to_end.publishers import Sdk
from tests.end_to_end.receivers import Connect, PusherJs


def test_only_occupied_channels_with_the_prefix_are_listed(
    sdk: Sdk, connect_pusher_js: Connect[PusherJs], fresh: Callable[[str], str]
) -> None:
    prefix = fresh("list")
    client = connect_pusher_js()
    for name in ("one", "two", "left"):
        client.subscribe(f"{prefix}-{name}")
    client.subscribe(f"x{prefix}-one")
    client.unsubscribe(f"{prefix}-left")

    answer = sdk.channels_info(f"{prefix}-")

    assert answer == {"channels": {f"{prefix}-one": {}, f"{prefix}-two": {}}}


def test_without_a_prefix_every_occupied_channel_is_listed(
    sdk: Sdk,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    fresh: Callable[[str], str],
) -> None:
    channels = [fresh(name) for name in ("news", "private-news", "presence-news")]
    client = connect_pusher_js(signed_by("npm pusher", {"user_id": "ada"}))
    for channel in channels:
        client.subscribe(channel)

    listed = sdk.channels_info()["channels"]

    assert [listed.get(channel) for channel in channels] == [{}, {}, {}]


def test_a_prefix_that_nothing_has_gives_an_empty_object(
    sdk: Sdk, fresh: Callable[[str], str]
) -> None:
    assert sdk.channels_info(fresh("nothing")) == {"channels": {}}


def test_presence_channels_are_listed_with_their_user_count(
    sdk: Sdk,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    fresh: Callable[[str], str],
) -> None:
    prefix = fresh("presence-list")
    for user in ("ada", "ada", "bob"):
        client = connect_pusher_js(signed_by("npm pusher", {"user_id": user}))
        client.subscribe(f"{prefix}-all")
    client.subscribe(f"{prefix}-bob")

    answer = sdk.channels_info(prefix, ["user_count"])

    assert answer == {
        "channels": {f"{prefix}-all": {"user_count": 2}, f"{prefix}-bob": {"user_count": 1}}
    }


def test_a_channel_is_occupied_while_somebody_is_subscribed(
    sdk: Sdk, connect_pusher_js: Connect[PusherJs], fresh: Callable[[str], str]
) -> None:
    channel = fresh("news")
    client = connect_pusher_js()
    assert sdk.channel_info(channel) == {"occupied": False}

    client.subscribe(channel)
    assert sdk.channel_info(channel) == {"occupied": True}

    client.unsubscribe(channel)
    assert sdk.channel_info(channel) == {"occupied": False}


def test_a_channel_tells_its_subscription_count(
    sdk: Sdk, connect_pusher_js: Connect[PusherJs], fresh: Callable[[str], str]
) -> None:
    channel = fresh("news")
    for _ in range(3):
        connect_pusher_js().subscribe(channel)

    answer = sdk.channel_info(channel, ["subscription_count"])

    assert answer == {"occupied": True, "subscription_count": 3}


def test_an_empty_presence_channel_counts_nobody(sdk: Sdk, fresh: Callable[[str], str]) -> None:
    answer = sdk.channel_info(fresh("presence-empty"), ["user_count", "subscription_count"])

    assert answer == {"occupied": False, "user_count": 0, "subscription_count": 0}


def test_the_users_of_a_presence_channel_are_listed_once_each(
    sdk: Sdk,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    fresh: Callable[[str], str],
) -> None:
    channel = fresh("presence-room")
    for user in ("ada", "ada+work@example.org", "ada"):
        connect_pusher_js(signed_by("npm pusher", {"user_id": user})).subscribe(channel)

    users = sdk.users_info(channel)["users"]

    assert sorted(users, key=str) == [{"id": "ada"}, {"id": "ada+work@example.org"}]


def test_an_empty_presence_channel_has_no_users(sdk: Sdk, fresh: Callable[[str], str]) -> None:
    assert sdk.users_info(fresh("presence-empty")) == {"users": []}


def test_a_channel_with_every_allowed_character_can_be_asked_about(
    sdk: Sdk,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    fresh: Callable[[str], str],
) -> None:
    channel = fresh("presence-Az09_=@,.;-")
    client = connect_pusher_js(signed_by("npm pusher", {"user_id": "ada"}))
    client.subscribe(channel)

    assert sdk.channel_info(channel, ["user_count"]) == {"occupied": True, "user_count": 1}
    assert sdk.users_info(channel) == {"users": [{"id": "ada"}]}
    assert sdk.channels_info(channel) == {"channels": {channel: {}}}
