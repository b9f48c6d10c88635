"""Nothing more comes from a channel that a client has left."""

from collections.abc import Callable

from tests.end_to_end.authorization import SignedBy
from tests.end_to_end.publishers import Sdk, ask_until
from tests.end_to_end.receivers import Connect, Echo, PusherJs


def test_nothing_is_sent_after_unsubscribing_until_subscribed_again(
    sdk: Sdk, connect_pusher_js: Connect[PusherJs], fresh: Callable[[str], str]
) -> None:
    channel = fresh("news")
    leaver, stayer = connect_pusher_js(), connect_pusher_js()
    for client in (leaver, stayer):
        client.subscribe(channel)

    sdk.trigger(channel, "before", {})
    leaver.wait_for_event(channel, "before")
    leaver.unsubscribe(channel)
    sdk.trigger(channel, "missed", {})
    leaver.subscribe(channel)
    sdk.trigger(channel, "after", {})

    leaver.wait_for_event(channel, "after")
    stayer.wait_for_event(channel, "after")
    # What the server sent, not what pusher-js let through: it would drop the event by itself.
    assert [message.name for message in leaver.messages(channel)] == ["before", "after"]
    assert [message.name for message in stayer.messages(channel)] == ["before", "missed", "after"]
    assert leaver.errors() == []


def test_a_private_channel_can_be_left_and_joined_again(
    sdk: Sdk,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    fresh: Callable[[str], str],
) -> None:
    channel = fresh("private-news")
    client = connect_pusher_js(signed_by("npm pusher"))

    client.subscribe(channel)
    client.unsubscribe(channel)
    sdk.trigger(channel, "missed", {})
    client.subscribe(channel)
    sdk.trigger(channel, "after", {})

    client.wait_for_event(channel, "after")
    assert [message.name for message in client.messages(channel)] == ["after"]


def test_the_other_channels_of_a_connection_stay(
    sdk: Sdk, connect_pusher_js: Connect[PusherJs], fresh: Callable[[str], str]
) -> None:
    left, kept = fresh("left"), fresh("kept")
    client = connect_pusher_js()
    client.subscribe(left)
    client.subscribe(kept)

    client.unsubscribe(left)

    sdk.trigger(kept, "still here", {})
    client.wait_for_event(kept, "still here")


def test_echo_hears_nothing_after_leaving(
    sdk: Sdk, connect_echo: Connect[Echo], fresh: Callable[[str], str]
) -> None:
    name = fresh("news")
    echo = connect_echo()
    channel = echo.channel(name, listen=["Published"])
    channel.wait_for("subscribed")

    sdk.trigger(name, "App\\Events\\Published", {"n": 1})
    channel.wait_for("listen", "Published")
    echo.leave(name)
    sdk.trigger(name, "App\\Events\\Published", {"n": 2})
    again = echo.channel(name, listen=["Published"])
    again.wait_for("subscribed", count=2)
    sdk.trigger(name, "App\\Events\\Published", {"n": 3})

    again.wait_for("listen", "Published", count=2)
    assert [message.data for message in echo.messages(name)] == [{"n": 1}, {"n": 3}]


def test_a_disconnected_client_occupies_nothing(
    sdk: Sdk,
    connect_pusher_js: Connect[PusherJs],
    signed_by: SignedBy,
    fresh: Callable[[str], str],
) -> None:
    prefix = fresh("presence-left")
    client = connect_pusher_js(signed_by("npm pusher", {"user_id": "ada"}))
    for number in range(3):
        client.subscribe(f"{prefix}-{number}")
    assert len(sdk.channels_info(prefix)["channels"]) == 3

    client.disconnect()

    ask_until(lambda: sdk.channels_info(prefix), {"channels": {}})
    assert sdk.users_info(f"{prefix}-0") == {"users": []}
