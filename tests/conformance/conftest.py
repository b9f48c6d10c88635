"""Fresh connections to the shared server, one per test."""

from collections.abc import Iterator

import pytest

from tests.conformance.probes import connect, open_websocket
from tests.conformance.raw import RawSocket
from tests.conftest import RunningServer


@pytest.fixture
def connection(server: RunningServer) -> Iterator[RawSocket]:
    """A TCP connection on which nothing has been said."""
    with connect(server) as connection:
        yield connection


@pytest.fixture
def websocket(server: RunningServer) -> Iterator[RawSocket]:
    """A WebSocket that the server has greeted."""
    with open_websocket(server) as websocket:
        yield websocket
