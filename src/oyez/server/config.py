"""Settings: built-in defaults, then a TOML file, then ``OYEZ_*`` variables, then the command line.

The only reader of the environment. One model describes every setting; ``oyez config`` prints the
effective one and ``docs/reference/configuration.md`` lists it.
"""

import ipaddress
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from oyez.protocol.origins import read_entry
from oyez.server.app_settings import AppSettings, StrictModel, TokenSettings
from oyez.server.broadcast import Way
from oyez.server.logs import LogFormat
from oyez.server.node_limits import NodeLimitSettings

__all__ = [
    "SAMPLE_SECRET",
    "AppSettings",
    "Settings",
    "connectable",
    "default_file",
    "load",
]

SAMPLE_SECRET = "app-secret"  # noqa: S105 - refused on any public address, see Settings.check
_FILE = "oyez.toml"
_NOT_OF_THE_SERVER = frozenset(
    {"OYEZ_URL", "OYEZ_ADMIN_URL"}
)  # read by client commands of the command line

_REDIS = ("redis", "rediss", "unix")
_NATS = ("nats", "tls")


def _check_cors_origin(text: str) -> str:
    """Bring an origin into the form in which browsers send it.

    Raises:
        ValueError: it is not ``*`` and not a whole origin.
    """
    entry = read_entry(text)
    if entry not in ("*", "null") and ("://" not in entry or "*" in entry):
        raise ValueError(f"expected * or a whole origin such as https://a.example, not {text!r}")
    return entry


def _check_engine(address: str) -> str:
    scheme, separator, _ = address.partition("://")
    plain, _, mode = scheme.partition("+")
    modes = ("", "sentinel", "cluster") if plain != "unix" else ("",)
    known = scheme in _NATS or (plain in _REDIS and mode in modes)
    if address != "memory" and not (separator and known):
        raise ValueError(
            "expected memory, or an address that begins with redis://, rediss://, unix://, "
            "redis+sentinel://, redis+cluster://, nats:// or tls://"
        )
    return address


def is_nats(address: str) -> bool:
    """Whether the address of an engine is one of NATS."""
    return address.partition("://")[0] in _NATS


EngineAddress = Annotated[str, AfterValidator(_check_engine)]


class WebhookDeliverySettings(StrictModel):
    """How webhooks are kept and delivered."""

    outbox: str = Field(
        default="",
        description=(
            "SQLAlchemy URL, such as `postgresql+psycopg://…`, the same on all nodes; default: "
            "SQLite in `data_directory`."
        ),
    )
    one_machine: bool = Field(
        default=False,
        description=(
            "Whether all nodes of a deployment run on this machine and use the same SQLite file; "
            "without it, SQLite is refused where `engine` is for many nodes."
        ),
    )
    timeout: float = Field(default=10.0, gt=0, description="Seconds for one request.")
    retry_seconds: float = Field(
        default=300.0, ge=0, description="From the first attempt until an event is given up."
    )
    most_pending: int = Field(
        default=20_000,
        ge=1,
        description=(
            "Events waiting for one endpoint; beyond it the oldest of the type of which most are "
            "waiting is dropped."
        ),
    )
    allow_private: bool | None = Field(
        default=None,
        description=(
            "Whether endpoints in private, link-local and loopback networks may be asked; "
            "default: only while `host` itself is loopback."
        ),
    )


class ClusterSettings(StrictModel):
    """How nodes share a store and a broker; only with an engine for many nodes."""

    prefix: Annotated[str, Field(pattern=r"^[-a-zA-Z0-9_.:]{1,40}$")] = Field(
        default="oyez",
        description="Before every key and topic, so that deployments can share a Redis or NATS.",
    )
    lease_seconds: float = Field(
        default=10.0,
        ge=1,
        description="Without a sign of life for so long, a node is dead to the others.",
    )
    timeout: float = Field(
        default=5.0, gt=0, description="Seconds for anything that store or broker are asked."
    )
    options: dict[str, str | int | float | bool] = Field(
        default={},
        description="Further keyword arguments for the client library (redis-py or nats-py).",
    )


def _development_app() -> AppSettings:
    token = TokenSettings(key="app-key", secret=SecretStr(SAMPLE_SECRET))
    return AppSettings(id="1001", name="development", client_events=True, tokens=[token])


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        env_prefix="OYEZ_", env_nested_delimiter="__", extra="forbid", toml_file=None
    )

    host: str = Field(default="127.0.0.1", description="Address for clients and the HTTP API.")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=6001, description="Port for clients and the HTTP API; 0 for a free one."
    )
    admin_host: str = Field(default="127.0.0.1", description="Address for operators.")
    admin_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        default=9601, description="Port for operators; 0 for a free one."
    )
    admin_names: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9_.-]*$")]] = Field(
        default=[],
        description=(
            "Names by which the port for operators may be asked, beside `localhost`, addresses and "
            "`admin_host`; others are refused but for health, as web pages can choose them."
        ),
    )
    path_prefix: Annotated[str, Field(pattern=r"^(/[A-Za-z0-9_.~=@,;:-]+)*$")] = Field(
        default="",
        description="Path below which the server is mounted, of characters that no URL escapes.",
    )
    cors_origins: list[Annotated[str, AfterValidator(_check_cors_origin)]] = Field(
        default=[], description="Origins that may read HTTP API answers in a browser; `*` for all."
    )
    allow_sample_secret: bool = Field(
        default=False, description="Let `app-secret` be reachable from other machines."
    )
    trust_proxy: bool = Field(
        default=False,
        description=(
            "Whether `X-Forwarded-Proto` of a proxy decides what came over TLS (`https` or `wss`), "
            "and the address in `X-Forwarded-For` is logged as the client's; of a list the last "
            "one counts."
        ),
    )
    tls_certificate: Path | None = Field(
        default=None, description="PEM file with the certificate chain; serves TLS if set."
    )
    tls_key: Path | None = Field(
        default=None, description="PEM file with the private key, if not in the other file."
    )
    engine: EngineAddress = Field(
        default="memory",
        description=(
            "Where the state is kept: `memory` for one machine, for many the address of a Redis: "
            "`redis://`, `rediss://`, `unix://`, `redis+sentinel://HOST,HOST/SERVICE`, "
            "`redis+cluster://HOST,HOST`; or of a NATS with JetStream: `nats://HOST,HOST`, "
            "`tls://HOST,HOST`."
        ),
    )
    workers: Annotated[int, Field(ge=1, le=1024)] | Literal["auto"] = Field(
        default=1, description="Processes that share the port; `auto` is one per CPU core."
    )
    transport: Literal["uvloop", "aiofastnet", "asyncio"] = Field(
        default="uvloop", description="How bytes are moved; aiofastnet needs the extra `fast`."
    )
    broadcast: Way = Field(
        default="auto",
        description=(
            "How an event is written to many sockets: `io_uring` (Linux) or a `write` for each; "
            "`auto` is the first one that may be used."
        ),
    )
    backlog: Annotated[int, Field(ge=1)] = Field(
        default=4096, description="Connections the kernel holds before they are accepted."
    )
    lame_duck_seconds: Annotated[float, Field(ge=0)] = Field(
        default=0.0,
        description=(
            "How long `/readyz` answers 503 when stopping before anything else ends, so that load "
            "balancers which ask for it look elsewhere in time."
        ),
    )
    drain_seconds: Annotated[float, Field(ge=0)] = Field(
        default=5.0, description="Over how long clients are sent away when stopping, at the most."
    )
    log_format: LogFormat = Field(
        default="auto", description="`auto` is `console` on a terminal and `json` elsewhere."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level that is logged."
    )
    data_directory: Path = Field(
        default=Path("oyez-data"), description="Where what must survive a restart is kept."
    )
    limits: NodeLimitSettings = NodeLimitSettings()
    cluster: ClusterSettings = ClusterSettings()
    webhooks: WebhookDeliverySettings = WebhookDeliverySettings()
    apps: Annotated[list[AppSettings], Field(min_length=1)] = Field(
        default_factory=lambda: [_development_app()]
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line first, then environment, then file; no other source."""
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls)

    @model_validator(mode="after")
    def _check(self) -> Self:
        ids = [app.id for app in self.apps]
        keys = [token.key for app in self.apps for token in app.tokens]
        for name, values in (("id", ids), ("key", keys)):
            for value in values:
                if values.count(value) > 1:
                    raise ValueError(f"two apps have the {name} {value!r}")
        if self.uses_sample_secret and not self.allow_sample_secret:
            public = [host for host in (self.host, self.admin_host) if not is_loopback(host)]
            if public:
                raise ValueError(
                    f"the sample secret must not be reachable at {public[0]}: "
                    "configure an app of your own, or set allow_sample_secret"
                )
        if self.tls_key is not None and self.tls_certificate is None:
            raise ValueError("tls_key without tls_certificate")
        self._check_outbox()
        return self

    def _check_outbox(self) -> None:
        """Refuse an outbox that every node would have for itself, as each would tell everything."""
        told = any(app.webhooks or app.on_webhook for app in self.apps)
        outbox = self.webhooks.outbox
        is_sqlite = not outbox or outbox.startswith("sqlite")
        if told and is_sqlite and self.engine != "memory" and not self.webhooks.one_machine:
            raise ValueError(
                "webhooks of many nodes need one database for all of them: set webhooks.outbox to "
                "the URL of a PostgreSQL, postgresql+psycopg://…; or, if all nodes run on this "
                "machine and use the same SQLite file, set webhooks.one_machine = true"
            )

    @property
    def secure(self) -> bool:
        """Whether this server itself ends TLS, so that it is asked with ``https`` and ``wss``."""
        return self.tls_certificate is not None

    def place(self, port: int) -> str:
        """Return what stands behind ``https://`` in the URLs of this server."""
        host = connectable(self.host)
        return f"{f'[{host}]' if ':' in host else host}:{port}{self.path_prefix}"

    @property
    def uses_sample_secret(self) -> bool:
        """Whether any app can be used with the secret that everybody knows."""
        return any(
            token.secret.get_secret_value() == SAMPLE_SECRET
            for app in self.apps
            for token in app.tokens
        )


def connectable(host: str) -> str:
    """Return an address to connect to: all of this machine's are listened at, but none is asked."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"


def is_loopback(host: str) -> bool:
    """Whether ``host`` can only be reached from this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def default_file() -> Path | None:
    """``oyez.toml`` of the working directory, if there is one."""
    path = Path(_FILE)
    return path if path.is_file() else None


def load(file: Path | None, **given: Any) -> Settings:
    """Read all sources.

    Args:
        file: the TOML file; None for none.
        given: settings from the command line; those that are None were not given.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is no TOML, or a setting is unknown, missing or out of range.
    """
    if file is not None:
        with file.open("rb") as opened:
            tomllib.load(opened)  # for its error, which names line and column

    prefix = "OYEZ_"
    for name in os.environ:
        setting = name.removeprefix(prefix).lower().partition("__")[0]
        known = setting in Settings.model_fields or name in _NOT_OF_THE_SERVER
        if name.startswith(prefix) and not known:
            raise ValueError(f"unknown setting {name} in the environment")

    class Loaded(Settings):
        model_config = SettingsConfigDict(toml_file=file)

    return Loaded(**{name: value for name, value in given.items() if value is not None})
