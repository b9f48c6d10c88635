"""What happens when connections end: by close code, by silence, by a server that goes away."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from oyez.sdk.conversation import Event
from oyez.sdk.errors import ConnectionRejected, ServerError, SubscriptionError, TimedOut
from oyez.sdk.reconnection import Reconnection
from oyez.sdk.state import State, StateChange
from oyez.sdk.subscriber import AsyncSubscriber
from tests.conftest import RunningServer
from tests.sdk.subscribers import (
    ScriptedServer,
    backend_of,
    confirm,
    confirm_subscriptions,
    following,
    greet,
    say,
    subscriber_of,
)

StartServer = Callable[..., RunningServer]
TOO_LONG = Reconnection(first=100, longest=100, pause=100, jitter=lambda: 1.0)


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    assert asyncio.all_tasks() - before <= {asyncio.current_task()}


async def test_the_address_names_protocol_and_client() -> None:
    async def script(socket: ServerConnection, number: int) -> None:
        await greet(socket)
        await confirm_subscriptions(socket)

    async with ScriptedServer(script) as scripted, scripted.subscriber(path="/behind") as opened:
        assert opened.socket_id == "1.1"

    path, _, query = scripted.paths[0].partition("?")
    assert path == "/behind/app/a-key"
    assert query.startswith("protocol=7&client=oyez&version=")


@pytest.mark.parametrize("code", [4200, 4299, 4100, 4150, 1000, 1001, 1011, 4300])
async def test_it_connects_again_and_iterators_go_on(code: int) -> None:
    async def script(socket: ServerConnection, number: int) -> None:
        await greet(socket, number)
        text = json.loads(await socket.recv())
        await confirm(socket, text["data"]["channel"])
        await say(socket, "e", number, channel="news")
        if number == 1:
            await socket.close(code, "why")
        else:
            await socket.wait_closed()

    changes: list[StateChange] = []
    async with ScriptedServer(script) as scripted, scripted.subscriber() as subscriber:
        subscriber.on_state(changes.append)
        news = await subscriber.subscribe("news")

        assert [(await following(news)).data for _ in range(2)] == [1, 2]
        assert subscriber.socket_id == "2.1"
        assert [change.state for change in changes] == ["disconnected", "connecting", "connected"]
        assert str(changes[0].error) == f"closed with {code}: why"


@pytest.mark.parametrize(("code", "soon"), [(4200, True), (4100, False), (1006, False)])
async def test_only_some_codes_mean_at_once(code: int, soon: bool) -> None:
    connected = asyncio.Event()

    async def script(socket: ServerConnection, number: int) -> None:
        await greet(socket, number)
        if number > 1:
            connected.set()
            return
        if code == 1006:
            socket.transport.abort()
        else:
            await socket.close(code)

    changes: asyncio.Queue[StateChange] = asyncio.Queue()
    async with ScriptedServer(script) as scripted:
        subscriber = scripted.subscriber(reconnection=TOO_LONG)
        subscriber.on_state(changes.put_nowait)
        async with subscriber:
            while (change := await changes.get()).state is not State.DISCONNECTED:
                pass
            if soon:
                await connected.wait()
                assert change.retry_in == 0
            else:
                assert change.retry_in == (200 if code == 4100 else 100)


@pytest.mark.parametrize("code", [4001, 4004, 4009, 4099])
@pytest.mark.parametrize("by_event", [False, True], ids=["close frame", "error event"])
async def test_what_is_final_reaches_everybody_who_waits(code: int, by_event: bool) -> None:
    async def script(socket: ServerConnection, number: int) -> None:
        await greet(socket)
        await confirm(socket, json.loads(await socket.recv())["data"]["channel"])
        await socket.recv()  # a subscription that is never answered
        if by_event:
            await say(socket, "pusher:error", {"code": code, "message": "so it is"})
            await socket.wait_closed()
        else:
            await socket.close(code, "so it is")

    async with ScriptedServer(script) as scripted, scripted.subscriber() as subscriber:
        news = await subscriber.subscribe("news")
        for waiting in (subscriber.subscribe("x"), anext(news), subscriber.wait_closed()):
            with pytest.raises(ConnectionRejected, match=f"{code}: so it is"):
                await waiting
        with pytest.raises(ConnectionRejected):
            async for _ in subscriber:
                pass
        assert subscriber.state is State.FAILED
        assert len(scripted.paths) == 1


async def test_a_refusal_before_the_greeting_is_final_or_not_by_its_code() -> None:
    async def script(socket: ServerConnection, number: int) -> None:
        code = {1: 4100, 2: 4200}.get(number, 4003)
        await say(socket, "pusher:error", {"code": code, "message": "m"})
        await socket.close(code, "m")

    async with ScriptedServer(script) as scripted:
        with pytest.raises(ConnectionRejected) as rejected:
            await scripted.subscriber().open()

        assert (rejected.value.code, len(scripted.paths)) == (4003, 3)


async def test_a_server_that_never_greets_is_left() -> None:
    async def script(socket: ServerConnection, number: int) -> None:
        if number > 1:
            await greet(socket)
        await socket.wait_closed()

    async with ScriptedServer(script) as scripted, scripted.subscriber(attempt_timeout=0.1) as it:
        assert it.state is State.CONNECTED
        assert len(scripted.paths) == 2


@pytest.mark.parametrize(("own", "servers"), [(0.05, 120), (120, 0.05)])
async def test_silence_is_asked_about_and_then_ends_the_connection(
    own: float, servers: float
) -> None:
    asked: list[str] = []

    async def script(socket: ServerConnection, number: int) -> None:
        await greet(socket, number, servers)
        for answers in (True, False):  # one question is answered, the next is not
            text = json.loads(await socket.recv())
            asked.append(text["event"])
            if answers:
                await say(socket, "pusher:pong", {})
        await socket.wait_closed()

    changes: asyncio.Queue[StateChange] = asyncio.Queue()
    async with ScriptedServer(script) as scripted:
        subscriber = scripted.subscriber(activity_timeout=own, pong_timeout=0.1)
        subscriber.on_state(changes.put_nowait)
        async with subscriber:
            while (change := await changes.get()).state is not State.DISCONNECTED:
                pass

    assert asked[:2] == ["pusher:ping", "pusher:ping"]
    assert "after a ping" in str(change.error)


async def test_a_ping_of_the_server_is_answered() -> None:
    answered = asyncio.Event()

    async def script(socket: ServerConnection, number: int) -> None:
        await greet(socket)
        await say(socket, "pusher:ping", {})
        assert json.loads(await socket.recv()) == {"event": "pusher:pong", "data": "{}"}
        answered.set()
        await socket.wait_closed()

    async with ScriptedServer(script) as scripted, scripted.subscriber():
        await asyncio.wait_for(answered.wait(), 10)


async def test_a_message_beyond_the_limit_ends_the_connection_only() -> None:
    async def script(socket: ServerConnection, number: int) -> None:
        await greet(socket, number)
        await confirm(socket, json.loads(await socket.recv())["data"]["channel"])
        data = "x" * 10_000 if number == 1 else "short"
        await say(socket, "e", data, channel="news")
        await socket.wait_closed()

    async with ScriptedServer(script) as scripted, scripted.subscriber(max_message=5_000) as it:
        news = await it.subscribe("news")

        assert (await following(news)).data == "short"


async def test_nonsense_is_passed_over() -> None:
    async def script(socket: ServerConnection, number: int) -> None:
        await greet(socket)
        await confirm(socket, json.loads(await socket.recv())["data"]["channel"])
        for text in ("", "no json", "[]", '{"event":7}', b"\x00", '{"event":"pusher:error"}'):
            await socket.send(text)
        await say(socket, "elsewhere", 1, channel="never-subscribed")
        await say(socket, "e", 1, channel="news")
        await socket.wait_closed()

    async with ScriptedServer(script) as scripted, scripted.subscriber() as subscriber:
        assert (await following(await subscriber.subscribe("news"))).name == "e"


class Restarting:
    """A server that can be stopped and started again on its port."""

    def __init__(self, start_server: StartServer) -> None:
        self._start = start_server
        self.server = start_server()

    async def restart(self) -> None:
        port = str(self.server.port)
        await asyncio.to_thread(self.server.stop)
        self.server = await asyncio.to_thread(self._start, "", "--port", port)


async def test_a_restarted_server_gets_all_subscriptions_again(start_server: StartServer) -> None:
    restarting = Restarting(start_server)
    channels = ["news", "private-chat", "private-encrypted-x"]
    async with subscriber_of(restarting.server) as subscriber:
        news, chat, secret = [await subscriber.subscribe(channel) for channel in channels]
        room = await subscriber.subscribe("presence-room", {"user_id": "ada"})
        user = await subscriber.signin({"id": "ada"})
        before, waiting = subscriber.socket_id, asyncio.ensure_future(anext(news))
        missing, back = {*channels, "presence-room", None}, asyncio.Event()

        @subscriber.on()
        def follow(event: Event) -> None:
            if event.name in ("pusher:subscription_succeeded", "pusher:signin_success"):
                missing.discard(event.channel)
                if not missing:
                    back.set()

        await restarting.restart()
        await asyncio.wait_for(back.wait(), 20)

        assert subscriber.socket_id != before
        assert dict(room.members) == {"ada": {}}
        async with backend_of(restarting.server) as backend:
            for channel in channels:
                await backend.trigger(channel, "e", {"on": channel})
            await backend.send_to_user("ada", "e", 1)
        assert (await waiting).data == {"on": "news"}
        assert (await following(chat)).data == {"on": "private-chat"}
        assert (await following(secret)).data == {"on": "private-encrypted-x"}
        assert (await following(user)).data == 1


async def test_a_subscription_that_is_refused_afterwards_ends_with_the_reason() -> None:
    refuse = asyncio.Event()

    def authorize(channel: str, socket_id: str, member: Any) -> Any:
        if refuse.is_set():
            raise SubscriptionError(channel, "not any more", 403)
        return {"auth": "k:s"}

    async def script(socket: ServerConnection, number: int) -> None:
        await greet(socket, number)
        if number == 1:
            for _ in range(2):
                await confirm(socket, json.loads(await socket.recv())["data"]["channel"])
            refuse.set()
            await socket.close(4200)
        await confirm_subscriptions(socket)

    async with (
        ScriptedServer(script) as scripted,
        scripted.subscriber(authorize=authorize) as subscriber,
    ):
        chat, news = await asyncio.gather(
            subscriber.subscribe("private-chat"), subscriber.subscribe("news")
        )

        with pytest.raises(SubscriptionError, match="not any more"):
            await anext(chat)
        assert subscriber.subscription("private-chat") is None
        assert subscriber.subscription("news") is news


async def test_an_application_that_is_away_is_asked_again() -> None:
    asked: list[str] = []

    async def authorize(channel: str, socket_id: str, member: Any) -> Any:
        asked.append(socket_id)
        if len(asked) in (2, 3):
            raise ServerError(503, "deploying")
        return {"auth": "k:s"}

    async def script(socket: ServerConnection, number: int) -> None:
        await greet(socket, number)
        await confirm(socket, json.loads(await socket.recv())["data"]["channel"])
        if number == 1:
            await socket.close(4200)
        await say(socket, "e", number, channel="private-chat")
        await socket.wait_closed()

    async with (
        ScriptedServer(script) as scripted,
        scripted.subscriber(authorize=authorize) as subscriber,
    ):
        chat = await subscriber.subscribe("private-chat")

        assert (await following(chat)).data == 2
        assert asked == ["1.1", "2.1", "2.1", "2.1"]


async def test_a_subscription_asked_for_while_away_is_made_on_return() -> None:
    async def script(socket: ServerConnection, number: int) -> None:
        await greet(socket, number)
        if number == 1:
            await socket.recv()  # and the connection breaks before the answer
            socket.transport.abort()
        await confirm_subscriptions(socket)

    async with ScriptedServer(script) as scripted, scripted.subscriber() as subscriber:
        news = await subscriber.subscribe("news")

        assert news.active
        assert len(scripted.paths) == 2


async def test_a_request_that_was_not_sent_is_not_taken_back() -> None:
    said: list[str] = []

    async def script(socket: ServerConnection, number: int) -> None:
        await greet(socket)
        async for text in socket:
            said.append(json.loads(text)["data"]["channel"])
            await confirm(socket, said[-1])

    async def never(*_: Any) -> Any:
        await asyncio.Event().wait()

    async with ScriptedServer(script) as scripted, scripted.subscriber(authorize=never) as opened:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await opened.subscribe("private-x")
        await opened.subscribe("news")

    assert said == ["news"]


async def test_attempts_that_take_long_and_fail_are_no_good_connections() -> None:
    async def script(socket: ServerConnection, number: int) -> None:
        await socket.wait_closed()

    reconnection = Reconnection(first=0.01, longest=1, steady=0.01, jitter=lambda: 1.0)
    waits: list[float | None] = []
    async with ScriptedServer(script) as scripted:
        subscriber = scripted.subscriber(
            attempt_timeout=0.05, open_timeout=0.5, reconnection=reconnection
        )
        subscriber.on_state(lambda change: waits.append(change.retry_in))
        with pytest.raises(TimedOut, match="no greeting"):
            await subscriber.open()

    assert [wait for wait in waits if wait][:3] == [0.01, 0.02, 0.04]


async def test_it_can_be_left_at_any_time() -> None:
    async def script(socket: ServerConnection, number: int) -> None:
        await greet(socket)
        await socket.close(1001)

    async with ScriptedServer(script) as scripted:
        subscriber: AsyncSubscriber = scripted.subscriber(reconnection=TOO_LONG)
        changes: asyncio.Queue[StateChange] = asyncio.Queue()
        subscriber.on_state(changes.put_nowait)
        async with subscriber:
            while (await changes.get()).state is not State.DISCONNECTED:
                pass
    assert subscriber.state is State.CLOSED
