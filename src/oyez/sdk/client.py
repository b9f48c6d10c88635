"""The clients of the HTTP API: one for threads, one for asyncio, the same methods."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from oyez.sdk.answers import (
    BatchInfo,
    ChannelInfo,
    ChannelsInfo,
    PresenceUsers,
    Triggered,
)
from oyez.sdk.calls import Call
from oyez.sdk.errors import OyezError
from oyez.sdk.forks import no_fork
from oyez.sdk.offline import Batch, Info, Offline
from oyez.sdk.transport import (
    AsyncHttpTransport,
    AsyncTransport,
    HttpOptions,
    HttpTransport,
    Transport,
)

__all__ = ["AsyncClient", "Client", "async_transport"]

_Answer = TypeVar("_Answer")


class Client(Offline[Transport]):
    """Talks to a server; any number of threads may share one.

    Every method that sends raises what `oyez.sdk.errors` draws, and `TypeError` or `ValueError`
    before anything is sent. Arguments of the constructor: see `Offline`.
    """

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of connections; the client can still be used and then makes new ones."""
        if self._owns_transport:
            self._transport.close()

    def trigger(
        self,
        channels: str | Sequence[str],
        event: str,
        data: Any,
        *,
        socket_id: str | None = None,
        info: Info | None = None,
        already_encoded: bool = False,
    ) -> Triggered:
        """Publish an event.

        Args:
            channels: one name, or up to 100.
            event: its name, up to 200 characters.
            data: a string travels as it is, anything else as JSON.
            socket_id: of a connection that does not get it, usually the one that caused it.
            info: ``subscription_count`` and ``user_count`` of the channels as part of the answer;
                the event then counts as two messages.
            already_encoded: for encrypted channels: data has been encrypted by `encrypt`.
        """
        return self._perform(
            self._calls.trigger(
                channels,
                event,
                data,
                socket_id=socket_id,
                info=info,
                already_encoded=already_encoded,
            )
        )

    def trigger_batch(
        self, batch: Batch, *, split: bool = False, already_encoded: bool = False
    ) -> BatchInfo:
        """Publish several events, each on a channel of its own.

        Args:
            batch: mappings with ``channel``, ``name``, ``data``; perhaps ``socket_id``, ``info``.
            split: send more than 10 as several requests, one after another.
        """
        found: BatchInfo = {}
        for part in self._parts(batch, split):
            answer = self._perform(self._calls.trigger_batch(part, already_encoded=already_encoded))
            if "batch" in answer:
                found.setdefault("batch", []).extend(answer["batch"])
        return found

    def send_to_user(
        self, user_id: str, event: str, data: Any, *, socket_id: str | None = None
    ) -> Triggered:
        """Publish an event to all connections of a user who has signed in."""
        return self._perform(self._calls.send_to_user(user_id, event, data, socket_id=socket_id))

    def terminate_user_connections(self, user_id: str) -> dict[str, Any]:
        """Close all connections of a user who has signed in."""
        return self._perform(self._calls.terminate_user_connections(user_id))

    def channels(self, prefix: str | None = None, info: Info | None = None) -> ChannelsInfo:
        """Which channels are occupied.

        Args:
            prefix: only those whose name begins so.
            info: ``subscription_count``, or ``user_count`` with a ``presence-`` prefix.
        """
        return self._perform(self._calls.channels(prefix, info))

    def channel(self, channel: str, info: Info | None = None) -> ChannelInfo:
        """Whether a channel is occupied, and more.

        Args:
            info: ``subscription_count``, ``user_count`` of a presence channel, ``cache``.
        """
        return self._perform(self._calls.channel(channel, info))

    def users(self, channel: str) -> PresenceUsers:
        """Who is in a presence channel."""
        return self._perform(self._calls.users(channel))

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Any signed GET below the app, such as ``/channels``."""
        return self._perform(self._calls.get(path, params))

    def post(
        self, path: str, body: Any = None, params: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Any signed POST below the app; the body as JSON, bytes as they are."""
        return self._perform(self._calls.post(path, body, params))

    def _make_transport(self) -> Transport:
        return HttpTransport(self._options)

    def _perform(self, call: Call[_Answer]) -> _Answer:
        attempts = 0
        while True:
            path, request = self._request(call)
            try:
                return self._read(call, request, path, self._transport.send(request))
            except OyezError as error:
                attempts += 1
                pause = self._pause(call, error, attempts)
                if pause is None:
                    raise
            time.sleep(pause)


def async_transport(options: HttpOptions) -> AsyncTransport:
    """Return a transport over the fastest HTTP library that is installed."""
    try:
        with no_fork():
            from oyez.sdk.aiohttp_transport import AiohttpTransport
    except ModuleNotFoundError:
        return AsyncHttpTransport(options)
    return AiohttpTransport(options)


class AsyncClient(Offline[AsyncTransport]):
    """The same for asyncio. What sends is a coroutine, the rest is not.

    It talks over aiohttp if that is installed, else over httpx2. Any number of event loops may
    share one, at once or one after another: each has its own connections, and closes them at its
    end as `asyncio.run` does it.
    """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Let go of the connections of the running event loop; see `Client.close`."""
        if self._owns_transport:
            await self._transport.aclose()

    async def trigger(
        self,
        channels: str | Sequence[str],
        event: str,
        data: Any,
        *,
        socket_id: str | None = None,
        info: Info | None = None,
        already_encoded: bool = False,
    ) -> Triggered:
        """See `Client.trigger`."""
        return await self._perform(
            self._calls.trigger(
                channels,
                event,
                data,
                socket_id=socket_id,
                info=info,
                already_encoded=already_encoded,
            )
        )

    async def trigger_batch(
        self, batch: Batch, *, split: bool = False, already_encoded: bool = False
    ) -> BatchInfo:
        """See `Client.trigger_batch`."""
        found: BatchInfo = {}
        for part in self._parts(batch, split):
            answer = await self._perform(
                self._calls.trigger_batch(part, already_encoded=already_encoded)
            )
            if "batch" in answer:
                found.setdefault("batch", []).extend(answer["batch"])
        return found

    async def send_to_user(
        self, user_id: str, event: str, data: Any, *, socket_id: str | None = None
    ) -> Triggered:
        """See `Client.send_to_user`."""
        return await self._perform(
            self._calls.send_to_user(user_id, event, data, socket_id=socket_id)
        )

    async def terminate_user_connections(self, user_id: str) -> dict[str, Any]:
        """See `Client.terminate_user_connections`."""
        return await self._perform(self._calls.terminate_user_connections(user_id))

    async def channels(self, prefix: str | None = None, info: Info | None = None) -> ChannelsInfo:
        """See `Client.channels`."""
        return await self._perform(self._calls.channels(prefix, info))

    async def channel(self, channel: str, info: Info | None = None) -> ChannelInfo:
        """See `Client.channel`."""
        return await self._perform(self._calls.channel(channel, info))

    async def users(self, channel: str) -> PresenceUsers:
        """See `Client.users`."""
        return await self._perform(self._calls.users(channel))

    async def get(self, path: str, params: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """See `Client.get`."""
        return await self._perform(self._calls.get(path, params))

    async def post(
        self, path: str, body: Any = None, params: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """See `Client.post`."""
        return await self._perform(self._calls.post(path, body, params))

    def _make_transport(self) -> AsyncTransport:
        return async_transport(self._options)

    async def _perform(self, call: Call[_Answer]) -> _Answer:
        attempts = 0
        while True:
            path, request = self._request(call)
            try:
                return self._read(call, request, path, await self._transport.send(request))
            except OyezError as error:
                attempts += 1
                pause = self._pause(call, error, attempts)
                if pause is None:
                    raise
            await asyncio.sleep(pause)
