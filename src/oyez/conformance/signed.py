"""Signed requests of the HTTP API: the usual ones, and those that have to be put together by hand.

A request is made of plain parts, so that a check can change any one of them: `credentials` gives
the authentication parameters, `signature` signs, `encode` writes a query, `Api.send` sends exactly
the bytes it is given.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import quote

import httpx2

from oyez.conformance.expectations import Failed, shown
from oyez.conformance.target import Credentials, Target
from oyez.protocol.signing import Token, body_digest

__all__ = [
    "Answer",
    "Api",
    "Changes",
    "Pairs",
    "compact",
    "credentials",
    "encode",
    "http_client",
    "signature",
]

Pairs = list[tuple[str, str]]
Changes = Mapping[str, str | None]

_PATH_CHARACTERS = "/-_=@,.;:~"
_CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered to one request."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text; of an error, the sentence in it, in whichever form it came."""
        text = self.body.decode("utf-8", "replace")
        if self.status >= 400:
            try:
                value = json.loads(text)
            except ValueError:
                return text
            if isinstance(value, dict):
                found = value.get("error", value.get("message", text))
                return found if isinstance(found, str) else text
        return text

    def json(self) -> dict[str, Any]:
        """The body, which has to be one JSON object."""
        try:
            value = json.loads(self.body)
        except ValueError:
            value = None
        if not isinstance(value, dict):
            raise Failed("a JSON object as body", f"{self.status} with {shown(self.body)}")
        return value

    def expect(self, status: int) -> Self:
        """The status has to be this one."""
        if self.status != status:
            raise Failed(f"status {status}", f"{self.status} {shown(self.text)}")
        return self

    def ok(self) -> dict[str, Any]:
        """The body of a success, which is not an error in disguise."""
        body = self.expect(200).json()
        if isinstance(body.get("error"), str):
            raise Failed("a success", f"status 200 with {shown(self.body)}")
        return body

    def refused(self, status: int, text: str = "") -> Self:
        """An error with this status and this text in its body."""
        self.expect(status)
        if text not in self.text:
            raise Failed(f"{status} with the text {shown(text)}", shown(self.text))
        return self


def credentials(token: Token, body: bytes = b"", changes: Changes | None = None) -> Pairs:
    """The authentication parameters without the signature.

    Args:
        token: whose key it is.
        body: what ``body_md5`` is made of; none if it is empty.
        changes: other values for some of the parameters, None to leave one out.
    """
    values: dict[str, str | None] = {
        "auth_key": token.key,
        "auth_timestamp": str(int(time.time())),
        "auth_version": "1.0",
        "body_md5": body_digest(body) if body else None,
    }
    values.update(changes or {})
    return [(name, value) for name, value in values.items() if value is not None]


def signature(token: Token, method: str, path: str, pairs: Pairs) -> str:
    """Sign ``pairs``: names in lower case and sorted, values as they are."""
    lowered = sorted(((name.lower(), value) for name, value in pairs), key=lambda pair: pair[0])
    joined = "&".join(f"{name}={value}" for name, value in lowered)
    return token.sign(f"{method}\n{path}\n{joined}".encode())


def encode(pairs: Pairs, *, escape: bool = True) -> str:
    """The query of a request line, with values percent-encoded or raw."""
    return "&".join(f"{name}={quote(value, safe='') if escape else value}" for name, value in pairs)


class Api:
    """The HTTP API of one app."""

    def __init__(self, client: httpx2.AsyncClient, target: Target, app: Credentials) -> None:
        self.app = app
        self.token = app.token
        self._client = client
        self._target = target

    def path(self, rest: str) -> str:
        """``rest`` below the app."""
        return f"/apps/{self.app.app_id}{rest}"

    async def get(self, rest: str, **params: str) -> Answer:
        """A signed GET below the app."""
        return await self.call("GET", self.path(rest), list(params.items()))

    async def post(self, rest: str, body: object, **params: str) -> Answer:
        """A signed POST below the app; bytes are sent as they are, all else as compact JSON."""
        return await self.call("POST", self.path(rest), list(params.items()), body)

    async def call(
        self,
        method: str,
        path: str,
        params: Pairs | None = None,
        body: object = b"",
        **headers: str,
    ) -> Answer:
        """A signed request to any path, as most libraries would make it."""
        data = body if isinstance(body, bytes) else compact(body)
        pairs = [*credentials(self.token, data), *(params or [])]
        pairs.append(("auth_signature", signature(self.token, method, path, pairs)))
        target = f"{quote(path, safe=_PATH_CHARACTERS)}?{encode(pairs)}"
        return await self.send(method, target, data, **headers)

    async def send(self, method: str, target: str, body: bytes = b"", **headers: str) -> Answer:
        """A request whose path and query go onto the wire exactly as they are.

        Args:
            headers: names with underscores instead of dashes.
        """
        named = {"Content-Type": "application/json"} if body else {}
        named.update((name.replace("_", "-"), value) for name, value in headers.items())
        try:
            response = await self._client.request(
                method,
                f"{self._target.origin}/",
                content=body,
                headers=named,
                extensions={"target": f"{self._target.prefix}{target}".encode()},
            )
        except httpx2.TimeoutException:
            raise Failed("an HTTP answer", f"none within {self._target.patience:g} s") from None
        except (httpx2.HTTPError, ValueError) as error:
            raise Failed("an HTTP answer", f"{type(error).__name__}: {error}") from None
        found = {name.lower(): value for name, value in response.headers.items()}
        return Answer(response.status_code, found, response.content)


def compact(value: object) -> bytes:
    """Compact JSON in raw UTF-8, as Node and Go send it."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def http_client(target: Target) -> httpx2.AsyncClient:
    """One pool of connections for a whole run; no proxies, no settings of the environment."""
    return httpx2.AsyncClient(
        timeout=target.patience * 2,
        trust_env=False,
        limits=httpx2.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS),
    )
