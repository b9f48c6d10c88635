"""How the drop-in reaches a server: every backend, TLS, proxies, retries, no answer at all."""

import asyncio
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import requests

import oyez
import oyez.pusher as pusher
from oyez.pusher import errors
from oyez.pusher.aiohttp import AsyncIOBackend
from oyez.pusher.gae import GAEBackend
from oyez.pusher.requests import RequestsBackend
from oyez.pusher.tornado import TornadoBackend
from tests.conftest import RunningServer
from tests.operation.clients import accepted
from tests.operation.test_tls import Certificates
from tests.sdk.conftest import options_of
from tests.sdk.test_retries import HANG_UP, SILENT, Answer, Scripted

GOOD: Answer = (200, b'{"a": 1}', {})
BUSY: Answer = (503, b"busy", {})
REDIRECT: Answer = (302, b"", {"Location": "/elsewhere"})


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    server = Scripted()
    yield server
    server.closing.set()
    server.shutdown()
    server.server_close()


def at(server: Scripted, **options: Any) -> dict[str, Any]:
    where = {"host": "127.0.0.1", "port": server.server_port, "ssl": False}
    return {"app_id": "4", "key": "k", "secret": "s", "timeout": 0.5, **where, **options}


@pytest.fixture
async def asynchronous(server: RunningServer) -> AsyncIterator[pusher.AsyncPusher]:
    async with pusher.AsyncPusher(**options_of(server)) as client:
        yield client


async def test_the_asynchronous_client(
    asynchronous: pusher.AsyncPusher, server: RunningServer
) -> None:
    client = asynchronous
    with accepted(server) as subscriber:
        subscriber.join(server, "presence-async", "ada")
        signed = client.authenticate_user(subscriber.socket_id, {"id": "async-ada"})
        subscriber.send("pusher:signin", signed)
        subscriber.receive("pusher:signin_success")
        subscriber.subscribe("#server-to-user-async-ada")

        assert await client.trigger("presence-async", "e", {"a": 1}, info="user_count") == {
            "channels": {"presence-async": {"user_count": 1}}
        }
        await client.trigger_batch([{"channel": "presence-async", "name": "e", "data": "two"}])
        await client.send_to_user("async-ada", "e", "three")
        await client.post("/events", {"name": "e", "channel": "presence-async", "data": "four"})

        received = [subscriber.receive("e")["data"] for _ in range(4)]
        assert received == ['{"a": 1}', "two", "three", "four"]
        assert await client.users_info("presence-async") == {"users": [{"id": "ada"}]}
        assert await client.channel_info("presence-async") == {"occupied": True}
        found = await client.channels_info("presence-async")
        assert found == await client.get("/channels", {"filter_by_prefix": "presence-async"})
        await client.terminate_user_connections("async-ada")
        assert subscriber.closed_with()[0] == 4009
    refused = client.trigger("a b", "e", "x")  # refused when it is awaited, as any coroutine
    with pytest.raises(ValueError, match="channel must be"):
        await refused
    with pytest.raises(errors.PusherBadRequest):
        await client.users_info("public")


def test_one_client_in_one_event_loop_after_another(server: RunningServer) -> None:
    # Nobody closes anything here, and the warnings of what is left open are errors.
    client = pusher.Pusher(**options_of(server), backend=AsyncIOBackend)

    async def ask() -> Any:
        return await asyncio.gather(*(client.channel_info("nobody") for _ in range(3)))

    for _ in range(3):
        assert asyncio.run(ask()) == [{"occupied": False}] * 3


@pytest.mark.parametrize("backend", [None, RequestsBackend, GAEBackend])
def test_backends_that_wait(server: RunningServer, backend: Any) -> None:
    with pusher.Pusher(**options_of(server), backend=backend) as client:
        assert client.trigger("a", "e", "x") == {}
        assert client.channels_info(prefix_filter="no,body;") == {"channels": {}}
        with pytest.raises(errors.PusherBadRequest) as caught:
            client.users_info("public")
        assert (caught.value.method, caught.value.path) == (
            "GET",
            f"/apps/{server.app_id}/channels/public/users",
        )


async def test_tornado(server: RunningServer, scripted: Scripted) -> None:
    pytest.importorskip("tornado")
    client = pusher.Pusher(**options_of(server), backend=TornadoBackend)

    future = client.trigger("a", "e", "x")

    assert isinstance(future, asyncio.Future)
    assert await future == {}
    assert await client.channel_info("nobody") == {"occupied": False}
    with pytest.raises(errors.PusherBadRequest):
        await client.users_info("public")
    scripted.script += [HANG_UP, SILENT]
    away = pusher.Pusher(**at(scripted), backend=TornadoBackend)
    with pytest.raises(errors.PusherConnectionError):
        await away.trigger("a", "e", "x")
    with pytest.raises(errors.PusherTimeout):
        await away.trigger("a", "e", "x")


def test_a_library_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tornado.httpclient", None)

    with pytest.raises(ImportError, match="pip install tornado"):
        pusher.Pusher("4", "k", "s", backend=TornadoBackend)


def test_requests_is_not_needed_unless_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "requests", None)
    monkeypatch.delitem(sys.modules, "oyez.pusher.requests")

    pusher.Pusher("4", "k", "s")
    with pytest.raises(ImportError, match="pip install requests"):
        pusher.Pusher("4", "k", "s", proxies={})


def test_a_forked_process_has_connections_of_its_own(server: RunningServer) -> None:
    with pusher.Pusher(**options_of(server)) as client:
        client.trigger("a", "e", "x")
        child = os.fork()
        if not child:
            code = 1
            try:
                code = 0 if client.trigger("a", "e", "x") == {} else 1
            finally:
                os._exit(code)
        assert client.trigger("a", "e", "x") == {}
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_closed_client_can_be_used_again(server: RunningServer) -> None:
    client = pusher.Pusher(**options_of(server))
    client.close()
    for _ in range(2):
        assert client.trigger("a", "e", "x") == {}
        client.close()


def test_certificates(start_server: Callable[..., RunningServer], tmp_path: Any) -> None:
    certificates = Certificates(tmp_path)
    server = start_server(certificates.settings())
    authority = tmp_path / "ca.pem"
    certificates.authority.cert_pem.write_to_path(str(authority))
    options = {**options_of(server), "ssl": True}

    for trusting in (
        {"verify": str(authority)},
        {"ssl_context": certificates.trusting()},
        {"verify": False},
        {"backend": RequestsBackend, "verify": str(authority)},
        {"backend": GAEBackend, "validate_certificate": False},
    ):
        with pusher.Pusher(**options, **trusting) as client:
            assert client.trigger("a", "e", "x") == {}
    for backend in (None, RequestsBackend, GAEBackend):
        with (
            pusher.Pusher(**options, backend=backend) as client,
            pytest.raises(errors.PusherConnectionError),
        ):
            client.trigger("a", "e", "x")


@pytest.mark.parametrize("backend", [None, RequestsBackend])
def test_nobody_listens(backend: Any) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with (
            pusher.Pusher(
                "4", "k", "s", False, "127.0.0.1", bound.getsockname()[1], backend=backend
            ) as client,
            pytest.raises(errors.PusherConnectionError, match="no answer from http://") as caught,
        ):
            client.trigger("a", "e", "x")
    assert isinstance(caught.value, oyez.ConnectionFailed)
    assert isinstance(caught.value.__cause__, Exception)
    assert "auth_signature" not in str(caught.value)


@pytest.mark.parametrize("backend", [None, RequestsBackend])
def test_no_answer(scripted: Scripted, backend: Any) -> None:
    scripted.script += [HANG_UP, SILENT]
    with pusher.Pusher(**at(scripted, backend=backend)) as client:
        with pytest.raises(errors.PusherConnectionError) as hung_up:
            client.trigger("a", "e", "x")
        with pytest.raises(errors.PusherTimeout) as silent:
            client.trigger("a", "e", "x")
    assert hung_up.value.may_have_arrived
    assert silent.value.may_have_arrived
    assert isinstance(silent.value, oyez.TimedOut)
    if backend is RequestsBackend:
        assert isinstance(silent.value.__cause__, requests.Timeout)


@pytest.mark.parametrize("backend", [None, RequestsBackend])
def test_redirects_are_not_followed(scripted: Scripted, backend: Any) -> None:
    scripted.script += [REDIRECT]
    with (
        pusher.Pusher(**at(scripted, backend=backend)) as client,
        pytest.raises(errors.PusherBadStatus, match=r"^302: $"),
    ):
        client.channels_info()


def test_nothing_is_tried_again_by_default(scripted: Scripted) -> None:
    scripted.script += [BUSY]
    with (
        pusher.Pusher(**at(scripted)) as client,
        pytest.raises(errors.PusherServerError, match="503: busy"),
    ):
        client.trigger("a", "e", "x")


async def test_trying_again_where_that_is_safe(
    scripted: Scripted, caplog: pytest.LogCaptureFixture
) -> None:
    logger = logging.getLogger("mine")
    caplog.set_level(logging.DEBUG, "mine")
    options = at(scripted, retries=2, logger=logger)
    with pusher.Pusher(**options) as client:
        scripted.script += [BUSY, GOOD]
        assert client.trigger("a", "e", "x") == {"a": 1}
        scripted.script += [HANG_UP, GOOD]
        assert client.channels_info() == {"a": 1}
        scripted.script += [HANG_UP]
        with pytest.raises(errors.PusherConnectionError):
            client.trigger("a", "e", "x")
    async with pusher.AsyncPusher(**options) as waiting:
        scripted.script += [BUSY, GOOD]
        assert await waiting.trigger("a", "e", "x") == {"a": 1}
        scripted.script += [BUSY, BUSY, BUSY]
        with pytest.raises(errors.PusherServerError):
            await waiting.trigger("a", "e", "x")
    assert "POST /apps/4/events again in" in caplog.text
    assert "POST /apps/4/events: 200" in caplog.text
    assert "auth_signature" not in caplog.text
