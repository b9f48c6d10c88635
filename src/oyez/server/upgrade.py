"""The opening handshake of RFC 6455, without I/O: request headers in, response head out."""

import base64
import binascii
from collections.abc import Mapping
from hashlib import sha1

__all__ = ["WHAT_WE_SPEAK", "UpgradeRefused", "accept", "missing", "wants_websocket"]

WHAT_WE_SPEAK = ((b"Upgrade", b"websocket"), (b"Sec-WebSocket-Version", b"13"))

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class UpgradeRefused(Exception):
    """The request is no valid opening handshake; answer it with ``status``."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def wants_websocket(method: bytes, headers: Mapping[bytes, bytes]) -> bool:
    """Return whether this is an opening handshake, valid or not.

    Some proxies are told to send ``Upgrade: websocket`` with every request. Where nothing else of a
    handshake is there it means nothing, and may be ignored (RFC 9110 7.8).

    Args:
        headers: names in lower case.
    """
    return (
        method == b"GET"
        and b"websocket" in _tokens(headers.get(b"upgrade", b""))
        and (b"sec-websocket-key" in headers or b"sec-websocket-version" in headers)
    )


def missing(version: str, headers: Mapping[bytes, bytes]) -> str:
    """Return what a request for a WebSocket lacks, and how to mend it.

    Browsers send all of it. What is missing has been lost on the way, at a proxy which was not told
    to pass it on.

    Args:
        version: of HTTP.
        headers: names in lower case.
    """
    lost = []
    if version != "1.1":
        lost.append(f"HTTP/1.1 (it came as HTTP/{version}; nginx: proxy_http_version 1.1;)")
    if b"websocket" not in _tokens(headers.get(b"upgrade", b"")):
        lost.append("Upgrade: websocket (nginx: proxy_set_header Upgrade $http_upgrade;)")
    if b"upgrade" not in _tokens(headers.get(b"connection", b"")):
        lost.append('Connection: upgrade (nginx: proxy_set_header Connection "upgrade";)')
    if b"sec-websocket-key" not in headers:
        lost.append("Sec-WebSocket-Key")
    return (
        "Expected a WebSocket handshake, but the request is without "
        f"{' and without '.join(lost)}; a proxy must pass on what the client sends"
    )


def accept(method: bytes, headers: Mapping[bytes, bytes], protocol: str | None) -> bytes:
    """The head of the 101 response (RFC 6455 4.2).

    Args:
        method: of the request.
        headers: of the request, names in lower case.
        protocol: the subprotocol to echo, if any.

    Raises:
        UpgradeRefused: 400, or 426 where another WebSocket version is asked for.
    """
    if method != b"GET":
        raise UpgradeRefused(400, "A WebSocket handshake is a GET request")
    if headers.get(b"content-length", b"").strip(b"0") or b"transfer-encoding" in headers:
        raise UpgradeRefused(400, "A WebSocket handshake has no body")
    if b"upgrade" not in _tokens(headers.get(b"connection", b"")):
        raise UpgradeRefused(400, "Connection header must name upgrade")
    if headers.get(b"sec-websocket-version", b"").strip() != b"13":
        version = headers.get(b"sec-websocket-version", b"none").decode("latin-1")
        raise UpgradeRefused(426, f"Only WebSocket version 13 is supported, not {version[:20]}")
    key = headers.get(b"sec-websocket-key", b"").strip()
    if not _is_nonce(key):
        raise UpgradeRefused(400, "Sec-WebSocket-Key must be 16 bytes in base64")
    proof = base64.b64encode(sha1(key + _GUID, usedforsecurity=False).digest())
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + proof,
    ]
    if protocol is not None:
        lines.append(b"Sec-WebSocket-Protocol: " + protocol.encode("latin-1"))
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _tokens(value: bytes) -> list[bytes]:
    return [token.strip().lower() for token in value.split(b",")]


def _is_nonce(key: bytes) -> bool:
    try:
        return len(base64.b64decode(key, validate=True)) == 16
    except binascii.Error:
        return False
