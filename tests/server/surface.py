"""A real node without its sockets: what a transport would hand over goes to the protocols.

Whatever that is, nothing may be raised, no bug logged, and no 500 answered.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Any, cast

import structlog

from oyez.server.config import AppSettings, Settings
from oyez.server.http import HttpConnection
from oyez.server.node import Node
from tests.server.transport import Transport

APP_ID, KEY, SECRET = "1001", "app-key", "s3cret"
SETTINGS = Settings(
    trust_proxy=True,
    cors_origins=["https://a.example"],
    apps=[
        AppSettings.model_validate(
            {
                "id": APP_ID,
                "key": KEY,
                "secret": SECRET,
                "client_events": True,
                "allowed_origins": ["https://a.example", "*.b.example"],
            }
        )
    ],
)


class Wire(Transport):
    """A connection in memory; the protocol that owns it may change."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self.protocol: asyncio.Protocol = HttpConnection(node._http)
        self.protocol.connection_made(cast(asyncio.Transport, self))

    def feed(self, *pieces: bytes) -> None:
        for piece in pieces:
            if not self.aborted:
                self.protocol.data_received(piece)

    def set_protocol(self, protocol: object) -> None:
        self.protocol = cast(asyncio.Protocol, protocol)

    def get_protocol(self) -> object:
        return self.protocol

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        pass


Talk = Callable[[Node], Iterable[Wire]]


def told(talk: Talk) -> list[bytes]:
    """What a node answers on each connection of a talk that has nothing unexpected."""
    answers: list[bytes] = []
    raised: list[dict[str, Any]] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: raised.append(context))
        node = Node(SETTINGS)
        for connection in talk(node):
            for _ in range(3):  # for what is done in later turns
                await asyncio.sleep(0)
            connection.protocol.connection_lost(None)
            answers.append(connection.stream)
        node._deadlines.advance(node._deadlines.now + 10_000)

    with structlog.testing.capture_logs() as lines:
        asyncio.run(run())
    assert raised == []
    assert [line for line in lines if line["log_level"] in ("error", "critical")] == []
    for answer in answers:
        assert b"HTTP/1.1 500" not in answer
        assert b"Internal error" not in answer
    return answers


def sent(*pieces: bytes) -> list[bytes]:
    """What is answered to pieces that come on one connection."""

    def talk(node: Node) -> Iterator[Wire]:
        connection = Wire(node)
        connection.feed(*pieces)
        yield connection

    return told(talk)
