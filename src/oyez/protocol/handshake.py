"""The first line of a client: which app it wants and which protocol version it speaks.

The checks that need no knowledge of apps, in the order of spec ``websocket-protocol.md`` 1.
"""

import re
from functools import lru_cache
from urllib.parse import parse_qs, unquote

import msgspec

from oyez.protocol.errors import CloseCode, ConnectionClosed
from oyez.protocol.requests import MOST_PARAMETERS

__all__ = ["Hello", "read_hello", "subprotocol"]

_INTEGER = re.compile(r"-?[0-9]+")
_VERSIONS = frozenset("4567")
_SUBPROTOCOL = "pusher-channels-protocol-"


class Hello(msgspec.Struct, frozen=True):
    """What a client says of itself in the URL of its connection.

    Attributes:
        key: the app key it asks for.
        version: protocol version 4 to 7, or None where the parameter is missing.
        client: name and version of its library, for the log only.
    """

    key: str
    version: int | None
    client: str


@lru_cache(maxsize=128)  # most clients of an app say the same
def read_hello(path: str, query: str) -> Hello:
    """Read ``/app/{key}?protocol=7&client=js&version=8.6.0``.

    Raises:
        ConnectionClosed: 4005 another path or too many parameters, 4006 the version is not an
            integer, 4007 it is not one of 4 to 7.
    """
    parts = path.split("/")
    if len(parts) != 3 or parts[1] != "app" or not parts[2]:
        raise ConnectionClosed(CloseCode.PATH_NOT_FOUND, "Path not found")
    count = query.count("&") + 1
    if count > MOST_PARAMETERS:
        text = f"Too many query parameters ({count} > {MOST_PARAMETERS})"
        raise ConnectionClosed(CloseCode.PATH_NOT_FOUND, text)
    given = parse_qs(query, keep_blank_values=True)
    client = " ".join(given[name][-1][:60] for name in ("client", "version") if name in given)
    return Hello(unquote(parts[2]), _read_version(given.get("protocol", [])), client)


def _read_version(values: list[str]) -> int | None:
    if not values:
        return None
    if not _INTEGER.fullmatch(values[-1]):
        raise ConnectionClosed(CloseCode.INVALID_VERSION, "Invalid version string format")
    version = values[-1].lstrip("0")
    if version not in _VERSIONS:
        raise ConnectionClosed(CloseCode.UNSUPPORTED_VERSION, "Unsupported protocol version")
    return int(version)


def subprotocol(offered: str) -> str | None:
    """The first offered subprotocol that is ours; some client stacks fail unless it is echoed."""
    for name in offered.split(","):
        if name.strip().startswith(_SUBPROTOCOL):
            return name.strip()
    return None
