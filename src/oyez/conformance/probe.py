"""What a check works with: requests, fresh names, connections that are closed after it."""

import asyncio
import contextlib
import itertools
import secrets
from collections.abc import Callable
from urllib.parse import urlsplit

import httpx2

from oyez.conformance.client import Client, Message
from oyez.conformance.expectations import Failed, Skipped
from oyez.conformance.fallback_client import FallbackSession
from oyez.conformance.raw_socket import RawSocket
from oyez.conformance.signed import Answer, Api
from oyez.conformance.target import Credentials, Target

__all__ = ["QUERY", "Probe"]

QUERY = "protocol=7&client=conformance&version=1.0.0&flash=false"
_numbers = itertools.count(1)
_RUN = secrets.token_hex(4)


class Probe:
    """One check's access to the server."""

    def __init__(self, target: Target, http: httpx2.AsyncClient) -> None:
        self.target = target
        self.app = target.app
        self.api = Api(http, target, target.app)
        self._http = http
        self._open: list[Client | RawSocket | FallbackSession] = []

    async def close(self) -> None:
        """Close what the check has left open."""
        closing = (each.close() for each in self._open)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.target.patience):
                await asyncio.gather(*closing, return_exceptions=True)

    def channel(self, prefix: str = "") -> str:
        """A channel name with this prefix that has never been used."""
        return f"{prefix}conformance-{_RUN}-{next(_numbers)}"

    def user(self) -> str:
        """A user id that has never been used."""
        return f"user-{_RUN}-{next(_numbers)}"

    def second(self, name: str) -> Credentials:
        """One of the second apps."""
        found = getattr(self.target.second_apps, name)
        if not isinstance(found, Credentials):
            raise Skipped(f"needs the credentials of a second app: {name}")
        return found

    def api_of(self, app: Credentials) -> Api:
        """The HTTP API of another app."""
        return Api(self._http, self.target, app)

    async def open(
        self,
        path: str | None = None,
        app: Credentials | None = None,
        *,
        origin: str | None = None,
        subprotocols: tuple[str, ...] = (),
        url: str | None = None,
    ) -> Client:
        """A WebSocket from which nothing has been read.

        Args:
            path: path and query; by default those of a good client.
            app: with whose key; by default the main app.
            origin: as a browser sends it.
            subprotocols: to offer.
            url: another server.
        """
        app = app or self.app
        path = path if path is not None else self.target.socket_path(app.key, QUERY)
        if url:
            parts = urlsplit(url)
            scheme = "wss" if parts.scheme in ("https", "wss") else "ws"
            url = f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}/app/{app.key}?{QUERY}"
        client = await Client.open(
            self.target, path, app, origin=origin, subprotocols=subprotocols, url=url
        )
        self._open.append(client)
        return client

    async def connect(
        self, query: str = QUERY, app: Credentials | None = None, *, origin: str | None = None
    ) -> Client:
        """A client that the server has greeted."""
        path = self.target.socket_path((app or self.app).key, query)
        client = await self.open(path, app, origin=origin)
        await client.established()
        return client

    async def subscribed(self, channel: str, user_id: object = None, info: object = None) -> Client:
        """A new client with one subscription."""
        client = await self.connect()
        await client.subscribe(channel, user_id, info)
        return client

    def fallback(self, app: Credentials | None = None) -> FallbackSession:
        """A session of the HTTP fallbacks that has not begun."""
        session = FallbackSession(self._http, self.target, app or self.app)
        self._open.append(session)
        return session

    async def raw(self, *, receive_buffer: int | None = None) -> RawSocket:
        """A bare connection."""
        connection = await RawSocket.open(self.target, receive_buffer=receive_buffer)
        self._open.append(connection)
        return connection

    async def publish(self, channel: str, name: str, data: str, **more: object) -> Answer:
        """Publish one event, which has to succeed."""
        body = {"name": name, "channels": [channel], "data": data, **more}
        answer = await self.api.post("/events", body)
        answer.ok()
        return answer

    async def before_marker(self, channel: str, *clients: Client) -> list[Message]:
        """Publish a marker, and return what the clients got before it, all of them together.

        Shows what has *not* been sent, without waiting for nothing to come.
        """
        marker = f"marker-{next(_numbers)}"
        await self.publish(channel, marker, "x")
        found: list[Message] = []
        for client in clients:
            found += (await client.read_until(_is(marker, channel), f"{marker} on {channel}"))[:-1]
        return found

    async def occupied(self, channel: str) -> bool:
        """Whether the API says that somebody is subscribed."""
        return bool((await self.api.get(f"/channels/{channel}")).ok().get("occupied"))

    async def vacated(self, channel: str) -> None:
        """Wait until nobody is subscribed any more."""
        for _ in range(20):
            if not await self.occupied(channel):
                return
            await asyncio.sleep(self.target.patience / 20)
        raise Failed(f"{channel} to be vacated", "occupied")


def _is(event: str, channel: str) -> Callable[[Message], bool]:
    return lambda message: message.event == event and message.channel == channel
