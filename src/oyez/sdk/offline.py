"""What a client can do without the network: sign, authorize, check, encrypt."""

import copy
import logging
import ssl as tls
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, Self, TypeVar, cast
from urllib.parse import urlsplit

from oyez import __version__
from oyez.protocol.signing import Token
from oyez.sdk.address import Address, options_of_environment, options_of_url
from oyez.sdk.answers import BatchEvent, ChannelAuthorization, UserAuthentication, read_answer
from oyez.sdk.authorizer import Authorizer
from oyez.sdk.calls import MAX_BATCH, Call, Calls, Encode, encode_json
from oyez.sdk.encryption import Cipher, master_key
from oyez.sdk.errors import OyezError
from oyez.sdk.retries import Retries
from oyez.sdk.transport import HttpOptions, Request, Response, proxy_of_environment
from oyez.sdk.webhooks import Webhook, read_webhook

__all__ = ["Batch", "Info", "Offline"]

log = logging.getLogger("oyez")

MAX_DATA = 30_720  # what the official library lets through; the server decides with a 413
_TOLERANCE = 300.0
_HEADERS = {"X-Pusher-Library": f"oyez {__version__}", "User-Agent": f"oyez/{__version__}"}
_JSON_HEADERS = {**_HEADERS, "Content-Type": "application/json"}

_Answer = TypeVar("_Answer")
_Transport = TypeVar("_Transport")
Info = str | Iterable[str]
Batch = Sequence[BatchEvent | Mapping[str, Any]]


class Offline(Generic[_Transport]):
    """What a client can do without the network; `Client` and `AsyncClient` add the rest.

    Args:
        app_id: decimal digits.
        key: of one active token of the app.
        secret: of the same token.
        cluster: of hosted Pusher, such as ``eu``; ignored if there is a host.
        host: name or address of the server.
        port: by default 443 with ``ssl`` and 80 without.
        ssl: whether to use TLS.
        path: what the server's paths begin with, if it is behind a proxy that adds something.
        timeout: seconds to connect, and to wait for each part of an answer.
        retries: further attempts, where repeating is safe; see `oyez.sdk.retries`.
        encryption_master_key: base64 of 32 bytes, or the bytes; for encrypted channels.
        json_encoder: turns data that is no string into JSON text.
        max_data: bytes of one event's data as it travels.
        max_batch: events of one batch.
        more_tokens: further keys with their secrets that may have signed a webhook.
        verify: whether to verify certificates, or the `ssl.SSLContext` to do so with.
        proxy: URL of an HTTP proxy; by default what the environment says.
        transport: what sends instead of the built-in HTTP client; the caller closes it.
        clock: Unix seconds.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument that cannot be; the message says what may.
    """

    def __init__(
        self,
        app_id: str,
        key: str,
        secret: str,
        *,
        cluster: str | None = None,
        host: str | None = None,
        port: int | None = None,
        ssl: bool = True,
        path: str = "",
        timeout: float = 5.0,
        retries: int = 2,
        encryption_master_key: str | bytes | None = None,
        json_encoder: Encode = encode_json,
        max_data: int = MAX_DATA,
        max_batch: int = MAX_BATCH,
        more_tokens: Iterable[tuple[str, str]] = (),
        verify: bool | tls.SSLContext = True,
        proxy: str | None = None,
        transport: _Transport | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._address = Address.of(
            app_id, key, secret, cluster=cluster, host=host, port=port, ssl=ssl, path=path
        )
        self._cipher = _cipher(encryption_master_key)
        self._calls = Calls(json_encoder, self._cipher, max_data=max_data, max_batch=max_batch)
        self._authorizer = Authorizer(self._address.token, self._cipher, json_encoder)
        self._tokens = [self._address.token, *(Token(*each) for each in more_tokens)]
        self._retries = Retries(retries)
        self._options = HttpOptions(
            timeout=timeout,
            verify=verify,
            proxy=proxy or proxy_of_environment(self._address.base),
        )
        self._owns_transport = transport is None
        self._transport = self._make_transport() if transport is None else transport
        self._clock = clock

    @classmethod
    def from_url(cls, url: str, **options: Any) -> Self:
        """From ``http(s)://KEY:SECRET@HOST[:PORT][/PREFIX]/apps/APP_ID``.

        Raises:
            ValueError: another form.
        """
        return cls(**{**options_of_url(url), **options})

    @classmethod
    def from_env(cls, name: str = "PUSHER_URL", **options: Any) -> Self:
        """From an environment variable with a URL, or else from ``PUSHER_APP_ID`` and so on.

        Raises:
            ValueError: they are not there.
        """
        return cls(**{**options_of_environment(name), **options})

    @property
    def app_id(self) -> str:
        """The app this client speaks for."""
        return self._address.app_id

    @property
    def key(self) -> str:
        """The key that clients connect with as well."""
        return self._address.token.key

    @property
    def host(self) -> str:
        """Name or address of the server."""
        return urlsplit(self._address.base).hostname or ""

    @property
    def port(self) -> int | None:
        """Of the server, if it is not the usual one."""
        return urlsplit(self._address.base).port

    @property
    def ssl(self) -> bool:
        """Whether TLS is used."""
        return self._address.base.startswith("https:")

    @property
    def path(self) -> str:
        """What the server's paths begin with."""
        return self._address.prefix

    @property
    def base_url(self) -> str:
        """Scheme, host, port and path prefix."""
        return self._address.base + self._address.prefix

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url}/apps/{self.app_id}, key={self.key!r})"

    def __deepcopy__(self, memo: object) -> Self:
        """Return a client with connections of its own; a transport of the caller's is shared."""
        found = copy.copy(self)
        if self._owns_transport:
            found._transport = self._make_transport()
        return found

    def authorize_channel(
        self, channel: str, socket_id: str, member: Mapping[str, Any] | None = None
    ) -> ChannelAuthorization:
        """Let one connection subscribe to a private, presence or encrypted channel.

        Args:
            channel: as the client asked for it.
            socket_id: as the client sent it.
            member: ``user_id`` and perhaps ``user_info`` for a presence channel; without it the
                connection must be of a signed-in user.

        Raises:
            ValueError: a public channel, or an argument that does not look right.
        """
        return self._authorizer.channel(channel, socket_id, member)

    def authorize_channels(
        self,
        channels: Iterable[str],
        socket_id: str,
        member: Mapping[str, Any] | None = None,
    ) -> dict[str, ChannelAuthorization]:
        """Let one connection subscribe to several channels, by one request of the client.

        Raises:
            ValueError: as `authorize_channel`.
        """
        return self._authorizer.channels(channels, socket_id, member)

    def authenticate_user(self, socket_id: str, user_data: Mapping[str, Any]) -> UserAuthentication:
        """Vouch for the user behind a connection.

        Args:
            user_data: ``id``, and perhaps ``user_info`` and ``watchlist``.

        Raises:
            TypeError: the id is no string.
            ValueError: an argument that does not look right.
        """
        return self._authorizer.user(socket_id, user_data)

    def webhook(
        self,
        headers: Mapping[str, str],
        body: bytes | str,
        *,
        tolerance: float | None = _TOLERANCE,
    ) -> Webhook:
        """Check a webhook request and read it.

        Args:
            headers: in any case, also as WSGI has them.
            body: exactly as it came.
            tolerance: greatest age in seconds; None for any.

        Raises:
            WebhookError: it must not be trusted; ``reason`` says why.
        """
        raw = body.encode() if isinstance(body, str) else body
        return read_webhook(
            headers, raw, self._tokens, now=self._clock(), tolerance=tolerance, cipher=self._cipher
        )

    def encrypt(self, channel: str, data: Any) -> str:
        """Data as it travels on an encrypted channel.

        Raises:
            ValueError: not an encrypted channel, or no master key.
        """
        return self._need_cipher().encrypt(
            channel, data if isinstance(data, str) else encode_json(data)
        )

    def decrypt(self, channel: str, data: str) -> str:
        """What travelled on an encrypted channel, as text.

        Raises:
            ValueError: not an encrypted channel, or no master key.
            DecryptionFailed: another key, or changed on the way.
        """
        return self._need_cipher().decrypt(channel, data)

    def signed_query(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        timestamp: int | None = None,
    ) -> str:
        """The query string that authenticates a request made by other means.

        Args:
            path: the whole path as it will be requested, such as ``/apps/3/events``.
            timestamp: Unix seconds; now by default.
        """
        when = int(self._clock()) if timestamp is None else timestamp
        return self._address.sign(method.upper(), path, params or {}, body, when)

    def _make_transport(self) -> _Transport:
        """Return what sends if the caller has given nothing for that."""
        raise NotImplementedError

    def _parts(self, batch: Batch, split: bool) -> list[Batch]:
        """As many requests as a batch needs; more than one only if that is wanted."""
        size = self._calls.max_batch
        if not split or len(batch) <= size:
            return [batch]
        return [batch[at : at + size] for at in range(0, len(batch), size)]

    def _need_cipher(self) -> Cipher:
        if self._cipher is None:
            raise ValueError("encryption_master_key must be set to encrypt and decrypt")
        return self._cipher

    def _request(self, call: Call[Any]) -> tuple[str, Request]:
        path = self._address.path_to(call.path)
        signed = self._address.signed_path(path)
        query = self._address.sign(call.method, signed, call.params, call.body, int(self._clock()))
        headers = _JSON_HEADERS if call.body else _HEADERS
        return path, Request(call.method, self._address.url_of(path, query), headers, call.body)

    def _read(self, call: Call[_Answer], request: Request, path: str, got: Response) -> _Answer:
        log.debug("%s %s: %d", request.method, path, got.status)
        return cast(_Answer, read_answer(request, path, got))

    def _pause(self, call: Call[Any], error: OyezError, attempts: int) -> float | None:
        pause = self._retries.pause(error, attempts, repeatable=call.repeatable)
        if pause is not None:
            log.info("%s %s again in %.1f s: %s", call.method, call.path, pause, error)
        return pause


def _cipher(key: str | bytes | None) -> Cipher | None:
    if not key:
        return None
    return Cipher(master_key(key) if isinstance(key, str) else key)
