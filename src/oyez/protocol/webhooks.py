"""The webhook request: its events, its body, its headers (spec ``webhooks.md``)."""

import re
from collections.abc import Iterable, Mapping

import msgspec

from oyez.protocol.signing import Token

__all__ = [
    "EVENT_TYPES",
    "RESERVED_HEADERS",
    "Endpoint",
    "WebhookEvent",
    "name_of",
    "read_event",
    "request_headers",
    "write_body",
    "write_event",
]

EVENT_TYPES = (
    "channel_occupied",
    "channel_vacated",
    "member_added",
    "member_removed",
    "client_event",
    "cache_miss",
    "subscription_count",
)
RESERVED_HEADERS = frozenset(
    {"content-type", "content-length", "host", "x-pusher-key", "x-pusher-signature"}
)


class WebhookEvent(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that happened; only strings and one integer, as .NET reads nothing else."""

    name: str
    channel: str
    event: str | None = None
    data: str | None = None
    socket_id: str | None = None
    user_id: str | None = None
    subscription_count: int | None = None


class Endpoint(msgspec.Struct, frozen=True):
    """Where an app wants to be told, and of what.

    Attributes:
        target: ``http://`` or ``https://`` URL, or ``python:package.module:function``.
        events: the types it gets.
        starts_with: prefix of the channel name.
        ends_with: suffix of the channel name; with a prefix, both must hold.
        pattern: regular expression that the whole name must match.
        headers: sent with each request, beside ours.
        batching: several events in one request.
    """

    target: str
    events: frozenset[str]
    starts_with: str = ""
    ends_with: str = ""
    pattern: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    batching: bool = True

    def wants(self, event: WebhookEvent) -> bool:
        """Whether ``event`` is to be sent here."""
        return self.wants_type(event.name) and (
            event.channel.startswith(self.starts_with)
            and event.channel.endswith(self.ends_with)
            and (not self.pattern or re.fullmatch(self.pattern, event.channel) is not None)
        )

    def wants_type(self, name: str) -> bool:
        """Whether events of this type are sent here at all."""
        return name in self.events


class _Named(msgspec.Struct):
    name: str


_encode = msgspec.json.Encoder().encode
_event = msgspec.json.Decoder(WebhookEvent)
_named = msgspec.json.Decoder(_Named)


def write_event(event: WebhookEvent) -> bytes:
    """One event as it stands in a body."""
    return _encode(event)


def read_event(data: bytes) -> WebhookEvent:
    """Read what `write_event` wrote.

    Raises:
        ValueError: it is something else.
    """
    return _event.decode(data)


def name_of(data: bytes) -> str:
    """The type of an event that `write_event` wrote; empty of anything else."""
    try:
        return _named.decode(data).name
    except ValueError:
        return ""


def write_body(time_ms: int, events: Iterable[bytes]) -> bytes:
    """The body of a request; ``time_ms`` is when it was made and stays through all retries."""
    return b'{"time_ms":%d,"events":[%b]}' % (time_ms, b",".join(events))


def request_headers(token: Token, body: bytes, ids: Iterable[str]) -> Mapping[str, str]:
    """The headers that make a request genuine, in the case that PHP looks for.

    Args:
        token: the oldest active one of the app.
        ids: of the events, in their order; ours, so that a receiver can drop duplicates.
    """
    return {
        "Content-Type": "application/json",
        "X-Pusher-Key": token.key,
        "X-Pusher-Signature": token.sign(body),
        "X-Oyez-Event-Ids": ",".join(ids),
    }
