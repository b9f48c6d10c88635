"""WebSocket frames (RFC 6455) without I/O: bytes in, messages out; text in, bytes out.

The reader refuses what it must before it allocates: the declared length of a frame is compared with
the limit when its header is complete, not when its payload has arrived.
"""

import codecs
from collections.abc import Iterator
from enum import IntEnum

__all__ = [
    "EMPTY_PING",
    "FrameError",
    "FrameReader",
    "Opcode",
    "close_frame",
    "frame",
    "read_close",
    "split_frames",
    "text_frame",
]


class Opcode(IntEnum):
    """RFC 6455 5.2; every other value is reserved."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = Opcode  # see ``http_reader``
_DATA = (_CONTINUATION, _TEXT, _BINARY)
_OPCODES: dict[int, Opcode] = {opcode.value: opcode for opcode in Opcode}
_utf8 = codecs.getincrementaldecoder("utf-8")
_MAX_CONTROL = 125
_MOST_FRAMES = 1_024  # of one message


class FrameError(Exception):
    """The peer broke the framing rules; the connection must be closed with ``code``."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


def frame(opcode: Opcode, payload: bytes) -> bytes:
    """One final frame as a server sends it: not masked, shortest length form."""
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    if size < 65536:
        return bytes((0x80 | opcode, 126)) + size.to_bytes(2) + payload
    return bytes((0x80 | opcode, 127)) + size.to_bytes(8) + payload


def text_frame(payload: bytes) -> bytes:
    """A text message; ``payload`` is UTF-8."""
    return frame(_TEXT, payload)


def close_frame(code: int | None = None, reason: str = "") -> bytes:
    """A close frame; the reason is cut to the 123 bytes that fit (RFC 6455 5.5.1)."""
    if code is None:
        return frame(_CLOSE, b"")
    text = reason.encode()[:123].decode("utf-8", "ignore").encode()
    return frame(_CLOSE, code.to_bytes(2) + text)


def split_frames(data: bytes) -> Iterator[tuple[Opcode, bytes]]:
    """The frames that this file made: unmasked, final and whole."""
    position = 0
    while position < len(data):
        opcode, size = _OPCODES[data[position] & 0x0F], data[position + 1]
        start = position + 2
        if size >= 126:
            extended = start + (2 if size == 126 else 8)
            size, start = int.from_bytes(data[start:extended]), extended
        yield opcode, data[start : start + size]
        position = start + size


EMPTY_PING = frame(_PING, b"")


def read_close(payload: bytes) -> tuple[int | None, str]:
    """Code and reason of a received close frame; the code is None where it has no body.

    Raises:
        FrameError: the body is one byte, the code may not be sent, or the reason is not UTF-8.
    """
    if not payload:
        return None, ""
    code = int.from_bytes(payload[:2])
    if len(payload) < 2 or not (
        (1000 <= code <= 1014 and code not in (1004, 1005, 1006)) or 3000 <= code <= 4999
    ):
        raise FrameError(1002, "Invalid close code")
    try:
        return code, payload[2:].decode()
    except UnicodeDecodeError:
        raise FrameError(1007, "Close reason is not UTF-8") from None


class FrameReader:
    """Takes bytes as they arrive and gives whole messages and control frames in order.

    Args:
        limit: most bytes of one message, over all its fragments.
    """

    __slots__ = ("_buffer", "_decoder", "_frames", "_limit", "_message", "_position")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._buffer: bytes | bytearray = b""  # what has arrived; an idle connection holds nothing
        self._position = 0  # how much of the buffer has been read
        self._message: bytearray | None = None  # as far as it is there
        self._frames = 0  # it came in
        self._decoder: codecs.IncrementalDecoder | None = None

    def feed(self, data: bytes) -> Iterator[tuple[Opcode, bytes]]:
        """Read on.

        A frame that completes no message is given as an empty `Opcode.CONTINUATION`: it costs as
        much to read as any other. Stopping early loses nothing: what was not given yet comes with
        the next call.

        Raises:
            FrameError: the peer broke a rule; the reader must not be used again.
        """
        self.append(data)
        while (found := self._next_frame()) is not None:
            final, opcode, payload = found
            if opcode not in _DATA:
                yield opcode, payload
            elif final and opcode is _TEXT:
                self._validate(payload)
                yield opcode, payload
            else:
                yield self._collect(payload, final=final)

    def append(self, data: bytes) -> None:
        """Keep bytes for the next `feed`."""
        # Neither many small frames in one packet nor one frame in many packets copy it all.
        if self._position == len(self._buffer):
            self._buffer = data
        else:
            if not isinstance(self._buffer, bytearray):
                self._buffer = bytearray(self._buffer)
            del self._buffer[: self._position]
            self._buffer += data
        self._position = 0

    def _next_frame(self) -> tuple[bool, Opcode, bytes] | None:
        """Take one frame off the buffer, or nothing while it is not complete."""
        buffer, start = self._buffer, self._position + 2
        available = len(buffer)
        if available < start:
            if start - 2 == available:
                self._buffer, self._position = b"", 0
            return None
        first, second = buffer[start - 2], buffer[start - 1]
        opcode = self._check_start(first, second)
        size = second & 0x7F
        if size >= 126:
            extended = start + (2 if size == 126 else 8)
            if available < extended:
                return None
            size = int.from_bytes(buffer[start:extended])
            start = extended
        if opcode in _DATA:
            whole = size if self._message is None else size + len(self._message)
            if whole > self._limit:
                raise FrameError(1009, f"Message too big ({whole} > {self._limit} bytes)")
        end = start + 4 + size
        if available < end:
            return None
        self._position = end
        payload = _unmask(buffer[start + 4 : end], buffer[start : start + 4])
        return first >= 0x80, opcode, payload

    def _check_start(self, first: int, second: int) -> Opcode:
        """All that the first two bytes can break (RFC 6455 5.1, 5.2, 5.4, 5.5)."""
        if first & 0x70:
            raise FrameError(1002, "Reserved bits must be 0")
        opcode = _OPCODES.get(first & 0x0F)
        if opcode is None:
            raise FrameError(1002, f"Reserved opcode {first & 0x0F}")
        if not second & 0x80:
            raise FrameError(1002, "Client frames must be masked")
        if opcode not in _DATA:
            if first < 0x80:
                raise FrameError(1002, "Control frames must not be fragmented")
            if second & 0x7F > _MAX_CONTROL:
                raise FrameError(1002, "Control frames carry at most 125 bytes")
        elif opcode is _BINARY:
            raise FrameError(1003, "Binary messages are not supported")
        elif (opcode is _CONTINUATION) != (self._message is not None):
            raise FrameError(1002, "Fragments out of order")
        elif self._frames >= _MOST_FRAMES:
            raise FrameError(1009, f"Message in too many frames (more than {_MOST_FRAMES})")
        return opcode

    def _collect(self, payload: bytes, *, final: bool) -> tuple[Opcode, bytes]:
        """Add to a message of several frames, and give it once it is complete and UTF-8."""
        if self._message is None or self._decoder is None:
            self._message, self._decoder = bytearray(), _utf8()
        # Text that no further fragment can mend is refused now, not at the end.
        self._validate(payload, self._decoder, final=final)
        self._message += payload
        self._frames += 1
        if not final:
            return _CONTINUATION, b""
        message = bytes(self._message)
        self._message, self._decoder, self._frames = None, None, 0
        return _TEXT, message

    @staticmethod
    def _validate(
        payload: bytes, decoder: codecs.IncrementalDecoder | None = None, *, final: bool = True
    ) -> None:
        try:
            if decoder is None:
                payload.decode()
            else:
                decoder.decode(payload, final)
        except UnicodeDecodeError:
            raise FrameError(1007, "Text is not UTF-8") from None


def _unmask(payload: bytes | bytearray, key: bytes | bytearray) -> bytes:
    """XOR with the repeated key, as two large integers: the fastest way without C."""
    size = len(payload)
    if not size:
        return b""
    mask = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(mask)).to_bytes(size)
