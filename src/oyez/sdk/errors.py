"""Every error of the SDK, by what the caller can do about it.

::

    OyezError
    ├── ApiError                the server has refused: ``status``, ``body``, ``method``, ``path``
    │   ├── BadRequest          400: change the call
    │   ├── Unauthorized        401: check the credentials and the clock
    │   ├── Forbidden           403: the app is disabled or over its quota
    │   ├── NotFound            404: check the app id and the path
    │   ├── PayloadTooLarge     413: send less
    │   ├── RateLimited         429: try again after ``retry_after``
    │   └── ServerError         5xx: try again later
    ├── ConnectionFailed        no answer; the HTTP library's error is in ``__cause__``
    │   ├── TimedOut            not within ``timeout``
    │   └── ConnectionRejected  a subscriber is turned away for good: ``code``
    ├── BadResponse             an answer that no server of this protocol gives
    ├── WebhookError            a webhook that must not be trusted; ``reason`` says why
    ├── DecryptionFailed        another master key, or a message that has been changed
    ├── SubscriptionError       a subscription that the server or the authorizer refuses
    └── SigninError             a sign-in that the server or the authenticator refuses

Arguments that are wrong raise `TypeError` or `ValueError` before anything is sent; the message
names the argument, the limit and the value.
"""

from collections.abc import Callable
from typing import Literal

__all__ = [
    "ApiError",
    "BadRequest",
    "BadResponse",
    "ConnectionFailed",
    "ConnectionRejected",
    "DecryptionFailed",
    "Forbidden",
    "NotFound",
    "OyezError",
    "PayloadTooLarge",
    "RateLimited",
    "ServerError",
    "SigninError",
    "SubscriptionError",
    "TimedOut",
    "Unauthorized",
    "WebhookError",
    "WebhookFault",
    "refusal",
]

WebhookFault = Literal["missing_header", "unknown_key", "bad_signature", "bad_json", "expired"]


class OyezError(Exception):
    """Root of every error in this file."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...], dict[str, object]]:
        # What `Exception` does calls the class again, with the message instead of its arguments;
        # in a pool of processes that ends the pool.
        return _remade, (type(self), self.args), vars(self)


def _remade(kind: type[OyezError], args: tuple[object, ...]) -> OyezError:
    return kind.__new__(kind, *args)


class ApiError(OyezError):
    """The server answered, and not with a success.

    Attributes:
        status: of the answer.
        body: of the answer, as text.
        method: of the request, such as ``POST``.
        path: of the request, without its query.
        retry_after: seconds that the server asks to wait; None if it does not say.
    """

    def __init__(
        self,
        status: int,
        body: str,
        method: str = "",
        path: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(status, body, method, path, retry_after)
        self.status = status
        self.body = body
        self.method = method
        self.path = path
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.status} to {self.method} {self.path}: {self.body.strip()}"


class BadRequest(ApiError):
    """400: something in the call is missing, malformed or beyond a limit of count or length."""


class Unauthorized(ApiError):
    """401: the signature, the key or the time stamp is not accepted."""


class Forbidden(ApiError):
    """403: the app is disabled, over its quota, or the feature is switched off."""


class NotFound(ApiError):
    """404: there is no such app or path."""


class PayloadTooLarge(ApiError):
    """413: data or body beyond the limit of the app."""


class RateLimited(ApiError):
    """429: too many requests."""


class ServerError(ApiError):
    """5xx: the server, or something in front of it, has a problem."""


class ConnectionFailed(OyezError):
    """No answer came.

    Attributes:
        may_have_arrived: whether the request was already on its way.
    """

    def __init__(self, message: str, *, may_have_arrived: bool = False) -> None:
        super().__init__(message)
        self.may_have_arrived = may_have_arrived


class TimedOut(ConnectionFailed):
    """Connecting or answering took longer than ``timeout``."""


class ConnectionRejected(ConnectionFailed):
    """The server has closed a subscriber's connection and does not want it back.

    Attributes:
        code: close code 4000 to 4099 of the protocol, or the HTTP status of a server that opens no
            WebSocket there.
    """

    def __init__(self, code: int, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


class BadResponse(OyezError):
    """A success whose body is not a JSON object: probably not such a server.

    Attributes:
        status: of the answer.
        body: of the answer, as text.
    """

    def __init__(self, status: int, body: str) -> None:
        super().__init__(status, body)
        self.status = status
        self.body = body

    def __str__(self) -> str:
        return f"{self.status} with a body that is not a JSON object: {self.body[:200]!r}"


class WebhookError(OyezError):
    """A webhook request that must not be trusted.

    Attributes:
        reason: one word for programs; the message says more.
    """

    def __init__(self, reason: WebhookFault, message: str) -> None:
        super().__init__(message)
        self.reason: WebhookFault = reason


class DecryptionFailed(OyezError):
    """An encrypted payload that the key does not open."""


class SubscriptionError(OyezError):
    """A channel that cannot be subscribed to.

    Attributes:
        channel: its name.
        status: HTTP status that the server gives as the reason; 0 if none.
    """

    def __init__(self, channel: str, message: str, status: int = 0) -> None:
        super().__init__(f"{channel}: {message}")
        self.channel = channel
        self.status = status


class SigninError(OyezError):
    """A user who cannot be signed in."""


_BY_STATUS: dict[int, type[ApiError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    413: PayloadTooLarge,
    429: RateLimited,
}


def refusal(
    status: int, body: str, method: str, path: str, retry_after: float | None = None
) -> ApiError:
    """The error that stands for an answer which is no success."""
    kind = _BY_STATUS.get(status, ServerError if status >= 500 else ApiError)
    return kind(status, body, method, path, retry_after)
