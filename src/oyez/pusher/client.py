"""What every client of an app is told when it is made."""

import json
import logging
import ssl as tls
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from oyez.protocol.signing import Token
from oyez.pusher.crypto import parse_master_key
from oyez.pusher.http import Backend
from oyez.pusher.sending import HttpBackend, Verify
from oyez.pusher.util import Text, app_id_re, ensure_text
from oyez.sdk.address import Address
from oyez.sdk.encryption import Cipher
from oyez.sdk.forks import no_fork

__all__ = ["MAX_BATCH", "MAX_DATA", "TOLERANCE", "Client", "ExtraToken"]

MAX_DATA = 30_720
MAX_BATCH = 10
TOLERANCE = 300.0

ExtraToken = tuple[str, str] | Mapping[str, str]


class Client:
    """An app of a server, and a backend to reach it.

    Arguments: see `oyez.pusher.Pusher`.

    Attributes:
        http: the backend.
        address: signs requests.
        cipher: for encrypted channels; None if there is no master key.
        json_encoder: as it was given.
        logger: is told of requests, without what they carry.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an app id that is not digits, or a master key that is not one.
    """

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
        _check_types(ssl, port, timeout)
        self._cluster = ensure_text(cluster, "cluster") if cluster else None
        self._host = ensure_text(host, "host") if host else _hosted_at(self._cluster)
        self._port = port or (443 if ssl else 80)
        self._ssl = ssl
        self._timeout = timeout
        self.address = Address(
            _app_id(app_id),
            Token(ensure_text(key, "key"), ensure_text(secret, "secret")),
            f"{self.scheme}://{_in_url(self._host)}:{self._port}",
            f"/{path.strip('/')}".rstrip("/"),
        )
        self.json_encoder = json_encoder
        self._json_decoder = json_decoder
        self._master_key = parse_master_key(encryption_master_key, encryption_master_key_base64)
        self.cipher = Cipher(self._master_key) if self._master_key else None
        self._max_data = max_data_bytes
        self._max_batch = max_batch
        self._tokens = [self.address.token, *tokens_of(extra_tokens)]
        self._tolerance = webhook_tolerance
        self.logger = logger or logging.getLogger("oyez")
        sending: dict[str, Any] = {
            "proxy": proxy,
            "verify": None if verify is True else verify,
            "ssl_context": ssl_context,
            "retries": retries or None,
        }
        chosen = backend or _default_backend(backend_options)
        self.http = chosen(
            self,
            **{name: value for name, value in sending.items() if value is not None},
            **backend_options,
        )

    @property
    def app_id(self) -> str:
        """The app this client speaks for."""
        return self.address.app_id

    @property
    def key(self) -> str:
        """The key that clients connect with as well."""
        return self.address.token.key

    @property
    def secret(self) -> str:
        """What signs."""
        return self.address.token.secret

    @property
    def host(self) -> str:
        """Name or address of the server."""
        return self._host

    @property
    def port(self) -> int:
        """By default that of the scheme."""
        return self._port

    @property
    def timeout(self) -> float:
        """Seconds to connect, and to wait for each part of an answer."""
        return self._timeout

    @property
    def ssl(self) -> bool:
        """Whether TLS is used."""
        return self._ssl

    @property
    def scheme(self) -> str:
        """``https`` or ``http``."""
        return "https" if self._ssl else "http"

    @property
    def cluster(self) -> str | None:
        """The cluster of hosted Pusher, if one was given."""
        return self._cluster

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.address.base}, app_id={self.app_id!r})"


def tokens_of(pairs: Iterable[ExtraToken]) -> list[Token]:
    """Tokens from pairs of key and secret, or from mappings with both."""
    found: list[Token] = []
    for each in pairs:
        key, secret = (each["key"], each["secret"]) if isinstance(each, Mapping) else each
        found.append(Token(ensure_text(key, "key"), ensure_text(secret, "secret")))
    return found


def _check_types(ssl: object, port: object, timeout: object) -> None:
    if not isinstance(ssl, bool):
        raise TypeError(f"ssl must be a bool, not {type(ssl).__name__}: {ssl!r}")
    if port and not isinstance(port, int):
        raise TypeError(f"port must be an int, not {type(port).__name__}: {port!r}")
    if not isinstance(timeout, int | float):
        raise TypeError(
            f"timeout must be an int or a float, not {type(timeout).__name__}: {timeout!r}"
        )


def _app_id(value: Text) -> str:
    app_id = ensure_text(value, "app_id")
    if not app_id_re.match(app_id):
        raise ValueError(f"app_id must be decimal digits, not {app_id!r}")
    return app_id


def _hosted_at(cluster: str | None) -> str:
    return f"api-{cluster}.pusher.com" if cluster else "api.pusherapp.com"


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def _default_backend(options: Mapping[str, Any]) -> Callable[..., Backend]:
    """Ours; but options it does not have are those of ``requests``, which was the default once."""
    if not options:
        return HttpBackend
    with no_fork():
        from oyez.pusher.requests import RequestsBackend

    return RequestsBackend
