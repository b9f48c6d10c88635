"""Asynchronous clients in one event loop after another, and in several at once.

Nobody closes anything here unless a test is about that, and warnings of what is left open are
errors.
"""

import asyncio
import gc
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

import oyez
from oyez import pusher
from oyez.sdk.aiohttp_transport import AiohttpTransport
from oyez.sdk.transport import AsyncHttpTransport, AsyncTransport, HttpOptions, Request
from tests.conftest import RunningServer
from tests.operation.clients import accepted
from tests.operation.test_tls import Certificates
from tests.sdk.conftest import options_of

Make = Callable[..., Any]


@pytest.fixture(params=["aiohttp", "httpx2"])
def transport(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> type[Any]:
    """What sends, whether it is asked for or not."""
    if request.param == "aiohttp":
        return AiohttpTransport
    monkeypatch.setitem(sys.modules, "oyez.sdk.aiohttp_transport", None)  # not installed
    return AsyncHttpTransport


@pytest.fixture(params=["AsyncClient", "a transport of one's own", "AsyncPusher"])
def make(
    request: pytest.FixtureRequest, transport: Callable[[HttpOptions], AsyncTransport]
) -> Make:
    """Makes clients."""
    if request.param == "AsyncPusher":
        return pusher.AsyncPusher
    if request.param == "AsyncClient":
        return oyez.AsyncClient
    return lambda **options: oyez.AsyncClient(**options, transport=transport(HttpOptions()))


def test_six_programs_publish_once_each(make: Make, server: RunningServer) -> None:
    client = make(**options_of(server))
    with accepted(server) as subscriber:
        subscriber.subscribe("sdk-loops")

        for number in range(6):
            assert asyncio.run(client.trigger("sdk-loops", "e", str(number))) == {}
        asyncio.run(client.trigger("sdk-loops", "last", ""))

        received = [subscriber.receive()["data"] for _ in range(7)]
    assert received == ["0", "1", "2", "3", "4", "5", ""]
    gc.collect()


def test_a_client_of_a_single_call(make: Make, server: RunningServer) -> None:
    assert asyncio.run(make(**options_of(server)).trigger("a", "e", "x")) == {}
    gc.collect()


def test_many_calls_of_each_program(make: Make, server: RunningServer) -> None:
    client = make(**options_of(server))

    async def publish() -> Any:
        return await asyncio.gather(*(client.trigger("a", "e", "x") for _ in range(20)))

    for _ in range(3):
        assert asyncio.run(publish()) == [{}] * 20
    gc.collect()


def test_event_loops_at_once(make: Make, server: RunningServer) -> None:
    client = make(**options_of(server))
    answers: list[Any] = []

    def run() -> None:
        answers.extend(asyncio.run(client.trigger("a", "e", "x")) for _ in range(5))

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [{}] * 20
    gc.collect()


def test_closing_leaves_other_loops_alone(make: Make, server: RunningServer) -> None:
    client = make(**options_of(server))

    async def outer() -> None:
        await client.trigger("a", "e", "x")
        await asyncio.to_thread(lambda: asyncio.run(inner()))
        await client.trigger("a", "e", "x")
        await client.aclose()
        await client.aclose()
        await client.trigger("a", "e", "x")

    async def inner() -> None:
        await client.trigger("a", "e", "x")
        await client.aclose()

    asyncio.run(outer())
    gc.collect()


def test_a_loop_that_goes_on_after_its_generators_have_ended(
    transport: Callable[[HttpOptions], AsyncTransport], server: RunningServer
) -> None:
    sender = transport(HttpOptions())
    request = Request("GET", f"http://{server.host}:{server.port}/nowhere", {}, b"")
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(sender.send(request))
        loop.run_until_complete(loop.shutdown_asyncgens())
        with pytest.warns(ResourceWarning, match="was scheduled after"):
            assert loop.run_until_complete(sender.send(request)).status == 404
        loop.run_until_complete(sender.aclose())
    finally:
        loop.close()
    gc.collect()


@pytest.mark.parametrize("kind", [oyez.AsyncClient, pusher.AsyncPusher])
@pytest.mark.usefixtures("transport")
def test_nothing_is_left_of_tls(
    kind: Make, start_server: Callable[..., RunningServer], tmp_path: Any
) -> None:
    certificates = Certificates(tmp_path)
    options = {**options_of(start_server(certificates.settings())), "ssl": True}
    client = kind(**options, verify=False)

    for _ in range(3):
        assert asyncio.run(client.trigger("a", "e", "x")) == {}
    gc.collect()


def test_an_endpoint_asked_from_two_loops(server: RunningServer) -> None:
    ask = oyez.HttpAuthorizer(f"http://{server.host}:{server.port}/nowhere")

    for _ in range(2):
        with pytest.raises(oyez.SubscriptionError, match="answered 404"):
            asyncio.run(ask("private-a", "1.2"))
    gc.collect()
