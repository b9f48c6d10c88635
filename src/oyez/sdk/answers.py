"""What the server answers, as plain dictionaries with known keys.

They are the JSON of the HTTP API as it came, so nothing that a server adds is lost.
"""

import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal, NotRequired, TypedDict

from oyez.protocol import surrogates
from oyez.sdk.errors import BadResponse, refusal
from oyez.sdk.transport import Request, Response

__all__ = [
    "BatchEvent",
    "BatchInfo",
    "ChannelAuthorization",
    "ChannelInfo",
    "ChannelsInfo",
    "PresenceUser",
    "PresenceUsers",
    "Triggered",
    "UserAuthentication",
    "WebhookBody",
    "read_answer",
    "retry_seconds",
]

_MOST_DIGITS: Final = 12


class ChannelInfo(TypedDict, total=False):
    """The state of one channel; what was not asked for is not there."""

    occupied: bool
    user_count: int
    subscription_count: int
    cache: dict[str, Any] | None


class ChannelsInfo(TypedDict):
    """Occupied channels by name."""

    channels: dict[str, ChannelInfo]


class Triggered(TypedDict, total=False):
    """What a publish says about its channels if ``info`` was asked for."""

    channels: dict[str, ChannelInfo]


class BatchInfo(TypedDict, total=False):
    """One entry per event of the batch if ``info`` was asked for in any."""

    batch: list[ChannelInfo]


class BatchEvent(TypedDict):
    """One event of a batch."""

    channel: str
    name: str
    data: Any
    socket_id: NotRequired[str]
    info: NotRequired[str | list[str]]


class PresenceUser(TypedDict):
    """A user that is there."""

    id: str


class PresenceUsers(TypedDict):
    """Who is there."""

    users: list[PresenceUser]


class ChannelAuthorization(TypedDict):
    """What a client needs to subscribe; send it as JSON."""

    auth: str
    channel_data: NotRequired[str]
    shared_secret: NotRequired[str]


class UserAuthentication(TypedDict):
    """What a client needs to sign in; send it as JSON."""

    auth: str
    user_data: str


class WebhookBody(TypedDict):
    """The body of a webhook request as it came."""

    time_ms: int
    events: list[dict[Literal["name", "channel", "event", "data", "socket_id", "user_id"], str]]


def read_answer(request: Request, path: str, response: Response) -> dict[str, Any]:
    """The JSON object of a success; an empty body of a success is an empty object.

    Raises:
        ApiError: the answer is no success.
        BadResponse: the body is something else.
    """
    if not 200 <= response.status < 300:
        raise refusal(
            response.status,
            response.body.decode("utf-8", "replace"),
            request.method,
            path,
            retry_seconds(response.headers, time.time()),
        )
    if not response.body:
        return {}
    try:
        return surrogates.decode_object(response.body)
    except ValueError:
        raise BadResponse(response.status, response.body.decode("utf-8", "replace")) from None


def retry_seconds(headers: Mapping[str, str], now: float) -> float | None:
    """Return for how many seconds an answer asks to wait (``Retry-After``, RFC 9110 10.2.3).

    Args:
        headers: names in lower case.
        now: Unix time, for a date where the server does not tell its own time.

    Returns:
        None if it does not say, or says nonsense.
    """
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:_MOST_DIGITS])
    until = _unix_time(text)
    if until is None:
        return None
    return max(0.0, until - (_unix_time(headers.get("date", "")) or now))


def _unix_time(text: str) -> float | None:
    try:
        found = parsedate_to_datetime(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
