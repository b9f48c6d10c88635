"""Subscribers of the real server, and a server that says whatever a test wants."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from websockets.asyncio.server import Server, ServerConnection, serve

from oyez.sdk.client import AsyncClient
from oyez.sdk.conversation import Event
from oyez.sdk.reconnection import Reconnection
from oyez.sdk.stream import Stream
from oyez.sdk.subscriber import AsyncSubscriber
from tests.conftest import RunningServer
from tests.sdk.conftest import options_of

MASTER_KEY = b"m" * 32
QUICK = Reconnection(first=0.01, longest=0.05, steady=60, pause=0.02)

Script = Callable[[ServerConnection, int], Awaitable[None]]


def backend_of(server: RunningServer, **options: Any) -> AsyncClient:
    """A backend that publishes, and authorizes without asking anybody."""
    return AsyncClient(
        **{**options_of(server), "encryption_master_key": MASTER_KEY, **options},
    )


def subscriber_of(server: RunningServer, **options: Any) -> AsyncSubscriber:
    """A subscriber whom a backend authorizes."""
    backend = backend_of(server)
    return AsyncSubscriber(
        server.key,
        **{
            "host": server.host,
            "port": server.port,
            "ssl": False,
            "authorize": backend.authorize_channel,
            "authenticate": backend.authenticate_user,
            "reconnection": QUICK,
            **options,
        },
    )


def fresh(prefix: str) -> str:
    """A name that no other test uses."""
    return f"{prefix}{uuid4().hex[:12]}"


async def following(stream: Stream, name: str = "", *, seconds: float = 90) -> Event:
    """The next event, or the next with this name."""
    async with asyncio.timeout(seconds):
        while True:
            event = await anext(stream)
            if event.name == name or not name:
                return event


async def heard(stream: Stream, name: str | None) -> "asyncio.Queue[Event]":
    """A queue that gets every event of this name from now on."""
    queue: asyncio.Queue[Event] = asyncio.Queue()
    stream.on(name, queue.put_nowait)
    return queue


async def until_occupied(backend: AsyncClient, channel: str, *, occupied: bool = True) -> None:
    """Wait until the server says so; nothing tells it."""
    async with asyncio.timeout(90):
        while (await backend.channel(channel))["occupied"] is not occupied:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class ScriptedServer:
    """A WebSocket server on a free port that runs a script for each connection.

    Attributes:
        paths: of the connections so far.
    """

    def __init__(self, script: Script) -> None:
        self._script = script
        self._server: Server | None = None
        self.paths: list[str] = []

    async def __aenter__(self) -> Self:
        self._server = await serve(self._serve, "127.0.0.1", 0, ping_interval=None, close_timeout=1)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(next(iter(self._server.sockets)).getsockname()[1])

    async def _serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        self.paths.append(socket.request.path)
        await self._script(socket, len(self.paths))

    def subscriber(self, **options: Any) -> AsyncSubscriber:
        return AsyncSubscriber(
            "a-key",
            **{
                "host": "127.0.0.1",
                "port": self.port,
                "ssl": False,
                "reconnection": QUICK,
                **options,
            },
        )


async def say(socket: ServerConnection, event: str, data: object, **fields: object) -> None:
    """Send one message, with its data as a string, unless it is a `pusher:error`."""
    if event != "pusher:error" and not isinstance(data, str):
        data = json.dumps(data)
    await socket.send(json.dumps({"event": event, "data": data, **fields}))


async def greet(socket: ServerConnection, number: int = 1, activity_timeout: float = 120) -> None:
    """Accept a connection; its socket id is told by its number."""
    await say(
        socket,
        "pusher:connection_established",
        {"socket_id": f"{number}.1", "activity_timeout": activity_timeout},
    )


async def confirm_subscriptions(socket: ServerConnection) -> None:
    """Serve for as long as the connection lasts."""
    async for text in socket:
        message = json.loads(text)
        match message["event"]:
            case "pusher:subscribe":
                await confirm(socket, message["data"]["channel"])
            case "pusher:ping":
                await say(socket, "pusher:pong", {})
            case _:
                pass


async def confirm(socket: ServerConnection, channel: str) -> None:
    """Acknowledge one subscription."""
    await say(socket, "pusher_internal:subscription_succeeded", {}, channel=channel)
