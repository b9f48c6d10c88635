"""The public names, pinned: changing them is a decision."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import oyez


def test_the_public_names() -> None:
    assert oyez.__all__ == [
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
    assert oyez.__version__.count(".") == 2


def test_naming_no_client_loads_no_http_library() -> None:
    look = "print('httpx2' in sys.modules)"
    script = f"import sys, oyez; {look}; oyez.Client; {look}"

    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert found.stdout.split() == ["False", "True"]


@pytest.mark.parametrize(
    "name",
    [
        module.name
        for module in pkgutil.walk_packages(oyez.__path__, "oyez.")
        if module.name != "oyez.__main__"
    ],
)
def test_every_module_says_what_it_offers_and_offers_it(name: str) -> None:
    module = importlib.import_module(name)

    assert module.__doc__
    for public in getattr(module, "__all__", []):
        assert hasattr(module, public), f"{name} does not have {public}"
