"""Signed requests as values, and what turns an answer into a result or an exception.

A `Backend` sends a `Request` and hands what comes back to `process_response`.
"""

import json
import time
from collections.abc import Callable, Mapping
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Generic,
    ParamSpec,
    Protocol,
    Self,
    TypeVar,
    overload,
)
from urllib.parse import parse_qsl

from oyez import __version__
from oyez.protocol.signing import body_digest
from oyez.pusher.errors import translated
from oyez.sdk import transport
from oyez.sdk.answers import read_answer
from oyez.sdk.calls import Call
from oyez.sdk.errors import ApiError, OyezError

if TYPE_CHECKING:
    from oyez.pusher.client import Client

__all__ = [
    "DELETE",
    "GET",
    "POST",
    "PUT",
    "Backend",
    "Request",
    "RequestMethod",
    "make_query_string",
    "process_response",
    "receive",
    "request_method",
]

GET, POST, PUT, DELETE = "GET", "POST", "PUT", "DELETE"
_NOTHING = transport.Request("", "", {}, b"")
_OTHER_SUCCESSES = frozenset(range(200, 300)) - {200, 202}  # no call is answered with one

_ClientT = TypeVar("_ClientT", bound="Client")
_Parameters = ParamSpec("_Parameters")


class Backend(Protocol):
    """Sends requests; a class of these is called with the client and the options for it."""

    def send_request(self, request: "Request") -> Any:
        """The answer as a dictionary, or something to wait for that gives it."""
        ...


class Request:
    """A request that is signed and ready to be sent.

    Args:
        client: whose app it is for.
        method: ``GET`` or ``POST``.
        path: from the root of the server.
        params: the query of a GET, the JSON body of a POST.

    Attributes:
        body: bytes to send.
        query_params: the signed query, values as they are.
        query_string: the same as it travels, percent-encoded.
        url: everything together.
        repeatable: whether doing it twice is the same as doing it once.

    Raises:
        NotImplementedError: another method.
    """

    def __init__(
        self, client: "Client", method: str, path: str, params: Mapping[str, Any] | None = None
    ) -> None:
        given = dict(params or {})
        if method == POST:
            self._fill(client, method, path, given, {}, json.dumps(given).encode())
        elif method == GET:
            self._fill(client, method, path, given, given, b"")
        else:
            raise NotImplementedError(f"method must be GET or POST, not {method!r}")
        self.repeatable = method == GET

    @classmethod
    def of(cls, client: "Client", call: Call[Any]) -> Self:
        """From a call of the SDK."""
        request = cls.__new__(cls)
        path = client.address.path_to(call.path)
        request._fill(client, call.method, path, dict(call.params), call.params, call.body)
        request.repeatable = call.repeatable
        return request

    def _fill(
        self,
        client: "Client",
        method: str,
        path: str,
        params: dict[str, Any],
        query: Mapping[str, str],
        body: bytes,
    ) -> None:
        self.client = client
        self.method = method
        self.path = path
        self.params = params
        self.body = body
        # Also where there is no body: that it may be left out is not what this class promises.
        self.body_md5 = body_digest(body)
        signed = client.address.signed_path(path)
        self.query_string = client.address.sign(
            method, signed, {**query, "body_md5": self.body_md5}, b"", int(time.time())
        )
        self.query_params = dict(parse_qsl(self.query_string, keep_blank_values=True))

    @property
    def base_url(self) -> str:
        """Scheme, host and port."""
        return self.client.address.base

    @property
    def url(self) -> str:
        """Where to send it."""
        return self.client.address.url_of(self.path, self.query_string)

    @property
    def signed_path(self) -> str:
        """The URL without its `base_url`."""
        return self.url.removeprefix(self.base_url)

    @property
    def headers(self) -> dict[str, str]:
        """What to send beside the headers that every HTTP library adds."""
        headers = {"X-Pusher-Library": f"oyez {__version__}"}
        if self.method == POST:
            headers["Content-Type"] = "application/json"
        return headers

    @property
    def outgoing(self) -> transport.Request:
        """The same for a transport of the SDK."""
        return transport.Request(self.method, self.url, self.headers, self.body)


class RequestMethod(Generic[_Parameters]):
    """A method of a client that sends when it is called, or only makes its request."""

    def __init__(
        self, client: "Client", f: Callable[Concatenate[Any, _Parameters], Request]
    ) -> None:
        self.client = client
        self.f = f

    def __call__(self, *args: _Parameters.args, **kwargs: _Parameters.kwargs) -> Any:
        """Send it; the result is what the backend gives."""
        return self.client.http.send_request(self.make_request(*args, **kwargs))

    def make_request(self, *args: _Parameters.args, **kwargs: _Parameters.kwargs) -> Request:
        """The signed request, not sent."""
        return self.f(self.client, *args, **kwargs)


class _RequestProperty(Generic[_ClientT, _Parameters]):
    def __init__(self, f: Callable[Concatenate[_ClientT, _Parameters], Request]) -> None:
        self._f = f
        self.__doc__ = f.__doc__

    @overload
    def __get__(self, client: None, owner: type) -> Self: ...
    @overload
    def __get__(self, client: _ClientT, owner: type) -> RequestMethod[_Parameters]: ...
    def __get__(self, client: _ClientT | None, owner: type) -> Self | RequestMethod[_Parameters]:
        return self if client is None else RequestMethod(client, self._f)


def request_method(
    f: Callable[Concatenate[_ClientT, _Parameters], Request],
) -> _RequestProperty[_ClientT, _Parameters]:
    """Turn a method that makes a request into a `RequestMethod`."""
    return _RequestProperty(f)


def make_query_string(params: Mapping[str, str]) -> str:
    """Parameters as they are signed: sorted and not encoded."""
    return "&".join(f"{name}={params[name]}" for name in sorted(params))


def process_response(status: int, body: str | bytes) -> dict[str, Any]:
    """What an answer says.

    Raises:
        PusherError: it is not a success, or no JSON object; see `oyez.pusher.errors`.
    """
    raw = body.encode() if isinstance(body, str) else body
    return _read(_NOTHING, "", transport.Response(status, raw))


def receive(request: Request, response: transport.Response) -> dict[str, Any]:
    """What the answer to ``request`` says; its errors know the request.

    Raises:
        PusherError: it is not a success, or no JSON object; see `oyez.pusher.errors`.
    """
    return _read(request.outgoing, request.path, response)


def _read(sent: transport.Request, path: str, response: transport.Response) -> dict[str, Any]:
    try:
        if response.status in _OTHER_SUCCESSES:
            text = response.body.decode("utf-8", "replace")
            raise ApiError(response.status, text, sent.method, path)
        return read_answer(sent, path, response)
    except OyezError as error:
        raise translated(error) from None
