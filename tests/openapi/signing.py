"""Signing of requests that somebody else has made, good and bad ones alike."""

import re
import time
from urllib.parse import unquote_to_bytes, urlsplit

from requests import PreparedRequest
from requests.auth import AuthBase

from oyez.protocol.signing import Token, body_digest

__all__ = ["Signer"]

_WELL_FORMED = {
    b"auth_timestamp": re.compile(rb"[0-9]+"),
    b"body_md5": re.compile(rb"[0-9a-f]{32}"),
}


class Signer(AuthBase):
    """Signs what is about to be sent, byte for byte.

    A well-formed ``auth_timestamp`` or ``body_md5`` is replaced by a true one. Malformed and
    missing ones are what a test wants to see refused: they stay as they are. Only a missing
    ``body_md5`` is added, because the document cannot say that it is required with a body.
    """

    def __init__(self, key: str, secret: str) -> None:
        self._token = Token(key, secret)

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Put the parameters of the signature into the URL."""
        assert request.url is not None
        assert request.method is not None
        location, _, query = request.url.partition("?")
        content = request.body or b""
        if isinstance(content, str):
            content = content.encode()
        assert isinstance(content, bytes)
        parts = [part for part in query.split("&") if part]
        given = [part for part in parts if not _is_replaced(part)]
        replaced = {_pair(part)[0] for part in parts if _is_replaced(part)}
        kept = {_pair(part)[0] for part in given}
        if b"auth_timestamp" in replaced - kept:
            given.append(f"auth_timestamp={int(time.time())}")
        if b"body_md5" not in kept and (content or b"body_md5" in replaced):
            given.append(f"body_md5={body_digest(content)}")
        given.append(f"auth_key={self._token.key}")
        message = string_to_sign(request.method, urlsplit(location).path, given)
        given.append(f"auth_signature={self._token.sign(message)}")
        request.url = f"{location}?{'&'.join(given)}"
        return request


def string_to_sign(method: str, path: str, parts: list[str]) -> bytes:
    """Method, path as it is sent, and parameters as the official libraries sign them: decoded."""
    pairs = sorted((_pair(part) for part in parts), key=lambda pair: pair[0])
    joined = b"&".join(name + b"=" + value for name, value in pairs)
    return method.encode() + b"\n" + path.encode() + b"\n" + joined


def _is_replaced(part: str) -> bool:
    name, value = _pair(part)
    pattern = _WELL_FORMED.get(name)
    return name in (b"auth_key", b"auth_signature") or (
        pattern is not None and pattern.fullmatch(value.lower()) is not None
    )


def _pair(part: str) -> tuple[bytes, bytes]:
    name, _, value = part.replace("+", " ").partition("=")
    return unquote_to_bytes(name).lower(), unquote_to_bytes(value)
