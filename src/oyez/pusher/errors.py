"""The exceptions that programs written for PyPI ``pusher`` catch, and finer ones below them.

::

    PusherError
    ├── PusherBadRequest            400
    ├── PusherBadAuth               401
    ├── PusherForbidden             403
    ├── PusherBadStatus             every other status
    │   ├── PusherNotFound          404
    │   ├── PusherPayloadTooLarge   413
    │   ├── PusherRateLimited       429, with ``retry_after``
    │   └── PusherServerError       5xx
    ├── PusherConnectionError       no answer; the HTTP library's error is in ``__cause__``
    │   └── PusherTimeout
    ├── PusherResponseError         a success whose body is not a JSON object
    └── WebhookError                a webhook that must not be trusted; ``reason`` says why

Each is also an error of `oyez.sdk.errors` (`PusherBadAuth` is an `Unauthorized`), so that one
``except`` serves both clients. The text is the body of the answer, after the status where the class
does not tell it.
"""

from typing import ClassVar

from oyez.sdk import errors as sdk

__all__ = [
    "PusherBadAuth",
    "PusherBadRequest",
    "PusherBadStatus",
    "PusherConnectionError",
    "PusherError",
    "PusherForbidden",
    "PusherNotFound",
    "PusherPayloadTooLarge",
    "PusherRateLimited",
    "PusherResponseError",
    "PusherServerError",
    "PusherTimeout",
    "WebhookError",
    "translated",
]


class PusherError(sdk.OyezError):
    """Root of every error in this file."""


class _Refusal(PusherError, sdk.ApiError):
    """The server answered, and not with a success.

    Any arguments will do, as programs and their tests make such errors themselves.
    """

    _usual: ClassVar[int] = 0

    def __init__(
        self,
        *args: object,
        status: int | None = None,
        body: str = "",
        method: str = "",
        path: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(self._usual if status is None else status, body, method, path, retry_after)
        self.args = args

    def __str__(self) -> str:
        return Exception.__str__(self)


class PusherBadRequest(_Refusal, sdk.BadRequest):
    """400: something in the call is missing, malformed or beyond a limit."""

    _usual = 400


class PusherBadAuth(_Refusal, sdk.Unauthorized):
    """401: the signature, the key or the time stamp is not accepted."""

    _usual = 401


class PusherForbidden(_Refusal, sdk.Forbidden):
    """403: the app is disabled, over its quota, or the feature is switched off."""

    _usual = 403


class PusherBadStatus(_Refusal):
    """Any other status; the text begins with it."""


class PusherNotFound(PusherBadStatus, sdk.NotFound):
    """404: there is no such app or path."""

    _usual = 404


class PusherPayloadTooLarge(PusherBadStatus, sdk.PayloadTooLarge):
    """413: data or body beyond the limit of the app."""

    _usual = 413


class PusherRateLimited(PusherBadStatus, sdk.RateLimited):
    """429: too many requests; `retry_after` has the seconds to wait if the server says so."""

    _usual = 429


class PusherServerError(PusherBadStatus, sdk.ServerError):
    """5xx: the server, or something in front of it, has a problem."""

    _usual = 500


class PusherConnectionError(PusherError, sdk.ConnectionFailed):
    """No answer came."""


class PusherTimeout(PusherConnectionError, sdk.TimedOut):
    """Connecting or answering took longer than ``timeout``."""


class PusherResponseError(PusherError, sdk.BadResponse):
    """A success whose body is not a JSON object: probably not such a server."""


class WebhookError(PusherError, sdk.WebhookError):
    """A webhook request that must not be trusted."""


_BARE: dict[type[sdk.ApiError], type[_Refusal]] = {
    sdk.BadRequest: PusherBadRequest,
    sdk.Unauthorized: PusherBadAuth,
    sdk.Forbidden: PusherForbidden,
}
_WITH_STATUS: dict[type[sdk.ApiError], type[PusherBadStatus]] = {
    sdk.NotFound: PusherNotFound,
    sdk.PayloadTooLarge: PusherPayloadTooLarge,
    sdk.RateLimited: PusherRateLimited,
    sdk.ServerError: PusherServerError,
}


def translated(error: sdk.OyezError) -> sdk.OyezError:
    """The error of this file that stands for one of the SDK; one without a counterpart as it is."""
    if isinstance(error, PusherError):
        return error
    if isinstance(error, sdk.ApiError):
        return _refusal(error)
    if isinstance(error, sdk.ConnectionFailed):
        kind = PusherTimeout if isinstance(error, sdk.TimedOut) else PusherConnectionError
        return kind(str(error), may_have_arrived=error.may_have_arrived)
    if isinstance(error, sdk.BadResponse):
        return PusherResponseError(error.status, error.body)
    if isinstance(error, sdk.WebhookError):
        return WebhookError(error.reason, str(error))
    return error


def _refusal(error: sdk.ApiError) -> _Refusal:
    kind = _BARE.get(type(error))
    text = error.body
    if kind is None:
        kind, text = _WITH_STATUS.get(type(error), PusherBadStatus), f"{error.status}: {text}"
    return kind(
        text,
        status=error.status,
        body=error.body,
        method=error.method,
        path=error.path,
        retry_after=error.retry_after,
    )
