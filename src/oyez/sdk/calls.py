"""Every call of the HTTP API as a value: what to send, and what its answer means.

No I/O and no clock: `client` sends what stands here.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, cast

import msgspec

from oyez.protocol.channels import kind_of, to_user
from oyez.sdk.answers import (
    BatchEvent,
    BatchInfo,
    ChannelInfo,
    ChannelsInfo,
    PresenceUsers,
    Triggered,
)
from oyez.sdk.arguments import (
    channel_list,
    check_channel,
    check_event_name,
    check_publish_channel,
    check_size,
    check_socket_id,
    check_user_id,
    info_list,
    plain,
    text,
)
from oyez.sdk.encryption import Cipher

__all__ = ["MAX_BATCH", "Call", "Calls", "Encode", "encode_json"]

MAX_BATCH = 10  # events in one request (spec ``http-api.md`` 3.2)

Encode = Callable[[Any], str]
_Answer = TypeVar("_Answer")
_MANY = (list, tuple)
_encoder = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Call(Generic[_Answer]):
    """One request, before it is signed.

    Attributes:
        path: relative to the app, such as ``/events``.
        repeatable: whether doing it twice is the same as doing it once.
    """

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    repeatable: bool = True


def encode_json(data: Any) -> str:
    """Data as JSON text, compact; dates, UUIDs, dataclasses and msgspec structs as well."""
    return _encode(data).decode()


def _encode(data: Any) -> bytes:
    try:
        try:
            return _encoder.encode(data)
        except (TypeError, UnicodeEncodeError):  # values of derived classes, half letters, as keys
            return _encoder.encode(_plainly(data))
    except RecursionError as error:
        raise ValueError("data is nested too deep") from error


def _plainly(data: Any) -> Any:
    """Return data with plain values instead of those of classes that are derived from them."""
    match data:
        case str():
            return plain(data)
        case Mapping():
            found = cast("Mapping[object, object]", data)
            return {_plainly(name): _plainly(value) for name, value in found.items()}
        case list() | tuple() | set() | frozenset():
            return [_plainly(each) for each in cast("Iterable[Any]", data)]
        case bool() | None:
            return data
        case int():
            return int(data)
        case float():
            return float(data)
        case _:  # dataclasses, structs, dates; what is in them comes back here
            return _plainly(msgspec.to_builtins(data, enc_hook=_derived))


def _derived(value: Any) -> Any:
    if isinstance(value, str | int | float | Mapping | list | tuple | set | frozenset):
        return _plainly(value)
    raise TypeError(f"data must be what JSON can hold, not {type(value).__name__}: {value!r}")


class Calls:
    """Makes calls, with what the client was set to.

    Args:
        encode: turns data that is no string into JSON text.
        cipher: for encrypted channels; None if there is no master key.
        max_data: bytes of one event's data as it travels.
        max_batch: events of one batch.
    """

    def __init__(
        self, encode: Encode, cipher: Cipher | None, *, max_data: int, max_batch: int
    ) -> None:
        self._encode = encode
        self._cipher = cipher
        self._max_data = max_data
        self.max_batch = max_batch

    def trigger(
        self,
        channels: str | Sequence[str],
        event: str,
        data: Any,
        *,
        socket_id: str | None = None,
        info: str | Iterable[str] | None = None,
        already_encoded: bool = False,
    ) -> Call[Triggered]:
        """One event on up to 100 channels."""
        names = channel_list(channels)
        encrypted = [name for name in names if kind_of(name).encrypted]
        if encrypted and len(names) > 1:
            raise ValueError(
                f"channels must be one name where one is encrypted, not {len(names)}: "
                f"{encrypted[0]!r} has a key of its own"
            )
        body: dict[str, Any] = {
            "name": check_event_name(event),
            "channels": names,
            "data": self._data(names[0], data, already_encoded=already_encoded),
        }
        if socket_id:
            body["socket_id"] = check_socket_id(socket_id)
        if info:
            body["info"] = info_list(info)
        return Call("POST", "/events", body=_encode(body), repeatable=False)

    def trigger_batch(
        self, batch: Sequence[BatchEvent | Mapping[str, Any]], *, already_encoded: bool = False
    ) -> Call[BatchInfo]:
        """Several events, each on a channel of its own; the caller's values stay as they are."""
        if not 1 <= len(batch) <= self.max_batch:
            raise ValueError(
                f"batch must be 1 to {self.max_batch} events, not {len(batch)}; split=True sends "
                "several batches"
            )
        events = [self._event(each, at, already_encoded) for at, each in enumerate(batch)]
        body = _encode({"batch": events})
        return Call("POST", "/batch_events", body=body, repeatable=False)

    def send_to_user(
        self, user_id: str, event: str, data: Any, *, socket_id: str | None = None
    ) -> Call[Triggered]:
        """One event to all connections of a user who has signed in."""
        return self.trigger(to_user(check_user_id(user_id)), event, data, socket_id=socket_id)

    def terminate_user_connections(self, user_id: str) -> Call[dict[str, Any]]:
        """Close all connections of a user who has signed in."""
        return Call("POST", f"/users/{check_user_id(user_id)}/terminate_connections", body=b"{}")

    def channels(
        self, prefix: str | None = None, info: str | Iterable[str] | None = None
    ) -> Call[ChannelsInfo]:
        """Occupied channels."""
        params = {"filter_by_prefix": text("prefix", prefix) if prefix else ""}
        params["info"] = info_list(info)
        return Call("GET", "/channels", {name: each for name, each in params.items() if each})

    def channel(self, channel: str, info: str | Iterable[str] | None = None) -> Call[ChannelInfo]:
        """The state of one channel."""
        params = {"info": info_list(info)} if info else {}
        return Call("GET", f"/channels/{check_channel(channel)}", params)

    def users(self, channel: str) -> Call[PresenceUsers]:
        """Who is in a presence channel."""
        return Call("GET", f"/channels/{check_channel(channel)}/users")

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Call[dict[str, Any]]:
        """Any path below the app."""
        return Call("GET", _path(path), _params(params))

    def post(
        self, path: str, body: Any = None, params: Mapping[str, Any] | None = None
    ) -> Call[dict[str, Any]]:
        """Any path below the app; ``body`` is sent as JSON, bytes as they are."""
        raw = body if isinstance(body, bytes) else _encode({} if body is None else body)
        return Call("POST", _path(path), _params(params), raw, repeatable=False)

    def _event(
        self, event: BatchEvent | Mapping[str, Any], at: int, already_encoded: bool
    ) -> dict[str, Any]:
        for key in ("channel", "name", "data"):
            if key not in event:
                raise ValueError(f"batch[{at}] must have the key {key!r}, not only {list(event)}")
        channel = check_publish_channel(event["channel"])
        found: dict[str, Any] = {
            **event,
            "channel": channel,
            "name": check_event_name(event["name"]),
            "data": self._data(channel, event["data"], already_encoded=already_encoded),
        }
        if found.get("socket_id"):
            check_socket_id(found["socket_id"])
        if found.get("info"):
            found["info"] = info_list(found["info"])
        return found

    def _data(self, channel: str, data: Any, *, already_encoded: bool) -> str:
        encoded = data if isinstance(data, str) else self._encode(data)
        if kind_of(channel).encrypted and not already_encoded:
            if self._cipher is None:
                raise ValueError(
                    f"encryption_master_key must be set to publish on {channel!r}: it is encrypted"
                )
            encoded = self._cipher.encrypt(channel, encoded)
        return check_size(encoded, self._max_data)


def _path(path: str) -> str:
    path = text("path", path)
    if "?" in path:
        raise ValueError(f"path must not have a query, use params: {path!r}")
    return f"/{path.lstrip('/')}"


def _params(params: Mapping[str, Any] | None) -> dict[str, str]:
    return {
        name: info_list(cast("Iterable[str]", value)) if isinstance(value, _MANY) else str(value)
        for name, value in (params or {}).items()
    }
