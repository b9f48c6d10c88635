"""`AsyncPusher`: the same for asyncio."""

import inspect
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from oyez.protocol.channels import to_user
from oyez.pusher.offline import Offline
from oyez.pusher.pusher_client import Batch, Channels, Info
from oyez.pusher.sending import AsyncHttpBackend
from oyez.pusher.util import Text, validate_user_id

__all__ = ["AsyncPusher"]


class AsyncPusher(Offline):
    """`oyez.pusher.Pusher` for asyncio: what sends is a coroutine, the rest is not.

    Arguments: see `Offline`. A ``backend`` may give its answers at once or to be awaited.
    """

    _backend = AsyncHttpBackend

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
        """Let go of the connections of the running event loop."""
        for client in (self._pusher_client, self._authentication_client):
            close = getattr(client.http, "aclose", None) or getattr(client.http, "close", None)
            if close is not None:
                await _awaited(close())

    async def trigger(
        self,
        channels: Channels,
        event_name: Text,
        data: Any,
        socket_id: Text | None = None,
        *,
        info: Info | None = None,
        already_encoded: bool = False,
    ) -> Any:
        """See `PusherClient.trigger`."""
        return await _awaited(
            self._pusher_client.trigger(
                channels, event_name, data, socket_id, info=info, already_encoded=already_encoded
            )
        )

    async def send_to_user(
        self, user_id: Text, event_name: Text, data: Any, *, socket_id: Text | None = None
    ) -> Any:
        """Publish an event to all connections of a user who has signed in."""
        channel = to_user(validate_user_id(user_id))
        return await _awaited(self._pusher_client.trigger(channel, event_name, data, socket_id))

    async def trigger_batch(self, batch: Batch = (), already_encoded: bool = False) -> Any:
        """See `PusherClient.trigger_batch`."""
        return await _awaited(self._pusher_client.trigger_batch(batch, already_encoded))

    async def channels_info(self, prefix_filter: Text | None = None, attributes: Info = ()) -> Any:
        """See `PusherClient.channels_info`."""
        return await _awaited(self._pusher_client.channels_info(prefix_filter, attributes))

    async def channel_info(self, channel: Text, attributes: Info = ()) -> Any:
        """See `PusherClient.channel_info`."""
        return await _awaited(self._pusher_client.channel_info(channel, attributes))

    async def users_info(self, channel: Text) -> Any:
        """See `PusherClient.users_info`."""
        return await _awaited(self._pusher_client.users_info(channel))

    async def terminate_user_connections(self, user_id: Text) -> Any:
        """See `PusherClient.terminate_user_connections`."""
        return await _awaited(self._pusher_client.terminate_user_connections(user_id))

    async def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """See `PusherClient.get`."""
        return await _awaited(self._pusher_client.get(path, params))

    async def post(
        self, path: str, body: Any = None, params: Mapping[str, Any] | None = None
    ) -> Any:
        """See `PusherClient.post`."""
        return await _awaited(self._pusher_client.post(path, body, params))


async def _awaited(answer: Any) -> Any:
    return await answer if inspect.isawaitable(answer) else answer
