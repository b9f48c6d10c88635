"""Where NATS is: from the address in the settings to what nats-py is given.

``nats://USER:PASSWORD@HOST:PORT,HOST:PORT``, or ``nats://TOKEN@…``; ``tls://`` insists on TLS. Some
servers of a cluster are enough. Options that do not fit into an address are given beside it.
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

__all__ = ["Address"]

_SCHEMES: Final = ("nats", "tls")
_OURS: Final = frozenset(
    {
        "allow_reconnect",
        "connect_timeout",
        "max_outstanding_pings",
        "max_reconnect_attempts",
        "no_echo",
        "pedantic",
        "ping_interval",
        "reconnect_time_wait",
        "servers",
        "verbose",
    }
)


class Address:
    """An address that has been read.

    Args:
        url: see above.
        options: further keyword arguments for nats-py.
        limit: seconds for a connection or an answer.

    Attributes:
        options: all keyword arguments of ``Client.connect``.

    Raises:
        ValueError: the address cannot be understood, or an option is not for users.
    """

    def __init__(self, url: str, options: Mapping[str, Any], *, limit: float) -> None:
        scheme, _, rest = url.partition("://")
        if scheme not in _SCHEMES:
            raise ValueError(f"unknown scheme {scheme}://")
        ours = sorted(_OURS & options.keys())
        if ours:
            raise ValueError(f"option {ours[0]} is not to be set")
        login, at, hosts = rest.rstrip("/").rpartition("@")
        servers = [f"{scheme}://{login}{at}{host}" for host in hosts.split(",")]
        for server in servers:
            parts = urlsplit(server)
            if not parts.hostname or parts.path or parts.query:
                raise ValueError(f"expected HOST:PORT,HOST:PORT instead of {hosts!r}")
            _ = parts.port  # for its error
        self.options: dict[str, Any] = {
            "name": "oyez",
            **options,
            "servers": servers,
            # The engine comes back by itself, and knows what has to be done then.
            "allow_reconnect": False,
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": 0,
            "connect_timeout": limit / 2,
            # A connection on which nothing is answered is found out within the limit.
            "ping_interval": limit / 2,
            "max_outstanding_pings": 1,
        }
