"""HTTP/1.1 requests without I/O: bytes in, whole requests out.

llhttp (through httptools) parses; this file bounds it. Whatever is counted is counted before it is
kept, so that no request costs more memory than its limit and one packet.
"""

import re
from dataclasses import dataclass
from enum import Enum, auto

import httptools

from oyez.server.upgrade import wants_websocket

__all__ = ["HttpLimits", "HttpRefused", "Phase", "Request", "RequestReader"]

_VERSIONS = ("1.1", "1.0")
_HOP_BY_HOP = frozenset({b"connection", b"upgrade", b"http2-settings"})
_END_OF_AUTHORITY = re.compile(rb"[/?]")  # RFC 3986 3.2; the parser lets no # through
_HEADER = 128  # bytes that a header takes in a dictionary, beside its own
_CHUNK_OVERHEAD = 8  # bytes on the wire for each byte of a body sent in the smallest chunks


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """Bounds of one connection; sizes in bytes, times in seconds.

    Attributes:
        head: request line and headers together.
        body: of a request, chunked or not.
        head_seconds: from the first byte of a request, or the opening of the connection, to the
            end of its headers.
        body_seconds: from the end of the headers to the end of the body.
        idle_seconds: between two requests.
    """

    head: int = 16_384
    body: int = 1_048_576
    head_seconds: int = 10
    body_seconds: int = 30
    idle_seconds: int = 75


class HttpRefused(Exception):
    """The request breaks a rule of HTTP or a limit; nothing after it can be read."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Phase(Enum):
    """Where in a request the reader is."""

    NEW = auto()  # nothing has arrived yet
    HEAD = auto()
    BODY = auto()
    BETWEEN = auto()


_NO_PARSER = httptools.HttpRequestParser(object())
_NEW, _HEAD, _BODY, _BETWEEN = Phase  # looking a member up costs 80 ns in Python 3.11


class Request:
    """A whole request.

    Attributes:
        method: as sent, ``b"GET"``.
        path: still percent-encoded, without the query.
        query: what follows the first question mark.
        headers: names in lower case; repeated ones are joined with commas.
        peer: address and port of the other end of the connection, which may be a proxy.
        secure: whether it came over TLS, to us or to a proxy that is trusted.
        verified: what was found by its head before its body was there, for whoever looked at it.
        upgraded: what followed a request for a WebSocket in the same packet; else None.
        keep_alive: whether the client expects the connection to stay open.
        version: of HTTP, ``1.0`` or ``1.1``.
    """

    __slots__ = (
        "body",
        "headers",
        "keep_alive",
        "method",
        "path",
        "peer",
        "query",
        "secure",
        "upgraded",
        "verified",
        "version",
    )

    def __init__(
        self,
        method: bytes,
        target: bytes,
        headers: dict[bytes, bytes],
        *,
        keep_alive: bool,
        version: str = "1.1",
    ) -> None:
        self.method = method
        if target[:1] != b"/" and b"://" in target:
            target = _origin_form(target)
        self.path, _, self.query = target.partition(b"?")
        self.headers = headers
        self.keep_alive = keep_alive
        self.version = version
        self.body = b""
        self.secure = False
        self.verified: object = None
        self.peer: tuple[str, int] | None = None
        self.upgraded: bytes | None = None

    @property
    def asks_to_keep(self) -> bool:
        """Whether the client has to be told that the connection stays, as HTTP/1.0 demands."""
        return self.version == "1.0" and self.keep_alive


def _origin_form(target: bytes) -> bytes:
    """The path and query of a target in absolute form (RFC 9112 3.2.2)."""
    rest = target.partition(b"://")[2]
    end = _END_OF_AUTHORITY.search(rest)
    path = rest[end.start() :] if end else b""
    return path if path[:1] == b"/" else b"/" + path


class RequestReader:
    """Takes bytes as they arrive.

    Attributes:
        phase: where the reader is now.
        complete: whole requests not taken by the owner yet, oldest first.
        known: what the owner has found of the request whose body is read, None while it has not
            looked: whether it is signed by a backend.
    """

    __slots__ = (
        "_body",
        "_declared",
        "_head_kept",
        "_head_limit",
        "_headers",
        "_limits",
        "_packet",
        "_parser",
        "_request",
        "_size",
        "_target",
        "_wire_size",
        "complete",
        "known",
        "phase",
    )

    def __init__(self, limits: HttpLimits) -> None:
        self.phase = _NEW
        self.known: bool | None = None
        self.complete: list[Request] = []
        self._limits = limits
        self._head_limit = limits.head
        self._parser = httptools.HttpRequestParser(self)
        self._target = b""
        self._headers: dict[bytes, bytes] = {}
        self._request: Request | None = None
        self._body: bytes | bytearray = b""
        self._declared = 0  # length of the body, 0 where it is not told
        self._head_kept = 0  # bytes that the head of `_request` takes here, 0 until it is asked
        self._size = 0  # of the head, then of the body, as far as it is parsed
        self._wire_size = 0  # of the head, then of the body, as it arrived in earlier packets
        self._packet = 0

    @property
    def unfinished(self) -> Request | None:
        """The request whose head is complete and whose body is not."""
        return self._request

    @property
    def expected(self) -> int:
        """Bytes of that body: as many as were announced or have come, whichever is more."""
        return max(self._declared, self._size)

    @property
    def held(self) -> int:
        """Bytes of memory, about, that are taken by a request that is not complete."""
        if self.phase is _HEAD:
            return self._wire_size + len(self._headers) * _HEADER
        if self._request is None:
            return 0
        if not self._head_kept:  # counted once, however many packets the body comes in
            sizes = [len(name) + len(value) + _HEADER for name, value in self._headers.items()]
            self._head_kept = len(self._target) + sum(sizes)
        return self._head_kept + len(self._body)

    @property
    def awaits_continue(self) -> bool:
        """Whether the client wants to hear ``100 Continue`` before it sends the body."""
        request = self._request
        return (
            request is not None
            and request.headers.get(b"expect", b"").lower() == b"100-continue"
            and self._parser.get_http_version() == "1.1"
        )

    def feed(self, data: bytes) -> None:
        """Read on; whole requests are added to `complete`.

        Raises:
            HttpRefused: the answer to give; the reader must not be used again.
        """
        was, already = self.phase, len(self.complete)
        rest: bytes | None = data
        while rest is not None:
            rest = self._parse(rest)
        if len(self.complete) == already:  # else it is not known how much belongs to the next
            self._count_wire(was, len(data))

    def _parse(self, data: bytes) -> bytes | None:
        """Have the parser read on; what it left unread behind an upgrade that is ignored."""
        self._packet = len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
        except httptools.HttpParserCallbackError as error:
            if isinstance(error.__context__, HttpRefused):
                raise error.__context__ from None
            raise
        except httptools.HttpParserError as error:
            raise HttpRefused(400, f"Malformed HTTP request: {error}") from None
        else:
            return None
        return self._upgrade(rest)  # not in the handler: contexts of errors would be others there

    def _count_wire(self, was: Phase, size: int) -> None:
        """Bound what the parser has seen but not told: endless headers, padding of chunks."""
        if self.phase is _HEAD:
            self._wire_size += size
            if self._wire_size > self._limits.head:
                raise HttpRefused(431, self._head_too_large())
        elif self.phase is _BODY and was is _BODY:
            self._wire_size += size
            if self._wire_size > self._limits.head + self._size * _CHUNK_OVERHEAD:
                raise HttpRefused(400, "Request body has more padding than content")

    def close(self) -> None:
        """Nothing more is read: lets go of the parser, which refers back to this reader."""
        self._parser = _NO_PARSER
        self._wire_size = 0
        self._forget()

    def _forget(self) -> None:
        """Keep nothing of what has arrived."""
        self._request = None
        self._target = self._body = b""
        self._headers = {}

    # What the parser calls.

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        self.phase = _HEAD
        self._size = self._wire_size = self._declared = 0
        self.known = None

    def on_url(self, url: bytes) -> None:
        """The request target, or a part of it."""
        self._target += url
        self._size += len(url)
        if self._size > self._head_limit:
            raise HttpRefused(431, self._head_too_large())

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or one trailer, which is dropped."""
        if self._request is not None:
            return
        headers, name = self._headers, name.lower()
        if name not in headers:
            headers[name] = value
        elif name == b"host":
            raise HttpRefused(400, "More than one Host header")  # RFC 9112 3.2
        else:
            headers[name] += b", " + value
            self._size += len(name) + 2  # what its line has more than was added
            if self._size + len(headers[name]) > self._head_limit:  # before joining gets slow
                raise HttpRefused(431, self._head_too_large())

    def on_headers_complete(self) -> None:
        """The head is complete: everything about the body that can be decided is decided here."""
        parser, headers = self._parser, self._headers
        if self._wire_size + self._packet > self._head_limit:  # else it cannot be too large
            self._check_head()
        version = parser.get_http_version()
        if version not in _VERSIONS:
            raise HttpRefused(505, f"HTTP version {version} is not supported")
        if version == "1.1" and b"host" not in headers:
            raise HttpRefused(400, "Host header is missing")  # RFC 9112 3.2
        coding = headers.get(b"transfer-encoding")
        if coding is not None:
            if version == "1.0":  # whoever passed it on did not understand it (RFC 9112 6.1)
                raise HttpRefused(400, "HTTP/1.0 has no transfer codings")
            if coding.lower() != b"chunked":
                raise HttpRefused(501, "The only supported transfer coding is chunked")
        length = headers.get(b"content-length")
        if length is not None and length != b"0":
            self._check_length(length.lstrip(b"0") or b"0")
        method = parser.get_method()
        if method == b"CONNECT":
            raise HttpRefused(405, "405 METHOD NOT ALLOWED")
        self._head_kept = 0
        self._request = Request(
            method,
            self._target,
            headers,
            keep_alive=parser.should_keep_alive(),
            version=version,
        )
        self.phase = _BODY
        self._size = self._wire_size = 0

    def _check_head(self) -> None:
        size = self._size + sum(len(name) + len(self._headers[name]) + 4 for name in self._headers)
        if size > self._head_limit:
            raise HttpRefused(431, self._head_too_large())

    def _check_length(self, digits: bytes) -> None:
        """Bound a declared length; ``int`` takes no more than 4,300 digits, even zeros."""
        if len(digits) > len(str(self._limits.body)) or int(digits) > self._limits.body:
            raise HttpRefused(413, self._body_too_large(digits.decode("latin-1")))
        self._declared = int(digits)

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._size += len(body)
        if self._size > self._limits.body:
            raise HttpRefused(413, self._body_too_large(self._size))
        if not self._body:
            self._body = body
        else:  # in one piece: what comes byte by byte would take forty times its size
            if isinstance(self._body, bytes):
                self._body = bytearray(self._body)
            self._body += body

    def on_message_complete(self) -> None:
        """A whole request."""
        request = self._request
        if request is None or self._parser.should_upgrade():
            return  # feed_data raises HttpParserUpgrade next
        if self._body:
            request.body = bytes(self._body)
        self.phase = _BETWEEN
        self.complete.append(request)
        self._request = None  # and nothing else of it: it is somebody else's now
        self._target = self._body = b""
        self._headers = {}

    def _upgrade(self, rest: bytes) -> bytes | None:
        """The parser has stopped at a request that asks for another protocol."""
        request = self._request
        if request is None:
            raise HttpRefused(400, "Malformed HTTP request")
        if request.version == "1.1" and wants_websocket(request.method, request.headers):
            request.upgraded = rest
            self.phase = _BETWEEN
            self.complete.append(request)
            self._forget()
            return None
        # Any other upgrade may be ignored (RFC 9110 7.8), but the parser has not read the body:
        # read the request again as if nothing had been offered. Java's client sends such ones.
        lines = [b"%b %b HTTP/%b" % (request.method, self._target, request.version.encode())]
        for name, value in request.headers.items():
            if name not in _HOP_BY_HOP:
                lines.append(name + b": " + value)
        if not request.keep_alive or b"close" in request.headers.get(b"connection", b"").lower():
            lines.append(b"Connection: close")
        self._parser = httptools.HttpRequestParser(self)
        already = len(self.complete)
        self._forget()
        self._parse(b"\r\n".join(lines) + b"\r\n\r\n")
        # The same again, now without what was not to be parsed.
        again = self._request if len(self.complete) == already else self.complete[-1]
        if again is not None:
            again.headers = request.headers
        return rest

    def _head_too_large(self) -> str:
        return f"Request head too large (limit {self._limits.head} bytes)"

    def _body_too_large(self, size: int | str) -> str:
        return f"Request body too large ({size} > {self._limits.body} bytes)"
