"""Oyez: a self-hosted realtime server that speaks the Pusher Channels protocol.

The package has three parts and one allowed direction of import, ``server -> protocol <- sdk``;
``ARCHITECTURE.md`` draws the map. What an application needs is here; the clients are loaded when
they are first named, so that a server does not pay for them.
"""

import importlib
from typing import TYPE_CHECKING, Any

from oyez.sdk.forks import no_fork

if TYPE_CHECKING:
    from oyez.sdk.client import AsyncClient, Client
    from oyez.sdk.conversation import Event
    from oyez.sdk.errors import (
        ApiError,
        BadRequest,
        BadResponse,
        ConnectionFailed,
        ConnectionRejected,
        DecryptionFailed,
        Forbidden,
        NotFound,
        OyezError,
        PayloadTooLarge,
        RateLimited,
        ServerError,
        SigninError,
        SubscriptionError,
        TimedOut,
        Unauthorized,
        WebhookError,
    )
    from oyez.sdk.listening import subscribe
    from oyez.sdk.members import Members
    from oyez.sdk.permission import HttpAuthenticator, HttpAuthorizer
    from oyez.sdk.reconnection import Reconnection
    from oyez.sdk.state import State, StateChange
    from oyez.sdk.subscriber import AsyncSubscriber
    from oyez.sdk.subscription import Subscription, User
    from oyez.sdk.webhooks import Webhook

__all__ = [
    "ApiError",
    "AsyncClient",
    "AsyncSubscriber",
    "BadRequest",
    "BadResponse",
    "Client",
    "ConnectionFailed",
    "ConnectionRejected",
    "DecryptionFailed",
    "Event",
    "Forbidden",
    "HttpAuthenticator",
    "HttpAuthorizer",
    "Members",
    "NotFound",
    "OyezError",
    "PayloadTooLarge",
    "RateLimited",
    "Reconnection",
    "ServerError",
    "SigninError",
    "State",
    "StateChange",
    "Subscription",
    "SubscriptionError",
    "TimedOut",
    "Unauthorized",
    "User",
    "Webhook",
    "WebhookError",
    "__version__",
    "subscribe",
]

__version__ = "0.1.0"

_HOMES = {
    "AsyncClient": "client",
    "AsyncSubscriber": "subscriber",
    "Client": "client",
    "Event": "conversation",
    "HttpAuthenticator": "permission",
    "Members": "members",
    "Reconnection": "reconnection",
    "State": "state",
    "StateChange": "state",
    "User": "subscription",
    "HttpAuthorizer": "permission",
    "Subscription": "subscription",
    "Webhook": "webhooks",
    "subscribe": "listening",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with no_fork():
        home = importlib.import_module(f"oyez.sdk.{_HOMES.get(name, 'errors')}")
    return getattr(home, name)


def __dir__() -> list[str]:
    return sorted(__all__)
