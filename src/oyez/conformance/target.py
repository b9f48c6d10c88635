"""The server to check, and the apps of it that the operator lends for the purpose."""

from dataclasses import dataclass, field, fields
from typing import Self
from urllib.parse import quote, urlsplit

from oyez.protocol.signing import Token

__all__ = ["Credentials", "SecondApps", "Target"]


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a backend knows about its app."""

    app_id: str
    key: str
    secret: str = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``APP_ID:KEY:SECRET``.

        Raises:
            ValueError: a part is missing.
        """
        app_id, _, rest = text.partition(":")
        key, _, secret = rest.partition(":")
        if not (app_id and key and secret):
            raise ValueError("credentials must look like APP_ID:KEY:SECRET")
        return cls(app_id, key, secret)

    @property
    def token(self) -> Token:
        """What signs for the app."""
        return Token(self.key, self.secret)


@dataclass(frozen=True, slots=True)
class SecondApps:
    """Apps of the same server with settings that the main app must not have.

    Attributes:
        other: any other enabled app, to try its key and its socket ids on the main app.
        disabled: switched off.
        quota: with a limit of at most 20 connections.
        message_quota: with a limit of at most 20 messages a day.
        authorized: closes connections that are not authorized within at most 35 seconds.
        origin: lets browsers in from other origins than ``https://not-allowed.invalid``.
        tls_only: forces TLS; needs an ``http://`` target.
        impatient: activity timeout, pong wait and inactivity timeout together below 10 seconds.
        featureless: client events, subscription count, user authentication and watchlist events
            switched off.
        lenient: takes a connection without a protocol version for version 7.
        token: the main app again, with the second of its active tokens.
    """

    other: Credentials | None = None
    disabled: Credentials | None = None
    quota: Credentials | None = None
    message_quota: Credentials | None = None
    authorized: Credentials | None = None
    origin: Credentials | None = None
    tls_only: Credentials | None = None
    impatient: Credentials | None = None
    featureless: Credentials | None = None
    lenient: Credentials | None = None
    token: Credentials | None = None

    @classmethod
    def parse(cls, **given: str | None) -> Self:
        """Read each ``APP_ID:KEY:SECRET``; those that are None are not there.

        Raises:
            ValueError: one is malformed.
        """
        return cls(**{name: Credentials.parse(text) for name, text in given.items() if text})

    def given(self) -> frozenset[str]:
        """The names of those that are there."""
        return frozenset(each.name for each in fields(self) if getattr(self, each.name))


@dataclass(frozen=True, slots=True)
class Target:
    """One server and the app to check it with.

    Attributes:
        url: ``http://HOST:PORT`` or ``https://…``, with the path prefix if there is one.
        app: the main app; client events and user authentication should be on.
        second_apps: further apps, for rules about settings.
        crowded_url: another server whose node takes at most 20 connections.
        stop_command: stops the server; run at the very end, to see how clients are told.
        slow: whether to run checks that wait for minutes.
        patience: how long to wait for an answer, in seconds.
    """

    url: str
    app: Credentials
    second_apps: SecondApps = field(default_factory=SecondApps)
    crowded_url: str | None = None
    stop_command: str | None = None
    slow: bool = False
    patience: float = 2.0

    @property
    def tls(self) -> bool:
        """Whether the server is spoken to over TLS."""
        return urlsplit(self.url).scheme in ("https", "wss")

    @property
    def host(self) -> str:
        """The name or address to connect to."""
        return urlsplit(self.url).hostname or "127.0.0.1"

    @property
    def port(self) -> int:
        """The TCP port to connect to."""
        return urlsplit(self.url).port or (443 if self.tls else 80)

    @property
    def prefix(self) -> str:
        """The path below which the server is mounted."""
        return urlsplit(self.url).path.rstrip("/")

    @property
    def origin(self) -> str:
        """Scheme, host and port for HTTP requests."""
        return f"{'https' if self.tls else 'http'}://{urlsplit(self.url).netloc}"

    def socket_path(self, key: str, query: str) -> str:
        """Path and query that a client asks for."""
        return f"{self.prefix}/app/{quote(key, safe='')}{f'?{query}' if query else ''}"

    def socket_url(self, path: str) -> str:
        """The URL of a WebSocket at ``path``, prefix included."""
        return f"{'wss' if self.tls else 'ws'}://{urlsplit(self.url).netloc}{path}"
