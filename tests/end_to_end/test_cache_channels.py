"""Cache channels give a new subscriber the last event at once."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from pusher.errors import PusherBadRequest

from tests.end_to_end.authorization import SignedBy
from tests.end_to_end.driver import LibraryError
from tests.end_to_end.publishers import NpmPusher, Sdk
from tests.end_to_end.receivers import Connect, Echo, PusherJs

KINDS = ["cache-", "private-cache-", "private-encrypted-cache-", "presence-cache-"]
SUCCEEDED, MISS = "pusher_internal:subscription_succeeded", "pusher:cache_miss"
LIFETIME = 1_800

ConnectAny = Callable[[], PusherJs]


@pytest.fixture(params=KINDS)
def channel(request: pytest.FixtureRequest, fresh: Callable[[str], str]) -> str:
    """Runs the test once with a cache channel of each kind."""
    prefix: str = request.param
    return prefix + fresh("prices")


@pytest.fixture
def connect(connect_pusher_js: Connect[PusherJs], signed_by: SignedBy) -> ConnectAny:
    """Connects clients that may subscribe to channels of all kinds."""
    return lambda: connect_pusher_js(signed_by("npm pusher", {"user_id": "ada"}))


def first_two(client: PusherJs, channel: str) -> list[str]:
    """The first events that came on the channel, once the client is up to date."""
    client.ping()
    return client.all_messages(channel)[:2]


def test_an_empty_cache_is_a_miss(channel: str, connect: ConnectAny, sdk: Sdk) -> None:
    first, second = connect(), connect()

    for client in (first, second):
        client.subscribe(channel)
        assert client.wait_for_event(channel, MISS).data == {}
        assert first_two(client, channel) == [SUCCEEDED, MISS]

    sdk.trigger(channel, "price", {"eur": 17})
    assert first.wait_for_event(channel, "price").data == {"eur": 17}
    assert first.all_messages(channel).count(MISS) == 1


def test_the_last_event_is_the_first_after_subscribing(
    channel: str, connect: ConnectAny, sdk: Sdk
) -> None:
    sdk.trigger(channel, "opened", {"eur": 16})
    sdk.trigger(channel, "closed", {"eur": 17})
    client = connect()

    client.subscribe(channel)

    assert client.wait_for_event(channel, "closed").data == {"eur": 17}
    assert first_two(client, channel) == [SUCCEEDED, "closed"]
    assert client.all_messages(channel).count(MISS) == 0
    assert [message.name for message in client.messages(channel)] == ["closed"]


def test_the_last_event_is_told_to_the_new_subscriber_only(
    channel: str, connect: ConnectAny, sdk: Sdk
) -> None:
    early, late = connect(), connect()
    early.subscribe(channel)
    sdk.trigger(channel, "price", {"n": 1})
    early.wait_for_event(channel, "price")

    late.subscribe(channel)
    assert late.wait_for_event(channel, "price").data == {"n": 1}
    sdk.trigger(channel, "price", {"n": 2})

    for client in (early, late):
        client.wait_for_event(channel, "price", count=2)
        assert [event.data for event in client.events(channel, "price")] == [{"n": 1}, {"n": 2}]


def test_the_last_event_of_a_batch_wins(channel: str, connect: ConnectAny, sdk: Sdk) -> None:
    sdk.trigger_batch(
        [{"channel": channel, "name": "price", "data": {"n": number}} for number in range(3)]
    )
    client = connect()

    client.subscribe(channel)

    assert client.wait_for_event(channel, "price").data == {"n": 2}
    assert first_two(client, channel) == [SUCCEEDED, "price"]


def test_the_cache_outlives_the_last_subscriber(
    channel: str, connect: ConnectAny, sdk: Sdk
) -> None:
    client = connect()
    client.subscribe(channel)
    sdk.trigger(channel, "price", {"eur": 17})
    client.wait_for_event(channel, "price")
    client.unsubscribe(channel)
    assert sdk.channel_info(channel)["occupied"] is False

    client.subscribe(channel)

    assert client.wait_for_event(channel, "price", count=2).data == {"eur": 17}


def test_the_excluded_connection_is_told_when_it_subscribes_anew(
    channel: str, connect: ConnectAny, sdk: Sdk
) -> None:
    author, reader = connect(), connect()
    for client in (author, reader):
        client.subscribe(channel)

    sdk.trigger(channel, "posted", {"n": 1}, author.socket_id)
    reader.wait_for_event(channel, "posted")
    author.ping()
    assert author.messages(channel) == []
    author.unsubscribe(channel)
    author.subscribe(channel)

    assert author.wait_for_event(channel, "posted").data == {"n": 1}
    assert [message.name for message in author.messages(channel)] == ["posted"]


# pusher-js sends no client events on encrypted channels, and the server takes none on public ones.
@pytest.mark.parametrize("prefix", ["private-cache-", "presence-cache-"])
def test_client_events_are_not_cached(
    prefix: str, connect: ConnectAny, sdk: Sdk, fresh: Callable[[str], str]
) -> None:
    channel, empty = prefix + fresh("prices"), prefix + fresh("empty")
    sender, receiver, late = connect(), connect(), connect()
    for client in (sender, receiver):
        client.subscribe(channel)
        client.subscribe(empty)
    sdk.trigger(channel, "price", {"eur": 17})

    for name in (channel, empty):
        sender.trigger(name, "client-price", {"eur": 0})
        receiver.wait_for_event(name, "client-price")
        late.subscribe(name)

    assert late.wait_for_event(channel, "price").data == {"eur": 17}
    assert first_two(late, channel) == [SUCCEEDED, "price"]
    assert first_two(late, empty) == [SUCCEEDED, MISS]


def test_either_library_tells_what_is_cached(channel: str, sdk: Sdk) -> None:
    assert sdk.channel_info(channel, ["cache"]) == {"occupied": False, "cache": None}

    sdk.trigger(channel, "price", {"eur": 17})

    answer = sdk.channel_info(channel, ["cache"])
    assert answer.keys() == {"occupied", "cache"}
    cached = answer["cache"]
    assert cached.keys() == {"data", "ttl"}
    assert isinstance(cached["ttl"], int)
    assert LIFETIME - 60 < cached["ttl"] <= LIFETIME
    data = json.loads(cached["data"])
    if "-encrypted-" in channel:
        assert data.keys() == {"nonce", "ciphertext"}
    else:
        assert data == {"eur": 17}


def test_the_cache_can_be_asked_for_together_with_counts(
    sdk: Sdk, connect: ConnectAny, fresh: Callable[[str], str]
) -> None:
    channel = fresh("presence-cache-prices")
    for _ in range(2):
        connect().subscribe(channel)

    answer = sdk.channel_info(channel, ["user_count", "cache", "subscription_count"])

    assert answer == {"occupied": True, "user_count": 1, "subscription_count": 2, "cache": None}


@pytest.mark.parametrize("prefix", ["", "private-", "private-encrypted-", "presence-", "cached-"])
def test_other_channels_have_no_cache(
    prefix: str, sdk: Sdk, connect: ConnectAny, fresh: Callable[[str], str]
) -> None:
    channel = prefix + fresh("prices")
    sdk.trigger(channel, "price", {"eur": 17})
    client = connect()
    client.subscribe(channel)

    with pytest.raises((PusherBadRequest, LibraryError)) as caught:
        sdk.channel_info(channel, ["cache"])

    if isinstance(caught.value, LibraryError):
        assert caught.value.status == 400
        text = caught.value.body or ""
    else:
        text = str(caught.value)
    expected = "Cannot retrieve the cache unless the channel is a cache channel"
    assert json.loads(text)["error"] == expected
    client.ping()
    assert client.messages(channel) == []
    assert MISS not in client.all_messages(channel)


def test_no_cache_can_be_asked_for_in_a_list(npm_pusher: NpmPusher) -> None:
    with pytest.raises(LibraryError) as caught:
        npm_pusher.channels_info("cache-", ["cache"])

    assert caught.value.status == 400


def test_echo_hears_the_last_event(
    sdk: Sdk, connect_echo: Connect[Echo], signed_by: SignedBy, fresh: Callable[[str], str]
) -> None:
    name = fresh("prices")
    user: dict[str, Any] = {"user_id": "ada"}
    sdk.trigger(f"cache-{name}", "price", {"n": 1})
    sdk.trigger(f"private-cache-{name}", "price", {"n": 2})
    sdk.trigger(f"presence-cache-{name}", "price", {"n": 3})

    echo = connect_echo(signed_by("npm pusher", user))

    channels = [
        echo.channel(f"cache-{name}", listen=[".price"]),
        echo.private(f"cache-{name}", listen=[".price"]),
        echo.join(f"cache-{name}", listen=[".price"]),
    ]
    heard = [channel.wait_for("listen", ".price") for channel in channels]
    assert heard == [{"n": 1}, {"n": 2}, {"n": 3}]
