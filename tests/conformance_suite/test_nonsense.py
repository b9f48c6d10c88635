"""Servers that close, hang or talk nonsense get fails; nothing gets an exception."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from oyez.conformance import Credentials, Report, Target, run
from oyez.conformance.expectations import Failed
from oyez.conformance.raw_socket import RawSocket

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hangs up at once."""


async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers every packet with bytes that are no protocol."""
    while await reader.read(65_536):
        writer.write(b"\x00\xff\r\n\r\n\x81\x05hello" * 3)
        await writer.drain()


async def wrong_json(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers every packet with a good response of the wrong kind of JSON."""
    while await reader.read(65_536):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n[1,null]")
        await writer.drain()


async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Begins an answer and hangs up."""
    await reader.read(65_536)
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: webso")
    await writer.drain()


async def hangs(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads and says nothing."""
    while await reader.read(65_536):
        pass


@contextlib.asynccontextmanager
async def listening(talk: Talk) -> AsyncIterator[int]:
    """A server that talks like this; yields its port."""

    talks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        talks[task] = writer
        with contextlib.suppress(OSError):
            await talk(reader, writer)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        del talks[task]

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    for writer in talks.values():
        writer.transport.abort()
    await asyncio.gather(*talks)


async def check(port: int) -> Report:
    app = Credentials("1001", "app-key", "app-secret")
    return await run(Target(f"http://127.0.0.1:{port}", app, patience=0.05))


@pytest.mark.parametrize("talk", [closes, garbage, wrong_json, half, hangs])
async def test_nonsense_fails_every_check(talk: Talk) -> None:
    async with listening(talk) as port:
        report = await check(port)

    assert not report.conforms
    ran = [result for result in report.results if result.outcome != "skipped"]
    assert len(ran) > 400
    assert [result.id for result in ran if result.outcome == "pass"] == []
    assert all(result.detail.startswith("expected ") for result in ran)


async def test_where_nobody_listens_every_check_fails_at_once() -> None:
    async with listening(closes) as port:
        pass

    report = await check(port)

    assert {result.outcome for result in report.results} == {"fail"}
    assert "expected a server at" in report.results[0].detail


async def test_running_out_of_patience_while_connecting_leaves_no_socket_open() -> None:
    async with listening(hangs) as port:
        app = Credentials("1001", "app-key", "app-secret")
        for step in range(200):
            target = Target(f"http://127.0.0.1:{port}", app, patience=step * 1e-5)
            with contextlib.suppress(Failed):
                await (await RawSocket.open(target)).close()

    gc.collect()  # an unclosed socket warns here, and warnings are errors
