"""What the server answers, as plain dictionaries with known keys.

They are the JSON of the HTTP API as it came, so nothing that a server adds is lost.
"""

from typing import Any, Literal, NotRequired, TypedDict, cast

import msgspec

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
]


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
            _seconds(response.headers.get("retry-after")),
        )
    if not response.body:
        return {}
    try:
        found = msgspec.json.decode(response.body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        found = None
    if not isinstance(found, dict):
        raise BadResponse(response.status, response.body.decode("utf-8", "replace"))
    return cast("dict[str, Any]", found)


def _seconds(text: str | None) -> float | None:
    """A Retry-After in seconds; the form with a date is not used by such servers."""
    return float(text) if text is not None and text.isdecimal() else None
