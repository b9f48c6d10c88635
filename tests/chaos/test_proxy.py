"""Each fault of the proxy does what it says, between a real client and a real server."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.chaos.proxy import FaultProxy

Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo:
    """Sends everything back.

    Attributes:
        heard: all bytes of all connections.
        grew: set when there are more.
    """

    def __init__(self) -> None:
        self.heard = b""
        self.grew = asyncio.Event()
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            while data := await reader.read(65536):
                self.heard += data
                self.grew.set()
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        writer.close()


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    server = Echo()
    await server.open()
    yield server
    await server.close()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[FaultProxy]:
    async with FaultProxy(echo.port) as opened:
        yield opened


@pytest.fixture
async def connect(proxy: FaultProxy) -> AsyncIterator[Any]:
    opened: list[asyncio.StreamWriter] = []

    async def open_one() -> Pair:
        pair = await asyncio.open_connection("127.0.0.1", proxy.port)
        opened.append(pair[1])
        return pair

    yield open_one
    for writer in opened:
        writer.transport.abort()


async def answer(pair: Pair, said: bytes, *, seconds: float = 5) -> bytes:
    pair[1].write(said)
    async with asyncio.timeout(seconds):
        return await pair[0].readexactly(len(said))


async def test_bytes_pass(connect: Any) -> None:
    pair = await connect()
    assert await answer(pair, b"x" * 1_000_000) == b"x" * 1_000_000


async def test_an_end_passes(connect: Any) -> None:
    reader, writer = await connect()
    writer.write(b"last")
    writer.write_eof()
    assert await reader.read() == b"last"


async def test_a_cut_breaks_what_is_open_and_nothing_else(connect: Any, proxy: FaultProxy) -> None:
    pair = await connect()
    await answer(pair, b"a")
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        await pair[0].read()
    assert await answer(await connect(), b"b") == b"b"


async def test_a_refusing_link_breaks_new_connections_too(connect: Any, proxy: FaultProxy) -> None:
    proxy.refuse()
    pair = await connect()
    with pytest.raises(ConnectionResetError):
        await pair[0].read()
    proxy.heal()
    assert await answer(await connect(), b"b") == b"b"


async def test_what_is_held_arrives_later(connect: Any, proxy: FaultProxy, echo: Echo) -> None:
    pair = await connect()
    await answer(pair, b"a")
    proxy.hold()
    with pytest.raises(TimeoutError):
        await answer(pair, b"b", seconds=0.2)
    assert echo.heard == b"a"
    proxy.heal()
    assert await pair[0].readexactly(1) == b"b"


async def test_half_open_holds_one_direction(connect: Any, proxy: FaultProxy, echo: Echo) -> None:
    pair = await connect()
    proxy.hold(proxy.downward)
    with pytest.raises(TimeoutError):
        await answer(pair, b"b", seconds=0.2)
    assert echo.heard == b"b"


async def test_whoever_connects_to_a_held_link_is_accepted_and_never_answered(
    connect: Any, proxy: FaultProxy
) -> None:
    proxy.hold()
    pair = await connect()
    with pytest.raises(TimeoutError):
        await answer(pair, b"b", seconds=0.2)


async def test_what_leaves_before_it_hangs_up_still_arrives(
    connect: Any, proxy: FaultProxy, echo: Echo
) -> None:
    """As a kernel goes on sending for a process that has closed its socket."""
    proxy.hold()
    pair = await connect()
    pair[1].write(b"late")
    pair[1].close()
    await pair[1].wait_closed()
    await asyncio.sleep(0.1)
    assert echo.heard == b""
    proxy.heal()
    async with asyncio.timeout(5):
        while echo.heard != b"late":
            echo.grew.clear()
            await echo.grew.wait()


async def test_where_bytes_were_swallowed_the_connection_breaks(
    connect: Any, proxy: FaultProxy, echo: Echo
) -> None:
    pair, idle = await connect(), await connect()
    await answer(idle, b"a")
    proxy.swallow()
    with pytest.raises(TimeoutError):
        await answer(pair, b"lost", seconds=0.2)
    proxy.heal()
    with pytest.raises(ConnectionResetError):
        await pair[0].read()
    assert await answer(idle, b"b") == b"b"
    assert echo.heard == b"ab"


async def test_delay(connect: Any, proxy: FaultProxy) -> None:
    pair = await connect()
    await answer(pair, b"a")
    proxy.slow(delay=0.15)
    began = time.monotonic()
    await answer(pair, b"b")
    assert time.monotonic() - began >= 0.3


async def test_throttle(connect: Any, proxy: FaultProxy) -> None:
    pair = await connect()
    await answer(pair, b"a")
    proxy.slow(rate=10_000)
    began = time.monotonic()
    await answer(pair, b"b" * 5_000)
    assert time.monotonic() - began >= 0.4
    proxy.heal()
    assert await answer(pair, b"c" * 1_000_000) == b"c" * 1_000_000


async def test_a_target_that_is_not_there_is_a_cut(connect: Any, echo: Echo) -> None:
    await echo.close()
    pair = await connect()
    with pytest.raises(ConnectionResetError):
        await pair[0].read()
    await echo.open()
