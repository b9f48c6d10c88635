"""Settings of apps: tokens, limits, endpoints of webhooks; and the values they become."""

import re
from collections import Counter
from dataclasses import asdict
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic.dataclasses import dataclass

from oyez.protocol.app import App, Limits
from oyez.protocol.origins import read_entry
from oyez.protocol.signing import Token
from oyez.protocol.webhooks import EVENT_TYPES, RESERVED_HEADERS, Endpoint

__all__ = ["AppSettings", "LimitSettings", "StrictModel", "TokenSettings", "WebhookSettings"]

_LONGEST_CHANNEL_NAME = 200  # what the official libraries let through
_LONGEST_WEBHOOK_DELAY = 60
_URL = re.compile(r"https?://[\x21-\x7e]+")
_HEADER_NAME = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")  # RFC 9110, 5.6.2
_HEADER_VALUE = re.compile(r"[\x20-\x7e]*")
_MAY_BE_ZERO = frozenset(  # where zero means none or no limit
    {
        "client_events",
        "connections_per_app",
        "messages_per_day",
        "messages_per_second",
        "subscription_count_unthrottled",
        "subscriptions_per_connection",
        "watchlist",
        "webhook_delay",
    }
)


class StrictModel(BaseModel):
    """A table of the file; a setting it does not know is an error."""

    model_config = ConfigDict(extra="forbid")


class TokenSettings(StrictModel):
    """A key and its secret."""

    key: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9_-]+$", max_length=100, description="Public; goes to every client."
        ),
    ]
    secret: Annotated[SecretStr, Field(min_length=1, description="Private; signs. Never printed.")]


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class LimitSettings(Limits):
    """What an app may use: the fields and defaults of `oyez.protocol.app.Limits`, checked."""

    @model_validator(mode="after")
    def _in_range(self) -> Self:
        for name, value in asdict(self).items():
            least = 0 if name in _MAY_BE_ZERO else 1
            if value < least:
                raise ValueError(f"{name} must be at least {least}, not {value}")
        if self.webhook_delay > _LONGEST_WEBHOOK_DELAY:
            raise ValueError(
                f"webhook_delay must be at most {_LONGEST_WEBHOOK_DELAY}, not {self.webhook_delay}"
            )
        if self.channel_name > _LONGEST_CHANNEL_NAME:
            raise ValueError(
                f"channel_name must be at most {_LONGEST_CHANNEL_NAME}, not {self.channel_name}"
            )
        return self


def _check_origin(text: str) -> str:
    """Bring an allowed origin into the form in which browsers send it.

    Raises:
        ValueError: no browser sends anything like it.
    """
    try:
        return read_entry(text)
    except ValueError as error:
        raise ValueError(f"no origin is like {text!r}: {error}") from None


def _check_event_type(name: str) -> str:
    """Refuse types of webhook events that do not exist.

    Raises:
        ValueError: it says which there are.
    """
    if name not in EVENT_TYPES:
        raise ValueError(f"unknown event type {name!r}, known: {', '.join(EVENT_TYPES)}")
    return name


def _check_url(url: str) -> str:
    """Refuse what can never be requested.

    Raises:
        ValueError: it says why.
    """
    if not _URL.fullmatch(url):
        raise ValueError("expected a URL like https://host/path, in printable ASCII characters")
    parts = urlsplit(url)
    host = parts.hostname
    if not host:
        raise ValueError("a URL without a host")
    try:
        _ = host.encode("idna"), parts.port
    except ValueError as error:  # of which UnicodeError is one
        raise ValueError(f"no host and port can be read in it: {error}") from None
    if parts.fragment or url.endswith("#"):
        raise ValueError("a URL with a fragment (#…), which is never sent")
    return url


class WebhookSettings(StrictModel):
    """An endpoint that is told what happens."""

    url: Annotated[str, AfterValidator(_check_url)] = Field(
        description="Where requests are sent; with user and password as in `https://user:pw@host`."
    )
    name: str = Field(
        default="",
        pattern=r"^([a-zA-Z_][-a-zA-Z0-9_.]{0,39})?$",
        description=(
            "Tells endpoints with the same URL apart, also after a restart with another order; "
            "begins with a letter, as those without a name are numbered."
        ),
    )
    events: list[Annotated[str, AfterValidator(_check_event_type)]] = Field(
        min_length=1, description="Event types: see the guide to webhooks."
    )
    starts_with: str = Field(default="", description="Only channels with this prefix.")
    ends_with: str = Field(default="", description="Only channels with this suffix.")
    pattern: str = Field(
        default="", description="Only channels whose whole name matches this regular expression."
    )
    headers: dict[str, str] = Field(default={}, description="Sent with each request.")
    batching: bool = Field(default=True, description="Several events in one request.")

    @model_validator(mode="after")
    def _known(self) -> Self:
        for header, value in self.headers.items():
            if header.lower() in RESERVED_HEADERS:
                raise ValueError(f"header {header} is the server's own")
            if not _HEADER_NAME.fullmatch(header):
                raise ValueError(f"{header!r} cannot be the name of a header")
            if not _HEADER_VALUE.fullmatch(value):
                raise ValueError(
                    f"the value of header {header} may have printable ASCII characters only"
                )
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"pattern is no regular expression: {error}") from None
        return self

    def endpoint(self, target: str) -> Endpoint:
        """Return the value that the rest of the server works with.

        Args:
            target: its URL, with a fragment where that alone does not say which endpoint it is.
        """
        values = self.model_dump(exclude={"url", "name", "events", "headers"})
        return Endpoint(
            target=target,
            events=frozenset(self.events),
            headers=tuple(self.headers.items()),
            **values,
        )


class AppSettings(StrictModel):
    """One app."""

    id: Annotated[str, Field(pattern=r"^[0-9]+$", max_length=40, description="Decimal digits.")]
    name: str = Field(default="", description="For people.")
    enabled: bool = Field(default=True, description="If not: 403 and 4003.")
    client_events: bool = Field(
        default=False, description="Whether clients may send `client-` events."
    )
    subscription_count: bool = Field(
        default=False,
        description=(
            "Whether subscriptions are counted for the API and told to subscribers, "
            "except to those of encrypted channels."
        ),
    )
    user_authentication: bool = Field(default=True, description="Whether clients may sign in.")
    watchlist_events: bool = Field(
        default=True, description="Whether signed-in clients hear of their watchlist."
    )
    authorized_connections: bool = Field(
        default=False,
        description=(
            "Whether a connection must sign in or join a private or presence channel in time; "
            "else 4009."
        ),
    )
    force_tls: bool = Field(
        default=False,
        description="Whether plain connections (4000) and requests (403) are refused.",
    )
    allowed_origins: tuple[Annotated[str, AfterValidator(_check_origin)], ...] = Field(
        default=(),
        description=(
            "Where browsers may connect from, else 4009; empty for all. Origins "
            "(`https://a.example`) or parts of them: `a.example`, `*.a.example`, `localhost:3000`, "
            "`http://localhost:*`."
        ),
    )
    subscription_errors: bool = Field(
        default=True,
        description=(
            "Whether a refused subscription also gets `pusher:subscription_error`, "
            "which Laravel Echo's `.error()` hears; never on encrypted channels."
        ),
    )
    lenient: bool = Field(
        default=False,
        description=(
            "Whether a client that names no protocol version is taken for version 7, "
            "instead of 4008."
        ),
    )
    tokens: Annotated[
        list[TokenSettings],
        Field(min_length=1, description="Active key and secret pairs, oldest first."),
    ]
    webhooks: list[WebhookSettings] = []
    on_webhook: str = Field(
        default="",
        description="`package.module:function`, an async function called with each event.",
    )
    limits: LimitSettings = Field(default_factory=LimitSettings)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        for number, each in enumerate(self.webhooks, 1):
            for earlier, other in enumerate(self.webhooks[: number - 1], 1):
                if each == other:
                    raise ValueError(f"webhooks {earlier} and {number} are the same")
                if each.name and (each.url, each.name) == (other.url, other.name):
                    raise ValueError(
                        f"webhooks {earlier} and {number} have the same URL and name {each.name!r}"
                    )
        return self

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, data: Any) -> Any:
        """``key`` and ``secret`` directly in an app stand for its only token."""
        if isinstance(data, dict) and ("key" in data or "secret" in data):
            if "tokens" in data:
                raise ValueError("give either key and secret or tokens, not both")
            token = {name: data[name] for name in ("key", "secret") if name in data}
            rest = {name: data[name] for name in data if name not in ("key", "secret")}
            return {**rest, "tokens": [token]}
        return data

    def app(self) -> App:
        """The value that the rest of the server works with."""
        tokens = tuple(Token(t.key, t.secret.get_secret_value()) for t in self.tokens)
        values = self.model_dump(exclude={"tokens", "limits", "webhooks", "on_webhook"})
        return App(tokens=tokens, limits=Limits(**asdict(self.limits)), **values)

    def endpoints(self) -> list[Endpoint]:
        """Return who is told what happens in this app.

        Several endpoints may have one URL: each is told what it wants, in requests of its own. The
        first one without a name is known by its URL alone, as letters of earlier versions are.
        """
        nameless: Counter[str] = Counter()
        found = []
        for each in self.webhooks:
            mark = each.name
            if not mark:
                nameless[each.url] += 1
                mark = str(nameless[each.url]) if nameless[each.url] > 1 else ""
            found.append(each.endpoint(f"{each.url}#{mark}" if mark else each.url))
        if self.on_webhook:
            found.append(Endpoint(f"python:{self.on_webhook}", frozenset(EVENT_TYPES)))
        return found
