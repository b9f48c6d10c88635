"""Clients that travel: to a process of `multiprocessing` or a worker of Celery, and copies."""

import asyncio
import copy
import inspect
import multiprocessing
import pickle
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import oyez
import oyez.pusher as pusher
from oyez.pusher import errors
from oyez.pusher.aiohttp import AsyncIOBackend
from oyez.pusher.gae import GAEBackend
from oyez.pusher.requests import RequestsBackend
from oyez.pusher.tornado import TornadoBackend
from oyez.sdk import errors as sdk_errors
from oyez.sdk.aiohttp_transport import AiohttpTransport
from oyez.sdk.transport import AsyncHttpTransport, HttpOptions, HttpTransport
from tests.conftest import RunningServer
from tests.sdk.conftest import options_of

KEY = "bW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW0="
MAKERS: dict[str, Callable[..., Any]] = {
    "Client": partial(oyez.Client, encryption_master_key=KEY, more_tokens=[("k", "s")]),
    "AsyncClient": partial(oyez.AsyncClient, encryption_master_key=KEY),
    "over httpx2": lambda **options: oyez.AsyncClient(
        **options, transport=AsyncHttpTransport(HttpOptions())
    ),
    "over aiohttp": lambda **options: oyez.AsyncClient(
        **options, transport=AiohttpTransport(HttpOptions())
    ),
    "a transport of one's own": lambda **options: oyez.Client(
        **options, transport=HttpTransport(HttpOptions())
    ),
    "Pusher": partial(
        pusher.Pusher, encryption_master_key_base64=KEY, extra_tokens=[("k", "s")], retries=1
    ),
    "AsyncPusher": pusher.AsyncPusher,
    "requests": partial(pusher.Pusher, backend=RequestsBackend),
    "gae": partial(pusher.Pusher, backend=GAEBackend),
    "tornado": partial(pusher.AsyncPusher, backend=TornadoBackend),
    "AsyncIOBackend": partial(pusher.AsyncPusher, backend=AsyncIOBackend),
}


def publish(client: Any) -> Any:
    """Publish once with a client of any kind, and leave nothing open."""
    if not inspect.iscoroutinefunction(client.trigger):
        answer = client.trigger("travelled", "e", "x")
        client.close()
        if isinstance(client, oyez.Client):
            client._transport.close()  # also one that is not the client's to close
        return answer

    async def publish() -> Any:
        return await client.trigger("travelled", "e", "x")

    return asyncio.run(publish())


def told(client: Any, answers: Any) -> None:
    """What a process does that is given a client."""
    answers.put(publish(client))


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))]
)
@pytest.mark.parametrize("kind", MAKERS)
def test_a_copy_works_like_its_original(
    server: RunningServer, kind: str, copied: Callable[[Any], Any]
) -> None:
    original = MAKERS[kind](**options_of(server))
    publish(original)  # it may have connections, which do not travel

    found = copied(original)

    assert found is not original
    assert repr(found) == repr(original)
    assert publish(found) == {}
    assert publish(original) == {}


@pytest.mark.parametrize("kind", ["Client", "AsyncClient", "Pusher", "AsyncPusher", "requests"])
def test_a_client_is_given_to_a_process(server: RunningServer, kind: str) -> None:
    client = MAKERS[kind](**options_of(server))
    publish(client)
    spawning = multiprocessing.get_context("spawn")
    answers = spawning.SimpleQueue()
    process = spawning.Process(target=told, args=(client, answers))

    process.start()
    process.join()

    assert process.exitcode == 0
    assert answers.get() == {}
    answers.close()
    process.close()


def test_what_a_copy_signs_and_opens_is_the_same() -> None:
    client = oyez.Client("1", "k", "s" * 100, host="h", encryption_master_key=KEY)
    drop_in = pusher.Pusher("1", "k", "s" * 100, host="h", encryption_master_key_base64=KEY)
    channel = "private-encrypted-a"

    for original in (client, drop_in):
        for found in (copy.deepcopy(original), pickle.loads(pickle.dumps(original))):
            assert found.authorize_channel(channel, "1.2") == original.authorize_channel(
                channel, "1.2"
            )
            assert found.decrypt(channel, original.encrypt(channel, {"a": 1}))


def test_a_context_is_shared_by_copies_and_cannot_travel() -> None:
    context = ssl.create_default_context()
    for original in (
        oyez.Client("1", "k", "s", host="h", verify=context),
        oyez.AsyncClient("1", "k", "s", host="h", verify=context),
        pusher.Pusher("1", "k", "s", host="h", ssl_context=context),
    ):
        copy.deepcopy(original)
        with pytest.raises(TypeError, match="SSLContext"):
            pickle.dumps(original)


ERRORS: list[Exception] = [
    sdk_errors.ApiError(418, "tea", "GET", "/apps", 1.5),
    sdk_errors.RateLimited(429, "slow", "POST", "/apps", 2.0),
    sdk_errors.ConnectionFailed("away", may_have_arrived=True),
    sdk_errors.TimedOut("late", may_have_arrived=True),
    sdk_errors.ConnectionRejected(4001, "no such app"),
    sdk_errors.BadResponse(200, "<html>"),
    sdk_errors.WebhookError("expired", "made long ago"),
    sdk_errors.DecryptionFailed("changed"),
    sdk_errors.SubscriptionError("private-a", "no", 403),
    sdk_errors.SigninError("no"),
    errors.PusherBadRequest("bad", status=400, body="bad", method="GET", path="/"),
    errors.PusherRateLimited("429: x", body="x", retry_after=3.0),
    errors.PusherTimeout("late", may_have_arrived=True),
    errors.PusherResponseError(200, "<html>"),
    errors.WebhookError("expired", "made long ago"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__qualname__)
@pytest.mark.parametrize("copied", [copy.copy, lambda it: pickle.loads(pickle.dumps(it))])
def test_an_error_comes_back_from_another_process(
    error: Exception, copied: Callable[[Any], Any]
) -> None:
    found = copied(error)

    assert type(found) is type(error)
    assert str(found) == str(error)
    assert vars(found) == vars(error)
