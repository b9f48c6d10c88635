"""What a proxy that is trusted says of a connection, in the headers it adds to each request.

Of a list the last element counts, which the nearest proxy wrote; whatever stands before it may be
anybody's invention. Repeated headers are one list (RFC 9110 5.3), and the reader has joined them.
"""

from collections.abc import Mapping
from ipaddress import ip_address

__all__ = ["Peer", "came_over_tls", "client_address", "shown"]

Peer = tuple[str, int]

_SECURE = (b"https", b"wss")  # Traefik says the latter of WebSockets, and ws without TLS


def came_over_tls(headers: Mapping[bytes, bytes]) -> bool:
    """Return whether ``X-Forwarded-Proto`` says ``https`` or ``wss``, in any case."""
    said = headers.get(b"x-forwarded-proto")
    return said is not None and _last(said).lower() in _SECURE


def client_address(headers: Mapping[bytes, bytes]) -> str:
    """Return the address in ``X-Forwarded-For``; empty if it says none.

    Some proxies add the port, brackets or quotes; they are left out, as is the zone of an IPv6
    address, which means nothing here. An IPv4 address mapped into IPv6 is given as IPv4.
    """
    said = _last(headers.get(b"x-forwarded-for", b"")).decode("latin-1")
    if said.startswith("["):
        said = said[1:].partition("]")[0]
    elif said.count(":") == 1:
        said = said.partition(":")[0]
    try:
        address = ip_address(said.partition("%")[0])
    except ValueError:
        return ""
    return str(getattr(address, "ipv4_mapped", None) or address)


def shown(peer: Peer | None) -> str:
    """Return the other end of a connection for the log."""
    return f"{peer[0]}:{peer[1]}" if peer else "unknown"


def _last(value: bytes) -> bytes:
    return value.rstrip(b", \t").rpartition(b",")[2].strip(b' \t"')
