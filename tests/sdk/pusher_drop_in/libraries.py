"""PyPI ``pusher`` and our drop-in, made and closed in the same way."""

import contextlib
import importlib
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from tests.conftest import RunningServer

MASTER_KEY = "OHRXNUZRTG5pUTFzQlFGd3J3N3Q2VFZFc0paZDEweVk="
NAMES = ["pusher", "oyez.pusher"]

Make = Callable[..., Any]


def library(name: str) -> ModuleType:
    """The package and its errors."""
    importlib.import_module(f"{name}.errors")
    return importlib.import_module(name)


@contextlib.contextmanager
def clients(pusher: ModuleType, server: RunningServer) -> Iterator[Make]:
    """Makes a ``Pusher`` of the server, or with a class method of it; closes them at the end."""
    made: list[Any] = []

    def make(constructor: Callable[..., Any] | None = None, *args: Any, **options: Any) -> Any:
        if constructor is None:
            options = {
                "app_id": server.app_id,
                "key": server.key,
                "secret": server.secret,
            } | options
            options = {"host": server.host, "ssl": False} | options
        made.append((constructor or pusher.Pusher)(*args, **{"port": server.port, **options}))
        return made[-1]

    yield make
    for client in made:
        if hasattr(client, "close"):
            client.close()
        else:
            # PyPI pusher has no way to close, and a socket left to the garbage collector warns.
            client._pusher_client.http.session.close()
