"""The calls of the HTTP API as PyPI ``pusher`` offers them."""

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any, cast

from oyez.pusher.client import Client
from oyez.pusher.crypto import encrypt, is_encrypted_channel
from oyez.pusher.http import POST, Request, request_method
from oyez.pusher.util import (
    Text,
    data_to_string,
    ensure_text,
    join_attributes,
    validate_channel,
    validate_socket_id,
    validate_user_id,
)
from oyez.sdk.answers import BatchEvent
from oyez.sdk.arguments import MAX_CHANNELS, check_size
from oyez.sdk.calls import Calls

__all__ = ["Batch", "Channels", "Info", "PusherClient"]

Channels = Text | Collection[Text]
Info = str | Iterable[str]
Batch = Iterable[BatchEvent | Mapping[str, Any]]

_MAX_EVENT_NAME = 200


class PusherClient(Client):
    """Each method sends when it is called; its ``make_request`` only signs.

    Arguments are checked as PyPI ``pusher`` does it, which is less strict than `oyez.sdk.calls`:
    what it leaves to the server, such as an empty event name, is left to the server here too.
    """

    @request_method
    def trigger(
        self,
        channels: Channels,
        event_name: Text,
        data: Any,
        socket_id: Text | None = None,
        *,
        info: Info | None = None,
        already_encoded: bool = False,
    ) -> Request:
        """Publish an event.

        Args:
            channels: one name, or up to 100.
            event_name: up to 200 characters.
            data: text travels as it is, anything else as JSON.
            socket_id: of a connection that does not get it, usually the one that caused it.
            info: ``subscription_count`` and ``user_count`` of the channels as part of the answer.
            already_encoded: data is text, and encrypted if the channel is.
        """
        names = _channel_names(channels)
        name = _event_name(event_name)
        if len(names) > 1 and any(map(is_encrypted_channel, names)):
            raise ValueError(
                f"channels must be one name where one is encrypted, not {len(names)}: {names}"
            )
        params: dict[str, Any] = {
            "name": name,
            "channels": names,
            "data": self._data(names[0], data, already_encoded),
        }
        if socket_id:
            params["socket_id"] = validate_socket_id(socket_id)
        if info:
            params["info"] = join_attributes(info)
        return Request(self, POST, self.address.path_to("/events"), params)

    @request_method
    def trigger_batch(self, batch: Batch = (), already_encoded: bool = False) -> Request:
        """Publish several events, each on a channel of its own; the mappings stay as they are.

        Args:
            batch: mappings with ``channel``, ``name``, ``data``; perhaps ``socket_id``, ``info``.
            already_encoded: they go to the server as they are.
        """
        events: list[Any] = list(batch)
        if len(events) > self._max_batch:
            raise ValueError(f"batch must be at most {self._max_batch} events, not {len(events)}")
        if not already_encoded:
            events = [self._event(each) for each in events]
        return Request(self, POST, self.address.path_to("/batch_events"), {"batch": events})

    @request_method
    def channels_info(
        self, prefix_filter: Text | None = None, attributes: Info | None = ()
    ) -> Request:
        """Which channels are occupied.

        Args:
            prefix_filter: only those whose name begins so.
            attributes: ``subscription_count``, or ``user_count`` with a ``presence-`` prefix.
        """
        prefix = ensure_text(prefix_filter, "prefix_filter") if prefix_filter else None
        return Request.of(self, self._calls.channels(prefix, attributes))

    @request_method
    def channel_info(self, channel: Text, attributes: Info | None = ()) -> Request:
        """Whether a channel is occupied, and more.

        Args:
            channel: its name.
            attributes: ``subscription_count``, ``user_count`` of a presence channel, ``cache``.
        """
        return Request.of(self, self._calls.channel(ensure_text(channel, "channel"), attributes))

    @request_method
    def users_info(self, channel: Text) -> Request:
        """Who is in a presence channel."""
        return Request.of(self, self._calls.users(ensure_text(channel, "channel")))

    @request_method
    def terminate_user_connections(self, user_id: Text) -> Request:
        """Close all connections of a user who has signed in."""
        return Request.of(self, self._calls.terminate_user_connections(validate_user_id(user_id)))

    @request_method
    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Request:
        """Any signed GET below the app, such as ``/channels``."""
        return Request.of(self, self._calls.get(path, params))

    @request_method
    def post(self, path: str, body: Any = None, params: Mapping[str, Any] | None = None) -> Request:
        """Any signed POST below the app; the body as JSON, bytes as they are."""
        return Request.of(self, self._calls.post(path, body, params))

    @property
    def _calls(self) -> Calls:
        return Calls(
            lambda data: data_to_string(data, self.json_encoder),
            self.cipher,
            max_data=self._max_data,
            max_batch=self._max_batch,
        )

    def _event(self, event: BatchEvent | Mapping[str, Any]) -> dict[str, Any]:
        channel = validate_channel(event["channel"])
        found: dict[str, Any] = {
            **event,
            "channel": channel,
            "name": _event_name(event["name"]),
            "data": self._data(channel, event["data"]),
        }
        if found.get("info"):
            found["info"] = join_attributes(found["info"])
        return found

    def _data(self, channel: str, data: Any, already_encoded: bool = False) -> str:
        encoded = data_to_string(data, self.json_encoder)
        if is_encrypted_channel(channel) and not already_encoded:
            sealed = encrypt(channel, encoded, self._master_key)
            encoded = json.dumps(sealed, ensure_ascii=False)
        return check_size(encoded, self._max_data)


def _channel_names(channels: object) -> list[str]:
    if isinstance(channels, str | bytes):
        return [validate_channel(channels)]
    kind = type(channels).__name__
    if isinstance(channels, Mapping) or not isinstance(channels, Collection):
        raise TypeError(f"channels must be a str or a list of them, not {kind}")
    names = list(cast("Collection[object]", channels))
    if not 1 <= len(names) <= MAX_CHANNELS:
        raise ValueError(f"channels must be 1 to {MAX_CHANNELS} names, not {len(names)}")
    return [validate_channel(each) for each in names]


def _event_name(value: object) -> str:
    name = ensure_text(value, "event_name")
    if len(name) > _MAX_EVENT_NAME:
        raise ValueError(f"event_name must be at most {_MAX_EVENT_NAME} characters: {len(name)}")
    return name
