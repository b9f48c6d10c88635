"""`Pusher`: the client that programs written for PyPI ``pusher`` make."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from oyez.protocol.channels import to_user
from oyez.pusher.offline import Offline
from oyez.pusher.pusher_client import Batch, Channels, Info
from oyez.pusher.util import Text, validate_user_id

__all__ = ["Pusher"]


class Pusher(Offline):
    """Client of the HTTP API; any number of threads may share one. Arguments: see `Offline`.

    What a method that sends returns is what the backend gives: a dictionary, or with an
    asynchronous backend something to wait for. They raise what `oyez.pusher.errors` draws, and
    `TypeError` or `ValueError` before anything is sent.
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
        for client in (self._pusher_client, self._authentication_client):
            close = getattr(client.http, "close", None)
            if close is not None:
                close()

    def trigger(
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
        return self._pusher_client.trigger(
            channels, event_name, data, socket_id, info=info, already_encoded=already_encoded
        )

    def send_to_user(
        self, user_id: Text, event_name: Text, data: Any, *, socket_id: Text | None = None
    ) -> Any:
        """Publish an event to all connections of a user who has signed in."""
        channel = to_user(validate_user_id(user_id))
        return self._pusher_client.trigger(channel, event_name, data, socket_id)

    def trigger_batch(self, batch: Batch = (), already_encoded: bool = False) -> Any:
        """See `PusherClient.trigger_batch`."""
        return self._pusher_client.trigger_batch(batch, already_encoded)

    def channels_info(self, prefix_filter: Text | None = None, attributes: Info = ()) -> Any:
        """See `PusherClient.channels_info`."""
        return self._pusher_client.channels_info(prefix_filter, attributes)

    def channel_info(self, channel: Text, attributes: Info = ()) -> Any:
        """See `PusherClient.channel_info`."""
        return self._pusher_client.channel_info(channel, attributes)

    def users_info(self, channel: Text) -> Any:
        """See `PusherClient.users_info`."""
        return self._pusher_client.users_info(channel)

    def terminate_user_connections(self, user_id: Text) -> Any:
        """See `PusherClient.terminate_user_connections`."""
        return self._pusher_client.terminate_user_connections(user_id)

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """See `PusherClient.get`."""
        return self._pusher_client.get(path, params)

    def post(self, path: str, body: Any = None, params: Mapping[str, Any] | None = None) -> Any:
        """See `PusherClient.post`."""
        return self._pusher_client.post(path, body, params)
