"""How many connections there are from one address, so that no single one can take all there are.

An address may be that of ten thousand users, behind a proxy of a provider or a company, so the
limit is wide by default; and a proxy in front of us that is not trusted to say whose connections
it passes on is none of the clients: it has an address that is not public.
"""

import socket
from ipaddress import ip_address

from oyez.server.reached import Reached

__all__ = ["Addresses"]


class Addresses:
    """Counts by address, of IPv6 by the first half, as one customer has all of the other.

    Args:
        limit: from one address; 0 for no limit.
        public_only: whether the limit is none for addresses of private networks.
    """

    def __init__(self, limit: int, reached: Reached, *, public_only: bool) -> None:
        self._limit = limit
        self._public_only = public_only
        self._reached = reached
        self._counts: dict[str, int] = {}

    def enter(self, host: str, app_id: str = "") -> bool:
        """Count one more, unless it is one too many.

        Args:
            host: empty where it is not known; then nothing is counted.
            app_id: which app it is for, where that is known.
        """
        if not host:
            return True
        network = host if ":" not in host else _half(host)
        count = self._counts.get(network, 0)
        if 0 < self._limit <= count and not (self._public_only and not _is_public(host)):
            rule = "limits.connections_per_address"
            self._reached.note(rule, self._limit, peer=host, app_id=app_id)
            return False
        self._counts[network] = count + 1
        return True

    def leave(self, host: str) -> None:
        """One that was counted is gone."""
        if not host:
            return
        network = host if ":" not in host else _half(host)
        count = self._counts[network] - 1
        if count:
            self._counts[network] = count
        else:
            del self._counts[network]

    def __len__(self) -> int:
        return len(self._counts)


def _half(host: str) -> str:
    try:
        return socket.inet_pton(socket.AF_INET6, host.partition("%")[0])[:8].hex()
    except OSError:
        return host


def _is_public(host: str) -> bool:
    try:
        return ip_address(host).is_global
    except ValueError:
        return False
