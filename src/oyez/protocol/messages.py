"""What travels on a client connection: reading client text, writing server text.

One JSON object per message. On the way to the client ``data`` is always a *string* that holds JSON,
except in `pusher:error`, where it is an object: Swift and .NET read nothing else (spec
``websocket-protocol.md`` 2).
"""

from collections.abc import Iterable
from typing import Any

import msgspec

from oyez.protocol import surrogates
from oyez.protocol.channels import connections_of, watchers_of
from oyez.protocol.errors import Refusal
from oyez.protocol.events import Event

__all__ = [
    "INVALID",
    "MEMBER_ADDED",
    "MEMBER_REMOVED",
    "PING",
    "PONG",
    "SUBSCRIPTION_COUNT",
    "TERMINATION",
    "WATCHLIST_EVENTS",
    "ClientMessage",
    "Member",
    "cache_miss",
    "compact",
    "connection_established",
    "error",
    "event_text",
    "member_added",
    "member_removed",
    "parse",
    "presence_data",
    "read",
    "signin_success",
    "subscription_count",
    "subscription_error",
    "subscription_succeeded",
    "termination",
    "watchlist_change",
    "watchlist_states",
]

MEMBER_ADDED = "pusher_internal:member_added"
MEMBER_REMOVED = "pusher_internal:member_removed"
SUBSCRIPTION_COUNT = "pusher_internal:subscription_count"
TERMINATION = "oyez:terminate"
WATCHLIST_EVENTS = "pusher_internal:watchlist_events"
PING = b'{"event":"pusher:ping","data":"{}"}'
PONG = b'{"event":"pusher:pong","data":"{}"}'


class ClientMessage(msgspec.Struct, frozen=True):
    """One message of a client; ``data`` is any JSON value or absent."""

    event: str
    channel: Any = None
    data: Any = None


class Member(msgspec.Struct, frozen=True):
    """A user in a presence channel.

    Attributes:
        user_id: always a string, also where the authorization had a number.
        user_info: compact JSON, ``{}`` where there is none.
    """

    user_id: str
    user_info: bytes = b"{}"


class _Message(msgspec.Struct, frozen=True, omit_defaults=True):
    event: str
    channel: str | None = None
    data: str | None = None
    user_id: str | None = None


class _Error(msgspec.Struct, frozen=True):
    code: int | None
    message: str


class _ErrorMessage(msgspec.Struct, frozen=True):
    event: str
    data: _Error


_read_message = msgspec.json.Decoder(ClientMessage)
_parse_any = msgspec.json.Decoder()
_encode = msgspec.json.Encoder().encode
INVALID = "Invalid message format"


def read(text: bytes) -> ClientMessage:
    """Read one message.

    Raises:
        Refusal: it is not a JSON object with a string ``event``.
    """
    try:
        return surrogates.decode(_read_message, text)
    except ValueError:
        raise Refusal(INVALID) from None


def parse(text: str) -> Any:
    """Parse JSON that a client sent inside a string.

    Raises:
        ValueError: it is not JSON.
    """
    return surrogates.decode(_parse_any, text)


def compact(value: object) -> bytes:
    """``value`` as compact JSON, keys in the order received, nothing escaped that need not be.

    Raises:
        ValueError: it is nested too deep, which can happen to what was just read.
    """
    try:
        return _encode(value)
    except RecursionError as error:
        raise ValueError("nested too deep") from error


def connection_established(socket_id: str, activity_timeout: int) -> bytes:
    """The first message on every accepted connection; the timeout is in seconds."""
    data = _encode({"socket_id": socket_id, "activity_timeout": activity_timeout})
    return _encode(_Message("pusher:connection_established", data=data.decode()))


def error(code: int | None, message: str) -> bytes:
    """`pusher:error`, the one event whose data is an object."""
    return _encode(_ErrorMessage("pusher:error", _Error(code, message)))


def subscription_succeeded(channel: str, data: str = "{}") -> bytes:
    """The acknowledgement of a subscription; ``data`` from `presence_data` where it has members."""
    return _encode(_Message("pusher_internal:subscription_succeeded", channel, data))


def subscription_error(channel: str, kind: str, message: str, status: int) -> bytes:
    """The extension that Laravel Echo's ``.error()`` listens to (spec 6.2)."""
    data = _encode({"type": kind, "error": message, "status": status})
    return _encode(_Message("pusher:subscription_error", channel, data.decode()))


def presence_data(members: Iterable[Member]) -> str:
    """The members of a presence channel: distinct users in the order they joined."""
    found = list(members)
    ids = [member.user_id for member in found]
    hashed = {member.user_id: msgspec.Raw(member.user_info) for member in found}
    return _encode({"presence": {"count": len(ids), "ids": ids, "hash": hashed}}).decode()


def member_added(channel: str, member: Member, sequence: int = 0) -> Event:
    """The event for everybody who was there before."""
    data = {"user_id": member.user_id, "user_info": msgspec.Raw(member.user_info)}
    return Event(MEMBER_ADDED, channel, _encode(data).decode(), sequence=sequence)


def member_removed(channel: str, user_id: str, sequence: int = 0) -> Event:
    """The event for everybody still there."""
    data = _encode({"user_id": user_id}).decode()
    return Event(MEMBER_REMOVED, channel, data, sequence=sequence)


def cache_miss(channel: str) -> bytes:
    """To a new subscriber of a cache channel that has nothing to replay."""
    return _encode(_Message("pusher:cache_miss", channel, "{}"))


def subscription_count(channel: str, count: int, sequence: int = 0) -> Event:
    """The event for all subscribers when their number has changed."""
    data = _encode({"subscription_count": count}).decode()
    return Event(SUBSCRIPTION_COUNT, channel, data, sequence=sequence)


def signin_success(user_data: str) -> bytes:
    """The answer to a sign-in: what was signed, byte for byte."""
    data = _encode({"user_data": user_data}).decode()
    return _encode(_Message("pusher:signin_success", data=data))


def watchlist_states(online: Iterable[str], offline: Iterable[str]) -> bytes | None:
    """Who of a watchlist is there, to the one who has just signed in; None if it is empty."""
    lists = (("online", list(online)), ("offline", list(offline)))
    events = [{"name": name, "user_ids": ids} for name, ids in lists if ids]
    if not events:
        return None
    return _encode(_Message(WATCHLIST_EVENTS, data=_encode({"events": events}).decode()))


def watchlist_change(user_id: str, *, online: bool, sequence: int = 0) -> Event:
    """The event for everybody who watches the user."""
    change = {"name": "online" if online else "offline", "user_ids": [user_id]}
    data = _encode({"events": [change]}).decode()
    return Event(WATCHLIST_EVENTS, watchers_of(user_id), data, sequence=sequence)


def termination(user_id: str) -> Event:
    """The order to close all connections of a user; it never reaches a client."""
    return Event(TERMINATION, connections_of(user_id), "")


def event_text(event: Event) -> bytes:
    """An event as its subscribers get it."""
    if event.name == WATCHLIST_EVENTS:  # it belongs to the connection, not to a channel
        return _encode(_Message(event.name, data=event.data))
    return _encode(_Message(event.name, event.channel, event.data, event.user_id))
