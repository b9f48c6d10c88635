"""Clients of both kinds, called in the same way."""

import inspect
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import oyez
from tests.conftest import RunningServer

Call = Callable[..., Any]


def options_of(server: RunningServer) -> dict[str, Any]:
    """What a client of this server is made with."""
    return {
        "app_id": server.app_id,
        "key": server.key,
        "secret": server.secret,
        "host": server.host,
        "port": server.port,
        "ssl": False,
    }


class Either:
    """A client of either kind whose methods are awaited."""

    def __init__(self, client: oyez.Client | oyez.AsyncClient) -> None:
        self.client = client

    def __getattr__(self, name: str) -> Call:
        method = getattr(self.client, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            found = method(*args, **kwargs)
            return await found if inspect.isawaitable(found) else found

        return call


@pytest.fixture(params=["threads", "aiohttp", "httpx2"])
async def make_client(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Callable[..., Either]]:
    """Makes clients that are closed with the test."""
    made: list[oyez.Client | oyez.AsyncClient] = []
    kind = oyez.Client if request.param == "threads" else oyez.AsyncClient
    if request.param == "httpx2":
        monkeypatch.setitem(sys.modules, "oyez.sdk.aiohttp_transport", None)  # not installed

    def make(**options: Any) -> Either:
        made.append(kind(**options))
        return Either(made[-1])

    yield make
    for client in made:
        if isinstance(client, oyez.AsyncClient):
            await client.aclose()
        else:
            client.close()


@pytest.fixture
def client(make_client: Callable[..., Either], server: RunningServer) -> Either:
    """A client of the shared server, with a master key."""
    return make_client(**options_of(server), encryption_master_key=b"m" * 32)
