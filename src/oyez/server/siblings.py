"""Several workers on one port, and the HTTP fallbacks: requests find the worker of their session.

The kernel gives a connection to any worker, but a session lives in one process. Which one follows
from its name, so nobody has to be asked: a request that arrives elsewhere is passed on over a Unix
socket, and what the session says to it comes back.
"""

import asyncio
import contextlib
import sys
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Final, cast

import msgspec

from oyez.server.descriptors import plain_socket
from oyez.server.http_reader import Request
from oyez.server.http_response import Response, Stream, StreamOutput

__all__ = ["Siblings"]

_SIZE: Final = 4  # bytes of the length before a request
_MOST_UNSENT: Final = 65_536
_PATIENCE: Final = 5.0  # seconds for an answer that is no stream

Handle = Callable[[Request], Response]


class _Passed(msgspec.Struct, array_like=True):
    """A request on its way to a sibling."""

    method: bytes
    target: bytes
    headers: dict[bytes, bytes]
    secure: bool
    body: bytes
    peer: tuple[str, int] | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Passed).decode


class Siblings:
    """The workers of one supervisor.

    Args:
        directory: for their sockets; nobody else may enter it.
        number: of this worker, from 0.
        count: of all.

    Attributes:
        count: likewise.
        files: descriptors from this one on are not for clients, nor for what they ask of others.
    """

    def __init__(self, directory: Path, number: int, count: int) -> None:
        self._directory = directory
        self._number = number
        self.count = count
        self.files = sys.maxsize

    def home(self, session: str) -> int:
        """The worker in which a session lives."""
        return zlib.crc32(session.encode()) % self.count

    def is_here(self, session: str) -> bool:
        """Whether it lives in this one."""
        return self.home(session) == self._number

    @contextlib.asynccontextmanager
    async def listening(self, handle: Handle) -> AsyncIterator[None]:
        """Take what siblings pass on.

        Args:
            handle: answers a request of a session that lives here.
        """
        loop = asyncio.get_running_loop()
        server = await loop.create_unix_server(
            lambda: _Door(handle, self.files), str(self._door(self._number))
        )
        try:
            yield
        finally:
            server.close()

    def stream_of(self, request: Request, session: str) -> Stream:
        """What a session that lives elsewhere says to a receiving request."""
        return _Relay(self._door(self.home(session)), _message(request), self.files)

    async def answer_of(self, request: Request, session: str) -> tuple[int, bytes]:
        """Status and body of the answer of a worker in which a session lives.

        Raises:
            OSError: it is not there at present.
        """
        door = str(self._door(self.home(session)))
        return await asyncio.create_task(_ask(door, _message(request), self.files))

    def _door(self, number: int) -> Path:
        return self._directory / str(number)


def _message(request: Request) -> bytes:
    query = b"?" + request.query if request.query else b""
    passed = _Passed(
        request.method,
        request.path + query,
        request.headers,
        request.secure,
        request.body,
        request.peer and (request.peer[0], request.peer[1]),  # that of IPv6 has more
    )
    encoded = _encode(passed)
    return len(encoded).to_bytes(_SIZE) + encoded


async def _ask(door: str, message: bytes, files: int) -> tuple[int, bytes]:
    async with asyncio.timeout(_PATIENCE):
        reader, writer = await asyncio.open_unix_connection(door)
        try:
            if cast(int, writer.get_extra_info("socket").fileno()) >= files:
                raise ConnectionAbortedError("too many open files")
            writer.write(message)
            answer = await reader.read()
        finally:
            writer.close()
    if len(answer) < _SIZE:
        raise ConnectionResetError("no answer")
    return int.from_bytes(answer[:_SIZE]), answer[_SIZE:]


class _Door(asyncio.Protocol):
    """One request that a sibling has passed on; the stream of its answer is written back."""

    def __init__(self, handle: Handle, files: int) -> None:
        self.writable = True
        self._handle = handle
        self._files = files
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._stream: Stream | None = None

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A sibling has connected."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(_MOST_UNSENT)
        if plain_socket(self._transport) >= self._files:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """A part of the request."""
        self._received += data
        size = int.from_bytes(self._received[:_SIZE])
        if len(self._received) < _SIZE + size or self._transport is None:
            return
        passed = _decode(memoryview(self._received)[_SIZE : _SIZE + size])
        self._received = bytearray()
        request = Request(passed.method, passed.target, passed.headers, keep_alive=True)
        request.secure, request.body, request.peer = passed.secure, passed.body, passed.peer
        response = self._handle(request)
        if response.stream is None:
            self._transport.write(response.status.to_bytes(_SIZE) + response.body)
            self._transport.close()
        else:
            self._stream = response.stream
            self._stream.attached(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or the sibling."""
        self._transport = None
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.detached()

    def pause_writing(self) -> None:
        """The client does not read as fast as the session writes."""
        self.writable = False

    def resume_writing(self) -> None:
        """It reads again."""
        self.writable = True
        if self._stream is not None:
            self._stream.resumed()

    # What the stream calls.

    def write_piece(self, data: bytes) -> None:
        """See `oyez.server.http_response.StreamOutput.write_piece`."""
        if self._transport is not None:
            self._transport.write(data)

    def end_stream(self) -> None:
        """See `oyez.server.http_response.StreamOutput.end_stream`."""
        self._stream = None
        if self._transport is not None:
            self._transport.close()


class _Relay(asyncio.Protocol):
    """The other end: what comes from the session goes to the client."""

    def __init__(self, door: Path, message: bytes, files: int) -> None:
        self._door = door
        self._message = message
        self._files = files
        self._output: StreamOutput | None = None
        self._transport: asyncio.Transport | None = None
        self._connecting: asyncio.Task[None] | None = None

    # What the connection of the client calls.

    def attached(self, output: StreamOutput) -> None:
        """See `oyez.server.http_response.Stream.attached`."""
        self._output = output
        self._connecting = asyncio.create_task(self._connect())

    def resumed(self) -> None:
        """See `oyez.server.http_response.Stream.resumed`."""
        if self._transport is not None:
            self._transport.resume_reading()

    def detached(self) -> None:
        """See `oyez.server.http_response.Stream.detached`."""
        self._output = None
        if self._transport is not None:
            self._transport.abort()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_unix_connection(lambda: self, str(self._door))
        except OSError:  # it has died, and another one will take its number
            self._end()

    # What the transport calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The sibling is there."""
        self._transport = cast(asyncio.Transport, transport)
        gone = self._output is None  # the client, meanwhile
        if gone or plain_socket(self._transport) >= self._files:
            self._transport.abort()
        else:
            self._transport.write(self._message)
            self._message = b""

    def data_received(self, data: bytes) -> None:
        """Something for the client."""
        if self._output is not None and self._transport is not None:
            self._output.write_piece(data)
            if not self._output.writable:
                self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """The session has said all for this request, or its worker has died."""
        self._end()

    def _end(self) -> None:
        output, self._output = self._output, None
        if output is not None:
            output.end_stream()
