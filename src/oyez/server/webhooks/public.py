"""Which addresses are of the public internet, whatever form they hide in.

Webhook URLs are settings, but in many deployments tenants write them. A server that posts to any of
them must not be talked into posting to the network it stands in.
"""

import ipaddress
from typing import Final

__all__ = ["is_public"]

# IPv6 networks that stand for no host of their own on the internet, beside those `ipaddress` knows.
_NEVER: Final = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "::/96",  # IPv4-compatible (RFC 4291, deprecated): some systems connect to the IPv4 address
        "64:ff9b:1::/48",  # NAT64 into a local network (RFC 8215)
        "2001::/32",  # Teredo (RFC 4380): a host behind a NAT
        "fec0::/10",  # site-local (RFC 3879)
    )
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are IPv4


def is_public(address: str) -> bool:
    """Return whether an IP address is of a host on the public internet.

    An IPv6 address that carries an IPv4 address (mapped, 6to4, NAT64) is as public as that one.

    Args:
        address: as text, also with a scope (``fe80::1%eth0``), which none that is public has.
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        if any(found in network for network in _NEVER):
            return False
        carried = found.ipv4_mapped or found.sixtofour
        if found in _NAT64:
            carried = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if carried is not None:
            return is_public(str(carried))
    return found.is_global and not found.is_multicast
