"""Asking an application for leave to subscribe or to sign in (spec ``auth.md`` 1.1, 1.2, 2.1)."""

import base64
import binascii
import inspect
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlencode

import msgspec

from oyez.protocol import surrogates
from oyez.protocol.channels import kind_of
from oyez.sdk.errors import OyezError, SigninError, SubscriptionError, refusal
from oyez.sdk.transport import AsyncHttpTransport, HttpOptions, Request, Response

__all__ = [
    "Authenticate",
    "Authorize",
    "Closable",
    "Grant",
    "HttpAuthenticator",
    "HttpAuthorizer",
    "Proof",
    "ask_authenticator",
    "ask_authorizer",
]

_Answer = Mapping[str, object]
# The last argument is what the caller of `subscribe` or `signin` gave, None if nothing.
Authorize = Callable[[str, str, Any], _Answer | Awaitable[_Answer]]
Authenticate = Callable[[str, Any], _Answer | Awaitable[_Answer]]

_SECRET_BYTES = 32
_FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


@dataclass(frozen=True, slots=True)
class Grant:
    """Leave to subscribe one connection to one channel.

    Attributes:
        channel_data: exactly as it was signed; None where the channel has no members, or the user
            is the one who has signed in.
        shared_secret: opens what travels on an encrypted channel.
    """

    auth: str = ""
    channel_data: str | None = None
    shared_secret: bytes | None = field(default=None, repr=False)

    @property
    def user_id(self) -> str | None:
        """Who joins, according to the channel data."""
        try:
            found = surrogates.decode_object(self.channel_data or "{}")
        except ValueError:
            return None
        return str(found["user_id"]) if "user_id" in found else None


@dataclass(frozen=True, slots=True)
class Proof:
    """Who is behind a connection; ``user_data`` exactly as it was signed."""

    auth: str
    user_data: str


class _Authorization(msgspec.Struct):
    auth: str
    channel_data: str | None = None
    shared_secret: str | None = None


class _Authentication(msgspec.Struct):
    auth: str
    user_data: str


@runtime_checkable
class Closable(Protocol):
    """Holds connections of its own."""

    async def aclose(self) -> None:
        """Let go of them."""
        ...


async def ask_authorizer(authorize: Authorize, channel: str, socket_id: str, member: Any) -> Grant:
    """Ask for leave, and check what is given.

    Raises:
        SubscriptionError: the answer is none.
        Exception: whatever ``authorize`` raises.
    """
    answer = authorize(channel, socket_id, member)
    found = await answer if inspect.isawaitable(answer) else answer
    try:
        read = msgspec.convert(dict(found), _Authorization)
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise SubscriptionError(channel, f"authorize gave no authorization: {error}") from None
    secret = None
    if kind_of(channel).encrypted:
        secret = _secret(channel, read.shared_secret)
    return Grant(read.auth, read.channel_data, secret)


async def ask_authenticator(authenticate: Authenticate, socket_id: str, user: Any) -> Proof:
    """Ask for proof of who is there, and check what is given.

    Raises:
        SigninError: the answer is none.
        Exception: whatever ``authenticate`` raises.
    """
    answer = authenticate(socket_id, user)
    found = await answer if inspect.isawaitable(answer) else answer
    try:
        read = msgspec.convert(dict(found), _Authentication)
    except (msgspec.ValidationError, TypeError, ValueError) as error:
        raise SigninError(f"authenticate gave no authentication: {error}") from None
    return Proof(read.auth, read.user_data)


def _secret(channel: str, text: str | None) -> bytes:
    if text is None:
        raise SubscriptionError(channel, "the authorization has no shared_secret")
    try:
        secret = base64.b64decode(text, validate=True)
    except binascii.Error:
        secret = b""
    if len(secret) != _SECRET_BYTES:
        raise SubscriptionError(channel, f"shared_secret is not base64 of {_SECRET_BYTES} bytes")
    return secret


class _Endpoint:
    """A URL that answers forms, as pusher-js sends them, with JSON."""

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        timeout: float = 5.0,
        verify: bool | ssl.SSLContext = True,
        proxy: str | None = None,
    ) -> None:
        self._url = url
        self._headers = {**(headers or {}), **_FORM}
        self._params = dict(params or {})
        self._transport = AsyncHttpTransport(
            HttpOptions(timeout=timeout, verify=verify, proxy=proxy)
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._url!r})"  # headers may well be secret

    async def aclose(self) -> None:
        """Let go of connections; it can still be used and then makes new ones."""
        await self._transport.aclose()

    async def _post(self, fields: Mapping[str, str]) -> Response:
        body = urlencode({**self._params, **fields}).encode()
        return await self._transport.send(Request("POST", self._url, self._headers, body))


class HttpAuthorizer(_Endpoint):
    """Lets an application's endpoint authorize, as pusher-js does.

    Given as ``authorize=HttpAuthorizer(url)``. The endpoint gets ``socket_id`` and ``channel_name``
    as a form and says who the member is. A subscriber that is given one closes it when it is closed
    itself.

    Args:
        url: such as ``https://shop.example/pusher/auth``.
        headers: sent along, such as cookies or a token.
        params: further fields of the form.
        timeout: seconds to connect, and to wait for each part of the answer.
        verify: whether to verify certificates, or the `ssl.SSLContext` to do so with.
        proxy: URL of an HTTP proxy; by default what the environment says.
    """

    async def __call__(self, channel: str, socket_id: str, member: Any = None) -> _Answer:
        """Ask the endpoint.

        Raises:
            ConnectionFailed: no answer.
            ServerError: 5xx, which may pass.
            SubscriptionError: no leave, or no answer to such a question.
            ValueError: a member is given.
        """
        if member is not None:
            raise ValueError("member must be left out: the endpoint says who it is")
        answer = await self._post({"socket_id": socket_id, "channel_name": channel})
        try:
            return _granted(answer, self._url)
        except _NotGranted as error:
            raise SubscriptionError(channel, str(error), answer.status) from None


class HttpAuthenticator(_Endpoint):
    """Lets an application's endpoint say who is there: ``authenticate=HttpAuthenticator(url)``.

    The endpoint gets ``socket_id`` as a form. Arguments as for `HttpAuthorizer`.
    """

    async def __call__(self, socket_id: str, user: Any = None) -> _Answer:
        """Ask the endpoint.

        Raises:
            ConnectionFailed: no answer.
            ServerError: 5xx, which may pass.
            SigninError: no proof, or no answer to such a question.
            ValueError: a user is given.
        """
        if user is not None:
            raise ValueError("user must be left out: the endpoint says who it is")
        answer = await self._post({"socket_id": socket_id})
        try:
            return _granted(answer, self._url)
        except _NotGranted as error:
            raise SigninError(str(error)) from None


class _NotGranted(OyezError):
    """The endpoint says no, or nothing that makes sense."""


def _granted(answer: Response, url: str) -> _Answer:
    text = answer.body.decode("utf-8", "replace")
    where = url.partition("?")[0]
    if answer.status >= 500:
        raise refusal(answer.status, text, "POST", where)
    if answer.status != 200:
        raise _NotGranted(f"{where} answered {answer.status}: {text[:200].strip()}")
    try:
        return surrogates.decode_object(answer.body)
    except ValueError:
        raise _NotGranted(f"{where} answered no JSON object: {text[:200].strip()!r}") from None
