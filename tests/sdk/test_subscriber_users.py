"""Signing in: events for a user, and the users of a watchlist."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from oyez.sdk.client import AsyncClient
from oyez.sdk.errors import ConnectionRejected, SigninError
from tests.conftest import RunningServer
from tests.sdk.conftest import options_of
from tests.sdk.subscribers import (
    ScriptedServer,
    backend_of,
    confirm,
    following,
    fresh,
    greet,
    heard,
    say,
    subscriber_of,
)


@pytest.fixture
async def backend(server: RunningServer) -> AsyncIterator[AsyncClient]:
    async with backend_of(server) as client:
        yield client


async def test_a_user_gets_what_is_sent_to_it(server: RunningServer, backend: AsyncClient) -> None:
    ada = fresh("ada-")
    async with subscriber_of(server) as subscriber:
        user = await subscriber.signin({"id": ada, "user_info": {"name": "Ada"}})
        assert (user.id, user.data["user_info"]) == (ada, {"name": "Ada"})
        greetings = await heard(user, "greeting")

        await backend.send_to_user(ada, "greeting", {"hello": "there"})

        event = await following(user)
        assert (event.name, event.data) == ("greeting", {"hello": "there"})
        assert await greetings.get() == event
        assert await following(subscriber, "greeting") == event


async def test_who_has_signed_in_is_a_member_without_being_named(server: RunningServer) -> None:
    ada, room = fresh("ada-"), fresh("presence-")
    async with subscriber_of(server) as subscriber:
        signing_in = asyncio.create_task(
            subscriber.signin({"id": ada, "user_info": {"name": "Ada"}})
        )
        await asyncio.sleep(0)

        joined = await subscriber.subscribe(room)  # waits for the sign-in

        assert signing_in.done()
        assert joined.members.me == (ada, {"name": "Ada"})


async def test_a_watchlist_tells_who_comes_and_goes(server: RunningServer) -> None:
    ada, bob, cem = fresh("ada-"), fresh("bob-"), fresh("cem-")
    async with subscriber_of(server) as watcher:
        states = await heard(watcher, None)
        async with subscriber_of(server) as adas:
            await adas.signin({"id": ada})

            user = await watcher.signin({"id": bob, "watchlist": [ada, cem]})

            assert user.online == {ada}
            told = [await states.get() for _ in range(3)]
            assert [(each.name, each.data["user_ids"]) for each in told[:2]] == [
                ("pusher:online", [ada]),
                ("pusher:offline", [cem]),
            ]
            assert (told[2].name, told[2].data) == ("pusher:signin_success", user.data)
            offline = await heard(user, "pusher:offline")
        assert (await offline.get()).data == {"user_ids": [ada]}
        assert user.online == set()


async def test_signing_in_twice_is_signing_in_once(server: RunningServer) -> None:
    ada = {"id": fresh("ada-")}
    async with subscriber_of(server) as subscriber:
        one, two = await asyncio.gather(subscriber.signin(ada), subscriber.signin(ada))

        assert one is two is await subscriber.signin()
        with pytest.raises(ValueError, match="somebody already"):
            await subscriber.signin({"id": "bob"})


async def test_a_refused_user_can_try_again(server: RunningServer) -> None:
    wrong, right = AsyncClient(**{**options_of(server), "secret": "wrong"}), backend_of(server)
    signed_by = [wrong, right]

    def authenticate(socket_id: str, user: Any) -> Any:
        return signed_by.pop(0).authenticate_user(socket_id, user)

    async with subscriber_of(server, authenticate=authenticate) as subscriber:
        with pytest.raises(SigninError, match="Invalid signature"):
            await subscriber.signin({"id": "ada"})

        assert (await subscriber.signin({"id": "ada"})).id == "ada"


async def test_an_authenticator_that_fails_is_the_cause(server: RunningServer) -> None:
    def authenticate(socket_id: str, user: Any) -> Any:
        return {} if user else 1 / 0

    async with subscriber_of(server, authenticate=authenticate) as subscriber:
        with pytest.raises(SigninError, match="division") as refused:
            await subscriber.signin()
        with pytest.raises(SigninError, match="no authentication"):
            await subscriber.signin({"id": "ada"})
    assert isinstance(refused.value.__cause__, ZeroDivisionError)
    async with subscriber_of(server, authenticate=None) as subscriber:
        with pytest.raises(ValueError, match="authenticate must be given"):
            await subscriber.signin()


async def test_a_terminated_user_does_not_come_back(
    server: RunningServer, backend: AsyncClient
) -> None:
    ada = fresh("ada-")
    async with subscriber_of(server) as subscriber:
        user = await subscriber.signin({"id": ada})
        news = await subscriber.subscribe(fresh("news-"))

        await backend.terminate_user_connections(ada)

        for waiting in (anext(news), anext(user), subscriber.wait_closed()):
            with pytest.raises(ConnectionRejected) as rejected:
                await waiting
            assert rejected.value.code == 4009
        with pytest.raises(ConnectionRejected):
            await subscriber.subscribe("other")


async def test_the_user_is_signed_in_again_after_a_reconnection() -> None:
    signed: list[str] = []

    async def script(socket: Any, number: int) -> None:
        await greet(socket, number)
        async for text in socket:
            if "pusher:signin" in text:
                signed.append(text)
                data = {"user_data": '{"id":"ada"}'}
                await say(socket, "pusher:signin_success", data)
            else:
                await confirm(socket, "#server-to-user-ada")
                if number == 1:
                    await socket.close(4200)
                else:
                    await say(socket, "back", number, channel="#server-to-user-ada")

    def authenticate(socket_id: str, _: Any) -> Any:
        return {"auth": socket_id, "user_data": '{"id":"ada"}'}

    async with (
        ScriptedServer(script) as scripted,
        scripted.subscriber(authenticate=authenticate) as subscriber,
    ):
        user = await subscriber.signin()

        assert (await following(user)).data == 2
        assert ['"1.1"' in signed[0], '"2.1"' in signed[1]] == [True, True]
