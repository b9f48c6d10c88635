"""Subscribing to each kind of channel of the real server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from oyez.sdk.client import AsyncClient
from oyez.sdk.errors import (
    ConnectionFailed,
    SubscriptionError,
    TimedOut,
)
from oyez.sdk.subscriber import AsyncSubscriber
from tests.conftest import RunningServer
from tests.sdk.conftest import options_of
from tests.sdk.subscribers import backend_of, following, fresh, heard, subscriber_of

StartServer = Callable[..., RunningServer]


@pytest.fixture
async def backend(server: RunningServer) -> AsyncIterator[AsyncClient]:
    async with backend_of(server) as client:
        yield client


@pytest.fixture
async def subscriber(server: RunningServer) -> AsyncIterator[AsyncSubscriber]:
    async with subscriber_of(server) as opened:
        yield opened


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    assert asyncio.all_tasks() - before <= {asyncio.current_task()}


async def test_events_come_decoded_and_in_order(
    subscriber: AsyncSubscriber, backend: AsyncClient
) -> None:
    channel = fresh("news-")
    news = await subscriber.subscribe(channel)

    await backend.trigger(channel, "a", {"x": ["é", 1]})
    await backend.trigger(channel, "b", "plain text")
    await backend.trigger(channel, "c", "17")

    first, second, third = [await following(news) for _ in range(3)]
    assert (first.name, first.channel, first.data) == ("a", channel, {"x": ["é", 1]})
    assert (second.data, second.text) == ("plain text", "plain text")
    assert (third.data, third.text) == (17, "17")


async def test_the_socket_id_keeps_own_events_away(
    subscriber: AsyncSubscriber, backend: AsyncClient
) -> None:
    channel = fresh("news-")
    news = await subscriber.subscribe(channel)

    await backend.trigger(channel, "own", 1, socket_id=subscriber.socket_id)
    await backend.trigger(channel, "other", 2)

    assert (await following(news)).name == "other"


async def test_members_are_known_and_follow_who_comes_and_goes(server: RunningServer) -> None:
    room = fresh("presence-room-")
    async with subscriber_of(server) as ada, subscriber_of(server) as bob:
        adas = await ada.subscribe(room, {"user_id": "ada", "user_info": {"name": "Ada"}})
        assert dict(adas.members) == {"ada": {"name": "Ada"}}
        assert adas.members.me == ("ada", {"name": "Ada"})
        added = await heard(adas, "pusher:member_added")
        removed = await heard(adas, "pusher:member_removed")

        bobs = await bob.subscribe(room, {"user_id": 7, "user_info": {"name": "Bob"}})

        assert (await added.get()).data == {"user_id": "7", "user_info": {"name": "Bob"}}
        assert list(bobs.members) == ["ada", "7"]
        assert bobs.members.me == ("7", {"name": "Bob"})
        assert adas.members.count == 2

        await bobs.unsubscribe()

        assert (await removed.get()).data == {"user_id": "7", "user_info": {"name": "Bob"}}
        assert dict(adas.members) == {"ada": {"name": "Ada"}}


async def test_system_events_are_iterated_over_only_if_wanted(server: RunningServer) -> None:
    room = fresh("presence-")
    async with subscriber_of(server) as ada, subscriber_of(server) as bob:
        subscription = await ada.subscribe(room, {"user_id": "ada"}, system_events=True)
        await bob.subscribe(room, {"user_id": "bob"})

        names = [(await following(subscription)).name for _ in range(2)]

        assert names == ["pusher:subscription_succeeded", "pusher:member_added"]
        assert (await following(ada, "pusher:member_added")).channel == room


async def test_client_events_reach_the_others_with_the_sender(server: RunningServer) -> None:
    private, room = fresh("private-"), fresh("presence-")
    async with subscriber_of(server) as ada, subscriber_of(server) as bob:
        for each, user_id in ((ada, "ada"), (bob, "bob")):
            await each.subscribe(private)
            await each.subscribe(room, {"user_id": user_id})
        chats = [await each.subscribe(private) for each in (ada, bob)]
        rooms = [await each.subscribe(room) for each in (ada, bob)]

        await chats[0].trigger("client-typing", {"x": 1})
        await rooms[0].trigger("client-typing", "on")
        await chats[1].trigger("client-back")

        typed, in_room = await following(chats[1]), await following(rooms[1])
        assert (typed.name, typed.data, typed.user_id) == ("client-typing", {"x": 1}, None)
        assert (in_room.data, in_room.user_id) == ("on", "ada")
        assert (await following(chats[0])).name == "client-back"


async def test_client_events_that_cannot_be_are_refused_before_sending(
    subscriber: AsyncSubscriber,
) -> None:
    public = await subscriber.subscribe(fresh("news-"))
    private = await subscriber.subscribe(fresh("private-"))
    encrypted = await subscriber.subscribe(fresh("private-encrypted-"))

    with pytest.raises(ValueError, match="private or presence"):
        await public.trigger("client-x")
    with pytest.raises(ValueError, match="is encrypted"):
        await encrypted.trigger("client-x")
    with pytest.raises(ValueError, match="begin with client-"):
        await private.trigger("x")
    await private.unsubscribe()
    with pytest.raises(ConnectionFailed, match="not subscribed"):
        await private.trigger("client-x")


async def test_what_the_server_refuses_later_comes_as_an_event(
    subscriber: AsyncSubscriber,
) -> None:
    private = await subscriber.subscribe(fresh("private-"))
    errors = await heard(subscriber, "pusher:error")

    await private.trigger("client-large", "x" * 20_000)

    error = await errors.get()
    assert error.system
    assert error.data["code"] is None
    assert "10240" in error.data["message"]


async def test_cache_channels_replay_or_say_that_there_is_nothing(
    subscriber: AsyncSubscriber, backend: AsyncClient
) -> None:
    full, empty = fresh("cache-"), fresh("private-cache-")
    await backend.trigger(full, "price", 12)

    replayed = await subscriber.subscribe(full)
    missed = await subscriber.subscribe(empty, system_events=True)

    assert (await following(replayed)).data == 12
    assert (await following(missed, "pusher:cache_miss")).channel == empty


async def test_the_number_of_subscriptions_is_told(
    server: RunningServer, subscriber: AsyncSubscriber
) -> None:
    channel = fresh("news-")
    news = await subscriber.subscribe(channel)
    counts = await heard(news, "pusher:subscription_count")
    async with subscriber_of(server) as another:
        await another.subscribe(channel)

        while (await counts.get()).data != {"subscription_count": 2}:
            pass

        assert news.subscription_count == 2


async def test_after_unsubscribing_nothing_comes_and_iterating_ends(
    subscriber: AsyncSubscriber, backend: AsyncClient
) -> None:
    channel = fresh("news-")
    news = await subscriber.subscribe(channel)
    await backend.trigger(channel, "first", 1)
    await following(subscriber, "first")

    await news.unsubscribe()
    await news.unsubscribe()

    assert [event.name async for event in news] == ["first"]
    assert not news.active
    assert subscriber.subscription(channel) is None
    again = await subscriber.subscribe(channel)
    assert again is not news
    await backend.trigger(channel, "second", 2)
    assert (await following(again)).name == "second"


async def test_a_channel_has_one_subscription(subscriber: AsyncSubscriber) -> None:
    channel = fresh("presence-")

    one, two = await asyncio.gather(
        subscriber.subscribe(channel, {"user_id": "ada"}), subscriber.subscribe(channel)
    )

    assert one is two
    with pytest.raises(ValueError, match="already"):
        await subscriber.subscribe(channel, {"user_id": "bob"})


async def test_a_wrong_signature_is_refused_with_the_reason(server: RunningServer) -> None:
    wrong = AsyncClient(**{**options_of(server), "secret": "wrong"})
    channel = fresh("private-")
    async with subscriber_of(server, authorize=wrong.authorize_channel) as subscriber:
        with pytest.raises(SubscriptionError, match="Invalid signature") as refused:
            await subscriber.subscribe(channel)

        assert (refused.value.channel, refused.value.status) == (channel, 401)
        assert subscriber.subscription(channel) is None
        await subscriber.subscribe(fresh("news-"))


async def test_servers_that_only_send_an_error_are_understood(start_server: StartServer) -> None:
    server = start_server(
        '[[apps]]\nid = "1001"\nkey = "app-key"\nsecret = "app-secret"\nsubscription_errors = false'
    )
    wrong = AsyncClient(**{**options_of(server), "key": "another-key"})

    def authorize(channel: str, socket_id: str, member: Any) -> Any:
        by = wrong if "wrong" in channel else backend_of(server)
        return by.authorize_channel(channel, socket_id, member)

    async with subscriber_of(server, authorize=authorize, answer_timeout=30) as subscriber:
        results = await asyncio.gather(
            *(subscriber.subscribe(f"private-{name}") for name in ("a", "wrong", "b", "wrong2")),
            return_exceptions=True,
        )

        refused = [str(each) for each in results if isinstance(each, SubscriptionError)]
        assert [each.split(":")[0] for each in refused] == ["private-wrong", "private-wrong2"]
        assert all("Invalid key" in each for each in refused)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({}, "auth"),
        ({"auth": 7}, "auth"),
        (None, "authorization"),
        ({"auth": "k:s"}, "shared_secret"),
        ({"auth": "k:s", "shared_secret": "c2hvcnQ="}, "32 bytes"),
    ],
)
async def test_an_authorizer_that_gives_nonsense_is_refused(
    server: RunningServer, answer: Any, reason: str
) -> None:
    async with subscriber_of(server, authorize=lambda *_: answer) as subscriber:
        with pytest.raises(SubscriptionError, match=reason):
            await subscriber.subscribe("private-encrypted-x")


async def test_what_an_authorizer_raises_is_the_cause(server: RunningServer) -> None:
    async def authorize(channel: str, socket_id: str, member: Any) -> Any:
        raise KeyError("no such customer")

    async with subscriber_of(server, authorize=authorize) as subscriber:
        with pytest.raises(SubscriptionError, match="no such customer") as refused:
            await subscriber.subscribe("private-x")

    assert isinstance(refused.value.__cause__, KeyError)


async def test_arguments_are_checked(server: RunningServer) -> None:
    async with subscriber_of(server, authorize=None) as subscriber:
        with pytest.raises(ValueError, match="authorize must be given"):
            await subscriber.subscribe("private-x")
        with pytest.raises(ValueError, match="channel must be"):
            await subscriber.subscribe("no spaces")
        await subscriber.subscribe(fresh("public-"))
    with pytest.raises(ValueError, match="host or cluster"):
        AsyncSubscriber("key")
    with pytest.raises(ValueError, match="key"):
        AsyncSubscriber("", cluster="eu")
    with pytest.raises(ValueError, match="max_waiting"):
        AsyncSubscriber("key", cluster="eu", max_waiting=0)


async def test_closing_ends_iterators_and_those_who_wait(server: RunningServer) -> None:
    async def never(*_: Any) -> Any:
        await asyncio.Event().wait()

    async with subscriber_of(server, authorize=never) as subscriber:
        news = await subscriber.subscribe(fresh("news-"))
        iterating = asyncio.ensure_future(anext(news, None))
        waiting = asyncio.create_task(subscriber.subscribe("private-x"))
        everything = asyncio.create_task(_all_of(subscriber))
        await asyncio.sleep(0)

    assert await iterating is None
    await everything
    with pytest.raises(ConnectionFailed):
        await waiting


async def _all_of(subscriber: AsyncSubscriber) -> None:
    async for _ in subscriber:
        pass


async def test_waiting_for_an_answer_has_an_end(server: RunningServer) -> None:
    async def never(*_: Any) -> Any:
        await asyncio.Event().wait()

    async with subscriber_of(server, authorize=never, answer_timeout=0.05) as subscriber:
        with pytest.raises(TimedOut, match="private-x"):
            await subscriber.subscribe("private-x")

        assert subscriber.subscription("private-x") is None
