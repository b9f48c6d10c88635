"""What is published: the event value, and reading it from the body of an API request.

The rules are those of spec ``http-api.md`` 3.1, 3.2 and 5; every refusal names what was wrong, the
limit and the value that broke it.
"""

import re
import reprlib
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from oyez.protocol import surrogates
from oyez.protocol.app import Limits
from oyez.protocol.channels import TO_USER, is_channel_name
from oyez.protocol.errors import BadRequest, PayloadTooLarge
from oyez.protocol.requests import Query

__all__ = [
    "COUNTS",
    "Event",
    "Publication",
    "check_user_id",
    "read_batch",
    "read_deprecated_publish",
    "read_info",
    "read_publish",
    "shown",
    "utf8_size",
]

_Body = TypeVar("_Body", bound=msgspec.Struct)

COUNTS = frozenset({"user_count", "subscription_count"})

_SOCKET_ID = re.compile(r"[0-9]+\.[0-9]+")
_SHOWN = 210  # characters of a value
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Event(msgspec.Struct, frozen=True):
    """One event on one channel, on its way to the channel's subscribers.

    Attributes:
        data: a string, delivered byte for byte and never parsed.
        socket_id: the connection that does not get it.
        user_id: the sending member; only on client events of presence channels.
        sequence: grows with each event of a cache channel, so that what a replay contains can be
            told from what comes after it. Of a change of members it is negative and falls, for the
            same use with lists. Of counts and states of users, on their way between nodes, it is
            the revision as of which they are true. 0 elsewhere.
    """

    name: str
    channel: str
    data: str
    socket_id: str | None = None
    user_id: str | None = None
    sequence: int = 0


class Publication(msgspec.Struct, frozen=True):
    """One request to publish, read and checked.

    Attributes:
        events: in the order they are to be delivered.
        info: per event, which attributes of its channel the answer reports.
        questions: how often attributes were asked for: once for all channels of an event.
    """

    events: list[Event]
    info: list[frozenset[str]]
    questions: int = 0


class _EventBody(msgspec.Struct):
    """The parameters as they came; their types are checked by hand, for the documented wording."""

    name: Any = None
    data: Any = None
    channels: Any = None
    channel: Any = None
    socket_id: Any = None
    info: Any = None


class _BatchBody(msgspec.Struct):
    batch: Any = None


_event_body = msgspec.json.Decoder(_EventBody)
_batch_body = msgspec.json.Decoder(_BatchBody)
_NO_INFO: frozenset[str] = frozenset()


def read_publish(body: bytes, query: Query, limits: Limits) -> Publication:
    """Read the body of ``POST /events``; parameters missing in it are taken from the query.

    Raises:
        BadRequest: a parameter is missing, of the wrong type, or not allowed.
        PayloadTooLarge: the data is longer than ``limits.event_data`` bytes.
    """
    fields = _decode(_event_body, body) if body else _EventBody()
    if len(query) > 4:  # more than the four parameters that every request with a body signs
        _fill_from_query(fields, query)
    _check_content(fields, limits)
    channels = _read_channels(fields, limits)
    info = read_info(fields.info, COUNTS)
    events = [Event(fields.name, name, fields.data, fields.socket_id) for name in channels]
    return Publication(events, [info] * len(events), questions=int(bool(info)))


def read_batch(body: bytes, limits: Limits) -> Publication:
    """Read the body of ``POST /batch_events``. One bad event refuses the whole batch.

    Raises:
        BadRequest: the batch is not an array, too long, or an event in it is not allowed.
        PayloadTooLarge: the data of an event is longer than ``limits.event_data`` bytes.
    """
    batch = _decode(_batch_body, body).batch
    if not isinstance(batch, list):
        raise BadRequest("Expected batch parameter to be an array")
    if len(batch) > limits.events_per_batch:
        raise BadRequest(f"Batch too large ({len(batch)} > {limits.events_per_batch})")
    events, info = [], []
    for item in batch:
        fields = _batch_event(item)
        _check_content(fields, limits)
        if fields.channel is None:
            raise BadRequest("Missing required parameter: channel")
        _check_channel(fields.channel, limits)
        events.append(Event(fields.name, fields.channel, fields.data, fields.socket_id))
        info.append(read_info(fields.info, COUNTS))
    return Publication(events, info, questions=sum(map(bool, info)))


def read_deprecated_publish(channel: str, body: bytes, query: Query, limits: Limits) -> Publication:
    """Read ``POST /channels/{channel}/events``: the whole body is the data (spec 3.8).

    Raises:
        BadRequest: the body is not UTF-8, or a parameter is not allowed.
        PayloadTooLarge: the data is longer than ``limits.event_data`` bytes.
    """
    try:
        data = body.decode()
    except UnicodeDecodeError:
        raise BadRequest("Invalid body: it is not UTF-8") from None
    fields = _EventBody(query.text("name"), data, socket_id=query.text("socket_id"))
    _check_content(fields, limits)
    _check_channel(channel, limits)
    return Publication([Event(fields.name, channel, data, fields.socket_id)], [_NO_INFO])


def read_info(value: object, known: frozenset[str]) -> frozenset[str]:
    """Read a comma-separated list of attributes; absent and empty are the same.

    Raises:
        BadRequest: not a string, or an attribute that is not in ``known``.
    """
    if value is None or value == "":
        return _NO_INFO
    wanted: frozenset[str] = _NO_INFO
    if isinstance(value, str):
        wanted = frozenset(part for part in (item.strip(" ") for item in value.split(",")) if part)
        if wanted <= known:
            return wanted
    unknown = ", ".join(sorted(wanted - known)) or value
    raise BadRequest(
        "info should be a comma separated list of attributes out of "
        f"{', '.join(sorted(known))}; got {shown(unknown)}"
    )


def utf8_size(text: str) -> int:
    """Length of ``text`` in bytes of UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def shown(value: object) -> str:
    """A value a client sent, quoted and cut to a length fit for an error message."""
    text = repr(value[:_SHOWN]) if isinstance(value, str) else reprlib.repr(value)
    return text if len(text) <= _SHOWN else f"{text[:200]}…{text[-1]}"


def _decode(decoder: msgspec.json.Decoder[_Body], body: bytes) -> _Body:
    try:
        return surrogates.decode(decoder, body)
    except ValueError:  # not JSON, not UTF-8, not an object, nested too deep
        raise BadRequest("Invalid JSON body") from None


def _batch_event(item: object) -> _EventBody:
    if not isinstance(item, Mapping):
        raise BadRequest("Expected each event of the batch to be an object")
    return msgspec.convert(item, _EventBody)


def _fill_from_query(fields: _EventBody, query: Query) -> None:
    for name in ("name", "data", "channel", "socket_id", "info"):
        if getattr(fields, name) is None:
            setattr(fields, name, query.text(name))
    if fields.channels is None:
        fields.channels = query.values("channels") or None


def _check_content(fields: _EventBody, limits: Limits) -> None:
    name, data, socket_id = fields.name, fields.data, fields.socket_id
    if not isinstance(name, str):
        raise BadRequest("Expected name parameter to be a string")
    if not isinstance(data, str):
        raise BadRequest("Expected data parameter to be a string")
    if len(name) > limits.event_name:
        raise BadRequest(
            f"Invalid event name: {shown(name)} ({len(name)} > {limits.event_name} characters)"
        )
    if not name or _CONTROL.search(name) or name.startswith(("pusher:", "pusher_internal:")):
        raise BadRequest(f"Invalid event name: {shown(name)}")
    if socket_id is not None and not (
        isinstance(socket_id, str) and _SOCKET_ID.fullmatch(socket_id)
    ):
        raise BadRequest(f"Invalid socket_id: {shown(socket_id)}")
    if len(data) * 4 > limits.event_data and utf8_size(data) > limits.event_data:
        raise PayloadTooLarge(
            "The data content of this event exceeds the allowed maximum "
            f"({limits.event_data} bytes). It has {utf8_size(data)} bytes."
        )


def _read_channels(fields: _EventBody, limits: Limits) -> list[str]:
    """The distinct channels in the order given; ``channels`` wins over ``channel``."""
    channels = fields.channels if fields.channels is not None else fields.channel
    if fields.channels is None and channels is not None:
        channels = [channels]
    if channels is None or channels == []:
        raise BadRequest("Missing required parameter: channels")
    if not isinstance(channels, list):
        raise BadRequest("Expected channels parameter to be an array of strings")
    if len(channels) > limits.channels_per_publish:
        raise BadRequest(f"Too many channels ({len(channels)} > {limits.channels_per_publish})")
    for channel in channels:
        _check_channel(channel, limits)
    return channels if len(channels) == 1 else list(dict.fromkeys(channels))


def _check_channel(channel: object, limits: Limits) -> None:
    if isinstance(channel, str):
        if is_channel_name(channel, limits.channel_name):
            return
        if channel.startswith(TO_USER):
            check_user_id(channel.removeprefix(TO_USER), limits)
            return
        if len(channel) > limits.channel_name:
            raise BadRequest(
                f"Invalid channel name: {shown(channel)} "
                f"({len(channel)} > {limits.channel_name} characters)"
            )
    raise BadRequest(f"Invalid channel name: {shown(channel)}")


def check_user_id(user_id: str, limits: Limits) -> None:
    """Accept any user id of a length; one that nobody has simply finds no connections.

    Raises:
        BadRequest: it is empty or too long.
    """
    if not 1 <= len(user_id) <= limits.user_id:
        raise BadRequest(
            f"Invalid user id: {shown(user_id)} ({len(user_id)} characters, "
            f"1 to {limits.user_id} are allowed)"
        )
