"""What both clients of an app can do without the network."""

import json
import logging
import ssl as tls
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, Self

from oyez.pusher.authentication_client import AuthenticationClient
from oyez.pusher.client import MAX_BATCH, MAX_DATA, TOLERANCE, ExtraToken
from oyez.pusher.http import Backend
from oyez.pusher.pusher_client import PusherClient
from oyez.pusher.sending import Verify
from oyez.pusher.util import Text, data_to_string, ensure_text
from oyez.sdk.address import options_of_environment, options_of_url
from oyez.sdk.answers import ChannelAuthorization, UserAuthentication
from oyez.sdk.encryption import Cipher
from oyez.sdk.webhooks import Webhook

__all__ = ["Offline"]


class Offline:
    """What both clients of an app can do without the network.

    Args:
        app_id: decimal digits.
        key: of one active token of the app.
        secret: of the same token.
        ssl: whether to use TLS.
        host: name or address of the server; wins over ``cluster``.
        port: by default 443 with ``ssl`` and 80 without.
        timeout: seconds to connect, and to wait for each part of an answer.
        cluster: of hosted Pusher, such as ``eu``.
        encryption_master_key: deprecated: 32 bytes.
        encryption_master_key_base64: base64 of 32 bytes; for encrypted channels.
        json_encoder: class for ``json.dumps``, for event data and what clients are authorized with.
        json_decoder: class for ``json.loads``, for `validate_webhook`.
        backend: class that sends, called with a client and ``backend_options``.
        path: what the server's paths begin with, if it is behind a proxy that adds something.
        proxy: URL of an HTTP proxy; by default what the environment says.
        verify: whether to verify certificates, or the file or directory of authorities to trust.
        ssl_context: verifies them instead.
        max_data_bytes: bytes of one event's data as it travels.
        max_batch: events of one batch.
        retries: further attempts, where repeating is safe; see `oyez.sdk.retries`.
        extra_tokens: pairs of key and secret, or mappings with both, that may sign webhooks too.
        webhook_tolerance: greatest age of a webhook in seconds; None for any.
        logger: is told of requests, without what they carry.
        backend_options: for the backend, as are ``proxy``, ``verify``, ``ssl_context`` and
            ``retries`` if they are given; without a backend they are options of ``requests``.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument that cannot be; the message says what may.
    """

    _backend: ClassVar[Callable[..., Backend] | None] = None

    def __init__(
        self,
        app_id: Text,
        key: Text,
        secret: Text,
        ssl: bool = True,
        host: Text | None = None,
        port: int | None = None,
        timeout: float = 5,
        cluster: Text | None = None,
        encryption_master_key: Text | None = None,
        encryption_master_key_base64: Text | None = None,
        json_encoder: type[json.JSONEncoder] | None = None,
        json_decoder: type[json.JSONDecoder] | None = None,
        backend: Callable[..., Backend] | None = None,
        *,
        path: str = "",
        proxy: str | None = None,
        verify: Verify = True,
        ssl_context: tls.SSLContext | None = None,
        max_data_bytes: int = MAX_DATA,
        max_batch: int = MAX_BATCH,
        retries: int = 0,
        extra_tokens: Iterable[ExtraToken] = (),
        webhook_tolerance: float | None = TOLERANCE,
        logger: logging.Logger | None = None,
        **backend_options: Any,
    ) -> None:
        settings: dict[str, Any] = {
            "app_id": app_id,
            "key": key,
            "secret": secret,
            "ssl": ssl,
            "host": host,
            "port": port,
            "timeout": timeout,
            "cluster": cluster,
            "encryption_master_key": encryption_master_key,
            "encryption_master_key_base64": encryption_master_key_base64,
            "json_encoder": json_encoder,
            "json_decoder": json_decoder,
            "backend": backend or self._backend,
            "path": path,
            "proxy": proxy,
            "verify": verify,
            "ssl_context": ssl_context,
            "max_data_bytes": max_data_bytes,
            "max_batch": max_batch,
            "retries": retries,
            "extra_tokens": list(extra_tokens),
            "webhook_tolerance": webhook_tolerance,
            "logger": logger,
            **backend_options,
        }
        self._pusher_client = PusherClient(**settings)
        self._authentication_client = AuthenticationClient(**settings)

    @classmethod
    def from_url(cls, url: Text, **options: Any) -> Self:
        """From ``http(s)://KEY:SECRET@HOST[:PORT][/PREFIX]/apps/APP_ID``; ``options`` win.

        Raises:
            TypeError: not text.
            ValueError: another form.
        """
        return cls(**{**options_of_url(ensure_text(url, "url")), **options})

    @classmethod
    def from_env(cls, env: str = "PUSHER_URL", **options: Any) -> Self:
        """From an environment variable with a URL, or else from ``PUSHER_APP_ID`` and so on.

        Raises:
            ValueError: they are not there.
        """
        return cls(**{**options_of_environment(env), **options})

    @property
    def app_id(self) -> str:
        """The app this client speaks for."""
        return self._pusher_client.app_id

    @property
    def key(self) -> str:
        """The key that clients connect with as well."""
        return self._pusher_client.key

    @property
    def secret(self) -> str:
        """What signs."""
        return self._pusher_client.secret

    @property
    def host(self) -> str:
        """Name or address of the server."""
        return self._pusher_client.host

    @property
    def port(self) -> int:
        """By default that of the scheme."""
        return self._pusher_client.port

    @property
    def timeout(self) -> float:
        """Seconds to connect, and to wait for each part of an answer."""
        return self._pusher_client.timeout

    @property
    def ssl(self) -> bool:
        """Whether TLS is used."""
        return self._pusher_client.ssl

    @property
    def scheme(self) -> str:
        """``https`` or ``http``."""
        return self._pusher_client.scheme

    @property
    def cluster(self) -> str | None:
        """The cluster of hosted Pusher, if one was given."""
        return self._pusher_client.cluster

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._pusher_client.address.base}, app_id={self.app_id!r})"

    def authenticate(
        self, channel: Text, socket_id: Text, custom_data: Mapping[str, Any] | None = None
    ) -> ChannelAuthorization:
        """See `AuthenticationClient.authenticate`."""
        return self._authentication_client.authenticate(channel, socket_id, custom_data)

    def authorize_channel(
        self,
        channel: Text,
        socket_id: Text,
        custom_data: Mapping[str, Any] | None = None,
        *,
        strict: bool = False,
    ) -> ChannelAuthorization:
        """See `AuthenticationClient.authorize_channel`."""
        return self._authentication_client.authorize_channel(
            channel, socket_id, custom_data, strict=strict
        )

    def authenticate_user(
        self, socket_id: Text, user_data: Mapping[str, Any] | None = None
    ) -> UserAuthentication:
        """See `AuthenticationClient.authenticate_user`."""
        return self._authentication_client.authenticate_user(socket_id, user_data)

    def validate_webhook(self, key: Text, signature: Text, body: Text) -> dict[str, Any] | None:
        """See `AuthenticationClient.validate_webhook`."""
        return self._authentication_client.validate_webhook(key, signature, body)

    def webhook(
        self,
        headers: Mapping[str, str],
        body: Text,
        *,
        extra_tokens: Iterable[ExtraToken] | None = None,
        tolerance: float | None = None,
    ) -> Webhook:
        """See `AuthenticationClient.webhook`."""
        return self._authentication_client.webhook(
            headers, body, extra_tokens=extra_tokens, tolerance=tolerance
        )

    def encrypt(self, channel: Text, data: Any) -> str:
        """Data as it travels on an encrypted channel.

        Raises:
            ValueError: not an encrypted channel, or no master key.
        """
        text = data_to_string(data, self._pusher_client.json_encoder)
        return self._cipher().encrypt(ensure_text(channel, "channel"), text)

    def decrypt(self, channel: Text, data: Text) -> str:
        """What travelled on an encrypted channel, as text.

        Raises:
            ValueError: not an encrypted channel, or no master key.
            oyez.DecryptionFailed: another key, or changed on the way.
        """
        return self._cipher().decrypt(ensure_text(channel, "channel"), ensure_text(data, "data"))

    def create_signed_query_string(
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        body: Text = b"",
        timestamp: int | None = None,
    ) -> str:
        """The query string that authenticates a request made by other means.

        Args:
            path: the whole path as it will be requested, such as ``/apps/3/events``.
            timestamp: Unix seconds; now by default.
        """
        when = int(time.time()) if timestamp is None else timestamp
        raw = body.encode() if isinstance(body, str) else body
        return self._pusher_client.address.sign(method.upper(), path, params or {}, raw, when)

    def _cipher(self) -> Cipher:
        cipher = self._pusher_client.cipher
        if cipher is None:
            raise ValueError("encryption_master_key_base64 must be set to encrypt and decrypt")
        return cipher
