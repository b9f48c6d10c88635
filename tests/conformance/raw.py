"""A client that controls every bit: HTTP heads and WebSocket frames by hand on a blocking socket.

It interprets nothing that it sends, so anything wrong can be said. It reads strictly, so anything
wrong that the server says is noticed: RFC 9112 for responses, RFC 6455 section 5 for frames.
"""

import json
import re
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

__all__ = [
    "ACCEPT",
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "NONCE",
    "PING",
    "PONG",
    "TEXT",
    "ConnectionEnded",
    "Frame",
    "Headers",
    "RawSocket",
    "Response",
    "ServerFrame",
    "ServerMisbehaved",
    "close_payload",
    "handshake",
    "request",
]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10

NONCE = "dGhlIHNhbXBsZSBub25jZQ=="  # the example of RFC 6455 1.3 and what has to come back
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

Headers = tuple[tuple[str, str], ...]

_HANDSHAKE = {
    "Host": "127.0.0.1",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": NONCE,
    "Sec-WebSocket-Version": "13",
}
_STATUS_LINE = re.compile(r"HTTP/1\.1 ([1-5]\d\d) ([\t\x20-\x7e]*)")
_HEADER_LINE = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*?)[ \t]*")
_TIMEOUT = 90.0  # longer than any answer takes, however busy the machine is


class ServerMisbehaved(AssertionError):
    """The server broke a rule, stayed silent, or hung up where it had to speak."""


class ConnectionEnded(ServerMisbehaved):
    """The server hung up."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame to send, right or wrong.

    Attributes:
        rsv: the three reserved bits as a number, 4 for RSV1.
        key: the mask, None to send it unmasked.
        length_bits: 7, 16 or 64; None for the shortest form that fits.
        declared: the length to announce where it is not that of the payload.
    """

    opcode: int
    payload: bytes = b""
    fin: bool = True
    rsv: int = 0
    key: bytes | None = b"\x37\xfa\x21\x3d"
    length_bits: int | None = None
    declared: int | None = None

    def encode(self) -> bytes:
        """The bytes on the wire (RFC 6455 5.2)."""
        head = bytes((self.fin << 7 | self.rsv << 4 | self.opcode,)) + self._length()
        if self.key is None:
            return head + self.payload
        return head + self.key + _masked(self.payload, self.key)

    def _length(self) -> bytes:
        size = len(self.payload) if self.declared is None else self.declared
        bits = self.length_bits or (7 if size < 126 else 16 if size < 1 << 16 else 64)
        mask = 0 if self.key is None else 0x80
        if bits == 7:
            return bytes((mask | size,))
        if bits == 16:
            return bytes((mask | 126,)) + size.to_bytes(2)
        return bytes((mask | 127,)) + size.to_bytes(8)


@dataclass(frozen=True, slots=True)
class ServerFrame:
    """One frame received; it broke no rule."""

    opcode: int
    payload: bytes
    fin: bool = True


@dataclass(frozen=True, slots=True)
class Response:
    """One HTTP response received; header names in lower case."""

    status: int
    headers: Headers
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header that may come at most once."""
        values = [value for key, value in self.headers if key == name.lower()]
        if len(values) > 1:
            raise ServerMisbehaved(f"{name} came {len(values)} times: {values}")
        return values[0] if values else None

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def request(
    method: str,
    target: str,
    headers: Headers = (),
    body: bytes = b"",
    version: str = "HTTP/1.1",
) -> bytes:
    """A request with a Host header and the headers given; nothing else is added."""
    lines = [f"{method} {target} {version}", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def handshake(
    target: str,
    changes: Mapping[str, str | None] | None = None,
    *,
    extra: Headers = (),
    method: str = "GET",
    version: str = "HTTP/1.1",
) -> bytes:
    """An opening handshake (RFC 6455 4.1).

    Args:
        target: path and query.
        changes: headers with another value, or None for those to leave out.
        extra: more headers, behind the others.
        method: of the request line.
        version: of the request line.
    """
    headers = {**_HANDSHAKE, **(changes or {})}
    lines = [f"{method} {target} {version}"]
    lines += [f"{name}: {value}" for name, value in headers.items() if value is not None]
    lines += [f"{name}: {value}" for name, value in extra]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def close_payload(code: int, reason: bytes = b"") -> bytes:
    """The body of a close frame (RFC 6455 5.5.1)."""
    return code.to_bytes(2) + reason


def _masked(payload: bytes, key: bytes) -> bytes:
    repeated = (key * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload) ^ int.from_bytes(repeated)).to_bytes(len(payload))


class RawSocket:
    """A TCP connection to the server, and what arrived on it but was not read yet.

    Attributes:
        was_reset: whether it ended with RST, which may destroy what the server said last.
    """

    def __init__(self, tcp: socket.socket) -> None:
        tcp.settimeout(_TIMEOUT)
        self.tcp = tcp
        self.was_reset = False
        self._received = bytearray()

    @classmethod
    def connect(cls, host: str, port: int) -> Self:
        """Connect, with no delay for small packets: what is sent apart should travel apart."""
        tcp = socket.create_connection((host, port), timeout=_TIMEOUT)
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return cls(tcp)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.tcp.close()

    def send(self, data: bytes, chunk: int | None = None) -> None:
        """Send all of it, in pieces of ``chunk`` bytes if given."""
        size = chunk or max(len(data), 1)
        for start in range(0, len(data), size):
            self.tcp.sendall(data[start : start + size])

    def send_frames(self, *frames: Frame, chunk: int | None = None) -> None:
        """Send frames as one stream of bytes, in pieces of ``chunk`` bytes if given."""
        self.send(b"".join(frame.encode() for frame in frames), chunk)

    def push(self, data: bytes) -> bool:
        """Send to a server that may hang up meanwhile; whether it took everything."""
        try:
            self.tcp.sendall(data)
        except ConnectionError:
            self.was_reset = True
            return False
        return True

    def finish(self) -> None:
        """Say that nothing more will be sent, and go on reading."""
        self.tcp.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """Drop the connection with RST instead of FIN, as a crashed peer does."""
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.tcp.close()

    def read_frame(self) -> ServerFrame:
        """The next frame.

        Raises:
            ServerMisbehaved: none came, or it breaks RFC 6455 5.1 to 5.5.
        """
        first, second = self._take(2)
        opcode, size = first & 0x0F, second & 0x7F
        if first & 0x70:
            raise ServerMisbehaved(f"reserved bits set: {first:#x}")
        if opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            raise ServerMisbehaved(f"reserved opcode {opcode}")
        if second & 0x80:
            raise ServerMisbehaved("a server must not mask")
        if opcode >= CLOSE and (first < 0x80 or size > 125):
            raise ServerMisbehaved(f"control frame fragmented or too long: {first:#x} {size}")
        if size >= 126:
            minimum, width = (126, 2) if size == 126 else (1 << 16, 8)
            size = int.from_bytes(self._take(width))
            if size < minimum or size >> 63:
                raise ServerMisbehaved(f"{size} is not to be written in {width} bytes")
        return ServerFrame(opcode, self._take(size), first >= 0x80)

    def read_response(self, method: str = "GET") -> Response:
        """The next response, with its body as the answer to ``method`` has one.

        Raises:
            ServerMisbehaved: none came, or it breaks RFC 9112.
        """
        while b"\r\n\r\n" not in self._received:
            self._receive("the end of a response head")
        head = self._take(self._received.index(b"\r\n\r\n") + 4).decode("ascii")
        start, *lines = head[:-4].split("\r\n")
        status = _STATUS_LINE.fullmatch(start)
        fields = [_HEADER_LINE.fullmatch(line) for line in lines]
        if status is None or None in fields:
            raise ServerMisbehaved(f"malformed response head {head!r}")
        headers = tuple((field[1].lower(), field[2]) for field in fields if field)
        bare = Response(int(status[1]), headers, b"")
        return Response(bare.status, headers, self._take(_body_size(bare, method)))

    def read_until_end(self) -> bytes:
        """Whatever comes until the server hangs up.

        Raises:
            ServerMisbehaved: it does not.
        """
        while True:
            try:
                self._receive("the end of the connection")
            except ConnectionEnded:
                return bytes(self._received)

    def _take(self, size: int) -> bytes:
        while len(self._received) < size:
            self._receive(f"{size - len(self._received)} bytes")
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken

    def _receive(self, wanted: str) -> None:
        """Wait for bytes.

        Raises:
            ConnectionEnded: the server hung up, be it with a reset.
            ServerMisbehaved: nothing came in time.
        """
        try:
            data = self.tcp.recv(65536)
        except TimeoutError:
            raise ServerMisbehaved(
                f"waited for {wanted}, have {bytes(self._received[:200])!r}"
            ) from None
        except ConnectionResetError:
            self.was_reset = True
            data = b""
        if not data:
            raise ConnectionEnded(f"hung up before {wanted}, have {bytes(self._received[:200])!r}")
        self._received += data


def _body_size(response: Response, method: str) -> int:
    """How many bytes follow the head (RFC 9112 6.3)."""
    length = response.header("Content-Length")
    if response.header("Transfer-Encoding") is not None:
        raise ServerMisbehaved("the server sends every body with its length")
    if response.status < 200 or response.status == 204:
        if length is not None:  # RFC 9110 8.6
            raise ServerMisbehaved(f"Content-Length in a {response.status} response")
        return 0
    if length is None or not length.isdecimal():
        raise ServerMisbehaved(f"Content-Length {length!r} in a {response.status} response")
    return 0 if method == "HEAD" else int(length)
