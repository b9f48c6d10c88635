"""What of the settings may be shown: a text is hidden unless it is listed here as harmless.

So a setting that is added is hidden until somebody thinks about it.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = ["SHOWN", "URLS", "redacted", "shown_url"]

HIDDEN: Final = "***"

SHOWN: Final = frozenset(
    {
        "host",
        "admin_host",
        "path_prefix",
        "cors_origins",
        "tls_certificate",
        "tls_key",  # where it is
        "workers",
        "transport",
        "broadcast",
        "log_format",
        "log_level",
        "data_directory",
        "cluster.prefix",
        "apps.id",
        "apps.name",
        "apps.allowed_origins",
        "apps.on_webhook",
        "apps.tokens.key",  # in every web page
        "apps.webhooks.name",
        "apps.webhooks.events",
        "apps.webhooks.starts_with",
        "apps.webhooks.ends_with",
        "apps.webhooks.pattern",
    }
)
"""Texts that are no secrets, by their place without numbers."""

URLS: Final = frozenset({"engine", "webhooks.outbox", "apps.webhooks.url"})
"""Addresses, which are shown without what proves who asks."""

_FREE: Final = "cluster.options."
"""Where a table takes any name."""

_QUERY: Final = re.compile(r"=[^&]*")


def shown_url(url: str) -> str:
    """Return a URL without user, password, and the values of its query; a plain word as it is."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    # Up to the last @ anything may be part of a password: commas, slashes, ? and #.
    _, at, rest = rest.rpartition("@")
    rest, hash_, fragment = rest.partition("#")
    place, question, query = rest.partition("?")
    query = _QUERY.sub(f"={HIDDEN}", query) if "=" in query else query and HIDDEN
    credentials = f"{HIDDEN}@" if at else ""
    return f"{scheme}://{credentials}{place}{question}{query}{hash_}{fragment}"


def redacted(value: Any, place: str = "") -> Any:
    """Return settings as plain values, with everything hidden that may be a secret.

    Args:
        value: as a settings model dumps it.
        place: of ``value`` in the settings, without numbers.
    """
    if isinstance(value, Mapping):
        return {
            name: redacted(each, f"{place}.{name}" if place else name)
            for name, each in value.items()
        }
    if isinstance(value, str):
        if place in URLS:
            return shown_url(value)
        return value if place in SHOWN or not value else HIDDEN
    if isinstance(value, Sequence):
        return [redacted(each, place) for each in value]
    if place.startswith(_FREE) and not isinstance(value, bool):
        return HIDDEN  # a password may be a number
    return value
