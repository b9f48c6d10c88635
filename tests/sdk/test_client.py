"""Both clients against the real server: what is published, asked and refused."""

import asyncio
import json
import os
import threading
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest

import oyez
from tests.conftest import RunningServer
from tests.operation.clients import Client as Subscriber
from tests.operation.clients import accepted
from tests.sdk.conftest import Either, options_of

MakeClient = Callable[..., Either]


def joined(subscriber: Subscriber, server: RunningServer, channel: str, user_id: str = "u") -> None:
    if channel.startswith(("private-", "presence-")):
        subscriber.join(server, channel, user_id)
    else:
        subscriber.subscribe(channel)


async def test_an_event_arrives_as_json(client: Either, server: RunningServer) -> None:
    with accepted(server) as subscriber:
        joined(subscriber, server, "sdk-json")

        assert await client.trigger("sdk-json", "my-event", {"ü": date(2026, 11, 24)}) == {}

        event = subscriber.receive("my-event")
        assert event["channel"] == "sdk-json"
        assert event["data"] == '{"ü":"2026-11-24"}'


async def test_a_string_travels_as_it_is(client: Either, server: RunningServer) -> None:
    with accepted(server) as subscriber:
        joined(subscriber, server, "sdk-text")

        await client.trigger("sdk-text", "my-event", "not \u2028 json")

        assert subscriber.receive("my-event")["data"] == "not \u2028 json"


async def test_several_channels_but_not_the_one_who_caused_it(
    client: Either, server: RunningServer
) -> None:
    with accepted(server) as cause, accepted(server) as other:
        joined(cause, server, "sdk-a")
        joined(other, server, "sdk-a")
        joined(other, server, "sdk-b")

        await client.trigger(["sdk-a", "sdk-b"], "first", 1, socket_id=cause.socket_id)
        await client.trigger("sdk-a", "second", None)

        assert [other.receive()["channel"] for _ in range(3)] == ["sdk-a", "sdk-b", "sdk-a"]
        second = cause.receive()
        assert (second["event"], second["data"]) == ("second", "null")


async def test_info_comes_with_the_answer(client: Either, server: RunningServer) -> None:
    with accepted(server) as subscriber:
        joined(subscriber, server, "presence-sdk-info", "ada")

        one = await client.trigger("presence-sdk-info", "e", "", info="user_count")
        both = await client.trigger(
            "presence-sdk-info", "e", "", info=["user_count", "subscription_count"]
        )

        assert one == {"channels": {"presence-sdk-info": {"user_count": 1}}}
        assert both == {
            "channels": {"presence-sdk-info": {"user_count": 1, "subscription_count": 1}}
        }


async def test_a_batch_is_left_as_it_was(client: Either, server: RunningServer) -> None:
    batch: list[dict[str, Any]] = [
        {"channel": "sdk-batch", "name": f"e{number}", "data": {"number": number}}
        for number in range(23)
    ]
    batch[0]["info"] = ["subscription_count"]
    before = json.dumps(batch)
    with accepted(server) as subscriber:
        joined(subscriber, server, "sdk-batch")

        answer = await client.trigger_batch(batch, split=True)

        received = [subscriber.receive() for _ in batch]
        assert [each["event"] for each in received] == [f"e{number}" for number in range(23)]
        assert received[22]["data"] == '{"number":22}'
    assert answer["batch"][0] == {"subscription_count": 1}
    assert json.dumps(batch) == before


async def test_what_is_encrypted_is_opaque_to_the_server(
    client: Either, server: RunningServer
) -> None:
    channel = "private-encrypted-sdk"
    with accepted(server) as subscriber:
        joined(subscriber, server, channel)

        await client.trigger(channel, "e", {"secret": 1})
        await client.trigger_batch([{"channel": channel, "name": "e", "data": "text"}])
        sealed = await client.encrypt(channel, "sealed before")
        await client.trigger(channel, "e", sealed, already_encoded=True)

        received = [subscriber.receive("e")["data"] for _ in range(3)]
        assert "secret" not in received[0]
        assert [await client.decrypt(channel, each) for each in received] == [
            '{"secret":1}',
            "text",
            "sealed before",
        ]


async def test_the_state_of_the_app(client: Either, server: RunningServer) -> None:
    with accepted(server) as one, accepted(server) as two:
        joined(one, server, "presence-sdk-state", "ada")
        joined(two, server, "presence-sdk-state", "bob")
        joined(two, server, "sdk-state-public")

        assert await client.channels("presence-sdk-state", "user_count") == {
            "channels": {"presence-sdk-state": {"user_count": 2}}
        }
        assert "sdk-state-public" in (await client.channels())["channels"]
        assert await client.channel("presence-sdk-state", ["user_count", "subscription_count"]) == {
            "occupied": True,
            "user_count": 2,
            "subscription_count": 2,
        }
        assert await client.channel("sdk-nobody") == {"occupied": False}
        assert await client.users("presence-sdk-state") == {"users": [{"id": "ada"}, {"id": "bob"}]}
        assert await client.get("channels/presence-sdk-state", {"info": ["user_count"]}) == {
            "occupied": True,
            "user_count": 2,
        }
        body = {"name": "e", "channel": "presence-sdk-state", "data": "x"}
        assert await client.post("/events", body) == {}
        assert one.receive("e")["data"] == "x"


async def test_a_user_is_told_and_sent_away(client: Either, server: RunningServer) -> None:
    with accepted(server) as subscriber:
        vouched = await client.authenticate_user(subscriber.socket_id, {"id": "sdk-ada"})
        subscriber.send("pusher:signin", vouched)
        subscriber.receive("pusher:signin_success")
        subscriber.subscribe("#server-to-user-sdk-ada")  # as pusher-js does

        await client.send_to_user("sdk-ada", "hello", {"a": 1})
        assert subscriber.receive("hello")["data"] == '{"a":1}'
        assert await client.terminate_user_connections("sdk-ada") == {}

        assert subscriber.closed_with()[0] == 4009


async def test_a_refusal_says_what_and_where(
    make_client: MakeClient, server: RunningServer
) -> None:
    client = make_client(**{**options_of(server), "secret": "wrong"})

    with pytest.raises(oyez.Unauthorized) as caught:
        await client.trigger("a", "e", "")

    error = caught.value
    assert (error.status, error.method, error.path) == (401, "POST", "/apps/1001/events")
    assert "Invalid signature" in error.body
    assert "app-secret" not in str(error)


@pytest.mark.parametrize(
    ("path", "kind", "status"),
    [("/nowhere", oyez.NotFound, 404), ("/channels/sdk/users", oyez.BadRequest, 400)],
)
async def test_errors_are_told_apart(
    client: Either, path: str, kind: type[oyez.ApiError], status: int
) -> None:
    with pytest.raises(kind) as caught:
        await client.get(path)

    assert caught.value.status == status


async def test_too_much_data_is_the_server_s_decision(
    make_client: MakeClient, server: RunningServer
) -> None:
    client = make_client(**options_of(server), max_data=100_000)

    with pytest.raises(oyez.PayloadTooLarge) as caught:
        await client.trigger("a", "e", "x" * 10_241)

    assert "10240" in caught.value.body


async def test_a_clock_that_is_wrong_is_told_the_server_s_time(
    make_client: MakeClient, server: RunningServer
) -> None:
    client = make_client(**options_of(server), clock=lambda: 1_000_000.0)

    with pytest.raises(oyez.Unauthorized, match="not within 600s of server time"):
        await client.channels()


async def test_one_client_serves_many_callers(server: RunningServer) -> None:
    with oyez.Client(**options_of(server)) as client:
        failures: list[BaseException] = []

        def publish() -> None:
            try:
                for _ in range(20):
                    client.trigger("sdk-many", "e", "")
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=publish) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert failures == []
    async with oyez.AsyncClient(**options_of(server)) as asynchronous:
        await asyncio.gather(*(asynchronous.trigger("sdk-many", "e", "") for _ in range(100)))


def test_a_client_survives_a_fork(server: RunningServer) -> None:
    """The child must not talk over its parent's connection."""
    with oyez.Client(**options_of(server)) as client:
        client.trigger("sdk-fork", "e", "")
        child = os.fork()
        if not child:
            code = 1
            try:
                code = 0 if client.trigger("sdk-fork", "e", "") == {} else 1
            finally:
                os._exit(code)
        assert client.trigger("sdk-fork", "e", "") == {}
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_client_that_was_closed_can_be_used_again(server: RunningServer) -> None:
    client = oyez.Client(**options_of(server))
    client.trigger("a", "e", "")
    client.close()

    assert client.trigger("a", "e", "") == {}
    client.close()
