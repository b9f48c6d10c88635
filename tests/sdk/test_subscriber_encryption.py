"""Encrypted channels: the key comes from the authorizer, and may change."""

import asyncio
import base64
from collections.abc import Callable
from typing import Any

import pytest

from oyez.sdk.client import AsyncClient
from tests.conftest import RunningServer
from tests.sdk.subscribers import MASTER_KEY, backend_of, following, fresh, subscriber_of

NEW_KEY = b"n" * 32


class Authorizer:
    """Authorizes with a key that can be changed, and counts how often it is asked."""

    def __init__(self, server: RunningServer) -> None:
        self._server = server
        self.key = MASTER_KEY
        self.asked = 0
        self.allowed: Callable[[], bool] = lambda: True

    async def __call__(self, channel: str, socket_id: str, member: Any) -> Any:
        self.asked += 1
        await asyncio.sleep(0.01)  # as long as a request takes at least
        if not self.allowed():
            raise PermissionError("not any more")
        backend = backend_of(self._server, encryption_master_key=self.key)
        return backend.authorize_channel(channel, socket_id, member)


@pytest.fixture
def authorizer(server: RunningServer) -> Authorizer:
    return Authorizer(server)


async def publish(server: RunningServer, channel: str, *data: object, key: bytes) -> None:
    async with backend_of(server, encryption_master_key=key) as backend:
        for each in data:
            await backend.trigger(channel, "e", each)


async def test_events_are_decrypted(server: RunningServer, authorizer: Authorizer) -> None:
    channel = fresh("private-encrypted-")
    async with subscriber_of(server, authorize=authorizer) as subscriber:
        secret = await subscriber.subscribe(channel)

        await publish(server, channel, {"n": "é"}, "text", key=MASTER_KEY)

        assert [(await following(secret)).data for _ in range(2)] == [{"n": "é"}, "text"]
        assert (await following(subscriber, "e")).text == '{"n":"é"}'
    assert authorizer.asked == 1


async def test_a_cached_event_is_decrypted(server: RunningServer, authorizer: Authorizer) -> None:
    channel = fresh("private-encrypted-cache-")
    await publish(server, channel, 12, key=MASTER_KEY)
    async with subscriber_of(server, authorize=authorizer) as subscriber:
        secret = await subscriber.subscribe(channel)

        assert (await following(secret)).data == 12


async def test_a_changed_key_is_asked_for_once_and_nothing_is_lost(
    server: RunningServer, authorizer: Authorizer
) -> None:
    channel = fresh("private-encrypted-")
    async with subscriber_of(server, authorize=authorizer) as subscriber:
        secret = await subscriber.subscribe(channel)
        await publish(server, channel, 0, key=MASTER_KEY)
        authorizer.key = NEW_KEY

        await publish(server, channel, *range(1, 6), key=NEW_KEY)

        assert [(await following(secret)).data for _ in range(6)] == list(range(6))
        assert authorizer.asked == 2


async def test_what_no_key_opens_is_told_and_passed_over(
    server: RunningServer, authorizer: Authorizer
) -> None:
    channel = fresh("private-encrypted-")
    async with subscriber_of(server, authorize=authorizer) as subscriber:
        secret = await subscriber.subscribe(channel)

        await publish(server, channel, "sealed with another", key=NEW_KEY)
        await following(subscriber, "oyez:decryption_failed")
        await publish(server, channel, "after", key=MASTER_KEY)

        assert (await following(secret)).data == "after"


async def test_an_authorizer_that_refuses_a_new_key_is_told(
    server: RunningServer, authorizer: Authorizer
) -> None:
    channel = fresh("private-encrypted-")
    async with subscriber_of(server, authorize=authorizer) as subscriber:
        await subscriber.subscribe(channel)
        authorizer.allowed = lambda: False

        await publish(server, channel, "x", key=NEW_KEY)

        failed = await following(subscriber, "oyez:decryption_failed")
        assert failed.system
        assert failed.data == {"event": "e", "error": "not any more"}


async def test_plain_text_on_an_encrypted_channel_is_not_taken_for_an_event(
    server: RunningServer, authorizer: Authorizer
) -> None:
    channel = fresh("private-encrypted-")
    async with (
        subscriber_of(server, authorize=authorizer) as subscriber,
        backend_of(server) as backend,
    ):
        await subscriber.subscribe(channel)

        await backend.trigger(channel, "forged", "plain", already_encoded=True)

        assert (await following(subscriber, "oyez:decryption_failed")).data["event"] == "forged"


def test_the_secret_is_in_no_repr(server: RunningServer) -> None:
    client: AsyncClient = backend_of(server)
    granted = client.authorize_channel("private-encrypted-x", "1.2")
    secret = base64.b64decode(granted["shared_secret"])

    from oyez.sdk.permission import Grant

    assert repr(secret) not in repr(Grant("k:s", None, secret))
