"""Every error the protocol knows, by what happens on the wire.

::

    ProtocolError
    ├── RequestError            an HTTP API request is refused: a status and a sentence
    │   ├── BadRequest          400
    │   ├── Unauthorized        401
    │   ├── Forbidden           403
    │   ├── NotFound            404
    │   ├── MethodNotAllowed    405, names what is allowed
    │   ├── PayloadTooLarge     413
    │   ├── Unavailable         503, says when to try again; nothing was done
    │   └── NoAnswer            504, it may have been done
    ├── Refusal                 a client's request is refused, its connection stays open
    └── ConnectionClosed        the connection is closed with a code

They become bytes in ``server/api.py`` and ``server/session.py``; refused handshakes in ``gate.py``.
"""

from enum import IntEnum
from typing import ClassVar

__all__ = [
    "BadRequest",
    "CloseCode",
    "ConnectionClosed",
    "Forbidden",
    "MethodNotAllowed",
    "NoAnswer",
    "NotFound",
    "PayloadTooLarge",
    "ProtocolError",
    "Refusal",
    "RequestError",
    "Unauthorized",
    "Unavailable",
]


class CloseCode(IntEnum):
    """Close codes, with what a client does (spec ``websocket-protocol.md`` 5.2).

    4000 to 4099: do not reconnect unchanged. 4100 to 4199: reconnect after a pause. 4200 to 4299:
    reconnect at once. Never close with 4300 or above: pusher-js then gives up for good.
    """

    NORMAL = 1000
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    INVALID_DATA = 1007
    TOO_BIG = 1009
    INTERNAL_ERROR = 1011
    TLS_ONLY = 4000
    UNKNOWN_KEY = 4001
    APP_DISABLED = 4003
    OVER_QUOTA = 4004
    PATH_NOT_FOUND = 4005
    INVALID_VERSION = 4006
    UNSUPPORTED_VERSION = 4007
    NO_VERSION = 4008
    UNAUTHORIZED = 4009
    OVER_CAPACITY = 4100
    RECONNECT = 4200
    PONG_NOT_RECEIVED = 4201
    INACTIVE = 4202


class ProtocolError(Exception):
    """Root of every error in this file."""


class RequestError(ProtocolError):
    """An HTTP API request is refused with ``status`` and the sentence in ``str(error)``."""

    status: ClassVar[int] = 400


class BadRequest(RequestError):
    """Something in the request is missing, malformed or beyond a limit of count or length."""


class Unauthorized(RequestError):
    """The request is not signed, not signed in time, or not signed with this app's secret."""

    status = 401


class Forbidden(RequestError):
    """The request is genuine but this app may not make it now."""

    status = 403


class NotFound(RequestError):
    """No such route, or no such app."""

    status = 404


class MethodNotAllowed(RequestError):
    """A known route asked with another method; ``allowed`` goes into the ``Allow`` header."""

    status = 405

    def __init__(self, allowed: str) -> None:
        super().__init__("405 METHOD NOT ALLOWED")
        self.allowed = allowed


class PayloadTooLarge(RequestError):
    """An event's data or the whole body is over its limit of bytes."""

    status = 413


class Unavailable(RequestError):
    """The node cannot take the request now; try again after ``retry_after`` seconds."""

    status = 503

    def __init__(self, message: str = "Service unavailable", *, retry_after: int = 1) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NoAnswer(RequestError):
    """What the request asks for was passed on, and may have been done or not."""

    status = 504


class Refusal(ProtocolError):
    """A client's request is refused and nothing changes; ``str(error)`` goes into `pusher:error`.

    Args:
        message: the sentence for the client.
        code: an *event* code (4301, 4302) or None. Never a close code: Pysher drops the whole
            connection when it sees 4000 to 4299 in a `pusher:error` (spec 6.2).
        channel: the channel of a refused subscription. With ``kind`` and ``status`` it makes the
            `pusher:subscription_error` that follows the `pusher:error`.
        kind: ``AuthError`` or ``LimitReached``.
        status: number shown to the client beside ``kind``.
        rule: the limit of the app that operators should hear of; empty if it is not one of those.
    """

    def __init__(
        self,
        message: str,
        *,
        code: int | None = None,
        channel: str | None = None,
        kind: str = "AuthError",
        status: int = 401,
        rule: str = "",
    ) -> None:
        super().__init__(message)
        self.rule = rule
        self.code = code
        self.channel = channel
        self.kind = kind
        self.status = status


class ConnectionClosed(ProtocolError):
    """The connection is closed with ``code`` and ``reason`` (at most 123 bytes of UTF-8)."""

    def __init__(self, code: CloseCode, reason: str) -> None:
        super().__init__(f"{code.value} {reason}")
        self.code = code
        self.reason = reason
