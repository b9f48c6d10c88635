"""The `websockets` client with its usual settings: what the raw client says holds for others."""

import asyncio
import json

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.conformance.probes import PING_EVENT, PONG_EVENT, app_target, ping_of_size
from tests.conftest import RunningServer

PING_TEXT = PING_EVENT.decode()


def url(server: RunningServer, target: str | None = None) -> str:
    return f"ws://{server.host}:{server.port}{target or app_target(server)}"


async def greeted(websocket: ClientConnection) -> None:
    event = json.loads(await websocket.recv())
    assert event["event"] == "pusher:connection_established"


def test_it_connects_though_deflate_is_declined(server: RunningServer) -> None:
    with connect(url(server), proxy=None) as websocket:
        assert websocket.request is not None
        assert "permessage-deflate" in websocket.request.headers["Sec-WebSocket-Extensions"]
        assert websocket.response is not None
        assert "Sec-WebSocket-Extensions" not in websocket.response.headers
        event = json.loads(websocket.recv(5))
        assert event["event"] == "pusher:connection_established"
        websocket.send(PING_TEXT)
        assert json.loads(websocket.recv(5)) == PONG_EVENT


def test_it_agrees_on_the_subprotocol(server: RunningServer) -> None:
    offered = [Subprotocol("chat"), Subprotocol("pusher-channels-protocol-7")]
    with connect(url(server), subprotocols=offered, proxy=None) as websocket:
        assert websocket.subprotocol == "pusher-channels-protocol-7"


def test_it_goes_on_without_a_subprotocol_that_is_not_ours(server: RunningServer) -> None:
    with connect(url(server), subprotocols=[Subprotocol("chat")], proxy=None) as websocket:
        assert websocket.subprotocol is None


async def test_its_pings_are_answered_within_a_second(server: RunningServer) -> None:
    async with connect_async(url(server), proxy=None) as websocket:
        await greeted(websocket)
        for payload in (None, b"", b"x" * 125):
            latency = await asyncio.wait_for(await websocket.ping(payload), 5)
            assert latency < 1


async def test_its_keepalive_is_satisfied(server: RunningServer) -> None:
    async with connect_async(
        url(server), ping_interval=0.05, ping_timeout=2, proxy=None
    ) as websocket:
        await greeted(websocket)
        await asyncio.sleep(0.5)
        await websocket.send(PING_TEXT)
        assert json.loads(await websocket.recv()) == PONG_EVENT
        assert 0 < websocket.latency < 1  # measured by the keepalive


async def test_its_fragmented_message_arrives_whole(server: RunningServer) -> None:
    async with connect_async(url(server), proxy=None) as websocket:
        await greeted(websocket)
        await websocket.send(list(PING_TEXT))
        assert json.loads(await websocket.recv()) == PONG_EVENT


async def test_its_largest_message_arrives_whole(server: RunningServer) -> None:
    async with connect_async(url(server), proxy=None) as websocket:
        await greeted(websocket)
        await websocket.send(ping_of_size(131_072).decode())
        assert json.loads(await websocket.recv()) == PONG_EVENT


@pytest.mark.parametrize(("code", "reason"), [(1000, ""), (1001, "leaving"), (4000, "\u00e0 +")])
async def test_its_close_is_confirmed(server: RunningServer, code: int, reason: str) -> None:
    async with connect_async(url(server), proxy=None) as websocket:
        await greeted(websocket)
        await websocket.close(code, reason)
    assert websocket.protocol.close_rcvd is not None
    assert websocket.protocol.close_rcvd.code == code
    assert websocket.protocol.close_rcvd_then_sent is False


FAILURES: dict[str, tuple[str | bytes, int]] = {
    "binary": (b"x", 1003),
    "too big": ("x" * 131_073, 1009),
}


@pytest.mark.parametrize(("message", "code"), FAILURES.values(), ids=FAILURES)
async def test_it_is_told_why_its_message_failed(
    server: RunningServer, message: str | bytes, code: int
) -> None:
    async with connect_async(url(server), proxy=None) as websocket:
        await greeted(websocket)
        await websocket.send(message)
        with pytest.raises(ConnectionClosed) as failure:
            await websocket.recv()
    assert failure.value.rcvd is not None
    assert failure.value.rcvd.code == code


REFUSALS = {
    "/app/nobody?protocol=7": 4001,
    "/nowhere?protocol=7": 4005,
    "/app/app-key?protocol=abc": 4006,
    "/app/app-key?protocol=8": 4007,
    "/app/app-key": 4008,
}


@pytest.mark.parametrize(("target", "code"), REFUSALS.items())
async def test_it_sees_a_refusal_as_event_and_close_code(
    server: RunningServer, target: str, code: int
) -> None:
    async with connect_async(url(server, target), proxy=None) as websocket:
        event = json.loads(await websocket.recv())
        with pytest.raises(ConnectionClosed) as refusal:
            await websocket.recv()
    assert event["event"] == "pusher:error"
    assert event["data"]["code"] == code
    assert refusal.value.rcvd is not None
    assert (refusal.value.rcvd.code, refusal.value.rcvd.reason) == (code, event["data"]["message"])


async def test_a_hundred_of_them_at_once_are_served(server: RunningServer) -> None:
    async def converse() -> object:
        async with connect_async(url(server), proxy=None) as websocket:
            await greeted(websocket)
            await websocket.send(PING_TEXT)
            return json.loads(await websocket.recv())

    assert await asyncio.gather(*(converse() for _ in range(100))) == [PONG_EVENT] * 100
