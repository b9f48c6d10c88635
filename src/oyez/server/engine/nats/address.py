"""Where NATS is: from the address in the settings to what nats-py is given.

``nats://USER:PASSWORD@HOST:PORT,HOST:PORT``, or ``nats://TOKEN@…``; ``%40`` is a ``@`` in them.
With ``tls://`` nothing is said to a server without TLS. Some servers of a cluster are enough.

Options that do not fit into an address are given beside it: ``tls_ca_file``, ``tls_cert_file`` and
``tls_key_file`` are ours, all others are arguments of nats-py.
"""

import ssl
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote, urlsplit

__all__ = ["Address"]

_SCHEMES: Final = ("nats", "tls")
_FILES: Final = ("tls_ca_file", "tls_cert_file", "tls_key_file")
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
        "tls",
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
        secure: whether there has to be TLS.

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
        login, _, hosts = rest.rstrip("/").rpartition("@")
        servers = [f"{scheme}://{host}" for host in hosts.split(",")]
        for server in servers:
            parts = urlsplit(server)
            if not parts.hostname or parts.path or parts.query:
                raise ValueError(f"expected HOST:PORT,HOST:PORT instead of {hosts!r}")
            _ = parts.port  # for its error
        self.secure = scheme == "tls"
        theirs = {name: value for name, value in options.items() if name not in _FILES}
        self.options: dict[str, Any] = {
            "name": "oyez",
            **_credentials(login),
            **theirs,
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
        if self.secure or len(theirs) < len(options):
            self.options["tls"] = _tls(*(options.get(name) for name in _FILES))


def _credentials(login: str) -> dict[str, str]:
    """What stands before the hosts: user and password, or a token."""
    user, separator, password = login.partition(":")
    if separator:
        return {"user": unquote(user), "password": unquote(password)}
    return {"token": unquote(login)} if login else {}


def _tls(ca: str | None, certificate: str | None, key: str | None) -> ssl.SSLContext:
    """The context for TLS.

    Raises:
        ValueError: a file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=ca)
        if certificate is not None:
            context.load_cert_chain(certificate, key)
    except OSError as error:  # which those of TLS are as well
        raise ValueError(f"TLS: {error}") from error
    return context
