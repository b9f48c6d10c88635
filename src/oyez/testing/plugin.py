"""Fixtures for pytest: ``oyez_server``, ``oyez_client`` and ``oyez_async_client``.

pytest loads this in every run, so the server is imported only by a test that asks for one.
"""

import contextlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from oyez.testing.tables import merged

if TYPE_CHECKING:
    from oyez.sdk.client import AsyncClient, Client
    from oyez.testing.server import OyezServer

__all__ = [
    "oyez_async_client",
    "oyez_client",
    "oyez_server",
    "oyez_settings",
    "oyez_shared_server",
]

_SCOPES = ("session", "function")
_MARK = (
    "oyez(**settings): settings of the server that this test gets, as in oyez.toml; those of its "
    "app under app"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long a server lives."""
    text = "whether tests share a server (session) or each starts one (function)"
    parser.getgroup("oyez").addoption("--oyez-scope", choices=_SCOPES, help=text)
    parser.addini("oyez_scope", f"{text}; default: session", default="session")


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line("markers", _MARK)


class _Servers:
    """The servers of a run, one for each different set of settings."""

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._started: list[tuple[Mapping[str, Any], OyezServer]] = []

    def get(self, settings: Mapping[str, Any]) -> "OyezServer":
        for known, server in self._started:
            if known == settings:
                return server
        server = self._stack.enter_context(_server(settings))
        self._started.append((settings, server))
        return server

    def stop(self) -> None:
        self._stack.close()


@pytest.fixture(scope="session")
def oyez_settings() -> dict[str, Any]:
    """Override this: settings of the server as in ``oyez.toml``, those of its app under ``app``."""
    return {}


@pytest.fixture(scope="session")
def _oyez_servers() -> Iterator[_Servers]:
    servers = _Servers()
    yield servers
    servers.stop()


@pytest.fixture(scope="session")
def oyez_shared_server(_oyez_servers: _Servers, oyez_settings: Mapping[str, Any]) -> "OyezServer":
    """The server of the session, for fixtures that live as long; tests take ``oyez_server``."""
    return _oyez_servers.get(oyez_settings)


@pytest.fixture
def oyez_server(
    request: pytest.FixtureRequest, oyez_settings: Mapping[str, Any]
) -> "Iterator[OyezServer]":
    """A running server, with no connections and nothing published or told."""
    settings = _with_marks(request.node, oyez_settings)
    config = request.config
    if (config.getoption("--oyez-scope") or config.getini("oyez_scope")) == "function":
        with _server(settings) as server:
            yield server
        return
    servers: _Servers = request.getfixturevalue("_oyez_servers")
    server = servers.get(settings)
    server.clear()
    yield server
    server.clear()


@pytest.fixture
def oyez_client(oyez_server: "OyezServer") -> "Iterator[Client]":
    """A client of the server's app."""
    with oyez_server.client() as client:
        yield client


@pytest.fixture
def oyez_async_client(oyez_server: "OyezServer") -> "AsyncClient":
    """The same for asyncio, in whatever event loop a test runs."""
    return oyez_server.async_client()


def _server(settings: Mapping[str, Any]) -> "OyezServer":
    try:
        from oyez.testing import OyezServer
    except ModuleNotFoundError as error:
        pytest.fail(str(error), pytrace=False)
    return OyezServer(settings)


def _with_marks(node: pytest.Item, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    for mark in reversed(list(node.iter_markers("oyez"))):  # the closest one last
        if mark.args:
            pytest.fail("@pytest.mark.oyez takes settings by name only", pytrace=False)
        settings = merged(settings, mark.kwargs)
    return settings
