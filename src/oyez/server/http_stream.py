"""An answer whose body is written piece by piece, in chunks where the connection outlives it."""

import asyncio
from typing import Protocol

from oyez.server.http_response import Stream

__all__ = ["StreamAnswer"]


class BodyEnded(Protocol):
    """Hears that a body is complete."""

    def __call__(self, *, last: bool) -> None:
        """Go on, or close."""


class StreamAnswer:
    """What a stream writes to; see `oyez.server.http_response.StreamOutput`.

    Args:
        chunked: HTTP/1.0 has no chunks: there the end of the body is the end of the connection.
        ended: called when the body is complete, unless the client is gone before, with whether
            this was the last answer of the connection.

    Attributes:
        writable: whether more should be written now.
    """

    __slots__ = ("_chunked", "_ended", "_stream", "_transport", "writable")

    def __init__(
        self,
        transport: asyncio.Transport,
        stream: Stream,
        *,
        chunked: bool,
        ended: BodyEnded,
    ) -> None:
        self.writable = True
        self._transport = transport
        self._stream = stream
        self._chunked = chunked
        self._ended: BodyEnded | None = ended

    def begin(self) -> None:
        """The head is written."""
        self._stream.attached(self)

    def resumed(self) -> None:
        """The client has read enough for more to be written."""
        self.writable = True
        self._stream.resumed()

    def detached(self) -> None:
        """The client is gone."""
        self._ended = None
        self._stream.detached()

    # What the stream calls.

    def write_piece(self, data: bytes) -> None:
        """Write a part of the body."""
        if self._ended is not None:
            self._transport.write(b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data)

    def end_stream(self) -> None:
        """The body is complete."""
        ended, self._ended = self._ended, None
        if ended is not None:
            if self._chunked:
                self._transport.write(b"0\r\n\r\n")
            ended(last=not self._chunked)
