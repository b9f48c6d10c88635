"""A test kit: the real server in a thread of the test process, and assertions on what it was told.

`plugin` gives pytest its fixtures; `OyezServer` is the same for any other way to test. Starting a
server needs the extra: ``pip install 'oyez[server]'``.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oyez.protocol.webhooks import WebhookEvent
    from oyez.testing.published import PublishedEvent
    from oyez.testing.server import OyezServer

__all__ = ["OyezServer", "PublishedEvent", "WebhookEvent"]

_HOMES = {
    "OyezServer": "oyez.testing.server",
    "PublishedEvent": "oyez.testing.published",
    "WebhookEvent": "oyez.protocol.webhooks",
}


def __getattr__(name: str) -> Any:
    """Load what is named: pytest imports this package in every run, whether or not it is used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(_HOMES[name]), name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "oyez":
            raise
        raise ModuleNotFoundError(
            f"oyez.testing starts a server, and {error.name} is not installed; "
            "run: pip install 'oyez[server]'",
            name=error.name,
        ) from None


def __dir__() -> list[str]:
    return sorted(__all__)
