"""Which web pages may connect: the ``Origin`` header against what an app allows (RFC 6454).

An entry is an origin such as ``https://a.example``, or a part of one: ``a.example`` (any scheme and
port), ``localhost:3000``, ``http://localhost:*`` (any port), ``*.a.example``, ``https://*.a.example``.
``*`` stands for any characters of a host. Browsers send hosts in lower case and in ASCII, and leave
out the port that the scheme implies; entries are brought into the same form.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

__all__ = ["is_allowed", "read_entry"]

_PORTS: Final = {"http": "80", "https": "443", "ws": "80", "wss": "443"}
_ENTRY: Final = re.compile(
    r"(?:(?P<scheme>[a-z][a-z0-9+.-]*)://)?"
    r"(?P<host>\[[0-9a-f:.]+\]|[a-z0-9*_.-]+)"
    r"(?::(?P<port>\*|[0-9]{1,5}))?/?"
)
_LABEL: Final = re.compile(r"[a-z0-9*_]([a-z0-9*_-]{0,61}[a-z0-9*_])?")


class _Origin(NamedTuple):
    """An origin or an entry; an empty scheme or port is any."""

    scheme: str
    host: str
    port: str


def read_entry(text: str) -> str:
    """Bring an entry into the form in which browsers send origins.

    Raises:
        ValueError: no browser sends an origin that it matches; the text says why.
    """
    if text in ("*", "null"):  # null: of sandboxed frames and local files
        return text
    scheme, host, port = _read(_ascii(text.lower()))
    if port and port != "*" and not 0 < int(port) < 65536:
        raise ValueError(f"port {port} is not between 1 and 65535")
    if port and port == _PORTS.get(scheme):
        port = ""
    return (f"{scheme}://" if scheme else "") + host + (f":{port}" if port else "")


def is_allowed(origin: str, allowed: tuple[str, ...]) -> bool:
    """Return whether an ``Origin`` header matches an entry, as `read_entry` writes them."""
    if "*" in allowed or origin in allowed:
        return True
    try:
        scheme, host, port = _read(origin.lower())
    except ValueError:
        return False
    port = port or _PORTS.get(scheme, "")
    return any(_matches(_Origin(scheme, host, port), entry) for entry in _entries(allowed))


def _matches(origin: _Origin, entry: _Origin) -> bool:
    if entry.scheme and entry.scheme != origin.scheme:
        return False
    port = entry.port or (_PORTS.get(entry.scheme, "") if entry.scheme else "*")
    return port in ("*", origin.port) and _matches_host(origin.host, entry.host)


def _matches_host(host: str, pattern: str) -> bool:
    if "*" not in pattern:
        return host == pattern
    first, *others, last = pattern.split("*")
    if not host.startswith(first):
        return False
    at = len(first)
    for each in others:
        found = host.find(each, at)
        if found < 0:
            return False
        at = found + len(each)
    return len(host) - at >= len(last) + 1 and host.endswith(last)


@lru_cache(maxsize=1024)  # one for each app; read once, not for each connection
def _entries(allowed: tuple[str, ...]) -> tuple[_Origin, ...]:
    return tuple(_read(entry) for entry in allowed if entry != "null")


def _read(text: str) -> _Origin:
    """Take an origin or an entry apart.

    Raises:
        ValueError: it is neither.
    """
    found = _ENTRY.fullmatch(text)
    if found is None:
        raise ValueError("expected an origin such as https://a.example, without a path")
    scheme, host, port = found["scheme"] or "", found["host"], found["port"] or ""
    if not host.startswith("[") and not all(_LABEL.fullmatch(each) for each in host.split(".")):
        raise ValueError(f"{host} is no name of a host")
    return _Origin(scheme, host, port)


def _ascii(text: str) -> str:
    """Write a name in other letters as browsers send it: ``bücher.example`` as ``xn--…``."""
    if text.isascii():
        return text
    before, separator, rest = text.rpartition("://")
    host, colon, port = rest.partition(":")
    try:
        name = host.encode("idna").decode()
    except UnicodeError as error:
        raise ValueError(f"{host} is no name of a host: {error}") from None
    return f"{before}{separator}{name}{colon}{port}"
