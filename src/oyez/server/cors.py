"""Which web pages may read the answers of the HTTP API; usually none, as backends ask."""

from collections.abc import Iterable
from dataclasses import replace

from oyez.server.http_reader import Request
from oyez.server.http_response import Response

__all__ = ["Cors"]

_USUAL = (
    (b"Access-Control-Allow-Methods", b"GET, POST, OPTIONS"),
    (
        b"Access-Control-Allow-Headers",
        b"Origin, Content-Type, X-Auth-Token, X-Requested-With, Accept, Authorization, "
        b"X-CSRF-TOKEN, XSRF-TOKEN, X-Socket-Id",
    ),
    (b"Access-Control-Allow-Credentials", b"true"),
)
_ALLOWED = b"Access-Control-Allow-Origin"


class Cors:
    """Adds the headers that browsers ask for.

    Args:
        origins: that may read answers; ``*`` for all.
    """

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)

    def of(self, request: Request, response: Response) -> Response:
        """Tell browsers who may read an answer, and caches that this differs (RFC 9110 12.5.5)."""
        if any(name == _ALLOWED for name, _ in response.headers):
            return response  # of a fallback transport, which anybody may read
        headers = (*response.headers, (b"Vary", b"Origin"))
        origin = request.headers.get(b"origin")
        if origin is not None and (origin in self._origins or b"*" in self._origins):
            headers = (*headers, (_ALLOWED, origin), *_USUAL)
        return replace(response, headers=headers)
