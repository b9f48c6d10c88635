"""Oyez: a self-hosted realtime server that speaks the Pusher Channels protocol.

The package has three parts and one allowed direction of import, ``server -> protocol <- sdk``;
``ARCHITECTURE.md`` draws the map. What an application needs is here; the clients are loaded when
they are first named, so that a server does not pay for them.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from oyez.sdk.client import AsyncClient, Client
    from oyez.sdk.errors import (
        ApiError,
        BadRequest,
        BadResponse,
        ConnectionFailed,
        DecryptionFailed,
        Forbidden,
        NotFound,
        OyezError,
        PayloadTooLarge,
        RateLimited,
        ServerError,
        SubscriptionError,
        TimedOut,
        Unauthorized,
        WebhookError,
    )
    from oyez.sdk.webhooks import Webhook

__all__ = [
    "ApiError",
    "AsyncClient",
    "BadRequest",
    "BadResponse",
    "Client",
    "ConnectionFailed",
    "DecryptionFailed",
    "Forbidden",
    "NotFound",
    "OyezError",
    "PayloadTooLarge",
    "RateLimited",
    "ServerError",
    "SubscriptionError",
    "TimedOut",
    "Unauthorized",
    "Webhook",
    "WebhookError",
    "__version__",
]

__version__ = "0.1.0"

_HOMES = {"AsyncClient": "client", "Client": "client", "Webhook": "webhooks"}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"oyez.sdk.{_HOMES.get(name, 'errors')}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
