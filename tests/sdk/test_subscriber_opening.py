"""Where a subscriber connects, how it opens and closes, and subscribing in one line."""

import asyncio
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

import oyez
from oyez.sdk.client import AsyncClient
from oyez.sdk.errors import (
    ConnectionFailed,
    ConnectionRejected,
    TimedOut,
)
from oyez.sdk.reconnection import Reconnection
from oyez.sdk.state import State, StateChange
from oyez.sdk.subscriber import AsyncSubscriber
from tests.conftest import RunningServer
from tests.sdk.subscribers import backend_of, fresh, subscriber_of, until_occupied

StartServer = Callable[..., RunningServer]


@pytest.fixture
async def backend(server: RunningServer) -> AsyncIterator[AsyncClient]:
    async with backend_of(server) as client:
        yield client


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    assert asyncio.all_tasks() - before <= {asyncio.current_task()}


async def test_it_must_be_open_and_is_opened_once(server: RunningServer) -> None:
    subscriber = subscriber_of(server)
    with pytest.raises(RuntimeError, match="opened first"):
        await subscriber.subscribe("news")
    async with subscriber:
        with pytest.raises(RuntimeError, match="once"):
            await subscriber.open()
    with pytest.raises(ConnectionFailed, match="closed"):
        await subscriber.subscribe("news")
    assert subscriber.state is State.CLOSED
    await subscriber.wait_closed()


async def test_states_are_told(server: RunningServer) -> None:
    changes: list[StateChange] = []
    subscriber = subscriber_of(server)
    subscriber.on_state(changes.append)

    async with subscriber:
        assert subscriber.state is State.CONNECTED

    assert [change.state for change in changes] == ["connecting", "connected", "closed"]


async def test_an_unknown_key_is_given_up_at_once(server: RunningServer) -> None:
    with pytest.raises(ConnectionRejected, match="nobodys-key") as rejected:
        async with AsyncSubscriber("nobodys-key", host=server.host, port=server.port, ssl=False):
            pass

    assert rejected.value.code == 4001


async def test_a_server_that_is_not_there_is_tried_for_a_while(unused_tcp_port: int) -> None:
    reconnection = Reconnection(first=0.01, longest=0.01)
    subscriber = AsyncSubscriber(
        "key",
        host="127.0.0.1",
        port=unused_tcp_port,
        ssl=False,
        open_timeout=0.1,
        reconnection=reconnection,
    )

    with pytest.raises(TimedOut, match="cannot connect") as failed:
        await subscriber.open()

    assert isinstance(failed.value.__cause__, ConnectionFailed)
    assert isinstance(failed.value.__cause__.__cause__, OSError)


async def test_a_server_without_websockets_is_no_such_server(server: RunningServer) -> None:
    with pytest.raises(ConnectionRejected, match="opens no WebSocket") as rejected:
        async with AsyncSubscriber("key", host=server.host, port=server.admin_port, ssl=False):
            pass

    assert rejected.value.code in (403, 404)


async def test_certificates_are_verified_as_asked(
    start_server: StartServer, tmp_path: Path
) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    certificate, key = tmp_path / "server.pem", tmp_path / "server.key"
    key.write_bytes(issued.private_key_pem.bytes())
    certificate.write_bytes(b"".join(part.bytes() for part in issued.cert_chain_pems))
    server = start_server(f'tls_certificate = "{certificate}"\ntls_key = "{key}"\n')
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)

    for verify in (trusting, False):
        async with subscriber_of(server, ssl=True, verify=verify) as subscriber:
            await subscriber.subscribe("news")
    with pytest.raises(ConnectionFailed, match="certificate"):
        await subscriber_of(server, ssl=True).open()


async def test_one_line_is_enough(server: RunningServer, backend: AsyncClient) -> None:
    url = f"http://app-key:app-secret@{server.host}:{server.port}/apps/1001"
    public, private = fresh("news-"), fresh("private-encrypted-")

    async def publish() -> None:
        await until_occupied(backend, private)
        await backend.trigger(public, "a", 1)
        await backend.trigger(private, "b", 2)

    publishing, got = asyncio.create_task(publish()), []
    async for event in oyez.subscribe(url, public, private, encryption_master_key=b"m" * 32):
        got.append((event.channel, event.data))
        if len(got) == 2:
            break
    await publishing

    assert got == [(public, 1), (private, 2)]
    await until_occupied(backend, private, occupied=False)  # leaving the loop has closed it


async def test_one_line_can_have_a_place_to_end(server: RunningServer) -> None:
    url = f"http://app-key:app-secret@{server.host}:{server.port}/apps/1001"
    room = fresh("presence-")

    async with oyez.subscribe(
        url, room, member={"user_id": "ada"}, system_events=True
    ) as listening:
        subscription = listening.subscriber.subscription(room)
        assert subscription is not None
        assert subscription.members.me == ("ada", {})
        async for event in listening:
            assert event.name == "pusher:subscription_succeeded"
            break

    assert listening.subscriber.state is State.CLOSED
    with pytest.raises(ValueError, match="at least one"):
        oyez.subscribe(url)


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({"cluster": "eu"}, "wss://ws-eu.pusher.com/app/k"),
        ({"host": "h", "ssl": False}, "ws://h/app/k"),
        ({"host": "::1", "port": 6001, "path": "/x/"}, "wss://[::1]:6001/x/app/k"),
    ],
)
def test_where_it_connects(options: dict[str, Any], url: str) -> None:
    assert url in repr(AsyncSubscriber("k", **options))


def test_a_url_of_hosted_pusher_leads_to_the_host_of_its_clients() -> None:
    subscriber = AsyncSubscriber.from_url("https://k:hush@api-eu.pusher.com/apps/3")

    assert "wss://ws-eu.pusher.com/app/k," in repr(subscriber)
    assert "hush" not in repr(subscriber)


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUSHER_URL", "http://k:s@shop.example:6001/apps/3")

    assert "ws://shop.example:6001/app/k," in repr(AsyncSubscriber.from_env())


def test_without_the_extra_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['websockets'] = None\n"
        "import oyez\n"
        "try: oyez.AsyncSubscriber('k', cluster='eu')\n"
        "except ModuleNotFoundError as error: print(error)"
    )

    shown = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )

    assert "pip install 'oyez[subscriber]'" in shown.stdout
