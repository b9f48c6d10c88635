"""A bare TCP connection, for what no library would send and for what it would hide."""

import asyncio
import base64
import os
import socket
import ssl
import struct
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Self, TypeVar

from oyez.conformance.expectations import Failed, shown
from oyez.conformance.target import Target

__all__ = ["CLOSE", "PING", "PONG", "TEXT", "Frame", "RawSocket", "frame"]

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
_Read = TypeVar("_Read")
_HEAD_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Frame:
    """One WebSocket frame of the server."""

    opcode: int
    payload: bytes

    @property
    def code(self) -> int | None:
        """The code of a close frame."""
        if self.opcode != CLOSE or len(self.payload) < 2:
            return None
        return int(struct.unpack("!H", self.payload[:2])[0])


class RawSocket:
    """Bytes out and frames in, each with a time limit."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, patience: float
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._patience = patience

    @classmethod
    async def open(cls, target: Target, *, receive_buffer: int | None = None) -> Self:
        """Connect; a small receive buffer makes a client that cannot keep up."""
        context = ssl.create_default_context() if target.tls else None
        name = target.host if context else None
        try:
            async with asyncio.timeout(target.patience):
                plain = await _connect(target, receive_buffer)
                reader, writer = await asyncio.open_connection(
                    sock=plain, ssl=context, server_hostname=name, limit=_HEAD_BYTES
                )
        except (OSError, TimeoutError) as error:
            raise Failed("a TCP connection", f"{type(error).__name__}: {error}") from None
        return cls(reader, writer, target.patience)

    async def upgrade(self, target: Target, path: str, more: bytes = b"") -> int:
        """Ask for a WebSocket, sending ``more`` in the same write; returns the status."""
        key = base64.b64encode(os.urandom(16)).decode()
        head = (
            f"GET {path} HTTP/1.1\r\nHost: {target.host}:{target.port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        await self.write(head.encode() + more)
        return (await self.read_head())[0]

    async def write(self, data: bytes) -> None:
        """Send bytes."""
        try:
            self._writer.write(data)
            async with asyncio.timeout(self._patience):
                await self._writer.drain()
        except (OSError, TimeoutError) as error:
            raise Failed("the server to read on", f"{type(error).__name__}: {error}") from None

    async def send_frame(self, payload: bytes, opcode: int = TEXT, *, masked: bool = True) -> None:
        """Send one whole frame, short enough for two bytes of length."""
        await self.write(frame(payload, opcode, masked=masked))

    async def read_head(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the next response."""
        head = await self._within(self._reader.readuntil(b"\r\n\r\n"), "an HTTP response")
        first, *lines = head.decode("latin-1").split("\r\n")
        parts = first.split(" ", 2)
        if len(parts) < 2 or not parts[1].isdecimal():
            raise Failed("an HTTP status line", shown(first))
        pairs = [line.partition(":") for line in lines if line]
        return int(parts[1]), {name.lower(): value.strip() for name, _, value in pairs}

    async def read_body(self, headers: dict[str, str]) -> bytes:
        """The body of a response with a Content-Length."""
        length = headers.get("content-length", "")
        if not length.isdecimal():
            raise Failed("a Content-Length", shown(headers))
        return await self._within(self._reader.readexactly(int(length)), "the whole body")

    async def read_line(self, seconds: float | None = None) -> bytes:
        """Bytes up to the next line feed."""
        return await self._within(self._reader.readuntil(b"\n"), "a line", seconds)

    async def read_frame(self, seconds: float | None = None) -> Frame:
        """The next frame, whatever its kind."""
        return await self._within(self._read_frame(), "a frame", seconds)

    async def read_close(self, seconds: float | None = None) -> Frame:
        """The next close frame; others are passed."""
        for _ in range(100_000):
            found = await self.read_frame(seconds)
            if found.opcode == CLOSE:
                return found
        raise Failed("a close frame", "100000 other frames")

    async def close(self) -> None:
        """Hang up without a word."""
        self._writer.transport.abort()

    async def _read_frame(self) -> Frame:
        first, second = await self._reader.readexactly(2)
        length = second & 0x7F
        if length > 125:
            size, form = (2, "!H") if length == 126 else (8, "!Q")
            (length,) = struct.unpack(form, await self._reader.readexactly(size))
        if length > 1 << 26:
            raise Failed("a frame", f"one of {length} bytes")
        return Frame(first & 0x0F, await self._reader.readexactly(length))

    async def _within(
        self, reading: Awaitable[_Read], what: str, seconds: float | None = None
    ) -> _Read:
        limit = self._patience if seconds is None else seconds
        try:
            async with asyncio.timeout(limit):
                return await reading
        except TimeoutError:
            raise Failed(what, f"nothing within {limit:g} s") from None
        except (OSError, EOFError, asyncio.LimitOverrunError) as error:
            raise Failed(what, f"{type(error).__name__}: {error}") from None


async def _connect(target: Target, receive_buffer: int | None) -> socket.socket:
    """Connect with buffers set before the handshake, when the kernel still heeds them.

    Not in a thread: a cancelled wait for one would lose the socket it comes back with.
    """
    loop = asyncio.get_running_loop()
    families = await loop.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
    family, kind, protocol, _, address = families[0]
    plain = socket.socket(family, kind, protocol)
    try:
        plain.setblocking(False)
        if receive_buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await loop.sock_connect(plain, address)
    except BaseException:
        plain.close()
        raise
    return plain


def frame(payload: bytes, opcode: int = TEXT, *, masked: bool = True) -> bytes:
    """A final frame of a client; servers must not accept an unmasked one."""
    length = len(payload)
    bit = 0x80 if masked else 0
    head = bytes([0x80 | opcode])
    if length <= 125:
        head += bytes([bit | length])
    elif length < 1 << 16:
        head += bytes([bit | 126]) + struct.pack("!H", length)
    else:
        head += bytes([bit | 127]) + struct.pack("!Q", length)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
