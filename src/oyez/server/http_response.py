"""HTTP/1.1 answers without I/O: their values, and the bytes they become."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol

from oyez.server.http_reader import Request

__all__ = ["Response", "Stream", "StreamOutput", "encode", "stream_head", "usual_head"]

_STATUS = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\nDate: ".encode()
    for status in HTTPStatus
}
_CLOSE = b"\r\nConnection: close"
_JSON = b"application/json"
_NO_CONTENT = 204


class StreamOutput(Protocol):
    """Where a stream writes."""

    @property
    def writable(self) -> bool:
        """Whether more should be written now."""

    def write_piece(self, data: bytes) -> None:
        """Write a part of the body."""

    def end_stream(self) -> None:
        """The body is complete."""


class Stream(Protocol):
    """Writes the body of an answer piece by piece, as it has something to say."""

    def attached(self, output: StreamOutput) -> None:
        """The head is written; write to ``output``."""

    def resumed(self) -> None:
        """The client has read enough for more to be written."""

    def detached(self) -> None:
        """The client is gone, before `StreamOutput.end_stream`."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, in JSON unless it has a ``stream``.

    Attributes:
        headers: written as given, after the ones every answer has.
        stream: what writes the body, instead of ``body``.
    """

    status: int
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    stream: Stream | None = None


def usual_head(date: bytes) -> bytes:
    """The head of a 200 with JSON on a connection that stays, up to the length of the body."""
    return b"%b%b\r\nContent-Type: %b\r\nContent-Length: " % (_STATUS[200], date, _JSON)


def stream_head(response: Response, date: bytes, *, chunked: bool) -> bytes:
    """The head of an answer with a stream; without chunks its end is that of the connection."""
    head = [_STATUS[response.status], date]
    head += [b"\r\n%b: %b" % header for header in response.headers]
    head.append(b"\r\nTransfer-Encoding: chunked" if chunked else _CLOSE)
    return b"".join(head) + b"\r\n\r\n"


def encode(response: Response, date: bytes, request: Request, *, keep_alive: bool) -> bytes:
    """A whole answer to ``request``."""
    body, connection, extra = response.body, b"", b""
    if not keep_alive:
        connection = _CLOSE
    elif request.asks_to_keep:
        connection = b"\r\nConnection: keep-alive"
    if response.headers:
        extra = b"".join([b"\r\n%b: %b" % header for header in response.headers])
    if response.status == _NO_CONTENT:
        return b"%b%b%b%b\r\n\r\n" % (_STATUS[response.status], date, connection, extra)
    return b"%b%b\r\nContent-Type: %b\r\nContent-Length: %d%b%b\r\n\r\n%b" % (
        _STATUS[response.status],
        date,
        _JSON,
        len(body),
        connection,
        extra,
        body if request.method != b"HEAD" else b"",
    )
