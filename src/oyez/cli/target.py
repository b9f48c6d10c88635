"""Which server a command talks to, and what its user reads if that does not work."""

import contextlib
import re
from collections.abc import Iterator
from typing import Annotated, Any

import msgspec
import typer

from oyez.cli.output import USAGE, fail
from oyez.sdk.address import options_of_url
from oyez.sdk.client import Client
from oyez.sdk.errors import ApiError, BadResponse, ConnectionFailed, ConnectionRejected, OyezError
from oyez.sdk.link import socket_url
from oyez.sdk.transport import Transport

__all__ = [
    "DEVELOPMENT_SECRET",
    "DEVELOPMENT_URL",
    "EncryptionKey",
    "Info",
    "Url",
    "client_options",
    "client_url",
    "connected",
    "explain",
    "failures",
    "shown",
]

DEVELOPMENT_SECRET = "app-secret"  # noqa: S105 - everybody may know it, see `server.config`
DEVELOPMENT_URL = f"http://app-key:{DEVELOPMENT_SECRET}@127.0.0.1:6001/apps/1001"
_HOSTED = re.compile(r"^api((?:-[a-z0-9]+)?\.pusher(?:app)?\.com)$")
_MOST_SHOWN = 300
# The server decides how large an event may be; this is only more than any accepts.
_MAX_DATA = 100_000_000

Url = Annotated[
    str,
    typer.Option(
        "--url",
        help="http(s)://KEY:SECRET@HOST[:PORT]/apps/APP_ID of any Pusher-compatible server.",
        envvar="OYEZ_URL",
        show_default="the development app",
    ),
]
EncryptionKey = Annotated[
    str | None,
    typer.Option(
        help="Master key of encrypted channels: base64 of 32 bytes.",
        envvar="PUSHER_ENCRYPTION_MASTER_KEY",
        show_default=False,
    ),
]
Info = Annotated[
    str | None,
    typer.Option(help="Attributes to ask for: subscription_count, user_count; joined by commas."),
]


class _Refusal(msgspec.Struct):
    error: str


@contextlib.contextmanager
def connected(
    url: str, *, encryption_key: str | None = None, transport: Transport | None = None
) -> Iterator[Client]:
    """A client; what goes wrong with it inside the context ends the command with a sentence."""
    with failures(url):
        client = Client.from_url(
            url,
            encryption_master_key=encryption_key,
            transport=transport,
            timeout=10,
            max_data=_MAX_DATA,
        )
        with client:
            yield client


@contextlib.contextmanager
def failures(url: str) -> Iterator[None]:
    """What the SDK raises inside the context ends the command with a sentence."""
    try:
        yield
    except OyezError as error:
        fail(explain(error, url))
    except ValueError as error:
        # The SDK names its own arguments; this one has another name here.
        fail(str(error).replace("encryption_master_key", "--encryption-key"), code=USAGE)


def client_options(url: str) -> dict[str, Any]:
    """Where clients connect, for the URL of an app: at the hosted service that is another host.

    Raises:
        ValueError: not the URL of an app.
    """
    found = options_of_url(url)
    options = {name: found[name] for name in ("port", "ssl", "path")}
    return {**options, "host": _HOSTED.sub(r"ws\1", found["host"])}


def client_url(url: str) -> str:
    """The same as a URL, with the key.

    Raises:
        ValueError: not the URL of an app.
    """
    return socket_url(options_of_url(url)["key"], **client_options(url))


def explain(error: OyezError, url: str) -> str:
    """What happened where, and what its user can do about it; never with the secret."""
    match error:
        case ApiError():
            return f"{shown(url)} answered {error.status}: {_said(error.body)}{_advice(error)}"
        case ConnectionRejected():
            return f"{shown(url)} lets no client in: {error}; check KEY and the path of --url"
        case ConnectionFailed() if url == DEVELOPMENT_URL:
            return f"{error}; start a server: oyez serve, or name one: --url or OYEZ_URL"
        case ConnectionFailed():
            return f"{error}; is host and port of --url right, and the server running?"
        case BadResponse():
            return f"{shown(url)} does not speak the Pusher HTTP API: {_brief(str(error))}"
        case _:
            return str(error)


def shown(url: str) -> str:
    """A URL without key and secret."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


def _advice(error: ApiError) -> str:
    match error.status:
        case 401:
            return "; check KEY and SECRET of --url, and the clock: oyez doctor"
        case 404:
            return "; check APP_ID and the path of --url"
        case 429 if error.retry_after:
            return f"; try again in {error.retry_after:.0f} s"
        case _:
            return ""


def _said(body: str) -> str:
    """The sentence of a refusal: servers put it into JSON, or send just that."""
    try:
        text = msgspec.json.decode(body, type=_Refusal).error
    except msgspec.MsgspecError:
        text = body
    return _brief(text)


def _brief(text: str) -> str:
    one_line = " ".join(text.split())
    return one_line if len(one_line) <= _MOST_SHOWN else f"{one_line[:_MOST_SHOWN]}…"
