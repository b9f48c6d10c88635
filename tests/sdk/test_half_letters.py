"""Half letters (lone surrogates), as cutting JavaScript's strings makes them, in what is sent."""

import json
from typing import Any

import pytest

import oyez
import oyez.pusher
from oyez.sdk.calls import encode_json
from tests.cli.command import url_of
from tests.conftest import RunningServer
from tests.operation.clients import accepted
from tests.sdk.conftest import options_of

HALF = "Anna \ud83d"
READ = "Anna \ufffd"
KEY = "bW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW0="


def client_of(kind: type[Any], server: RunningServer) -> Any:
    name = "encryption_master_key" + "_base64" * (kind is oyez.pusher.Pusher)
    return kind(**options_of(server), **{name: KEY})


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({HALF: [HALF]}, f'{{"{READ}":["{READ}"]}}'),
        ("\ud83d\ude00", '"\U0001f600"'),  # both halves are a letter
        ("é\udc00é", '"é\ufffdé"'),
    ],
)
def test_json_has_the_replacement_character_for_them(data: Any, text: str) -> None:
    assert encode_json(data) == text


@pytest.mark.parametrize("kind", [oyez.Client, oyez.pusher.Pusher])
def test_they_are_published_wherever_they_stand(server: RunningServer, kind: type[Any]) -> None:
    sent: list[Any] = [HALF, {"name": HALF, HALF: [HALF]}, "x" * 3000 + "\ud83d"]
    with accepted(server) as client, client_of(kind, server) as publisher:
        client.subscribe("half-letters")
        for data in sent:
            publisher.trigger("half-letters", HALF, data)
            publisher.trigger_batch([{"channel": "half-letters", "name": HALF, "data": data}])
        for data in sent:
            for _ in range(2):
                found = client.receive(READ)["data"]
                found = json.loads(found) if isinstance(data, dict) else found
                assert json.dumps(found).replace(r"\ud83d", r"\ufffd") == (
                    json.dumps(data).replace(r"\ud83d", r"\ufffd")
                )


@pytest.mark.parametrize("kind", [oyez.Client, oyez.pusher.Pusher])
def test_what_is_encrypted_can_be_read(server: RunningServer, kind: type[Any]) -> None:
    with client_of(kind, server) as client:
        sealed = client.encrypt("private-encrypted-half", HALF)
        assert client.decrypt("private-encrypted-half", sealed) == READ


async def test_a_subscriber_joins_signs_in_and_sends_with_them(server: RunningServer) -> None:
    async with oyez.AsyncSubscriber.from_url(url_of(server)) as one:
        room = await one.subscribe("presence-half", {"user_id": "half", "user_info": {"n": HALF}})
        assert room.members["half"] == {"n": READ}
        await one.signin({"id": "half", "user_info": {"n": HALF}})
        await room.trigger("client-e", {"n": HALF})
        await room.trigger("client-e", HALF)
